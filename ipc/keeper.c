/*
 * The keeper and its worker have separate memories and one descriptor table (clone(CLONE_FILES)).
 * The keeper opens nothing while a worker lives or starts: the heir sweeps what no record names.
 * The table is grown once, before the first clone, because growing a shared one waits for all CPUs.
 *
 * Signals are blocked around the clone: a handler that a child has inherited would act on
 * descriptors that are not its own. The end of a worker is seen by its pidfd, when the kernel has
 * taken all of it apart, so the heir runs behind its last store.
 *
 * Each of the two waits for the other by a pidfd, which lies in the shared table, named by the
 * slot. The keeper's of its worker is made by the clone itself, which stores the number before the
 * worker's first instruction; the worker's of its keeper is opened by the worker. A keeper that
 * was cloned by its worker is the worker's sibling: the master is the parent of both. It has the
 * worker's memory, and so has the heir that it starts, which forgets what was private.
 *
 * Why a worker ended is told by the region alone, as it need not be a child: `left` if it was told
 * to, `stuck` by the watchdog, `signal` by its fault handler; else it was killed. The status adds
 * what it left early for, where it can be had.
 *
 * Without a keeper's descriptors (h->keeper is false: the host refuses the call, or its counters
 * are not exact) the worker is an ordinary child with a table of its own; its connections end with
 * it and the next worker starts fresh.
 */
#define _GNU_SOURCE
#include "ipc/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ipc/heritage.h"
#include "ipc/inbox.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "shm/region.h"
#include "shm/settings.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum {
	FAULTS_FREE = 5,		/* within FAULTS_WINDOW before the back-off begins */
	FAULTS_WINDOW_MS = 10000,
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MAX_MS = 5000,
};

static struct slot *slot;

static uint64_t faults[FAULTS_FREE];	/* times, a ring */
static unsigned nfaults;
static unsigned backoff_ms;

static void
close_foreign(const struct heritage *h)
{
	int keep[WRITERS_MAX + INBOX_NUMBERS + LISTENERS_MAX + 8];
	size_t n = 0;
	unsigned i;

	keep[n++] = h->region.fd;
	keep[n++] = slot->life;
	for (i = 0; i < WRITERS_MAX; i++)
		if (region_has_writer(&h->region, i))
			keep[n++] = region_slot(&h->region, i)->event_fd;
	n += inbox_numbers(&h->region, keep + n);
	for (i = 0; i < h->nlisteners; i++)
		keep[n++] = slot->listener[i];
	process_close_others(keep, n);
}

/* The highest number that may be used, and a table that has room for it. */
static void
grow_table(void)
{
	struct rlimit l;
	int end = 1024, fd;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur != RLIM_INFINITY)
		end = (int)(l.rlim_cur > 1 << 20 ? 1 << 20 : l.rlim_cur);
	fd = dup2(slot->event_fd, end - 1);
	if (fd >= 0)
		close(fd);
	slot->table_end = end;
}

/* The kernel stores the pidfd's number before the child runs. */
static pid_t
clone_here(unsigned long flags, _Atomic int32_t *pidfd)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, 0, pidfd, 0, 0);
	if (pid != 0)
		sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

static pid_t
clone_worker(struct heritage *h)
{
	pid_t pid, me = getpid();

	word32_set(&slot->signal, 0);
	word32_set(&slot->left, 0);
	pid = clone_here(h->keeper ? CLONE_FILES : 0, &slot->worker_pidfd);
	if (pid == 0) {
		if (!h->keeper)		/* nobody could go on with what it has */
			process_die_with_parent(me);
		process_signals();
		h->run_worker(h);
	}
	return pid;
}

/* known: it was a child, and its status is that. */
static enum slot_death
classify(bool known, int status)
{
	if (word32_get(&slot->left) != 0)
		return DEATH_RENEWED;
	if (known && WIFEXITED(status))
		return DEATH_EXIT;
	if (word32_get(&slot->stuck) != 0)
		return DEATH_STUCK;
	return word32_get(&slot->signal) != 0 ? DEATH_FAULT : DEATH_KILLED;
}

static void
sleep_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* Faults and early exits slow the next start down; a kill from outside never does. */
static void
back_off(enum slot_death d)
{
	uint64_t now = clock_ms(), oldest;
	unsigned waited;

	if (d != DEATH_FAULT && d != DEATH_EXIT)
		return;
	oldest = faults[nfaults % FAULTS_FREE];
	faults[nfaults++ % FAULTS_FREE] = now;
	if (nfaults <= FAULTS_FREE || now - oldest > FAULTS_WINDOW_MS) {
		backoff_ms = 0;
		return;
	}
	backoff_ms = backoff_ms == 0 ? BACKOFF_FIRST_MS : backoff_ms * 2;
	if (backoff_ms > BACKOFF_MAX_MS)
		backoff_ms = BACKOFF_MAX_MS;
	log_error("worker keeps failing, the next start waits ms=%u", backoff_ms);
	word_set(&slot->backoff_until, now + backoff_ms);
	for (waited = 0; waited < backoff_ms && word32_get(&slot->order) != ORDER_STOP;
	    waited += 50)
		sleep_ms(50);
	word_set(&slot->backoff_until, 0);
}

static void
bury(struct heritage *h, struct writer *w, bool known, int status)
{
	enum slot_death d = classify(known, status);
	int sig = known && WIFSIGNALED(status) ? WTERMSIG(status) :
	    (int)word32_get(&slot->signal);

	word_set(&slot->died_us, clock_us());
	word_set(&slot->deaths[d], word_get(&slot->deaths[d]) + 1);
	word32_set(&slot->stuck, 0);
	h->faulted = d == DEATH_FAULT || d == DEATH_STUCK;
	if (word32_get(&slot->order) == ORDER_RENEW)
		word32_set(&slot->order, ORDER_RUN);
	if (d == DEATH_RENEWED)
		log_info("worker ended as planned slot=%u pid=%u", w->index,
		    word32_get(&slot->pid));
	else
		log_notice("worker died, an heir follows slot=%u pid=%u reason=%s signal=%d",
		    w->index, word32_get(&slot->pid), slot_death_name(d), sig);
	wake_flush(w);
	back_off(d);
}

/* Whether nobody follows: a worker that is killed while it drains has an heir that goes on. */
static bool
is_over(void)
{
	switch (word32_get(&slot->order)) {
	case ORDER_STOP:
		return true;
	case ORDER_DRAIN:
	case ORDER_CLOSE:
		return word32_get(&slot->left) != 0;
	default:
		return false;
	}
}

static bool
is_gone(int pidfd, int ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

static void
close_pidfd(_Atomic int32_t *pidfd)
{
	int fd = *pidfd;

	*pidfd = -1;
	if (fd >= 0)
		close(fd);
}

/*
 * Until the worker is gone. True: it was a child, and *status is its. The number is remembered, as
 * a worker with a bug may have scribbled over the word.
 */
static bool
wait_worker(int *status)
{
	int fd = slot->worker_pidfd;
	pid_t pid;

	while (!is_gone(fd, -1))
		;
	pid = waitpid(-1, status, WNOHANG);
	slot->worker_pidfd = -1;
	close(fd);
	return pid > 0;
}

/* From one death to the next, for ever. There is a worker if its pidfd is there. */
_Noreturn static void
keep(struct heritage *h)
{
	static struct writer w;
	static struct settings s;
	int status = 0;
	bool known;

	for (;;) {
		if (slot->worker_pidfd < 0 && clone_worker(h) < 0) {
			sleep_ms(100);
			continue;
		}
		known = wait_worker(&status);
		h->fresh = !h->keeper;
		/* its log ring and eventfd are ours to use until the heir starts */
		writer_open(&w, &h->region, h->slot);
		region_settings_get(&h->region, &s);
		log_open(&w, (enum settings_log_level)s.log_level);
		if (is_over())
			break;
		bury(h, &w, known, status);
		if (word32_get(&slot->order) == ORDER_STOP)
			break;
		word32_set(&slot->gen, word32_get(&slot->gen) + 1);
	}
	word32_set(&slot->pid, 0);
	word32_set(&slot->keeper, 0);
	_exit(0);
}

void
keeper_run(struct heritage *h)
{
	slot = region_slot(&h->region, h->slot);
	process_die_with_parent(h->master);
	process_signals();
	process_title("keeper %u", h->slot);
	process_drop(h);
	process_die_with_parent(h->master);	/* a changed uid forgets it */
	close_foreign(h);
	grow_table();
	slot->worker_pidfd = slot->keeper_pidfd = -1;
	slot->client_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (slot->client_epoll < 0)
		fatal("epoll: %s", strerror(errno));
	word32_set(&slot->keeper, (uint32_t)getpid());
	h->fresh = true;
	word32_set(&slot->gen, word32_get(&slot->gen) + 1);
	keep(h);
}

/* ---- the worker's side ---- */

bool
keeper_is_gone(struct heritage *h)
{
	slot = region_slot(&h->region, h->slot);
	if (slot->keeper_pidfd < 0)	/* of 0, which is none, there is none */
		slot->keeper_pidfd =
		    (int)syscall(SYS_pidfd_open, (pid_t)word32_get(&slot->keeper), 0);
	return slot->keeper_pidfd < 0 || is_gone(slot->keeper_pidfd, 0);
}

bool
keeper_replace(struct heritage *h)
{
	pid_t pid;

	slot = region_slot(&h->region, h->slot);
	if (kill(h->master, 0) != 0 && errno == ESRCH)
		_exit(0);
	/* if there can be none now, the number may be given to somebody else before the next try */
	word32_set(&slot->keeper, 0);
	close_pidfd(&slot->keeper_pidfd);
	pid = clone_here(CLONE_FILES | CLONE_PARENT, &slot->keeper_pidfd);
	if (pid < 0)
		return false;
	if (pid > 0) {
		word32_set(&slot->keeper, (uint32_t)pid);
		return true;
	}
	process_signals();
	process_title("keeper %u", h->slot);
	process_die_with_parent(h->master);
	word32_set(&slot->keeper, (uint32_t)getpid());
	keep(h);
}
