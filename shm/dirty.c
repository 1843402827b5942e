/*
 * The handshake of sleep: the reader stores sleeping = 1 and then looks at the marks; the marker
 * sets a mark and then looks at sleeping. All four are sequentially consistent, so at least one
 * sees the other; with release and acquire both may miss.
 *
 * A mark that is already set need not be set again: its reader has yet to take it, and will read
 * the channel after that, hence after the event that precedes this look. The same holds for the
 * summary, whose bit is set after the word and taken before it.
 */
#include "shm/dirty.h"

#include "shm/channel_layout.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

static void
set_bit(word64 *w, uint64_t bit)
{
	/* seq_cst: pairs with the exchange in dirty_take() and with sleep_begin() */
	if ((atomic_load(w) & bit) == 0)
		atomic_fetch_or(w, bit);
}

static void
mark_one(const struct region *r, unsigned writer, uint32_t chan)
{
	unsigned word = chan / 64;

	set_bit(&region_dirty(r, writer)[word], 1ull << chan % 64);
	set_bit(&region_slot(r, writer)->summary[word / 64], 1ull << word % 64);
}

void
dirty_mark(struct writer *w, uint32_t chan)
{
	/* seq_cst: pairs with the fetch_or in channel_join() */
	uint64_t mask = atomic_load(&w->r->channels[chan].interest), m;

	for (m = mask; m != 0; m &= m - 1) {
		unsigned k = (unsigned)__builtin_ctzll(m);

		if (region_has_writer(w->r, k))
			mark_one(w->r, k, chan);
	}
	w->wake |= mask;
}

void
dirty_hint(struct writer *w, unsigned writer, uint32_t hints)
{
	struct slot *s = region_slot(w->r, writer);

	/* seq_cst: pairs with sleep_begin() */
	if ((atomic_load(&s->hints) & hints) != hints)
		atomic_fetch_or(&s->hints, hints);
	w->wake |= 1ull << writer;
}

unsigned
dirty_take(struct writer *w, void (*fn)(void *, uint32_t), void *arg)
{
	unsigned i, n = 0;

	for (i = 0; i < SUMMARY_WORDS; i++) {
		uint64_t words;

		/* relaxed: a mark that is missed here is seen by sleep_begin() */
		if (atomic_load_explicit(&w->slot->summary[i], memory_order_relaxed) == 0)
			continue;
		for (words = atomic_exchange(&w->slot->summary[i], 0); words; words &= words - 1) {
			unsigned word = i * 64 + (unsigned)__builtin_ctzll(words);
			uint64_t bits = atomic_exchange(&w->dirty[word], 0);

			for (; bits != 0; bits &= bits - 1, n++) {
				uint32_t chan = word * 64 + (uint32_t)__builtin_ctzll(bits);

				if (chan < w->r->caps.channels)
					fn(arg, chan);
			}
		}
	}
	return n;
}

uint32_t
dirty_take_hints(struct writer *w)
{
	/* relaxed: as in dirty_take() */
	if (atomic_load_explicit(&w->slot->hints, memory_order_relaxed) == 0)
		return 0;
	return atomic_exchange(&w->slot->hints, 0);
}

void
dirty_mark_self(struct writer *w, uint32_t chan)
{
	mark_one(w->r, w->index, chan);
}

bool
sleep_begin(struct writer *w)
{
	unsigned i;

	/* seq_cst store and loads: pair with set_bit() and sleepers_take() */
	atomic_store(&w->slot->sleeping, 1);
	if (atomic_load(&w->slot->hints) != 0)
		return false;
	for (i = 0; i < SUMMARY_WORDS; i++)
		if (atomic_load(&w->slot->summary[i]) != 0)
			return false;
	return true;
}

void
sleep_end(struct writer *w)
{
	/* relaxed: a waker that still sees 1 writes an eventfd in vain */
	atomic_store_explicit(&w->slot->sleeping, 0, memory_order_relaxed);
}

uint64_t
sleepers_take(const struct region *r, uint64_t mask)
{
	uint64_t found = 0;

	for (; mask != 0; mask &= mask - 1) {
		unsigned k = (unsigned)__builtin_ctzll(mask);
		struct slot *s = region_slot(r, k);

		/* seq_cst: pairs with sleep_begin() */
		if (atomic_load(&s->sleeping) != 0 && atomic_exchange(&s->sleeping, 0) != 0)
			found |= 1ull << k;
	}
	return found;
}
