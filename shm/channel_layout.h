/*
 * The channel table: buckets of chains of channel records, and a ring of cells per channel.
 *
 *   bucket[hash] -> channel.next -> channel.next -> 0       numbers + 1, 0 ends
 *
 *   channel, 256 bytes
 *   0        8        16       24    28   32       40   44   48   52   56  57    58  64       72
 *   +--------+--------+--------+-----+----+--------+----+----+----+----+---+-----+---+--------+----
 *   |tail    |interest|claim   |next |hash|epoch   |mask|hist|gen |-   |len|slow |-  |created |name
 *   +--------+--------+--------+-----+----+--------+----+----+----+----+---+-----+---+--------+----
 *
 *   cell, 64 bits:  tag 16 (low bits of seq) | writer 6 | place 42 (arena position / 32, mod 2^42)
 *
 *   field     writer                     readers            order        reset by
 *   tail      any publisher, by CAS      everybody          acq_rel      master, when retired
 *   interest  each writer its own bit    publishers         seq_cst      master, when retired
 *   claim     claimant by CAS from 0;    everybody          acq_rel      master: 0
 *             master CLOSING, RETIRED
 *   next      creator, before the CAS    everybody          acquire      creator
 *             into the bucket; then the
 *             master (unlink)
 *   hash,     creator, before that CAS   everybody; the     relaxed      creator
 *   mask,                                cleaner and master
 *   history                              also of a record
 *                                        in preparation
 *   rest      creator, before that CAS   everybody          (published   creator
 *                                                            by the CAS)
 *   cell      publishers, by one CAS:    everybody          seq_cst      master, when retired
 *             the CAS is the event;
 *             the arena's owner (move)
 */
#ifndef PLENUM_SHM_CHANNEL_LAYOUT_H
#define PLENUM_SHM_CHANNEL_LAYOUT_H

#include "shm/layout.h"
#include "shm/limits.h"
#include "shm/word.h"

/*
 * claim: 0, or writer + 1 of its creator, or being taken off the table (CLOSING), or off it
 * (RETIRED). A record that is linked into a chain is published whatever its creator has done since,
 * so there is no further state in between.
 */
enum channel_claim { CHANNEL_FREE = 0, CHANNEL_RETIRED = 0x200, CHANNEL_CLOSING = 0x201 };

static inline int
claim_is_open(uint64_t claim)
{
	return claim > CHANNEL_FREE && claim <= WRITERS_MAX;
}

struct channel {
	word64 tail;
	word64 interest;
	word64 claim;		/* enum channel_claim, or writer + 1 of its creator */
	word32 next;
	word32 hash;
	uint64_t epoch;
	word32 mask;		/* cells in the ring - 1 */
	word32 history;		/* events that a reader may ask for */
	uint32_t gen;		/* counts the uses of this record */
	uint32_t pad0;
	uint8_t name_len;
	uint8_t slow;		/* enum slow_policy of shm/settings.h */
	uint8_t pad1[6];
	uint64_t created;	/* ms since 1970 */
	char name[CHANNEL_NAME_MAX];
	uint8_t pad2[56];
};
LAYOUT_AT(channel, tail, 0);
LAYOUT_AT(channel, interest, 8);
LAYOUT_AT(channel, claim, 16);
LAYOUT_AT(channel, next, 24);
LAYOUT_AT(channel, hash, 28);
LAYOUT_AT(channel, epoch, 32);
LAYOUT_AT(channel, mask, 40);
LAYOUT_AT(channel, history, 44);
LAYOUT_AT(channel, gen, 48);
LAYOUT_AT(channel, name_len, 56);
LAYOUT_AT(channel, slow, 57);
LAYOUT_AT(channel, created, 64);
LAYOUT_AT(channel, name, 72);
LAYOUT_SIZE(channel, 256);

/*
 * A record may hold rubbish (a bug that scribbled) and may be in reuse while somebody's cleaner
 * looks at it: mask, history and the length of the name are read through these, which keep them
 * within what the record has. relaxed: whoever uses the channel got its number from the table,
 * which published them.
 */
static inline uint32_t
channel_mask(const struct channel *c, uint32_t ring_cells)
{
	return atomic_load_explicit((word32 *)&c->mask, memory_order_relaxed) & (ring_cells - 1);
}

static inline uint32_t
channel_history(const struct channel *c, uint32_t ring_cells)
{
	uint32_t n = atomic_load_explicit((word32 *)&c->history, memory_order_relaxed);

	return n < ring_cells ? n : ring_cells;
}

static inline size_t
channel_name_len(const struct channel *c)
{
	return c->name_len < CHANNEL_NAME_MAX ? c->name_len : CHANNEL_NAME_MAX;
}

/* The largest seq: cursors have 44 bits. A tail beyond it is rubbish. */
#define CHANNEL_SEQ_MAX ((1ull << 44) - 1)

/* Cells. */
enum { CELL_UNIT = 32 };
#define CELL_PLACE_MASK ((1ull << 42) - 1)
#define CELL_POS_MASK ((1ull << 47) - 1)

static inline uint64_t
cell_make(uint64_t seq, unsigned writer, uint64_t pos)
{
	return (seq & 0xffff) << 48 | (uint64_t)writer << 42 |
	    ((pos / CELL_UNIT) & CELL_PLACE_MASK);
}

static inline unsigned
cell_tag(uint64_t cell)
{
	return (unsigned)(cell >> 48);
}

static inline unsigned
cell_writer(uint64_t cell)
{
	return (unsigned)(cell >> 42) & 63;
}

/* Modulo 2^47: arenas are powers of two, so the place in the arena is exact. */
static inline uint64_t
cell_pos(uint64_t cell)
{
	return (cell & CELL_PLACE_MASK) * CELL_UNIT;
}

#endif
