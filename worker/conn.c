/*
 * Lives of connections.
 *
 * Accept:	accepting = (listener, record) -> accept4() -> fd, cookie -> state OPEN
 *		-> epoll ADD -> accepting = 0
 * Close:	hdr = 0 if it names the record -> state CLOSING -> close() -> words emptied
 *		-> state FREE
 *
 * A copy of the descriptor of a connection that was offered to another slot (move.c) may still lie
 * in an inbox: then close() neither says FIN nor ends the registration, so both are done before.
 *
 * Registration in the slot's epoll set outlives the worker, so the record says when it is not plain
 * EPOLLIN: CONN_ODD is stored before epoll_ctl() and cleared after it is EPOLLIN again. An heir
 * registers the odd ones anew.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/heritage.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/witness.h"
#include "shm/dirty.h"
#include "worker/http.h"
#include "worker/listen.h"
#include "worker/message.h"
#include "worker/priv.h"

void
conn_count(struct worker *w, enum dialect_id d, int by)
{
	word64 *n = &w->slot->conns_dialect[d];

	word_set(n, word_get(n) + (uint64_t)(int64_t)by);
}

/* ---- interest ---- */

static int
epoll_change(struct worker *w, int fd, uint32_t ci, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u64 = source_data(SOURCE_CLIENT, ci) };
	int set = w->slot->client_epoll;

	if (epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) == 0)
		return 0;
	return epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
}

void
conn_want(struct worker *w, uint32_t ci, enum want want)
{
	static const uint32_t events[] = { EPOLLIN, EPOLLOUT, EPOLLRDHUP };
	struct conn *c = conn_at(w, ci);

	if (w->priv[ci].want == want)
		return;
	if (want != WANT_READ && !conn_has(c, CONN_ODD))
		conn_set_bits(c, CONN_ODD, 0);
	if (epoll_change(w, c->fd, ci, events[want]) != 0)
		log_error("epoll_ctl: %s", strerror(errno));
	if (want == WANT_READ && conn_has(c, CONN_ODD))
		conn_set_bits(c, 0, CONN_ODD);
	w->priv[ci].want = (uint8_t)want;
}

void
conn_want_rest(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	if (conn_has(c, CONN_BLOCKED))
		conn_want(w, ci, WANT_WRITE);
	else if (word_get(&c->wait) != 0)
		conn_want(w, ci, WANT_NONE);
	else
		conn_want(w, ci, WANT_READ);
}

void
conn_block(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	if (!conn_has(c, CONN_BLOCKED))
		conn_set_bits(c, CONN_BLOCKED, 0);
	conn_want(w, ci, WANT_WRITE);
}

void
conn_unblock(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	if (!conn_has(c, CONN_BLOCKED))
		return;
	conn_set_bits(c, 0, CONN_BLOCKED);
	conn_want_rest(w, ci);
}

/* ---- birth ---- */

static void
fill(struct worker *w, uint32_t ci, int fd, unsigned listener, uint32_t bits)
{
	struct conn *c = conn_at(w, ci);

	c->fd = fd;
	word_set(&c->cookie, witness_cookie(fd));
	word_set(&c->opened, w->now_real);
	word_set(&c->seen, w->now);
	word_set(&c->pinged, w->now);
	word_set(&c->deadline, w->now + w->set.header_timeout);
	word32_set(&c->state, CONN_OPEN | bits | listen_address(listener) << 21);
	memset(&w->priv[ci], 0, sizeof w->priv[ci]);
	w->priv[ci].known = true;
}

/* Over the limit: one of the spare records says 503 and closes. */
static void
refuse(struct worker *w, uint32_t ci)
{
	struct message m;

	stat_add(w->stats, STAT_REFUSED, 1);
	if (!message_begin(w, ci, 0, 0, &m)) {
		conn_close(w, ci, STAT_DISCONNECT_RESOURCE);
		return;
	}
	http_refuse(&m);
	message_commit(&m);
	message_close_span(w, ci);
}

static void
open_record(struct worker *w, uint32_t ci, int fd, unsigned listener)
{
	bool is_unix = w->r->head->listener[listen_address(listener)].is_unix;
	bool over = word_get(&w->slot->conns_open) >= w->conns_limit;
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = source_data(SOURCE_CLIENT, ci) };

	fill(w, ci, fd, listener, (is_unix ? CONN_UNIX : 0u) | (over ? CONN_REFUSED : 0u));
	word_set(&w->slot->conns_open, word_get(&w->slot->conns_open) + 1);
	conn_count(w, DIALECT_HTTP, 1);
	stat_add(w->stats, STAT_ACCEPTS, 1);
	if (epoll_ctl(w->slot->client_epoll, EPOLL_CTL_ADD, fd, &e) != 0 && errno != EEXIST)
		log_error("epoll_ctl: %s", strerror(errno));
	if (over)
		refuse(w, ci);
}

bool
conn_take_record(struct worker *w, uint32_t *ci)
{
	uint64_t used;

	if (list_pop(&w->free_conns, ci))
		return true;
	used = word_get(&w->slot->conns_used);
	if (used >= w->conns_max)
		return false;
	*ci = (uint32_t)used;
	word_set(&w->slot->conns_used, used + 1);
	return true;
}

static void
accept_failed(struct worker *w)
{
	static struct log_rate rate;

	if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
		return;
	w->accept_paused = true;
	if (log_rate_ok(&rate, 1))
		log_error("accept: %s; pausing", strerror(errno));
}

/*
 * How many to take: one, as most come alone and a second call would say that there is none; twice
 * as many in each turn behind one that left some in the queue.
 */
static unsigned
appetite(struct worker *w)
{
	if (w->turn != w->accept_turn)
		w->accepts = w->turn == w->accept_turn + 1 ? 2 * w->accepts : 1;
	if (w->accepts == 0 || w->accepts > ACCEPTS_PER_TURN)
		w->accepts = w->accepts == 0 ? 1 : ACCEPTS_PER_TURN;
	w->accept_turn = w->turn;
	return w->accepts;
}

void
conn_accept(struct worker *w, unsigned listener)
{
	unsigned i, n = appetite(w);
	uint32_t ci;
	int fd;

	for (i = 0; i < n; i++) {
		if (!conn_take_record(w, &ci)) {
			w->accept_paused = true;
			return;
		}
		/* from here on a descriptor may be in the table that no record claims */
		word_set(&w->slot->accepting, (uint64_t)listener << 32 | (ci + 1));
		fd = accept4(listen_fd(w, listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			accept_failed(w);
			list_push(&w->free_conns, ci);
			word_set(&w->slot->accepting, 0);
			return;
		}
		open_record(w, ci, fd, listener);
		word_set(&w->slot->accepting, 0);
	}
}

void
conn_adopt(struct worker *w, uint32_t ci, int fd, unsigned listener)
{
	stat_add(w->stats, STAT_ADOPTED, 1);
	open_record(w, ci, fd, listener);
}

/* ---- death ---- */

void
conn_empty(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	struct priv *p = &w->priv[ci];
	bool touched = p->touched, resume = p->resume;
	uint64_t ext = word_get(&c->ext);
	unsigned i;

	subs_forget(w, ci);
	if (plan_kind(word_get(&c->plan)) == PLAN_CUT)
		block_put(w, plan_ref(word_get(&c->plan)));
	if (word_get(&c->part) != 0)
		block_put(w, (uint32_t)word_get(&c->part));
	if (word_get(&c->assembly) != 0)
		block_put(w, (uint32_t)word_get(&c->assembly));
	word_set(&c->plan, 0);
	for (i = offsetof(struct conn, ctl) / 8; i < sizeof *c / 8; i++)
		word_set((word64 *)c + i, 0);
	if (ext != 0)
		pool_give(&w->ext[ext >> 28 & 3], (uint32_t)(ext & 0xfffffff) - 1);
	free(p->more);
	memset(p, 0, sizeof *p);
	p->touched = touched;		/* it may still stand in these lists */
	p->resume = resume;
	word32_set(&c->state, CONN_FREE);
	list_push(&w->free_conns, ci);
}

void
conn_forget(struct worker *w, uint32_t ci)
{
	conn_count(w, conn_dialect(conn_at(w, ci)), -1);
	word_set(&w->slot->conns_open, word_get(&w->slot->conns_open) - 1);
	conn_empty(w, ci);
}

void
conn_shut(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	if (conn_has(c, CONN_MOVED)) {
		epoll_ctl(w->slot->client_epoll, EPOLL_CTL_DEL, c->fd, NULL);
		shutdown(c->fd, SHUT_RDWR);
	}
	close(c->fd);
}

void
conn_close(struct worker *w, uint32_t ci, enum counter why)
{
	struct conn *c = conn_at(w, ci);

	stat_add(w->stats, why, 1);
	if (hdr_conn(word_get(&w->slot->hdr)) == (int32_t)ci)
		word_set(&w->slot->hdr, 0);	/* it must not outlive what it names */
	conn_set_bits(c, CONN_CLOSING, CONN_LIFE_MASK);
	conn_shut(w, ci);
	conn_forget(w, ci);
}

/* ---- what a record says, for whoever finds it ---- */

static void
enlist_subs(struct worker *w, uint32_t ci)
{
	unsigned i, n = subs_limit(w, ci);

	for (i = 0; i < n; i++) {
		int32_t chan = cursor_chan(word_get(subs_cursor(w, ci, i)));

		if (chan >= 0 && (uint32_t)chan < w->r->caps.channels) {
			subs_list(w, ci, i, (uint32_t)chan);
			dirty_mark_self(&w->pub, (uint32_t)chan);
		}
	}
}

void
conn_enlist(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	enlist_subs(w, ci);
	if (conn_life(c) != CONN_OPEN)
		return;
	if (word_get(&c->part) != 0)
		input_want_resume(w, ci);
	if (word_get(&c->stream) != 0 || conn_has(c, CONN_CLOSE))
		output_touch(w, ci);
}

void
conn_linger(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	if (conn_has(c, CONN_LINGER))
		return;
	word_set(&c->deadline, w->now + LINGER_MS);
	conn_set_bits(c, CONN_LINGER, 0);
	shutdown(c->fd, SHUT_WR);
}
