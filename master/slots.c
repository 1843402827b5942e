/*
 * Keeper and worker of a slot replace each other; the master starts a keeper only for a slot of
 * which nothing is left, as the slot's line tells. Over the line come the pidfds of both, from
 * whoever they were started and whose children they are. Numbers are for people.
 */
#define _GNU_SOURCE
#include "master/slots.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/keeper.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "master/master_priv.h"
#include "master/serve.h"
#include "shm/dirty.h"

static struct slot *
slot_of(const struct master *m, unsigned i)
{
	return region_slot(&m->h.region, i);
}

void
slots_init(struct master *m)
{
	unsigned i;

	for (i = 0; i < WORKERS_MAX; i++) {
		child_init(&m->slot[i].keeper);
		m->slot[i].worker = -1;
	}
}

/* What a keeper and its worker left in words that the next keeper does not set by itself. */
static void
clean_words(struct slot *s)
{
	word32_set(&s->pid, 0);
	word32_set(&s->keeper, 0);
	word32_set(&s->stuck, 0);
	word_set(&s->backoff_until, 0);
	word_set(&s->orphaned, 0);
	if (word32_get(&s->order) != ORDER_RUN)
		word32_set(&s->order, ORDER_RUN);
}

static void
cannot_start(struct master *m, unsigned i)
{
	log_error("cannot start a keeper slot=%u: %s", i, strerror(errno));
	m->slot[i].keeper.start_at = clock_ms() + 1000;
}

static void
start_keeper(struct master *m, unsigned i)
{
	struct child *k = &m->slot[i].keeper;
	struct slot *slot = slot_of(m, i);
	char path[RUNDIR_MAX + 32];
	sigset_t all, old;
	pid_t pid;

	clean_words(slot);
	m->slot[i].settled = false;
	m->slot[i].started_at = clock_ms();
	line_path(path, sizeof path, m->run_dir, i);
	if (child_open(k, path, &slot->line, &slot->door) != 0) {
		cannot_start(m, i);
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
	child_forked(k, pid);
	if (pid < 0)
		cannot_start(m, i);
}

static void
take_keeper(struct child *k, unsigned i, int32_t pid, int pidfd)
{
	if (k->pid > 0 && k->pid != pid)
		log_notice("keeper died, its worker started another slot=%u pid=%d", i, (int)pid);
	if (k->pidfd >= 0)
		close(k->pidfd);
	k->pid = pid;
	k->pidfd = pidfd;
	k->reaped = false;
}

static void
take_worker(struct slot_state *s, int32_t pid, int pidfd)
{
	if (s->worker >= 0)
		close(s->worker);
	s->worker = pidfd;
	s->ending = s->ending && pidfd >= 0 && pid == s->worker_pid;
	s->worker_pid = pid;
}

/* Keeper and worker are gone. */
static void
lose_slot(struct master *m, unsigned i)
{
	struct slot_state *s = &m->slot[i];
	struct slot *slot = slot_of(m, i);
	uint64_t now = clock_ms();

	take_worker(s, 0, -1);
	if (m->phase > PHASE_SERVE) {
		s->over = true;
		return;
	}
	if (word32_get(&slot->order) == ORDER_CLOSE && word32_get(&slot->left) != 0) {
		log_notice("slot is closed slot=%u", i);
		clean_words(slot);
		return;
	}
	word_set(&slot->died_us, clock_us());
	word_set(&slot->deaths[DEATH_KILLED], word_get(&slot->deaths[DEATH_KILLED]) + 1);
	s->keeper.start_at = now +
	    (child_was_killed(&s->keeper) ? 0 : backoff_next(&s->keeper.backoff, now));
	log_warning("keeper and worker died, the slot's connections are gone slot=%u", i);
}

static void
look_at_slot(struct master *m, unsigned i)
{
	struct slot_state *s = &m->slot[i];
	bool was_running = s->keeper.running;
	int32_t pid;
	int pidfd, kind;

	while ((kind = child_news(m, &s->keeper, &pid, &pidfd)) != 0)
		if (kind == LINE_KEEPER)
			take_keeper(&s->keeper, i, pid, pidfd);
		else
			take_worker(s, pid, pidfd);
	if (was_running && !s->keeper.running)
		lose_slot(m, i);
}

void
slots_tick(struct master *m)
{
	uint64_t now = clock_ms();
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++) {
		struct slot_state *s = &m->slot[i];

		look_at_slot(m, i);
		if (s->keeper.running || s->over || now < s->keeper.start_at ||
		    (m->phase <= PHASE_SERVE && !serve_wants(m, i)))
			continue;
		if (m->phase > PHASE_SERVE)
			s->over = true;
		else
			start_keeper(m, i);
	}
}

bool
slots_reaped(struct master *m, pid_t pid, int status)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (child_reaped(&m->slot[i].keeper, pid, status))
			return true;
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

	for (i = 0; i < m->h.region.caps.workers; i++) {
		/* the worker first: it would start another keeper */
		if (m->slot[i].worker >= 0)
			syscall(SYS_pidfd_send_signal, m->slot[i].worker, SIGKILL, NULL, 0);
		child_signal(&m->slot[i].keeper, SIGKILL);
	}
}

bool
slots_any_left(const struct master *m)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (m->slot[i].keeper.running)
			return true;
	return false;
}

bool
slots_all_beat(const struct master *m)
{
	unsigned i;

	for (i = 0; i < serve_count(m); i++)
		if (word_get(&slot_of(m, i)->beat) == 0 ||
		    (m->slot[i].worker < 0 && m->slot[i].started_at != 0))
			return false;
	return true;
}

void
slots_close(struct master *m)
{
	unsigned i;

	for (i = 0; i < WORKERS_MAX; i++) {
		child_close(&m->slot[i].keeper);
		take_worker(&m->slot[i], 0, -1);
	}
}

void
slots_remove_doors(const struct master *m)
{
	char path[RUNDIR_MAX + 32];
	unsigned i;

	for (i = 0; i < WORKERS_MAX; i++) {
		line_path(path, sizeof path, m->run_dir, i);
		unlink(path);
	}
}
