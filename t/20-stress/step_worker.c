/*
 * A worker of plenumd is killed at every point that matters, and its clients notice nothing:
 *
 *	step_worker SCENARIO|all [EVERY [FROM]] [--double N] [--seconds S] [--first]
 *		[--fault K]
 *
 * plenumd ($PLENUMD) runs as always, with its keeper. A scenario is a turn of its clients. The
 * first time the worker is stepped through it, and each instruction that changes the region, and
 * each system call, is noted as a point (step_trace.c). Then the turn is made again and again, and
 * each time kill -9 comes behind another point. The keeper starts an heir, the clients finish their
 * turn, and must have got every byte that is theirs: no more, no less, in order (step_client.c,
 * step_take.c), without a close. Streams go on from kill to kill; after a violation plenumd is
 * started anew.
 *
 *	EVERY, FROM	every n-th point, beginning at one (default 1, 0)
 *	--double N	the heir dies, too, behind every n-th point of its own first turn
 *	--seconds S	stop a scenario after so long; the points tried lie evenly
 *	--first		the first violation ends it
 *	--fault K	SIGSEGV instead, twice while the same message is in hand, behind point K of
 *			the last scenario: its sender is closed with 1011, nobody else notices
 *
 * Without arguments: all, 60 seconds. Exit status 0: nothing was wrong; 77: it cannot be tried.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/slot_layout.h"
#include "t/20-stress/step_scenes.h"
#include "t/20-stress/step_server.h"
#include "t/20-stress/step_trace.h"

enum {
	POINTS_MAX = 20000, VIOLATIONS_MAX = 5, SKIPPED = 77, IDLE_MS = 3000,
	FAULTS_PER_SERVER = 2,		/* a keeper slows down after five */
};

struct points {
	struct point p[POINTS_MAX];
	unsigned n;
};

static struct options {
	unsigned scenario;		/* 0: all */
	unsigned every, from, heirs;
	double seconds;			/* per scenario, 0: no limit */
	int fault;			/* -1: none */
	unsigned violations;		/* enough */
} opt = { .every = 1, .fault = -1, .violations = VIOLATIONS_MAX };

static struct server server;
static struct oracle oracle;
static struct tracer tracer;
static const struct scene *scene;
static const char *plenumd;
static int cpu;
static pid_t dead;			/* the last one that was killed */

static struct {
	unsigned long turns, kills, missed, heirs, poisoned, wrong[WRONG_COUNT], violations;
	uint64_t adopted, taken, void_, cuts;	/* of servers that have ended */
} count;

/* ---- the server, and the clients that stay ---- */

static void
collect(void)
{
	const struct stats *s = &server.slot->stats;

	count.adopted += stat_get(s, STAT_ADOPTED);
	count.taken += stat_get(s, STAT_DOUBTS_TAKEN);
	count.void_ += stat_get(s, STAT_DOUBTS_VOID);
	count.poisoned += stat_get(s, STAT_POISONED);
	count.cuts += stat_get(s, STAT_CUTS);
}

static void
stop_fixture(void)
{
	collect();
	oracle_reset(&oracle, &server);
	server_stop(&server, getenv("KEEP") != NULL);
}

static void
start_fixture(void)
{
	int r = server_start(&server, plenumd, cpu);

	if (r != 0) {
		if (r > 0)
			printf("step_worker: skipped, there are no keepers here\n");
		if (server.master > 0)
			server_stop(&server, r < 0);
		exit(r > 0 ? SKIPPED : EXIT_FAILURE);
	}
	oracle_reset(&oracle, &server);
	oracle_channel(&oracle, 0, "one", false);
	oracle_channel(&oracle, 1, "two", false);
	oracle_learn(&oracle);
	scene->start(&oracle);
	if (!oracle_drain(&oracle, 3)) {
		fprintf(
		    stderr, "step_worker: %s does not even begin: %s\n", scene->name, oracle.why);
		server_stop(&server, true);
		exit(EXIT_FAILURE);
	}
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
		exit(SKIPPED);
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

static void
died(const char *who)
{
	went_wrong(&oracle, WRONG_OTHER, "%s died of itself, status %x, in call %u, change %u", who,
	    (unsigned)tracer.status, tracer.calls, tracer.changes);
	dead = tracer.pid;
	if (WIFSTOPPED(tracer.status))
		trace_kill(&tracer, false);
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
	if (scene->finish != NULL)
		scene->finish(&oracle);
	oracle_drain(&oracle, 3);
	count.turns++;
}

/* The turn without a death: where are the points? */
static void
record(struct points *out)
{
	enum trace r = TRACE_POINT;

	out->n = 0;
	if (!begin())
		return;
	while (out->n < POINTS_MAX && (r = trace_next(&tracer)) == TRACE_POINT)
		out->p[out->n++] = (struct point){ tracer.calls, tracer.changes };
	if (r == TRACE_DIED)
		died("the worker");
	else
		trace_detach(&tracer);
	end(true);
}

/* Up to the point; false: the turn was over before, and has been ended. */
static bool
go_to(struct point p)
{
	enum trace r;

	if (!begin())
		return false;
	r = trace_to(&tracer, p);
	if (r == TRACE_POINT)
		return true;
	if (r == TRACE_DIED)
		died("the worker");
	else
		trace_detach(&tracer);
	count.missed++;
	end(true);
	return false;
}

static void
die_at(struct point p, bool at_once)
{
	if (!go_to(p))
		return;
	dead = tracer.pid;
	if (scene->orphaned != NULL) {
		kill(server.keeper, SIGSTOP);
		trace_kill(&tracer, false);
		scene->orphaned(&oracle);
		kill(server.keeper, SIGCONT);
	} else
		trace_kill(&tracer, false);
	count.kills++;
	end(at_once);
}

/* ---- deaths of heirs ---- */

static bool
go_to_heir(struct point p)
{
	if (!go_to(p))
		return false;
	dead = tracer.pid;
	if (trace_kill(&tracer, true) != 0) {
		went_wrong(&oracle, WRONG_OTHER, "the keeper is not traced: %s", strerror(errno));
		return false;
	}
	count.kills++;
	return true;
}

static void
record_heir(struct point p, struct points *out)
{
	enum trace r = TRACE_POINT;

	out->n = 0;
	if (!go_to_heir(p))
		return;
	while (out->n < POINTS_MAX && (r = trace_next(&tracer)) == TRACE_POINT)
		out->p[out->n++] = (struct point){ tracer.calls, tracer.changes };
	if (r == TRACE_DIED)
		died("the heir");
	else
		trace_detach(&tracer);
	end(true);
}

static void
die_twice(struct point p, struct point heir)
{
	enum trace r;

	if (!go_to_heir(p))
		return;
	r = trace_to(&tracer, heir);
	if (r == TRACE_DIED)
		died("the heir");
	else if (r == TRACE_OVER)
		trace_detach(&tracer);
	else {
		dead = tracer.pid;
		trace_kill(&tracer, false);
		count.heirs++;
	}
	end(r != TRACE_POINT);
}

/* ---- faults ---- */

/* A fault behind the point, and if the heir has the same message in hand, another. */
static void
fault_at(struct point p, unsigned n)
{
	enum trace r;

	if (!go_to(p))
		return;
	dead = tracer.pid;
	if (trace_fault(&tracer, SIGSEGV, true) != 0) {
		went_wrong(&oracle, WRONG_OTHER, "the keeper is not traced: %s", strerror(errno));
		return;
	}
	count.kills++;
	r = trace_until(&tracer, &server.slot->suspect_count, 1, n);
	if (r == TRACE_DIED)
		died("the heir");
	else if (r == TRACE_OVER)
		trace_detach(&tracer);
	else {
		dead = tracer.pid;
		trace_fault(&tracer, SIGSEGV, false);
		count.heirs++;
	}
	end(r != TRACE_POINT);
}

/* ---- scenarios ---- */

/* False: something was wrong; it is told, and all begins anew. */
static bool
judge(unsigned k, int heir)
{
	if (oracle.why[0] == '\0')
		return true;
	count.violations++;
	count.wrong[oracle.wrong]++;
	printf("step_worker: %s, killed behind point %u", scene->name, k);
	if (heir >= 0)
		printf(", its heir behind point %d", heir);
	printf(": %s: %s\n", wrong_name(oracle.wrong), oracle.why);
	stop_fixture();
	start_fixture();
	return false;
}

/* The i-th of n, all of them once, in an order in which any beginning lies evenly. */
static unsigned
spread(unsigned i, unsigned n)
{
	unsigned step = (unsigned)(n * 0.6180339887), a, b, t;

	for (step += step == 0;; step++) {
		for (a = step, b = n; b != 0; t = a % b, a = b, b = t)
			;
		if (a == 1)
			return (unsigned)((uint64_t)i * step % n);
	}
}

static bool
is_time(double until)
{
	return count.violations < opt.violations && server_now() < until;
}

static void
double_deaths(struct point p, unsigned k, double until)
{
	static struct points heir;
	unsigned j;

	record_heir(p, &heir);
	if (!judge(k, -1))
		return;
	for (j = 0; j < heir.n && is_time(until); j += opt.heirs) {
		die_twice(p, heir.p[j]);
		judge(k, (int)j);
	}
}

static void
faults(const struct points *points, double until)
{
	unsigned i, k;

	for (i = 0; i < points->n && is_time(until); i++) {
		k = opt.fault >= 0 ? (unsigned)opt.fault : spread(i, points->n);
		if (k >= points->n)
			break;
		if (i % FAULTS_PER_SERVER == 0) {
			stop_fixture();
			start_fixture();
		}
		fault_at(points->p[k], 37 * (i % 8));
		judge(k, -1);
		if (opt.fault >= 0)
			break;
	}
}

static void
kills(const struct points *points, double until)
{
	unsigned rest = points->n > opt.from ? points->n - opt.from : 0;
	unsigned n = (rest + opt.every - 1) / opt.every, i, k;

	for (i = 0; i < n && is_time(until); i++) {
		k = opt.from + opt.every * (opt.seconds > 0 ? spread(i, n) : i);
		if (opt.heirs > 0)
			double_deaths(points->p[k], k, until);
		else {
			die_at(points->p[k], k % 2 == 1);
			judge(k, -1);
		}
	}
}

static void
report(unsigned number, const struct points *points, double seconds)
{
	unsigned i;

	collect();
	printf("step_worker: %u %s: %u points, %lu kills, %lu of heirs, %lu too late, "
	    "adopted %llu, doubts %llu taken %llu void, cuts %llu, poisoned %lu, %.1f s: "
	    "%lu violations",
	    number, scene->name, points->n, count.kills, count.heirs, count.missed,
	    (unsigned long long)count.adopted, (unsigned long long)count.taken,
	    (unsigned long long)count.void_, (unsigned long long)count.cuts, count.poisoned,
	    seconds, count.violations);
	for (i = 0; i < WRONG_COUNT; i++)
		if (count.wrong[i] > 0)
			printf(" %s %lu", wrong_name((enum wrong)i), count.wrong[i]);
	printf("\n");
}

/* True: nothing was wrong. */
static bool
run(unsigned number)
{
	static struct points points;
	double began = server_now(), until = opt.seconds > 0 ? began + opt.seconds : 1e300;
	bool ok;

	memset(&count, 0, sizeof count);
	scene = scene_get(number);
	start_fixture();
	record(&points);
	judge(0, -1);
	if (number == SCENE_FAULTS)
		faults(&points, until);
	else
		kills(&points, until);
	report(number, &points, server_now() - began);
	/* what was never tried was not tested */
	ok = count.violations == 0 && count.kills > 0 &&
	    (number != SCENE_FAULTS || opt.fault >= 0 || count.poisoned > 0);
	memset(&count, 0, sizeof count);
	stop_fixture();
	return ok;
}

static void
usage(void)
{
	fprintf(stderr, "usage: step_worker SCENARIO|all [EVERY [FROM]] [--double N] [--seconds S] "
	    "[--first] [--fault K]\n");
	exit(2);
}

static void
parse(int argc, char **argv)
{
	unsigned words = 0;
	int i;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--first") == 0) {
			opt.violations = 1;
			continue;
		}
		if (argv[i][0] == '-' && i + 1 == argc)
			usage();
		if (strcmp(argv[i], "--double") == 0)
			opt.heirs = (unsigned)atoi(argv[++i]);
		else if (strcmp(argv[i], "--seconds") == 0)
			opt.seconds = atof(argv[++i]);
		else if (strcmp(argv[i], "--fault") == 0)
			opt.fault = atoi(argv[++i]), opt.scenario = SCENE_FAULTS;
		else if (argv[i][0] == '-' || words == 3)
			usage();
		else if (words++ == 0)
			opt.scenario = (unsigned)atoi(argv[i]);
		else if (words == 2)
			opt.every = (unsigned)atoi(argv[i]);
		else
			opt.from = (unsigned)atoi(argv[i]);
	}
	if (argc == 1)
		opt.seconds = 6;
	if (opt.every == 0 || (opt.scenario != 0 && scene_get(opt.scenario) == NULL))
		usage();
}

int
main(int argc, char **argv)
{
	bool ok = true;
	unsigned i;
	cpu_set_t set;

	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	plenumd = getenv("PLENUMD") != NULL ? getenv("PLENUMD") : "./plenumd";
#ifndef __x86_64__
	printf("step_worker: skipped, it knows the system calls of x86-64 only\n");
	return SKIPPED;
#endif
	cpu = sched_getcpu();
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
	/* a step is two switches of processes: others on this processor must not come between */
	setpriority(PRIO_PROCESS, 0, -20);
	if (opt.scenario != 0)
		return run(opt.scenario) ? EXIT_SUCCESS : EXIT_FAILURE;
	for (i = 1; scene_get(i) != NULL; i++)
		ok &= run(i);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
