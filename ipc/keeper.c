/*
 * The keeper and its worker have separate memories and one descriptor table (clone(CLONE_FILES)).
 * The keeper opens nothing while a worker lives or starts: the heir sweeps what no record names.
 * The table is grown once, before the first clone, because growing a shared one waits for all CPUs.
 *
 * Signals are blocked around the clone: a handler that a child has inherited would act on
 * descriptors that are not its own. A worker that ended is seen by waitpid() when the kernel has
 * taken all of it apart, so the heir runs behind its last store.
 *
 * Without a keeper's descriptors (h->keeper is false: the host refuses the call, or its counters
 * are not exact) the worker is an ordinary child with a table of its own; its connections end with
 * it and the next worker starts fresh.
 */
#define _GNU_SOURCE
#include "ipc/keeper.h"

#include <errno.h>
#include <fcntl.h>
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
	int keep[WRITERS_MAX + LISTENERS_MAX + 4];
	size_t n = 0;
	unsigned i;

	keep[n++] = h->region.fd;
	for (i = 0; i < WRITERS_MAX; i++)
		if (region_has_writer(&h->region, i))
			keep[n++] = region_slot(&h->region, i)->event_fd;
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

static pid_t
clone_worker(struct heritage *h)
{
	pid_t pid, me = getpid();
	sigset_t all, old;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	word32_set(&slot->signal, 0);
	pid = (pid_t)syscall(SYS_clone, (h->keeper ? CLONE_FILES : 0) | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		process_die_with_parent(me);
		process_signals();
		h->run_worker(h);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

static enum slot_death
classify(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == 0 ? DEATH_RENEWED : DEATH_EXIT;
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
bury(struct heritage *h, struct writer *w, pid_t pid, int status)
{
	enum slot_death d = classify(status);
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	word_set(&slot->died_us, clock_us());
	word_set(&slot->deaths[d], word_get(&slot->deaths[d]) + 1);
	word32_set(&slot->stuck, 0);
	h->faulted = d == DEATH_FAULT || d == DEATH_STUCK;
	if (word32_get(&slot->order) == ORDER_RENEW)
		word32_set(&slot->order, ORDER_RUN);
	if (d == DEATH_RENEWED)
		log_info("worker ended as planned slot=%u pid=%d", w->index, pid);
	else
		log_notice("worker died, an heir follows slot=%u pid=%d reason=%s signal=%d",
		    w->index, pid, slot_death_name(d), sig);
	wake_flush(w);
	back_off(d);
}

/* Whether nobody follows: a worker that is killed while it drains has an heir that goes on. */
static bool
is_over(int status)
{
	switch (word32_get(&slot->order)) {
	case ORDER_STOP:
		return true;
	case ORDER_DRAIN:
		return WIFEXITED(status) && WEXITSTATUS(status) == 0;
	default:
		return false;
	}
}

void
keeper_run(struct heritage *h)
{
	static struct writer w;
	static struct settings s;
	int status;
	pid_t pid;

	slot = region_slot(&h->region, h->slot);
	process_die_with_parent(h->master);
	process_signals();
	process_title("keeper %u", h->slot);
	process_drop(h);
	process_die_with_parent(h->master);	/* a changed uid forgets it */
	close_foreign(h);
	grow_table();
	slot->client_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (slot->client_epoll < 0)
		fatal("epoll: %s", strerror(errno));
	word32_set(&slot->keeper, (uint32_t)getpid());
	h->fresh = true;
	while (word32_get(&slot->order) != ORDER_STOP) {
		pid = clone_worker(h);
		if (pid < 0) {
			sleep_ms(100);
			continue;
		}
		word32_set(&slot->gen, word32_get(&slot->gen) + 1);
		h->fresh = !h->keeper;
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		/*
		 * the worker is gone: its log ring and eventfd are ours to use until the heir
		 * starts
		 */
		writer_open(&w, &h->region, h->slot);
		region_settings_get(&h->region, &s);
		log_open(&w, (enum settings_log_level)s.log_level);
		if (is_over(status))
			break;
		bury(h, &w, pid, status);
	}
	word32_set(&slot->pid, 0);
	word32_set(&slot->keeper, 0);
	_exit(0);
}
