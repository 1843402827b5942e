/*
 * What the files of worker/ share: the private memory of a worker. All of it can be rebuilt from
 * the region (worker/recover.c), so nothing here is worth saving.
 *
 *   input.c  -> http.c, ws.c -> a dialect or a route -> message.c     bytes in, effects and replies
 *   output.c <- framer.c <- a dialect                                 events and replies out
 *   conn.c, subs.c, timeouts.c, recover.c                      lives, lists, deadlines, heirs
 */
#ifndef PLENUM_WORKER_PRIV_H
#define PLENUM_WORKER_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/conn_layout.h"
#include "shm/event.h"
#include "shm/frame_layout.h"
#include "shm/region.h"
#include "shm/settings.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

struct heritage;

enum {
	REPLY_MAX = 80 * 1024,			/* one reply */
	CTL_MAX = BLOCK_SIZE - 64,		/* queued replies: a cut rest must fit a block */
	FRAME_MAX = EVENT_MAX + 2048,		/* one event, framed */
	CLIENT_EVENTS = 128,			/* of the slot's epoll set per turn */
	ACCEPTS_PER_TURN = 64,
	NOECHO_MAX = 16,			/* senders that a span must not go to */
	FRAMES_RESERVE = 2 * BLOCK_SIZE,
	LINGER_MS = 2000,
	TICK_MS = 100,
};

/* What an event of the slot's epoll set belongs to. Numbers of the ABI: an heir finds them there.
 */
enum source {
	SOURCE_CLIENT, SOURCE_LISTENER, SOURCE_WAKE, SOURCE_KEEPER, SOURCE_INBOX, SOURCE_COUNT
};

static inline uint64_t
source_data(enum source source, uint32_t index)
{
	return (uint64_t)source << 32 | index;
}

enum want { WANT_READ, WANT_WRITE, WANT_NONE };

/* Subscriptions beyond the first: places in the channels' lists, and which have news. */
struct more {
	uint32_t pos[SUBSCRIPTIONS_MAX];
	uint64_t due[2];
};

/* Beside each record. */
struct priv {
	uint64_t out;			/* stream position of what we wrote, if known */
	struct more *more;		/* NULL without an extension */
	size_t scan;			/* of the head that is arriving: bytes searched */
	size_t body_pos;		/* of a chunked body: next chunk line */
	uint64_t body_total;
	uint32_t pos0;			/* first subscription: place in its channel's list */
	uint32_t nsubs;
	bool known, touched, resume, due0;
	bool in_body;			/* the head of the arriving request is complete */
	uint8_t want;			/* enum want */
	bool sent;			/* its offer is on its way */
	uint64_t offered_at;		/* ms, when it was sent last */
};

/* A span that subscribers at the same place share in this turn. */
struct shared_span {
	uint64_t turn;
	uint64_t from, to;
	uint32_t ref;			/* 0: nothing to send, only the cursor moves */
	bool gap;			/* it says that events are missing */
	uint32_t nnoecho;
	uint64_t noecho[NOECHO_MAX];	/* cookies */
};

/* A channel that has subscribers here. */
struct view {
	uint32_t chan;
	uint32_t n, cap;
	uint32_t *subs;			/* record << 8 | index of the subscription */
	uint64_t tail;			/* as of this turn */
	struct shared_span span[DIALECT_COUNT];
};

/* A private list of record numbers. */
struct list32 {
	uint32_t *item;
	uint32_t n, cap;
};

/*
 * A pool in the region: pieces below `used` that are free, and all from there to cap. So an heir
 * builds it from the pieces that records name, not from those that nobody ever used.
 */
struct pool {
	struct list32 holes;
	uint32_t used, cap;
};

struct worker {
	struct heritage *h;
	const struct region *r;
	struct writer pub;
	struct slot *slot;
	struct stats *stats;
	struct settings set;

	struct conn *conns;
	struct priv *priv;
	uint32_t conns_max;		/* records, spare ones included */
	uint32_t conns_limit;		/* more are refused */
	unsigned char *scratch;
	unsigned char *frames;
	uint64_t frames_size;

	struct list32 free_conns;
	struct pool blocks, ext[EXT_CLASSES];
	struct list32 touched, touched_now, resume, resume_now, dirty, empty, evicted,
	    unmoved, moving;		/* moving: in state CONN_MOVING, see move.c */
	struct view **views;		/* by channel number */

	uint64_t turn;
	uint64_t now;			/* ms, CLOCK_MONOTONIC, of this turn */
	uint64_t now_real;		/* ms since 1970 */
	uint64_t max_requests;		/* with jitter, 0: never */
	uint64_t requests;
	uint64_t next_tick;		/* ms, CLOCK_MONOTONIC */
	uint32_t tick_at;		/* where the deadlines are looked at next */
	uint32_t drain_at;
	bool draining;			/* ORDER_DRAIN: goodbyes are being said */
	uint64_t serves;		/* slots whose listeners are registered */
	bool serves_known;
	bool orphaned;			/* there is no master, and that was told */
	uint32_t move_at;		/* where connections to be moved are looked for next */
	uint32_t slot_gen[WORKERS_MAX];	/* of the workers that offers were sent to */
	uint64_t empty_since;		/* ORDER_CLOSE: ms; 0: not empty */
	uint64_t empty_accepts;		/* accepted by then */
	uint64_t level_at;		/* ms, not before then */
	uint64_t level_refused;		/* moves given back by then */
	bool more_output;		/* something is left for the next turn */
	bool accept_paused;
	unsigned accepts;		/* connections taken per turn and listener */
	uint64_t accept_turn;		/* when some were taken last */
	struct doubt doubt;		/* heir: the publish that may have happened */
	bool in_doubt;			/* heir: the message at hand is the one in doubt */
	uint64_t started_us;

	unsigned char event[EVENT_MAX];	/* an event's data, validated */
	unsigned char unmasked[BLOCK_SIZE];
	unsigned char body[BLOCK_SIZE];
};

/* ---- words of records ---- */

static inline struct conn *
conn_at(const struct worker *w, uint32_t ci)
{
	return &w->conns[ci];
}

static inline uint32_t
conn_life(const struct conn *c)
{
	return word32_get(&c->state) & CONN_LIFE_MASK;
}

static inline bool
conn_has(const struct conn *c, uint32_t bit)
{
	return (word32_get(&c->state) & bit) != 0;
}

static inline void
conn_set_bits(struct conn *c, uint32_t set, uint32_t clear)
{
	word32_set(&c->state, (word32_get(&c->state) & ~clear) | set);
}

static inline enum dialect_id
conn_dialect(const struct conn *c)
{
	uint32_t d = CONN_DIALECT(word32_get(&c->state));

	return d < DIALECT_COUNT ? (enum dialect_id)d : DIALECT_HTTP;
}

/* ---- conn.c ---- */
struct event;
void conn_accept(struct worker *w, unsigned listener);
void conn_adopt(struct worker *w, uint32_t ci, int fd, unsigned listener);
/* Closes at once; why is the counter of the reason. The record is free when this returns. */
void conn_close(struct worker *w, uint32_t ci, enum counter why);
/* The last half of a close: an heir finishes what its predecessor began. */
void conn_forget(struct worker *w, uint32_t ci);
/* The same for a record that was not counted as open. */
void conn_empty(struct worker *w, uint32_t ci);
/* Closes its descriptor, so that the peer is told now. */
void conn_shut(struct worker *w, uint32_t ci);
/* A record that nobody uses; false: there is none. */
bool conn_take_record(struct worker *w, uint32_t *ci);
/* The private lists follow a record that was found as it is; all of it is looked at soon. */
void conn_enlist(struct worker *w, uint32_t ci);
/* Everything queued is out: says FIN and lets the peer finish. */
void conn_linger(struct worker *w, uint32_t ci);
void conn_want(struct worker *w, uint32_t ci, enum want want);
/* What it should wait for now, by its record. */
void conn_want_rest(struct worker *w, uint32_t ci);
void conn_block(struct worker *w, uint32_t ci);
void conn_unblock(struct worker *w, uint32_t ci);
void conn_count(struct worker *w, enum dialect_id d, int by);

/* ---- lists and pools (pool.c) ---- */
void list_push(struct list32 *l, uint32_t v);
bool list_pop(struct list32 *l, uint32_t *v);
bool pool_take(struct pool *p, uint32_t *index);
void pool_give(struct pool *p, uint32_t index);
/* The heir's: a pool of cap pieces of which those with used[i] != 0 are taken. */
void pool_rebuild(struct pool *p, const unsigned char *used, uint32_t cap);
/* Frees all lists and pools: the memory was a predecessor's. */
void pools_free(struct worker *w);
/* Index + 1 of a block, 0 if there is none. */
uint32_t block_get(struct worker *w);
void block_put(struct worker *w, uint32_t block);
struct block *block_at(const struct worker *w, uint32_t block);
/* Frame arena: NULL when this turn has used it up. */
void *frames_alloc(struct worker *w, uint32_t bytes);
/* Gives back the unused end of the last allocation. */
void frames_trim(struct worker *w, void *p, uint32_t had, uint32_t used);
void *frames_at(const struct worker *w, uint32_t ref);
uint32_t frames_ref(const struct worker *w, const void *p);
void frames_reset(struct worker *w);

/* ---- input.c ---- */
void input_ready(struct worker *w, uint32_t ci);
/* Goes on with what lies in the connection's block. */
void input_resume(struct worker *w, uint32_t ci);
void input_want_resume(struct worker *w, uint32_t ci);
/* Processes n bytes at p, the stream from offset off on; the heir calls it with the scratch. */
void input_process(struct worker *w, uint32_t ci, uint64_t off, unsigned char *p, size_t n);

/* ---- output.c ---- */
void output_run(struct worker *w);
void output_touch(struct worker *w, uint32_t ci);
/* Only what is queued as replies; for the heir. */
void output_replies(struct worker *w, uint32_t ci);
void output_writable(struct worker *w, uint32_t ci);
/* Brings the record up: the kernel has taken `delta` bytes of its plan. */
void output_settle(struct worker *w, uint32_t ci, uint32_t delta);
uint64_t output_position(struct worker *w, uint32_t ci);

/* ---- subs.c ---- */
struct view *subs_view(struct worker *w, uint32_t chan);
int subs_find(struct worker *w, uint32_t ci, uint32_t chan);
/* A free subscription index (growing the extension), or -1. */
int subs_place(struct worker *w, uint32_t ci);
uint32_t subs_count(struct worker *w, uint32_t ci);
word64 *subs_cursor(struct worker *w, uint32_t ci, unsigned sub);
word64 *subs_info(struct worker *w, uint32_t ci, unsigned sub);
unsigned subs_limit(struct worker *w, uint32_t ci);
/* The private lists follow the record. */
void subs_list(struct worker *w, uint32_t ci, unsigned sub, uint32_t chan);
void subs_unlist(struct worker *w, uint32_t ci, unsigned sub, uint32_t chan);
void subs_forget(struct worker *w, uint32_t ci);
void subs_sweep_empty(struct worker *w);
/* Frees all views: the memory was a predecessor's. */
void subs_free_views(struct worker *w);
void subs_due(struct worker *w, uint32_t ci, unsigned sub);
void subs_all_due(struct worker *w, uint32_t ci);
/* A closed channel's subscribers go to its successor. */
void subs_move(struct worker *w, struct view *v);
/* Each tick: those for which there was no successor. */
void subs_retry_moves(struct worker *w);

/* ---- framer.c ---- */
/* The span for subscribers of v at `from`; shared within the turn unless cookie excludes events. */
struct shared_span *framer_span(struct worker *w, struct view *v, enum dialect_id d,
    uint64_t from, uint64_t cookie);

/* ---- stream.c ---- */
enum stream_kind { STREAM_NONE, STREAM_HISTORY };
#define STREAM_CHUNKED (1ull << 62)
#define STREAM_TRUNCATED (1ull << 63)	/* what was asked for is not all kept */
/* Frames the next piece; 0: none possible now; else a span's reference. */
uint32_t stream_span(struct worker *w, uint32_t ci);
static inline uint64_t
stream_word(enum stream_kind kind, uint32_t gen, uint32_t chan)
{
	return (uint64_t)kind << 56 | (uint64_t)(gen & 0xffffff) << 32 | chan;
}

/* ---- timeouts.c, drain.c ---- */
void timeouts_tick(struct worker *w);
void timeouts_seen(struct worker *w, struct conn *c);
/*
 * Sets the deadline of a request that is arriving, or clears it. progress: a message was taken;
 * incomplete: the peer owes the rest of the next one.
 */
void timeouts_after_input(struct worker *w, uint32_t ci, bool progress, bool incomplete);
void drain_tick(struct worker *w);

/* ---- worker.c ---- */
/* Ends this process, as it was told to; what happens next is the keeper's business. */
_Noreturn void worker_leave(struct worker *w, const char *why);

/* ---- recover.c ---- */
void recover_sweep(struct worker *w);
void recover_records(struct worker *w);

#endif
