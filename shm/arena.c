/*
 * Three positions, all in the owner's slot: `reserved` is advanced before a record's bytes are
 * written, `head` when they are there, `low` is the oldest record not yet looked at by the cleaner.
 *
 *          low                         head  reserved
 *    ------|===========================|.....|------------   (modulo the arena's size)
 *
 * A reader copies a record with acquire loads and looks at `reserved` afterwards; the owner stores
 * `reserved` before it stores a byte (both are releases). So a reader that got a new byte also gets
 * the new `reserved`, from which it sees that its record was lapped.
 *
 * Cleaning. Before bytes are written over old records, the owner looks at each of them: if its
 * channel's cell still names it and it is within the channel's history, it is appended again and
 * the cell swung by CAS from the old place to the new. A channel that speaks seldom so keeps its
 * history although a hot one goes round the arena. If most of the arena is alive that would cost
 * more than it is worth, hence a budget per append, in proportion to its size. Moving frees
 * nothing, and a history that was written at once lies in one piece: so the cleaner works ahead,
 * and only when its lead (a part of the arena) is used up are old events given up and counted.
 * MARGIN keeps the records that are being looked at apart from those that are being written; the
 * budget counts bytes too, so that one append never laps the record of the append before it.
 *
 * A death between any two stores leaves at most a range [head, reserved) of rubbish that no cell
 * names; the heir makes it padding, so that the cleaner can walk over it.
 */
#include "shm/arena.h"

#include <assert.h>

#include "shm/channel_layout.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum {
	RECORD_MAX = EVENT_HEAD + EVENT_MAX,
	MARGIN = 4 * RECORD_MAX,
	MOVES_PER_APPEND = 16,
	BYTES_PER_MOVE = 128,		/* of the append: each allows one move more */
	GROWTH_MAX = 8,			/* bytes moved per byte appended */
	LEAD_PART = 8,
	AHEAD = 8,			/* records */
};

static uint64_t
record_size(uint32_t len)
{
	return EVENT_HEAD + (((uint64_t)len + EVENT_ALIGN - 1) & ~(uint64_t)(EVENT_ALIGN - 1));
}

static word64 *
record_at(const struct writer *w, uint64_t pos)
{
	return (word64 *)(w->arena + (pos & (w->arena_size - 1)));
}

static void
reserve(struct writer *w, uint64_t end)
{
	/* release: pairs with the acquire in is_lapped(); before any byte of the record */
	atomic_store_explicit(&w->slot->arena_reserved, end, memory_order_release);
}

static void
pad(struct writer *w, uint64_t from, uint64_t to)
{
	struct event_head h = { .kind = EVENT_PAD, .len = (uint32_t)(to - from - EVENT_HEAD) };

	reserve(w, to);
	words_publish(record_at(w, from), &h, sizeof h);
	word_set(&w->slot->arena_head, to);
}

/* Appends without making room. */
static uint64_t
put(struct writer *w, const struct event_head *h, const void *data)
{
	uint64_t pos = word_get(&w->slot->arena_head), size = record_size(h->len);
	uint64_t left = w->arena_size - (pos & (w->arena_size - 1));

	if (left < size) {
		pad(w, pos, pos + left);
		pos += left;
	}
	reserve(w, pos + size);
	words_publish(record_at(w, pos), h, sizeof *h);
	words_publish(record_at(w, pos) + EVENT_HEAD / 8, data, h->len);
	word_set(&w->slot->arena_head, pos + size);
	return pos;
}

/* The cell that names the record at pos, or NULL: then nobody misses it. */
static word64 *
cell_of(struct writer *w, uint64_t pos, const struct event_head *h, uint64_t *cell)
{
	const struct channel *c;
	word64 *p;

	if (h->kind != EVENT_DATA || h->chan >= w->r->caps.channels)
		return NULL;
	c = &w->r->channels[h->chan];
	/* acquire: a retired channel's cells are nobody's */
	if (!claim_is_open(atomic_load_explicit(&c->claim, memory_order_acquire)))
		return NULL;
	if (word_get(&c->tail) - h->seq >= channel_history(c, w->r->caps.ring_cells))
		return NULL;
	p = region_ring(w->r, h->chan) + (h->seq & channel_mask(c, w->r->caps.ring_cells));
	*cell = cell_make(h->seq, w->index, pos);
	/* relaxed: only the owner moves a record, and the CAS looks again */
	return atomic_load_explicit(p, memory_order_relaxed) == *cell ? p : NULL;
}

static void
move(struct writer *w, uint64_t pos, const struct event_head *h, word64 *cell, uint64_t old)
{
	uint64_t to = put(w, h, (unsigned char *)record_at(w, pos) + EVENT_HEAD);

	/* release: publishes the copy; pairs with the acquire of the cell in event_peek() */
	if (atomic_compare_exchange_strong_explicit(cell, &old, cell_make(h->seq, w->index, to),
	    memory_order_acq_rel, memory_order_relaxed))
		stat_add(&w->slot->stats, STAT_ARENA_MOVED, 1);
}

static void
make_room(struct writer *w, uint64_t need)
{
	uint64_t budget = MOVES_PER_APPEND + need / BYTES_PER_MOVE;
	uint64_t bytes = GROWTH_MAX * need + RECORD_MAX;

	if (bytes > w->arena_size / 4)
		bytes = w->arena_size / 4;
	for (;;) {
		uint64_t low = word_get(&w->slot->arena_low), head = word_get(&w->slot->arena_head);
		uint64_t off = low & (w->arena_size - 1), size, old;
		int64_t lack = (int64_t)(head + need + MARGIN - w->arena_size - low);
		struct event_head h;
		word64 *cell;

		if (lack + (int64_t)(w->arena_size / LEAD_PART) <= 0 || low >= head)
			return;
		words_fetch(&h, record_at(w, low), sizeof h);
		size = record_size(h.len);
		if (h.len > EVENT_MAX || off + size > w->arena_size)	/* rubbish: on to the end */
			size = w->arena_size - off;
		else if ((cell = cell_of(w, low, &h, &old)) != NULL) {
			if (budget > 0 && size <= bytes) {
				budget--;
				bytes -= size;
				move(w, low, &h, cell, old);
			} else if (lack <= 0)
				return;			/* the next append goes on */
			else
				stat_add(&w->slot->stats, STAT_ARENA_DROPPED, 1);
		}
		word_set(&w->slot->arena_low, low + size);
		/* the oldest records are in no cache: fetched ahead, if they are of one size */
		__builtin_prefetch(record_at(w, low + AHEAD * size));
	}
}

uint64_t
arena_append(struct writer *w, const struct event_head *h, const void *data)
{
	assert(h->len <= EVENT_MAX);
	make_room(w, record_size(h->len));
	return put(w, h, data);
}

void
arena_set_seq(struct writer *w, uint64_t pos, uint64_t seq)
{
	word_set(&record_at(w, pos)[0], seq);
}

void
arena_set_chan(struct writer *w, uint64_t pos, uint32_t chan)
{
	struct event_head h;
	word64 *p = record_at(w, pos);

	words_fetch(&h, p, sizeof h);
	h.chan = chan;
	words_publish(p, &h, sizeof h);
}

static bool
is_lapped(const struct region *r, unsigned writer, uint64_t pos)
{
	const struct slot *s = region_slot(r, writer);
	/* acquire: pairs with reserve(); behind the loads of the record */
	uint64_t reserved =
	    atomic_load_explicit((word64 *)&s->arena_reserved, memory_order_acquire);

	/* 0 is not yet reserved, and wraps */
	return ((reserved - pos) & CELL_POS_MASK) - 1 >= r->caps.arena;
}

bool
arena_peek(const struct region *r, unsigned writer, uint64_t pos, struct event_head *h)
{
	uint64_t off = pos & (r->caps.arena - 1);

	if (!region_has_writer(r, writer) || (pos & (EVENT_ALIGN - 1)) != 0)
		return false;
	words_fetch(h, (word64 *)(region_arena(r, writer) + off), sizeof *h);
	if (is_lapped(r, writer, pos))
		return false;
	return h->len <= EVENT_MAX && off + record_size(h->len) <= r->caps.arena;
}

bool
arena_copy(const struct region *r, unsigned writer, uint64_t pos, uint64_t seq, void *dst, size_t n)
{
	word64 *p = (word64 *)(region_arena(r, writer) + (pos & (r->caps.arena - 1)));

	words_fetch(dst, p + EVENT_HEAD / 8, n);
	return word_get(&p[0]) == seq && !is_lapped(r, writer, pos);
}

/* Whether what the owner left can be: else somebody scribbled. */
static bool
is_sane(uint64_t low, uint64_t head, uint64_t reserved, uint64_t size)
{
	return ((low | head | reserved) & (EVENT_ALIGN - 1)) == 0 && reserved >= head &&
	    reserved - head <= RECORD_MAX && (head & (size - 1)) + (reserved - head) <= size &&
	    (low <= head ? head - low <= size : low - head < size) && low >= size &&
	    reserved < UINT64_MAX / 2;
}

void
arena_repair(struct writer *w)
{
	uint64_t low = word_get(&w->slot->arena_low), head = word_get(&w->slot->arena_head);
	uint64_t reserved = word_get(&w->slot->arena_reserved);

	if (!is_sane(low, head, reserved, w->arena_size)) {
		/* begin anew, so far on that every record of before is lapped */
		head = (reserved & CELL_POS_MASK & ~(w->arena_size - 1)) + 3 * w->arena_size;
		reserve(w, head);
		word_set(&w->slot->arena_low, head);
		word_set(&w->slot->arena_head, head);
	} else if (head != reserved)
		pad(w, head, reserved);
}
