/*
 * Keeper and worker of a slot replace each other; the master starts a keeper only for a slot of
 * which nothing is left. That is told by a pipe: its writing end is in the slot's table and nowhere
 * else, so the kernel closes it with the last process that shares the table, and the master sees it
 * hang up. Numbers of processes are for people and signals: a slot's are those its words name, if
 * they are our children. (The master is the subreaper of its descendants, so whoever lost its
 * parent is.)
 */
#define _GNU_SOURCE
#include "master/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

/* A new pipe; its writing end is the slot's. */
static bool
open_life(struct master *m, unsigned i)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	m->slot[i].life = fd[0];
	slot_of(m, i)->life = fd[1];
	return true;
}

static void
close_life(struct master *m, unsigned i)
{
	if (m->slot[i].life > 0)
		close(m->slot[i].life);
	m->slot[i].life = 0;
}

/* Whether a process of the slot is there. */
static bool
lives(const struct master *m, unsigned i)
{
	struct pollfd p = { .fd = m->slot[i].life, .events = POLLIN };

	return m->slot[i].life > 0 && poll(&p, 1, 0) == 0;
}

static void
start_keeper(struct master *m, unsigned i)
{
	struct child *k = &m->slot[i].keeper;
	sigset_t all, old;
	pid_t pid;

	clean_words(slot_of(m, i));
	if (!open_life(m, i)) {
		log_error("cannot start a keeper slot=%u: %s", i, strerror(errno));
		k->start_at = clock_ms() + 1000;
		return;
	}
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
	close(slot_of(m, i)->life);
	if (pid < 0) {
		close_life(m, i);
		log_error("cannot start a keeper slot=%u: %s", i, strerror(errno));
		k->start_at = clock_ms() + 1000;
		return;
	}
	k->pid = pid;
}

/* A keeper died. Its worker has started another one, or is about to, or is gone as well. */
static void
look_for_keeper(struct master *m, unsigned i)
{
	struct slot_state *s = &m->slot[i];
	pid_t pid = (pid_t)word32_get(&slot_of(m, i)->keeper);
	uint64_t now = clock_ms();

	if (lives(m, i)) {
		if (pid <= 0 || pid == s->died || parent_of(pid) != getpid())
			return;
		s->orphaned = false;
		s->keeper.pid = pid;
		log_notice("keeper died, its worker started another slot=%u pid=%d", i, (int)pid);
		return;
	}
	s->orphaned = false;
	close_life(m, i);
	if (m->phase > PHASE_DRAIN)
		return;
	word_set(&slot_of(m, i)->died_us, clock_us());
	word_set(&slot_of(m, i)->deaths[DEATH_KILLED],
	    word_get(&slot_of(m, i)->deaths[DEATH_KILLED]) + 1);
	s->keeper.start_at = now + (s->killed ? 0 : backoff_next(&s->keeper.backoff, now));
	log_warning("keeper and worker died, the slot's connections are gone slot=%u", i);
}

void
slots_tick(struct master *m)
{
	uint64_t now = clock_ms();
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++) {
		struct slot_state *s = &m->slot[i];

		if (s->orphaned)
			look_for_keeper(m, i);
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
			close_life(m, i);
			return true;
		}
		s->orphaned = true;
		s->died = pid;
		s->killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		log_debug("keeper ended slot=%u pid=%d status=%d", i, (int)pid, status);
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
	int fd;

	for (i = 0; i < m->h.region.caps.workers; i++) {
		/* the worker first: it would start another keeper */
		fd = slots_worker_pidfd(m, i);
		if (fd >= 0) {
			syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
			close(fd);
		}
		if (m->slot[i].keeper.pid != 0)
			kill(m->slot[i].keeper.pid, SIGKILL);
	}
}

bool
slots_any_left(const struct master *m)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (m->slot[i].keeper.pid != 0 || m->slot[i].orphaned || lives(m, i))
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

int
slots_worker_pidfd(const struct master *m, unsigned slot)
{
	pid_t pid = (pid_t)word32_get(&slot_of(m, slot)->pid);
	pid_t keeper = m->slot[slot].keeper.pid;
	int fd;

	pid_t parent;

	if (pid <= 0)
		return -1;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	parent = parent_of(pid);
	if (fd >= 0 && ((keeper != 0 && parent == keeper) || parent == getpid()))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}
