/*
 * bench [-r ROUNDS] [NAME]: runs the benchmarks whose name begins with NAME, or all. Everything is
 * pinned to one processor: the server and the load never run at the same time, so a clock of the
 * kernel's is exact, and what the one leaves undone is not done by the other unseen. PLENUMD names
 * the server (./plenumd).
 */
#define _GNU_SOURCE
#include "t/bench/bench.h"

#include <err.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

struct bench_options bench_options = { .rounds = 31 };

const char *const bench_plenum_options[] = {
	"-D", "message_rate=65535/s", "-D", "ping_interval=1h", "-D", "ping_timeout=2h",
	"-D", "keepalive_timeout=10m", "-D", "log_level=warning", NULL
};

static const struct {
	const char *name;
	void (*run)(void);
} benches[] = {
	{ "fanout", bench_fanout },
	{ "requests", bench_requests },
	{ "idle", bench_idle },
	{ "pause", bench_pause },
	{ "curve", bench_curve },
	{ "region", bench_region },
};

bool
bench_wants(const char *name)
{
	return bench_options.only == NULL || strstr(name, bench_options.only) != NULL;
}

static void
print_samples(struct samples *s)
{
	if (s == NULL)
		printf(" – |");
	else
		printf(" %.3g (%.3g–%.3g) |", samples_at(s, 0.5), samples_at(s, 0.25),
		    samples_at(s, 0.75));
}

void
bench_row(const char *what, const char *unit, struct samples *plenum, struct samples *floor,
    struct samples *ratio, const char *goal)
{
	printf("| %s, %s |", what, unit);
	print_samples(plenum);
	print_samples(floor);
	print_samples(ratio);
	printf(" %s |\n", goal);
	fflush(stdout);
}

void
bench_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static void
pin(void)
{
	cpu_set_t set;
	const char *want = getenv("BENCH_CPU");

	CPU_ZERO(&set);
	CPU_SET(want == NULL ? 0 : atoi(want), &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0)
		err(1, "sched_setaffinity");
}

static void
raise_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		err(1, "getrlimit");
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

static void
print_head(void)
{
	char line[256], model[128] = "?";
	struct utsname u;
	FILE *f = fopen("/proc/cpuinfo", "r");

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "model name : %127[^\n]", model) == 1)
			break;
	if (f != NULL)
		fclose(f);
	uname(&u);
	printf("%s, %ld processors, %s %s; one processor used; medians of %u rounds "
	    "(quartiles)\n\n", model, sysconf(_SC_NPROCESSORS_ONLN), u.sysname, u.release,
	    bench_options.rounds);
	printf("| what | plenum | floor | ratio | goal |\n|---|---|---|---|---|\n");
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	int c;
	unsigned i;

	while ((c = getopt(argc, argv, "r:")) != -1) {
		if (c != 'r' || atoi(optarg) < 1) {
			fprintf(stderr, "usage: bench [-r ROUNDS] [NAME]\n");
			return 2;
		}
		bench_options.rounds = (unsigned)atoi(optarg);
	}
	if (optind < argc)
		bench_options.only = argv[optind];
	pin();
	raise_descriptors();
	print_head();
	for (i = 0; i < sizeof benches / sizeof benches[0]; i++)
		benches[i].run();
	return 0;
}
