/*
 * The kernel's clocks, and what a round's figures come to. CPU is that of processes, to the
 * nanosecond, as the scheduler counts it; no figure of a benchmark is wall time unless it says so.
 */
#ifndef PLENUM_BENCH_CLOCK_H
#define PLENUM_BENCH_CLOCK_H

#include <stdint.h>
#include <sys/types.h>

enum { SAMPLES_MAX = 4096 };

/* Figures of rounds. The owner zeroes it before the first. */
struct samples {
	unsigned n;
	double v[SAMPLES_MAX];
};

/* Nanoseconds. Fatal if the process is gone: a figure without it would be wrong. */
uint64_t clock_cpu(pid_t pid);
uint64_t clock_cpu_self(void);
uint64_t clock_wall(void);

/* The part of its CPU time that a process spent in user mode, 0 … 1, as the tick saw it. */
void clock_modes(pid_t pid, uint64_t *user, uint64_t *system);

void samples_add(struct samples *s, double v);
/* The value below which the part q (0 … 1) of them lies; 0 without any. */
double samples_at(struct samples *s, double q);

#endif
