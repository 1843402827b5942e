/*
 * step_worker: clients that know every byte they must get. Replies come in the order of what was
 * asked, events in the order of their seq, each in its exact bytes; how the two lie between each
 * other is the server's choice, but for a subscription's own beginning and end.
 */
#ifndef PLENUM_T_STEP_CLIENT_H
#define PLENUM_T_STEP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;

enum wrong { WRONG_LOST, WRONG_DOUBLED, WRONG_TORN, WRONG_CLOSED, WRONG_OTHER, WRONG_COUNT };
const char *wrong_name(enum wrong w);

enum client_kind { CLIENT_WS, CLIENT_HTTP, CLIENT_SSE };

enum {
	CLIENTS = 6, CHANS = 3, REPLIES = 64, LOG = 4096,
	INPUT = 256 * 1024, RAW = 256 * 1024, BYTES = 128 * 1024,
	/* in bytes that are expected; ANY_PLACE is the number of the client's next post */
	ANY_DIGIT = 1, ANY_BYTE = 2, ANY_NUMBER = 3, ANY_PLACE = 4,
};

/* A reply that must come. */
struct reply {
	enum { REPLY_PUBLISHED, REPLY_SUBSCRIBED, REPLY_UNSUBSCRIBED, REPLY_PONG } kind;
	unsigned chan;
	uint32_t id;			/* of the message; of the ping */
	uint64_t seq;			/* subscribed: the least */
	uint64_t since;			/* subscribed: resumes behind this, if > 0 */
};

struct client {
	int fd;				/* -1: closed */
	bool small;			/* with small buffers */
	enum client_kind kind;
	unsigned char *in;		/* INPUT bytes */
	size_t n;
	unsigned slot;			/* whose worker serves it */
	uint32_t number;		/* of the connection */
	char *raw;			/* RAW bytes that come first */
	size_t raw_n, raw_at;
	uint32_t post[REPLIES];		/* messages whose places are told in raw */
	unsigned post_first, post_end;
	struct reply reply[REPLIES];
	unsigned reply_first, reply_end;
	uint64_t next[CHANS];		/* seq of the next event, 0: not subscribed */
	uint64_t published[CHANS];	/* greatest seq of its own messages */
	unsigned fall_code;		/* it may be closed with this, 0: never */
	const char *fall_reason;
	bool must_fall;			/* and must be */
	bool slow;			/* a channel with may_gap may go on without it */
	bool fallen;
	double fallen_at;		/* when the close frame came */
};

/* A message that was published. */
struct publish {
	uint32_t id, len;
	unsigned chan;
	int client;			/* -1: the test itself */
	uint32_t not_for;		/* the connection that does not want it back, 0: none */
	uint64_t seq;			/* 0: nobody has seen it yet */
};

struct chan {
	char name[40];
	uint64_t count;			/* events that it must have */
	uint32_t first;			/* messages before this one are of another channel */
	bool may_gap;			/* the ring was lapped while nobody served */
	bool latest;			/* who was lapped goes on with the newest */
	struct { uint64_t seq; uint32_t id; } log[LOG];
};

struct bytes {
	unsigned char p[BYTES];
	size_t n;
};

struct oracle {
	struct server *s;
	struct client client[CLIENTS];
	struct chan chan[CHANS];
	struct publish pub[LOG];
	uint32_t npubs;
	uint32_t open_from;		/* messages from this id on are of this run */
	bool racing;			/* which seq a message gets is not known beforehand */
	uint32_t opened;		/* connections so far */
	unsigned open_slot;		/* whose worker has to serve the clients opened now */
	char head_ws[512], head_post[512], head_get[512], head_sse[512];
	char why[600];			/* the first thing that is wrong, "" so far */
	enum wrong wrong;
};

/* Begins anew: clients are closed, nothing is expected. The server runs. */
void oracle_reset(struct oracle *o, struct server *s);

/* Gets the channel `i` this name; it is made if it is not there, unless later. */
void oracle_channel(struct oracle *o, unsigned i, const char *name, bool later);

/* Makes the channel `i`, with this policy (enum settings_slow). */
void oracle_channel_slow(struct oracle *o, unsigned i, const char *name, unsigned slow);

/* Learns what heads of answers look like from undisturbed ones. */
void oracle_learn(struct oracle *o);

/* Reads all clients until everything that must come is there, and nothing else. False: wrong. */
bool oracle_drain(struct oracle *o, double seconds);

/* Connects client i; rcvbuf != 0: with a receive buffer of that size and as small a sender's. */
void client_open(struct oracle *o, unsigned i, enum client_kind kind, int rcvbuf);
void client_close(struct oracle *o, unsigned i);
void client_send(struct oracle *o, unsigned i, const void *p, size_t n);
/* Takes up to max bytes and checks them. Returns how many; 0 also after something went wrong. */
size_t client_read(struct oracle *o, unsigned i, size_t max);
/* Nothing more is expected of this client now. */
bool client_is_done(struct oracle *o, unsigned i);

/* What clients say, appended to b, and what they must get for it. */
void say_upgrade(struct oracle *o, unsigned i, struct bytes *b);
void say_events(struct oracle *o, unsigned i, unsigned chan, struct bytes *b);	/* SSE */
void say_subscribe(struct oracle *o, unsigned i, unsigned chan, struct bytes *b);
/* Resumes behind seq: what came since must come again. */
void say_resume(struct oracle *o, unsigned i, unsigned chan, uint64_t seq, struct bytes *b);
void say_resume_events(struct oracle *o, unsigned i, unsigned chan, uint64_t seq, struct bytes *b);
void say_unsubscribe(struct oracle *o, unsigned i, unsigned chan, struct bytes *b);
void say_publish(struct oracle *o, unsigned i, unsigned chan, uint32_t len, struct bytes *b);
void say_publish_no_echo(struct oracle *o, unsigned i, unsigned chan, uint32_t len,
    struct bytes *b);
void say_ping(struct oracle *o, unsigned i, uint32_t id, struct bytes *b);
void say_goodbye(struct oracle *o, unsigned i, struct bytes *b);
/* In three fragments with a ping behind each of the first two; returns the middle of the second. */
size_t say_fragments(struct oracle *o, unsigned i, unsigned chan, uint32_t len, struct bytes *b);
void say_post(struct oracle *o, unsigned i, unsigned chan, uint32_t len, struct bytes *b);
/* With an idempotency key; what was said before with the same is said again by its id. */
uint32_t say_post_key(struct oracle *o, unsigned i, unsigned chan, uint32_t len, const char *key,
    struct bytes *b);
void say_post_again(struct oracle *o, unsigned i, uint32_t id, const char *key, struct bytes *b);
void say_history(struct oracle *o, unsigned i, unsigned chan, uint64_t since, struct bytes *b);

/* The test publishes by itself. */
void publish_self(struct oracle *o, unsigned chan, uint32_t len);

void went_wrong(struct oracle *o, enum wrong w, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
