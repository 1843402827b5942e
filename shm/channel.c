/*
 * Get-or-create. A bucket is the head of a chain of records. Who finds no record of the name claims
 * a free one (CAS of its claim word from 0 to his writer number; his slot's `claiming` word was
 * stored before, so that his heir can give it back), fills it in private, points it at the head of
 * the chain he has searched and swings the bucket to it by one CAS. If that fails, somebody has
 * inserted meanwhile: the chain is searched again. As records are inserted at the head only, a CAS
 * that succeeds proves that nobody has inserted the same name since the search.
 *
 * Retiring. The master publishes a cell that belongs to no writer (WRITER_CLOSED) at tail + 1, with
 * the CAS of any publisher. Whoever publishes later finds it there and looks the name up again;
 * look-ups pass over a closed channel. A subscriber that came between the master's look at the
 * interest word and its CAS is marked, finds the channel closed and moves to its successor, telling
 * a gap and a new epoch. Then the record is claimed back (CLOSING), so that the heir of a creator
 * that died just behind its CAS lets it alone, and unlinked: only the master changes `next` of a
 * record in a chain. It stays readable until every process has passed a quiescent point
 * (channel_recycle). Each step may be done again, so a master that was started anew finishes what
 * the last one had begun. The cells that go are testified for, as by any publisher.
 */
#include "shm/channel.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "shm/channel_layout.h"
#include "shm/dirty.h"
#include "shm/event.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum { CHAIN_MAX = CHANNELS_MAX };	/* a longer one is rubbish */

bool
channel_name_valid(const char *name, size_t n)
{
	size_t i;

	if (n == 0 || n > CHANNEL_NAME_MAX)
		return false;
	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			continue;
		if (c == '\0' || strchr("_-.:/@$", c) == NULL)
			return false;
	}
	return true;
}

/* Keyed, so that names cannot be made to share a bucket; mixing as in murmur's finaliser. */
static uint32_t
hash_name(const struct region *r, const char *name, size_t n)
{
	uint64_t h = r->head->hash_key ^ n, v;

	while (n > 0) {
		size_t k = n < 8 ? n : 8;

		v = 0;
		memcpy(&v, name, k);
		h = (h ^ v) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
		name += k;
		n -= k;
	}
	h *= 0xc4ceb9fe1a85ec53ull;
	return (uint32_t)(h ^ h >> 33);
}

static bool
is_named(const struct channel *c, uint32_t hash, const char *name, size_t n)
{
	return word32_get(&c->hash) == hash && c->name_len == n && memcmp(c->name, name, n) == 0;
}

/* Searches a chain from `at` (number + 1) for an open channel of the name. */
static int
search(const struct region *r, uint32_t at, uint32_t hash, const char *name, size_t n,
    uint32_t *chan)
{
	unsigned steps;

	for (steps = 0; at != 0 && at <= r->caps.channels && steps < CHAIN_MAX; steps++) {
		struct channel *c = &r->channels[at - 1];

		/* acquire: pairs with the CAS into the bucket */
		if (claim_is_open(atomic_load_explicit(&c->claim, memory_order_acquire)) &&
		    is_named(c, hash, name, n) && !channel_is_closed(r, at - 1)) {
			*chan = at - 1;
			return 0;
		}
		at = word32_get(&c->next);
	}
	return -1;
}

static word32 *
bucket_of(const struct region *r, uint32_t hash)
{
	return &r->buckets[hash % r->caps.channels];
}

int
channel_find(const struct region *r, const char *name, size_t n, uint32_t *chan)
{
	uint32_t hash;

	if (n > CHANNEL_NAME_MAX)
		return -1;
	hash = hash_name(r, name, n);
	/* acquire: pairs with the CAS into the bucket */
	return search(
	    r, atomic_load_explicit(bucket_of(r, hash), memory_order_acquire), hash, name, n, chan);
}

/* A free record, claimed. Each writer begins at a place of its own. */
static int
claim(struct writer *w, uint32_t *chan)
{
	uint32_t n = w->r->caps.channels, i, at;
	uint32_t start =
	    (uint32_t)((uint64_t)(w->index % WORKERS_MAX) * n / w->r->caps.workers) % n;

	for (i = 0; i < n; i++) {
		uint64_t free_word = CHANNEL_FREE;

		at = (start + i) % n;
		/* relaxed: the CAS decides */
		if (atomic_load_explicit(&w->r->channels[at].claim, memory_order_relaxed) !=
		    CHANNEL_FREE)
			continue;
		word_set(&w->slot->claiming, (uint64_t)at + 1);
		/* acquire: pairs with channel_recycle() */
		if (atomic_compare_exchange_strong_explicit(&w->r->channels[at].claim, &free_word,
		    w->index + 1, memory_order_acq_rel, memory_order_relaxed)) {
			*chan = at;
			return 0;
		}
	}
	word_set(&w->slot->claiming, 0);
	stat_add(&w->slot->stats, STAT_CHANNELS_FULL, 1);
	return -1;
}

static void
give_back(struct writer *w, uint32_t chan)
{
	/* release: pairs with claim() */
	atomic_store_explicit(&w->r->channels[chan].claim, CHANNEL_FREE, memory_order_release);
	word_set(&w->slot->claiming, 0);
}

static uint32_t
ring_cells_for(const struct region *r, uint32_t history)
{
	uint32_t cells = 16;

	while (cells < history)
		cells *= 2;
	return cells < r->caps.ring_cells ? cells : r->caps.ring_cells;
}

static void
fill(struct writer *w, uint32_t chan, uint32_t hash, const char *name, size_t n,
    const struct channel_rule_values *v)
{
	struct channel *c = &w->r->channels[chan];
	uint32_t cells = ring_cells_for(w->r, v->history);
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	word32_set(&c->hash, hash);
	if (getrandom(&c->epoch, sizeof c->epoch, GRND_NONBLOCK) != (ssize_t)sizeof c->epoch)
		c->epoch = (uint64_t)t.tv_sec << 32 ^ (uint64_t)t.tv_nsec << 8 ^ chan;
	/* relaxed: as for tail below */
	atomic_store_explicit(&c->mask, cells - 1, memory_order_relaxed);
	atomic_store_explicit(&c->history, v->history < cells ? v->history : cells,
	    memory_order_relaxed);
	c->gen++;
	c->slow = v->slow;
	c->created = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
	c->name_len = (uint8_t)n;
	memcpy(c->name, name, n);
	/* relaxed: published by the CAS into the bucket */
	atomic_store_explicit(&c->tail, 0, memory_order_relaxed);
	atomic_store_explicit(&c->interest, 0, memory_order_relaxed);
}

int
channel_get(struct writer *w, const char *name, size_t n, const struct channel_rule_values *v,
    uint32_t *chan)
{
	uint32_t hash, head, mine = UINT32_MAX;
	word32 *bucket;

	if (n > CHANNEL_NAME_MAX)
		return -1;
	hash = hash_name(w->r, name, n);
	bucket = bucket_of(w->r, hash);
	/* acquire: pairs with the CAS below */
	head = atomic_load_explicit(bucket, memory_order_acquire);
	for (;;) {
		if (search(w->r, head, hash, name, n, chan) == 0) {
			if (mine != UINT32_MAX)
				give_back(w, mine);
			return 0;
		}
		if (mine == UINT32_MAX) {
			if (claim(w, &mine) != 0)
				return -1;
			fill(w, mine, hash, name, n, v);
		}
		word32_set(&w->r->channels[mine].next, head);
		/* release: publishes the record; acquire: the chain that came meanwhile */
		if (atomic_compare_exchange_strong_explicit(bucket, &head, mine + 1,
		    memory_order_acq_rel, memory_order_acquire))
			break;
	}
	word_set(&w->slot->claiming, 0);
	stat_add(&w->slot->stats, STAT_CHANNELS_MADE, 1);
	*chan = mine;
	return 0;
}

static bool
is_linked(const struct region *r, uint32_t chan)
{
	uint32_t at = word32_get(bucket_of(r, word32_get(&r->channels[chan].hash)));
	unsigned steps;

	for (steps = 0; at != 0 && at <= r->caps.channels && steps < CHAIN_MAX; steps++) {
		if (at == chan + 1)
			return true;
		at = word32_get(&r->channels[at - 1].next);
	}
	return false;
}

void
channel_repair(struct writer *w)
{
	uint64_t claiming = word_get(&w->slot->claiming), mine = w->index + 1;
	uint32_t chan = (uint32_t)claiming - 1;

	/*
	 * Not linked is not enough: the master may have unlinked it. Then it has claimed it before,
	 * and the CAS fails. release: pairs with claim()
	 */
	if (claiming != 0 && claiming <= w->r->caps.channels &&
	    word_get(&w->r->channels[chan].claim) == mine && !is_linked(w->r, chan))
		atomic_compare_exchange_strong_explicit(&w->r->channels[chan].claim, &mine,
		    CHANNEL_FREE, memory_order_acq_rel, memory_order_relaxed);
	word_set(&w->slot->claiming, 0);
}

static uint64_t
cell_at(const struct region *r, uint32_t chan, uint64_t seq)
{
	uint32_t mask = channel_mask(&r->channels[chan], r->caps.ring_cells);

	/* seq_cst: the CAS of a publisher is the event, and channel_join() must not miss it */
	return atomic_load(region_ring(r, chan) + (seq & mask));
}

uint64_t
channel_tail(const struct region *r, uint32_t chan)
{
	struct channel *c = &r->channels[chan];
	/* seq_cst: pairs with the publisher's look at interest */
	uint64_t t = atomic_load(&c->tail), cell;

	for (;;) {
		cell = cell_at(r, chan, t + 1);
		if (cell == 0 || cell_tag(cell) != ((t + 1) & 0xffff) ||
		    cell_writer(cell) == WRITER_CLOSED)
			return t & CHANNEL_SEQ_MAX;
		if (atomic_compare_exchange_strong(&c->tail, &t, t + 1))
			t++;
	}
}

bool
channel_is_closed(const struct region *r, uint32_t chan)
{
	uint64_t t = channel_tail(r, chan), cell = cell_at(r, chan, t + 1);

	return cell != 0 && cell_tag(cell) == ((t + 1) & 0xffff) &&
	    cell_writer(cell) == WRITER_CLOSED;
}

bool
channel_join(struct writer *w, uint32_t chan, uint64_t *tail)
{
	/* seq_cst: pairs with the publisher's look at interest behind its CAS */
	atomic_fetch_or(&w->r->channels[chan].interest, 1ull << w->index);
	*tail = channel_tail(w->r, chan);
	return !channel_is_closed(w->r, chan);
}

void
channel_leave(struct writer *w, uint32_t chan)
{
	atomic_fetch_and(&w->r->channels[chan].interest, ~(1ull << w->index));
}

void
channel_disown(const struct region *r, uint32_t chan, uint64_t writers)
{
	atomic_fetch_and(&r->channels[chan].interest, ~writers);
}

static uint64_t
oldest_kept(const struct region *r, uint32_t chan, uint64_t tail)
{
	uint64_t n = channel_history(&r->channels[chan], r->caps.ring_cells);

	return tail > n ? tail - n + 1 : 1;
}

uint64_t
channel_first_after(const struct region *r, uint32_t chan, uint64_t seq, uint64_t tail)
{
	uint64_t q = oldest_kept(r, chan, tail);
	struct event e;

	if (seq >= tail)
		return tail + 1;
	if (q <= seq)
		q = seq + 1;
	while (q <= tail && event_peek(r, chan, q, &e) != EVENT_OK)
		q++;
	return q;
}

bool
channel_covers(const struct region *r, uint32_t chan, uint64_t seq, uint64_t tail)
{
	struct event e;
	uint64_t q;

	if (seq > tail || seq + 1 < oldest_kept(r, chan, tail))
		return false;
	for (q = seq + 1; q <= tail; q++)
		if (event_peek(r, chan, q, &e) != EVENT_OK)
			return false;
	return true;
}

static void
unlink_channel(const struct region *r, uint32_t chan)
{
	struct channel *c = &r->channels[chan];
	word32 *bucket = bucket_of(r, word32_get(&c->hash));
	uint32_t head = chan + 1, at;
	unsigned steps;

	/* the only changers of a bucket are inserters, who put something before the head */
	if (atomic_compare_exchange_strong_explicit(bucket, &head, word32_get(&c->next),
	    memory_order_acq_rel, memory_order_acquire))
		return;
	for (at = head, steps = 0; at != 0 && at <= r->caps.channels && steps < CHAIN_MAX;
	    at = word32_get(&r->channels[at - 1].next), steps++)
		if (word32_get(&r->channels[at - 1].next) == chan + 1) {
			word32_set(&r->channels[at - 1].next, word32_get(&c->next));
			return;
		}
}

/* The CAS that closes. True if the channel is closed now, by us or by a master that died. */
static bool
close_ring(struct writer *w, uint32_t chan, uint64_t tail)
{
	struct channel *c = &w->r->channels[chan];
	uint64_t old = cell_at(w->r, chan, tail + 1);
	uint32_t mask = channel_mask(c, w->r->caps.ring_cells);

	if (channel_is_closed(w->r, chan))
		return true;
	if (atomic_load(&c->interest) != 0 || channel_tail(w->r, chan) != tail)
		return false;
	if (old != 0 && cell_tag(old) == ((tail + 1) & 0xffff))
		return false;
	if (old != 0)
		event_testify(w->r, old);
	/* seq_cst: in one order with publishers and with channel_join() */
	return atomic_compare_exchange_strong(region_ring(w->r, chan) + ((tail + 1) & mask), &old,
	    cell_make(tail + 1, WRITER_CLOSED, 0));
}

bool
channel_retire(struct writer *w, uint32_t chan, uint64_t tail)
{
	struct channel *c = &w->r->channels[chan];
	uint64_t was = word_get(&c->claim);

	if (was != CHANNEL_CLOSING && (!claim_is_open(was) || !is_linked(w->r, chan) ||
	    !close_ring(w, chan, tail)))
		return false;
	dirty_mark(w, chan);
	/* release: before the chain changes; pairs with channel_repair() */
	if (was != CHANNEL_CLOSING && !atomic_compare_exchange_strong_explicit(&c->claim, &was,
	    CHANNEL_CLOSING, memory_order_acq_rel, memory_order_relaxed))
		return false;
	unlink_channel(w->r, chan);
	word_set(&c->claim, CHANNEL_RETIRED);
	stat_add(&w->slot->stats, STAT_CHANNELS_RETIRED, 1);
	return true;
}

void
channel_recycle(struct writer *w, uint32_t chan)
{
	struct channel *c = &w->r->channels[chan];
	word64 *ring = region_ring(w->r, chan);
	uint32_t i, mask = channel_mask(c, w->r->caps.ring_cells);

	assert(word_get(&c->claim) == CHANNEL_RETIRED);
	for (i = 0; i <= mask; i++) {
		/* acquire: pairs with the CAS of the publisher; relaxed: claim() orders it */
		event_testify(w->r, atomic_load_explicit(&ring[i], memory_order_acquire));
		atomic_store_explicit(&ring[i], 0, memory_order_relaxed);
	}
	word_set(&c->tail, 0);
	/* release: pairs with claim() */
	atomic_store_explicit(&c->claim, CHANNEL_FREE, memory_order_release);
}
