/*
 * Subscriptions. The first lies in the connection's record, further ones in an extension block of
 * 8, 32 or 128; index 0 is the record's, index i the (i - 1)th of the block. To grow, a larger
 * block is filled with a copy and named by one store.
 *
 * Beside it, private: a view per channel that has subscribers here, with the list of them. The
 * lists follow the records (message_apply(), recover.c), never the other way round.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/dirty.h"
#include "worker/dialect.h"
#include "worker/message.h"
#include "worker/priv.h"

static uint64_t
ext_word(enum ext_class c, uint32_t index)
{
	return (uint64_t)c << 28 | (index + 1);
}

static struct sub *
ext_subs_of(struct worker *w, uint32_t ci, uint32_t *n)
{
	uint64_t ext = word_get(&conn_at(w, ci)->ext);
	enum ext_class c = (enum ext_class)(ext >> 28 & 3);

	*n = 0;
	if (ext == 0 || c >= EXT_CLASSES)
		return NULL;
	*n = ext_subs(c);
	return region_ext(w->r, w->pub.index, c, (uint32_t)(ext & 0xfffffff) - 1);
}

unsigned
subs_limit(struct worker *w, uint32_t ci)
{
	uint32_t n;

	ext_subs_of(w, ci, &n);
	return n + 1;
}

word64 *
subs_cursor(struct worker *w, uint32_t ci, unsigned sub)
{
	struct sub *s;
	uint32_t n;

	if (sub == 0)
		return &conn_at(w, ci)->cursor;
	s = ext_subs_of(w, ci, &n);
	return sub <= n ? &s[sub - 1].cursor : NULL;
}

word64 *
subs_info(struct worker *w, uint32_t ci, unsigned sub)
{
	struct sub *s;
	uint32_t n;

	if (sub == 0)
		return &conn_at(w, ci)->info;
	s = ext_subs_of(w, ci, &n);
	return sub <= n ? &s[sub - 1].info : NULL;
}

int
subs_find(struct worker *w, uint32_t ci, uint32_t chan)
{
	unsigned i, n = subs_limit(w, ci);

	for (i = 0; i < n; i++)
		if (cursor_chan(word_get(subs_cursor(w, ci, i))) == (int32_t)chan)
			return (int)i;
	return -1;
}

uint32_t
subs_count(struct worker *w, uint32_t ci)
{
	unsigned i, n = subs_limit(w, ci), have = 0;

	for (i = 0; i < n; i++)
		have += word_get(subs_cursor(w, ci, i)) != 0;
	return have;
}

/* The next class; true if there is one with a free block. */
static bool
grow(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint64_t old = word_get(&c->ext);
	enum ext_class k = old == 0 ? EXT_8 : (enum ext_class)((old >> 28 & 3) + 1);
	struct sub *from, *to;
	uint32_t index, n;

	if (k >= EXT_CLASSES || !pool_take(&w->ext[k], &index))
		return false;
	to = region_ext(w->r, w->pub.index, k, index);
	memset(to, 0, ext_subs(k) * sizeof *to);
	from = ext_subs_of(w, ci, &n);
	if (from != NULL)
		memcpy(to, from, n * sizeof *to);
	word_set(&c->ext, ext_word(k, index));
	if (old != 0)
		pool_give(&w->ext[old >> 28 & 3], (uint32_t)(old & 0xfffffff) - 1);
	return true;
}

int
subs_place(struct worker *w, uint32_t ci)
{
	unsigned i, n = subs_limit(w, ci);

	if (subs_count(w, ci) >= w->set.subscriptions_max)
		return -1;
	for (i = 0; i < n; i++)
		if (word_get(subs_cursor(w, ci, i)) == 0)
			return (int)i;
	if (!grow(w, ci))
		return -1;
	return (int)n;
}

/* ---- the private lists ---- */

static void *
must(void *p)
{
	if (p == NULL)
		fatal("out of memory");
	return p;
}

static struct more *
more_of(struct worker *w, uint32_t ci)
{
	struct priv *p = &w->priv[ci];

	if (p->more == NULL)
		p->more = must(calloc(1, sizeof *p->more));
	return p->more;
}

struct view *
subs_view(struct worker *w, uint32_t chan)
{
	struct view *v = w->views[chan];

	if (v == NULL) {
		v = must(calloc(1, sizeof *v));
		v->chan = chan;
		v->tail = channel_tail(w->r, chan);
		w->views[chan] = v;
	}
	return v;
}

static uint32_t
place_of(struct worker *w, uint32_t ci, unsigned sub)
{
	return sub == 0 ? w->priv[ci].pos0 : more_of(w, ci)->pos[sub - 1];
}

static void
set_place(struct worker *w, uint32_t ci, unsigned sub, uint32_t at)
{
	if (sub == 0)
		w->priv[ci].pos0 = at;
	else
		more_of(w, ci)->pos[sub - 1] = at;
}

static bool
is_listed(struct worker *w, uint32_t ci, unsigned sub, const struct view *v)
{
	uint32_t at = place_of(w, ci, sub);

	return at < v->n && v->subs[at] == (ci << 8 | sub);
}

void
subs_list(struct worker *w, uint32_t ci, unsigned sub, uint32_t chan)
{
	struct view *v = subs_view(w, chan);

	assert(sub <= SUBSCRIPTIONS_MAX);
	if (is_listed(w, ci, sub, v))
		return;
	if (v->n == v->cap) {
		v->cap = v->cap == 0 ? 4 : v->cap * 2;
		v->subs = must(realloc(v->subs, v->cap * sizeof *v->subs));
	}
	v->subs[v->n] = ci << 8 | sub;
	set_place(w, ci, sub, v->n++);
	w->priv[ci].nsubs++;
}

void
subs_unlist(struct worker *w, uint32_t ci, unsigned sub, uint32_t chan)
{
	struct view *v = w->views[chan];
	uint32_t at, last;

	if (v == NULL || !is_listed(w, ci, sub, v))
		return;
	at = place_of(w, ci, sub);
	last = v->subs[--v->n];
	v->subs[at] = last;
	if (at < v->n)
		set_place(w, last >> 8, last & 255, at);
	w->priv[ci].nsubs--;
	if (v->n == 0)
		list_push(&w->empty, chan);
}

void
subs_forget(struct worker *w, uint32_t ci)
{
	unsigned i, n = subs_limit(w, ci);

	for (i = 0; i < n; i++) {
		int32_t chan = cursor_chan(word_get(subs_cursor(w, ci, i)));

		if (chan >= 0)
			subs_unlist(w, ci, i, (uint32_t)chan);
	}
}

void
subs_sweep_empty(struct worker *w)
{
	uint32_t chan;

	while (list_pop(&w->empty, &chan)) {
		struct view *v = w->views[chan];

		if (v == NULL || v->n > 0)
			continue;
		channel_leave(&w->pub, chan);
		w->views[chan] = NULL;
		free(v->subs);
		free(v);
	}
}

void
subs_free_views(struct worker *w)
{
	uint32_t i;

	for (i = 0; i < w->r->caps.channels; i++)
		if (w->views[i] != NULL) {
			free(w->views[i]->subs);
			free(w->views[i]);
		}
}

void
subs_due(struct worker *w, uint32_t ci, unsigned sub)
{
	if (sub == 0)
		w->priv[ci].due0 = true;
	else
		more_of(w, ci)->due[(sub - 1) / 64] |= 1ull << (sub - 1) % 64;
	output_touch(w, ci);
}

void
subs_all_due(struct worker *w, uint32_t ci)
{
	unsigned i, n = subs_limit(w, ci);

	for (i = 0; i < n; i++) {
		uint64_t cursor = word_get(subs_cursor(w, ci, i));
		uint32_t chan = (uint32_t)cursor_chan(cursor);

		if (cursor == 0 || chan >= w->r->caps.channels)
			continue;
		subs_due(w, ci, i);
		if (channel_is_closed(w->r, chan))	/* it waits to be moved */
			dirty_mark_self(&w->pub, chan);
	}
}

void
subs_retry_moves(struct worker *w)
{
	uint32_t chan;

	while (list_pop(&w->unmoved, &chan))
		dirty_mark_self(&w->pub, chan);
}

/* One subscriber of a closed channel is told its successor's epoch and goes on there. */
static bool
move_one(struct worker *w, uint32_t entry, uint32_t to)
{
	const struct channel *c = &w->r->channels[to];
	struct frame_context x = { c->name, channel_name_len(c), c->epoch };
	uint32_t ci = entry >> 8;
	uint64_t done = word_get(&conn_at(w, ci)->in_done), tail;
	const struct dialect *d = dialect_get(conn_dialect(conn_at(w, ci)));
	struct message m;

	if (conn_life(conn_at(w, ci)) != CONN_OPEN ||
	    conn_has(conn_at(w, ci), CONN_LINGER | CONN_CLOSE | CONN_BLOCKED))
		return true;			/* it goes, or looks again when it has room */
	if (word_get(&conn_at(w, ci)->ctl) != 0)
		return false;
	channel_join(&w->pub, to, &tail);
	if (!message_begin(w, ci, done, done, &m))
		return false;
	m.len = (uint32_t)d->gap(m.out, &x, 1, tail);
	message_effect(&m, EFFECT_CURSOR, entry & 255, cursor_make(to, tail));
	message_commit(&m);
	message_close_span(w, ci);
	return true;
}

void
subs_move(struct worker *w, struct view *v)
{
	const struct channel *old = &w->r->channels[v->chan];
	uint32_t to, i;

	if (message_channel(w, old->name, channel_name_len(old), &to) != 0 || to == v->chan) {
		list_push(&w->unmoved, v->chan);	/* the table is full: at the next tick */
		return;
	}
	for (i = v->n; i-- > 0;)
		if (!move_one(w, v->subs[i], to)) {
			dirty_mark_self(&w->pub, v->chan);
			return;
		}
}
