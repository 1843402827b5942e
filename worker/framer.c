/*
 * Spans of events: all events of a channel behind a place, framed side by side, once per dialect
 * and turn for everybody who stands at that place.
 *
 * The frames of a span are dense: frame i carries seq from + 1 + i, and `to` is the place behind
 * the last, so that output_settle() can place a cut without knowing the dialect. Hence a span ends
 * where an event is not for this connection (it is then passed over by `to`), and a gap is a span
 * of one frame of its own.
 *
 * An event that its sender does not want back makes spans that it stands in unfit for that sender,
 * who gets one of his own. The senders are kept with the span, by socket cookie.
 */
#include <string.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "worker/dialect.h"
#include "worker/priv.h"

struct build {
	struct worker *w;
	struct view *v;
	const struct dialect *d;
	struct frame_context x;
	struct span *span;
	uint32_t cap, len, nframes;
	uint32_t ends[SPAN_FRAMES];
};

enum { SPAN_DATA = SPAN_BYTES + FRAME_MAX };

/* Fetches an event's data into w->event. */
static enum event_result
fetch(struct worker *w, uint32_t chan, uint64_t seq, struct event *e)
{
	enum event_result r;
	unsigned tries;

	for (tries = 0; tries < 16; tries++) {
		r = event_peek(w->r, chan, seq, e);
		if (r != EVENT_OK)
			return r;
		r = event_copy(w->r, chan, seq, e, w->event);
		if (r != EVENT_NONE)
			return r;
	}
	return EVENT_LAPPED;
}

static void
end_frame(struct build *b, size_t n)
{
	b->len += (uint32_t)n;
	b->ends[b->nframes++] = b->len;
}

static bool
remember_noecho(struct shared_span *s, uint64_t cookie)
{
	uint32_t i;

	for (i = 0; i < s->nnoecho; i++)
		if (s->noecho[i] == cookie)
			return true;
	if (s->nnoecho == NOECHO_MAX)
		return false;
	s->noecho[s->nnoecho++] = cookie;
	return true;
}

/*
 * The span for a reader behind whom something was lost: one frame that says so. By the channel's
 * policy it goes on with the oldest event that is kept, or with the newest.
 */
static void
frame_gap(struct build *b, struct shared_span *s)
{
	uint64_t first = channel_first_after(b->w->r, b->v->chan, s->from, b->v->tail);

	if (b->w->r->channels[b->v->chan].slow == SETTINGS_SLOW_LATEST && first < b->v->tail)
		first = b->v->tail;
	s->gap = true;
	stat_add(b->w->stats, STAT_GAPS, 1);
	stat_add(b->w->stats, STAT_GAP_EVENTS, first - s->from - 1);
	end_frame(b, b->d->gap(b->span->data, &b->x, s->from + 1, first - 1));
	s->to = first - 1;
}

/* Frames events from s->from on; sets s->to (and s->from, if the first are passed over). */
static void
frame_events(struct build *b, struct shared_span *s, uint64_t exclude)
{
	struct event e;
	uint64_t q = s->from + 1;

	for (; q <= b->v->tail && b->nframes < SPAN_FRAMES && b->len < SPAN_BYTES; q++) {
		enum event_result r = fetch(b->w, b->v->chan, q, &e);
		bool noecho = r == EVENT_OK && (e.head.flags & EVENT_NO_ECHO) != 0;

		if (r == EVENT_NONE)
			break;
		if (r == EVENT_LAPPED) {
			if (b->nframes == 0 && q == s->from + 1)
				frame_gap(b, s);
			else
				s->to = q - 1;
			return;
		}
		if (noecho && e.head.cookie == exclude) {
			if (b->nframes > 0) {		/* passed over behind the last frame */
				s->to = q;
				return;
			}
			s->from = q;
			continue;
		}
		if (noecho && !remember_noecho(s, e.head.cookie))
			break;
		end_frame(b, b->d->event(b->span->data + b->len, &b->x, &e.head, b->w->event));
	}
	s->to = q - 1;
}

static void
build_span(struct worker *w, struct view *v, const struct dialect *d, struct shared_span *s,
    uint64_t exclude)
{
	const struct channel *c = &w->r->channels[v->chan];
	static struct build b;
	uint32_t had = sizeof *b.span + SPAN_DATA + sizeof b.ends + 8, ends;

	s->ref = 0;
	s->gap = false;
	s->nnoecho = 0;
	s->to = s->from;
	b.w = w;
	b.v = v;
	b.d = d;
	b.x = (struct frame_context){ c->name, channel_name_len(c), c->epoch };
	b.len = b.nframes = 0;
	b.span = frames_alloc(w, had);
	if (b.span == NULL) {
		w->more_output = true;
		return;
	}
	frame_events(&b, s, exclude);
	ends = (b.len + 7) & ~7u;
	memcpy(b.span->data + ends, b.ends, b.nframes * sizeof b.ends[0]);
	word_set(&b.span->from, s->from);
	b.span->to = s->to;
	b.span->chan = v->chan;
	b.span->kind = SPAN_EVENTS;
	b.span->nframes = b.nframes;
	b.span->ends = ends;
	word_set(&b.span->commit, commit_make(0, b.len));
	if (b.nframes == 0) {
		frames_trim(w, b.span, had, 0);
		return;
	}
	frames_trim(w, b.span, had, sizeof *b.span + ends + b.nframes * (uint32_t)sizeof b.ends[0]);
	s->ref = frames_ref(w, b.span);
	stat_add(w->stats, STAT_SPANS, 1);
}

static bool
excludes(const struct shared_span *s, uint64_t cookie)
{
	uint32_t i;

	for (i = 0; i < s->nnoecho; i++)
		if (s->noecho[i] == cookie)
			return true;
	return false;
}

struct shared_span *
framer_span(struct worker *w, struct view *v, enum dialect_id d, uint64_t from, uint64_t cookie)
{
	static struct shared_span own;
	struct shared_span *s = &v->span[d];

	if (s->turn != w->turn || s->from != from || (s->ref == 0 && s->to == from)) {
		s->turn = w->turn;
		s->from = from;
		build_span(w, v, dialect_get(d), s, 0);
	}
	if (s->nnoecho == 0 || !excludes(s, cookie))
		return s;
	own.turn = w->turn;
	own.from = from;
	build_span(w, v, dialect_get(d), &own, cookie);
	return &own;
}
