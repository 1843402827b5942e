/*
 * A writer: the private handle through which a process publishes. Each process of plenumd that
 * publishes or subscribes is one writer; its index names its slot, its arena, its dirty bitmap and
 * its bit in a channel's interest word.
 */
#ifndef PLENUM_SHM_WRITER_H
#define PLENUM_SHM_WRITER_H

#include <stdint.h>

#include "shm/word.h"

struct region;
struct slot;

struct writer {
	const struct region *r;
	unsigned index;
	struct slot *slot;
	unsigned char *arena;
	uint64_t arena_size;
	word64 *dirty;
	uint64_t wake;		/* writers that have something to read since the last wake-up */
};

/*
 * Opens the writer `index` of the region for this process, which must be the only one that runs as
 * it. What an owner before left half reserved becomes padding. Allocates nothing, never blocks.
 */
void writer_open(struct writer *w, const struct region *r, unsigned index);

#endif
