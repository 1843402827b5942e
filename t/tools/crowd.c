/*
 * crowd: many checking clients against one plenumd, in one process.
 *
 * A run has three phases.  Everybody connects and subscribes; then `ready` is printed, and for the
 * given seconds publishers publish while whatever the caller does to the server happens; then
 * nobody publishes any more, everything owed must arrive, and the server's own account of each
 * channel is compared.  The last line says what happened; the exit status is 0 only if nothing
 * was wrong.  Other modes (--storm, --idle, --create) stand in modes.c.
 */
#include "t/tools/crowd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "t/tools/client.h"
#include "t/tools/lost.h"
#include "t/tools/oracle.h"
#include "t/tools/publishers.h"
#include "t/tools/subscribers.h"

enum { PENDING_MAX = 128 };		/* connections on their way at a time */

#define IDLE_NS	4000000000u

enum crowd_phase crowd_phase;

static uint64_t random_state;

bool
watch_is_stalled(struct watch *w, bool owed, uint64_t progress, uint64_t now)
{
	if (!owed || progress != w->progress || w->since == 0) {
		w->progress = progress;
		w->since = now;
		return false;
	}
	if (now - w->since < (uint64_t)(opt.stall * 1e9))
		return false;
	w->since = now;
	tally.stalled++;
	return true;
}

void
crowd_closed(const char *role, int id, int code, const char *why)
{
	tally.closed++;
	if (strcmp(why, strerror(ECONNRESET)) == 0)
		tally.resets++;
	else if (strcmp(why, strerror(ECONNREFUSED)) == 0)
		tally.refused++;
	else if (strcmp(why, strerror(ETIMEDOUT)) == 0)
		tally.timed_out++;
	oracle_violation("%s %d: closed, %d: %s", role, id, code, why);
}

bool
crowd_is_idle_close(uint64_t last_rx, const char *why)
{
	return strcmp(why, "end of file") == 0 && client_now() - last_rx > IDLE_NS;
}

uint32_t
crowd_random(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % n;
}

int
crowd_next_id(void)
{
	static int id;

	return id++;
}

/* --- the usual run --- */

static void
tick_all(void)
{
	uint64_t now = client_now();

	publishers_tick(now);
	subscribers_tick(now);
	sse_tick(now);
	churn_tick(now);
	getters_tick(now);
}

static bool
connect_all(void)
{
	uint64_t deadline = client_now() + (uint64_t)(opt.connect * 1e9);

	while (client_now() < deadline) {
		while (client_pending() < PENDING_MAX && (subscribers_open_next() ||
		    sse_open_next() || publishers_open_next()))
			;
		client_poll(10);
		subscribers_tick(client_now());
		if (subscribers_are_ready() && sse_are_ready() && publishers_are_ready())
			return true;
	}
	oracle_violation("not everybody got in within %g s", opt.connect);
	return false;
}

static void
run_for(double seconds)
{
	uint64_t end = client_now() + (uint64_t)(seconds * 1e9);

	while (client_now() < end && (!opt.commands || lost_tick(client_now()))) {
		client_poll(1);
		tick_all();
	}
}

static bool
is_settled(void)
{
	return publishers_are_settled() && subscribers_are_settled() && sse_are_settled() &&
	    churn_is_settled() && getters_are_settled();
}

static void
drain(void)
{
	uint64_t end = client_now() + (uint64_t)(opt.drain * 1e9);

	crowd_phase = CROWD_DRAIN;
	while (client_now() < end && !is_settled()) {
		client_poll(2);
		tick_all();
	}
	/* what should not come at all gets a moment to do so */
	for (end = client_now() + 200000000u; client_now() < end;)
		client_poll(10);
}

static int
usual_run(void)
{
	if (opt.commands)
		lost_begin();
	publishers_new();
	subscribers_new();
	sse_new();
	churn_new();
	getters_new();
	if (connect_all()) {
		printf("ready\n");
		fflush(stdout);
		crowd_phase = CROWD_RUN;
		publishers_start(client_now());
		run_for(opt.seconds);
		drain();
		audit_channels();
	}
	subscribers_finish();
	sse_finish();
	publishers_finish();
	getters_finish();
	oracle_final_walk();
	return oracle_summary(client_opened());
}

static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int
main(int argc, char **argv)
{
	struct oracle_setup setup;

	crowd_read_options(argc, argv);
	raise_limit();
	random_state = (uint64_t)opt.seed;
	setup = (struct oracle_setup){
		.channels = opt.create > 0 ? opt.rounds : opt.channels > 0 ? opt.channels : 1,
		.publishers = opt.create > 0 ? opt.create * opt.rounds :
		    opt.ws_publishers + opt.http_publishers,
		.size_min = opt.size_min, .size_max = opt.size_max,
		.strict_gap = opt.strict_gap, .seed = (uint64_t)opt.seed,
	};
	oracle_setup(&setup);
	client_setup(opt.host, opt.port, opt.headers);
	if (opt.storm > 0)
		return mode_storm();
	if (opt.idle > 0)
		return mode_idle();
	if (opt.create > 0)
		return mode_create();
	return usual_run();
}
