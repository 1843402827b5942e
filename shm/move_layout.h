/*
 * A move: a word per record of the source, in which it, the target and their heirs agree whose the
 * connection is.
 *
 *   generation 32 | - 16 | target's slot 8 | kind 8
 *
 *   kind      stored by                          means
 *   NONE      source, or by CAS from OFFERED     the record is its slot's own affair
 *             by whoever ends the offer
 *   OFFERED   source, before state MOVING        the record stands still, the target may take it
 *   TAKEN     target, by CAS from OFFERED        the connection is the target's: this is the move
 *   DONE      target, by CAS from TAKEN          the target needs nothing of the source any more
 *
 * The generation counts the offers of a record, whatever connection it holds, and is never reset:
 * so a message about an offer that has ended matches nothing, for ever. The word says nothing of a
 * record that is not in state MOVING, but that an offer may have begun (OFFERED).
 */
#ifndef PLENUM_SHM_MOVE_LAYOUT_H
#define PLENUM_SHM_MOVE_LAYOUT_H

#include <stdbool.h>

#include "shm/word.h"

enum move_kind { MOVE_NONE, MOVE_OFFERED, MOVE_TAKEN, MOVE_DONE };

static inline uint64_t
move_make(uint32_t gen, unsigned to, enum move_kind kind)
{
	return (uint64_t)gen << 32 | (uint64_t)to << 8 | kind;
}

static inline uint32_t
move_gen(uint64_t move)
{
	return (uint32_t)(move >> 32);
}

static inline unsigned
move_to(uint64_t move)
{
	return (unsigned)(move >> 8) & 0xff;
}

static inline enum move_kind
move_kind(uint64_t move)
{
	return (enum move_kind)(move & 3);
}

/* From one kind to the next, if nobody was faster. */
static inline bool
move_step(word64 *w, uint64_t move, enum move_kind to)
{
	/* seq_cst: pairs with the CAS of the other side, and publishes what was stored before */
	return atomic_compare_exchange_strong(w, &move,
	    move_make(move_gen(move), move_to(move), to));
}

#endif
