/*
 * What lies in a slot's frame arena and blocks. A reference is the offset in the frame arena in
 * units of FRAME_UNIT, plus one, so that 0 is none.
 *
 *   span of replies                                span of events, of a stream
 *   0       commit   in_end 44 | len 20            0       commit   0 | len 20
 *   8       from     commit that the effects are   8       from     frame i carries from + 1 + i
 *                    for, or 0                     16      to       cursor after the last frame
 *   16      to       number of effects             24      chan     channel (events)
 *   24      chan     -                             28      kind     SPAN_EVENTS, SPAN_STREAM
 *   28      kind     SPAN_REPLY                    32      nframes
 *   32      nframes  -                             36      ends     offset in data of the frames'
 *   36      ends     -                                              ends, u32 each
 *   40      data: SPAN_EFFECTS effects, bytes      40      data: bytes, ends
 *
 * All of it is written by the slot's worker before a plan or a ctl names it; of a span that is
 * named only commit (replies) changes: that one store is what queues a reply, declares its input
 * processed and its effects intended.
 */
#ifndef PLENUM_SHM_FRAME_LAYOUT_H
#define PLENUM_SHM_FRAME_LAYOUT_H

#include "shm/layout.h"
#include "shm/limits.h"
#include "shm/word.h"

enum {
	FRAME_UNIT = 16,
	SPAN_BYTES = 64 * 1024,		/* events are collected up to here */
	SPAN_FRAMES = 512,
	SPAN_EFFECTS = 8,
	LIST_MAX = 32,			/* spans in one system call */
};

enum span_kind { SPAN_REPLY, SPAN_EVENTS, SPAN_STREAM };

/* Words of a connection that an effect may store. Numbers of the ABI. */
enum effect_word {
	EFFECT_STATE = 1,		/* bits of CONN_EFFECT_BITS */
	EFFECT_CURSOR,			/* index: subscription */
	EFFECT_INFO,			/* index: subscription */
	EFFECT_WAIT,
	EFFECT_STREAM,
	EFFECT_STREAM_NEXT,
	EFFECT_STREAM_LAST,
	EFFECT_ASSEMBLY,
	EFFECT_DEADLINE,
	EFFECT_STREAM_FIRST,
	EFFECT_WORD_MAX,
};

struct effect {
	uint32_t word;
	uint32_t index;
	uint64_t value;
};
LAYOUT_SIZE(effect, 16);

struct span {
	word64 commit;
	word64 from;
	uint64_t to;
	uint32_t chan;
	uint32_t kind;
	uint32_t nframes;
	uint32_t ends;
	unsigned char data[];
};
LAYOUT_AT(span, commit, 0);
LAYOUT_AT(span, from, 8);
LAYOUT_AT(span, to, 16);
LAYOUT_AT(span, chan, 24);
LAYOUT_AT(span, kind, 28);
LAYOUT_AT(span, nframes, 32);
LAYOUT_AT(span, ends, 36);
LAYOUT_SIZE(span, 40);

static inline uint64_t
commit_make(uint64_t in_end, uint32_t len)
{
	return in_end << 20 | len;
}

static inline uint32_t
commit_len(uint64_t commit)
{
	return (uint32_t)commit & 0xfffff;
}

static inline uint64_t
commit_in_end(uint64_t commit)
{
	return commit >> 20;
}

/* Several spans handed to the kernel by one call: replies first, then a span per subscription. */
struct span_list {
	uint32_t n;
	uint32_t pad;
	struct {
		uint32_t ref;
		uint32_t sub;		/* index of the subscription, events only */
	} item[LIST_MAX];
};

/*
 * A block. Of input: off is the stream offset of its first byte, len what is there. Of a cut frame:
 * len bytes to send. Of an assembly: commit is (in_end, len), opcode in tag.
 */
struct block {
	word64 off;
	word64 len;
	word64 commit;
	word64 tag;
	unsigned char data[BLOCK_SIZE - 32];
};
LAYOUT_AT(block, data, 32);
LAYOUT_SIZE(block, BLOCK_SIZE);

#endif
