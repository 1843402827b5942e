/*
 * The bytes from the server, taken apart.  client_digest() takes one whole item after the other
 * from the front; an item's function may close the client, therefore its state is looked at after
 * each.
 *
 * The handshake's key is the sample of RFC 6455, section 1.3, whose accept value is printed there:
 * so the server's answer is checked without a SHA-1 here.
 */
#define _GNU_SOURCE
#include "t/tools/client_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { KEEP_BUFFER = 16 * 1024 };

enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_CRLF, CHUNK_TRAILER };

/* --- buffers --- */

void
client_buf_add(struct client_buf *b, const void *p, size_t len)
{
	if (b->head > 0 && b->head == b->len)
		b->head = b->len = 0;
	if (b->len + len > b->cap) {
		if (b->head > 0) {
			memmove(b->p, b->p + b->head, b->len - b->head);
			b->len -= b->head;
			b->head = 0;
		}
		if (b->len + len > b->cap) {
			b->cap = (b->len + len) * 3 / 2 + 256;
			b->p = realloc(b->p, b->cap);
			if (b->p == NULL)
				abort();
		}
	}
	if (len > 0)
		memcpy(b->p + b->len, p, len);
	b->len += len;
}

void
client_buf_free(struct client_buf *b)
{
	free(b->p);
	*b = (struct client_buf){ 0 };
}

void
client_buf_reset(struct client_buf *b)
{
	b->head = b->len = 0;
	if (b->cap > KEEP_BUFFER)
		client_buf_free(b);
}

struct slice
client_buf_slice(const struct client_buf *b)
{
	return (struct slice){ b->p == NULL ? "" : b->p + b->head, b->len - b->head };
}

/* --- WebSocket --- */

static void
on_close_frame(struct client *c, struct slice body)
{
	c->got_close = true;
	c->close_code = body.len < 2 ? 1005 :
	    (uint8_t)body.p[0] << 8 | (uint8_t)body.p[1];
	if (c->state == CLIENT_CLOSING)
		return;			/* the answer to ours; the server closes now */
	client_queue_frame(c, CLIENT_OP_CLOSE, body.p, body.len < 2 ? 0 : 2);
	client_flush(c);
	client_finish(c, c->close_code, "closed by the server");
}

static void
on_frame(struct client *c, int first, struct slice body)
{
	int op = first & 15;
	bool fin = first & 0x80;

	if ((first & 0x70) != 0) {
		client_finish(c, CLOSE_NONE, "a reserved bit is set");
	} else if (op == CLIENT_OP_CLOSE) {
		on_close_frame(c, body);
	} else if (op == CLIENT_OP_PING) {
		client_queue_frame(c, CLIENT_OP_PONG, body.p, body.len);
	} else if (op == CLIENT_OP_PONG) {
		;
	} else if (op == CLIENT_OP_TEXT && fin && c->msg.len == 0) {
		c->ops->on_message(c, body);
	} else if (op == (c->msg.len == 0 ? CLIENT_OP_TEXT : CLIENT_OP_CONTINUATION)) {
		client_buf_add(&c->msg, body.p, body.len);
		if (fin) {
			c->ops->on_message(c, client_buf_slice(&c->msg));
			client_buf_reset(&c->msg);
		}
	} else {
		client_finish(c, CLOSE_NONE, "an unexpected kind of frame");
	}
}

static size_t
digest_ws(struct client *c, struct slice in)
{
	const uint8_t *p = (const uint8_t *)in.p;
	size_t head = 2;
	uint64_t len;

	if (in.len < 2)
		return 0;
	len = p[1] & 127;
	if (len == 126) {
		head = 4;
		if (in.len < head)
			return 0;
		len = (uint64_t)p[2] << 8 | p[3];
	} else if (len == 127) {
		head = 10;
		if (in.len < head)
			return 0;
		len = 0;
		for (int i = 2; i < 10; i++)
			len = len << 8 | p[i];
	}
	if ((p[1] & 0x80) != 0 || len > CLIENT_FRAME_MAX) {
		client_finish(c, CLOSE_NONE, "a masked or an endless frame");
		return 0;
	}
	if (in.len < head + len)
		return 0;
	if (!c->got_close)
		on_frame(c, p[0], (struct slice){ in.p + head, (size_t)len });
	return head + (size_t)len;
}

/* --- HTTP --- */

static bool
header_is(struct slice line, const char *name, struct slice *value)
{
	size_t n = strlen(name);

	if (line.len <= n || strncasecmp(line.p, name, n) != 0 || line.p[n] != ':')
		return false;
	for (n++; n < line.len && line.p[n] == ' '; n++)
		;
	*value = (struct slice){ line.p + n, line.len - n };
	return true;
}

/* returns the length of the head, 0 if it is not complete, and closes the client if it is bad */
static size_t
parse_head(struct client *c, struct slice in, struct response *r)
{
	const char *end = memmem(in.p, in.len, "\r\n\r\n", 4), *p, *eol;
	struct slice value;

	*r = (struct response){ 0 };
	if (end == NULL)
		return 0;
	r->head = (struct slice){ in.p, (size_t)(end + 4 - in.p) };
	if (r->head.len < 14 || memcmp(in.p, "HTTP/1.1 ", 9) != 0) {
		client_finish(c, CLOSE_NONE, "not an HTTP answer");
		return 0;
	}
	r->status = atoi(in.p + 9);
	for (p = in.p; p <= end; p = eol + 2) {
		struct slice line;

		eol = memmem(p, (size_t)(end + 2 - p), "\r\n", 2);
		line = (struct slice){ p, (size_t)(eol - p) };
		if (header_is(line, "content-length", &value)) {
			r->sized = true;
			r->length = (size_t)scan_number(value);
		} else if (header_is(line, "transfer-encoding", &value)) {
			r->chunked = value.len == 7 && strncasecmp(value.p, "chunked", 7) == 0;
		} else if (header_is(line, "connection", &value)) {
			r->close = value.len == 5 && strncasecmp(value.p, "close", 5) == 0;
		}
	}
	return r->head.len;
}

static void
chunk_bytes(struct client *c, struct slice bytes)
{
	if (c->state == CLIENT_STREAM)
		c->ops->on_stream(c, bytes);
	else
		client_buf_add(&c->msg, bytes.p, bytes.len);
}

static void
chunks_end(struct client *c)
{
	c->in_chunked = false;
	if (c->state == CLIENT_STREAM) {
		client_finish(c, CLOSE_NONE, "the stream ended");
		return;
	}
	c->response.body = client_buf_slice(&c->msg);
	c->ops->on_response(c, &c->response);
	client_buf_reset(&c->msg);
}

static size_t
digest_chunked(struct client *c, struct slice in)
{
	const char *eol;
	size_t n;

	if (c->chunk_phase == CHUNK_DATA) {
		n = in.len < c->chunk_left ? in.len : c->chunk_left;
		c->chunk_left -= n;
		if (c->chunk_left == 0)
			c->chunk_phase = CHUNK_CRLF;
		chunk_bytes(c, (struct slice){ in.p, n });
		return n;
	}
	eol = memmem(in.p, in.len, "\r\n", 2);
	if (eol == NULL)
		return 0;
	n = (size_t)(eol + 2 - in.p);
	if (c->chunk_phase == CHUNK_SIZE) {
		char *end;

		c->chunk_left = strtoul(in.p, &end, 16);
		c->chunk_phase = c->chunk_left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
		if (end != eol || end == in.p)
			client_finish(c, CLOSE_NONE, "a bad chunk size");
	} else if (c->chunk_phase == CHUNK_CRLF) {
		c->chunk_phase = CHUNK_SIZE;
		if (n != 2)
			client_finish(c, CLOSE_NONE, "a chunk is longer than it said");
	} else if (n == 2) {
		chunks_end(c);
	}
	return n;
}

static size_t
on_upgraded(struct client *c, struct slice in)
{
	struct response r;
	size_t n = parse_head(c, in, &r);
	char why[64];

	if (n == 0)
		return 0;
	if (r.status != 101 ||
	    memmem(in.p, n, CLIENT_SAMPLE_ACCEPT, strlen(CLIENT_SAMPLE_ACCEPT)) == NULL) {
		snprintf(why, sizeof why, "the upgrade was answered %d", r.status);
		client_finish(c, CLOSE_NONE, why);
		return n;
	}
	client_arrived();
	c->state = CLIENT_WS;
	c->ops->on_open(c);
	return n;
}

static size_t
digest_http(struct client *c, struct slice in)
{
	struct response r;
	size_t n = parse_head(c, in, &r);

	if (n == 0)
		return 0;
	if (c->ops->on_stream_head != NULL && c->ops->on_stream_head(c, &r)) {
		c->state = CLIENT_STREAM;
	} else if (c->state == CLIENT_CLOSED) {
		return n;
	} else if (r.sized) {
		if (r.length > in.len - n)
			return 0;
		r.body = (struct slice){ in.p + n, r.length };
		c->ops->on_response(c, &r);
		return n + r.length;
	} else if (!r.chunked) {
		client_finish(c, CLOSE_NONE, "an answer without a length");
		return n;
	}
	if (r.chunked) {
		c->in_chunked = true;
		c->chunk_phase = CHUNK_SIZE;
		c->response = r;
	}
	return n;
}

/* --- all of it --- */

static size_t
digest_one(struct client *c, struct slice in)
{
	if (c->state == CLIENT_WS || c->state == CLIENT_CLOSING)
		return digest_ws(c, in);
	if (c->in_chunked)
		return digest_chunked(c, in);
	if (c->state == CLIENT_STREAM) {
		c->ops->on_stream(c, in);
		return in.len;
	}
	if (c->state == CLIENT_UPGRADING)
		return on_upgraded(c, in);
	return digest_http(c, in);
}

size_t
client_digest(struct client *c, struct slice in)
{
	size_t used = 0;

	while (used < in.len && c->state != CLIENT_CLOSED) {
		size_t n = digest_one(c, (struct slice){ in.p + used, in.len - used });

		if (n == 0)
			break;
		used += n;
	}
	return used;
}
