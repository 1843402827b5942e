/*
 * What clients say. A frame is masked with a key that depends on its place, so that a wrong byte
 * of it does not go unnoticed. The heads of HTTP answers are learnt from undisturbed ones; all but
 * their Content-Length must come again as they were.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "shm/channel.h"
#include "shm/event.h"
#include "t/20-stress/step_oracle.h"
#include "t/20-stress/step_server.h"

enum { OP_CONTINUATION, OP_TEXT, OP_CLOSE = 8, OP_PING, FIN = 0x80, MASKED = 0x80 };

#define TS "\1\1\1\1\1\1\1\1\1\1\1\1\1"	/* milliseconds of this age: 13 times ANY_DIGIT */
#define NUMBER "\3"
#define PLACE "\4"

static const char upgrade[] =
    "GET /ws/channels HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: step\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static void
put(struct bytes *b, const void *p, size_t n)
{
	if (b->n + n > sizeof b->p)
		abort();
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void
put_frame(struct bytes *b, unsigned first, const char *p, size_t n)
{
	unsigned char mask[4] = { (unsigned char)(b->n + 1), 0x5a, (unsigned char)n, 0xc3 };
	unsigned char head[8] = { (unsigned char)first, 0, (unsigned char)(n >> 8),
		(unsigned char)n };
	size_t i, at;

	head[1] = (unsigned char)(MASKED | (n < 126 ? n : 126));
	put(b, head, n < 126 ? 2 : 4);
	put(b, mask, sizeof mask);
	at = b->n;
	put(b, p, n);
	for (i = 0; i < n; i++)
		b->p[at + i] ^= mask[i % 4];
}

static void
expect_reply(struct oracle *o, unsigned i, struct reply q)
{
	struct client *k = &o->client[i];

	if (k->reply_end - k->reply_first == REPLIES)
		abort();
	k->reply[k->reply_end++ % REPLIES] = q;
}

static void
expect_raw(struct oracle *o, unsigned i, const char *p, size_t n)
{
	struct client *k = &o->client[i];

	if (k->raw_at == k->raw_n)
		k->raw_at = k->raw_n = 0;
	if (k->raw_n + n >= RAW)
		abort();
	memcpy(k->raw + k->raw_n, p, n);
	k->raw_n += n;
	k->raw[k->raw_n] = '\0';
}

/* The head as it was learnt, with another length in it; 0: with any. */
static void
expect_head(struct oracle *o, unsigned i, const char *head, size_t length)
{
	const char *at = strstr(head, "Content-Length: ");
	char text[600], number[24] = NUMBER;

	if (at == NULL) {
		expect_raw(o, i, head, strlen(head));
		return;
	}
	at += 16;
	if (length > 0)
		snprintf(number, sizeof number, "%zu", length);
	snprintf(text, sizeof text, "%.*s%s%s", (int)(at - head), head, number,
	    at + strspn(at, "0123456789"));
	expect_raw(o, i, text, strlen(text));
}

/* ---- learning ---- */

/* The time will be another. */
static void
blur_date(char *head)
{
	char *date = strcasestr(head, "\r\nDate: ");

	if (date != NULL)
		memset(date + 8, ANY_BYTE, strcspn(date + 8, "\r"));
}

/* The answer's head, and with more, what follows it up to the next empty line. */
static void
learn(struct oracle *o, const char *request, size_t n, char *head, size_t cap, bool more)
{
	struct client *k = &o->client[0];
	size_t at = 0;
	char *end = NULL;

	client_open(o, 0, CLIENT_HTTP, 0);
	client_send(o, 0, request, n);
	while (at + 1 < cap && recv(k->fd, head + at, 1, 0) == 1) {
		head[++at] = '\0';
		if (end == NULL && (end = strstr(head, "\r\n\r\n")) != NULL && !more)
			break;
		if (end != NULL && more && strstr(end + 4, "\n\n") != NULL)
			break;
	}
	client_close(o, 0);
	blur_date(head);
	if (end == NULL)
		went_wrong(o, WRONG_OTHER, "no answer to learn from: %.100s", request);
}

void
oracle_learn(struct oracle *o)
{
	struct bytes b = { .n = 0 };

	learn(o, upgrade, sizeof upgrade - 1, o->head_ws, sizeof o->head_ws, false);
	say_post(o, 0, 0, 40, &b);
	learn(o, (char *)b.p, b.n, o->head_post, sizeof o->head_post, false);
	b.n = 0;
	say_history(o, 0, 0, 0, &b);
	learn(o, (char *)b.p, b.n, o->head_get, sizeof o->head_get, false);
	b.n = 0;
	say_events(o, 0, 0, &b);
	learn(o, (char *)b.p, b.n, o->head_sse, sizeof o->head_sse, true);
}

/* ---- WebSocket ---- */

void
say_upgrade(struct oracle *o, unsigned i, struct bytes *b)
{
	put(b, upgrade, sizeof upgrade - 1);
	expect_raw(o, i, o->head_ws, strlen(o->head_ws));
}

static void
put_text(struct bytes *b, const char *text)
{
	put_frame(b, FIN | OP_TEXT, text, strlen(text));
}

void
say_resume(struct oracle *o, unsigned i, unsigned chan, uint64_t seq, struct bytes *b)
{
	char text[240];

	snprintf(text, sizeof text, "{\"type\":\"subscribe\",\"channel\":\"%s\","
	    "\"since\":{\"epoch\":\"%016" PRIx64 "\",\"seq\":%" PRIu64 "}}", o->chan[chan].name,
	    oracle_epoch(o, chan), seq);
	put_text(b, text);
	expect_reply(o, i, (struct reply){ .kind = REPLY_SUBSCRIBED, .chan = chan,
	    .seq = o->chan[chan].count, .since = seq });
}

void
say_subscribe(struct oracle *o, unsigned i, unsigned chan, struct bytes *b)
{
	char text[160];

	snprintf(
	    text, sizeof text, "{\"type\":\"subscribe\",\"channel\":\"%s\"}", o->chan[chan].name);
	put_text(b, text);
	expect_reply(o, i, (struct reply){ .kind = REPLY_SUBSCRIBED, .chan = chan,
	    .seq = o->chan[chan].count });
}

void
say_unsubscribe(struct oracle *o, unsigned i, unsigned chan, struct bytes *b)
{
	char text[160];

	snprintf(
	    text, sizeof text, "{\"type\":\"unsubscribe\",\"channel\":\"%s\"}", o->chan[chan].name);
	put_text(b, text);
	expect_reply(o, i, (struct reply){ .kind = REPLY_UNSUBSCRIBED, .chan = chan });
}

static size_t
publish_text(struct oracle *o, unsigned i, unsigned chan, uint32_t len, bool no_echo, char *out)
{
	struct publish *p = oracle_publish(o, chan, (int)i, len);
	size_t n;

	p->not_for = no_echo ? o->client[i].number : 0;
	n = (size_t)snprintf(out, 300,
	    "{\"type\":\"publish\",\"channel\":\"%s\",\"id\":%u,%s\"data\":", o->chan[chan].name,
	    p->id, no_echo ? "\"echo\":false," : "");
	n += oracle_data(out + n, p);
	out[n++] = '}';
	expect_reply(o, i, (struct reply){ .kind = REPLY_PUBLISHED, .chan = chan, .id = p->id });
	return n;
}

void
say_publish(struct oracle *o, unsigned i, unsigned chan, uint32_t len, struct bytes *b)
{
	static char text[BYTES];
	size_t n = publish_text(o, i, chan, len, false, text);

	put_frame(b, FIN | OP_TEXT, text, n);
}

void
say_publish_no_echo(struct oracle *o, unsigned i, unsigned chan, uint32_t len, struct bytes *b)
{
	static char text[BYTES];
	size_t n = publish_text(o, i, chan, len, true, text);

	put_frame(b, FIN | OP_TEXT, text, n);
}

/* It must be answered by the same, and then by the end of the stream. */
void
say_goodbye(struct oracle *o, unsigned i, struct bytes *b)
{
	static const char text[] = "\3\350bye";		/* 1000 */
	struct client *k = &o->client[i];

	put_frame(b, FIN | OP_CLOSE, text, sizeof text - 1);
	k->fall_code = 1000;
	k->fall_reason = "";
	k->must_fall = true;
}

void
say_ping(struct oracle *o, unsigned i, uint32_t id, struct bytes *b)
{
	char text[40];

	snprintf(text, sizeof text, "ping %u", id);
	put_frame(b, FIN | OP_PING, text, strlen(text));
	expect_reply(o, i, (struct reply){ .kind = REPLY_PONG, .id = id });
}

size_t
say_fragments(struct oracle *o, unsigned i, unsigned chan, uint32_t len, struct bytes *b)
{
	static char text[BYTES];
	struct client *k = &o->client[i];
	size_t n = publish_text(o, i, chan, len, false, text), third = n / 3 | 1, middle;
	struct reply published = k->reply[--k->reply_end % REPLIES];

	put_frame(b, OP_TEXT, text, third);
	say_ping(o, i, published.id, b);
	middle = b->n + third / 2;
	put_frame(b, OP_CONTINUATION, text + third, third);
	say_ping(o, i, published.id + 1, b);
	put_frame(b, FIN | OP_CONTINUATION, text + 2 * third, n - 2 * third);
	expect_reply(o, i, published);
	return middle;
}

/* ---- HTTP ---- */

static void
put_request(struct bytes *b, const char *method, const char *path, const char *more, size_t body)
{
	char text[400];
	int n;

	n = snprintf(text, sizeof text,
	    "%s %s HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: step\r\n%s", method, path, more);
	if (body > 0)
		n += snprintf(text + n, sizeof text - (size_t)n, "Content-Length: %zu\r\n", body);
	n += snprintf(text + n, sizeof text - (size_t)n, "\r\n");
	put(b, text, (size_t)n);
}

/* The answer to a post. Its place is told beforehand if nobody else publishes. */
static void
expect_posted(struct oracle *o, unsigned i, const struct publish *p)
{
	struct client *k = &o->client[i];
	char body[200];
	int n;

	n = snprintf(body, sizeof body,
	    "{\"channel\":\"%s\",\"epoch\":\"%016" PRIx64 "\",\"seq\":", o->chan[p->chan].name,
	    oracle_epoch(o, p->chan));
	if (o->racing) {
		snprintf(body + n, sizeof body - (size_t)n, PLACE "}");
		k->post[k->post_end++ % REPLIES] = p->id;
	} else
		snprintf(body + n, sizeof body - (size_t)n, "%" PRIu64 "}", p->seq);
	expect_head(o, i, o->head_post, o->racing ? 0 : strlen(body));
	expect_raw(o, i, body, strlen(body));
}

static void
put_post(struct oracle *o, const struct publish *p, const char *key, struct bytes *b)
{
	static char data[BYTES];
	size_t n = oracle_data(data, p);
	char path[100], more[100] = "";

	snprintf(path, sizeof path, "/api/channels/%s/events", o->chan[p->chan].name);
	if (key != NULL)
		snprintf(more, sizeof more, "Idempotency-Key: %s\r\n", key);
	put_request(b, "POST", path, more, n);
	put(b, data, n);
}

uint32_t
say_post_key(struct oracle *o, unsigned i, unsigned chan, uint32_t len, const char *key,
    struct bytes *b)
{
	struct publish *p = oracle_publish(o, chan, (int)i, len);

	if (!o->racing)
		oracle_place(o, p, o->chan[chan].count);
	put_post(o, p, key, b);
	expect_posted(o, i, p);
	return p->id;
}

void
say_post_again(struct oracle *o, unsigned i, uint32_t id, const char *key, struct bytes *b)
{
	put_post(o, &o->pub[id % LOG], key, b);
	expect_posted(o, i, &o->pub[id % LOG]);
}

void
say_post(struct oracle *o, unsigned i, unsigned chan, uint32_t len, struct bytes *b)
{
	say_post_key(o, i, chan, len, NULL, b);
}

static void
expect_chunk(struct oracle *o, unsigned i, const char *size_format, const char *p, size_t n)
{
	char head[16];

	snprintf(head, sizeof head, size_format, (unsigned)n);
	expect_raw(o, i, head, strlen(head));
	expect_raw(o, i, "\r\n", 2);
	expect_raw(o, i, p, n);
	expect_raw(o, i, "\r\n", 2);
}

/* All of them are known by their place: published by say_post() or seen. */
void
say_history(struct oracle *o, unsigned i, unsigned chan, uint64_t since, struct bytes *b)
{
	static char text[BYTES];
	struct chan *c = &o->chan[chan];
	char path[160];
	uint64_t q;
	size_t n;

	snprintf(path, sizeof path, "/api/channels/%s/events?since=%" PRIu64 "&epoch=%016" PRIx64,
	    c->name, since, oracle_epoch(o, chan));
	put_request(b, "GET", path, "", 0);
	expect_head(o, i, o->head_get, 0);		/* it is chunked */
	n = (size_t)snprintf(text, sizeof text,
	    "{\"channel\":\"%s\",\"epoch\":\"%016" PRIx64 "\",\"seq\":%" PRIu64 ",\"events\":[",
	    c->name, oracle_epoch(o, chan), c->count);
	expect_chunk(o, i, "%x", text, n);
	for (q = since + 1; q <= c->count; q++) {
		n = (size_t)snprintf(text, sizeof text,
		    "%s{\"seq\":%" PRIu64 ",\"ts\":" TS ",\"data\":", q == since + 1 ? "" : ",", q);
		n += oracle_data(text + n, &o->pub[c->log[q % LOG].id % LOG]);
		text[n++] = '}';
		expect_chunk(o, i, "%08x", text, n);
	}
	expect_chunk(o, i, "%08x", "],\"recovered\":true}", 19);
	expect_raw(o, i, "0\r\n\r\n", 5);
}

static void
ask_events(struct oracle *o, unsigned i, unsigned chan, const char *more, struct bytes *b)
{
	char path[100], text[200];

	snprintf(path, sizeof path, "/api/channels/%s/events", o->chan[chan].name);
	snprintf(text, sizeof text, "Accept: text/event-stream\r\n%s", more);
	put_request(b, "GET", path, text, 0);
	expect_raw(o, i, o->head_sse, strlen(o->head_sse));
}

void
say_events(struct oracle *o, unsigned i, unsigned chan, struct bytes *b)
{
	ask_events(o, i, chan, "", b);
	o->client[i].next[chan] = o->chan[chan].count + 1;
}

void
say_resume_events(struct oracle *o, unsigned i, unsigned chan, uint64_t seq, struct bytes *b)
{
	char text[100];

	snprintf(text, sizeof text, "Last-Event-ID: %016" PRIx64 ":%" PRIu64 "\r\n",
	    oracle_epoch(o, chan), seq);
	ask_events(o, i, chan, text, b);
	o->client[i].next[chan] = seq + 1;
}

/* ---- the test itself ---- */

void
publish_self(struct oracle *o, unsigned chan, uint32_t len)
{
	static char data[BYTES];
	struct publish *p = oracle_publish(o, chan, -1, len);
	struct event_head h = { .len = 0 };
	const char *name = o->chan[chan].name;
	struct timespec now;
	uint32_t number;
	uint64_t seq = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	h.time = (uint64_t)now.tv_sec * 1000;
	h.len = (uint32_t)oracle_data(data, p);
	if (channel_find(&o->s->r, name, strlen(name), &number) != 0 ||
	    event_publish(&o->s->writer, number, &h, data, &seq) != 0)
		went_wrong(o, WRONG_OTHER, "the test cannot publish: %s", strerror(errno));
	else
		oracle_place(o, p, seq);
}
