/*
 * Input. Whose bytes lie where is said before they are read:
 *
 *	hdr = (record, stream offset[, in its block]) -> recv()
 *
 * so that an heir, which knows from the kernel how much was read, finds every byte. Complete
 * messages are executed one after the other, each committed before the next begins; what is left
 * goes into a block that is filled first and then named by one store (part), and is never moved
 * within its block. A connection that has a block receives behind its end.
 *
 * in_done moves when a message is committed, and with the last store of a batch.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "worker/http.h"
#include "worker/message.h"
#include "worker/priv.h"
#include "worker/ws.h"

enum { BLOCK_DATA = BLOCK_SIZE - offsetof(struct block, data) };

void
input_want_resume(struct worker *w, uint32_t ci)
{
	if (w->priv[ci].resume)
		return;
	w->priv[ci].resume = true;
	list_push(&w->resume, ci);
}

/* Bytes of the message at p that are now processed; 0: more is needed, -1: stop for now. */
static ssize_t
take(struct worker *w, uint32_t ci, uint64_t off, const unsigned char *p, size_t n)
{
	struct conn *c = conn_at(w, ci);
	uint32_t state = word32_get(&c->state);

	if ((state & (CONN_SSE | CONN_CLOSE | CONN_LINGER | CONN_REFUSED)) != 0) {
		if ((state & CONN_WS) != 0 && (state & CONN_LINGER) == 0)
			return ws_take(w, ci, off, p, n);
		return (ssize_t)n;			/* nothing more is heard */
	}
	if ((state & CONN_WS) != 0)
		return ws_take(w, ci, off, p, n);
	return http_take(w, ci, off, p, n);
}

/* What is left of the input, n bytes at p from offset off on, rests in a block. */
static bool
rest(struct worker *w, uint32_t ci, uint64_t off, const unsigned char *p, size_t n)
{
	struct conn *c = conn_at(w, ci);
	uint32_t old = (uint32_t)word_get(&c->part), b;
	struct block *k = old == 0 ? NULL : block_at(w, old);

	if (n > 0 && k != NULL && p == k->data) {	/* nothing of it was done: it stays */
		word_set(&k->len, n);
		return true;
	}
	if (n == 0) {
		word_set(&c->part, 0);
	} else {
		b = n <= BLOCK_DATA ? block_get(w) : 0;
		if (b == 0)
			return false;
		k = block_at(w, b);
		memcpy(k->data, p, n);
		word_set(&k->off, off);
		word_set(&k->len, n);
		word_set(&c->part, b);
	}
	if (old != 0)
		block_put(w, old);
	return true;
}

/* False while something must happen before its next message: the input rests in a block. */
static bool
may_execute(const struct conn *c)
{
	return word_get(&c->wait) == 0 && word_get(&c->stream) == 0 && !conn_has(c, CONN_BLOCKED);
}

void
input_process(struct worker *w, uint32_t ci, uint64_t off, unsigned char *p, size_t n)
{
	struct conn *c = conn_at(w, ci);
	uint64_t begin = word_get(&c->in_done);
	size_t at = (size_t)(begin - off);
	ssize_t r = 0;

	while (at < n && may_execute(c)) {
		r = take(w, ci, off + at, p + at, n - at);
		if (r <= 0)
			break;
		at += (size_t)r;
		w->in_doubt = false;		/* only the first message can be */
		w->priv[ci].scan = w->priv[ci].body_pos = 0;
		w->priv[ci].body_total = 0;
	}
	w->in_doubt = false;
	if (conn_life(c) != CONN_OPEN)
		return;
	word_set(&c->in_done, off + at);
	message_close_span(w, ci);
	if (!rest(w, ci, off + at, p + at, n - at)) {
		conn_close(w, ci, STAT_DISCONNECT_RESOURCE);
		return;
	}
	if (r < 0 && word_get(&c->ctl) == 0)		/* no room in this turn */
		input_want_resume(w, ci);
	/* what rests because we cannot go on is not late */
	timeouts_after_input(w, ci, off + at > begin, at < n && r == 0 && may_execute(c));
	conn_want_rest(w, ci);
}

/* True if its input may be looked at now. */
static bool
may_read(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	return word_get(&c->ctl) == 0 && may_execute(c);
}

static void
read_failed(struct worker *w, uint32_t ci, ssize_t r)
{
	struct conn *c = conn_at(w, ci);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r == 0 && w->priv[ci].resume) /* what came before its FIN is still to be answered */
		return;
	if (conn_has(c, CONN_LINGER))
		conn_close(w, ci, STAT_DISCONNECT_DONE);
	else
		conn_close(w, ci, r == 0 ? STAT_DISCONNECT_CLIENT : STAT_DISCONNECT_ERROR);
}

void
input_ready(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint32_t part = (uint32_t)word_get(&c->part);
	struct block *k = part == 0 ? NULL : block_at(w, part);
	uint64_t off = k == NULL ? word_get(&c->in_done) : word_get(&k->off);
	size_t have = k == NULL ? 0 : word_get(&k->len);
	size_t room = k == NULL ? SCRATCH_SIZE : BLOCK_DATA - have;
	unsigned char *p = k == NULL ? w->scratch : k->data;
	ssize_t r;

	if (!may_read(w, ci) || room == 0)
		return;
	word_set(&w->slot->hdr, hdr_make(ci, off, k != NULL));
	r = recv(c->fd, p + have, room, MSG_DONTWAIT);
	if (r <= 0) {
		read_failed(w, ci, r);
		return;
	}
	if (k != NULL)
		word_set(&k->len, have + (size_t)r);
	stat_add(w->stats, STAT_RECEIVED_BYTES, (uint64_t)r);
	timeouts_seen(w, c);
	input_process(w, ci, off, p, have + (size_t)r);
}

void
input_resume(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint32_t part = (uint32_t)word_get(&c->part);
	struct block *k;

	if (part == 0 || !may_read(w, ci))
		return;
	k = block_at(w, part);
	word_set(&w->slot->hdr, hdr_make(ci, word_get(&k->off), 1));
	input_process(w, ci, word_get(&k->off), k->data, word_get(&k->len));
}
