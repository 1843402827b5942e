/*
 * Dialects: how a connection is spoken to, as tables of functions over the core (message.h,
 * priv.h). A new one adds a file, a number and a line in dialect.c.
 */
#ifndef PLENUM_WORKER_DIALECT_H
#define PLENUM_WORKER_DIALECT_H

#include <stddef.h>
#include <stdint.h>

#include "worker/message.h"
#include "worker/priv.h"

/* The channel that an event is framed for. */
struct frame_context {
	const char *name;
	size_t name_len;
	uint64_t epoch;
};

struct dialect {
	/* A whole WebSocket message, text already checked to be UTF-8. */
	void (*message)(struct message *m, unsigned opcode, const unsigned char *p, size_t n);

	/*
	 * Frames an event (data of h->len bytes) for the wire: at most FRAME_MAX bytes to out.
	 * Returns the length.
	 */
	size_t (*event)(unsigned char *out, const struct frame_context *x,
	    const struct event_head *h, const unsigned char *data);

	/* Frames the notice that the events from..to are missing. */
	size_t (*gap)(
	    unsigned char *out, const struct frame_context *x, uint64_t from, uint64_t to);

	/* Says something on a silent line, so that both sides know that it lives. */
	void (*ping)(struct message *m);

	/* Says goodbye with a WebSocket close code or the dialect's own words. */
	void (*goodbye)(struct message *m, unsigned code, const char *reason);
};

/* NULL entries: the dialect has no such thing. d < DIALECT_COUNT. */
const struct dialect *dialect_get(enum dialect_id d);

extern const struct dialect dialect_http, dialect_channels, dialect_echo, dialect_sse;

#endif
