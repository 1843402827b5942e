/*
 * Deadlines. What a deadline is measured from lies in the record (seen, pinged, deadline), so
 * deaths do not postpone it; the clock that looks is a scan over a part of the records every
 * TICK_MS.
 *
 *	deadline	request that is arriving (header_timeout, then request_timeout), lingering
 *			close, a WebSocket close that waits for its answer
 *	seen		keepalive_timeout of idle HTTP, ping_interval and ping_timeout of the others
 */
#include "worker/dialect.h"
#include "worker/http.h"
#include "worker/message.h"
#include "worker/priv.h"
#include "worker/ws.h"

enum { SCAN_PER_TICK = 4096, CLOSE_HEARTBEAT = 4000 };

void
timeouts_seen(struct worker *w, struct conn *c)
{
	if (w->now - word_get(&c->seen) >= TICK_MS)
		word_set(&c->seen, w->now);
}

/* A goodbye that was said, or FIN: what the peer does about it has LINGER_MS. */
static bool
is_leaving(const struct conn *c)
{
	return conn_has(c, CONN_LINGER) ||
	    (conn_has(c, CONN_CLOSE) && conn_has(c, CONN_WS | CONN_SSE));
}

void
timeouts_after_input(struct worker *w, uint32_t ci, bool progress, bool incomplete)
{
	struct conn *c = conn_at(w, ci);
	uint64_t deadline = word_get(&c->deadline);

	if (is_leaving(c))
		return;
	if (conn_has(c, CONN_WS | CONN_SSE | CONN_CLOSE))
		incomplete = false;
	if (progress || !incomplete) {		/* the next request has a deadline of its own */
		if (deadline != 0)
			word_set(&c->deadline, 0);
		if (conn_has(c, CONN_BODY))
			conn_set_bits(c, 0, CONN_BODY);
		deadline = 0;
	}
	if (!incomplete)
		return;
	if (w->priv[ci].in_body && !conn_has(c, CONN_BODY)) {
		word_set(&c->deadline, w->now + w->set.request_timeout);
		conn_set_bits(c, CONN_BODY, 0);
	} else if (deadline == 0)
		word_set(&c->deadline, w->now + w->set.header_timeout);
}

/* Says something of the server's own; false if that must wait. */
static bool
begin(struct worker *w, uint32_t ci, struct message *m)
{
	struct conn *c = conn_at(w, ci);
	uint64_t done = word_get(&c->in_done);

	if (conn_has(c, CONN_BLOCKED) || word_get(&c->plan) != 0 || word_get(&c->stream) != 0)
		return false;
	return message_begin(w, ci, done, done, m);
}

static void
end(struct message *m)
{
	message_commit(m);
	message_close_span(m->w, m->ci);
}

static void
request_late(struct worker *w, uint32_t ci)
{
	struct message m;

	if (word_get(&conn_at(w, ci)->part) == 0 || !begin(w, ci, &m)) {
		conn_close(w, ci, STAT_DISCONNECT_TIMEOUT);
		return;
	}
	stat_add(w->stats, STAT_DISCONNECT_TIMEOUT, 1);
	http_timed_out(&m);
	end(&m);
}

/* WebSocket and SSE: the ping, and the end of a silent peer. */
static void
look_at_talker(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	const struct dialect *d = dialect_get(conn_dialect(c));
	uint64_t seen = word_get(&c->seen), pinged = word_get(&c->pinged);
	uint64_t last = seen > pinged ? seen : pinged;
	struct message m;

	if (conn_has(c, CONN_WS) && w->now > seen && w->now - seen > w->set.ping_timeout) {
		if (!begin(w, ci, &m)) {
			conn_close(w, ci, STAT_DISCONNECT_TIMEOUT);
			return;
		}
		stat_add(w->stats, STAT_DISCONNECT_TIMEOUT, 1);
		d->goodbye(&m, CLOSE_HEARTBEAT, "heartbeat missed");
		end(&m);
		return;
	}
	if (conn_has(c, CONN_BLOCKED) && w->now > last && w->now - last > w->set.ping_timeout) {
		conn_close(w, ci, STAT_DISCONNECT_SLOW);
		return;
	}
	if (w->now <= last || w->now - last < w->set.ping_interval || !begin(w, ci, &m))
		return;
	d->ping(&m);
	end(&m);
	word_set(&c->pinged, w->now);
}

static void
look_at(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint64_t deadline = word_get(&c->deadline), seen = word_get(&c->seen);

	/* a reply that is queued leaves in this turn; its span takes no more (message_close_span)
	 */
	if (conn_life(c) != CONN_OPEN || word_get(&c->ctl) != 0)
		return;
	if (deadline != 0 && w->now > deadline) {
		if (conn_has(c, CONN_LINGER | CONN_CLOSE | CONN_WS | CONN_SSE))
			conn_close(w, ci, STAT_DISCONNECT_DONE);
		else
			request_late(w, ci);
		return;
	}
	if (is_leaving(c)) {
		if (deadline == 0)
			word_set(&c->deadline, w->now + LINGER_MS);
		return;
	}
	if (conn_has(c, CONN_WS | CONN_SSE)) {
		look_at_talker(w, ci);
		return;
	}
	if (word_get(&c->stream) != 0 || conn_has(c, CONN_BLOCKED)) {
		/* a client that does not read its answer */
		if (w->now > seen && w->now - seen > w->set.request_timeout)
			conn_close(w, ci, STAT_DISCONNECT_SLOW);
		return;
	}
	if (word_get(&c->part) == 0 && word_get(&c->wait) == 0 && deadline == 0 && w->now > seen &&
	    w->now - seen > w->set.keepalive_timeout)
		conn_close(w, ci, STAT_DISCONNECT_DONE);
}

void
timeouts_tick(struct worker *w)
{
	uint32_t used = (uint32_t)word_get(&w->slot->conns_used), n;

	for (n = 0; n < SCAN_PER_TICK && n < used; n++) {
		if (w->tick_at >= used)
			w->tick_at = 0;
		look_at(w, w->tick_at++);
	}
}
