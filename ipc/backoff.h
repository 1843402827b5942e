/*
 * Back-off: how long to wait before something that ended is started again. Only faults and early
 * exits count, an end that came from outside never does.
 */
#ifndef PLENUM_IPC_BACKOFF_H
#define PLENUM_IPC_BACKOFF_H

#include <stdint.h>

enum { BACKOFF_FREE = 5 };

struct backoff {
	uint64_t at[BACKOFF_FREE];	/* ms without what was waited: the last faults, a ring */
	uint64_t waited;		/* ms, in all: that is no time without a fault */
	unsigned count;
	unsigned ms;
};

/* Counts a fault at `now` (ms); what to wait: 0 for five in ten seconds, then 100 ms to 5 s. */
unsigned backoff_next(struct backoff *b, uint64_t now);

#endif
