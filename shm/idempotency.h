/*
 * Idempotency keys: whoever asks first for a key in a channel becomes its owner and publishes; who
 * asks later, of whatever worker, gets the first one's answer. Remembered for ten minutes at least
 * and twice that at most.
 */
#ifndef PLENUM_SHM_IDEMPOTENCY_H
#define PLENUM_SHM_IDEMPOTENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct doubt;
struct idempotency_record;
struct region;
struct writer;

enum {
	IDEMPOTENCY_KEY_MAX = 128,		/* bytes */
	/* ten minutes, and some for a master that was stopped between its clock and its store */
	IDEMPOTENCY_PERIOD_MS = (600 + 5) * 1000,
};

enum idempotency_result {
	IDEMPOTENCY_OWNER,	/* publish, then idempotency_finish() or idempotency_give_up() */
	IDEMPOTENCY_ANSWERED,	/* epoch and seq are those of the first */
	IDEMPOTENCY_UNFINISHED,	/* the first is at work, or its heir will be */
	IDEMPOTENCY_FULL,	/* the table has no room */
};

struct idempotency {
	const char *channel;	/* 1-128 bytes */
	size_t channel_len;
	const char *key;	/* valid by idempotency_key_valid() */
	size_t key_len;
	uint64_t cookie;	/* the asking message: connection and place in its stream */
	uint64_t in_off;
	uint64_t epoch;		/* out, with ANSWERED */
	uint64_t seq;
	struct idempotency_record *record;	/* out, with OWNER; of the region */
};

/* Whether these bytes may be a key: 1 to 128, printable. Pure. */
bool idempotency_key_valid(const char *key, size_t n);

/*
 * Asks. Of all who ask for a key one becomes owner; the same message, asked again by an heir,
 * becomes owner again. The owner must publish with the same cookie and in_off. Worker that owns the
 * writer only. Lock-free: it never waits for anybody.
 */
enum idempotency_result idempotency_get(struct writer *w, struct idempotency *q);

/* Owner: it is published, and everybody who asks from now on gets this answer. */
void idempotency_finish(struct idempotency *q, uint64_t epoch, uint64_t seq);

/* Owner: it could not be published, the next one who asks may try. */
void idempotency_give_up(struct idempotency *q);

/*
 * After what the dead owner had in hand has been executed again: a key that is still unfinished
 * belongs to a message that never will be. It is answered if its publish took place (d is what
 * event_recover() said, whether it was used since or not), else given up. Heir only.
 */
void idempotency_settle(struct writer *w, const struct doubt *d);

/*
 * Begins a new period if the last is over; true if so. now: ms, CLOCK_MONOTONIC, not 0. Master, a
 * few times a second. idempotency_turn() does it at once.
 */
bool idempotency_tick(const struct region *r, uint64_t now);
void idempotency_turn(const struct region *r);

#endif
