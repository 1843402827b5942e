/*
 * The output path. Say it, do it, ask the kernel:
 *
 *	plan = (span or list of spans, stream position) -> one send() or sendmsg() -> settle
 *
 * settle brings the record up by stores that may all be repeated, the last of which clears the
 * plan:
 *
 *	rest of a cut frame into a block -> ctl = 0 -> cursors -> plan = 0, or the block and where
 *	its rest starts
 *
 * The live worker runs it with what send() returned, the heir with what the kernel says was written
 * since the plan's position. It depends on nothing but the plan and that number.
 *
 * A turn: channels marked dirty -> their subscribers are due -> each connection that is due or has
 * replies is flushed once, replies first, then a span per subscription. What does not fit (frame
 * arena, LIST_MAX, 64K spans) is left due and taken up in the next turn. A full socket keeps the
 * rest of one frame; its cursors stay, and the events are framed again when it has room.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "ipc/witness.h"
#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/dirty.h"
#include "worker/dialect.h"
#include "worker/message.h"
#include "worker/priv.h"

enum {
	EFFECT_BYTES = SPAN_EFFECTS * sizeof(struct effect),
	CLOSE_TOO_SLOW = 4008,
	AHEAD = 2,			/* deliveries */
	/* in a channel's list: who has no room, goes, or is on its way to another slot */
	PASSED_BY = CONN_LIFE_MASK | CONN_BLOCKED | CONN_LINGER | CONN_CLOSE,
};

static unsigned char *
span_bytes(struct span *s)
{
	return s->data + (s->kind == SPAN_REPLY ? EFFECT_BYTES : 0);
}

static uint32_t
span_len(const struct span *s)
{
	return commit_len(word_get(&s->commit));
}

uint64_t
output_position(struct worker *w, uint32_t ci)
{
	struct priv *p = &w->priv[ci];

	if (!p->known) {
		p->out = witness_written(conn_at(w, ci)->fd);
		p->known = true;
	}
	return p->out;
}

void
output_touch(struct worker *w, uint32_t ci)
{
	if (w->priv[ci].touched)
		return;
	w->priv[ci].touched = true;
	list_push(&w->touched, ci);
}

/* ---- settle ---- */

/* What a plan consists of. */
struct parts {
	unsigned n;
	struct {
		struct span *span;
		uint32_t sub;
	} part[LIST_MAX];
};

static void
parts_of(struct worker *w, uint64_t plan, struct parts *p)
{
	const struct span_list *l;

	if (plan_kind(plan) == PLAN_SPAN) {
		p->n = 1;
		p->part[0].span = frames_at(w, plan_ref(plan));
		p->part[0].sub = 0;
		return;
	}
	l = frames_at(w, plan_ref(plan));
	for (p->n = 0; p->n < l->n && p->n < LIST_MAX; p->n++) {
		p->part[p->n].span = frames_at(w, l->item[p->n].ref);
		p->part[p->n].sub = l->item[p->n].sub;
	}
}

/* Where the kernel stopped: in part `i`, with `left` of its bytes taken. */
struct cut {
	unsigned i;
	unsigned char *rest;		/* of the cut frame */
	uint32_t len;
	uint64_t place;			/* of the cursor, if part i is no reply */
};

static void
find_cut(const struct parts *p, uint32_t delta, struct cut *c)
{
	struct span *s;
	const uint32_t *ends;
	uint32_t f = 0, start;

	c->rest = NULL;
	c->len = 0;
	c->place = 0;
	for (c->i = 0; c->i < p->n && delta >= span_len(p->part[c->i].span); c->i++)
		delta -= span_len(p->part[c->i].span);
	if (c->i == p->n)
		return;
	s = p->part[c->i].span;
	if (s->kind == SPAN_REPLY) {
		c->rest = span_bytes(s) + delta;
		c->len = span_len(s) - delta;
		return;
	}
	ends = (const uint32_t *)(s->data + s->ends);
	while (f + 1 < s->nframes && ends[f] <= delta)
		f++;
	start = f == 0 ? 0 : ends[f - 1];
	c->place = word_get(&s->from) + f;
	if (delta == start)
		return;			/* between two frames */
	c->rest = s->data + delta;
	c->len = ends[f] - delta;
	c->place = f + 1 == s->nframes ? s->to : c->place + 1;
}

static void
advance(struct worker *w, uint32_t ci, const struct span *s, uint32_t sub, uint64_t place)
{
	word64 *cursor;

	if (s->kind == SPAN_STREAM) {
		word_set(&conn_at(w, ci)->stream_next, place);
		return;
	}
	cursor = subs_cursor(w, ci, sub);
	if (cursor != NULL && cursor_chan(word_get(cursor)) == (int32_t)s->chan)
		word_set(cursor, cursor_make(s->chan, place));
}

static void
settle_cut_block(struct worker *w, uint32_t ci, uint64_t plan, uint32_t delta)
{
	uint32_t b = plan_ref(plan);

	if (delta < word_get(&block_at(w, b)->len)) {
		conn_block(w, ci);
		return;
	}
	word_set(&conn_at(w, ci)->plan, 0);
	block_put(w, b);
}

/* The rest of a cut frame, kept in a block; 0 if there is none. */
static uint32_t
keep_rest(struct worker *w, const struct cut *cut)
{
	uint32_t b = block_get(w);
	struct block *k;

	if (b == 0)
		return 0;
	k = block_at(w, b);
	memcpy(k->data, cut->rest, cut->len);
	word_set(&k->off, 0);
	word_set(&k->len, cut->len);
	stat_add(w->stats, STAT_CUTS, 1);
	return b;
}

void
output_settle(struct worker *w, uint32_t ci, uint32_t delta)
{
	struct conn *c = conn_at(w, ci);
	uint64_t plan = word_get(&c->plan), next = 0;
	struct parts p;
	struct cut cut;
	unsigned i;

	if (plan_kind(plan) == PLAN_CUT) {
		settle_cut_block(w, ci, plan, delta);
		return;
	}
	parts_of(w, plan, &p);
	find_cut(&p, delta, &cut);
	if (cut.len > 0) {
		uint32_t b = keep_rest(w, &cut);

		if (b == 0) {
			conn_close(w, ci, STAT_DISCONNECT_RESOURCE);
			return;
		}
		next = plan_make(PLAN_CUT, b, (uint64_t)plan_base(plan) + delta);
	}
	if (p.n > 0 && p.part[0].span->kind == SPAN_REPLY && (cut.i > 0 || cut.len > 0))
		word_set(&c->ctl, 0);
	for (i = 0; i < cut.i; i++)
		if (p.part[i].span->kind != SPAN_REPLY)
			advance(w, ci, p.part[i].span, p.part[i].sub, p.part[i].span->to);
	if (cut.i < p.n && p.part[cut.i].span->kind != SPAN_REPLY)
		advance(w, ci, p.part[cut.i].span, p.part[cut.i].sub, cut.place);
	word_set(&c->plan, next);
	if (cut.i < p.n)
		conn_block(w, ci);
}

/* ---- flush ---- */

/* What one call will send. */
struct flush {
	struct iovec iov[LIST_MAX];
	struct span_list *list;		/* NULL until there are two parts or an extension */
	uint32_t ref, sub;		/* of the last part */
	unsigned n;
	uint32_t events;
};

static void
after_send(struct worker *w, uint32_t ci, uint64_t base, ssize_t r, uint32_t events)
{
	if (r < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
			conn_close(w, ci, STAT_DISCONNECT_ERROR);
			return;
		}
		r = 0;
	}
	w->priv[ci].out = base + (uint64_t)r;
	stat_add(w->stats, STAT_FLUSHES, 1);
	stat_add(w->stats, STAT_SENT_BYTES, (uint64_t)r);
	stat_add(w->stats, STAT_DELIVERIES, events);
	output_settle(w, ci, (uint32_t)r);
}

/* The common case: one span, nothing else. */
static void
send_span(struct worker *w, uint32_t ci, uint32_t ref)
{
	struct conn *c = conn_at(w, ci);
	struct span *s = frames_at(w, ref);
	uint64_t base = output_position(w, ci);
	ssize_t r;

	word_set(&c->plan, plan_make(PLAN_SPAN, ref, base));	/* say it */
	r = send(c->fd, span_bytes(s), span_len(s), MSG_NOSIGNAL | MSG_DONTWAIT);
	after_send(w, ci, base, r, s->nframes);
}

static void
send_list(struct worker *w, uint32_t ci, struct flush *f)
{
	struct conn *c = conn_at(w, ci);
	struct msghdr msg = { .msg_iov = f->iov, .msg_iovlen = f->n };
	uint64_t base = output_position(w, ci);
	ssize_t r;

	f->list->n = f->n;
	word_set(&c->plan, plan_make(PLAN_LIST, frames_ref(w, f->list), base));
	r = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	after_send(w, ci, base, r, f->events);
}

static void
add_part(struct worker *w, struct flush *f, uint32_t ref, uint32_t sub)
{
	struct span *s = frames_at(w, ref);

	f->iov[f->n].iov_base = span_bytes(s);
	f->iov[f->n].iov_len = span_len(s);
	f->ref = ref;
	f->sub = sub;
	f->events += s->nframes;
	if (f->list != NULL) {
		f->list->item[f->n].ref = ref;
		f->list->item[f->n].sub = sub;
	}
	f->n++;
}

/* Whether this reader has to go, because it fell behind in a channel that does not wait. */
static bool
evicts(struct worker *w, uint32_t ci, const struct view *v, const struct shared_span *s)
{
	if (!s->gap || w->r->channels[v->chan].slow != SETTINGS_SLOW_CLOSE)
		return false;
	list_push(&w->evicted, ci);
	return true;
}

/* Adds a subscription's span. False: it stays due. */
static bool
add_sub(struct worker *w, uint32_t ci, unsigned sub, struct flush *f)
{
	word64 *cursor = subs_cursor(w, ci, sub);
	int32_t chan = cursor == NULL ? -1 : cursor_chan(word_get(cursor));
	struct shared_span *s;
	struct view *v;
	uint64_t at;

	if (chan < 0 || (uint32_t)chan >= w->r->caps.channels)
		return true;
	v = subs_view(w, (uint32_t)chan);
	at = cursor_seq(word_get(cursor));
	if (v->tail < at)
		v->tail = channel_tail(w->r, (uint32_t)chan);
	if (at >= v->tail)
		return true;
	if (f->n == LIST_MAX)
		return false;
	s = framer_span(w, v, conn_dialect(conn_at(w, ci)), at, word_get(&conn_at(w, ci)->cookie));
	if (evicts(w, ci, v, s))
		return true;
	if (s->ref != 0)
		add_part(w, f, s->ref, sub);
	else if (s->to > at)		/* all of it passed over */
		word_set(cursor, cursor_make((uint32_t)chan, s->to));
	else
		return false;		/* no room in this turn */
	return s->to >= v->tail;
}

static void
add_subs(struct worker *w, uint32_t ci, struct flush *f)
{
	struct priv *p = &w->priv[ci];
	unsigned i;

	if (conn_has(conn_at(w, ci), CONN_CLOSE)) {	/* nothing may follow a goodbye */
		p->due0 = false;
		if (p->more != NULL)
			p->more->due[0] = p->more->due[1] = 0;
		return;
	}
	if (p->due0)
		p->due0 = !add_sub(w, ci, 0, f);
	if (p->more == NULL)
		return;
	for (i = 0; i < 2; i++) {
		uint64_t due = p->more->due[i];

		for (; due != 0; due &= due - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(due);

			if (add_sub(w, ci, i * 64 + bit + 1, f))
				p->more->due[i] &= ~(1ull << bit);
		}
	}
}

static bool
is_due(const struct priv *p)
{
	return p->due0 || (p->more != NULL && (p->more->due[0] | p->more->due[1]) != 0);
}

/* Everything is out: ends the connection, the long answer, or goes on with its input. */
static void
drained(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	if (conn_has(c, CONN_CLOSE) && word_get(&c->stream) == 0) {
		conn_linger(w, ci);
		return;
	}
	if (word_get(&c->part) != 0)
		input_want_resume(w, ci);
}

/* All that a connection is owed and that fits, by one call. */
static void
flush(struct worker *w, uint32_t ci, bool replies_only)
{
	struct conn *c = conn_at(w, ci);
	struct priv *p = &w->priv[ci];
	struct flush f = { .n = 0 };
	uint32_t ctl = (uint32_t)word_get(&c->ctl), ref;

	if (word_get(&c->plan) != 0 || conn_has(c, CONN_BLOCKED | CONN_LINGER))
		return;
	if (!replies_only && (ctl != 0 || p->more != NULL || word_get(&c->stream) != 0)) {
		f.list = frames_alloc(w, sizeof *f.list);
		if (f.list == NULL) {
			replies_only = true;
			w->more_output = true;
		}
	}
	if (ctl != 0 && span_len(frames_at(w, ctl)) > 0)
		add_part(w, &f, ctl, 0);
	if (!replies_only && word_get(&c->stream) != 0 && (ref = stream_span(w, ci)) != 0)
		add_part(w, &f, ref, 0);
	if (!replies_only)
		add_subs(w, ci, &f);
	if (f.n == 1 && f.sub == 0)		/* a plan without a list means subscription 0 */
		send_span(w, ci, f.ref);
	else if (f.n > 0)
		send_list(w, ci, &f);
	if (conn_life(c) != CONN_OPEN || conn_has(c, CONN_BLOCKED))
		return;
	if (word_get(&c->ctl) != 0 && f.n == 0)
		word_set(&c->ctl, 0);
	if (is_due(p) || word_get(&c->stream) != 0) {
		w->more_output = true;
		output_touch(w, ci);
	} else
		drained(w, ci);
}

void
output_replies(struct worker *w, uint32_t ci)
{
	flush(w, ci, true);
}

void
output_writable(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint64_t plan = word_get(&c->plan);

	if (plan_kind(plan) == PLAN_CUT) {
		struct block *k = block_at(w, plan_ref(plan));
		uint32_t at = (uint32_t)output_position(w, ci) - plan_base(plan);
		uint32_t len = (uint32_t)word_get(&k->len);
		ssize_t r = 0;

		if (at < len)
			r = send(c->fd, k->data + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (r < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
			conn_close(w, ci, STAT_DISCONNECT_ERROR);
			return;
		}
		if (r > 0) {
			w->priv[ci].out += (uint64_t)r;
			stat_add(w->stats, STAT_SENT_BYTES, (uint64_t)r);
			timeouts_seen(w, c);	/* it reads; no ping could ask it */
			at += (uint32_t)r;
		}
		output_settle(w, ci, at);
		if (word_get(&c->plan) != 0)
			return;
	}
	conn_unblock(w, ci);
	subs_all_due(w, ci);
	output_touch(w, ci);
}

/* ---- a turn ---- */

/* A subscriber with nothing but this: no list, no due mark. True if that was done. */
static bool
deliver(struct worker *w, struct view *v, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint64_t at = cursor_seq(word_get(&c->cursor));
	struct shared_span *s;

	if (w->priv[ci].more != NULL || w->priv[ci].touched || word_get(&c->ctl) != 0 ||
	    word_get(&c->stream) != 0 || word_get(&c->plan) != 0)
		return false;
	s = framer_span(w, v, conn_dialect(c), at, word_get(&c->cookie));
	if (s->ref == 0 || s->to < v->tail || s->gap)
		return false;
	send_span(w, ci, s->ref);
	return true;
}

/* What the next but one delivery will touch; a send takes long enough to fetch it. */
static void
fetch_ahead(const struct worker *w, const struct view *v, uint32_t i)
{
	uint32_t ci;

	if (i < AHEAD)
		return;
	ci = v->subs[i - AHEAD] >> 8;
	__builtin_prefetch(conn_at(w, ci), 1);
	__builtin_prefetch(&w->priv[ci], 1);
}

static void
fan_out(struct worker *w, uint32_t chan)
{
	struct view *v = w->views[chan];
	uint32_t i;

	if (v == NULL) {			/* an interest that nobody here has any more */
		channel_leave(&w->pub, chan);
		return;
	}
	v->tail = channel_tail(w->r, chan);
	if (channel_is_closed(w->r, chan)) {
		subs_move(w, v);
		return;
	}
	/* from the end: a connection that fails leaves the list by swapping with the last */
	for (i = v->n; i-- > 0;) {
		uint32_t entry, ci;
		word64 *cursor;

		if (i >= v->n)
			continue;
		fetch_ahead(w, v, i);
		entry = v->subs[i];
		ci = entry >> 8;
		if ((word32_get(&conn_at(w, ci)->state) & PASSED_BY) != CONN_OPEN)
			continue;
		cursor = subs_cursor(w, ci, entry & 255);
		if (cursor_seq(word_get(cursor)) >= v->tail)
			continue;
		if ((entry & 255) != 0 || !deliver(w, v, ci))
			subs_due(w, ci, entry & 255);
	}
}

static void
take_dirty(void *arg, uint32_t chan)
{
	struct worker *w = arg;

	list_push(&w->dirty, chan);
}

static void
swap(struct list32 *a, struct list32 *b)
{
	struct list32 t = *a;

	*a = *b;
	*b = t;
	a->n = 0;
}

/* Those that were too slow for a channel with slow = close. */
static void
evict(struct worker *w)
{
	uint32_t ci;

	while (list_pop(&w->evicted, &ci)) {
		struct conn *c = conn_at(w, ci);
		const struct dialect *d = dialect_get(conn_dialect(c));
		struct message m;

		if (conn_life(c) != CONN_OPEN || conn_has(c, CONN_CLOSE))
			continue;
		if (conn_has(c, CONN_BLOCKED) || word_get(&c->plan) != 0 ||
		    !message_begin(w, ci, word_get(&c->in_done), word_get(&c->in_done), &m)) {
			conn_close(w, ci, STAT_DISCONNECT_SLOW);
			continue;
		}
		stat_add(w->stats, STAT_DISCONNECT_SLOW, 1);
		d->goodbye(&m, CLOSE_TOO_SLOW, "too slow");
		message_commit(&m);
		message_close_span(w, ci);
		flush(w, ci, true);
	}
}

void
output_run(struct worker *w)
{
	uint32_t i;

	w->dirty.n = 0;
	dirty_take(&w->pub, take_dirty, w);
	for (i = 0; i < w->dirty.n; i++)
		fan_out(w, w->dirty.item[i]);
	swap(&w->touched, &w->touched_now);
	/* replies were framed in this turn and must leave it: they go first if room gets short */
	for (i = 0; i < w->touched_now.n; i++) {
		uint32_t ci = w->touched_now.item[i];
		bool tight = word_get(&w->slot->frame_head) > w->frames_size / 2;

		w->priv[ci].touched = false;
		if (conn_life(conn_at(w, ci)) != CONN_OPEN)
			continue;
		flush(w, ci, tight);
	}
	evict(w);
}
