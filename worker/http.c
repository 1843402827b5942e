/*
 * A request is executed when it is complete: its head checked and parsed, its body behind it in the
 * same bytes. What cannot be executed is answered and closed, because the next request's beginning
 * is not known. The parsers are pure (http1.c); nothing of a half-read request is kept but hints
 * how far its bytes were examined, which an heir does without.
 *
 * 100 Continue is a message without input: (in_done, its bytes) with the effect CONTINUED.
 */
#define _GNU_SOURCE
#include "worker/http.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipc/heritage.h"
#include "worker/json.h"
#include "worker/message.h"
#include "worker/priv.h"
#include "worker/routes.h"
#include "worker/text.h"

enum { BODY_MAX = EVENT_MAX, REQUEST_ID_MAX = 128 };

/* ---- statuses ---- */

static const struct {
	unsigned status;
	const char *reason;
} reasons[] = {
	{ 101, "Switching Protocols" }, { 200, "OK" }, { 202, "Accepted" }, { 204, "No Content" },
	{ 304, "Not Modified" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
	{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
	{ 408, "Request Timeout" }, { 409, "Conflict" }, { 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" }, { 417, "Expectation Failed" },
	{ 426, "Upgrade Required" }, { 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
	{ 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
};

static const char *
reason_of(unsigned status)
{
	size_t i;

	for (i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

static const struct {
	unsigned status;
	const char *code;
} errors[] = {
#define X(name, status, code) { status, code },
	HTTP_ERRORS(X)
#undef X
};
_Static_assert(sizeof errors / sizeof errors[0] == HTTP_ERROR_COUNT, "a line per error");

/* ---- answers ---- */

const char *
http_header(const struct http *h, const char *name, size_t *n)
{
	const struct http_field *f = h->rq == NULL ? NULL : http_field_find(h->rq, h->p, name);

	if (f == NULL)
		return NULL;
	*n = f->value.len;
	return h->p + f->value.off;
}

static bool
is_printable(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return n > 0;
}

/* IMF-fixdate (RFC 9110, 5.6.7), made once a second. */
static const char *
date_of(uint64_t now_ms)
{
	static char text[40];
	static time_t made;
	time_t t = (time_t)(now_ms / 1000);
	struct tm tm;

	if (t != made) {
		gmtime_r(&t, &tm);
		strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		made = t;
	}
	return text;
}

void
http_put_request_id(struct http *h)
{
	size_t n;
	const char *id = http_header(h, "X-Request-Id", &n);

	message_text(h->m, "X-Request-Id: ");
	if (id != NULL && n <= REQUEST_ID_MAX && is_printable(id, n))
		message_put(h->m, id, n);
	else
		uuid_put((char *)message_room(h->m, UUID_LEN));
	message_text(h->m, "\r\n");
}

/* cors_origins; empty: any on loopback without authentication, else none. */
static void
put_cors(struct http *h)
{
	const struct settings *s = &h->w->set;
	size_t n;
	const char *origin = http_header(h, "Origin", &n);

	if (s->cors_origins[0] == '\0') {
		if (s->loopback && s->auth == SETTINGS_AUTH_NONE)
			message_text(h->m, "Access-Control-Allow-Origin: *\r\n");
		return;
	}
	if (origin != NULL && routes_origin_matches(s->cors_origins, origin, n))
		message_printf(
		    h->m, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n", (int)n, origin);
}

static void
put_head(struct http *h, unsigned status, const char *type, const char *extra)
{
	stat_http_add(h->w->stats, status);
	message_text(h->m, "HTTP/1.1 ");
	message_number(h->m, status);
	message_text(h->m, " ");
	message_text(h->m, reason_of(status));
	message_text(h->m, "\r\nDate: ");
	message_text(h->m, date_of(h->w->now_real));
	message_text(h->m, "\r\n");
	http_put_request_id(h);
	put_cors(h);
	if (type != NULL) {
		message_text(h->m, "Content-Type: ");
		message_text(h->m, type);
		message_text(h->m, "\r\n");
	}
	message_text(h->m, extra);
	if (h->close) {
		message_text(h->m, "Connection: close\r\n");
		message_state(h->m, CONN_CLOSE, 0);
	} else if (h->rq != NULL && h->rq->minor == 0)
		message_text(h->m, "Connection: keep-alive\r\n");
}

void
http_answer_head(struct http *h, unsigned status, const char *type, const char *extra)
{
	put_head(h, status, type, extra);
	message_text(h->m, "\r\n");
}

void
http_answer(struct http *h, unsigned status, const char *type, const void *body, size_t n,
    const char *extra)
{
	put_head(h, status, type, extra);
	if (status != 204 && status != 304) {
		message_text(h->m, "Content-Length: ");
		message_number(h->m, n);
		message_text(h->m, "\r\n");
	}
	message_text(h->m, "\r\n");
	if (n > 0 && (h->rq == NULL || h->rq->method != HTTP_VERB_HEAD))
		message_put(h->m, body, n);
}

static void
error_text(struct http *h, enum http_error e, const char *text, const char *extra)
{
	char body[1024];
	int n = snprintf(body, sizeof body, "{\"error\":\"%s\",\"message\":", errors[e].code);

	n += (int)json_string_encode(body + n, sizeof body - (size_t)n - 2, text,
	    strnlen(text, 400));
	body[n++] = '}';
	http_answer(h, errors[e].status, "application/json", body, (size_t)n, extra);
}

void
http_error(struct http *h, enum http_error e, const char *fmt, ...)
{
	char text[400], extra[160] = "";
	unsigned status = errors[e].status;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (status == 409 || status == 429 || status == 503)
		snprintf(extra, sizeof extra, "Retry-After: 1\r\n");
	if (status == 405)
		routes_allow(h->allow, extra, sizeof extra);
	if (status == 426)
		snprintf(
		    extra, sizeof extra, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
	error_text(h, e, text, extra);
}

/* An answer to what is no request. */
static void
answer_without(struct message *m, enum http_error e, const char *text)
{
	struct http h = { .w = m->w, .m = m, .close = true };

	http_error(&h, e, "%s", text);
}

void
http_refuse(struct message *m)
{
	answer_without(m, HTTP_ERROR_FULL, "this worker has as many connections as it may have");
}

void
http_timed_out(struct message *m)
{
	answer_without(m, HTTP_ERROR_TIMEOUT, "the request did not arrive in time");
}

/* ---- what handlers ask ---- */

ssize_t
http_query(const struct http *h, const char *name, char *out, size_t cap)
{
	struct http_span v;
	const char *q = h->p + h->rq->query.off;
	ssize_t n;

	if (!http_query_get(q, h->rq->query.len, name, &v))
		return -1;
	n = http_percent_decode(q + v.off, v.len, out, cap - 1);
	if (n < 0)
		n = 0;
	out[n] = '\0';
	return n;
}

bool
http_accepts(const struct http *h, const char *type)
{
	size_t n, i, k = strlen(type);
	const char *a = http_header(h, "Accept", &n);

	for (i = 0; a != NULL && i + k <= n; i++)
		if (strncasecmp(a + i, type, k) == 0)
			return true;
	return false;
}

/* ---- taking requests ---- */

static enum http_error
error_of_status(int status)
{
	enum http_error e;

	for (e = 0; e < HTTP_ERROR_COUNT; e++)
		if (errors[e].status == (unsigned)status)
			return e;
	return HTTP_ERROR_BAD_REQUEST;
}

/* Refuses what is there, n bytes, and closes. */
static ssize_t
refuse(struct worker *w, uint32_t ci, uint64_t off, size_t n, enum http_why why)
{
	struct http h = { .w = w, .close = true };
	struct message m;

	if (!message_begin(w, ci, off, off + n, &m))
		return -1;
	h.m = &m;
	http_error(&h, error_of_status(http_why_status(why)), "%s", http_why_name(why));
	message_commit(&m);
	return (ssize_t)n;
}

static ssize_t
say_continue(struct worker *w, uint32_t ci, uint64_t off)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct message m;

	if (!message_begin(w, ci, off, off, &m))
		return -1;
	message_put(&m, text, sizeof text - 1);
	message_state(&m, CONN_CONTINUED, 0);
	message_commit(&m);
	return 0;
}

/* The body behind the head. >0: its bytes on the wire (+ 1), 0: more is needed, -1: refused. */
static ssize_t
body_of(struct worker *w, uint32_t ci, const struct http_request *rq, const char *p, size_t n,
    struct http *h, enum http_why *why)
{
	struct priv *pr = &w->priv[ci];
	uint64_t max = w->set.max_body < BODY_MAX ? w->set.max_body : BODY_MAX;
	ssize_t r;

	h->body = p;
	h->body_len = 0;
	if (rq->chunked) {
		r = http_chunks_scan(p, n, &pr->body_pos, &pr->body_total, max, why);
		if (r > 0) {
			h->body_len =
			    http_chunks_decode(p, (size_t)r, (char *)w->body, sizeof w->body);
			h->body = (const char *)w->body;
		}
		return r > 0 ? r + 1 : r;
	}
	if (rq->content_length > max) {
		*why = HTTP_WHY_BODY_TOO_LARGE;
		return -1;
	}
	if (n < rq->content_length)
		return 0;
	h->body_len = (size_t)rq->content_length;
	return (ssize_t)rq->content_length + 1;
}

static void
execute(struct http *h)
{
	struct worker *w = h->w;

	w->requests++;
	word_set(&w->slot->requests, w->requests);
	h->close = !h->rq->keep_alive || w->draining || word32_get(&w->r->head->stopping) != 0;
	message_state(h->m, CONN_USED, CONN_CONTINUED);
	routes_dispatch(h);
}

ssize_t
http_take(struct worker *w, uint32_t ci, uint64_t off, const unsigned char *bytes, size_t n)
{
	const char *p = (const char *)bytes;
	static struct http_request rq;		/* large, and used by one request at a time */
	struct http h = { .w = w, .rq = &rq, .p = p };
	enum http_why why = HTTP_WHY_NONE;
	struct message m;
	ssize_t head, body;

	head = http_head_parse(p, n, w->set.max_header, &w->priv[ci].scan, &rq, &why);
	if (head < 0)
		return refuse(w, ci, off, n, why);
	if (head == 0)
		return 0;
	body = body_of(w, ci, &rq, p + head, n - (size_t)head, &h, &why);
	if (body < 0)
		return refuse(w, ci, off, n, why);
	w->priv[ci].in_body = body == 0;
	if (body == 0) {
		if (n == BLOCK_SIZE - offsetof(struct block, data))
			return refuse(
			    w, ci, off, n, HTTP_WHY_BODY_TOO_LARGE); /* no room for more */
		if (rq.expect_continue && rq.minor > 0 && !conn_has(conn_at(w, ci), CONN_CONTINUED))
			return say_continue(w, ci, off);
		return 0;
	}
	if (!message_begin(w, ci, off, off + (size_t)head + (size_t)body - 1, &m))
		return -1;
	h.m = &m;
	execute(&h);
	message_commit(&m);
	return head + body - 1;
}
