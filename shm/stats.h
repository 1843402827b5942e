/*
 * Statistics: single-writer words, one set per writer, summed by whoever reads them. Not exact over
 * a death (one more or less per counter) and never used for a decision.
 *
 * STATS(X): X(NAME, metric, help). The metrics page and `plenumctl show counters` come from it.
 */
#ifndef PLENUM_SHM_STATS_H
#define PLENUM_SHM_STATS_H

#include "shm/word.h"

#define STATS(X) \
	X(ACCEPTS, "plenum_accepts_total", "connections accepted") \
	X(REFUSED, "plenum_refused_total", "connections refused over max_connections") \
	X(PUBLISHED, "plenum_events_published_total", "events published") \
	X(IDEMPOTENT, "plenum_idempotent_total", "publishes answered from an earlier one") \
	X(IDEMPOTENCY_FULL, "plenum_idempotency_full_total", \
	    "publishes refused because the table of idempotency keys was full") \
	X(DELIVERIES, "plenum_deliveries_total", "events handed to the kernel for a subscriber") \
	X(FLUSHES, "plenum_flushes_total", "system calls that sent") \
	X(SPANS, "plenum_spans_total", "spans of events framed") \
	X(SENT_BYTES, "plenum_sent_bytes_total", "bytes handed to the kernel") \
	X(RECEIVED_BYTES, "plenum_received_bytes_total", "bytes read") \
	X(MESSAGES, "plenum_messages_total", "messages and requests processed") \
	X(GAPS, "plenum_gaps_total", "gap notices framed") \
	X(GAP_EVENTS, "plenum_gap_events_total", "events told to subscribers as missed") \
	X(CUTS, "plenum_partial_writes_total", "writes that cut a frame") \
	X(BLOCKS_EMPTY, "plenum_blocks_exhausted_total", "connections closed for want of a block") \
	X(CHANNELS_FULL, "plenum_channels_full_total", "channels refused by a full table") \
	X(CHANNELS_MADE, "plenum_channels_created_total", "channels created") \
	X(CHANNELS_RETIRED, "plenum_channels_retired_total", "idle channels retired") \
	X(ARENA_MOVED, "plenum_arena_moved_total", "events moved forward to keep them") \
	X(ARENA_DROPPED, "plenum_arena_dropped_total", "events given up by the arena") \
	X(RATE_LIMITED, "plenum_rate_limited_total", "messages refused by message_rate") \
	X(WAKEUPS, "plenum_wakeups_total", "sleeping processes woken") \
	X(TURNS, "plenum_loop_turns_total", "loop turns") \
	X(LOG_LINES, "plenum_log_lines_total", "log lines written") \
	X(LOG_LOST, "plenum_log_lost_total", "log lines lost to a full log ring") \
	X(DOUBTS_TAKEN, "plenum_heir_doubts_taken_total", "publishes an heir found done") \
	X(DOUBTS_VOID, "plenum_heir_doubts_void_total", "publishes an heir found not done") \
	X(ADOPTED, "plenum_heir_adopted_total", "sockets an heir found accepted without a record") \
	X(MOVED_IN, "plenum_moved_in_total", "connections taken over from another worker") \
	X(MOVED_OUT, "plenum_moved_out_total", "connections handed to another worker") \
	X(MOVES_REFUSED, "plenum_moves_refused_total", \
	    "connections offered by another worker and given back") \
	X(MOVES_WITHDRAWN, "plenum_moves_withdrawn_total", \
	    "connections offered to another worker that did not take them in time") \
	X(POISONED, "plenum_poisoned_total", "connections closed by the poison rule") \
	X(DISCONNECT_CLIENT, "plenum_disconnects_client", "closed by the client") \
	X(DISCONNECT_ERROR, "plenum_disconnects_error", "reset or failed") \
	X(DISCONNECT_PROTOCOL, "plenum_disconnects_protocol", "closed for a protocol error") \
	X(DISCONNECT_TIMEOUT, "plenum_disconnects_timeout", "closed by a deadline") \
	X(DISCONNECT_SLOW, "plenum_disconnects_slow", "closed for reading too slowly") \
	X(DISCONNECT_SERVER, "plenum_disconnects_server", "closed because the server stops") \
	X(DISCONNECT_RESOURCE, "plenum_disconnects_resource", "closed because a table was full") \
	X(DISCONNECT_DONE, "plenum_disconnects_done", "closed after its last answer") \
	X(DISCONNECT_HEIR, "plenum_disconnects_heir", "closed by an heir that could not go on")

enum counter {
#define X(name, metric, help) STAT_##name,
	STATS(X)
#undef X
	STAT_COUNT
};

/* Answers by status. The last is for every other. */
#define HTTP_CODES(X) \
	X(101) X(200) X(202) X(204) X(304) X(400) X(401) X(403) X(404) X(405) X(408) X(409) X(413) \
	X(415) X(417) X(426) X(429) X(431) X(500) X(501) X(502) X(503) X(504) X(505)

enum { HTTP_CODE_COUNT = 25 };

struct stats {
	word64 word[STAT_COUNT];
	word64 http[HTTP_CODE_COUNT];
};

/* Names of the counters, for inspectors; i < STAT_COUNT. */
const char *stat_metric(enum counter i);
const char *stat_help(enum counter i);
/* The index of a status in stats.http; the status of an index (0 for "other"). */
unsigned stat_http_index(unsigned code);
unsigned stat_http_code(unsigned index);

/* Owner only. relaxed: nothing depends on a counter. */
static inline void
stat_add(struct stats *s, enum counter i, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&s->word[i], memory_order_relaxed);

	atomic_store_explicit(&s->word[i], v + n, memory_order_relaxed);
}

static inline uint64_t
stat_get(const struct stats *s, enum counter i)
{
	return atomic_load_explicit((word64 *)&s->word[i], memory_order_relaxed);
}

static inline void
stat_http_add(struct stats *s, unsigned code)
{
	word64 *w = &s->http[stat_http_index(code)];

	atomic_store_explicit(w, atomic_load_explicit(w, memory_order_relaxed) + 1,
	    memory_order_relaxed);
}

#endif
