/*
 * Capacity: from settings and the descriptor limit to the region's sizes. The tables are made once,
 * at the start; what they hold is what plenumd holds.
 */
#ifndef PLENUM_MASTER_CAPACITY_H
#define PLENUM_MASTER_CAPACITY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/region.h"

struct settings;

enum {
	/* Descriptors of a process that are its own: epoll sets, lines, pidfds, files. */
	CAPACITY_OWN = 64,
	/* Records beyond max_connections, with which a worker refuses politely. */
	CAPACITY_SPARE = 64,
};

struct capacity {
	struct region_caps caps;
	uint32_t connections;		/* per worker, refusals not counted */
	uint32_t asked;			/* max_connections; 0: as many as there may be */
	uint32_t reserve;		/* descriptors of a worker that are no connections */
	uint64_t descriptors;		/* the number that is needed */
	uint64_t allowed;		/* the limit of the host, as far as it can be raised */
};

/* Descriptors of a worker that are no connections. Pure. */
uint32_t capacity_reserve(const struct settings *s);

/*
 * Plans for a limit of `allowed` descriptors per process. 0, or -1 with what is wrong in err: the
 * limit is too low for a single connection. Fewer connections than asked for are no error. Pure.
 */
int capacity_plan(const struct settings *s, uint64_t allowed, struct capacity *out, char *err,
    size_t n);

/* What this process may raise its limit to. */
uint64_t capacity_allowed(void);

/* Sets the limit of this process, and of those it starts, to what the plan needs. 0 or -1. */
int capacity_apply(const struct capacity *c);

/* The arithmetic, for people. */
void capacity_print(FILE *f, const struct capacity *c);

#endif
