/*
 * What of the region an heir goes by: the slot's own line and those of its words that are no
 * statistics, the records in use, the extensions, blocks, spans and lists that they name, the
 * channels with the cells around their tails and the heads of their chains, claims, marks, the
 * intents of all writers, moves, the last records of idempotency keys and the words that may name
 * them.
 *
 * Left out are words that only tell the time or whether somebody sleeps: they depend on the clock,
 * and on whether the worker is an heir, and points would not be found again. What no word names is
 * nobody's, so of bytes that are named only the first ones are looked at, because they are there
 * before the name is, or come one after the other.
 */
#include "t/20-stress/step_state.h"

#include <stddef.h>

#include "shm/channel_layout.h"
#include "shm/frame_layout.h"
#include "shm/idempotency_layout.h"
#include "shm/slot_layout.h"
#include "t/20-stress/step_server.h"

enum { NAMED_BYTES = 64, CELLS_HASHED = 4, WORDS_HASHED = 8, CLAIMS_HASHED = 256 };

static uint64_t
mix(uint64_t h, const void *p, size_t n)
{
	const volatile uint64_t *w = p;
	size_t i;

	for (i = 0; i < n / 8; i++) {
		h = (h ^ w[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 31;
	}
	return h;
}

/* Bytes that are named: so many, or the first of them. */
static uint64_t
mix_bytes(uint64_t h, const unsigned char *p, uint64_t n)
{
	return mix(h, p, n < NAMED_BYTES ? (size_t)n : NAMED_BYTES);
}

static uint64_t
mix_block(const struct region *r, uint64_t h, uint64_t block)
{
	const struct block *k;

	if (block == 0 || block > r->caps.blocks)
		return h;
	k = region_block(r, 0, (uint32_t)block - 1);
	return mix_bytes(mix(h, k, offsetof(struct block, data)), k->data, word_get(&k->len));
}

static uint64_t
mix_assembly(const struct region *r, uint64_t h, uint64_t block)
{
	const struct block *k;

	if (block == 0 || block > r->caps.blocks)
		return h;
	k = region_block(r, 0, (uint32_t)block - 1);
	return mix_bytes(mix(h, &k->commit, 16), k->data, commit_len(word_get(&k->commit)));
}

static const struct span *
span_at(const struct region *r, uint64_t ref)
{
	uint64_t at = (ref - 1) * FRAME_UNIT;

	if (ref == 0 || at + sizeof(struct span_list) + NAMED_BYTES > r->caps.frame_arena)
		return NULL;
	return (const struct span *)(region_frames(r, 0) + at);
}

/* Behind what is committed, and of effects that are not valid, there may be anything. */
static uint64_t
mix_span(const struct region *r, uint64_t h, uint64_t ref)
{
	const struct span *s = span_at(r, ref);
	uint64_t commit;

	if (s == NULL)
		return h;
	commit = word_get(&s->commit);
	h = mix(h, &s->commit, 8);
	if (s->kind != SPAN_REPLY)
		return mix_bytes(mix(h, s, sizeof *s), s->data, commit_len(commit));
	if (word_get(&s->from) == commit)
		h = mix(h, s->data, SPAN_EFFECTS * sizeof(struct effect));
	return mix_bytes(mix(h, &s->from, 8), s->data + SPAN_EFFECTS * sizeof(struct effect),
	    commit_len(commit));
}

static uint64_t
mix_plan(const struct region *r, uint64_t h, uint64_t plan)
{
	const struct span_list *l;

	switch (plan_kind(plan)) {
	case PLAN_CUT:
		return mix_block(r, h, plan_ref(plan));
	case PLAN_SPAN:
		return mix_span(r, h, plan_ref(plan));
	case PLAN_LIST:
		l = (const struct span_list *)(const void *)span_at(r, plan_ref(plan));
		return l == NULL ? h : mix(h, l, 8 + 8 * (l->n <= LIST_MAX ? l->n : 0));
	case PLAN_NONE:
		break;
	}
	return h;
}

static uint64_t
mix_conn(const struct region *r, uint64_t h, const struct conn *c)
{
	uint64_t ext = word_get(&c->ext);
	enum ext_class k = (enum ext_class)(ext >> 28 & 3);

	/* without what only tells the time: it would make points of its own */
	h = mix(h, c, offsetof(struct conn, seen));
	h = mix(h, &c->stream, offsetof(struct conn, deadline) - offsetof(struct conn, stream));
	h = mix(h, &c->goodbye, sizeof *c - offsetof(struct conn, goodbye));
	if (ext != 0 && k < EXT_CLASSES && (ext & 0xfffffff) <= r->caps.conns)
		h = mix(h, region_ext(r, 0, k, (uint32_t)(ext & 0xfffffff) - 1),
		    ext_subs(k) * sizeof(struct sub));
	h = mix_plan(r, h, word_get(&c->plan));
	h = mix_span(r, h, word_get(&c->ctl));
	h = mix_block(r, h, word_get(&c->part));
	return mix_assembly(r, h, word_get(&c->assembly));
}

static uint64_t
mix_channel(const struct region *r, uint64_t h, uint32_t chan)
{
	const struct channel *c = &r->channels[chan];
	uint32_t hash = word32_get(&c->hash);
	uint64_t q;
	unsigned i;

	h = mix(h, c, 48);
	h = (h ^ word32_get(&r->buckets[hash % r->caps.channels])) * 0x9e3779b97f4a7c15ull;
	q = word_get(&c->tail);
	for (i = 0; i < CELLS_HASHED; i++)
		h = mix(
		    h, region_ring(r, chan) + ((q + i) & channel_mask(c, r->caps.ring_cells)), 8);
	for (i = 0; i < r->caps.workers; i++)
		h = mix(h, &region_dirty(r, i)[chan / 64], 8);
	return h;
}

/* The last two records of each pool: one may be in hand, one is prepared. */
static uint64_t
mix_keys(const struct server *s, uint64_t h)
{
	const struct region *r = &s->r;
	uint32_t n = region_idempotency_words(&r->caps), i, index;
	unsigned parity, k;

	h = mix(h, s->slot->idempotency_used, sizeof s->slot->idempotency_used);
	for (parity = 0; parity < 2; parity++) {
		index = (uint32_t)word_get(&s->slot->idempotency_used[parity]);
		for (k = index == 0; k < 2 && index - 1 + k < r->caps.idempotency; k++) {
			const struct idempotency_record *p =
			    region_idempotency_record(r, 0, parity, index - 1 + k);

			h = mix(h, p, sizeof *p);
			for (i = 0; i < WORDS_HASHED; i++)
				h = mix(h, &region_idempotency(r, parity)[(word_get(
				    &p->fingerprint[0]) + i) & (n - 1)], 8);
		}
	}
	return h;
}

/* What all writers intend; the place that our own one got. */
static uint64_t
mix_intents(const struct server *s, uint64_t h)
{
	const struct region *r = &s->r;
	uint64_t own = word_get(&s->slot->intent) & ~(uint64_t)INTENT_FLAGS;
	unsigned i;

	for (i = 0; i < WRITERS_MAX; i++)
		if (region_has_writer(r, i))
			h = mix(h, &region_slot(r, i)->intent, 8);
	return mix(h, region_arena(r, 0) + (own & (r->caps.arena - 1)), 8);
}

/* What two slots agree upon. */
static uint64_t
mix_moves(const struct region *r, uint64_t h)
{
	uint64_t used;
	unsigned i;

	for (i = 0; i < r->caps.workers; i++) {
		used = word_get(&region_slot(r, i)->conns_used);
		if (used > r->caps.conns)
			used = r->caps.conns;
		h = mix(h, region_moves(r, i), used * sizeof(word64));
	}
	return h;
}

uint64_t
state_hash(const struct server *s)
{
	const struct region *r = &s->r;
	const struct conn *c = region_conns(r, 0);
	uint64_t h = mix(1, s->slot, 64), used = word_get(&s->slot->conns_used), i;

	for (i = 0; i < CLAIMS_HASHED && i < r->caps.channels; i++)
		h = mix(h, &r->channels[i].claim, 8);
	h = mix(h, &s->slot->conns_used, 8);
	h = mix(h, &s->slot->suspect_key, 16);
	h = mix(h, &s->slot->arriving, 16);
	if (r->caps.workers > 1)
		h = mix_moves(r, h);
	h = mix(h, s->slot->summary, sizeof s->slot->summary);
	h = mix_intents(s, h);
	if (s->keys)
		h = mix_keys(s, h);
	for (i = 0; i < used && i < r->caps.conns; i++)
		if (word32_get(&c[i].state) != CONN_FREE)
			h = mix_conn(r, h, &c[i]);
	for (i = 0; i < s->nchans; i++)
		h = mix_channel(r, h, s->chan[i]);
	i = word_get(&s->slot->claiming);
	return i == 0 || i > r->caps.channels ? h : mix_channel(r, h, (uint32_t)i - 1);
}
