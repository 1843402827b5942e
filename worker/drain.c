/*
 * Draining: the server stops. Each connection is told so in its own words, spread over half of
 * graceful_timeout so that the clients do not all return at once elsewhere; requests in flight end
 * first. The worker ends when nobody is left.
 */
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/wake.h"
#include "worker/dialect.h"
#include "worker/message.h"
#include "worker/priv.h"
#include "worker/wsframe.h"

static void
say_goodbye(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	const struct dialect *d = dialect_get(conn_dialect(c));
	uint64_t done = word_get(&c->in_done);
	struct message m;

	/* a reply that is queued leaves first: its span takes no more */
	if (conn_life(c) != CONN_OPEN || conn_has(c, CONN_CLOSE | CONN_LINGER | CONN_BLOCKED) ||
	    word_get(&c->ctl) != 0 || word_get(&c->plan) != 0 || word_get(&c->wait) != 0 ||
	    word_get(&c->stream) != 0)
		return;
	if (d->goodbye == NULL) {		/* HTTP: idle ones only */
		if (word_get(&c->part) == 0 && conn_has(c, CONN_USED))
			conn_close(w, ci, STAT_DISCONNECT_SERVER);
		return;
	}
	if (!message_begin(w, ci, done, done, &m))
		return;
	stat_add(w->stats, STAT_DISCONNECT_SERVER, 1);
	d->goodbye(&m, WS_CLOSE_GOING_AWAY, "server stops");
	message_commit(&m);
	message_close_span(w, ci);
}

/* Connections of all slots: until the last ends, every listener goes on to say "draining". */
static uint64_t
open_on_host(const struct worker *w)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < w->r->caps.workers; i++)
		n += word_get(&region_slot(w->r, i)->conns_open);
	return n;
}

void
drain_tick(struct worker *w)
{
	uint32_t used = (uint32_t)word_get(&w->slot->conns_used), n;
	uint32_t ticks = w->set.graceful_timeout / 2 / TICK_MS + 1;
	uint32_t per_tick = used / ticks + 1;

	if (open_on_host(w) == 0) {
		log_info("drained");
		worker_leave(w, "drained");
	}
	for (n = 0; n < per_tick; n++) {
		if (w->drain_at >= used)
			w->drain_at = 0;
		say_goodbye(w, w->drain_at++);
	}
}
