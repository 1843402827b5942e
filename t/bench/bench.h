/*
 * The benchmarks. Each prints rows of one table: what, plenum's figure, the floor's figure of the
 * same run, their ratio (of rounds that followed each other: median and quartiles), and the goal.
 */
#ifndef PLENUM_BENCH_BENCH_H
#define PLENUM_BENCH_BENCH_H

#include "t/bench/clock.h"
#include "t/bench/server.h"

struct bench_options {
	unsigned rounds;
	const char *only;		/* NULL: all */
};
extern struct bench_options bench_options;

/* Options of plenumd that lift what protects a server from a load like this. */
extern const char *const bench_plenum_options[];

/* One row. Figures in `unit`; goal in words. b may be NULL. */
void bench_row(const char *what, const char *unit, struct samples *plenum, struct samples *floor,
    struct samples *ratio, const char *goal);
/* A line below a table. */
void bench_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* True if a benchmark of this name is wanted. */
bool bench_wants(const char *name);

void bench_fanout(void);
void bench_requests(void);
void bench_idle(void);
void bench_pause(void);
void bench_curve(void);
void bench_region(void);

#endif
