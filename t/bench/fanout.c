/*
 * Fan-out: CPU of the server and of the load per delivery. A round publishes on plenum, then on the
 * bare loop, each with its own connections; the ratio is that of the two.
 */
#include "t/bench/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "t/bench/floor.h"
#include "t/bench/load.h"

enum { SPARE = 100 };			/* descriptors */

static const struct {
	const char *name;
	const char *what;
	unsigned subscribers, rooms, window, events;	/* events of a round */
	unsigned rate;			/* events a second; 0: as the deliveries are complete */
	void (*floor)(int listener);
	const char *goal;
} cases[] = {
	{ "fanout-w1", "%u subscribers, 1 in flight",
	    1000, 1, 1, 100, 0, floor_send, "ratio ≤ 1.06" },
	{ "fanout-w64", "%u subscribers, 64 in flight",
	    1000, 1, 64, 64 * 20, 0, floor_join, "plenum ≤ 0.20" },
	{ "fanout-rooms", "%u subscribers in rooms of 10, 1 in flight",
	    1000, 100, 1, 3000, 0, floor_send, "ratio ≤ 1.10" },
	{ "fanout-ten", "%u subscribers, 1 in flight",
	    10000, 1, 1, 10, 0, floor_send, "ratio ≤ 1.10" },
	{ "fanout-r50", "%u subscribers, 50 a second",
	    1000, 1, 1, 25, 50, floor_send, "" },
	{ "fanout-r1000", "%u subscribers, 1000 a second",
	    1000, 1, 1, 300, 1000, floor_send, "" },
};

static void
publish_at_rate(struct load *l, unsigned events, unsigned rate)
{
	uint64_t begin = clock_wall();
	unsigned sent = 0;

	while (sent < events) {
		uint64_t due = (clock_wall() - begin) * rate / 1000000000u + 1;
		uint64_t next;

		while (sent < events && sent < due) {
			load_publish(l, 1);
			sent++;
		}
		next = begin + (uint64_t)sent * 1000000000u / rate;
		while (clock_wall() < next) {
			uint64_t left = (next - clock_wall()) / 1000;

			if (l->got < l->due)
				load_receive(l, 1);
			else if (left > 100)
				usleep((useconds_t)left);
		}
	}
	load_wait(l);
}

/* µs per delivery; server: without the load. */
static double
round_of(struct load *l, unsigned events, unsigned window, unsigned rate, double *server)
{
	uint64_t self = clock_cpu_self(), other = server_cpu(l->server), n;
	unsigned i;

	if (rate != 0)
		publish_at_rate(l, events, rate);
	for (i = 0; i < events && rate == 0; i += window) {
		load_publish(l, window);
		load_wait(l);
	}
	n = (uint64_t)events * (l->nsubs / l->nrooms);
	other = server_cpu(l->server) - other;
	*server = (double)other / (double)n / 1000;
	return (double)(clock_cpu_self() - self + other) / (double)n / 1000;
}

/* The load holds two sets of connections, within the limit of descriptors. */
static unsigned
affordable(unsigned subscribers)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < 2 * subscribers + SPARE)
		return (unsigned)(l.rlim_cur - SPARE) / 2;
	return subscribers;
}

/* Clock ticks. */
struct modes {
	uint64_t user, system;
};

static void
modes_of(const struct server *s, struct modes *m)
{
	server_modes(s, &m->user, &m->system);
}

static double
user_part(const struct modes *a, const struct modes *b)
{
	double user = (double)(b->user - a->user), system = (double)(b->system - a->system);

	return user + system > 0 ? user / (user + system) : 0;
}

static void
run_case(unsigned c)
{
	static struct samples mine, bare, ratio, server, bare_server;
	struct server plenum, floor;
	struct load a, b;
	unsigned subscribers = affordable(cases[c].subscribers);
	char what[80];
	struct modes before[2], after[2];
	double flushes, deliveries;
	unsigned i;

	mine.n = bare.n = ratio.n = server.n = bare_server.n = 0;
	server_start_plenum(&plenum, 1, bench_plenum_options);
	server_start_bare(&floor, "floor", cases[c].floor);
	load_open(&a, &plenum, subscribers, cases[c].rooms);
	load_open(&b, &floor, subscribers, cases[c].rooms);
	modes_of(&plenum, &before[0]);
	modes_of(&floor, &before[1]);
	flushes = server_metric(&plenum, "plenum_flushes_total");
	deliveries = server_metric(&plenum, "plenum_deliveries_total");
	for (i = 0; i <= bench_options.rounds; i++) {
		double s, t;
		double x = round_of(&a, cases[c].events, cases[c].window, cases[c].rate, &s);
		double y = round_of(&b, cases[c].events, cases[c].window, cases[c].rate, &t);

		if (i == 0)
			continue;		/* warm-up */
		samples_add(&mine, x);
		samples_add(&bare, y);
		samples_add(&ratio, x / y);
		samples_add(&server, s);
		samples_add(&bare_server, t);
	}
	modes_of(&plenum, &after[0]);
	modes_of(&floor, &after[1]);
	flushes = server_metric(&plenum, "plenum_flushes_total") - flushes;
	deliveries = server_metric(&plenum, "plenum_deliveries_total") - deliveries;
	snprintf(what, sizeof what, cases[c].what, subscribers);
	bench_row(what, "µs", &mine, &bare, &ratio, cases[c].goal);
	printf("| – of it the server; %.3f sends a delivery | %.3g | %.3g | %.3g | |\n",
	    flushes / deliveries, samples_at(&server, 0.5), samples_at(&bare_server, 0.5),
	    samples_at(&server, 0.5) / samples_at(&bare_server, 0.5));
	printf("| – of that in user mode, ns | %.0f | %.0f | | |\n",
	    1000 * samples_at(&server, 0.5) * user_part(&before[0], &after[0]),
	    1000 * samples_at(&bare_server, 0.5) * user_part(&before[1], &after[1]));
	load_close(&a);
	load_close(&b);
	server_stop(&plenum);
	server_stop(&floor);
}

/* Two workers against one, the same subscribers. */
static void
run_workers(void)
{
	static const struct { const char *what; unsigned window, events; } row[] = {
		{ "2 workers against 1 (as floor), 1 in flight", 1, 100 },
		{ "2 workers against 1 (as floor), 64 in flight", 64, 64 * 20 },
	};
	static struct samples one, two, ratio;
	struct server s1, s2;
	struct load a, b;
	unsigned i, k;

	server_start_plenum(&s1, 1, bench_plenum_options);
	server_start_plenum(&s2, 2, bench_plenum_options);
	load_open(&a, &s1, 1000, 1);
	load_open(&b, &s2, 1000, 1);
	for (k = 0; k < sizeof row / sizeof row[0]; k++) {
		one.n = two.n = ratio.n = 0;
		for (i = 0; i <= bench_options.rounds; i++) {
			double s;
			double x = round_of(&a, row[k].events, row[k].window, 0, &s);
			double y = round_of(&b, row[k].events, row[k].window, 0, &s);

			if (i == 0)
				continue;
			samples_add(&one, x);
			samples_add(&two, y);
			samples_add(&ratio, y / x);
		}
		bench_row(row[k].what, "µs", &two, &one, &ratio, "ratio ≤ 1.15");
	}
	load_close(&a);
	load_close(&b);
	server_stop(&s1);
	server_stop(&s2);
}

void
bench_fanout(void)
{
	unsigned c;

	for (c = 0; c < sizeof cases / sizeof cases[0]; c++)
		if (bench_wants(cases[c].name))
			run_case(c);
	if (bench_wants("fanout-workers"))
		run_workers();
}
