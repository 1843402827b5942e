/*
 * Chunked bodies, where a wrong end is a smuggled request. A reader of this file's own decides
 * what the bytes are, byte by byte and without looking back; the product must come to the same:
 *
 *   - in one call over all bytes
 *   - in calls over as many bytes as the input says, the bytes in a new place at each
 *   - refused bytes stay refused, a complete body is complete at its last byte and not before,
 *     whatever follows it
 *
 * The first byte picks the limit of the data, the second the cuts.
 */
#include "worker/http1.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The product's own limits, beside that of the data. */
enum { DIGITS_MAX = 8, EXTENSION_MAX = 256, SPENT_MAX = 16384 };

enum state { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, LINE, NAME, VALUE, LINE_LF, END_LF };

/* What the bytes are. len: of the body, if it is complete; have: of its data. */
struct reading {
	enum state state;
	unsigned digits;
	size_t extension;		/* bytes behind the ';' */
	uint64_t left, total, max;
	size_t at;			/* bytes read */
	size_t trailer;			/* bytes of the trailer section so far */
	unsigned char *out;
	bool bad, done;
};

static bool
is_token(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static int
hex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

static void
read_size(struct reading *r, unsigned char c)
{
	if (hex(c) >= 0) {
		r->left = r->left << 4 | (unsigned)hex(c);
		r->bad = ++r->digits > DIGITS_MAX;
	} else if (r->digits == 0 || (c != ';' && c != '\r'))
		r->bad = true;
	else {
		r->state = c == ';' ? EXTENSION : SIZE_LF;
		r->extension = 0;
	}
}

static void
read_extension(struct reading *r, unsigned char c)
{
	if (c == '\r' && r->extension > 0)
		r->state = SIZE_LF;
	else
		r->bad = c < 0x20 || c > 0x7e || (r->extension == 0 && !is_token(c)) ||
		    ++r->extension > EXTENSION_MAX;
}

/* The size of a chunk is known: is there room for it? */
static void
read_size_end(struct reading *r, unsigned char c)
{
	r->bad = c != '\n' || r->left > r->max - r->total || (r->left > 0 &&
	    r->at + 1 - r->total > SPENT_MAX + 8 * (r->total + r->left));
	r->state = r->left > 0 ? DATA : LINE;
}

static void
read_trailer(struct reading *r, unsigned char c)
{
	switch (r->state) {
	case LINE:
		r->state = c == '\r' ? END_LF : NAME;
		r->bad = c != '\r' && !is_token(c);
		break;
	case NAME:
		if (c == ':')
			r->state = VALUE;
		else
			r->bad = !is_token(c);
		break;
	case VALUE:
		if (c == '\r')
			r->state = LINE_LF;
		else
			r->bad = (c < 0x20 && c != '\t') || c == 0x7f;
		break;
	case LINE_LF:
		r->state = LINE;
		r->bad = c != '\n';
		break;
	default:
		r->done = c == '\n';
		r->bad = c != '\n';
		break;
	}
	if (++r->trailer == HTTP_TRAILER_MAX && !r->done)
		r->bad = true;
}

static void
read_byte(struct reading *r, unsigned char c)
{
	switch (r->state) {
	case SIZE:
		read_size(r, c);
		break;
	case EXTENSION:
		read_extension(r, c);
		break;
	case SIZE_LF:
		read_size_end(r, c);
		break;
	case DATA:
		r->out[r->total++] = c;
		if (--r->left == 0)
			r->state = DATA_CR;
		break;
	case DATA_CR:
		r->bad = c != '\r';
		r->state = DATA_LF;
		break;
	case DATA_LF:
		r->bad = c != '\n';
		r->state = SIZE;
		r->digits = 0;
		break;
	default:
		read_trailer(r, c);
		break;
	}
}

/* The length of the body at p if it is one, 0 if it is not complete, -1 if it is none. */
static ssize_t
read_all(struct reading *r, const char *p, size_t n)
{
	while (r->at < n && !r->bad && !r->done) {
		read_byte(r, (unsigned char)p[r->at]);
		r->at++;
	}
	return r->bad ? -1 : r->done ? (ssize_t)r->at : 0;
}

/* One look at the first n bytes, which lie where they have never lain, and no byte behind them. */
static ssize_t
look(const char *p, size_t n, size_t *pos, uint64_t *total, uint64_t max, enum http_why *why)
{
	char *copy = malloc(n > 0 ? n : 1);
	ssize_t rc;

	assert(copy != NULL);
	memcpy(copy, p, n);
	rc = http_chunks_scan(copy, n, pos, total, max, why);
	assert((rc < 0) == (*why != HTTP_WHY_NONE) && rc <= (ssize_t)n);
	assert(*pos <= n && *total <= max && *total <= *pos);
	free(copy);
	return rc;
}

/* A step of 1 to 64 bytes, by a few bits of the input. */
static size_t
step(unsigned *cuts)
{
	*cuts = *cuts * 1103515245u + 12345;
	return (*cuts >> 16 & 63) >> (*cuts >> 24 & 7);
}

static ssize_t
scan_in_steps(const char *p, size_t n, uint64_t max, unsigned cuts, uint64_t *total,
    enum http_why *why)
{
	size_t pos = 0, have = 0;
	ssize_t rc;

	*total = 0;
	do {
		have += 1 + (cuts == 0 ? 0 : step(&cuts));
		if (have > n)
			have = n;
		rc = look(p, have, &pos, total, max, why);
	} while (rc == 0 && have < n);
	return rc;
}

static void
check_body(const char *p, size_t n, const struct reading *r)
{
	char *out = malloc(r->total + 1);

	assert(out != NULL);
	assert(http_chunks_decode(p, n, out, r->total) == r->total);
	assert(memcmp(out, r->out, r->total) == 0);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reading r = { .state = SIZE };
	enum http_why why, parts_why;
	uint64_t max, total = 0, parts_total = 0;
	size_t n, pos = 0;
	ssize_t rc, want;
	const char *p;

	if (size < 2)
		return 0;
	max = r.max = data[0] < 8 ? data[0] : (uint64_t)1 << (data[0] & 15);
	p = (const char *)data + 2;
	n = size - 2;
	r.out = malloc(n + 1);
	assert(r.out != NULL);
	want = read_all(&r, p, n);
	rc = look(p, n, &pos, &total, max, &why);
	/* A line of the trailer section is looked at when it is complete. */
	assert(rc == want || (rc == 0 && want < 0 && r.state >= LINE));
	if (rc > 0) {
		assert(total == r.total && total <= max);
		check_body(p, (size_t)rc, &r);
	}
	assert(scan_in_steps(p, n, max, data[1], &parts_total, &parts_why) == rc);
	assert(parts_why == why && parts_total == total);
	free(r.out);
	return 0;
}
