/* A histogram of times with buckets of one sixteenth of an octave. */
#ifndef PLENUM_TOOLS_LATENCY_H
#define PLENUM_TOOLS_LATENCY_H

#include <stdint.h>

enum {
	LATENCY_PER_OCTAVE = 16,
	LATENCY_BUCKETS = 40 * LATENCY_PER_OCTAVE
};

/* Belongs to the caller, zeroed at first. */
struct latency {
	uint64_t buckets[LATENCY_BUCKETS];
	uint64_t max;			/* us */
};

/* Adds the time between two readings of the clock, in ns. */
void latency_add(struct latency *l, uint64_t from, uint64_t to);

/* Below which time `percent` of all lie, in us, rounded down to a bucket. */
uint64_t latency_percentile(const struct latency *l, unsigned percent);

/* Prints " <prefix>p50_us=… <prefix>p99_us=… <prefix>max_us=…". */
void latency_print(const char *prefix, const struct latency *l);

#endif
