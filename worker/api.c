/*
 * HTTP publish, history and event streams: /api/channels/{channel}/events.
 *
 * A history answer is a head, then a stream of events (stream.c): its length is not known before it
 * is told, so it is chunked, or ends with the connection for HTTP/1.0. An event stream
 * (text/event-stream, the HTML standard's server-sent events) is a subscription like any other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/idempotency.h"
#include "worker/dialect.h"
#include "worker/http.h"
#include "worker/json.h"
#include "worker/message.h"
#include "worker/priv.h"
#include "worker/routes.h"
#include "worker/text.h"
#include "worker/utf8.h"

/* True if the path's channel may be named by a client; answers otherwise. */
static bool
channel_ok(struct http *h)
{
	if (!channel_name_valid(h->channel, h->channel_len)) {
		http_error(h, HTTP_ERROR_BAD_REQUEST,
		    "a channel is named by 1 to 128 letters, digits and _ - . : / @");
		return false;
	}
	if (h->channel[0] == '$') {
		http_error(h, HTTP_ERROR_FORBIDDEN, "names that begin with $ are the server's own");
		return false;
	}
	return true;
}

/* ---- publish ---- */

static bool
is_json_type(const struct http *h)
{
	size_t n;
	const char *t = http_header(h, "Content-Type", &n);

	if (t == NULL || n == 0)
		return true;
	return n >= 16 && strncasecmp(t, "application/json", 16) == 0 &&
	    (n == 16 || t[16] == ';' || t[16] == ' ');
}

/* The event's data: valid JSON without the space around it, or text as a JSON string. */
static bool
take_data(struct http *h, struct publication *p)
{
	struct json_value v;
	enum json_why why;
	size_t n;

	if (!utf8_valid((const uint8_t *)h->body, h->body_len)) {
		http_error(h, HTTP_ERROR_BAD_REQUEST, "the body is not UTF-8");
		return false;
	}
	if (is_json_type(h)) {
		if (json_scan_value(h->body, h->body_len, h->w->set.json_depth, &v, &why) != 1) {
			http_error(h, HTTP_ERROR_BAD_REQUEST, "the body is not JSON: %s",
			    json_why_name(why));
			return false;
		}
		p->data = v.p;
		p->len = (uint32_t)v.n;
		return true;
	}
	n = json_string_encode((char *)h->w->unmasked, EVENT_MAX, h->body, h->body_len);
	if (n > EVENT_MAX) {
		http_error(h, HTTP_ERROR_TOO_LARGE, "the body is larger than an event may be");
		return false;
	}
	p->data = h->w->unmasked;
	p->len = (uint32_t)n;
	return true;
}

/* Publishes, or answers why not. */
static bool
publish(struct http *h, struct publication *p)
{
	if (message_publish(h->m, p) == 0)
		return true;
	if (errno == ENOSPC)
		http_error(h, HTTP_ERROR_FULL, "the channel table is full");
	else
		http_error(h, HTTP_ERROR_UNAVAILABLE, "the event could not be published");
	return false;
}

static void
answer_published(struct http *h, uint64_t epoch, uint64_t seq)
{
	char body[CHANNEL_NAME_MAX + 100];
	int n = snprintf(body, sizeof body, "{\"channel\":\"%.*s\",\"epoch\":\"%016" PRIx64
	    "\",\"seq\":%" PRIu64 "}", (int)h->channel_len, h->channel, epoch, seq);

	http_answer(h, 202, "application/json", body, (size_t)n, "");
}

/* The Idempotency-Key, NULL if there is none. False: not a key, and answered. */
static bool
take_key(struct http *h, struct idempotency *q)
{
	static const char name[] = "Idempotency-Key";
	const struct http_field *f;
	uint32_t i, found = 0;

	for (i = 0; i < h->rq->nfields; i++) {
		f = &h->rq->field[i];
		if (f->name.len != sizeof name - 1 ||
		    strncasecmp(h->p + f->name.off, name, f->name.len) != 0)
			continue;
		q->key = h->p + f->value.off;
		q->key_len = f->value.len;
		found++;
	}
	if (found > 1 || (found == 1 && !idempotency_key_valid(q->key, q->key_len))) {
		http_error(h, HTTP_ERROR_BAD_REQUEST,
		    "Idempotency-Key is one of 1 to %d printable characters", IDEMPOTENCY_KEY_MAX);
		return false;
	}
	return true;
}

/* Publishes unless that was done for the key before. */
static void
publish_once(struct http *h, struct publication *p, struct idempotency *q)
{
	uint64_t epoch;

	switch (idempotency_get(&h->w->pub, q)) {
	case IDEMPOTENCY_OWNER:
		if (!publish(h, p)) {
			idempotency_give_up(q);
			return;
		}
		epoch = h->w->r->channels[p->chan].epoch;
		idempotency_finish(q, epoch, p->seq);
		answer_published(h, epoch, p->seq);
		break;
	case IDEMPOTENCY_ANSWERED:
		stat_add(h->w->stats, STAT_IDEMPOTENT, 1);
		answer_published(h, q->epoch, q->seq);
		break;
	case IDEMPOTENCY_UNFINISHED:
		http_error(h, HTTP_ERROR_CONFLICT, "the first with this key is not finished");
		break;
	case IDEMPOTENCY_FULL:
		http_error(h, HTTP_ERROR_FULL, "the table of idempotency keys is full");
		break;
	}
}

void
api_publish(struct http *h)
{
	struct publication p = { .channel = h->channel, .channel_len = h->channel_len };
	struct idempotency q = {
		.channel = h->channel, .channel_len = h->channel_len,
		.cookie = word_get(&h->m->c->cookie), .in_off = h->m->in_off,
	};

	if (!channel_ok(h) || !take_key(h, &q) || !take_data(h, &p))
		return;
	if (q.key != NULL)
		publish_once(h, &p, &q);
	else if (publish(h, &p))
		answer_published(h, h->w->r->channels[p.chan].epoch, p.seq);
}

/* ---- where a reader stands ---- */

struct since {
	bool given;
	uint64_t epoch, seq;
};

/* The Last-Event-ID field: EPOCH:SEQ. What does not parse names no event of ours. */
static void
since_from_id(const struct http *h, struct since *s)
{
	size_t n;
	const char *id = http_header(h, "Last-Event-ID", &n);

	if (id == NULL || n == 0)
		return;
	s->given = true;
	if (n < 18 || id[16] != ':' || !epoch_parse(id, 16, &s->epoch) ||
	    !decimal_parse(id + 17, n - 17, &s->seq))
		s->epoch = 0;
}

/* The query's since and epoch. False: malformed, and answered. */
static bool
since_from_query(struct http *h, struct since *s)
{
	char text[40];
	ssize_t n = http_query(h, "since", text, sizeof text);

	if (n < 0)
		return true;
	if (!decimal_parse(text, (size_t)n, &s->seq)) {
		http_error(h, HTTP_ERROR_BAD_REQUEST, "since is not a number");
		return false;
	}
	n = http_query(h, "epoch", text, sizeof text);
	if (n < 0) {
		http_error(h, HTTP_ERROR_BAD_REQUEST, "since needs an epoch");
		return false;
	}
	s->given = true;
	if (!epoch_parse(text, (size_t)n, &s->epoch))
		s->epoch = 0;
	return true;
}

/* ---- history ---- */

static void
answer_unknown(struct http *h, const struct since *s)
{
	char body[CHANNEL_NAME_MAX + 100];
	int n = snprintf(body, sizeof body,
	    "{\"channel\":\"%.*s\",\"epoch\":null,\"seq\":0,\"events\":[],\"recovered\":%s}",
	    (int)h->channel_len, h->channel, s->given ? "false" : "true");

	http_answer(h, 200, "application/json", body, (size_t)n, "");
}

/* Names the stream that follows: events first + 1 .. last of the channel. */
static void
begin_stream(struct http *h, uint32_t chan, uint64_t first, uint64_t last, bool whole)
{
	bool chunked = h->rq->minor > 0;

	message_effect(h->m, EFFECT_STREAM_FIRST, 0, first);
	message_effect(h->m, EFFECT_STREAM_NEXT, 0, first);
	message_effect(h->m, EFFECT_STREAM_LAST, 0, last);
	message_effect(h->m, EFFECT_STREAM, 0,
	    stream_word(STREAM_HISTORY, h->w->r->channels[chan].gen, chan) |
		(chunked ? STREAM_CHUNKED : 0) | (whole ? 0 : STREAM_TRUNCATED));
}

static void
put_history_head(struct http *h, uint32_t chan, uint64_t tail)
{
	bool chunked = h->rq->minor > 0;
	char text[CHANNEL_NAME_MAX + 100];
	int n = snprintf(text, sizeof text, "{\"channel\":\"%.*s\",\"epoch\":\"%016" PRIx64
	    "\",\"seq\":%" PRIu64 ",\"events\":[", (int)h->channel_len, h->channel,
	    h->w->r->channels[chan].epoch, tail);

	if (!chunked)
		h->close = true;	/* the end of the body is the end of the connection */
	http_answer_head(
	    h, 200, "application/json", chunked ? "Transfer-Encoding: chunked\r\n" : "");
	if (h->rq->method == HTTP_VERB_HEAD)
		return;
	if (chunked)
		message_printf(h->m, "%x\r\n", (unsigned)n);
	message_put(h->m, text, (size_t)n);
	if (chunked)
		message_put(h->m, "\r\n", 2);
}

static void
history(struct http *h, const struct since *s, uint64_t limit)
{
	uint64_t tail, first, last;
	uint32_t chan;
	bool whole;

	if (channel_find(h->w->r, h->channel, h->channel_len, &chan) != 0) {
		answer_unknown(h, s);
		return;
	}
	tail = channel_tail(h->w->r, chan);
	whole = !s->given || (s->epoch == h->w->r->channels[chan].epoch &&
	    channel_covers(h->w->r, chan, s->seq, tail));
	/* what cannot be resumed is answered without old events: fetch what is kept instead */
	first = !whole ? tail : channel_first_after(h->w->r, chan, s->given ? s->seq : 0, tail) - 1;
	last = tail - first > limit ? first + limit : tail;
	put_history_head(h, chan, tail);
	if (h->rq->method != HTTP_VERB_HEAD)
		begin_stream(h, chan, first, last, whole);
}

/* ---- server-sent events ---- */

static void
event_stream(struct http *h, const struct since *s)
{
	struct worker *w = h->w;
	struct frame_context x;
	uint64_t tail, from;
	uint32_t chan;
	unsigned tries = 0;
	bool covered;

	do {
		if (message_channel(w, h->channel, h->channel_len, &chan) != 0) {
			http_error(h, HTTP_ERROR_FULL, "the channel table is full");
			return;
		}
	} while (!channel_join(&w->pub, chan, &tail) && tries++ < 8);
	covered = s->given && s->epoch == w->r->channels[chan].epoch &&
	    channel_covers(w->r, chan, s->seq, tail);
	from = covered ? s->seq : tail;
	x = (struct frame_context){ h->channel, h->channel_len, w->r->channels[chan].epoch };
	h->close = true;
	http_answer_head(h, 200, "text/event-stream", "Cache-Control: no-store\r\n"
	    "X-Accel-Buffering: no\r\n");
	message_state(h->m, 0, CONN_CLOSE);	/* it ends with the connection, not now */
	message_printf(h->m, ": %.*s\n\n", (int)h->channel_len, h->channel);
	if (s->given && !covered)
		h->m->len += (uint32_t)dialect_sse.gap(h->m->out + h->m->len, &x, 0, tail);
	message_state(h->m, CONN_SSE | (uint32_t)DIALECT_SSE << 16, 0);
	message_effect(h->m, EFFECT_CURSOR, 0, cursor_make(chan, from));
}

void
api_events(struct http *h)
{
	struct since s = { false, 0, 0 };
	bool stream = http_accepts(h, "text/event-stream") && h->rq->method == HTTP_VERB_GET;
	uint64_t limit = UINT64_MAX;
	char text[24];
	ssize_t n;

	if (!channel_ok(h))
		return;
	if (stream)
		since_from_id(h, &s);
	if (!s.given && !since_from_query(h, &s))
		return;
	if (stream) {
		event_stream(h, &s);
		return;
	}
	n = http_query(h, "limit", text, sizeof text);
	if (n >= 0 && (!decimal_parse(text, (size_t)n, &limit) || limit == 0)) {
		http_error(h, HTTP_ERROR_BAD_REQUEST, "limit is not a number above 0");
		return;
	}
	history(h, &s, limit);
}

/* ---- framing of server-sent events ---- */

/* Data with line ends in it takes a data line each; they are space between JSON tokens. */
static size_t
put_lines(unsigned char *out, const unsigned char *data, size_t n)
{
	size_t at = 0, i, lines = 0;

	for (i = 0; i < n; i++)
		lines += data[i] == '\n' || data[i] == '\r';
	for (i = 0; i < n; i++) {
		if (data[i] != '\n' && data[i] != '\r')
			out[at++] = data[i];
		else if (lines > 64)		/* bounded: as one line */
			out[at++] = ' ';
		else {
			memcpy(out + at, "\ndata: ", 7);
			at += 7;
			if (data[i] == '\r' && i + 1 < n && data[i + 1] == '\n')
				i++;
		}
	}
	return at;
}

static size_t
sse_event(unsigned char *out, const struct frame_context *x, const struct event_head *h,
    const unsigned char *data)
{
	size_t n = (size_t)snprintf((char *)out, 64, "id: %016" PRIx64 ":%" PRIu64 "\ndata: ",
	    x->epoch, h->seq);

	n += put_lines(out + n, data, h->len);
	memcpy(out + n, "\n\n", 2);
	return n + 2;
}

static size_t
sse_gap(unsigned char *out, const struct frame_context *x, uint64_t from, uint64_t to)
{
	return (size_t)snprintf((char *)out, 200,
	    "event: gap\nid: %016" PRIx64 ":%" PRIu64 "\ndata: {\"epoch\":\"%016" PRIx64
	    "\",\"seq\":%" PRIu64 "}\n\n",
	    x->epoch, to, x->epoch, to);
}

static void
sse_ping(struct message *m)
{
	message_put(m, ": \n\n", 4);
}

static void
sse_goodbye(struct message *m, unsigned code, const char *reason)
{
	message_printf(m, "retry: 1000\n: %s\n\n", reason);
	message_state(m, CONN_CLOSE, 0);
}

const struct dialect dialect_sse = {
	.event = sse_event,
	.gap = sse_gap,
	.ping = sse_ping,
	.goodbye = sse_goodbye,
};

const struct dialect dialect_http = { .message = NULL };
