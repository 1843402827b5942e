/*
 * Event streams.  A block of lines ends at an empty line; of its fields, `id`, `event` and `data`
 * matter here.  All channels are new when the streams begin, so each must begin at seq 1.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/tools/lost.h"
#include "t/tools/subscribers.h"

enum { WATCH_MS = 200 };

struct stream {
	struct client c;
	struct watch watch;
	struct follower f;
	char *buf;
	size_t len, cap;
	uint64_t progress;
};

struct block {
	struct slice id, event, data;
};

static struct stream *streams;
static int streams_opened;
static uint64_t next_watch;

static void
on_open(struct client *c)
{
	struct stream *s = (struct stream *)c;

	client_queuef(c, "GET /api/channels/%s/events HTTP/1.1\r\nHost: %s:%d\r\n"
	    "Accept: text/event-stream\r\n%s", oracle_channel_name(s->f.channel), opt.host,
	    opt.port, opt.headers);
	if (s->f.next > 0 && *oracle_epoch_of(s->f.channel) != '\0')
		client_queuef(c, "Last-Event-ID: %s:%" PRIu64 "\r\n",
		    oracle_epoch_of(s->f.channel), s->f.next - 1);
	client_queuef(c, "\r\n");
	client_flush(c);
}

static bool
on_head(struct client *c, const struct response *r)
{
	struct stream *s = (struct stream *)c;

	if (r->status != 200 || memmem(r->head.p, r->head.len, "text/event-stream", 17) == NULL) {
		tally.http_failed++;
		oracle_violation("stream %d: answered %d", c->id, r->status);
		client_drop(c);
		return false;
	}
	tally.http++;
	s->f.live = true;
	if (s->f.next == 0)
		s->f.next = 1;
	else
		tally.resumed++;
	return true;
}

static void
on_gap(struct stream *s, struct slice data)
{
	struct scan_member m[SCAN_MEMBERS_MAX];
	int n = scan_object(data, m);
	uint64_t seq = n < 0 ? UINT64_MAX : scan_number(scan_get(m, n, "seq"));

	if (seq == UINT64_MAX) {
		oracle_violation("stream %d: a gap without seq", s->c.id);
		return;
	}
	oracle_epoch(s->f.channel, scan_get(m, n, "epoch"));
	oracle_gap(&s->f, s->f.next, seq);
}

static void
on_block(struct stream *s, const struct block *b)
{
	struct slice epoch = b->id, seq = { NULL, 0 };

	s->progress++;
	if (b->data.p == NULL)
		return;			/* a comment or a `retry` */
	if (b->event.p != NULL && b->event.len == 3 && memcmp(b->event.p, "gap", 3) == 0) {
		on_gap(s, b->data);
		return;
	}
	if (b->id.len > EPOCH_LEN + 1 && b->id.p[EPOCH_LEN] == ':') {
		epoch.len = EPOCH_LEN;
		seq = (struct slice){ b->id.p + EPOCH_LEN + 1, b->id.len - EPOCH_LEN - 1 };
		oracle_epoch(s->f.channel, epoch);
	}
	oracle_event(&s->f, scan_number(seq), b->data, client_rx_time(), s->c.last_rx);
}

static bool
take_field(struct slice line, const char *name, struct slice *value)
{
	size_t n = strlen(name);

	if (line.len < n + 1 || memcmp(line.p, name, n) != 0 || line.p[n] != ':')
		return false;
	n += line.len > n + 1 && line.p[n + 1] == ' ' ? 2 : 1;
	*value = (struct slice){ line.p + n, line.len - n };
	return true;
}

/* Takes one block off the front; returns its length, 0 if it is not complete. */
static size_t
digest_block(struct stream *s, const char *p, size_t len)
{
	const char *end = p + len, *at = p, *eol;
	struct block b = { 0 };

	while ((eol = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		struct slice line = { at, (size_t)(eol - at) };

		at = eol + 1;
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0) {
			on_block(s, &b);
			return (size_t)(at - p);
		}
		if (!take_field(line, "id", &b.id) && !take_field(line, "event", &b.event))
			(void)take_field(line, "data", &b.data);
	}
	return 0;
}

static void
on_stream(struct client *c, struct slice bytes)
{
	struct stream *s = (struct stream *)c;
	size_t used = 0, n;

	if (s->len + bytes.len > s->cap) {
		s->cap = (s->len + bytes.len) * 2;
		s->buf = realloc(s->buf, s->cap);
		assert(s->buf != NULL);
	}
	memcpy(s->buf + s->len, bytes.p, bytes.len);
	s->len += bytes.len;
	while (used < s->len && (n = digest_block(s, s->buf + used, s->len - used)) > 0)
		used += n;
	s->len -= used;
	memmove(s->buf, s->buf + used, s->len);
}

static void
on_close(struct client *c, int code, const char *why)
{
	struct stream *s = (struct stream *)c;

	if (lost_take(c)) {
		s->f.live = false;
		s->len = 0;
		client_open(c);
		return;
	}
	oracle_final_follower(&s->f);
	s->f.live = false;
	crowd_closed("stream", c->id, code, why);
}

static const struct client_ops ops = {
	.on_open = on_open,
	.on_stream_head = on_head,
	.on_stream = on_stream,
	.on_close = on_close,
};

void
sse_new(void)
{
	streams = calloc((size_t)opt.sse + 1, sizeof *streams);
	assert(streams != NULL);
	for (int i = 0; i < opt.sse; i++) {
		streams[i].c.ops = &ops;
		streams[i].c.id = streams[i].f.who = crowd_next_id();
		streams[i].f.channel = i % opt.channels;
	}
}

bool
sse_open_next(void)
{
	if (streams_opened == opt.sse)
		return false;
	client_open(&streams[streams_opened++].c);
	return true;
}

bool
sse_are_ready(void)
{
	if (streams_opened < opt.sse)
		return false;
	for (int i = 0; i < opt.sse; i++)
		if (!streams[i].f.live && client_is_open(&streams[i].c))
			return false;
	return true;
}

void
sse_tick(uint64_t now)
{
	if (now < next_watch)
		return;
	next_watch = now + WATCH_MS * 1000000u;
	for (int i = 0; i < opt.sse; i++) {
		struct stream *s = &streams[i];

		if (watch_is_stalled(&s->watch, oracle_is_owed(&s->f), s->progress, now))
			oracle_violation("stream %d: stalled: %s waits for %" PRIu64, s->c.id,
			    oracle_channel_name(s->f.channel), s->f.next);
	}
}

bool
sse_are_settled(void)
{
	for (int i = 0; i < opt.sse; i++)
		if (streams[i].c.state == CLIENT_CONNECTING || streams[i].c.state == CLIENT_HTTP ||
		    oracle_is_owed(&streams[i].f))
			return false;
	return true;
}

void
sse_finish(void)
{
	for (int i = 0; i < opt.sse; i++) {
		oracle_final_follower(&streams[i].f);
		client_drop(&streams[i].c);
	}
}
