/*
 * Time is cut into periods of ten minutes. Each has an array of words (two arrays, used in turn),
 * and a word names a record: fingerprint of channel and key, the asking message (origin), the
 * answer. A fingerprint is searched in a fixed order of places, from the one it hashes to, until a
 * word that is free for the period; at most PROBES of them.
 *
 * Free for period p is a word that is 0 or of an older period. So the master turns the period with
 * one store and clears nothing. Nobody changes a word of his own or a later period, with one
 * exception: the reference to a record that was given up may be replaced by one of the same
 * fingerprint. So within a period the places before a fingerprint's stay taken by others, everybody
 * comes by the same ones, and by one CAS only one record of each fingerprint gets in.
 *
 * Asking, with p the period that was read first:
 *
 *	1. the fingerprint is searched in the array of p. Found: that decides.
 *	2. in the array of p - 1. Found, finished or of another message: that decides. Of this
 *	   very message and unfinished: what step 3 finds decides.
 *	3. a record is prepared in the worker's own pool, and a word that names it inserted in the
 *	   array of p by CAS, unless the fingerprint is found there now: then that decides.
 *	4. the period is read again. Still p: owner. Else the record is given up, and all begins
 *	   anew.
 *
 * Two at the same moment. In one period the CAS of step 3 decides. A in p, B in p + 1: if A became
 * owner, it read p after its CAS, so p + 1 was stored after that, B read it later still, and step 2
 * of B finds A's word (all of these are seq_cst; the word is still there, for only p + 2 overwrites
 * it). If A's CAS came too late for that, A reads p + 1 in step 4, begins anew and meets B there.
 * Until A has given up its stray record others may find it and take the key for unfinished, which
 * does no harm; but B's answer must not be hidden by it, so the newer array is searched first. A
 * and B two periods apart are ten minutes apart: the key is forgotten.
 *
 * Somebody who stood still for longer works with words of a period that is over. To the others
 * these are older, so free; he does not touch newer ones, and step 4 sends him back. Records are
 * used again two periods later, by their own worker only. Who still looks at one finds its `period`
 * changed, which is 0 while the record is filled.
 *
 * Deaths. The heir executes the message again, with the same origin.
 *
 *	died after        left                         heir
 *	record prepared   nothing that anybody sees    uses the record again
 *	slot's `used`     a record lost for a period   uses the next one
 *	CAS of the word   unfinished, of its origin    in p: owner; in p - 1: step 3, in which
 *	                                               nobody is met if A was owner already
 *	publish           the same                     owner, and the publish is in doubt
 *	epoch             the same                     the same
 *	seq               finished                     answers with it
 *	given up          given up                     inserts anew, as anybody may
 *
 * A message that no heir executes again (its connection ended with the worker) would leave its key
 * unfinished until it is forgotten: idempotency_settle() looks at the last record of each pool, the
 * only one that can be in hand, and finishes it or gives it up.
 */
#include "shm/idempotency.h"

#include <assert.h>
#include <string.h>

#include "shm/channel_layout.h"
#include "shm/event.h"
#include "shm/idempotency_layout.h"
#include "shm/limits.h"
#include "shm/region.h"
#include "shm/siphash.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum { PROBES = 64, ATTEMPTS = 64 };

/* A record, copied out and validated. */
struct copy {
	struct idempotency_record *record;
	uint64_t fingerprint[2];
	uint64_t cookie, in_off, epoch, seq;
};

/* Where a search ended. */
enum found { FOUND_RECORD, FOUND_PLACE, FOUND_NOTHING };

struct place {
	word64 *word;
	uint64_t old;		/* what it holds; free, or a record that was given up */
	struct copy copy;	/* with FOUND_RECORD */
};

bool
idempotency_key_valid(const char *key, size_t n)
{
	size_t i;

	if (n == 0 || n > IDEMPOTENCY_KEY_MAX)
		return false;
	for (i = 0; i < n; i++)
		if (key[i] < 0x20 || key[i] > 0x7e)
			return false;
	return true;
}

static void
make_fingerprint(const struct region *r, const struct idempotency *q, uint64_t out[2])
{
	unsigned char text[1 + CHANNEL_NAME_MAX + IDEMPOTENCY_KEY_MAX];

	assert(q->channel_len <= CHANNEL_NAME_MAX && q->key_len <= IDEMPOTENCY_KEY_MAX);
	text[0] = (unsigned char)q->channel_len;
	memcpy(text + 1, q->channel, q->channel_len);
	memcpy(text + 1 + q->channel_len, q->key, q->key_len);
	siphash_128(r->head->idempotency_key, text, 1 + q->channel_len + q->key_len, out);
}

static unsigned
tag_of(const uint64_t fp[2])
{
	return (unsigned)fp[1] & ((1u << IDEMPOTENCY_TAG_BITS) - 1);
}

static uint64_t
period_now(const struct region *r)
{
	/* seq_cst: in one order with the CAS of a word, see above */
	return atomic_load(&r->head->idempotency_period);
}

/* ---- searching ---- */

/* The record that a word of this period names, if it is still of it. */
static bool
copy_record(const struct region *r, uint64_t word, uint64_t period, struct copy *c)
{
	unsigned writer = idempotency_word_writer(word);
	uint32_t index = idempotency_word_index(word);
	struct idempotency_record *k;

	if (writer >= r->caps.workers || index >= r->caps.idempotency)
		return false;			/* rubbish */
	c->record = k = region_idempotency_record(r, writer, period, index);
	if (word_get(&k->period) != period)
		return false;
	c->fingerprint[0] = word_get(&k->fingerprint[0]);
	c->fingerprint[1] = word_get(&k->fingerprint[1]);
	c->cookie = word_get(&k->cookie);
	c->in_off = word_get(&k->in_off);
	c->seq = word_get(&k->seq);		/* before epoch, which is stored before it */
	c->epoch = word_get(&k->epoch);
	return word_get(&k->period) == period;
}

static bool
is_of(const struct region *r, uint64_t word, uint64_t period, const uint64_t fp[2], struct copy *c)
{
	if (idempotency_word_age(word, period) != 0 || idempotency_word_tag(word) != tag_of(fp))
		return false;
	return copy_record(r, word, period, c) &&
	    memcmp(c->fingerprint, fp, sizeof c->fingerprint) == 0;
}

/* Searches the array of a period. PLACE: it is not there, and would be inserted here. */
static enum found
search(const struct region *r, uint64_t period, const uint64_t fp[2], struct place *p)
{
	word64 *words = region_idempotency(r, period);
	uint32_t n = region_idempotency_words(&r->caps), i;

	for (i = 0; i < n && i < PROBES; i++) {
		p->word = &words[(fp[0] + i) & (n - 1)];
		/* seq_cst: in one order with the CAS in insert() and with the period */
		p->old = atomic_load(p->word);
		if (p->old == 0 || idempotency_word_age(p->old, period) > 0)
			return FOUND_PLACE;
		if (is_of(r, p->old, period, fp, &p->copy))
			return p->copy.seq == IDEMPOTENCY_GIVEN_UP ? FOUND_PLACE : FOUND_RECORD;
	}
	return FOUND_NOTHING;
}

static bool
is_own(const struct copy *c, const struct idempotency *q)
{
	return c->cookie == q->cookie && c->in_off == q->in_off;
}

/* What a record that was found in the array of the period in force says. */
static enum idempotency_result
judge(const struct copy *c, struct idempotency *q)
{
	if (c->seq != 0) {
		q->epoch = c->epoch;
		q->seq = c->seq;
		return IDEMPOTENCY_ANSWERED;
	}
	q->record = c->record;
	return is_own(c, q) ? IDEMPOTENCY_OWNER : IDEMPOTENCY_UNFINISHED;
}

/* ---- inserting ---- */

static uint32_t
used_in(const struct writer *w, uint64_t period)
{
	uint64_t v = word_get(&w->slot->idempotency_used[period & 1]);

	return (uint32_t)(v >> 32) == (uint32_t)period ? (uint32_t)v : 0;
}

static void
set_used(struct writer *w, uint64_t period, uint32_t used)
{
	word_set(&w->slot->idempotency_used[period & 1], (uint64_t)(uint32_t)period << 32 | used);
}

/* Fills the next record of the pool. False: it has none. */
static bool
prepare(struct writer *w, uint64_t period, const uint64_t fp[2], const struct idempotency *q,
    uint32_t *index)
{
	struct idempotency_record *k;

	*index = used_in(w, period);
	if (*index >= w->r->caps.idempotency)
		return false;
	k = region_idempotency_record(w->r, w->index, period, *index);
	word_set(&k->period, 0);		/* who still reads what it was will see */
	word_set(&k->fingerprint[0], fp[0]);
	word_set(&k->fingerprint[1], fp[1]);
	word_set(&k->cookie, q->cookie);
	word_set(&k->in_off, q->in_off);
	word_set(&k->epoch, 0);
	word_set(&k->seq, 0);
	word_set(&k->period, period);
	set_used(w, period, *index + 1);
	return true;
}

/* Inserts the prepared record unless the fingerprint is there; true if it was inserted. */
static bool
install(struct writer *w, uint64_t period, const uint64_t fp[2], uint32_t index, struct place *p,
    enum found *found)
{
	uint64_t word = idempotency_word(w->index, index, period, tag_of(fp));

	/* a CAS that fails has found a word that somebody else has just filled */
	while ((*found = search(w->r, period, fp, p)) == FOUND_PLACE)
		/* seq_cst: publishes the record; before the second look at the period */
		if (atomic_compare_exchange_strong(p->word, &p->old, word))
			return true;
	return false;
}

/* Steps 3 and 4. False: the period has turned. */
static bool
insert(struct writer *w, uint64_t period, const uint64_t fp[2], struct idempotency *q,
    enum idempotency_result *result)
{
	struct place p;
	enum found found;
	uint32_t index;

	*result = IDEMPOTENCY_FULL;
	if (!prepare(w, period, fp, q, &index))
		return period_now(w->r) == period;
	if (!install(w, period, fp, index, &p, &found)) {
		set_used(w, period, index);	/* nothing names it */
		if (found == FOUND_NOTHING)
			return period_now(w->r) == period;
		*result = judge(&p.copy, q);
		return true;
	}
	q->record = region_idempotency_record(w->r, w->index, period, index);
	*result = IDEMPOTENCY_OWNER;
	if (period_now(w->r) == period)
		return true;
	idempotency_give_up(q);
	return false;
}

/* One attempt in the period that is in force. False: it has turned meanwhile. */
static bool
ask(struct writer *w, uint64_t period, const uint64_t fp[2], struct idempotency *q,
    enum idempotency_result *result)
{
	struct place p;

	if (search(w->r, period, fp, &p) == FOUND_RECORD) {
		*result = judge(&p.copy, q);
		return true;
	}
	if (search(w->r, period - 1, fp, &p) == FOUND_RECORD &&
	    (p.copy.seq != 0 || !is_own(&p.copy, q))) {
		*result = judge(&p.copy, q);
		return true;
	}
	return insert(w, period, fp, q, result);
}

enum idempotency_result
idempotency_get(struct writer *w, struct idempotency *q)
{
	enum idempotency_result result = IDEMPOTENCY_FULL;
	uint64_t fp[2];
	unsigned i;

	assert(w->index < w->r->caps.workers);
	if (w->r->caps.idempotency > 0) {
		make_fingerprint(w->r, q, fp);
		for (i = 0; i < ATTEMPTS && !ask(w, period_now(w->r), fp, q, &result); i++)
			result = IDEMPOTENCY_FULL;
	}
	if (result == IDEMPOTENCY_FULL)
		stat_add(&w->slot->stats, STAT_IDEMPOTENCY_FULL, 1);
	return result;
}

/* ---- ending ---- */

static void
finish(struct idempotency_record *k, uint64_t epoch, uint64_t seq)
{
	word_set(&k->epoch, epoch);
	word_set(&k->seq, seq);
}

void
idempotency_finish(struct idempotency *q, uint64_t epoch, uint64_t seq)
{
	assert(seq != 0 && seq != IDEMPOTENCY_GIVEN_UP);
	finish(q->record, epoch, seq);
}

void
idempotency_give_up(struct idempotency *q)
{
	word_set(&q->record->seq, IDEMPOTENCY_GIVEN_UP);
}

void
idempotency_settle(struct writer *w, const struct doubt *d)
{
	struct idempotency_record *k;
	unsigned parity;
	uint32_t used;

	for (parity = 0; parity < 2; parity++) {
		used = (uint32_t)word_get(&w->slot->idempotency_used[parity]);
		if (used == 0 || used > w->r->caps.idempotency)
			continue;
		k = region_idempotency_record(w->r, w->index, parity, used - 1);
		if (word_get(&k->seq) != 0)
			continue;
		if (d->on && d->head.cookie == word_get(&k->cookie) &&
		    d->head.in_off == word_get(&k->in_off) && d->head.chan < w->r->caps.channels)
			finish(k, w->r->channels[d->head.chan].epoch, d->head.seq);
		else
			word_set(&k->seq, IDEMPOTENCY_GIVEN_UP);
	}
}

/* ---- periods ---- */

void
idempotency_turn(const struct region *r)
{
	/* seq_cst: in one order with the CAS of a word */
	atomic_fetch_add(&r->head->idempotency_period, 1);
}

bool
idempotency_tick(const struct region *r, uint64_t now)
{
	uint64_t since = word_get(&r->head->idempotency_turned);

	if (since != 0 && now - since < IDEMPOTENCY_PERIOD_MS)
		return false;
	/* first, so that a master that dies here forgets later, not earlier */
	word_set(&r->head->idempotency_turned, now);
	if (since == 0)
		return false;
	idempotency_turn(r);
	return true;
}
