/*
 * A worker ends with its keeper, by PR_SET_PDEATHSIG, but a little later; a new keeper must not run
 * beside it. The master is the subreaper of its descendants, so such an orphan becomes its child,
 * and waitpid() with its number says exactly whether it is still there: a number that was given to
 * a process that is not ours is ECHILD.
 */
#define _GNU_SOURCE
#include "master/slots.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/keeper.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "master/master_priv.h"
#include "shm/dirty.h"

static struct slot *
slot_of(const struct master *m, unsigned i)
{
	return region_slot(&m->h.region, i);
}

/* What a keeper and its worker left in words that the next keeper does not set by itself. */
static void
clean_words(struct slot *s)
{
	word32_set(&s->pid, 0);
	word32_set(&s->keeper, 0);
	word32_set(&s->stuck, 0);
	word_set(&s->backoff_until, 0);
	if (word32_get(&s->order) == ORDER_RENEW)
		word32_set(&s->order, ORDER_RUN);
}

static void
start_keeper(struct master *m, unsigned i)
{
	struct child *k = &m->slot[i].keeper;
	sigset_t all, old;
	pid_t pid;

	clean_words(slot_of(m, i));
	fflush(NULL);
	/* until the child has handlers of its own: ours would act on what is shared */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0) {
		m->h.slot = i;
		log_close();
		keeper_run(&m->h);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0) {
		log_error("cannot start a keeper slot=%u: %s", i, strerror(errno));
		k->start_at = clock_ms() + 1000;
		return;
	}
	k->pid = pid;
}

/* A worker whose keeper died. True: it is gone. */
static bool
orphan_is_gone(struct master *m, unsigned i)
{
	pid_t pid = (pid_t)word32_get(&slot_of(m, i)->pid);

	if (pid <= 0 || waitpid(pid, NULL, WNOHANG) != 0)
		return true;
	kill(pid, SIGKILL);
	return false;
}

void
slots_tick(struct master *m)
{
	uint64_t now = clock_ms();
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++) {
		struct slot_state *s = &m->slot[i];

		if (s->orphaned && orphan_is_gone(m, i))
			s->orphaned = false;
		if (s->keeper.pid != 0 || s->orphaned || s->over || now < s->keeper.start_at)
			continue;
		if (m->phase > PHASE_SERVE)
			s->over = true;
		else
			start_keeper(m, i);
	}
}

static bool
is_planned(const struct master *m, int status)
{
	return m->phase > PHASE_SERVE && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void
bury_keeper(struct master *m, unsigned i, pid_t pid, int status)
{
	struct slot *s = slot_of(m, i);
	struct child *k = &m->slot[i].keeper;
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	uint64_t now = clock_ms();

	word_set(&s->died_us, clock_us());
	word_set(&s->deaths[DEATH_KILLED], word_get(&s->deaths[DEATH_KILLED]) + 1);
	k->start_at = now + (killed ? 0 : backoff_next(&k->backoff, now));
	log_warning("keeper died, its slot's connections are gone slot=%u pid=%d %s=%d", i,
	    (int)pid, WIFSIGNALED(status) ? "signal" : "status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

bool
slots_reaped(struct master *m, pid_t pid, int status)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++) {
		struct slot_state *s = &m->slot[i];

		if (s->keeper.pid != pid)
			continue;
		s->keeper.pid = 0;
		if (is_planned(m, status)) {
			s->over = true;
			return true;
		}
		s->orphaned = true;
		if (m->phase <= PHASE_DRAIN)
			bury_keeper(m, i, pid, status);
		return true;
	}
	return false;
}

void
slots_order(struct master *m, unsigned slot, enum slot_order order)
{
	struct slot *s = slot_of(m, slot);

	if (word32_get(&s->order) != (uint32_t)order)
		word32_set(&s->order, order);
	dirty_hint(&m->w, slot, HINT_ORDER);
}

void
slots_order_all(struct master *m, enum slot_order order)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		slots_order(m, i, order);
	wake_flush(&m->w);
}

void
slots_kill(struct master *m)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (m->slot[i].keeper.pid != 0)
			kill(m->slot[i].keeper.pid, SIGKILL);
}

bool
slots_any_left(const struct master *m)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (m->slot[i].keeper.pid != 0 || m->slot[i].orphaned)
			return true;
	return false;
}

bool
slots_all_beat(const struct master *m)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (word32_get(&slot_of(m, i)->pid) == 0 || word_get(&slot_of(m, i)->beat) == 0)
			return false;
	return true;
}

/* The parent of a process, 0 if it cannot be told. */
static pid_t
parent_of(pid_t pid)
{
	char path[64], text[512], *p;
	size_t n;
	FILE *f;
	int parent;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	/* behind the name, which may hold anything: state, parent */
	p = strrchr(text, ')');
	if (p == NULL || sscanf(p + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

int
slots_worker_pidfd(const struct master *m, unsigned slot)
{
	pid_t pid = (pid_t)word32_get(&slot_of(m, slot)->pid);
	pid_t keeper = m->slot[slot].keeper.pid;
	int fd;

	if (pid <= 0 || keeper == 0)
		return -1;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd >= 0 && parent_of(pid) == keeper)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}
