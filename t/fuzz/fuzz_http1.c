/*
 * Request heads. The first byte picks the part and where the bytes are cut in two. Besides memory
 * errors it looks for a result that depends on the cut, and for spans outside the head.
 */
#include "worker/http1.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect_inside(struct http_span s, size_t n)
{
	assert(s.off <= n && s.len <= n - s.off);
}

static void
check_request(const struct http_request *rq, const char *p, size_t n)
{
	uint32_t i;

	assert(rq->nfields <= HTTP_FIELDS_MAX && rq->minor <= 1);
	assert(!(rq->chunked && rq->has_length));
	assert(rq->minor == 0 || rq->host.len > 0);
	expect_inside(rq->verb, n);
	expect_inside(rq->target, n);
	expect_inside(rq->path, n);
	expect_inside(rq->query, n);
	expect_inside(rq->host, n);
	assert(rq->path.len > 0 && (p[rq->path.off] == '/' || p[rq->path.off] == '*'));
	for (i = 0; i < rq->nfields; i++) {
		expect_inside(rq->field[i].name, n);
		expect_inside(rq->field[i].value, n);
		assert(rq->field[i].name.len > 0);
		assert(memchr(p + rq->field[i].value.off, '\n', rq->field[i].value.len) == NULL);
	}
}

static void
fuzz_head(const char *p, size_t n, size_t cut)
{
	struct http_request a, b;
	enum http_why why;
	size_t whole = 0, parts = 0;
	ssize_t rc, early;

	rc = http_head_parse(p, n, 4096, &whole, &a, &why);
	assert((rc < 0) == (why != HTTP_WHY_NONE) && rc <= (ssize_t)n && rc <= 4096);
	if (rc > 0)
		check_request(&a, p, (size_t)rc);
	early = http_head_parse(p, cut, 4096, &parts, &b, &why);
	if (early == 0)
		early = http_head_parse(p, n, 4096, &parts, &b, &why);
	/* Behind a complete head the cut may lie in what is not looked at. */
	assert(early == rc);
	if (rc > 0)
		assert(a.nfields == b.nfields && a.content_length == b.content_length &&
		    memcmp(&a.target, &b.target, sizeof a.target) == 0);
}

/* As many bytes as there are, one more at each look, each time in a place of their own. */
static void
fuzz_trickle(const char *p, size_t n)
{
	struct http_request a, b;
	enum http_why why, late_why;
	size_t whole = 0, scanned = 0, have;
	ssize_t rc, late = 0;
	char *copy;

	rc = http_head_parse(p, n, 300, &whole, &a, &why);
	for (have = 0; have <= n && late == 0; have++) {
		copy = malloc(have > 0 ? have : 1);
		assert(copy != NULL);
		memcpy(copy, p, have);
		late = http_head_parse(copy, have, 300, &scanned, &b, &late_why);
		if (late > 0)
			check_request(&b, copy, have);
		free(copy);
	}
	assert(late == rc && late_why == why);
	if (rc > 0)
		assert(a.nfields == b.nfields && a.keep_alive == b.keep_alive &&
		    a.chunked == b.chunked && a.has_length == b.has_length &&
		    a.content_length == b.content_length && a.method == b.method);
}

static void
fuzz_small(const char *p, size_t n)
{
	char out[64];
	struct http_span s;
	ssize_t rc;

	rc = http_percent_decode(p, n, out, sizeof out);
	assert(rc <= (ssize_t)n && rc <= (ssize_t)sizeof out);
	if (http_query_get(p, n, "since", &s))
		expect_inside(s, n);
	(void)http_list_has(p, n, "upgrade");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n, cut;
	char *p;

	if (size < 1)
		return 0;
	/* A copy of exact size, so that one byte too far is seen. */
	n = size - 1;
	p = malloc(n > 0 ? n : 1);
	assert(p != NULL);
	memcpy(p, data + 1, n);
	cut = n * (data[0] >> 2) / 63;
	if ((data[0] & 3) == 0)
		fuzz_small(p, n);
	else if ((data[0] & 3) == 1)
		fuzz_trickle(p, n);
	else
		fuzz_head(p, n, cut);
	assert(memcmp(p, data + 1, n) == 0);
	free(p);
	return 0;
}
