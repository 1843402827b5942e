/*
 * Below sixteen each microsecond has its own bucket; above, the four bits behind the leading one
 * choose within the octave.
 */
#include "t/tools/latency.h"

#include <inttypes.h>
#include <stdio.h>

static unsigned
bucket_of(uint64_t us)
{
	unsigned octave;

	if (us < LATENCY_PER_OCTAVE)
		return (unsigned)us;
	octave = 63u - (unsigned)__builtin_clzll(us);
	return (octave - 3) * LATENCY_PER_OCTAVE +
	    (unsigned)(us >> (octave - 4) & (LATENCY_PER_OCTAVE - 1));
}

static uint64_t
floor_of(unsigned bucket)
{
	unsigned octave = bucket / LATENCY_PER_OCTAVE + 3;

	if (bucket < LATENCY_PER_OCTAVE)
		return bucket;
	return (uint64_t)(LATENCY_PER_OCTAVE + bucket % LATENCY_PER_OCTAVE) << (octave - 4);
}

void
latency_add(struct latency *l, uint64_t from, uint64_t to)
{
	uint64_t us = to > from ? (to - from) / 1000 : 0;
	unsigned b = bucket_of(us);

	l->buckets[b < LATENCY_BUCKETS ? b : LATENCY_BUCKETS - 1]++;
	if (us > l->max)
		l->max = us;
}

uint64_t
latency_percentile(const struct latency *l, unsigned percent)
{
	uint64_t total = 0, seen = 0;

	for (unsigned b = 0; b < LATENCY_BUCKETS; b++)
		total += l->buckets[b];
	for (unsigned b = 0; total > 0 && b < LATENCY_BUCKETS; b++) {
		seen += l->buckets[b];
		if (seen * 100 >= total * percent)
			return floor_of(b);
	}
	return 0;
}

void
latency_print(const char *prefix, const struct latency *l)
{
	printf(" %sp50_us=%" PRIu64 " %sp99_us=%" PRIu64 " %smax_us=%" PRIu64, prefix,
	    latency_percentile(l, 50), prefix, latency_percentile(l, 99), prefix, l->max);
}
