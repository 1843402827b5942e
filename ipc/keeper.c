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
 * What it has to do with the master is in liaison.c, an upgrade in become.c.
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

#include "ipc/become.h"
#include "ipc/heritage.h"
#include "ipc/keeper_priv.h"
#include "ipc/liaison.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/table.h"
#include "ipc/wake.h"
#include "shm/region.h"
#include "shm/settings.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

static struct keeper k;			/* one per process */

static void
close_foreign(const struct heritage *h)
{
	static int keep[TABLE_MAX];
	size_t n = table_common(&h->region, keep);

	process_close_others(keep, n + table_own(k.slot, keep + n));
}

/* The highest number that may be used, and a table that has room for it. */
static void
grow_table(void)
{
	struct rlimit l;
	int end = 1024, fd;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur != RLIM_INFINITY)
		end = (int)(l.rlim_cur > 1 << 20 ? 1 << 20 : l.rlim_cur);
	fd = dup2(k.slot->event_fd, end - 1);
	if (fd >= 0)
		close(fd);
	k.slot->table_end = end;
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

/* ---- the worker ---- */

static pid_t
clone_worker(struct heritage *h)
{
	pid_t pid, me = getpid();

	word32_set(&k.slot->signal, 0);
	word32_set(&k.slot->left, 0);
	k.told_worker = false;
	k.cloned_at = clock_ms();
	pid = clone_here(h->keeper ? CLONE_FILES : 0, &k.slot->worker_pidfd);
	if (pid == 0) {
		if (!h->keeper)		/* nobody could go on with what it has */
			process_die_with_parent(me);
		process_signals();
		h->run_worker(h);
	}
	if (pid > 0)
		word32_set(&k.slot->pid, (uint32_t)pid);
	return pid;
}

/* known: it was a child, and its status is that. */
static enum slot_death
classify(bool known, int status)
{
	if (word32_get(&k.slot->left) != 0)
		return DEATH_RENEWED;
	if (known && WIFEXITED(status))
		return DEATH_EXIT;
	if (word32_get(&k.slot->stuck) != 0)
		return DEATH_STUCK;
	return word32_get(&k.slot->signal) != 0 ? DEATH_FAULT : DEATH_KILLED;
}

/* Faults and early exits slow the next start down; a kill from outside never does. */
static void
back_off(const struct heritage *h, enum slot_death d)
{
	uint64_t now = clock_ms();
	unsigned ms;

	if (d != DEATH_FAULT && d != DEATH_EXIT)
		return;
	ms = backoff_next(&k.faults, now);
	if (ms == 0)
		return;
	log_error("worker keeps failing, the next start waits ms=%u", ms);
	word_set(&k.slot->backoff_until, now + ms);
	while (clock_ms() < now + ms && word32_get(&k.slot->order) != ORDER_STOP)
		liaison_attend(&k, -1, 50);
	word_set(&k.slot->backoff_until, 0);
}

static void
bury(struct heritage *h, bool known, int status)
{
	enum slot_death d = classify(known, status);
	int sig = known && WIFSIGNALED(status) ? WTERMSIG(status) :
	    (int)word32_get(&k.slot->signal);

	word_set(&k.slot->died_us, clock_us());
	word_set(&k.slot->deaths[d], word_get(&k.slot->deaths[d]) + 1);
	word32_set(&k.slot->stuck, 0);
	h->faulted = d == DEATH_FAULT || d == DEATH_STUCK;
	if (word32_get(&k.slot->order) == ORDER_RENEW)
		word32_set(&k.slot->order, ORDER_RUN);
	if (d == DEATH_RENEWED)
		log_info("worker ended as planned slot=%u pid=%u", h->slot,
		    word32_get(&k.slot->pid));
	else
		log_notice("worker died, an heir follows slot=%u pid=%u reason=%s signal=%d",
		    h->slot, word32_get(&k.slot->pid), slot_death_name(d), sig);
	wake_flush(&k.self);
	become_back(&k, d);
	back_off(h, d);
}

/* Whether nobody follows: a worker that is killed while it drains has an heir that goes on. */
static bool
is_over(void)
{
	switch (word32_get(&k.slot->order)) {
	case ORDER_STOP:
		return true;
	case ORDER_DRAIN:
	case ORDER_CLOSE:
		return word32_get(&k.slot->left) != 0;
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
wait_worker(const struct heritage *h, int *status)
{
	int fd = k.slot->worker_pidfd;
	pid_t pid;

	while (!liaison_attend(&k, fd, -1))
		;
	pid = waitpid(-1, status, WNOHANG);
	k.slot->worker_pidfd = -1;
	close(fd);
	return pid > 0;
}

/* From one death to the next, for ever. There is a worker if its pidfd is there. */
_Noreturn static void
keep(struct heritage *h)
{
	static struct settings s;
	int status = 0;
	bool known;

	for (;;) {
		if (k.slot->worker_pidfd < 0 && clone_worker(h) < 0) {
			liaison_attend(&k, -1, 100);
			continue;
		}
		liaison_tell(&k);
		known = wait_worker(h, &status);
		h->fresh = !h->keeper;
		/* its log ring and eventfd are ours to use until the heir starts */
		writer_open(&k.self, &h->region, h->slot);
		region_settings_get(&h->region, &s);
		log_open(&k.self, (enum settings_log_level)s.log_level);
		if (is_over())
			break;
		bury(h, known, status);
		if (word32_get(&k.slot->order) == ORDER_STOP)
			break;
		if (word32_get(&k.slot->order) == ORDER_EXEC)
			become_ordered(&k, &s);
		word32_set(&k.slot->gen, word32_get(&k.slot->gen) + 1);
	}
	word32_set(&k.slot->pid, 0);
	word32_set(&k.slot->keeper, 0);
	_exit(0);
}

void
keeper_run(struct heritage *h)
{
	k.h = h;
	k.slot = region_slot(&h->region, h->slot);
	process_signals();
	process_title("keeper %u", h->slot);
	process_drop(h);
	k.slot->worker_pidfd = k.slot->keeper_pidfd = k.slot->client_epoll = -1;
	k.slot->image_fd = k.slot->old_fd = -1;
	close_foreign(h);
	grow_table();
	k.slot->client_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (k.slot->client_epoll < 0)
		fatal("epoll: %s", strerror(errno));
	word32_set(&k.slot->keeper, (uint32_t)getpid());
	word_set(&k.slot->image, h->image);
	word_set(&k.slot->trial_until, 0);
	h->fresh = true;
	word32_set(&k.slot->gen, word32_get(&k.slot->gen) + 1);
	keep(h);
}

void
keeper_resume(struct heritage *h)
{
	k.h = h;
	k.slot = region_slot(&h->region, h->slot);
	process_title("keeper %u", h->slot);
	process_signals();
	word_set(&k.slot->image, h->image);
	k.slot->worker_pidfd = -1;
	liaison_replace(&k.slot->image_fd, -1);
	h->fresh = !h->keeper;
	word32_set(&k.slot->gen, word32_get(&k.slot->gen) + 1);
	keep(h);
}

/* ---- the worker's side ---- */

bool
keeper_is_gone(struct heritage *h)
{
	k.h = h;
	k.slot = region_slot(&h->region, h->slot);
	if (k.slot->keeper_pidfd < 0)	/* of 0, which is none, there is none */
		k.slot->keeper_pidfd =
		    (int)syscall(SYS_pidfd_open, (pid_t)word32_get(&k.slot->keeper), 0);
	return k.slot->keeper_pidfd < 0 || is_gone(k.slot->keeper_pidfd, 0);
}

bool
keeper_replace(struct heritage *h)
{
	pid_t pid;

	k.h = h;
	k.slot = region_slot(&h->region, h->slot);
	/* if there can be none now, the number may be given to somebody else before the next try */
	word32_set(&k.slot->keeper, 0);
	close_pidfd(&k.slot->keeper_pidfd);
	pid = clone_here(CLONE_FILES | CLONE_PARENT, &k.slot->keeper_pidfd);
	if (pid < 0)
		return false;
	if (pid > 0) {
		word32_set(&k.slot->keeper, (uint32_t)pid);
		return true;
	}
	process_signals();
	process_title("keeper %u", h->slot);
	k.told_worker = k.told_self = false;
	word32_set(&k.slot->keeper, (uint32_t)getpid());
	keep(h);
}
