#ifndef PLENUM_WORKER_HTTP1_H
#define PLENUM_WORKER_HTTP1_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Request heads and chunked bodies of HTTP/1.0 and 1.1 (RFC 9112), read strictly: whatever two
 * parsers could take for different messages is refused. Pure functions: none blocks or
 * allocates.
 */

#define HTTP_VERBS(X) \
	X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(OPTIONS) X(PATCH) X(OTHER)

enum http_verb {
#define X(name) HTTP_VERB_##name,
	HTTP_VERBS(X)
#undef X
	HTTP_VERB_MAX
};

/* Why a request is refused: name, status of the answer, sentence. */
#define HTTP_WHYS(X) \
	X(NONE, 200, "no error") \
	X(HEAD_TOO_LARGE, 431, "the request head is too large") \
	X(TOO_MANY_FIELDS, 431, "the request has too many header fields") \
	X(LINE_END, 400, "a line does not end in CR LF") \
	X(METHOD, 400, "the method is not a token") \
	X(REQUEST_LINE, 400, "the request line is not a method, a target and a version") \
	X(TARGET, 400, "the request target is malformed") \
	X(VERSION_FORM, 400, "the version of the request is malformed") \
	X(VERSION, 505, "the version is neither HTTP/1.0 nor HTTP/1.1") \
	X(FOLDED, 400, "a header field is folded over several lines") \
	X(FIELD_NAME, 400, "the name of a header field is malformed") \
	X(FIELD_VALUE, 400, "a header field contains a control character") \
	X(HOST_MISSING, 400, "the Host field is missing") \
	X(HOST_REPEATED, 400, "the Host field is repeated") \
	X(HOST, 400, "the Host field is malformed") \
	X(LENGTH, 400, "the Content-Length field is malformed") \
	X(LENGTH_REPEATED, 400, "the Content-Length field is repeated") \
	X(LENGTH_AND_CODING, 400, "Content-Length and Transfer-Encoding exclude each other") \
	X(CODING_REPEATED, 400, "the Transfer-Encoding field is repeated") \
	X(CODING_VERSION, 400, "HTTP/1.0 has no Transfer-Encoding") \
	X(CODING, 400, "the only Transfer-Encoding supported is chunked") \
	X(EXPECT, 417, "the only expectation supported is 100-continue") \
	X(DISAGREE, 400, "the request head is ambiguous") \
	X(CHUNK_SIZE, 400, "the size of a chunk is malformed") \
	X(CHUNK_EXTENSION, 400, "the extension of a chunk is malformed") \
	X(CHUNK_END, 400, "a chunk does not end in CR LF") \
	X(TRAILER, 400, "the trailer section is malformed or too large") \
	X(BODY_TOO_LARGE, 413, "the request body is too large")

enum http_why {
#define X(name, status, text) HTTP_WHY_##name,
	HTTP_WHYS(X)
#undef X
	HTTP_WHY_MAX
};

#define HTTP_FIELDS_MAX 64
#define HTTP_TRAILER_MAX 4096	/* bytes of trailer fields behind a chunked body */

/* A part of the caller's bytes, by offset from their start: stays valid when the buffer moves. */
struct http_span {
	uint32_t off;
	uint32_t len;
};

struct http_field {
	struct http_span name;
	struct http_span value;		/* without the whitespace around it */
};

struct http_request {
	enum http_verb method;
	struct http_span verb;		/* the method as sent */
	struct http_span target;	/* as sent */
	struct http_span path;		/* "/..." or "*"; never empty, not decoded */
	struct http_span query;		/* behind the '?'; len 0 if there is none */
	struct http_span host;		/* of the target, else the Host field; len 0: none */
	unsigned minor;			/* HTTP/1.minor: 0 or 1 */
	bool keep_alive;		/* the connection may serve another request */
	bool chunked;
	bool has_length;
	bool expect_continue;
	bool upgrade_websocket;		/* Connection has upgrade, Upgrade has websocket */
	uint64_t content_length;	/* 0 without has_length */
	uint32_t nfields;
	struct http_field field[HTTP_FIELDS_MAX];
};

/* "GET"; "OTHER" for methods without a name here: rq->verb has their text. */
const char *http_verb_name(enum http_verb verb);
/* A sentence for the client and the log, and the status that belongs to it. */
const char *http_why_name(enum http_why why);
int http_why_status(enum http_why why);

/*
 * Parses one request head of at most max bytes (its empty line included) at p. >0: its length,
 * *rq is filled and *scanned is 0 for the next head; 0: need more; -1: refused, *why set,
 * close after answering. One CR LF before the request line is skipped (RFC 9112, 2.2) and
 * counts for the length. *scanned is 0 for a new head and kept by the caller between calls
 * over the same head, whose bytes may have moved: with it a head that trickles in costs linear
 * time. max is at most UINT32_MAX. p is not modified.
 */
ssize_t http_head_parse(const char *p, size_t n, size_t max, size_t *scanned,
    struct http_request *rq, enum http_why *why);

/* The first field of that name (any case), or NULL. Borrowed from rq. */
const struct http_field *http_field_find(const struct http_request *rq, const char *p,
    const char *name);

/* True if the comma separated list contains the token (any case). */
bool http_list_has(const char *value, size_t n, const char *token);

/* True if any field of that name lists the token. */
bool http_field_has(const struct http_request *rq, const char *p, const char *name,
    const char *token);

/*
 * Validates a chunked body (RFC 9112, 7.1) as far as it is there. *pos, the offset of the next
 * unexamined chunk line, and *total, the data bytes of the chunks before it, start as 0 and
 * are kept between calls. >0: length of the whole body with its trailer section; 0: need more;
 * -1: refused, *why set. max bounds the data bytes; a chunk that would exceed it is refused as
 * soon as its size is known. What is spent besides the data is bounded too, so a body on
 * the wire is never longer than 16K and nine times its data, plus a trailer section.
 */
ssize_t http_chunks_scan(const char *p, size_t n, size_t *pos, uint64_t *total, uint64_t max,
    enum http_why *why);

/*
 * Copies the data of a chunked body of n bytes, which http_chunks_scan() accepted whole, to
 * out; out does not overlap p, and cap is at least the total of the scan. Returns the bytes
 * copied.
 */
size_t http_chunks_decode(const char *p, size_t n, char *out, size_t cap);

/*
 * Undoes percent-encoding (RFC 3986, 2.1; '+' stays as it is, %00 becomes a zero byte).
 * Returns the length; -1 if a '%' is not followed by two hex digits or the result is longer
 * than cap. out may be p.
 */
ssize_t http_percent_decode(const char *p, size_t n, char *out, size_t cap);

/*
 * The raw value of the first parameter of that name in the query q (name=value pairs between
 * '&'), as a span relative to q; names are compared as they stand, undecoded. False if there
 * is none.
 */
bool http_query_get(const char *q, size_t n, const char *name, struct http_span *value);

#endif
