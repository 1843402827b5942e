/*
 * A worker of plenumd is killed or stopped at every point that matters, and its clients notice
 * nothing:
 *
 *	step_worker SCENARIO|all [EVERY [FROM]] [--double N] [--others N] [--stop | --stuck]
 *		[--all] [--seconds S] [--first] [--fault K]
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
 *	--others N	while nobody serves, others publish N events and come and go
 *	--stop		SIGSTOP instead; others act; SIGCONT
 *	--stuck		SIGSTOP instead; others act; the watchdog ends it
 *	--all		before every instruction instead: the points that are left out must make
 *			the heir do what the point before them makes it do
 *	--seconds S	stop a scenario after so long; the points tried lie evenly
 *	--first		the first violation ends it
 *	--fault K	SIGSEGV instead, twice while the same message is in hand, behind point K of
 *			the scenario of faults: its sender is closed with 1011, nobody else notices
 *
 * Without arguments: all, some seconds each. Exit status 0: nothing was wrong; 77: it cannot be
 * tried.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "t/20-stress/step_scenes.h"
#include "t/20-stress/step_server.h"
#include "t/20-stress/step_turn.h"

enum {
	VIOLATIONS_MAX = 5, INSTRUCTIONS_MAX = 1000000,
	FAULTS_PER_SERVER = 2,		/* a keeper slows down after five */
	SECONDS_EACH = 1, SECONDS_OF_FAULTS = 6,	/* without arguments */
};

#define STUCK_CONF "stuck_timeout = 300ms\n"

enum mode { MODE_KILL, MODE_STOP, MODE_STUCK, MODE_ALL };
static const char *const modes[] = { "killed", "stopped", "ended by the watchdog",
	"killed before every instruction" };

static struct options {
	unsigned scenario;		/* 0: all */
	unsigned every, from, heirs;
	enum mode mode;
	double seconds;			/* per scenario, behind its first turn; 0: no limit */
	bool briefly;			/* no arguments: as a part of make check */
	int fault;			/* -1: none */
	unsigned violations;		/* enough */
} opt = { .every = 1, .fault = -1, .violations = VIOLATIONS_MAX };

static const struct scene *scene;
static unsigned long violations, wrong[WRONG_COUNT];
static double slowest;			/* turn with a death or a stop in it, seconds */
static unsigned slowest_at;

/* False: something was wrong; it is told, and all begins anew. */
static bool
judge(unsigned k, int heir)
{
	const struct oracle *o = turn_oracle();

	if (o->why[0] == '\0')
		return true;
	violations++;
	wrong[o->wrong]++;
	printf("step_worker: %s, %s behind point %u", scene->name, modes[opt.mode], k);
	if (heir >= 0)
		printf(", its heir behind point %d", heir);
	printf(": %s: %s\n", wrong_name(o->wrong), o->why);
	turn_reopen(opt.mode == MODE_STUCK ? STUCK_CONF : "");
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
	return violations < opt.violations && server_now() < until;
}

/* The i-th of those that are chosen of n. */
static unsigned
chosen(unsigned i, unsigned of)
{
	return opt.from + opt.every * (opt.seconds > 0 ? spread(i, of) : i);
}

static unsigned
how_many(unsigned n)
{
	return n > opt.from ? (n - opt.from + opt.every - 1) / opt.every : 0;
}

static void
double_deaths(const struct points *points, unsigned k, double until)
{
	static struct points heir;
	unsigned j;

	turn_record_heir(points, k, &heir);
	if (!judge(k, -1))
		return;
	for (j = k % opt.heirs; j < heir.n && is_time(until); j += opt.heirs) {
		turn_kill_twice(points, k, &heir, j);
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
		if (i % FAULTS_PER_SERVER == 0)
			turn_reopen("");
		turn_fault(points, k, 37 * (i % 8));
		judge(k, -1);
		if (opt.fault >= 0)
			break;
	}
}

static void
deaths(const struct points *points, double until)
{
	unsigned n = how_many(points->n), i, k;
	double began;

	if (opt.mode == MODE_STUCK)
		turn_reopen(STUCK_CONF);
	for (i = 0; i < n && is_time(until); i++) {
		k = chosen(i, n);
		began = server_now();
		if (opt.mode != MODE_KILL)
			turn_stop(points, k, opt.mode == MODE_STUCK);
		else if (opt.heirs > 0) {
			double_deaths(points, k, until);
			continue;
		} else
			turn_kill(points, k, k % 2 == 1);
		if (server_now() - began > slowest) {
			slowest = server_now() - began;
			slowest_at = k;
		}
		judge(k, -1);
	}
}

/* ---- every instruction ---- */

static bool
same_outcome(const struct outcome *a, const struct outcome *b, unsigned k, unsigned i)
{
	unsigned n;

	if (memcmp(a, b, sizeof *a) == 0)
		return true;
	printf("step_worker: %s: before instruction %u the state is that of point %d, but the heir "
	    "does", scene->name, i, (int)k - 1);
	for (n = 0; n < OUTCOMES; n++)
		printf(" %llu/%llu", (unsigned long long)b->n[n], (unsigned long long)a->n[n]);
	printf("\n");
	violations++;
	return false;
}

/* Returns how many instructions there are. */
static unsigned
every_instruction(struct points *points, double until)
{
	static struct instruction all[INSTRUCTIONS_MAX];
	static struct { struct outcome is; bool known; } at[POINTS_MAX + 1];
	unsigned total = turn_record_all(points, all, INSTRUCTIONS_MAX), n, i, j, k;
	struct outcome out;

	memset(at, 0, sizeof at);
	judge(0, -1);
	n = how_many(total);
	for (i = 0; i < n && is_time(until); i++) {
		j = chosen(i, n);
		k = (unsigned)(all[j].after + 1);
		if (!turn_kill_before(points, &all[j], &out) || !judge(j, -1))
			continue;
		if (!at[k].known) {
			at[k].is = out;
			at[k].known = true;
		}
		same_outcome(&at[k].is, &out, k, j);
	}
	return total;
}

/* ---- scenarios ---- */

static void
report(unsigned number, const struct points *points, unsigned instructions, double seconds)
{
	const struct turn_count *c = &turn_count;
	unsigned i;

	printf("step_worker: %u %s: %u points, ", number, scene->name, points->n);
	if (instructions > 0)
		printf("%u instructions, ", instructions);
	printf("%lu kills, %lu of heirs, %lu stops, %lu stuck, %lu too late, %lu beside, "
	    "adopted %llu, doubts %llu taken %llu void, cuts %llu, gaps %llu, poisoned %llu, "
	    "interests left %lu, %.1f s: %lu violations", c->kills, c->heirs, c->stops, c->stuck,
	    c->missed, c->slipped, (unsigned long long)c->adopted, (unsigned long long)c->taken,
	    (unsigned long long)c->void_, (unsigned long long)c->cuts, (unsigned long long)c->gaps,
	    (unsigned long long)c->poisoned, c->left, seconds, violations);
	for (i = 0; i < WRONG_COUNT; i++)
		if (wrong[i] > 0)
			printf(" %s %lu", wrong_name((enum wrong)i), wrong[i]);
	if (slowest > 0)
		printf(", slowest %.0f ms at %u", slowest * 1000, slowest_at);
	printf("\n");
}

/* True: nothing was wrong. */
static bool
run(unsigned number)
{
	static struct points points;
	double began = server_now(), until, seconds = opt.seconds;
	unsigned instructions = 0;
	bool ok;

	violations = 0;
	slowest = 0;
	memset(wrong, 0, sizeof wrong);
	scene = scene_get(number);
	if (opt.briefly && scene->faults)
		seconds = SECONDS_OF_FAULTS;
	turn_open(scene);
	until = seconds > 0 ? server_now() + seconds : 1e300;
	if (opt.mode == MODE_ALL)
		instructions = every_instruction(&points, until);
	else {
		turn_record(&points, opt.briefly);
		judge(0, -1);
		until = seconds > 0 ? server_now() + seconds : 1e300;
		if (scene->faults)
			faults(&points, until);
		else
			deaths(&points, until);
	}
	turn_close();
	report(number, &points, instructions, server_now() - began);
	/* what was never tried was not tested */
	ok = violations == 0 && turn_count.kills + turn_count.stops + turn_count.stuck > 0 &&
	    (!scene->faults || opt.fault >= 0 || turn_count.poisoned > 0);
	return ok;
}

static void
usage(void)
{
	fprintf(stderr, "usage: step_worker SCENARIO|all [EVERY [FROM]] [--double N] [--others N] "
	    "[--stop | --stuck] [--all] [--seconds S] [--first] [--fault K]\n");
	exit(2);
}

static bool
parse_flag(const char *word)
{
	if (strcmp(word, "--first") == 0)
		opt.violations = 1;
	else if (strcmp(word, "--stop") == 0)
		opt.mode = MODE_STOP;
	else if (strcmp(word, "--stuck") == 0)
		opt.mode = MODE_STUCK;
	else if (strcmp(word, "--all") == 0)
		opt.mode = MODE_ALL;
	else
		return false;
	return true;
}

static void
parse(int argc, char **argv)
{
	unsigned words = 0;
	int i;

	for (i = 1; i < argc; i++) {
		if (parse_flag(argv[i]))
			continue;
		if (argv[i][0] == '-' && i + 1 == argc)
			usage();
		if (strcmp(argv[i], "--double") == 0)
			opt.heirs = (unsigned)atoi(argv[++i]);
		else if (strcmp(argv[i], "--others") == 0)
			turn_options.others = (unsigned)atoi(argv[++i]);
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
	if ((opt.mode == MODE_STOP || opt.mode == MODE_STUCK) && turn_options.others == 0)
		turn_options.others = 3;
	if (opt.every == 0 || (opt.scenario != 0 && scene_get(opt.scenario) == NULL))
		usage();
}

/* Whether "all" means this one. */
static bool
is_meant(unsigned number)
{
	const struct scene *s = scene_get(number);

	if ((opt.briefly && s->heavy) || s->slow)
		return false;
	if (s->faults)
		return opt.mode == MODE_KILL && opt.heirs == 0 && turn_options.others == 0;
	return opt.mode != MODE_STUCK || !s->exits;
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
	turn_options.plenumd = getenv("PLENUMD") != NULL ? getenv("PLENUMD") : "./plenumd";
#ifndef __x86_64__
	printf("step_worker: skipped, it knows the system calls of x86-64 only\n");
	return EXIT_SKIPPED;
#endif
	turn_options.cpu = sched_getcpu();
	CPU_ZERO(&set);
	CPU_SET(turn_options.cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
	/*
	 * a step is two switches of processes: others on this processor must not come between,
	 * unless whoever called it wants that
	 */
	if (getpriority(PRIO_PROCESS, 0) == 0)
		setpriority(PRIO_PROCESS, 0, -20);
	if (opt.scenario != 0)
		return run(opt.scenario) ? EXIT_SUCCESS : EXIT_FAILURE;
	opt.briefly = argc == 1;
	if (opt.briefly)
		opt.seconds = SECONDS_EACH;
	for (i = 1; scene_get(i) != NULL; i++)
		if (is_meant(i))
			ok &= run(i);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
