/*
 * Events: publishing one, and reading those that are there.
 */
#ifndef PLENUM_SHM_EVENT_H
#define PLENUM_SHM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/event_layout.h"

struct region;
struct writer;

/* ---- publishing ---- */

/*
 * Publishes `data` (h->len bytes, at most EVENT_MAX) in the channel; h holds everything but seq and
 * chan. The event is there for everybody when the call returns 0, with its place in *seq. Those who
 * have an interest are marked and added to w->wake; the caller wakes them.
 * -1: errno ESTALE: the channel is closed, look it up again; EIO: the ring holds rubbish.
 * Owner of the writer only. Never waits for anybody.
 */
int event_publish(struct writer *w, uint32_t chan, struct event_head *h, const void *data,
    uint64_t *seq);

/*
 * To be called before the cell is overwritten by something that is no event of the channel: tells
 * the heir of its publisher, who would find it gone, that it was there.
 */
void event_testify(const struct region *r, uint64_t cell);

/* What an heir knows of its dead owner's last publish. */
struct doubt {
	bool on;
	struct event_head head;		/* with seq and chan, if on */
};

/*
 * After a death: finds out whether the last publish took place; if so *d says which, and what
 * follows a publish is done again. Heir only, before anything else is published.
 */
void event_recover(struct writer *w, struct doubt *d);

/* ---- reading ---- */

enum event_result { EVENT_OK, EVENT_NONE, EVENT_LAPPED };

/* An event that was found; untrusted until event_copy() has validated it. */
struct event {
	struct event_head head;
	uint64_t cell;
};

/* Looks at the event `seq`. NONE: not yet published. LAPPED: no longer kept. Any process. */
enum event_result event_peek(const struct region *r, uint32_t chan, uint64_t seq, struct event *e);

/*
 * Copies its data (e->head.len bytes) to dst. OK: what event_peek() said and dst are right. NONE:
 * it moved meanwhile, peek again. LAPPED: it is gone.
 */
enum event_result event_copy(const struct region *r, uint32_t chan, uint64_t seq,
    const struct event *e, void *dst);

#endif
