/*
 * Dirty marks and the sleep handshake: how a process learns that a channel has something new.
 *
 * A mark is a hint. Anybody may set it again, a reader finds the truth in the channel. Marks are
 * bits per channel in a bitmap per writer, with a summary bit per word.
 */
#ifndef PLENUM_SHM_DIRTY_H
#define PLENUM_SHM_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

struct region;
struct writer;

/* Bits of a slot's hints: something else than a channel wants a look. */
enum hint {
	HINT_ORDER = 1 << 0,		/* the master has an order for the slot */
	HINT_LOG = 1 << 1,		/* to the logger: a ring has lines */
	HINT_WORK = 1 << 2,		/* something waits in the region for this process */
	HINT_MOVES = 1 << 3,		/* a move of a connection has another state */
};

/* Marks a channel for all writers that have an interest in it; they are added to w->wake. */
void dirty_mark(struct writer *w, uint32_t chan);

/* Sets hint bits of another process; it is added to w->wake. */
void dirty_hint(struct writer *w, unsigned writer, uint32_t hints);

/* Takes all marks: calls fn for each channel that is marked. Owner only. Returns how many. */
unsigned dirty_take(struct writer *w, void (*fn)(void *arg, uint32_t chan), void *arg);

/* Takes the hint bits. Owner only. */
uint32_t dirty_take_hints(struct writer *w);

/* Marks a channel for oneself: an heir assumes that all it subscribes to are marked. */
void dirty_mark_self(struct writer *w, uint32_t chan);

/*
 * Before a call that may wait: announces it and looks once more. True: nothing is marked, wait;
 * whoever marks from now on wakes. False: do not wait. sleep_end() after the wait, always.
 */
bool sleep_begin(struct writer *w);
void sleep_end(struct writer *w);

/*
 * Who among the writers in `mask` sleeps: takes their sleep word, so that each is woken by one.
 * The caller writes to the eventfd of each that is in the result. If it dies before that, the word
 * is taken and nobody wakes the sleeper: so its heir writes to every eventfd, whatever this says.
 */
uint64_t sleepers_take(const struct region *r, uint64_t mask);

#endif
