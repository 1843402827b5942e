/* Request heads and chunked bodies: what passes, what is refused how, and every split. */
#include "worker/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#define MAX 16384
#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct http_request rq;
static enum http_why why;

/* Parses a copy without a byte to spare, so that a sanitizer sees any read beyond it. */
static ssize_t
parse(const char *text, size_t n, size_t max)
{
	char *copy = malloc(n > 0 ? n : 1);
	size_t scanned = 0;
	ssize_t rc;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, n);
	rc = http_head_parse(copy, n, max, &scanned, &rq, &why);
	ck_assert_mem_eq(copy, text, n);
	free(copy);
	return rc;
}

static void
expect_span(const char *p, struct http_span s, const char *want)
{
	ck_assert_msg(s.len == strlen(want) && memcmp(p + s.off, want, s.len) == 0,
	    "got '%.*s', want '%s'", (int)s.len, p + s.off, want);
}

static const char upgrade[] =
    "GET /ws/a%20b?token=x&v=2 HTTP/1.1\r\n"
    "Host: example.org:8080\r\n"
    "Connection: keep-alive, Upgrade\r\n"
    "Upgrade: WebSocket\r\n"
    "Empty:\r\n"
    "Sec-WebSocket-Key: \t dGhlIHNhbXBsZSBub25jZQ== \t\r\n"
    "X-Name: J\xc3\xbcrgen\r\n"
    "\r\n";

static void
expect_upgrade(const char *p)
{
	ck_assert_uint_eq(rq.method, HTTP_VERB_GET);
	expect_span(p, rq.verb, "GET");
	expect_span(p, rq.target, "/ws/a%20b?token=x&v=2");
	expect_span(p, rq.path, "/ws/a%20b");
	expect_span(p, rq.query, "token=x&v=2");
	expect_span(p, rq.host, "example.org:8080");
	ck_assert_uint_eq(rq.minor, 1);
	ck_assert(rq.keep_alive && rq.upgrade_websocket);
	ck_assert(!rq.chunked && !rq.has_length && !rq.expect_continue);
	ck_assert_uint_eq(rq.nfields, 6);
	expect_span(p, rq.field[3].name, "Empty");
	expect_span(p, rq.field[3].value, "");
	expect_span(p, rq.field[4].value, "dGhlIHNhbXBsZSBub25jZQ==");
	expect_span(p, rq.field[5].value, "J\xc3\xbcrgen");
}

START_TEST(upgrade_request_is_understood)
{
	ck_assert_int_eq(parse(upgrade, sizeof upgrade - 1, MAX), sizeof upgrade - 1);
	expect_upgrade(upgrade);
	ck_assert_ptr_eq(http_field_find(&rq, upgrade, "sec-websocket-KEY"), &rq.field[4]);
	ck_assert_ptr_null(http_field_find(&rq, upgrade, "sec-websocket"));
	ck_assert(http_field_has(&rq, upgrade, "connection", "upgrade"));
	ck_assert(!http_field_has(&rq, upgrade, "connection", "close"));
}
END_TEST

START_TEST(head_may_be_split_anywhere)
{
	size_t cut, scanned, n = sizeof upgrade - 1;

	for (cut = 0; cut < n; cut++) {
		ck_assert_int_eq(parse(upgrade, cut, MAX), 0);
		scanned = 0;
		ck_assert_int_eq(http_head_parse(upgrade, cut, MAX, &scanned, &rq, &why), 0);
		ck_assert_uint_le(scanned, cut);
		ck_assert_int_eq(http_head_parse(upgrade, n, MAX, &scanned, &rq, &why),
		    (ssize_t)n);
		ck_assert_uint_eq(scanned, 0);
		expect_upgrade(upgrade);
	}
}
END_TEST

START_TEST(head_may_come_byte_by_byte_behind_an_empty_line)
{
	char text[sizeof upgrade + 2];
	size_t i, scanned = 0, n;

	n = (size_t)snprintf(text, sizeof text, "\r\n%s", upgrade);
	for (i = 1; i < n; i++) {
		ck_assert_int_eq(http_head_parse(text, i, MAX, &scanned, &rq, &why), 0);
		/* Nothing is searched twice. */
		ck_assert(scanned == i || i == 1);
	}
	ck_assert_int_eq(http_head_parse(text, n, MAX, &scanned, &rq, &why), (ssize_t)n);
	expect_upgrade(text);
}
END_TEST

START_TEST(bytes_behind_the_head_are_left_alone)
{
	static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /\n";
	size_t head = sizeof text - 1 - strlen("GET /\n");

	ck_assert_int_eq(parse(text, sizeof text - 1, MAX), head);
	ck_assert(rq.has_length);
	ck_assert_uint_eq(rq.content_length, 5);
	/* The limit is for the head alone. */
	ck_assert_int_eq(parse(text, sizeof text - 1, head), head);
	ck_assert_int_eq(parse(text, sizeof text - 1, head - 1), -1);
	ck_assert_int_eq(http_why_status(why), 431);
}
END_TEST

static const struct {
	const char *text;
	const char *path, *query, *host;
	enum http_verb verb;
} accepted[] = {
	{ "GET / HTTP/1.0\r\n\r\n", "/", "", "", HTTP_VERB_GET },
	{ "HEAD /a?b HTTP/1.1\r\nHost: h\r\n\r\n", "/a", "b", "h", HTTP_VERB_HEAD },
	{ "PUT /a? HTTP/1.1\r\nHost: h:\r\n\r\n", "/a", "", "h:", HTTP_VERB_PUT },
	{ "DELETE /?a?b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "/", "a?b", "[::1]:80",
	    HTTP_VERB_DELETE },
	{ "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "*", "", "h", HTTP_VERB_OPTIONS },
	{ "PATCH //x HTTP/1.1\r\nhOST:h\r\n\r\n", "//x", "", "h", HTTP_VERB_PATCH },
	{ "GET http://t:1/p?q HTTP/1.1\r\nHost: h\r\n\r\n", "/p", "q", "t:1", HTTP_VERB_GET },
	{ "GET HTTP://t HTTP/1.1\r\nHost: h\r\n\r\n", "/", "", "t", HTTP_VERB_GET },
	{ "GET https://t?q HTTP/1.1\r\nHost: h\r\n\r\n", "/", "q", "t", HTTP_VERB_GET },
	{ "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", "/pot", "", "h", HTTP_VERB_OTHER },
	{ "get / HTTP/1.1\r\nHost: h\r\n\r\n", "/", "", "h", HTTP_VERB_OTHER },
	{ "M-SEARCH / HTTP/1.1\r\nHost: h\r\n\r\n", "/", "", "h", HTTP_VERB_OTHER },
	{ "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n", "/", "", "h", HTTP_VERB_OTHER },
	{ "GETS / HTTP/1.1\r\nHost: h\r\n\r\n", "/", "", "h", HTTP_VERB_OTHER },
	{ "GET /{}|\\^`\"<> HTTP/1.1\r\nHost: h\r\n\r\n", "/{}|\\^`\"<>", "", "h", HTTP_VERB_GET },
};

START_TEST(request_is_accepted)
{
	const char *text = accepted[_i].text;
	size_t n = strlen(text), i;

	ck_assert_msg(parse(text, n, MAX) == (ssize_t)n, "%s: %s", text, http_why_name(why));
	ck_assert_uint_eq(rq.method, accepted[_i].verb);
	expect_span(text, rq.path, accepted[_i].path);
	expect_span(text, rq.query, accepted[_i].query);
	expect_span(text, rq.host, accepted[_i].host);
	ck_assert_mem_eq(text, text + rq.verb.off, rq.verb.len);
	for (i = 0; i < n; i++)
		ck_assert_int_eq(parse(text, i, MAX), 0);
}
END_TEST

#define H "Host: h\r\n"
#define GET "GET / HTTP/1.1\r\n" H
#define POST "POST / HTTP/1.1\r\n" H

static const struct {
	const char *text;
	enum http_why why;
	int status;
} refused[] = {
	/* request line */
	{ "GET / HTTP/1.1\nHost: h\n\n", HTTP_WHY_LINE_END, 400 },
	{ "\nGET / HTTP/1.1\r\n" H "\r\n", HTTP_WHY_LINE_END, 400 },
	{ "\rGET / HTTP/1.1\r\n" H "\r\n", HTTP_WHY_LINE_END, 400 },
	{ "\r\n\r\n" GET "\r\n", HTTP_WHY_METHOD, 400 },
	{ " GET / HTTP/1.1\r\n" H "\r\n", HTTP_WHY_METHOD, 400 },
	{ "\x16\x03\x01\x02", HTTP_WHY_METHOD, 400 },
	{ "G@T / HTTP/1.1\r\n" H "\r\n", HTTP_WHY_METHOD, 400 },
	{ "GET\t/ HTTP/1.1\r\n" H "\r\n", HTTP_WHY_METHOD, 400 },
	{ "GET\r\n" H "\r\n", HTTP_WHY_REQUEST_LINE, 400 },
	{ "GET /\r\n" H "\r\n", HTTP_WHY_REQUEST_LINE, 400 },
	{ "GET  / HTTP/1.1\r\n" H "\r\n", HTTP_WHY_REQUEST_LINE, 400 },
	{ "GET  HTTP/1.1\r\n" H "\r\n", HTTP_WHY_REQUEST_LINE, 400 },
	{ "GET /  HTTP/1.1\r\n" H "\r\n", HTTP_WHY_VERSION_FORM, 400 },
	{ "GET / HTTP/1.1 \r\n" H "\r\n", HTTP_WHY_VERSION_FORM, 400 },
	{ "GET / HTTP/1.1\r\r\n" H "\r\n", HTTP_WHY_VERSION_FORM, 400 },
	{ "GET / http/1.1\r\n" H "\r\n", HTTP_WHY_VERSION_FORM, 400 },
	{ "GET / HTTP/1.10\r\n" H "\r\n", HTTP_WHY_VERSION_FORM, 400 },
	{ "GET / HTTP/1\r\n" H "\r\n", HTTP_WHY_VERSION_FORM, 400 },
	{ "GET / ICE/1.0\r\n" H "\r\n", HTTP_WHY_VERSION_FORM, 400 },
	{ "GET /a b HTTP/1.1\r\n" H "\r\n", HTTP_WHY_VERSION_FORM, 400 },
	{ "PRI * HTTP/2.0\r\n\r\n", HTTP_WHY_VERSION, 505 },
	{ "GET / HTTP/9.9\r\n" H "\r\n", HTTP_WHY_VERSION, 505 },
	{ "GET / HTTP/1.2\r\n" H "\r\n", HTTP_WHY_VERSION, 505 },
	{ "GET / HTTP/0.9\r\n" H "\r\n", HTTP_WHY_VERSION, 505 },
	/* target */
	{ "GET x HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET /\xc3\xbc HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET /a\tb HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET /a\x7f HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET /a#b HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET * HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "OPTIONS ** HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "CONNECT h:80 HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET ftp://h/ HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET http:// HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET http:/// HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET http://u@h/ HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	{ "GET http:/h/ HTTP/1.1\r\n" H "\r\n", HTTP_WHY_TARGET, 400 },
	/* Host */
	{ "GET / HTTP/1.1\r\n\r\n", HTTP_WHY_HOST_MISSING, 400 },
	{ "GET http://h/ HTTP/1.1\r\n\r\n", HTTP_WHY_HOST_MISSING, 400 },
	{ GET "Host: h\r\n\r\n", HTTP_WHY_HOST_REPEATED, 400 },
	{ "GET / HTTP/1.0\r\n" H H "\r\n", HTTP_WHY_HOST_REPEATED, 400 },
	{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: h:80x\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: h:80:80\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: []\r\n\r\n", HTTP_WHY_HOST, 400 },
	{ "GET / HTTP/1.1\r\nHost: \xc3\xbc\r\n\r\n", HTTP_WHY_HOST, 400 },
	/* form of fields */
	{ GET "A : b\r\n\r\n", HTTP_WHY_FIELD_NAME, 400 },
	{ GET "Content-Length : 3\r\n\r\n", HTTP_WHY_FIELD_NAME, 400 },
	{ GET "A\t: b\r\n\r\n", HTTP_WHY_FIELD_NAME, 400 },
	{ GET ": b\r\n\r\n", HTTP_WHY_FIELD_NAME, 400 },
	{ GET "novalue\r\n\r\n", HTTP_WHY_FIELD_NAME, 400 },
	{ GET "A(: b\r\n\r\n", HTTP_WHY_FIELD_NAME, 400 },
	{ GET "\xc3\xbc: b\r\n\r\n", HTTP_WHY_FIELD_NAME, 400 },
	{ GET "\rA: b\r\n\r\n", HTTP_WHY_FIELD_NAME, 400 },
	{ GET "A: b\r\n c\r\n\r\n", HTTP_WHY_FOLDED, 400 },
	{ GET "A: b\r\n\t\r\n\r\n", HTTP_WHY_FOLDED, 400 },
	{ "GET / HTTP/1.1\r\n " H "\r\n", HTTP_WHY_FOLDED, 400 },
	{ GET "A: b\nC: d\r\n\r\n", HTTP_WHY_LINE_END, 400 },
	{ GET "A: b\r\n\n", HTTP_WHY_LINE_END, 400 },
	{ GET "A: b\rC: d\r\n\r\n", HTTP_WHY_LINE_END, 400 },
	{ GET "A: b\r\r\n\r\n", HTTP_WHY_LINE_END, 400 },
	{ GET "A: b\x01\r\n\r\n", HTTP_WHY_FIELD_VALUE, 400 },
	{ GET "A: b\x7f\r\n\r\n", HTTP_WHY_FIELD_VALUE, 400 },
	/* where the message ends */
	{ POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", HTTP_WHY_LENGTH_REPEATED, 400 },
	{ POST "Content-Length: 3\r\ncontent-length: 3\r\n\r\n", HTTP_WHY_LENGTH_REPEATED, 400 },
	{ POST "Content-Length: 3, 3\r\n\r\n", HTTP_WHY_LENGTH, 400 },
	{ POST "Content-Length: +3\r\n\r\n", HTTP_WHY_LENGTH, 400 },
	{ POST "Content-Length: -3\r\n\r\n", HTTP_WHY_LENGTH, 400 },
	{ POST "Content-Length: 0x3\r\n\r\n", HTTP_WHY_LENGTH, 400 },
	{ POST "Content-Length: 3 3\r\n\r\n", HTTP_WHY_LENGTH, 400 },
	{ POST "Content-Length:\r\n\r\n", HTTP_WHY_LENGTH, 400 },
	{ POST "Content-Length: 18446744073709551621\r\n\r\n", HTTP_WHY_LENGTH, 400 },
	{ POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
	    HTTP_WHY_LENGTH_AND_CODING, 400 },
	{ POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
	    HTTP_WHY_LENGTH_AND_CODING, 400 },
	{ POST "Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
	    HTTP_WHY_LENGTH_AND_CODING, 400 },
	{ POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	    HTTP_WHY_CODING_REPEATED, 400 },
	{ POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
	    HTTP_WHY_CODING_REPEATED, 400 },
	{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_WHY_CODING_VERSION, 400 },
	{ POST "Transfer-Encoding: gzip, chunked\r\n\r\n", HTTP_WHY_CODING, 400 },
	{ POST "Transfer-Encoding: chunked, identity\r\n\r\n", HTTP_WHY_CODING, 400 },
	{ POST "Transfer-Encoding: xchunked\r\n\r\n", HTTP_WHY_CODING, 400 },
	{ POST "Transfer-Encoding: chunkedx\r\n\r\n", HTTP_WHY_CODING, 400 },
	{ POST "Transfer-Encoding: \"chunked\"\r\n\r\n", HTTP_WHY_CODING, 400 },
	{ POST "Transfer-Encoding: chunked;q=1\r\n\r\n", HTTP_WHY_CODING, 400 },
	{ POST "Transfer-Encoding:\r\n\r\n", HTTP_WHY_CODING, 400 },
	{ POST "Transfer-Encoding: identity\r\n\r\n", HTTP_WHY_CODING, 400 },
	{ POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n", HTTP_WHY_FIELD_VALUE, 400 },
	/* http-parser takes this name for the real one. */
	{ POST "Transfer-Encodingg: x\r\n\r\n", HTTP_WHY_DISAGREE, 400 },
	{ POST "Expect: 200-ok\r\n\r\n", HTTP_WHY_EXPECT, 417 },
	{ POST "Expect:\r\n\r\n", HTTP_WHY_EXPECT, 417 },
};

START_TEST(request_is_refused)
{
	const char *text = refused[_i].text;

	ck_assert_msg(parse(text, strlen(text), MAX) == -1, "accepted: %s", text);
	ck_assert_msg(why == refused[_i].why, "%s: %s", text, http_why_name(why));
	ck_assert_int_eq(http_why_status(why), refused[_i].status);
}
END_TEST

START_TEST(zero_byte_is_refused_wherever_it_stands)
{
	char text[] = "GET /p HTTP/1.1\r\nHost: h\r\nName: value\r\n\r\n";
	size_t i, n = sizeof text - 1;
	char kept;

	for (i = 0; i < n - 4; i++) {
		kept = text[i];
		text[i] = '\0';
		ck_assert_msg(parse(text, n, MAX) == -1, "at %zu", i);
		text[i] = kept;
	}
	ck_assert_int_eq(parse(text, n, MAX), n);
}
END_TEST

/* A head with so many fields besides Host, each of them "a:b". */
static size_t
many_fields(char *text, size_t cap, unsigned count)
{
	size_t n = (size_t)snprintf(text, cap, "%s", GET);

	while (count-- > 0)
		n += (size_t)snprintf(text + n, cap - n, "a:b\r\n");
	return n + (size_t)snprintf(text + n, cap - n, "\r\n");
}

START_TEST(number_of_fields_is_bounded)
{
	char text[2048];
	size_t n;

	n = many_fields(text, sizeof text, HTTP_FIELDS_MAX - 1);
	ck_assert_int_eq(parse(text, n, MAX), n);
	ck_assert_uint_eq(rq.nfields, HTTP_FIELDS_MAX);
	n = many_fields(text, sizeof text, HTTP_FIELDS_MAX);
	ck_assert_int_eq(parse(text, n, MAX), -1);
	ck_assert_int_eq(why, HTTP_WHY_TOO_MANY_FIELDS);
	ck_assert_int_eq(http_why_status(why), 431);
}
END_TEST

START_TEST(endless_head_is_refused_at_the_limit)
{
	char text[600];

	memset(text, 'a', sizeof text);
	memcpy(text, "GET /", 5);
	ck_assert_int_eq(parse(text, 511, 512), 0);
	ck_assert_int_eq(parse(text, 512, 512), -1);
	ck_assert_int_eq(why, HTTP_WHY_HEAD_TOO_LARGE);
	ck_assert_int_eq(http_why_status(why), 431);
	ck_assert_int_eq(parse(text, 600, 512), -1);
}
END_TEST

START_TEST(head_larger_than_the_librarys_own_limit_passes)
{
	size_t n, pad = 200000;
	char *text = malloc(pad + 100);

	ck_assert_ptr_nonnull(text);
	n = (size_t)snprintf(text, 100, "%sBig: ", GET);
	memset(text + n, 'x', pad);
	memcpy(text + n + pad, "\r\n\r\n", 4);
	ck_assert_int_eq(parse(text, n + pad + 4, 1 << 20), n + pad + 4);
	ck_assert_uint_eq(rq.field[1].value.len, pad);
	free(text);
}
END_TEST

static const struct {
	const char *text;
	bool keep, chunked, expect, upgrade;
} flags[] = {
	{ GET "\r\n", true, false, false, false },
	{ GET "Connection: close\r\n\r\n", false, false, false, false },
	{ GET "Connection: x\r\nConnection: y , Close\r\n\r\n", false, false, false, false },
	{ GET "Connection: closed\r\n\r\n", true, false, false, false },
	{ "GET / HTTP/1.0\r\n\r\n", false, false, false, false },
	{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false, false, false },
	{ "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false, false, false, false },
	{ "GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n", false, false, false, false },
	{ POST "Transfer-Encoding: Chunked \r\n\r\n", true, true, false, false },
	{ POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", true, false, true, false },
	{ "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", false, false, false, false },
	{ GET "Connection: upgrade\r\nUpgrade: h2c, websocket\r\n\r\n", true, false, false, true },
	{ GET "Connection: upgrade\r\nUpgrade: websockets\r\n\r\n", true, false, false, false },
	{ GET "Upgrade: websocket\r\n\r\n", true, false, false, false },
	{ GET "Proxy-Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	    true, false, false, false },
	{ "BREW / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", true, true, false, false },
};

START_TEST(flags_follow_the_fields)
{
	const char *text = flags[_i].text;

	ck_assert_int_eq(parse(text, strlen(text), MAX), strlen(text));
	ck_assert_msg(rq.keep_alive == flags[_i].keep, "keep: %s", text);
	ck_assert_msg(rq.chunked == flags[_i].chunked, "chunked: %s", text);
	ck_assert_msg(rq.expect_continue == flags[_i].expect, "expect: %s", text);
	ck_assert_msg(rq.upgrade_websocket == flags[_i].upgrade, "upgrade: %s", text);
}
END_TEST

START_TEST(list_is_searched_by_whole_items)
{
	ck_assert(http_list_has("a, Upgrade ,b", 13, "upgrade"));
	ck_assert(http_list_has("upgrade", 7, "Upgrade"));
	ck_assert(http_list_has(",,\tx", 4, "x"));
	ck_assert(!http_list_has("upgraded", 8, "upgrade"));
	ck_assert(!http_list_has("upgrad", 6, "upgrade"));
	ck_assert(!http_list_has("up grade", 8, "grade"));
	ck_assert(!http_list_has("", 0, "x"));
	ck_assert(!http_list_has("xy", 1, "xy"));
}
END_TEST

static ssize_t
scan(const char *text, size_t n, size_t *pos, uint64_t *total, uint64_t max)
{
	char *copy = malloc(n > 0 ? n : 1);
	ssize_t rc;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, n);
	rc = http_chunks_scan(copy, n, pos, total, max, &why);
	free(copy);
	return rc;
}

static const char chunked[] =
    "5\r\nhello\r\n1;name=\"v v\"\r\n \r\n00000006\r\nwor\r\nl\r\n0\r\nTrailer: x\r\n\r\n";

START_TEST(chunked_body_is_scanned_and_decoded)
{
	size_t pos = 0, n = sizeof chunked - 1;
	uint64_t total = 0;
	char out[12];

	ck_assert_int_eq(scan(chunked, n, &pos, &total, 12), n);
	ck_assert_uint_eq(total, 12);
	ck_assert_uint_eq(http_chunks_decode(chunked, n, out, sizeof out), 12);
	ck_assert_mem_eq(out, "hello wor\r\nl", 12);
}
END_TEST

START_TEST(chunked_body_may_be_split_anywhere)
{
	size_t pos, cut, all = 0, n = sizeof chunked - 1;
	uint64_t total, all_total = 0;

	for (cut = 0; cut < n; cut++) {
		pos = 0;
		total = 0;
		ck_assert_int_eq(scan(chunked, cut, &pos, &total, 100), 0);
		ck_assert_int_eq(scan(chunked, n, &pos, &total, 100), n);
		ck_assert_uint_eq(total, 12);
		ck_assert_int_eq(scan(chunked, cut, &all, &all_total, 100), 0);
	}
	ck_assert_int_eq(scan(chunked, n, &all, &all_total, 100), n);
	ck_assert_uint_eq(all_total, 12);
}
END_TEST

static const struct {
	const char *text;
	enum http_why why;
} chunks_refused[] = {
	{ "\r\n", HTTP_WHY_CHUNK_SIZE },
	{ " 1\r\na\r\n", HTTP_WHY_CHUNK_SIZE },
	{ "1 \r\na\r\n", HTTP_WHY_CHUNK_SIZE },
	{ "1 zz\r\na\r\n", HTTP_WHY_CHUNK_SIZE },
	{ "0x1\r\na\r\n", HTTP_WHY_CHUNK_SIZE },
	{ "-1\r\na\r\n", HTTP_WHY_CHUNK_SIZE },
	{ "+1\r\na\r\n", HTTP_WHY_CHUNK_SIZE },
	{ "g\r\n", HTTP_WHY_CHUNK_SIZE },
	{ "000000001\r\na\r\n", HTTP_WHY_CHUNK_SIZE },
	{ "1\na\r\n", HTTP_WHY_CHUNK_SIZE },
	{ "1\rxa\r\n", HTTP_WHY_LINE_END },
	{ "1;\r\na\r\n", HTTP_WHY_CHUNK_EXTENSION },
	{ "1; a\r\na\r\n", HTTP_WHY_CHUNK_EXTENSION },
	{ "1;a\nb\r\n", HTTP_WHY_CHUNK_EXTENSION },
	{ "1;a\x01\r\na\r\n", HTTP_WHY_CHUNK_EXTENSION },
	{ "1;a\x80\r\na\r\n", HTTP_WHY_CHUNK_EXTENSION },
	{ "1\r\nab\r\n", HTTP_WHY_CHUNK_END },
	{ "1\r\na\n", HTTP_WHY_CHUNK_END },
	{ "1\r\na\rx", HTTP_WHY_CHUNK_END },
	{ "0\r\nA : b\r\n\r\n", HTTP_WHY_TRAILER },
	{ "0\r\nA: b\n\r\n", HTTP_WHY_TRAILER },
	{ "0\r\n A: b\r\n\r\n", HTTP_WHY_TRAILER },
	{ "0\r\n\n", HTTP_WHY_TRAILER },
	{ "65\r\n", HTTP_WHY_BODY_TOO_LARGE },
	{ "ffffffff\r\n", HTTP_WHY_BODY_TOO_LARGE },
	{ "1\r\na\r\n64\r\n", HTTP_WHY_BODY_TOO_LARGE },
};

START_TEST(chunked_body_is_refused)
{
	const char *text = chunks_refused[_i].text;
	size_t pos = 0;
	uint64_t total = 0;

	ck_assert_msg(scan(text, strlen(text), &pos, &total, 100) == -1, "accepted: %s", text);
	ck_assert_msg(why == chunks_refused[_i].why, "%s: %s", text, http_why_name(why));
	ck_assert_int_eq(http_why_status(why), why == HTTP_WHY_BODY_TOO_LARGE ? 413 : 400);
}
END_TEST

START_TEST(trailer_section_is_bounded)
{
	char text[HTTP_TRAILER_MAX + 16];
	size_t pos = 0;
	uint64_t total = 0;

	memset(text, 'a', sizeof text);
	memcpy(text, "0\r\nA:", 5);
	ck_assert_int_eq(scan(text, HTTP_TRAILER_MAX + 2, &pos, &total, 1), 0);
	ck_assert_int_eq(scan(text, HTTP_TRAILER_MAX + 3, &pos, &total, 1), -1);
	ck_assert_int_eq(why, HTTP_WHY_TRAILER);
	memcpy(text + HTTP_TRAILER_MAX - 1, "\r\n\r\n", 4);
	ck_assert_int_eq(scan(text, sizeof text, &pos, &total, 1), HTTP_TRAILER_MAX + 3);
}
END_TEST

START_TEST(extension_is_bounded_alone_and_in_sum)
{
	char line[300];
	size_t pos = 0, n, have, cap = 260 * 2000;
	uint64_t total = 0;
	char *body = malloc(cap);
	ssize_t rc = 0;

	ck_assert_ptr_nonnull(body);
	n = (size_t)snprintf(line, sizeof line, "1;%0256d\r\na\r\n", 7);
	memcpy(body, line, n);
	ck_assert_int_eq(scan(body, n, &pos, &total, 5000), 0);
	ck_assert_uint_eq(total, 1);
	for (have = n; rc == 0 && cap - have > n; have += n) {
		memcpy(body + have, line, n);
		rc = http_chunks_scan(body, have + n, &pos, &total, 5000, &why);
	}
	ck_assert_int_eq(rc, -1);
	ck_assert_int_eq(why, HTTP_WHY_CHUNK_EXTENSION);
	ck_assert_uint_le(have, 16384 + 9 * total + 2 * n);
	(void)snprintf(line, sizeof line, "1;%0257d\r\na\r\n", 7);
	pos = 0;
	total = 0;
	ck_assert_int_eq(scan(line, n + 1, &pos, &total, 5000), -1);
	ck_assert_int_eq(why, HTTP_WHY_CHUNK_EXTENSION);
	free(body);
}
END_TEST

START_TEST(body_of_single_byte_chunks_passes)
{
	enum { CHUNKS = 20000 };
	char *body = malloc(6 * CHUNKS + 5), *out = malloc(CHUNKS);
	size_t pos = 0, i;
	uint64_t total = 0;

	ck_assert(body != NULL && out != NULL);
	for (i = 0; i < CHUNKS; i++)
		memcpy(body + 6 * i, "1\r\nz\r\n", 6);
	memcpy(body + 6 * CHUNKS, "0\r\n\r\n", 5);
	ck_assert_int_eq(scan(body, 6 * CHUNKS + 5, &pos, &total, CHUNKS), 6 * CHUNKS + 5);
	ck_assert_uint_eq(http_chunks_decode(body, 6 * CHUNKS + 5, out, CHUNKS), CHUNKS);
	free(body);
	free(out);
}
END_TEST

START_TEST(percent_encoding_is_undone_or_refused)
{
	char out[8], text[] = "%41%62c";

	ck_assert_int_eq(http_percent_decode("a%2Fb%2f+", 9, out, sizeof out), 5);
	ck_assert_mem_eq(out, "a/b/+", 5);
	ck_assert_int_eq(http_percent_decode("%00%ff", 6, out, sizeof out), 2);
	ck_assert_mem_eq(out, "\0\xff", 2);
	ck_assert_int_eq(http_percent_decode("", 0, out, sizeof out), 0);
	ck_assert_int_eq(http_percent_decode("%", 1, out, sizeof out), -1);
	ck_assert_int_eq(http_percent_decode("%4", 2, out, sizeof out), -1);
	ck_assert_int_eq(http_percent_decode("%4g", 3, out, sizeof out), -1);
	ck_assert_int_eq(http_percent_decode("%%41", 4, out, sizeof out), -1);
	ck_assert_int_eq(http_percent_decode("12345678", 8, out, sizeof out), 8);
	ck_assert_int_eq(http_percent_decode("123456789", 9, out, sizeof out), -1);
	ck_assert_int_eq(http_percent_decode(text, 7, text, 7), 3);
	ck_assert_mem_eq(text, "Abc", 3);
}
END_TEST

START_TEST(query_parameters_are_found_by_whole_name)
{
	static const char q[] = "since=5&x&=y&since=6&e=&last=a=b";
	struct http_span v;

	ck_assert(http_query_get(q, sizeof q - 1, "since", &v));
	expect_span(q, v, "5");
	ck_assert(http_query_get(q, sizeof q - 1, "x", &v));
	expect_span(q, v, "");
	ck_assert(http_query_get(q, sizeof q - 1, "e", &v));
	expect_span(q, v, "");
	ck_assert(http_query_get(q, sizeof q - 1, "last", &v));
	expect_span(q, v, "a=b");
	ck_assert(!http_query_get(q, sizeof q - 1, "las", &v));
	ck_assert(!http_query_get(q, sizeof q - 1, "y", &v));
	ck_assert(!http_query_get("", 0, "x", &v));
}
END_TEST

START_TEST(every_reason_has_a_sentence_and_a_status)
{
	int i;

	for (i = HTTP_WHY_NONE + 1; i < HTTP_WHY_MAX; i++) {
		ck_assert_uint_gt(strlen(http_why_name((enum http_why)i)), 10);
		ck_assert_int_ge(http_why_status((enum http_why)i), 400);
		ck_assert_int_lt(http_why_status((enum http_why)i), 600);
	}
	ck_assert_str_eq(http_verb_name(HTTP_VERB_DELETE), "DELETE");
	ck_assert_str_eq(http_verb_name(HTTP_VERB_OTHER), "OTHER");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("worker/http1");
	TCase *head = tcase_create("head"), *body = tcase_create("body");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, head);
	tcase_add_test(head, upgrade_request_is_understood);
	tcase_add_test(head, head_may_be_split_anywhere);
	tcase_add_test(head, head_may_come_byte_by_byte_behind_an_empty_line);
	tcase_add_test(head, bytes_behind_the_head_are_left_alone);
	tcase_add_loop_test(head, request_is_accepted, 0, (int)COUNT(accepted));
	tcase_add_loop_test(head, request_is_refused, 0, (int)COUNT(refused));
	tcase_add_loop_test(head, flags_follow_the_fields, 0, (int)COUNT(flags));
	tcase_add_test(head, zero_byte_is_refused_wherever_it_stands);
	tcase_add_test(head, number_of_fields_is_bounded);
	tcase_add_test(head, endless_head_is_refused_at_the_limit);
	tcase_add_test(head, head_larger_than_the_librarys_own_limit_passes);
	tcase_add_test(head, list_is_searched_by_whole_items);
	tcase_add_test(head, every_reason_has_a_sentence_and_a_status);
	suite_add_tcase(s, body);
	tcase_add_test(body, chunked_body_is_scanned_and_decoded);
	tcase_add_test(body, chunked_body_may_be_split_anywhere);
	tcase_add_loop_test(body, chunked_body_is_refused, 0, (int)COUNT(chunks_refused));
	tcase_add_test(body, trailer_section_is_bounded);
	tcase_add_test(body, extension_is_bounded_alone_and_in_sum);
	tcase_add_test(body, body_of_single_byte_chunks_passes);
	tcase_add_test(body, percent_encoding_is_undone_or_refused);
	tcase_add_test(body, query_parameters_are_found_by_whole_name);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
