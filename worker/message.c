/*
 * The order of stores for a message (crash table in doc/DESIGN.md):
 *
 *	publish (record with origin, intent, CAS)
 *	reply bytes behind the span's committed end
 *	eff_for = 0 -> effects -> eff_for = new commit
 *	commit = (in_end, len)			processed, answered, changed
 *	the effects' words
 *	... after the batch: in_done
 *
 * An heir takes in_done from the commit, stores the effects again if eff_for says that they belong
 * to it, and executes the first message behind in_done again. If the dead worker had published for
 * it, the doubt of event_recover() carries its origin, and the seq is taken from there.
 */
#include "worker/message.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shm/channel.h"
#include "worker/dialect.h"
#include "worker/text.h"

enum {
	EFFECT_BYTES = SPAN_EFFECTS * sizeof(struct effect),
	SPAN_CAP = sizeof(struct span) + EFFECT_BYTES + CTL_MAX,
};

static struct effect *
span_effects(struct span *s)
{
	return (struct effect *)s->data;
}

static struct span *
open_span(struct worker *w, struct conn *c)
{
	struct span *s;

	if (word_get(&c->ctl) != 0)
		return frames_at(w, (uint32_t)word_get(&c->ctl));
	s = frames_alloc(w, SPAN_CAP);
	if (s == NULL)
		return NULL;
	word_set(&s->commit, commit_make(word_get(&c->in_done), 0));
	word_set(&s->from, 0);
	s->to = 0;
	s->chan = 0;
	s->kind = SPAN_REPLY;
	s->nframes = s->ends = 0;
	word_set(&c->ctl, frames_ref(w, s));
	return s;
}

/* A span that was closed has others behind it: only the last of the arena has room. */
static bool
is_open(const struct worker *w, const struct span *s)
{
	uint64_t off = (uint64_t)((const unsigned char *)s - w->frames);

	return word_get(&w->slot->frame_head) >= off + SPAN_CAP &&
	    word_get(&w->slot->frame_head) < off + SPAN_CAP + FRAME_UNIT;
}

bool
message_begin(struct worker *w, uint32_t ci, uint64_t in_off, uint64_t in_end, struct message *m)
{
	struct conn *c = conn_at(w, ci);

	m->w = w;
	m->ci = ci;
	m->c = c;
	m->in_off = in_off;
	m->in_end = in_end;
	m->len = 0;
	m->neffects = 0;
	m->span = open_span(w, c);
	if (m->span == NULL || !is_open(w, m->span))
		return false;
	m->committed = commit_len(word_get(&m->span->commit));
	m->out = m->span->data + EFFECT_BYTES + m->committed;
	return m->committed + REPLY_MAX <= CTL_MAX;
}

unsigned char *
message_room(struct message *m, size_t n)
{
	unsigned char *p = m->out + m->len;

	assert(m->len + n <= REPLY_MAX);
	m->len += (uint32_t)n;
	return p;
}

void
message_put(struct message *m, const void *p, size_t n)
{
	memcpy(message_room(m, n), p, n);
}

void
message_text(struct message *m, const char *s)
{
	message_put(m, s, strlen(s));
}

void
message_number(struct message *m, uint64_t v)
{
	char digits[20];

	message_put(m, digits, decimal_put(digits, v));
}

void
message_printf(struct message *m, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf((char *)m->out + m->len, REPLY_MAX - m->len, fmt, ap);
	va_end(ap);
	assert(n >= 0 && (uint32_t)n < REPLY_MAX - m->len);
	m->len += (uint32_t)n;
}

void
message_effect(struct message *m, enum effect_word word, uint32_t index, uint64_t value)
{
	unsigned i;

	for (i = 0; i < m->neffects; i++)
		if (m->effect[i].word == word && m->effect[i].index == index)
			break;
	assert(i < SPAN_EFFECTS);
	m->effect[i] = (struct effect){ word, index, value };
	if (i == m->neffects)
		m->neffects++;
}

void
message_state(struct message *m, uint32_t set, uint32_t clear)
{
	uint32_t s = word32_get(&m->c->state);
	unsigned i;

	for (i = 0; i < m->neffects; i++)
		if (m->effect[i].word == EFFECT_STATE)
			s = (uint32_t)m->effect[i].value;
	assert(((set | clear) & ~(uint32_t)CONN_EFFECT_BITS) == 0);
	message_effect(m, EFFECT_STATE, 0, ((s & ~clear) | set) & CONN_EFFECT_BITS);
}

int
message_channel(struct worker *w, const char *name, size_t n, uint32_t *chan)
{
	const struct channel_rule *rule = settings_channel_rule(&w->set, name, n);
	struct channel_rule_values v = { .history = rule->history, .slow = (uint8_t)rule->slow };

	return channel_get(&w->pub, name, n, &v, chan);
}

/* Whether the dead worker has already published for this message. */
static bool
was_published(struct message *m, struct publication *p)
{
	const struct doubt *d = &m->w->doubt;

	if (!d->on || !m->w->in_doubt || d->head.cookie != word_get(&m->c->cookie) ||
	    d->head.in_off != m->in_off || (d->head.conn & 0xffffff) != m->ci)
		return false;
	p->chan = d->head.chan;
	p->seq = d->head.seq;
	m->w->doubt.on = false;
	stat_add(m->w->stats, STAT_DOUBTS_TAKEN, 1);
	return true;
}

int
message_publish(struct message *m, struct publication *p)
{
	struct worker *w = m->w;
	struct event_head h = {
		.time = w->now_real,
		.key = p->key,
		.cookie = word_get(&m->c->cookie),
		.in_off = m->in_off,
		.conn = w->pub.index << 24 | m->ci,
		.flags = p->flags,
		.len = p->len,
	};
	int tries;

	if (was_published(m, p))
		return 0;
	for (tries = 0; tries < 8; tries++) {
		if (message_channel(w, p->channel, p->channel_len, &p->chan) != 0) {
			errno = ENOSPC;
			return -1;
		}
		if (event_publish(&w->pub, p->chan, &h, p->data, &p->seq) == 0)
			return 0;
		if (errno != ESTALE)
			return -1;
	}
	return -1;
}

static void
apply_state(struct worker *w, uint32_t ci, uint32_t value)
{
	struct conn *c = conn_at(w, ci);
	enum dialect_id before = conn_dialect(c);

	conn_set_bits(c, value & CONN_EFFECT_BITS, CONN_EFFECT_BITS);
	if (conn_dialect(c) != before) {
		conn_count(w, before, -1);
		conn_count(w, conn_dialect(c), 1);
	}
}

static void
apply_cursor(struct worker *w, uint32_t ci, uint32_t sub, uint64_t value)
{
	word64 *cursor = subs_cursor(w, ci, sub);
	int32_t before, after = cursor_chan(value);

	if (cursor == NULL)
		return;
	before = cursor_chan(word_get(cursor));
	if (before >= 0 && before != after)
		subs_unlist(w, ci, sub, (uint32_t)before);
	word_set(cursor, value);
	if (after >= 0) {
		subs_list(w, ci, sub, (uint32_t)after);
		subs_due(w, ci, sub);
	}
}

void
message_apply(struct worker *w, uint32_t ci, const struct effect *e)
{
	struct conn *c = conn_at(w, ci);
	word64 *info;

	switch ((enum effect_word)e->word) {
	case EFFECT_STATE:
		apply_state(w, ci, (uint32_t)e->value);
		break;
	case EFFECT_CURSOR:
		apply_cursor(w, ci, e->index, e->value);
		break;
	case EFFECT_INFO:
		info = subs_info(w, ci, e->index);
		if (info != NULL)
			word_set(info, e->value);
		break;
	case EFFECT_WAIT:
		word_set(&c->wait, e->value);
		break;
	case EFFECT_STREAM:
		word_set(&c->stream, e->value);
		break;
	case EFFECT_STREAM_NEXT:
		word_set(&c->stream_next, e->value);
		break;
	case EFFECT_STREAM_LAST:
		word_set(&c->stream_last, e->value);
		break;
	case EFFECT_STREAM_FIRST:
		word_set(&c->stream_first, e->value);
		break;
	case EFFECT_ASSEMBLY: {
		uint32_t old = (uint32_t)word_get(&c->assembly);

		word_set(&c->assembly, e->value);
		if (old != 0 && old != e->value)
			block_put(w, old);
		break;
	}
	case EFFECT_DEADLINE:
		word_set(&c->deadline, e->value);
		break;
	case EFFECT_WORD_MAX:
		break;
	}
}

void
message_commit(struct message *m)
{
	uint64_t commit = commit_make(m->in_end, m->committed + m->len);
	struct span *s = m->span;
	unsigned i;

	stat_add(m->w->stats, STAT_MESSAGES, 1);
	if (m->len == 0 && m->neffects == 0) {		/* nothing to tell: processed */
		word_set(&m->c->in_done, m->in_end);
		return;
	}
	word_set(&s->from, 0); /* the last message's effects are stored; these not yet valid */
	if (m->neffects > 0) {
		for (i = 0; i < m->neffects; i++)
			span_effects(s)[i] = m->effect[i];
		s->to = m->neffects;
		word_set(&s->from, commit);
	}
	word_set(&s->commit, commit);
	for (i = 0; i < m->neffects; i++)
		message_apply(m->w, m->ci, &m->effect[i]);
	if (m->len > 0 || m->neffects > 0)
		output_touch(m->w, m->ci);
}

void
message_redo(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	struct span *s;
	uint64_t commit;
	unsigned i;

	if (word_get(&c->ctl) == 0)
		return;
	s = frames_at(w, (uint32_t)word_get(&c->ctl));
	commit = word_get(&s->commit);
	if (commit_in_end(commit) > word_get(&c->in_done))
		word_set(&c->in_done, commit_in_end(commit));
	if (word_get(&s->from) != 0 && word_get(&s->from) == commit)
		for (i = 0; i < s->to && i < SPAN_EFFECTS; i++)
			message_apply(w, ci, &span_effects(s)[i]);
	if (commit_len(commit) == 0 && word_get(&c->plan) == 0)
		word_set(&c->ctl, 0);
}

void
message_close_span(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	struct span *s;
	uint32_t len;

	if (word_get(&c->ctl) == 0)
		return;
	s = frames_at(w, (uint32_t)word_get(&c->ctl));
	len = commit_len(word_get(&s->commit));
	if (len == 0)
		word_set(&c->ctl, 0);
	frames_trim(w, s, SPAN_CAP, len == 0 ? 0 : (uint32_t)(sizeof *s + EFFECT_BYTES) + len);
}
