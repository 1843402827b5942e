/*
 * Numbers of the region's ABI: they are part of the layout's identity and are not settings.
 */
#ifndef PLENUM_SHM_LIMITS_H
#define PLENUM_SHM_LIMITS_H

enum {
	WRITERS_MAX = 64,		/* 6 bits of a cell */
	WORKERS_MAX = 56,
	HELPERS_MAX = 7,		/* writers 56..62 */
	WRITER_CLOSED = 63,		/* never a process: the cell that retires a channel */

	CHANNEL_NAME_MAX = 128,		/* bytes */
	HISTORY_MAX = 8192,		/* events per channel */
	EVENT_MAX = 65536,		/* bytes of an event's data */
	SUBSCRIPTIONS_MAX = 128,	/* per connection */
	LISTENERS_MAX = 24,		/* addresses in all */
	CONNS_MAX = 65536,		/* records per slot */
	CHANNELS_MAX = 65536,
	DIRTY_WORDS = CHANNELS_MAX / 64,	/* per writer */
	SUMMARY_WORDS = DIRTY_WORDS / 64,

	/*
	 * A block holds what must outlast a loop turn: a request (head and a body of up to
	 * EVENT_MAX), a WebSocket message, the rest of a cut frame.
	 */
	BLOCK_SIZE = 96 * 1024,
	SCRATCH_SIZE = 64 * 1024,	/* one recv() */
	LOG_RING_SIZE = 64 * 1024,	/* per writer */
};

/* Writers that are no workers. The index is the bit in a channel's interest word. */
enum helper {
	HELPER_MASTER = WORKERS_MAX,
	HELPER_LOGGER,
	HELPER_RELAY,
	HELPER_JOURNAL,
	HELPER_FEED,
	HELPER_TEST,			/* what t/ and plenumctl write as */
	HELPER_SPARE,
};

#endif
