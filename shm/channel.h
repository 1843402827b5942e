/*
 * The channel table, and what is read of a channel.
 */
#ifndef PLENUM_SHM_CHANNEL_H
#define PLENUM_SHM_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct region;
struct writer;

/* What a new channel is made with. */
struct channel_rule_values {
	uint32_t history;	/* 1..HISTORY_MAX, and at most the region's ring */
	uint8_t slow;		/* enum settings_slow */
};

/* Whether these bytes may name a channel: 1-128 of letters, digits and _ - . : / @ */
bool channel_name_valid(const char *name, size_t n);

/* The number of an open channel of this name; 0, or -1 if there is none. Any process. */
int channel_find(const struct region *r, const char *name, size_t n, uint32_t *chan);

/*
 * The same, and made if there is none: by one CAS, so that all who ask at once get one channel.
 * -1: the table is full. Any writer. Never waits.
 */
int channel_get(struct writer *w, const char *name, size_t n, const struct channel_rule_values *v,
    uint32_t *chan);

/* A claim that a writer left behind when it died is given back. Heir only. */
void channel_repair(struct writer *w);

/*
 * Declares this writer's interest and returns the newest seq: later events will be marked for it.
 * False: the channel is closed, look it up again.
 */
bool channel_join(struct writer *w, uint32_t chan, uint64_t *tail);

/* Takes the interest back. */
void channel_leave(struct writer *w, uint32_t chan);

/*
 * Takes back the interest of other writers, a bit each. Nobody may run as one of them, nor begin to
 * meanwhile: a bit is set by its writer alone, so what is taken back here nobody has declared.
 * Master.
 */
void channel_disown(const struct region *r, uint32_t chan, uint64_t writers);

/* The newest seq. Completes the advance of a publisher that died. Any process. */
uint64_t channel_tail(const struct region *r, uint32_t chan);

/* True once the channel was retired: no event will follow. */
bool channel_is_closed(const struct region *r, uint32_t chan);

/*
 * True if a reader that has seen `seq` can be given everything after it: nothing between is lapped
 * or given up. tail: the newest seq.
 */
bool channel_covers(const struct region *r, uint32_t chan, uint64_t seq, uint64_t tail);

/* The oldest seq that is kept and readable after `seq`, tail + 1 if none. */
uint64_t channel_first_after(const struct region *r, uint32_t chan, uint64_t seq, uint64_t tail);

/*
 * Retiring, by the master alone. channel_retire(): closes an open channel in which nobody has an
 * interest and that stands at `tail`, by one CAS, and takes it off the table; false if somebody
 * was faster. A master that was started anew calls it for each record that is neither free nor
 * retired, with its tail: what the last one had begun is finished, interest or not.
 * channel_recycle(): frees the record of a retired channel, after every process (also one that is
 * dead and whose heir has not recovered yet) has passed a quiescent point.
 */
bool channel_retire(struct writer *w, uint32_t chan, uint64_t tail);
void channel_recycle(struct writer *w, uint32_t chan);

#endif
