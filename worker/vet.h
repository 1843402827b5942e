/* The heir's doubts: whether what its predecessor left can be. Called by recover.c alone. */
#ifndef PLENUM_WORKER_VET_H
#define PLENUM_WORKER_VET_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/priv.h"

/*
 * Before anything else is read: empties the records that cannot be, and puts the slot's own words
 * within their bounds. Never fails.
 */
void vet_records(struct worker *w);

/*
 * Whether a record fits together, its last effects done: only a dialect that frames events
 * subscribes, only one that takes messages is given them, and what rests in a block is the input
 * behind in_done.
 */
bool vet_conn(struct worker *w, uint32_t ci);

/* Bytes of a plan that was vetted. */
uint64_t vet_plan_len(const struct worker *w, uint64_t plan);

/* What the records name: pieces by number - 1, descriptors, the end of the last span. */
struct used {
	unsigned char *block, *ext[EXT_CLASSES], *fd;
	uint64_t frames;
};

void used_init(struct worker *w, struct used *u);
void used_fini(struct used *u);
/* Takes number n (from 1, 0: none) of cap pieces. False: there is none such, or it is taken. */
bool used_take(unsigned char *piece, uint64_t n, uint64_t cap);

#endif
