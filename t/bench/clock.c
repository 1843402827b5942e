#include "t/bench/clock.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t
nanoseconds(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t) != 0)
		err(1, "clock_gettime");
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t
clock_cpu(pid_t pid)
{
	clockid_t id;
	int e = clock_getcpuclockid(pid, &id);

	if (e != 0)
		errx(1, "process %d: %s", (int)pid, strerror(e));
	return nanoseconds(id);
}

uint64_t
clock_cpu_self(void)
{
	return nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t
clock_wall(void)
{
	return nanoseconds(CLOCK_MONOTONIC);
}

void
clock_modes(pid_t pid, uint64_t *user, uint64_t *system)
{
	char path[64], line[1024], *p;
	unsigned long long u = 0, s = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (f == NULL || fgets(line, sizeof line, f) == NULL)
		err(1, "%s", path);
	fclose(f);
	/* the name is in parentheses and may hold anything; fields 14 and 15, in ticks */
	p = strrchr(line, ')');
	if (p == NULL || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
	    &u, &s) != 2)
		errx(1, "%s: not understood", path);
	*user = u;
	*system = s;
}

void
samples_add(struct samples *s, double v)
{
	if (s->n < SAMPLES_MAX)
		s->v[s->n++] = v;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
samples_at(struct samples *s, double q)
{
	if (s->n == 0)
		return 0;
	qsort(s->v, s->n, sizeof s->v[0], compare);
	return s->v[(unsigned)(q * (s->n - 1) + 0.5)];
}
