/*
 * The arena of a writer: a ring of bytes that only its owner writes and everybody reads. Positions
 * run free in 64 bits; a record lies at position modulo the arena's size.
 */
#ifndef PLENUM_SHM_ARENA_H
#define PLENUM_SHM_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/event_layout.h"

struct region;
struct writer;

/*
 * Appends a record and returns its position. h->len bytes of data, at most EVENT_MAX. Makes room
 * first: records that their channel still refers to are moved forward, within a bounded budget.
 * Owner only. Never blocks.
 */
uint64_t arena_append(struct writer *w, const struct event_head *h, const void *data);

/* Changes the words of a record that no cell names yet. Owner only. */
void arena_set_seq(struct writer *w, uint64_t pos, uint64_t seq);
void arena_set_chan(struct writer *w, uint64_t pos, uint32_t chan);

/*
 * Copies the head of the record at pos (modulo 2^47) of a writer's arena. False if it does not fit
 * the arena or has been lapped. Any process; what comes back is untrusted until validated.
 */
bool arena_peek(const struct region *r, unsigned writer, uint64_t pos, struct event_head *h);

/* Copies n bytes of its data; false if it was lapped meanwhile (dst is then rubbish). */
bool arena_copy(const struct region *r, unsigned writer, uint64_t pos, uint64_t seq, void *dst,
    size_t n);

/* What an owner that died had reserved and not filled becomes padding. Owner (heir) only. */
void arena_repair(struct writer *w);

#endif
