/*
 * Back-off: how long to wait before something that ended is started again. Only faults and early
 * exits count, an end that came from outside never does.
 */
#ifndef PLENUM_MASTER_BACKOFF_H
#define PLENUM_MASTER_BACKOFF_H

#include <stdint.h>

enum { BACKOFF_FREE = 5 };

struct backoff {
	uint64_t at[BACKOFF_FREE];	/* ms, the last faults, a ring */
	unsigned count;
	unsigned ms;
};

/* Counts a fault at `now`; ms to wait: 0 for five in ten seconds, then 100 doubling to 5000. */
unsigned backoff_next(struct backoff *b, uint64_t now);

#endif
