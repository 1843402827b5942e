/*
 * The idempotency table: two arrays of words, used in turn by the periods, and records in the pools
 * of the workers, two of them each, used in turn likewise.
 *
 *   word, 64 bits:  writer 6 | index + 1 of the record 25 | period 20 (modulo) | tag 13
 *
 *   record, 64 bytes
 *   0        8        16       24       32       40       48       56       64
 *   +--------+--------+--------+--------+--------+--------+--------+--------+
 *   |period  |fingerprint      |cookie  |in_off  |epoch   |seq     |-       |
 *   +--------+--------+--------+--------+--------+--------+--------+--------+
 *
 *   field        writer                    readers               order        reset by
 *   head.period  master                    workers               seq_cst      never
 *   word         any worker, by CAS from   workers               seq_cst      never: a word of an
 *                what is free                                                 older period is free
 *   period       owner of the pool: 0,     workers (validation,  release,     next use
 *                the rest, then the period before and after)     acquire
 *   fingerprint, owner, before the period  workers               "            next use
 *   cookie,in_off
 *   epoch        owner, before seq         workers               "            next use
 *   seq          owner: 0 unfinished, then workers, heir         "            next use
 *                once the seq or GIVEN_UP
 *   slot.used    owner: period 32 | index  heir                  word_set     next period
 *                of the next record 32
 */
#ifndef PLENUM_SHM_IDEMPOTENCY_LAYOUT_H
#define PLENUM_SHM_IDEMPOTENCY_LAYOUT_H

#include "shm/layout.h"
#include "shm/word.h"

enum {
	IDEMPOTENCY_INDEX_BITS = 25,
	IDEMPOTENCY_PERIOD_BITS = 20,	/* 20 years of periods */
	IDEMPOTENCY_TAG_BITS = 13,
	IDEMPOTENCY_CAP_MIN = 16,
	IDEMPOTENCY_CAP_MAX = 1 << 24,
	IDEMPOTENCY_WORDS_PER_KEY = 2,	/* so that a full table still has short probes */
};
_Static_assert(6 + IDEMPOTENCY_INDEX_BITS + IDEMPOTENCY_PERIOD_BITS + IDEMPOTENCY_TAG_BITS == 64,
    "a word of the idempotency table has 64 bits");

/* seq of a record whose owner could not publish */
#define IDEMPOTENCY_GIVEN_UP UINT64_MAX

struct idempotency_record {
	word64 period;
	word64 fingerprint[2];
	word64 cookie;
	word64 in_off;
	word64 epoch;
	word64 seq;
	uint64_t pad;
};
LAYOUT_AT(idempotency_record, period, 0);
LAYOUT_AT(idempotency_record, fingerprint, 8);
LAYOUT_AT(idempotency_record, cookie, 24);
LAYOUT_AT(idempotency_record, in_off, 32);
LAYOUT_AT(idempotency_record, epoch, 40);
LAYOUT_AT(idempotency_record, seq, 48);
LAYOUT_SIZE(idempotency_record, 64);

static inline uint64_t
idempotency_word(unsigned writer, uint32_t index, uint64_t period, uint64_t tag)
{
	return (uint64_t)writer << 58 |
	    (uint64_t)(index + 1) << (IDEMPOTENCY_PERIOD_BITS + IDEMPOTENCY_TAG_BITS) |
	    (period & ((1u << IDEMPOTENCY_PERIOD_BITS) - 1)) << IDEMPOTENCY_TAG_BITS |
	    (tag & ((1u << IDEMPOTENCY_TAG_BITS) - 1));
}

static inline unsigned
idempotency_word_writer(uint64_t word)
{
	return (unsigned)(word >> 58);
}

/* UINT32_MAX if it names none */
static inline uint32_t
idempotency_word_index(uint64_t word)
{
	return ((uint32_t)(word >> (IDEMPOTENCY_PERIOD_BITS + IDEMPOTENCY_TAG_BITS)) &
	    ((1u << IDEMPOTENCY_INDEX_BITS) - 1)) - 1;
}

static inline unsigned
idempotency_word_tag(uint64_t word)
{
	return (unsigned)word & ((1u << IDEMPOTENCY_TAG_BITS) - 1);
}

/* How many periods before `period` a word is; negative: after it. */
static inline int32_t
idempotency_word_age(uint64_t word, uint64_t period)
{
	uint32_t d = (uint32_t)(period - (word >> IDEMPOTENCY_TAG_BITS));

	return (int32_t)(d << (32 - IDEMPOTENCY_PERIOD_BITS)) >> (32 - IDEMPOTENCY_PERIOD_BITS);
}

#endif
