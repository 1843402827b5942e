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
 * Over its line (ipc/line.h) the keeper names its worker and itself to the master, and learns that
 * the master is gone. Then both go on; at the door it answers a new master. Without one for
 * orphan_timeout the slot drains as by QUIT and ends. What is received takes a number in the table,
 * so it waits until the heir has swept it (`settled`), or is done while there is no worker.
 *
 * An upgrade: the master sends a program, and the order to become it. When the worker has left, the
 * keeper, which has the table to itself then, calls execveat(); numbers and records are what the
 * new program finds. Until upgrade_grace is over a worker of it that ends by a fault, by itself, or
 * stuck, makes the keeper go back to the program it was before. A kill from outside does not.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ipc/heritage.h"
#include "ipc/image.h"
#include "ipc/line.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/table.h"
#include "ipc/wake.h"
#include "shm/conn_layout.h"
#include "shm/region.h"
#include "shm/settings.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum {
	FAULTS_FREE = 5,		/* within FAULTS_WINDOW before the back-off begins */
	FAULTS_WINDOW_MS = 10000,
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MAX_MS = 5000,
	AGAIN_MS = 10,			/* what cannot be done now */
	ORPHAN_MS = 100,		/* how often one without a master looks at the time */
	STOP_MS = 2000,			/* that a worker may take to obey */
};

static struct slot *slot;
static struct writer self;			/* while there is no worker */
static bool told;			/* the master knows keeper and worker */

static uint64_t faults[FAULTS_FREE];	/* times, a ring */
static unsigned nfaults;
static unsigned backoff_ms;

static void
close_foreign(const struct heritage *h)
{
	static int keep[TABLE_MAX];
	size_t n = table_common(&h->region, keep);

	process_close_others(keep, n + table_own(slot, keep + n));
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

/* ---- the master ---- */

/* Nobody in the table opens or closes what he does not know. */
static bool
may_open(const struct heritage *h)
{
	return !h->keeper || slot->worker_pidfd < 0 ||
	    word32_get(&slot->settled) == word32_get(&slot->gen);
}

static void
tell_master(const struct heritage *h)
{
	if (told || slot->line < 0)
		return;
	/* its pidfd is there, also of a worker that does not come to sweep */
	if (slot->worker_pidfd >= 0 && !line_tell(slot->line, LINE_WORKER,
	    (int32_t)word32_get(&slot->pid), slot->worker_pidfd))
		return;
	told = may_open(h) && line_tell_self(slot->line);
}

static void
close_line(void)
{
	int fd = slot->line;

	slot->line = -1;
	if (fd >= 0)
		close(fd);
}

static void
lose_master(void)
{
	close_line();
	if (word_get(&slot->orphaned) == 0)
		word_set(&slot->orphaned, clock_ms());
}

/* Whoever knocks is the master from now on. */
static void
answer_door(const struct heritage *h)
{
	int fd = line_answer(slot->door, h->region.head->owner);

	if (fd < 0)
		return;
	if (!line_tell_parts(fd, &h->region)) {
		close(fd);
		return;
	}
	close_line();
	slot->line = fd;
	word_set(&slot->orphaned, 0);
	told = false;
	tell_master(h);
}

static void
take_image(uint32_t number, int fd, bool trial)
{
	int was = slot->image_fd;

	slot->image_fd = fd;
	word32_set(&slot->upgrade_next, number);
	word32_set(&slot->upgrade_trial, trial);
	if (was >= 0)
		close(was);
}

static void
read_line(void)
{
	int fd[LINE_VALUES_MAX], r;
	struct line_message m;
	size_t n, i;

	while (slot->line >= 0 && (r = line_take(slot->line, &m, fd, &n)) != 0) {
		if (r < 0) {
			lose_master();
			return;
		}
		if ((m.kind == LINE_IMAGE || m.kind == LINE_IMAGE_BACK) && n == 1) {
			take_image((uint32_t)m.value[0], fd[0], m.kind == LINE_IMAGE);
			continue;
		}
		for (i = 0; i < n; i++)
			close(fd[i]);
	}
}

/* Without a master for too long: the slot ends as by QUIT. */
static void
end_orphan(const struct heritage *h)
{
	static struct settings s;
	uint64_t since = word_get(&slot->orphaned), now = clock_ms();
	struct region_head *head = h->region.head;
	enum slot_order was = (enum slot_order)word32_get(&slot->order);

	if (since == 0 || now - since < 100)
		return;
	region_settings_get(&h->region, &s);
	if (now - since < s.orphan_timeout)
		return;
	word32_set(&head->draining, 1);
	word32_set(&head->stopping, 1);
	if (now - since - s.orphan_timeout < s.graceful_timeout) {
		if (was < ORDER_DRAIN)
			word32_set(&slot->order, ORDER_DRAIN);
		return;
	}
	if (was != ORDER_STOP)
		word32_set(&slot->order, ORDER_STOP);
	if (now - since - s.orphan_timeout - s.graceful_timeout > STOP_MS &&
	    slot->worker_pidfd >= 0)
		syscall(SYS_pidfd_send_signal, slot->worker_pidfd, SIGKILL, NULL, 0);
}

/* Waits for the worker's end, at most `ms` (-1: for ever), and attends to the master. */
static bool
attend(const struct heritage *h, int worker, int ms)
{
	struct pollfd p[] = {
		{ .fd = worker, .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
	};
	bool open = may_open(h);

	if (open) {
		p[1].fd = slot->line;
		p[2].fd = slot->door;
	}
	if ((!open || (!told && slot->line >= 0)) && (ms < 0 || ms > AGAIN_MS))
		ms = AGAIN_MS;
	else if (slot->line < 0 && (ms < 0 || ms > ORPHAN_MS))
		ms = ORPHAN_MS;
	if (poll(p, 3, ms) < 0)
		return false;
	if (p[1].revents != 0)
		read_line();
	if (p[2].revents != 0)
		answer_door(h);
	tell_master(h);
	end_orphan(h);
	return p[0].revents != 0;
}

/* ---- the worker ---- */

static pid_t
clone_worker(struct heritage *h)
{
	pid_t pid, me = getpid();

	word32_set(&slot->signal, 0);
	word32_set(&slot->left, 0);
	told = false;
	pid = clone_here(h->keeper ? CLONE_FILES : 0, &slot->worker_pidfd);
	if (pid == 0) {
		if (!h->keeper)		/* nobody could go on with what it has */
			process_die_with_parent(me);
		process_signals();
		h->run_worker(h);
	}
	if (pid > 0)
		word32_set(&slot->pid, (uint32_t)pid);
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

/* Faults and early exits slow the next start down; a kill from outside never does. */
static void
back_off(const struct heritage *h, enum slot_death d)
{
	uint64_t now = clock_ms(), oldest;

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
	while (clock_ms() < now + backoff_ms && word32_get(&slot->order) != ORDER_STOP)
		attend(h, -1, 50);
	word_set(&slot->backoff_until, 0);
}

/* ---- another program ---- */

static void
keep_open(int fd)
{
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFD);

	if (flags >= 0 && (flags & FD_CLOEXEC) != 0)
		fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
}

/* All that the region names goes through execveat(). */
static void
keep_table_open(const struct heritage *h)
{
	static int fd[TABLE_MAX];
	struct conn *conns = region_conns(&h->region, h->slot);
	uint32_t i, used = (uint32_t)word_get(&slot->conns_used);
	size_t n = table_common(&h->region, fd), k;

	n += table_own(slot, fd + n);
	for (k = 0; k < n; k++)
		keep_open(fd[k]);
	for (i = 0; i < used && i < h->region.caps.conns; i++)
		if ((word32_get(&conns[i].state) & CONN_LIFE_MASK) != CONN_FREE)
			keep_open(conns[i].fd);
}

/* Returns if it cannot be done. */
static void
become(const struct heritage *h, int image)
{
	char keeper[32], region[32];
	char *argv[] = { "plenumd", keeper, region, NULL };

	snprintf(keeper, sizeof keeper, "--keeper=%u", h->slot);
	snprintf(region, sizeof region, "--region=%d", h->region.fd);
	keep_table_open(h);
	wake_flush(&self);
	image_exec(image, argv);
	log_error("cannot execute the program: %s", strerror(errno));
}

static void
replace_fd(_Atomic int32_t *word, int fd)
{
	int was = *word;

	*word = fd;
	if (was >= 0)
		close(was);
}

/* The worker has left for it. */
static void
upgrade(const struct heritage *h, const struct settings *s)
{
	uint32_t was = word32_get(&slot->upgrade);

	read_line();
	word32_set(&slot->order, ORDER_RUN);
	if (slot->image_fd < 0)
		return;
	replace_fd(&slot->old_fd, image_self());
	word_set(&slot->trial_until, word32_get(&slot->upgrade_trial) != 0 ?
	    clock_ms() + s->upgrade_grace : 0);
	word32_set(&slot->upgrade, word32_get(&slot->upgrade_next));
	become(h, slot->image_fd);
	word32_set(&slot->upgrade, was);
	word_set(&slot->trial_until, 0);
	word32_set(&slot->upgrade_failed, word32_get(&slot->upgrade_next));
	replace_fd(&slot->image_fd, -1);
}

/* A worker of a new program has failed. */
static void
go_back(const struct heritage *h, enum slot_death d)
{
	if (clock_ms() >= word_get(&slot->trial_until) || slot->old_fd < 0 ||
	    (d != DEATH_FAULT && d != DEATH_EXIT && d != DEATH_STUCK))
		return;
	log_error("a worker of the new program failed, going back to the one before slot=%u",
	    h->slot);
	word_set(&slot->trial_until, 0);
	word32_set(&slot->upgrade_failed, word32_get(&slot->upgrade));
	become(h, slot->old_fd);
}

static void
bury(struct heritage *h, bool known, int status)
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
		log_info("worker ended as planned slot=%u pid=%u", h->slot,
		    word32_get(&slot->pid));
	else
		log_notice("worker died, an heir follows slot=%u pid=%u reason=%s signal=%d",
		    h->slot, word32_get(&slot->pid), slot_death_name(d), sig);
	wake_flush(&self);
	go_back(h, d);
	back_off(h, d);
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
wait_worker(const struct heritage *h, int *status)
{
	int fd = slot->worker_pidfd;
	pid_t pid;

	while (!attend(h, fd, -1))
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
	static struct settings s;
	int status = 0;
	bool known;

	for (;;) {
		if (slot->worker_pidfd < 0 && clone_worker(h) < 0) {
			attend(h, -1, 100);
			continue;
		}
		tell_master(h);
		known = wait_worker(h, &status);
		h->fresh = !h->keeper;
		/* its log ring and eventfd are ours to use until the heir starts */
		writer_open(&self, &h->region, h->slot);
		region_settings_get(&h->region, &s);
		log_open(&self, (enum settings_log_level)s.log_level);
		if (is_over())
			break;
		bury(h, known, status);
		if (word32_get(&slot->order) == ORDER_STOP)
			break;
		if (word32_get(&slot->order) == ORDER_EXEC)
			upgrade(h, &s);
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
	process_signals();
	process_title("keeper %u", h->slot);
	process_drop(h);
	slot->worker_pidfd = slot->keeper_pidfd = slot->client_epoll = -1;
	slot->image_fd = slot->old_fd = -1;
	close_foreign(h);
	grow_table();
	slot->client_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (slot->client_epoll < 0)
		fatal("epoll: %s", strerror(errno));
	word32_set(&slot->keeper, (uint32_t)getpid());
	word_set(&slot->image, h->image);
	word_set(&slot->trial_until, 0);
	h->fresh = true;
	word32_set(&slot->gen, word32_get(&slot->gen) + 1);
	keep(h);
}

void
keeper_resume(struct heritage *h)
{
	slot = region_slot(&h->region, h->slot);
	process_title("keeper %u", h->slot);
	process_signals();
	word_set(&slot->image, h->image);
	slot->worker_pidfd = -1;
	replace_fd(&slot->image_fd, -1);
	h->fresh = !h->keeper;
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
	told = false;
	word32_set(&slot->keeper, (uint32_t)getpid());
	keep(h);
}
