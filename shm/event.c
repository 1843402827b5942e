/*
 * Publish: the record is written into the writer's own arena, then one CAS puts a reference to it
 * into the channel's ring. That CAS is the event; the place it goes to is its sequence number. What
 * follows (advance of tail, marks, wake-ups) are hints that anybody may redo.
 *
 *	record with origin -> intent -> seq into the record -> CAS of the cell -> tail -> marks
 *
 * A publisher that finds the cell behind `tail` taken advances `tail` for its colleague and tries
 * the next. Nobody waits: a publisher that died or sleeps anywhere in this leaves no hole.
 *
 * Intent. The word in the slot names the record that is being published. An heir looks whether the
 * ring holds it. The ring may have gone round meanwhile: so whoever overwrites a cell whose record
 * is still some writer's intent first turns the intent from PENDING to SEEN (testimony). So does
 * the publisher itself in the end, because the cleaner may move the record while the next is
 * prepared. The intent is not cleared; the next publish overwrites it, and the heir compares its
 * origin with what the connection has processed.
 *
 * Tags repeat after 65536 events, and a publisher may have been stopped for longer than that
 * between its looks at `tail` and at the cell: so it looks at `tail` once more. If that still
 * stands (it only moves forward), the cell was read while it stood there, and the CAS on it cannot
 * be too late.
 *
 * Read: cell, head and data are copied and validated afterwards: the record must still carry its
 * seq and must not have been lapped by its arena. If the cell changed, its owner moved the record
 * forward, and it is read again.
 */
#include "shm/event.h"

#include <assert.h>
#include <errno.h>

#include "shm/arena.h"
#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/dirty.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum { TRIES_MAX = 1 << 20, MOVES_MAX = 16 };

void
writer_open(struct writer *w, const struct region *r, unsigned index)
{
	assert(region_has_writer(r, index));
	w->r = r;
	w->index = index;
	w->slot = region_slot(r, index);
	w->arena = region_arena(r, index);
	w->arena_size = r->caps.arena;
	w->dirty = region_dirty(r, index);
	w->wake = 0;
	arena_repair(w);
}

/* The last to know that an event was published is who overwrites its cell. */
void
event_testify(const struct region *r, uint64_t cell)
{
	uint64_t want = cell_pos(cell) | INTENT_PENDING;
	struct slot *s;

	if (!region_has_writer(r, cell_writer(cell)))
		return;
	s = region_slot(r, cell_writer(cell));
	/* relaxed: the cell was read before, hence the intent that precedes it or a later one */
	if (atomic_load_explicit(&s->intent, memory_order_relaxed) == want)
		atomic_compare_exchange_strong(&s->intent, &want, cell_pos(cell) | INTENT_SEEN);
}

/* One attempt. 1: published as q; 0: again; -1: errno. */
static int
try_install(struct writer *w, uint32_t chan, uint64_t pos, uint64_t *seq)
{
	struct channel *c = &w->r->channels[chan];
	uint32_t mask = channel_mask(c, w->r->caps.ring_cells), cells = mask + 1;
	/* acquire: pairs with the CAS that advanced it */
	uint64_t t = atomic_load_explicit(&c->tail, memory_order_acquire), q = t + 1, old;
	word64 *p = region_ring(w->r, chan) + (q & mask);

	if (t >= CHANNEL_SEQ_MAX)
		return -1;			/* rubbish */
	old = atomic_load(p);
	/* acquire: in order behind the load of the cell, which is seq_cst */
	if (atomic_load_explicit(&c->tail, memory_order_acquire) != t)
		return 0;
	if (old != 0 && cell_tag(old) == (q & 0xffff)) {
		if (cell_writer(old) == WRITER_CLOSED) {
			errno = ESTALE;
			return -1;
		}
		atomic_compare_exchange_strong(&c->tail, &t, q);
		return 0;
	}
	if (old != 0 && cell_tag(old) != ((q - cells) & 0xffff))
		return 0;			/* rubbish */
	arena_set_seq(w, pos, q);
	if (old != 0)
		event_testify(w->r, old);
	/* seq_cst: the event; in one order with interest, intents and channel_join() */
	if (!atomic_compare_exchange_strong(p, &old, cell_make(q, w->index, pos)))
		return 0;
	atomic_compare_exchange_strong(&c->tail, &t, q);
	*seq = q;
	return 1;
}

int
event_publish(struct writer *w, uint32_t chan, struct event_head *h, const void *data,
    uint64_t *seq)
{
	uint64_t pos;
	unsigned i;
	int done = 0;

	h->seq = 0;
	h->chan = chan;
	h->kind = EVENT_DATA;
	pos = arena_append(w, h, data);
	/* seq_cst: before the CAS in every order, testify() included */
	atomic_store(&w->slot->intent, (pos & CELL_POS_MASK) | INTENT_PENDING);
	errno = EIO;
	for (i = 0; i < TRIES_MAX && done == 0; i++)
		done = try_install(w, chan, pos, seq);
	if (done != 1)
		return -1;
	dirty_mark(w, chan);
	/* nobody else changes it but to the same */
	word_set(&w->slot->intent, (pos & CELL_POS_MASK) | INTENT_SEEN);
	stat_add(&w->slot->stats, STAT_PUBLISHED, 1);
	return 0;
}

void
event_recover(struct writer *w, struct doubt *d)
{
	uint64_t intent = atomic_load(&w->slot->intent), pos = intent & ~(uint64_t)INTENT_FLAGS, t;
	struct channel *c;
	word64 *p;
	bool in;

	d->on = false;
	if (intent == 0)
		return;
	if (!arena_peek(w->r, w->index, pos, &d->head) || d->head.chan >= w->r->caps.channels)
		return;
	c = &w->r->channels[d->head.chan];
	p = region_ring(w->r, d->head.chan) +
	    (d->head.seq & channel_mask(c, w->r->caps.ring_cells));
	in = d->head.seq != 0 && atomic_load(p) == cell_make(d->head.seq, w->index, pos);
	if (in) {
		t = d->head.seq - 1;
		atomic_compare_exchange_strong(&c->tail, &t, d->head.seq);
		dirty_mark(w, d->head.chan);
	} else					/* or did somebody see it there? */
		in = (atomic_load(&w->slot->intent) & INTENT_FLAGS) == INTENT_SEEN;
	d->on = in;
	if (!in)
		stat_add(&w->slot->stats, STAT_DOUBTS_VOID, 1);
}

enum event_result
event_peek(const struct region *r, uint32_t chan, uint64_t seq, struct event *e)
{
	const struct channel *c = &r->channels[chan];
	word64 *p = region_ring(r, chan) + (seq & channel_mask(c, r->caps.ring_cells));
	unsigned i;

	for (i = 0; i < MOVES_MAX; i++) {
		/* acquire: pairs with the CAS of the publisher or the mover */
		e->cell = atomic_load_explicit(p, memory_order_acquire);
		if (e->cell == 0 || cell_tag(e->cell) != (seq & 0xffff)) {
			if (seq > channel_tail(r, chan))
				return EVENT_NONE;
			/* or was it published between the two looks? */
			if (atomic_load_explicit(p, memory_order_acquire) == e->cell)
				return EVENT_LAPPED;
			continue;
		}
		if (cell_writer(e->cell) == WRITER_CLOSED)
			return EVENT_NONE;
		if (arena_peek(r, cell_writer(e->cell), cell_pos(e->cell), &e->head) &&
		    e->head.seq == seq && e->head.chan == chan && e->head.kind == EVENT_DATA)
			return EVENT_OK;
		if (atomic_load_explicit(p, memory_order_acquire) == e->cell)
			break;
	}
	/* the tag may be that of an event 65536 before */
	return seq > channel_tail(r, chan) ? EVENT_NONE : EVENT_LAPPED;
}

enum event_result
event_copy(const struct region *r, uint32_t chan, uint64_t seq, const struct event *e, void *dst)
{
	const struct channel *c = &r->channels[chan];
	word64 *p = region_ring(r, chan) + (seq & channel_mask(c, r->caps.ring_cells));

	if (arena_copy(r, cell_writer(e->cell), cell_pos(e->cell), seq, dst, e->head.len))
		return EVENT_OK;
	/* acquire: as in event_peek() */
	return atomic_load_explicit(p, memory_order_acquire) == e->cell ? EVENT_LAPPED : EVENT_NONE;
}
