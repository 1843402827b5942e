/*
 * What a publish costs the server against how much else there is: channels that exist, connections
 * that are idle. One publisher, one subscriber, 64 messages at a time. The first point of a curve
 * stands in the column of the floor.
 */
#include "t/bench/bench.h"

#include <stdio.h>
#include <unistd.h>

#include "t/bench/holder.h"
#include "t/bench/load.h"

enum { BATCH = 64, BATCHES = 100, HOLDERS_MAX = 8, WORKERS = 4, PER_HOLDER = 15000,
	PAUSE_US = 150000 };		/* a connection may send 65535 messages a second */

/* µs of the server per event that is published, delivered once and answered. */
static double
cost(struct load *l)
{
	uint64_t cpu = server_cpu(l->server);
	unsigned i;

	for (i = 0; i < BATCHES; i++) {
		load_publish(l, BATCH);
		load_wait(l);
	}
	return (double)(server_cpu(l->server) - cpu) / (BATCH * BATCHES) / 1000;
}

static void
measure(struct load *l, struct samples *s)
{
	unsigned i;

	s->n = 0;
	cost(l);
	for (i = 0; i < bench_options.rounds; i++) {
		usleep(PAUSE_US);
		samples_add(s, cost(l));
	}
}

static void
row(const char *what, unsigned n, struct samples *s, struct samples *first)
{
	static struct samples ratio;
	char text[96];

	ratio.n = 0;
	samples_add(&ratio, samples_at(s, 0.5) / samples_at(first, 0.5));
	snprintf(text, sizeof text, "a publish beside %u %s, server", n, what);
	bench_row(text, "µs", s, first, &ratio, "level");
}

/* The channels are made by an event in each, and then published to in turn. */
static void
run_channels(void)
{
	static const unsigned channels[] = { 1, 100, 10000, 60000 };
	static struct samples s, spread, first;
	struct server plenum;
	unsigned i, k;

	for (i = 0; i < sizeof channels / sizeof channels[0]; i++) {
		struct load one, all;

		server_start_plenum(&plenum, 1, bench_plenum_options);
		load_open(&one, &plenum, 1, 1);
		load_open(&all, &plenum, 0, channels[i]);
		all.first_room = 1;
		for (k = 0; k < channels[i]; k += BATCH) {
			load_publish(&all, channels[i] - k < BATCH ? channels[i] - k : BATCH);
			load_wait(&all);
		}
		measure(&one, i == 0 ? &first : &s);
		row("channels", channels[i], i == 0 ? &first : &s, &first);
		if (channels[i] == 60000) {
			measure(&all, &spread);
			row("channels, to each of them in turn (no subscriber)", channels[i],
			    &spread, &first);
		}
		load_close(&one);
		load_close(&all);
		server_stop(&plenum);
	}
}

static void
run_connections(void)
{
	static const unsigned connections[] = { 0, 1000, 10000, 50000 };
	static struct samples s, first;
	struct holder holder[HOLDERS_MAX];
	struct server plenum;
	struct load one;
	unsigned i, n = 0, have = 0;

	server_start_plenum(&plenum, WORKERS, bench_plenum_options);
	load_open(&one, &plenum, 1, 1);
	for (i = 0; i < sizeof connections / sizeof connections[0]; i++) {
		while (have < connections[i]) {
			unsigned more = connections[i] - have;

			if (more > PER_HOLDER)
				more = PER_HOLDER;
			holder_start(&holder[n++], &plenum, more, 1, have + 2);
			have += more;
		}
		measure(&one, i == 0 ? &first : &s);
		row("idle connections, 4 workers", connections[i], i == 0 ? &first : &s, &first);
	}
	while (n > 0)
		holder_stop(&holder[--n]);
	load_close(&one);
	server_stop(&plenum);
}

void
bench_curve(void)
{
	if (bench_wants("curve-channels"))
		run_channels();
	if (bench_wants("curve-connections"))
		run_connections();
}
