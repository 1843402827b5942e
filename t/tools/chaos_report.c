/*
 * Memory grows with the first deaths, because a keeper that a worker started has a copy of that
 * worker's memory, and so has its heir. There is a bound to that for each slot; and in a run that
 * is long enough for all to have been replaced by its middle, it is not more at the end than then,
 * but for what varies from look to look: a leak of a page per death would show.
 */
#include "t/tools/chaos_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	MEMORY_PERCENT = 25,
	MEMORY_SLACK_KIB = 2048,
	NEW_SLOTS_KIB = 2 * 10 * 1024,	/* arena and frames of two, see chaos.c */
	SLOT_KIB = 5120,
	LONG_S = 60
};

static const char *const must_be_none[] = {
	"closed", "resets", "refused", "timed_out", "http_failed", "lost", "doubled", "reordered",
	"torn", "gaps", "stalled"
};

static uint64_t
figure(const struct chaos *c, const char *name)
{
	return crowd_child_figure(&c->crowd, name);
}

static bool
has_grown(uint64_t before, uint64_t after, uint64_t slack)
{
	return after > before + before * MEMORY_PERCENT / 100 + slack;
}

static void
judge_memory(struct chaos *c, const struct chaos_report *r)
{
	const struct server_memory *w = &r->warm.memory, *m = &r->middle.memory;
	const struct server_memory *a = &r->after.memory;
	/* a slot that is in service for the first time touches memory of its own */
	uint64_t slack = MEMORY_SLACK_KIB + (c->o.plan.with[CHAOS_WORKERS] ? NEW_SLOTS_KIB : 0);

	if (has_grown(w->private_kib, a->private_kib, c->server.workers * SLOT_KIB) ||
	    (c->o.seconds >= LONG_S && has_grown(m->private_kib, a->private_kib,
	    MEMORY_SLACK_KIB)))
		chaos_violation(c, "memory grows: %" PRIu64 " KiB when warm, %" PRIu64
		    " in the middle, %" PRIu64 " at the end", w->private_kib, m->private_kib,
		    a->private_kib);
	if (c->o.seconds >= LONG_S && has_grown(m->region_kib, a->region_kib, slack))
		chaos_violation(c, "the region grows: %" PRIu64 " KiB in the middle, %" PRIu64
		    " at the end", m->region_kib, a->region_kib);
	if (r->left.connections != 0)
		chaos_violation(c, "%" PRIu64 " connections are left without a client",
		    r->left.connections);
	if (r->left.tables.slots != r->before.tables.slots ||
	    r->left.tables.master != r->before.tables.master ||
	    r->left.tables.logger != r->before.tables.logger)
		chaos_violation(c, "descriptors of slots, master, logger: %" PRIu64 " %" PRIu64
		    " %" PRIu64 " before, %" PRIu64 " %" PRIu64 " %" PRIu64 " behind",
		    r->before.tables.slots, r->before.tables.master, r->before.tables.logger,
		    r->left.tables.slots, r->left.tables.master, r->left.tables.logger);
}

/* The deaths that nobody of us was the cause of. */
/* One whose master was killed on the way is finished by the next; one at a time is under way. */
static void
judge_upgrades(struct chaos *c)
{
	unsigned n = server_log_count(&c->server, "the master follows");

	if (n + 2 * c->done[CHAOS_MASTER] < c->done[CHAOS_UPGRADE])
		chaos_violation(c, "%u upgrades were ordered, %u were finished",
		    c->done[CHAOS_UPGRADE], n);
	if (server_log_count(&c->server, "upgrade given up") != 0)
		chaos_violation(c, "an upgrade was given up");
}

static void
judge_deaths(struct chaos *c)
{
	unsigned gone = server_log_count(&c->server, "the slot's connections are gone");

	if (c->deaths[1] + c->deaths[2] != 0)
		chaos_violation(c, "%" PRIu64 " workers ended by a fault, %" PRIu64
		    " by themselves", c->deaths[1], c->deaths[2]);
	if (c->deaths[3] > c->done[CHAOS_STOP])
		chaos_violation(c, "%" PRIu64 " workers were ended as stuck, %u were stopped",
		    c->deaths[3], c->done[CHAOS_STOP]);
	if (gone > c->done[CHAOS_BOTH])
		chaos_violation(c, "%u slots were lost, %u of them on purpose", gone,
		    c->done[CHAOS_BOTH]);
	if (!c->o.plan.with[CHAOS_MASTER] && c->deaths[3] < c->done[CHAOS_STOP])
		chaos_violation(c, "%u workers were stopped, %" PRIu64 " were ended as stuck",
		    c->done[CHAOS_STOP], c->deaths[3]);
}

void
chaos_judge(struct chaos *c, const struct chaos_report *r)
{
	unsigned i;

	if (r->took_ms == 0)
		return;			/* it did not come to that */
	judge_memory(c, r);
	judge_upgrades(c);
	judge_deaths(c);
	for (i = 0; i < sizeof must_be_none / sizeof must_be_none[0]; i++)
		if (figure(c, must_be_none[i]) != 0)
			chaos_violation(c, "%" PRIu64 " %s", figure(c, must_be_none[i]),
			    must_be_none[i]);
	if (c->storm.connects != c->storm.served)
		chaos_violation(c, "%" PRIu64 " of %" PRIu64 " connects of the storms were served",
		    c->storm.served, c->storm.connects);
	if (figure(c, "deliveries") == 0 || figure(c, "http") == 0)
		chaos_violation(c, "nothing was delivered");
}

/* --- the summary --- */

static void
print_done(const struct chaos *c)
{
	const char *comma = "";

	printf("done        ");
	for (int a = 0; a < CHAOS_ACTION_COUNT; a++) {
		if (!c->o.plan.with[a])
			continue;
		printf("%s%u %s", comma, c->done[a], chaos_action_words((enum chaos_action)a));
		comma = ", ";
	}
	printf("\n            the latest step was %" PRIu64 " ms late, as its victim had to be "
	    "whole again first\n", c->late_ms);
}

static void
print_crowd(const struct chaos *c, double seconds)
{
	printf("served      %" PRIu64 " connections, %" PRIu64 " events published, %" PRIu64
	    " delivered (%.0f/s), %" PRIu64 " answers by HTTP (%.0f/s)\n",
	    figure(c, "connections"), figure(c, "published"), figure(c, "deliveries"),
	    (double)figure(c, "deliveries") / seconds, figure(c, "http"),
	    (double)figure(c, "http") / seconds);
	printf("noticed     %" PRIu64 " sockets closed, %" PRIu64 " reset, %" PRIu64
	    " refused, %" PRIu64 " timed out, %" PRIu64 " requests failed\n", figure(c, "closed"),
	    figure(c, "resets"), figure(c, "refused"), figure(c, "timed_out"),
	    figure(c, "http_failed"));
	printf("            %" PRIu64 " events lost, %" PRIu64 " doubled, %" PRIu64
	    " out of order, %" PRIu64 " torn, %" PRIu64 " gaps\n", figure(c, "lost"),
	    figure(c, "doubled"), figure(c, "reordered"), figure(c, "torn"), figure(c, "gaps"));
	printf("            longest pause of a client that was owed something %.1f ms; delivery "
	    "%.1f ms (99 in 100)\n", (double)figure(c, "pause_max_us") / 1e3,
	    (double)figure(c, "p99_us") / 1e3);
	printf("storms      %" PRIu64 " connects, %" PRIu64 " served, %" PRIu64 " refused, %" PRIu64
	    " reset, %" PRIu64 " timed out, %" PRIu64 " failed; the slowest %" PRIu64 " ms\n",
	    c->storm.connects, c->storm.served, c->storm.refused, c->storm.resets,
	    c->storm.timed_out, c->storm.failed, c->storm.slowest_ms);
	printf("apart       of slots lost on purpose: %" PRIu64 " connections, of which"
	    " %" PRIu64 " subscriptions resumed;\n            %" PRIu64 " requests and %" PRIu64
	    " messages without an answer\n", figure(c, "slot_lost"), figure(c, "resumed"),
	    figure(c, "slot_http"), figure(c, "unsure"));
}

static void
print_server(const struct chaos *c, const struct chaos_report *r)
{
	const struct chaos_measure *const m[] = { &r->before, &r->warm, &r->middle, &r->after,
	    &r->left };
	static const char *const when[] = { "before the crowd", "warm", "middle", "end",
	    "crowd gone" };
	unsigned i;

	printf("plenumd     deaths: %" PRIu64 " killed, %" PRIu64 " fault, %" PRIu64 " exit, %"
	    PRIu64 " stuck, %" PRIu64 " renewed; an heir's pause %.2f to %.2f ms\n", c->deaths[0],
	    c->deaths[1], c->deaths[2], c->deaths[3], c->deaths[4],
	    (double)c->pause_least / 1e3, (double)c->pause_most / 1e3);
	for (i = 0; i < sizeof m / sizeof m[0]; i++)
		printf("            %-17s private %6" PRIu64 " KiB, region %6" PRIu64
		    " KiB; descriptors: slots %5" PRIu64 " (connections %5" PRIu64
		    "), master %3" PRIu64 ", logger %3" PRIu64 "\n", when[i],
		    m[i]->memory.private_kib, m[i]->memory.region_kib, m[i]->tables.slots,
		    m[i]->connections, m[i]->tables.master, m[i]->tables.logger);
}

static double
cpu(const struct rusage *u)
{
	return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
	    (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

void
chaos_print(const struct chaos *c, const struct chaos_report *r)
{
	double seconds = (double)r->took_ms / 1e3 + c->o.warm + 2;
	struct rusage self;

	getrusage(RUSAGE_SELF, &self);
	printf("\nseed %" PRIu64 ", %.1f s, %u clients in rooms of %u\n", c->o.plan.seed,
	    (double)r->took_ms / 1e3, c->o.clients, c->o.room);
	print_done(c);
	print_crowd(c, seconds);
	print_server(c, r);
	if (getenv("CHAOS_VERBOSE") != NULL)
		printf("%s", c->crowd.text);
	printf("CPU         %.0f %% of a processor plenumd, %.0f %% the crowd, %.1f %% chaos "
	    "itself\n",
	    100 * cpu(&c->server.used) / seconds, 100 * cpu(&c->crowd.used) / seconds,
	    100 * cpu(&self) / seconds);
	if (c->violations == 0)
		printf("result      nobody noticed\n");
	else
		printf("result      %u VIOLATIONS, see above; seed %" PRIu64
		    " again, log: %s/log\n",
		    c->violations, c->o.plan.seed, c->server.dir);
}
