#define _GNU_SOURCE
#include "t/20-stress/step_turn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/slot_layout.h"
#include "t/20-stress/step_server.h"

enum { IDLE_MS = 3000, STUCK_MS = 6000, LEAVE_MS = 50, RECORD_S = 60, SEEN = 1 << 18 };

struct turn_count turn_count;
struct turn_options turn_options;

static struct server server;
static struct oracle oracle;
static struct tracer tracer;
static const struct scene *scene;
static pid_t dead;			/* the last one that was killed */

struct oracle *
turn_oracle(void)
{
	return &oracle;
}

/* ---- the server, and the clients that stay ---- */

static void
collect(void)
{
	const struct stats *s = &server.slot->stats;

	turn_count.adopted += stat_get(s, STAT_ADOPTED);
	turn_count.taken += stat_get(s, STAT_DOUBTS_TAKEN);
	turn_count.void_ += stat_get(s, STAT_DOUBTS_VOID);
	turn_count.poisoned += stat_get(s, STAT_POISONED);
	turn_count.cuts += stat_get(s, STAT_CUTS);
	turn_count.gaps += stat_get(s, STAT_GAPS);
}

void
turn_close(void)
{
	collect();
	oracle_reset(&oracle, &server);
	server_stop(&server, getenv("KEEP") != NULL);
}

static void
start(const char *conf)
{
	char all[400];
	int r;

	snprintf(all, sizeof all, "%s%s", conf, scene->conf != NULL ? scene->conf : "");
	r = server_start(&server, turn_options.plenumd, turn_options.cpu,
	    scene->workers > 0 ? scene->workers : 1, all);
	if (r != 0) {
		if (r > 0)
			printf("step_worker: skipped, there are no keepers here\n");
		if (server.master > 0)
			server_stop(&server, r < 0);
		exit(r > 0 ? EXIT_SKIPPED : EXIT_FAILURE);
	}
	server.keys = scene->keys;
	oracle_reset(&oracle, &server);
	oracle_channel(&oracle, 0, "one", false);
	oracle_channel(&oracle, 1, "two", false);
	oracle_learn(&oracle);
	oracle.racing = turn_options.others > 0 && !scene->quiet;
	scene->start(&oracle);
	if (!oracle_drain(&oracle, 3)) {
		fprintf(
		    stderr, "step_worker: %s does not even begin: %s\n", scene->name, oracle.why);
		server_stop(&server, true);
		exit(EXIT_FAILURE);
	}
}

void
turn_open(const struct scene *s)
{
	scene = s;
	memset(&turn_count, 0, sizeof turn_count);
	start("");
}

void
turn_reopen(const char *conf)
{
	turn_close();
	start(conf);
}

/* ---- a turn ---- */

static struct {
	unsigned acts;
	double until;
} moves;

/* The clients' next move; when they wait for something in vain, it is over. */
static bool
move(void *arg)
{
	if (server_now() > moves.until || oracle.why[0] != '\0')
		return false;
	return scene->act(&oracle, moves.acts++);
}

/* The worker rests, is traced, and the scene is set. */
static bool
begin(void)
{
	enum trace r;

	scene->prepare(&oracle);
	if (oracle.why[0] != '\0' || !server_wait_idle(&server, dead, IDLE_MS)) {
		went_wrong(&oracle, WRONG_OTHER, "no worker serves");
		return false;
	}
	if (trace_attach(&tracer, &server, server_worker(&server)) != 0) {
		printf("step_worker: skipped, a worker cannot be traced: %s\n", strerror(errno));
		server_stop(&server, false);
		exit(EXIT_SKIPPED);
	}
	r = trace_to_rest(&tracer);
	moves.acts = 0;
	moves.until = server_now() + 3;
	trace_begin(&tracer, move, NULL);
	if (r == TRACE_OVER)
		return true;
	went_wrong(&oracle, WRONG_OTHER, "the worker %s", r == TRACE_DIED ? "died of itself" :
	    "never rests");
	if (r == TRACE_POINT)
		trace_detach(&tracer);
	return false;
}

/* It ended by itself, which it may if it was told so. True: as planned. */
static bool
died(const char *who)
{
	dead = tracer.pid;
	if (scene->exits && WIFEXITED(tracer.status) && WEXITSTATUS(tracer.status) == 0) {
		trace_gone(&tracer);
		return true;
	}
	went_wrong(&oracle, WRONG_OTHER, "%s died of itself, status %x, in call %u, change %u", who,
	    (unsigned)tracer.status, tracer.calls, tracer.changes);
	if (WIFSTOPPED(tracer.status))
		trace_kill(&tracer, false);
	return false;
}

/* The slot's interest in a channel is there while somebody here subscribes to it. */
static bool
interest_agrees(bool *left)
{
	unsigned i, c;

	*left = false;
	for (c = 0; c < CHANS; c++) {
		bool wanted = false, there;
		uint32_t number;

		if (oracle.chan[c].name[0] == '\0' || channel_find(&server.r, oracle.chan[c].name,
		    strlen(oracle.chan[c].name), &number) != 0)
			continue;
		for (i = 0; i < CLIENTS; i++)
			wanted |= oracle.client[i].fd >= 0 && oracle.client[i].slot == 0 &&
			    oracle.client[i].next[c] != 0;
		there = (word_get(&server.r.channels[number].interest) & 1) != 0;
		*left |= there && !wanted;
		if (wanted && !there)
			return false;
	}
	return true;
}

/* One that was left over by a death is taken back when the channel is looked at. */
static void
check_interest(void)
{
	double until = server_now() + 5;
	unsigned tries, c;
	bool left;

	if (oracle.why[0] != '\0' || scene->workers > 1)
		return;
	for (tries = 0; interest_agrees(&left) && left && server_now() < until; tries++) {
		usleep(1000);
		if (tries != LEAVE_MS)
			continue;
		turn_count.left++;
		for (c = 0; c < CHANS; c++)
			if (oracle.chan[c].name[0] != '\0')
				publish_self(&oracle, c, 40);
		server_wake(&server);
		oracle_drain(&oracle, 1);
	}
	if (!interest_agrees(&left) || left)
		went_wrong(&oracle, WRONG_OTHER, "an interest is %s", left ?
		    "left over, and not taken back" : "missing");
}

/* No record of a channel is claimed but in a chain, and found by its name. */
static void
check_channels(void)
{
	uint32_t i, found;

	for (i = 0; i < server.r.caps.channels; i++) {
		const struct channel *c = &server.r.channels[i];

		if (claim_is_open(word_get(&c->claim)) && (channel_find(&server.r, c->name,
		    c->name_len, &found) != 0 || found != i))
			went_wrong(&oracle, WRONG_OTHER, "channel %u is claimed and not there", i);
	}
}

/* Nothing is ready that the worker does not take: it would turn without end. */
static void
check_rest(void)
{
	int fd = server_descriptor(&server, server.slot->client_epoll);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned tries = 0;

	while (fd >= 0 && poll(&p, 1, 0) > 0 && tries++ < LEAVE_MS)
		usleep(1000);
	if (tries > LEAVE_MS)
		went_wrong(&oracle, WRONG_OTHER, "something is ready, and nobody takes it");
	if (fd >= 0)
		close(fd);
}

/* What is left of the clients' moves, with nobody traced; then everything must be there. */
static void
end(bool at_once)
{
	moves.until = server_now() + 3;
	if (!at_once)
		server_wait_idle(&server, dead, IDLE_MS);
	while (move(NULL))
		server_wait_idle(&server, dead, 5);
	oracle_drain(&oracle, 3);
	check_rest();
	oracle.chan[0].may_gap = false;
	if (scene->finish != NULL)
		scene->finish(&oracle);
	oracle_drain(&oracle, 3);
	check_interest();
	check_channels();
	turn_count.turns++;
}

static void
over(enum trace r, const char *who)
{
	if (r == TRACE_DIED)
		died(who);
	else
		trace_detach(&tracer);
	end(true);
}

static void
record(struct points *out, const struct skimmed *only, const char *who)
{
	enum trace r = TRACE_POINT;
	struct point p;

	out->n = 0;
	moves.until = server_now() + RECORD_S;
	while (out->n < POINTS_MAX && (r = trace_next(&tracer, only, &p)) == TRACE_POINT)
		out->p[out->n++] = p;
	over(r, who);
}

void
turn_record(struct points *out, bool briefly)
{
	static struct skimmed only;
	enum trace r;

	out->n = 0;
	if (!begin())
		return;
	if (briefly) {
		r = trace_skim(&tracer, &only);
		over(r, "the worker");
		if (oracle.why[0] != '\0' || !begin())
			return;
	}
	record(out, briefly ? &only : NULL, "the worker");
}

/* How often the instruction was met since the last point. */
static uint32_t
times(unsigned long rip, uint32_t stamp)
{
	static struct { unsigned long rip; uint32_t stamp, n; } seen[SEEN];
	size_t at = rip * 0x9e3779b97f4a7c15ull >> 46 & (SEEN - 1);

	while (seen[at].stamp == stamp && seen[at].rip != rip)
		at = (at + 1) & (SEEN - 1);
	if (seen[at].stamp != stamp)
		seen[at].n = 0;
	seen[at].rip = rip;
	seen[at].stamp = stamp;
	return ++seen[at].n;
}

unsigned
turn_record_all(struct points *out, struct instruction *all, unsigned max)
{
	enum trace r = TRACE_POINT;
	struct point p, last = { .calls = 0 };
	unsigned n = 0;

	out->n = 0;
	if (!begin())
		return 0;
	moves.until = server_now() + RECORD_S;
	while (n < max && out->n < POINTS_MAX && (r = trace_step(&tracer, &p)) == TRACE_POINT) {
		all[n++] = (struct instruction){ p.rip, (int)out->n - 1, times(p.rip, out->n + 1) };
		if (p.calls == last.calls && p.changes == last.changes)
			continue;
		if (p.calls != last.calls)
			p.rip = 0;
		out->p[out->n++] = last = p;
	}
	over(r, "the worker");
	return n;
}

/* Up to the point; false: the turn was over before, and has been ended. */
static bool
go_to(const struct points *p, int k)
{
	enum trace r = TRACE_POINT;

	if (!begin())
		return false;
	if (k >= 0)
		r = trace_to(&tracer, p->p, (unsigned)k, p->n);
	if (r == TRACE_POINT) {
		bool there = k < 0 || (tracer.call == p->p[k].call &&
		    tracer.changed_by == p->p[k].rip);

		turn_count.slipped += !there;
		if (!there && getenv("TELL") != NULL)
			printf("point %d: %u %u instead of %u %u\n", k, tracer.calls,
			    tracer.changes, p->p[k].calls, p->p[k].changes);
		return true;
	}
	turn_count.missed++;
	over(r, "the worker");
	return false;
}

/* What others do while nobody serves. */
static void
others_act(void)
{
	if (scene->orphaned != NULL)
		scene->orphaned(&oracle);
	if (turn_options.others > 0)
		scene_others(&oracle, scene->quiet ? 1 : 0, turn_options.others);
}

static struct outcome
outcome_now(void)
{
	static const enum counter what[OUTCOMES] = { STAT_MESSAGES, STAT_PUBLISHED, STAT_FLUSHES,
		STAT_DELIVERIES, STAT_DOUBTS_TAKEN, STAT_DOUBTS_VOID, STAT_ADOPTED };
	struct outcome out;
	unsigned i;

	for (i = 0; i < OUTCOMES; i++)
		out.n[i] = stat_get(&server.slot->stats, what[i]);
	return out;
}

/* then: the counts before the heir starts, or NULL. */
static void
kill_worker(struct outcome *then)
{
	bool act = scene->orphaned != NULL || turn_options.others > 0 || then != NULL;

	dead = tracer.pid;
	if (act)
		kill(server.keeper, SIGSTOP);
	trace_kill(&tracer, false);
	if (act) {
		others_act();
		if (then != NULL)
			*then = outcome_now();
		kill(server.keeper, SIGCONT);
	}
	turn_count.kills++;
}

void
turn_kill(const struct points *p, unsigned k, bool at_once)
{
	if (!go_to(p, (int)k))
		return;
	kill_worker(NULL);
	end(at_once);
}

bool
turn_kill_before(const struct points *p, const struct instruction *i, struct outcome *out)
{
	struct point at = { .calls = 0 };
	struct outcome then;
	unsigned n;
	bool same;

	if (!go_to(p, i->after))
		return false;
	at.calls = tracer.calls;
	at.changes = tracer.changes;
	if (trace_by(&tracer, i->rip, i->nth) != TRACE_POINT) {
		turn_count.missed++;
		trace_detach(&tracer);
		end(true);
		return false;
	}
	same = at.calls == tracer.calls && at.changes == tracer.changes;
	turn_count.missed += !same;
	kill_worker(&then);
	end(true);
	server_wait_idle(&server, dead, IDLE_MS);	/* it counts what it has done */
	*out = outcome_now();
	for (n = 0; n < OUTCOMES; n++)
		out->n[n] -= then.n[n];
	return same;
}

/* Waits for it; 'T' is the third field, behind a name in parentheses. */
static bool
is_stopped(pid_t pid)
{
	double until = server_now() + 1;
	char path[40], text[200], *end;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	while (server_now() < until) {
		FILE *f = fopen(path, "r");
		size_t n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);

		text[n] = '\0';
		if (f != NULL)
			fclose(f);
		end = strrchr(text, ')');
		if (end != NULL && end[2] == 'T')
			return true;
		usleep(100);
	}
	return false;
}

void
turn_stop(const struct points *p, unsigned k, bool watchdog)
{
	double until = server_now() + STUCK_MS / 1000.0;
	pid_t pid;

	if (!go_to(p, (int)k))
		return;
	pid = tracer.pid;
	trace_stop(&tracer);
	if (!is_stopped(pid))
		went_wrong(&oracle, WRONG_OTHER, "the worker does not stop");
	others_act();
	if (watchdog) {
		dead = pid;
		while (server_worker(&server) == pid && server_now() < until)
			usleep(1000);
		if (server_worker(&server) == pid) {
			went_wrong(&oracle, WRONG_OTHER, "a worker that stands still is not ended");
			kill(pid, SIGKILL);
		}
		turn_count.stuck++;
	} else {
		kill(pid, SIGCONT);
		turn_count.stops++;
	}
	end(true);
}

/* ---- deaths of heirs ---- */

static bool
go_to_heir(const struct points *p, unsigned k)
{
	if (!go_to(p, (int)k))
		return false;
	dead = tracer.pid;
	if (trace_kill(&tracer, true) != 0) {
		went_wrong(&oracle, WRONG_OTHER, "the keeper is not traced: %s", strerror(errno));
		return false;
	}
	turn_count.kills++;
	return true;
}

void
turn_record_heir(const struct points *p, unsigned k, struct points *heir)
{
	static struct skimmed only;
	enum trace r;

	heir->n = 0;
	if (!go_to_heir(p, k))
		return;
	/* most of what an heir does has nothing to do with the state */
	r = trace_skim(&tracer, &only);
	over(r, "the heir");
	if (oracle.why[0] == '\0' && go_to_heir(p, k))
		record(heir, &only, "the heir");
}

void
turn_kill_twice(const struct points *p, unsigned k, const struct points *heir, unsigned j)
{
	enum trace r;

	if (!go_to_heir(p, k))
		return;
	r = trace_to(&tracer, heir->p, j, heir->n);
	if (r != TRACE_POINT) {
		over(r, "the heir");
		return;
	}
	dead = tracer.pid;
	trace_kill(&tracer, false);
	turn_count.heirs++;
	end(false);
}

/* ---- faults ---- */

void
turn_fault(const struct points *p, unsigned k, unsigned n)
{
	enum trace r;

	if (!go_to(p, (int)k))
		return;
	dead = tracer.pid;
	if (trace_fault(&tracer, SIGSEGV, true) != 0) {
		went_wrong(&oracle, WRONG_OTHER, "the keeper is not traced: %s", strerror(errno));
		return;
	}
	turn_count.kills++;
	r = trace_until(&tracer, &server.slot->suspect_count, 1, n);
	if (r != TRACE_POINT) {
		over(r, "the heir");
		return;
	}
	dead = tracer.pid;
	trace_fault(&tracer, SIGSEGV, false);
	turn_count.heirs++;
	end(false);
}
