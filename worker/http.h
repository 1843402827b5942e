/*
 * HTTP/1.1 connections (RFC 9110, 9112): requests out of bytes, answers into replies.
 */
#ifndef PLENUM_WORKER_HTTP_H
#define PLENUM_WORKER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker/http1.h"

struct message;
struct worker;

/* A request while it is executed. Borrowed from the caller's stack. */
struct http {
	struct worker *w;
	struct message *m;
	const struct http_request *rq;
	const char *p;			/* the head, what rq's spans are relative to */
	const char *body;		/* decoded */
	size_t body_len;
	char channel[160];		/* the {channel} of the path, decoded */
	size_t channel_len;
	unsigned allow;			/* bits of enum http_verb that the path knows */
	bool close;			/* the connection ends after this answer */
};

/* Errors by name: one table for HTTP and the dialects. */
#define HTTP_ERRORS(X) \
	X(BAD_REQUEST, 400, "bad_request") \
	X(UNAUTHORIZED, 401, "unauthorized") \
	X(FORBIDDEN, 403, "forbidden") \
	X(NOT_FOUND, 404, "not_found") \
	X(METHOD_NOT_ALLOWED, 405, "method_not_allowed") \
	X(TIMEOUT, 408, "timeout") \
	X(CONFLICT, 409, "conflict") \
	X(TOO_LARGE, 413, "too_large") \
	X(UNSUPPORTED_TYPE, 415, "unsupported_type") \
	X(EXPECTATION_FAILED, 417, "expectation_failed") \
	X(UPGRADE_REQUIRED, 426, "upgrade_required") \
	X(RATE_LIMITED, 429, "rate_limited") \
	X(HEADER_TOO_LARGE, 431, "header_too_large") \
	X(INTERNAL, 500, "internal") \
	X(BAD_GATEWAY, 502, "bad_gateway") \
	X(UNAVAILABLE, 503, "unavailable") \
	X(FULL, 503, "full") \
	X(DRAINING, 503, "draining") \
	X(GATEWAY_TIMEOUT, 504, "gateway_timeout") \
	X(VERSION, 505, "version_not_supported")

enum http_error {
#define X(name, status, code) HTTP_ERROR_##name,
	HTTP_ERRORS(X)
#undef X
	HTTP_ERROR_COUNT
};

/* Takes one request. >0: bytes processed, 0: more is needed, -1: no room to answer now. */
ssize_t http_take(struct worker *w, uint32_t ci, uint64_t off, const unsigned char *p, size_t n);

/* ---- answers ---- */

/* The line X-Request-Id: the client's own, or a UUID. Every answer carries one. */
void http_put_request_id(struct http *h);

/* A whole answer with its body; type may be NULL if there is none. extra: header lines or "". */
void http_answer(struct http *h, unsigned status, const char *type, const void *body, size_t n,
    const char *extra);

/* An answer whose body follows as a stream: everything up to the empty line. */
void http_answer_head(struct http *h, unsigned status, const char *type, const char *extra);

/* The error's JSON. */
void http_error(struct http *h, enum http_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* 503 and close for a connection over the limit, or one that timed out (408), without a request. */
void http_refuse(struct message *m);
void http_timed_out(struct message *m);

/* ---- what handlers ask of a request ---- */

/* The value of a field, or NULL; *n its length. */
const char *http_header(const struct http *h, const char *name, size_t *n);
/*
 * A query parameter, decoded into out; -1 if it is not there. One that does not fit or is badly
 * encoded is an empty one, which nobody takes for a value.
 */
ssize_t http_query(const struct http *h, const char *name, char *out, size_t cap);
/* True if the Accept field prefers this type over everything. */
bool http_accepts(const struct http *h, const char *type);

#endif
