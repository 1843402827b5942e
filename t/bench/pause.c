/*
 * From a worker's death to the first byte of its heir: the worker is killed, a client that was
 * there before says something at once, and waits. Wall time, as a user would see it.
 */
#include "t/bench/bench.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "t/bench/load.h"

/* ms, from the kill to the answer. */
static double
kill_once(struct server *s, int fd)
{
	pid_t worker = server_worker(s, 0);
	char in[256];
	uint64_t begin;
	double ms;

	if (worker == 0)
		errx(1, "there is no worker");
	begin = clock_wall();
	kill(worker, SIGKILL);
	load_say(fd, "{\"type\":\"ping\"}");
	if (recv(fd, in, sizeof in, 0) <= 0)
		err(1, "the connection did not live on");
	ms = (double)(clock_wall() - begin) / 1e6;
	do {
		usleep(20000);
		server_look(s);
	} while (server_worker(s, 0) == 0 || server_worker(s, 0) == worker);
	return ms;
}

static void
run_case(unsigned connections, const char *goal)
{
	static struct samples pause;
	struct server plenum;
	struct load l;
	char what[80];
	unsigned i;

	pause.n = 0;
	server_start_plenum(&plenum, 1, bench_plenum_options);
	load_open(&l, &plenum, connections, 1);
	for (i = 0; i < bench_options.rounds; i++) {
		samples_add(&pause, kill_once(&plenum, l.sub[connections].fd));
		load_publish(&l, 1);	/* and nobody else was lost */
		load_wait(&l);
	}
	snprintf(what, sizeof what, "kill to first byte, %u connections, worst %.2f", connections,
	    samples_at(&pause, 1));
	bench_row(what, "ms", &pause, NULL, NULL, goal);
	load_close(&l);
	server_stop(&plenum);
}

void
bench_pause(void)
{
	if (bench_wants("pause-1000"))
		run_case(1000, "plenum < 2");
	if (bench_wants("pause-10000"))
		run_case(10000, "plenum < 100");
}
