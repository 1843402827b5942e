/*
 * A message: what a handler is given, and the only way in which it answers.
 *
 * The law of a connection is kept here, so that no dialect can break it. A handler may publish
 * (once, with the message's origin), queue bytes and name effects on its connection; when it
 * returns, message_commit() makes "processed", "answered" and "changed" one store. A handler may
 * be run again for the same message by an heir: it must come to the same result.
 */
#ifndef PLENUM_WORKER_MESSAGE_H
#define PLENUM_WORKER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/priv.h"

struct message {
	struct worker *w;
	uint32_t ci;
	struct conn *c;
	uint64_t in_off;		/* where it begins in the input stream: its origin */
	uint64_t in_end;		/* and ends */
	struct span *span;
	unsigned char *out;		/* behind what is committed */
	uint32_t committed;
	uint32_t len;			/* bytes of this reply */
	struct effect effect[SPAN_EFFECTS];
	unsigned neffects;
};

/*
 * Begins the message [in_off, in_end) of a connection; what the server says by itself has
 * in_off == in_end == in_done. False: no room to answer now (the reply span or the frame arena is
 * full, or the span was closed in this turn): the input stays where it is.
 */
bool message_begin(struct worker *w, uint32_t ci, uint64_t in_off, uint64_t in_end,
    struct message *m);

/* Adds bytes to the reply. More than REPLY_MAX in all is a bug. */
void message_put(struct message *m, const void *p, size_t n);
void message_text(struct message *m, const char *s);
void message_number(struct message *m, uint64_t v);		/* in decimal */
void message_printf(struct message *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for n bytes at the end of the reply, to be filled by the caller. */
unsigned char *message_room(struct message *m, size_t n);

/* Names an effect: an absolute value for a word of the connection. */
void message_effect(struct message *m, enum effect_word word, uint32_t index, uint64_t value);
/* Effect on the state bits (within CONN_EFFECT_BITS). */
void message_state(struct message *m, uint32_t set, uint32_t clear);

/*
 * Publishes with the message's origin: once, also if the message is executed again. 0, or -1 with
 * errno as event_publish(), ENOSPC: the channel table is full.
 */
struct publication {
	const char *channel;
	size_t channel_len;
	const void *data;
	uint32_t len;
	uint8_t flags;		/* enum event_flag */
	uint64_t key;
	uint32_t chan;		/* out */
	uint64_t seq;		/* out */
};
int message_publish(struct message *m, struct publication *p);

/* Processed, answered and changed, in one store. */
void message_commit(struct message *m);

/* Stores an effect's word; the heir does it again. */
void message_apply(struct worker *w, uint32_t ci, const struct effect *e);
/* Heir: what the last commit of a connection's reply span intended. */
void message_redo(struct worker *w, uint32_t ci);
/* After a batch of messages: gives back the unused end of the reply span, or the span. */
void message_close_span(struct worker *w, uint32_t ci);

/* Get-or-create by the settings' rule for the name. 0 or -1. */
int message_channel(struct worker *w, const char *name, size_t n, uint32_t *chan);

#endif
