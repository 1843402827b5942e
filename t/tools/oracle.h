/*
 * What must be true of a run: which event has which sequence number, who has seen how far, what
 * was told as missing.  Every client of the crowd reports here; the oracle counts, and says on
 * stderr what is wrong.
 */
#ifndef PLENUM_TOOLS_ORACLE_H
#define PLENUM_TOOLS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "t/tools/scan.h"

enum { EPOCH_LEN = 16 };

/* Single counters of a run, in the order in which they are printed. */
#define ORACLE_COUNTERS(X)							\
	X(published) X(replies) X(deliveries) X(gaps) X(gap_events) X(http) X(pongs)	\
	X(visits) X(recovered) X(unrecovered) X(slot_lost) X(slot_http) X(resumed)	\
	X(unsure) X(http_failed) X(refused) X(timed_out) X(closed) X(resets) X(lost)	\
	X(doubled) X(reordered) X(torn) X(stalled) X(violations)

struct oracle_tally {
#define X(name) uint64_t name;
	ORACLE_COUNTERS(X)
#undef X
};

extern struct oracle_tally tally;

struct oracle_setup {
	int channels, publishers;
	size_t size_min, size_max;	/* of a payload */
	bool strict_gap;
	uint64_t seed;
};

/* One subscriber's place in one channel.  Belongs to the subscriber, zeroed before use. */
struct follower {
	int channel;
	int who;			/* the client's id, for what is printed */
	bool live;			/* subscribed; next is valid */
	bool slow;			/* leaves the latencies alone */
	uint64_t next;			/* the sequence number that must come */
	uint64_t missing_from, missing_to;	/* the last hole, to tell late from double */
};

/* Call once, before anything else. */
void oracle_setup(const struct oracle_setup *setup);

/* Counts one violation and prints the first of them. */
__attribute__((format(printf, 1, 2)))
void oracle_violation(const char *fmt, ...);

/* The name of a channel: printable, needs no percent-encoding. */
const char *oracle_channel_name(int channel);

/* Borrows the payload of publisher `p`, number `n`; valid until the next call. */
struct slice oracle_payload(uint32_t p, uint32_t n);

/* Publisher p (from 1) is about to send its next message; returns its number (from 1). */
uint32_t oracle_send(uint32_t p, int channel);

/* The answer to p's message n came; `epoch` may be an empty slice. */
void oracle_reply(uint32_t p, uint32_t n, int channel, uint64_t seq, struct slice epoch,
    uint64_t now);

/* The answer to p's message n was an error: it has no seq, and that is a violation. */
void oracle_refused(uint32_t p, uint32_t n, int channel, struct slice error);

/*
 * The connection of p is gone with its slot: what is not answered may have been published or not,
 * and will never be answered. Returns the number of p's last message.
 */
uint32_t oracle_unsure(uint32_t p, int channel);

/* The channel's epoch was told to somebody: it must be the same for everybody. */
void oracle_epoch(int channel, struct slice epoch);
const char *oracle_epoch_of(int channel);	/* "" as long as nobody was told */

/* The raw frame equals one that was checked already for the seq the follower waits for. */
bool oracle_is_known_frame(struct follower *f, struct slice frame, uint64_t rx, uint64_t last_rx);
void oracle_remember_frame(int channel, uint64_t seq, struct slice frame);

/* An event or a gap [from, to] has reached the follower. */
void oracle_event(struct follower *f, uint64_t seq, struct slice data, uint64_t rx,
    uint64_t last_rx);
void oracle_gap(struct follower *f, uint64_t from, uint64_t to);

/* An event read from the history: it must be the one with that seq. */
void oracle_past_event(int channel, uint64_t seq, struct slice data);

/* The newest seq that anybody has seen; how many messages were answered with one. */
uint64_t oracle_newest(int channel);
uint64_t oracle_answered(int channel);

/* The follower waits for an event that is known to exist. */
bool oracle_is_owed(const struct follower *f);

/* The server says that its newest seq is this one: call when nothing is outstanding. */
void oracle_final_seq(int channel, uint64_t seq);

/* Walks all tables: every event once, publishers in order.  Call when all is over. */
void oracle_final_walk(void);

/* The follower will get nothing more: what it was owed is lost. */
void oracle_final_follower(const struct follower *f);

/* Prints the summary; returns the exit status. */
int oracle_summary(uint64_t connections);

#endif
