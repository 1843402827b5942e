/*
 * Generators: answers that may be large and can be made again, framed span by span as the socket
 * drains. The record says what is being told and how far (stream, stream_next, stream_last), so an
 * heir goes on where the kernel stands. The end is fixed when the request is answered.
 *
 * Each frame is one chunk of the chunked coding (RFC 9112, 7.1), or the bare bytes for HTTP/1.0.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shm/channel_layout.h"
#include "worker/http.h"
#include "worker/message.h"
#include "worker/priv.h"

enum { SPAN_DATA = SPAN_BYTES + FRAME_MAX, CHUNK_HEAD = 10 };

struct piece {
	struct span *span;
	uint32_t len, nframes;
	uint32_t ends[SPAN_FRAMES];
};

/* Wraps n bytes that lie CHUNK_HEAD behind the piece's end into a chunk. */
static void
end_chunk(struct piece *p, bool chunked, size_t n)
{
	unsigned char *at = p->span->data + p->len;
	char head[CHUNK_HEAD + 1];

	if (chunked) {
		/* leading zeros are allowed in a chunk size: the head has a fixed width */
		snprintf(head, sizeof head, "%08zx\r\n", n);
		memcpy(at, head, CHUNK_HEAD);
		memcpy(at + CHUNK_HEAD + n, "\r\n", 2);
		p->len += (uint32_t)n + CHUNK_HEAD + 2;
	} else {
		memmove(at, at + CHUNK_HEAD, n);
		p->len += (uint32_t)n;
	}
	p->ends[p->nframes++] = p->len;
}

static bool
fetch(struct worker *w, uint32_t chan, uint64_t seq, struct event *e)
{
	unsigned tries;

	for (tries = 0; tries < 16; tries++) {
		enum event_result r = event_peek(w->r, chan, seq, e);

		if (r == EVENT_OK)
			r = event_copy(w->r, chan, seq, e, w->event);
		if (r != EVENT_NONE)
			return r == EVENT_OK;
	}
	return false;
}

static size_t
put_event(struct worker *w, unsigned char *out, const struct event *e, bool first)
{
	int n = snprintf((char *)out, 96, "%s{\"seq\":%" PRIu64 ",\"ts\":%" PRIu64 ",\"data\":",
	    first ? "" : ",", e->head.seq, e->head.time);

	memcpy(out + n, w->event, e->head.len);
	out[n + (int)e->head.len] = '}';
	return (size_t)n + e->head.len + 1;
}

static size_t
put_end(unsigned char *out, bool recovered)
{
	const char *s = recovered ? "],\"recovered\":true}" : "],\"recovered\":false}";

	memcpy(out, s, strlen(s));
	return strlen(s);
}

/* History: events next + 1 .. last, then the end of the object as the frame of place last + 1. */
static uint64_t
frame_history(struct worker *w, struct conn *c, struct piece *p, bool chunked)
{
	uint32_t chan = (uint32_t)word_get(&c->stream),
		 gen = (uint32_t)(word_get(&c->stream) >> 32);
	uint64_t next = word_get(&c->stream_next), last = word_get(&c->stream_last);
	uint64_t first = word_get(&c->stream_first);
	bool lost = chan >= w->r->caps.channels ||
	    (w->r->channels[chan].gen & 0xffffff) != (gen & 0xffffff);
	struct event e;

	while (next < last && !lost && p->len < SPAN_BYTES && p->nframes < SPAN_FRAMES - 1) {
		lost = !fetch(w, chan, next + 1, &e);
		if (lost)
			break;
		end_chunk(p, chunked, put_event(w, p->span->data + p->len + CHUNK_HEAD, &e,
		    next == first));
		next++;
	}
	if (next < last && !lost)
		return next;
	if (lost && p->nframes > 0)
		return next;		/* its end is a piece of its own: places are dense */
	end_chunk(p, chunked, put_end(p->span->data + p->len + CHUNK_HEAD,
	    !lost && (word_get(&c->stream) & STREAM_TRUNCATED) == 0));
	if (chunked) {
		memcpy(p->span->data + p->len, "0\r\n\r\n", 5);
		p->len += 5;
		p->ends[p->nframes - 1] = p->len;
	}
	return last + 1;
}

uint32_t
stream_span(struct worker *w, uint32_t ci)
{
	static struct piece p;
	struct conn *c = conn_at(w, ci);
	uint32_t had = sizeof *p.span + SPAN_DATA + sizeof p.ends + 8, ends;

	if (word_get(&c->stream_next) > word_get(&c->stream_last)) {
		word_set(&c->stream, 0);
		return 0;
	}
	p.span = frames_alloc(w, had);
	p.len = p.nframes = 0;
	if (p.span == NULL) {
		w->more_output = true;
		return 0;
	}
	word_set(&p.span->from, word_get(&c->stream_next));
	p.span->to = frame_history(w, c, &p, (word_get(&c->stream) & STREAM_CHUNKED) != 0);
	p.span->chan = 0;
	p.span->kind = SPAN_STREAM;
	p.span->nframes = p.nframes;
	ends = (p.len + 7) & ~7u;
	p.span->ends = ends;
	memcpy(p.span->data + ends, p.ends, p.nframes * sizeof p.ends[0]);
	word_set(&p.span->commit, commit_make(0, p.len));
	frames_trim(w, p.span, had, sizeof *p.span + ends + p.nframes * (uint32_t)sizeof p.ends[0]);
	return frames_ref(w, p.span);
}
