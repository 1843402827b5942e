/*
 * chaos: a crowd of checking clients, a plenumd below it, and somebody who kills, stops, reloads
 * and replaces whatever runs there, by a list that is made of a seed. Nobody of the crowd may
 * notice more than a pause.
 *
 * A run: plenumd starts; its descriptors are counted. The crowd comes; when it has been served for
 * a while memory is measured. The list is carried out, each step at its time or, if its victim is
 * not whole again by then, as soon as it is. In the quiet behind it memory is measured again; the
 * crowd is told to end, settles its accounts and leaves; then no descriptor may be left over.
 *
 * A slot whose keeper and worker are killed at once loses its connections: that is done on purpose
 * now and then, and counted apart; its clients must be able to resume without loss.
 */
#define _GNU_SOURCE
#include "t/tools/chaos.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/tools/chaos_report.h"

enum {
	READY_MS = 90000, DRAIN_MS = 90000, CALM_MS = 15000, QUIET_MS = 2000, LEFT_MS = 8000,
	HISTORY = 200, GETTERS = 10
};

static struct chaos run;

/* --- the command line --- */

static _Noreturn void
usage(int status)
{
	fputs("usage: chaos [OPTION]... [-- OPTION OF CROWD...]\n"
	    "  --seconds N      how long (120)\n"
	    "  --seed N         chooses who is killed and when (1)\n"
	    "  --clients N      WebSocket clients (2000)\n"
	    "  --room N         of them in one channel (10)\n"
	    "  --deliveries N   events a second, summed over who gets them (50000)\n"
	    "  --http N         requests a second, half of them publish (500)\n"
	    "  --workers N      (4)\n"
	    "  --kill-ms N      between two kills of a worker or keeper (500)\n"
	    "  --storm N        connects in a storm (500)\n"
	    "  --warm N         seconds before the first step (10)\n"
	    "  --set NAME=VALUE a setting of plenumd\n"
	    "  --with NAME,...  further actions: upgrade, master, workers\n"
	    "  --without NAME,...  no worker (nor keeper), both, stop, reload, logger, storm\n"
	    "  --plan           print the list of steps and end\n"
	    "The programs are $PLENUMD (./plenumd) and $CROWD (./t/tools/crowd).\n",
	    status == 0 ? stdout : stderr);
	exit(status);
}

static void
choose_actions(char *names, bool with)
{
	char *save = NULL, *name;
	int a;

	for (name = strtok_r(names, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
		a = chaos_action_of(name);
		if (a < 0) {
			fprintf(stderr, "chaos: no such action: %s\n", name);
			exit(2);
		}
		run.o.plan.with[a] = with;
	}
}

static unsigned
count_of(const char *arg, unsigned least, unsigned most)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (*arg == '\0' || *end != '\0' || n < least || n > most)
		usage(2);
	return (unsigned)n;
}

static void
set_option(struct chaos_options *o, int option)
{
	switch (option) {
	case 's': o->seconds = count_of(optarg, 1, 100000); break;
	case 'S': o->plan.seed = count_of(optarg, 0, 1u << 31); break;
	case 'c': o->clients = count_of(optarg, 1, 7000); break;
	case 'r': o->room = count_of(optarg, 1, 7000); break;
	case 'd': o->deliveries = count_of(optarg, 1, 10000000); break;
	case 'h': o->http = count_of(optarg, 2, 1000000); break;
	case 'w': o->plan.workers = count_of(optarg, 1, 56); break;
	case 'k': o->plan.kill_ms = count_of(optarg, 10, 1000000); break;
	case 'n': o->plan.storm = count_of(optarg, 1, 20000); break;
	case 'W': o->warm = count_of(optarg, 0, 1000); break;
	case 'a': choose_actions(optarg, true); break;
	case 'A': choose_actions(optarg, false); break;
	case 'p': o->print_plan = true; break;
	case 'H': usage(0);
	case 'x':
		if (run.server.nsettings < SERVER_SETTINGS_MAX && strchr(optarg, '=') != NULL) {
			run.server.setting[run.server.nsettings++] = optarg;
			break;
		}
		usage(2);
	default:
		usage(2);
	}
}

static void
read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", 1, NULL, 's' }, { "seed", 1, NULL, 'S' }, { "clients", 1, NULL, 'c' },
		{ "room", 1, NULL, 'r' }, { "deliveries", 1, NULL, 'd' }, { "http", 1, NULL, 'h' },
		{ "workers", 1, NULL, 'w' }, { "kill-ms", 1, NULL, 'k' },
		{ "storm", 1, NULL, 'n' }, { "warm", 1, NULL, 'W' }, { "with", 1, NULL, 'a' },
		{ "without", 1, NULL, 'A' }, { "set", 1, NULL, 'x' }, { "plan", 0, NULL, 'p' },
		{ "help", 0, NULL, 'H' }, { NULL, 0, NULL, 0 }
	};
	struct chaos_options *o = &run.o;
	int i;

	*o = (struct chaos_options){
		.seconds = 120, .warm = 10, .clients = 2000, .room = 10, .deliveries = 50000,
		.http = 500, .plan = { .seed = 1, .workers = 4, .storm = 500, .kill_ms = 500 },
		.plenumd = getenv("PLENUMD"), .crowd = getenv("CROWD"),
	};
	for (i = 0; i < CHAOS_ACTION_COUNT; i++)
		o->plan.with[i] = i < CHAOS_UPGRADE;
	while ((i = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(o, i);
	for (; optind < argc && o->nextra < CROWD_OPTIONS_MAX; optind++)
		o->extra[o->nextra++] = argv[optind];
	o->plan.ms = (uint32_t)(o->seconds * 1000);
	if (o->plenumd == NULL)
		o->plenumd = "./plenumd";
	if (o->crowd == NULL)
		o->crowd = "./t/tools/crowd";
}

/* --- the crowd --- */

struct arguments {
	const char *argv[128];
	char text[64][24];
	unsigned n, used;
};

static void
add(struct arguments *a, const char *name, unsigned value)
{
	snprintf(a->text[a->used], sizeof a->text[0], "%u", value);
	a->argv[a->n++] = name;
	a->argv[a->n++] = a->text[a->used++];
}

/* Each room has a publisher; as many of them use HTTP as half of the requests need. */
static bool
start_crowd(void)
{
	const struct chaos_options *o = &run.o;
	unsigned rooms = (o->clients + o->room - 1) / o->room, events = o->deliveries / o->room;
	unsigned posts, i;
	static struct arguments a;

	events = events < 1 ? 1 : events;
	posts = (rooms * o->http / 2 + events / 2) / events;
	posts = posts < 1 ? 1 : posts > rooms ? rooms : posts;
	a.argv[a.n++] = o->crowd;
	a.argv[a.n++] = "--commands";
	a.argv[a.n++] = "--strict-gap";
	add(&a, "--port", run.server.port);
	add(&a, "--seed", (unsigned)o->plan.seed);
	add(&a, "--seconds", 1000000);
	add(&a, "--history", HISTORY);
	add(&a, "--subscribers", o->clients);
	add(&a, "--channels", rooms);
	add(&a, "--ws-publishers", rooms - posts);
	add(&a, "--http-publishers", posts);
	add(&a, "--rate", events);
	add(&a, "--http-get", GETTERS);
	add(&a, "--get-rate", (o->http / 2 + GETTERS - 1) / GETTERS);
	add(&a, "--sse", o->clients / 50 + 1);
	add(&a, "--churn", o->clients / 200 + 1);
	add(&a, "--stall", 10);
	add(&a, "--drain", 30);
	for (i = 0; i < o->nextra; i++)
		a.argv[a.n++] = o->extra[i];
	if (crowd_child_start(&run.crowd, a.argv) &&
	    crowd_child_expect(&run.crowd, "ready", READY_MS))
		return true;
	chaos_violation(&run, "the crowd is not served:\n%s", run.crowd.text);
	return false;
}

static void
end_crowd(void)
{
	if (run.crowd.pid > 0 && write(run.crowd.to, "end\n", 4) != 4)
		chaos_violation(&run, "the crowd ended before its time");
	if (!crowd_child_end(&run.crowd, DRAIN_MS))
		chaos_violation(&run, "the crowd noticed:\n%s", run.crowd.text);
}

/* --- the run --- */

static void
wait_until(uint64_t at)
{
	uint64_t now;

	while ((now = now_ms()) < at) {
		crowd_child_poll(&run.crowd);	/* or its pipe fills */
		chaos_storm_poll(&run);
		sleep_ms(at - now > 50 ? 50 : (unsigned)(at - now));
	}
}

static void
measure(struct chaos_measure *m)
{
	struct server_state st;

	if (!chaos_wait_whole(&run, &st, CALM_MS))
		chaos_violation(&run, "not everything is whole within %d s", CALM_MS / 1000);
	else if (!server_memory(&st, &m->memory))
		chaos_violation(&run, "memory cannot be measured");
	server_tables(&st, &m->tables);
	m->connections = st.connections;
}

static void
carry_out(const struct chaos_step *steps, size_t n, struct chaos_report *r)
{
	uint64_t begin = now_ms(), now;
	bool middle = false;
	size_t i;

	for (i = 0; i < n && run.crowd.pid > 0; i++) {
		if (!middle && steps[i].ms >= run.o.plan.ms / 2) {
			measure(&r->middle);
			middle = true;
		}
		wait_until(begin + steps[i].ms);
		now = now_ms() - begin;
		if (now - steps[i].ms > run.late_ms)
			run.late_ms = now - steps[i].ms;
		chaos_act(&run, &steps[i]);
	}
	wait_until(begin + run.o.plan.ms);
	while (chaos_storm_poll(&run))
		wait_until(now_ms() + 10);
	r->took_ms = now_ms() - begin;
}

/* The crowd is gone: what is open now was open before it came. */
static void
count_left(struct chaos_report *r)
{
	uint64_t end = now_ms() + LEFT_MS;

	do {
		measure(&r->left);
		if (r->left.connections == 0 && r->left.tables.slots == r->before.tables.slots &&
		    r->left.tables.master == r->before.tables.master &&
		    r->left.tables.logger == r->before.tables.logger)
			return;
		sleep_ms(100);
	} while (now_ms() < end);
}

static void
go(const struct chaos_step *steps, size_t n, struct chaos_report *r)
{
	measure(&r->before);
	if (!start_crowd())
		return;
	wait_until(now_ms() + (uint64_t)(run.o.warm * 1000));
	measure(&r->warm);
	carry_out(steps, n, r);
	wait_until(now_ms() + QUIET_MS);
	measure(&r->after);
	end_crowd();
	count_left(r);
}

static void
print_plan(const struct chaos_step *steps, size_t n)
{
	char text[64];
	size_t i;

	printf("# seed %" PRIu64 ", %zu steps in %g s, %u workers\n", run.o.plan.seed, n,
	    run.o.seconds, run.o.plan.workers);
	for (i = 0; i < n; i++) {
		chaos_plan_print(&steps[i], text, sizeof text);
		printf("# %3u.%03u  %s\n", steps[i].ms / 1000, steps[i].ms % 1000, text);
	}
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	static struct chaos_report report;
	struct chaos_step *steps;
	size_t n;

	signal(SIGPIPE, SIG_IGN);
	run.server.setting[run.server.nsettings++] = "message_rate=65535";
	run.server.setting[run.server.nsettings++] = "channels_max=8192";
	run.server.setting[run.server.nsettings++] = "history=200";
	run.server.setting[run.server.nsettings++] = "arena=8M";
	run.server.setting[run.server.nsettings++] = "log_level=notice";
	run.server.setting[run.server.nsettings++] = "upgrade_grace=1s";
	read_options(argc, argv);
	steps = chaos_plan_new(&run.o.plan, &n);
	print_plan(steps, n);
	if (run.o.print_plan)
		return 0;
	if (server_new(&run.server, run.o.plenumd, run.o.plan.workers))
		go(steps, n, &report);
	else
		chaos_violation(&run, "plenumd does not start: see %s/log", run.server.dir);
	chaos_judge(&run, &report);
	if (!server_stop(&run.server, run.violations == 0))
		chaos_violation(&run, "plenumd does not end in order");
	chaos_print(&run, &report);
	free(steps);
	return run.violations == 0 ? 0 : 1;
}
