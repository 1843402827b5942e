/*
 * The actions. Keeper and worker of a slot replace each other, so one of them must be there: a
 * victim is killed only when both of its slot run and no order is pending for it, because a reload
 * ends the worker, too. Who is not whole yet is waited for; a slot that does not become whole is a
 * violation.
 *
 * To kill both, the worker is stopped first: from then on it accepts nobody, so the sockets of the
 * slot's table are those whose clients will notice, and the crowd is told which.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "t/tools/chaos.h"

enum { WHOLE_MS = 10000, LOOK_MS = 5, PORTS_MAX = 1 << 16, STORM_MS = 60000 };

void
chaos_violation(struct chaos *c, const char *fmt, ...)
{
	va_list ap;

	if (c->violations++ >= VIOLATIONS_TOLD)
		return;
	fputs("chaos: ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* --- looking --- */

static void
note_pause(struct chaos *c, unsigned i, const struct server_slot *slot)
{
	if (slot->generation == c->generation[i] || !slot->alive)
		return;
	c->generation[i] = slot->generation;
	if (slot->pause_us == 0)
		return;
	if (c->pause_least == 0 || slot->pause_us < c->pause_least)
		c->pause_least = slot->pause_us;
	if (slot->pause_us > c->pause_most)
		c->pause_most = slot->pause_us;
}

bool
chaos_look(struct chaos *c, struct server_state *st)
{
	unsigned i;

	if (!server_look(&c->server, st))
		return false;
	memset(c->deaths, 0, sizeof c->deaths);
	for (i = 0; i < st->nslots; i++) {
		const struct server_slot *slot = &st->slot[i];

		note_pause(c, i, slot);
		c->deaths[0] += slot->killed;
		c->deaths[1] += slot->fault;
		c->deaths[2] += slot->exit;
		c->deaths[3] += slot->stuck;
		c->deaths[4] += slot->renewed;
	}
	return true;
}

static bool
is_whole(const struct server_state *st, unsigned i)
{
	/* a worker that was stopped and is being ended may look as if it ran, but does not beat */
	return i < st->nslots && st->slot[i].runs && st->slot[i].alive &&
	    process_is_well(st->slot[i].keeper) && process_is_well(st->slot[i].worker);
}

static bool
wait_slot(struct chaos *c, struct server_state *st, unsigned i)
{
	uint64_t end = now_ms() + WHOLE_MS;

	do {
		if (chaos_look(c, st) && is_whole(st, i))
			return true;
		sleep_ms(LOOK_MS);
	} while (now_ms() < end);
	chaos_violation(c, "slot %u does not become whole", i);
	return false;
}

bool
chaos_wait_whole(struct chaos *c, struct server_state *st, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	unsigned i;

	do {
		if (chaos_look(c, st) && st->serving) {
			for (i = 0; i < st->nslots && is_whole(st, i); i++)
				;
			if (i == st->nslots && process_is_well(st->logger))
				return true;
		}
		sleep_ms(LOOK_MS);
	} while (now_ms() < end);
	return false;
}

/* --- kills --- */

/* The next step may be for the same slot: it must not take a dying process for a living one. */
static bool
signal_and_see(pid_t pid, int sig)
{
	if (kill(pid, sig) != 0)
		return false;
	while (process_is_well(pid))
		sleep_ms(1);
	return true;
}

static bool
kill_worker(struct chaos *c, const struct chaos_step *s)
{
	struct server_state st;

	return wait_slot(c, &st, s->arg) &&
	    signal_and_see(st.slot[s->arg].worker, SIGKILL);
}

static bool
kill_keeper(struct chaos *c, const struct chaos_step *s)
{
	struct server_state st;

	return wait_slot(c, &st, s->arg) &&
	    signal_and_see(st.slot[s->arg].keeper, SIGKILL);
}

static bool
stop_worker(struct chaos *c, const struct chaos_step *s)
{
	struct server_state st;

	return wait_slot(c, &st, s->arg) &&
	    signal_and_see(st.slot[s->arg].worker, SIGSTOP);
}

static bool
kill_both(struct chaos *c, const struct chaos_step *s)
{
	static uint16_t port[PORTS_MAX];
	struct server_state st;
	size_t n;

	while (chaos_storm_poll(c))	/* its connections would be lost as well */
		sleep_ms(LOOK_MS);
	if (!wait_slot(c, &st, s->arg) || !signal_and_see(st.slot[s->arg].worker, SIGSTOP))
		return false;
	n = server_ports(&c->server, st.slot[s->arg].keeper, port, PORTS_MAX);
	if (c->crowd.pid > 0 && !crowd_child_tell_lost(&c->crowd, port, n))
		chaos_violation(c, "the crowd does not listen");
	kill(st.slot[s->arg].keeper, SIGKILL);
	return signal_and_see(st.slot[s->arg].worker, SIGKILL);
}

static bool
kill_logger(struct chaos *c, const struct chaos_step *s)
{
	struct server_state st;
	uint64_t end = now_ms() + WHOLE_MS;

	(void)s;
	do {
		if (chaos_look(c, &st) && process_is_well(st.logger))
			return signal_and_see(st.logger, SIGKILL);
		sleep_ms(LOOK_MS);
	} while (now_ms() < end);
	chaos_violation(c, "there is no logger");
	return false;
}

/* --- the master --- */

/* The one before must be complete: two orders in a row would be one reload. */
static bool
reload(struct chaos *c, const struct chaos_step *s)
{
	struct server_state st;
	uint64_t before, end;

	(void)s;
	if (!chaos_wait_whole(c, &st, WHOLE_MS)) {
		chaos_violation(c, "the last reload is not complete");
		return false;
	}
	before = st.snapshot;
	if (kill(st.master, SIGHUP) != 0)
		return false;
	for (end = now_ms() + WHOLE_MS; now_ms() < end; sleep_ms(LOOK_MS))
		if (chaos_look(c, &st) && st.snapshot != before)
			return true;
	chaos_violation(c, "a reload was not begun");
	return false;
}

static bool
change_workers(struct chaos *c, const struct chaos_step *s)
{
	struct server_state st;
	uint64_t end;

	if (!server_write_conf(&c->server, s->arg) || !reload(c, s))
		return false;
	for (end = now_ms() + WHOLE_MS; now_ms() < end; sleep_ms(LOOK_MS))
		if (chaos_look(c, &st) && st.nslots == s->arg)
			return chaos_wait_whole(c, &st, WHOLE_MS);
	chaos_violation(c, "%u workers were ordered, there are %u", s->arg, st.nslots);
	return false;
}

/* It goes on beside what follows; the log tells at the end how many came to theirs. */
static bool
upgrade(struct chaos *c, const struct chaos_step *s)
{
	pid_t pid = server_pid(&c->server);

	(void)s;
	return pid > 0 && kill(pid, SIGUSR2) == 0;
}

static bool
kill_master(struct chaos *c, const struct chaos_step *s)
{
	pid_t pid = server_pid(&c->server);
	uint64_t end = now_ms() + WHOLE_MS;

	(void)s;
	if (pid <= 0 || kill(pid, SIGKILL) != 0)
		return false;
	while (process_is_well(pid) && now_ms() < end)
		sleep_ms(1);
	server_reap(&c->server);
	if (server_start(&c->server))
		return true;
	chaos_violation(c, "plenumd does not serve again after its master was killed");
	return false;
}

/* --- storms --- */

bool
chaos_storm_poll(struct chaos *c)
{
	struct storms *t = &c->storm;
	struct crowd_child *child = &t->child;

	if (child->pid <= 0 || crowd_child_poll(child))
		return child->pid > 0;
	t->served += crowd_child_figure(child, "served");
	t->refused += crowd_child_figure(child, "refused");
	t->resets += crowd_child_figure(child, "resets");
	t->timed_out += crowd_child_figure(child, "timed_out");
	t->failed += crowd_child_figure(child, "http_failed");
	if (crowd_child_figure(child, "slowest_ms") > t->slowest_ms)
		t->slowest_ms = crowd_child_figure(child, "slowest_ms");
	if (child->status != 0)
		chaos_violation(c, "a storm was not served:\n%s", child->text);
	return false;
}

static bool
storm(struct chaos *c, const struct chaos_step *s)
{
	char port[16], count[16];
	const char *argv[] = { c->o.crowd, "--port", port, "--storm", count, "--connect", "20",
		NULL };

	snprintf(port, sizeof port, "%u", c->server.port);
	snprintf(count, sizeof count, "%u", s->arg);
	while (chaos_storm_poll(c))
		sleep_ms(LOOK_MS);
	c->storm.connects += s->arg;
	return crowd_child_start(&c->storm.child, argv);
}

/* --- the table --- */

static bool (*const acts[CHAOS_ACTION_COUNT])(struct chaos *c, const struct chaos_step *s) = {
	[CHAOS_WORKER] = kill_worker,
	[CHAOS_KEEPER] = kill_keeper,
	[CHAOS_BOTH] = kill_both,
	[CHAOS_STOP] = stop_worker,
	[CHAOS_RELOAD] = reload,
	[CHAOS_LOGGER] = kill_logger,
	[CHAOS_STORM] = storm,
	[CHAOS_UPGRADE] = upgrade,
	[CHAOS_MASTER] = kill_master,
	[CHAOS_WORKERS] = change_workers,
};

void
chaos_act(struct chaos *c, const struct chaos_step *s)
{
	char text[64];

	if (acts[s->action](c, s)) {
		c->done[s->action]++;
		return;
	}
	chaos_plan_print(s, text, sizeof text);
	chaos_violation(c, "at %u.%03u s: not done: %s", s->ms / 1000, s->ms % 1000, text);
}
