/*
 * HTTP/1 request heads and chunked bodies
 *
 * A head is found first: line feeds are searched from where the last call stopped, and each
 * must follow a carriage return, so that the end of the head is never a matter of opinion.
 * Once the empty line is there the head is read twice. The first reading is a strict check of
 * our own against RFC 9112: single blanks in the request line, a target of known form, nothing
 * between field name and colon, no folding, no control characters, one Host, one
 * Content-Length or one Transfer-Encoding that is exactly "chunked". The second is
 * http-parser, which is lenient about much of that but has met more requests than anybody: it
 * fills the result. If what the two found about the framing differs, or http-parser refuses
 * what the check accepted, the request is refused: two readings of one head are what request
 * smuggling is made of.
 *
 * http-parser knows a closed list of methods. For one that has no name in our table it is fed
 * "PUT" in place of the method, so that any token passes and the caller answers 405.
 *
 * Chunked bodies have their own small scanner. Between calls it remembers only the offset of
 * the chunk line to look at next, and reads that line again when more bytes are there. The
 * bytes a chunked body spends besides its data are bounded in proportion to the data, because
 * who buffers a body buffers them too.
 */
#include "worker/http1.h"

#include <assert.h>
#include <string.h>

#include <http_parser.h>

static const char *const http_verb_names[] = {
#define X(name) #name,
	HTTP_VERBS(X)
#undef X
};
_Static_assert(sizeof http_verb_names / sizeof *http_verb_names == HTTP_VERB_MAX, "http verbs");

static const struct {
	int status;
	const char *text;
} http_whys[] = {
#define X(name, status, text) { status, text },
	HTTP_WHYS(X)
#undef X
};
_Static_assert(sizeof http_whys / sizeof *http_whys == HTTP_WHY_MAX, "http reasons");

#define CHUNK_DIGITS_MAX 8
#define CHUNK_EXTENSION_MAX 256
/* A body of single byte chunks spends five bytes per byte; more is not needed. */
#define CHUNK_OVERHEAD(total) (UINT64_C(16384) + 8 * (total))

const char *
http_verb_name(enum http_verb verb)
{
	return (unsigned)verb < HTTP_VERB_MAX ? http_verb_names[verb] : "unknown";
}

const char *
http_why_name(enum http_why why)
{
	return (unsigned)why < HTTP_WHY_MAX ? http_whys[why].text : "unknown";
}

int
http_why_status(enum http_why why)
{
	return (unsigned)why < HTTP_WHY_MAX ? http_whys[why].status : 400;
}

static bool
refuse(enum http_why *why, enum http_why reason)
{
	*why = reason;
	return false;
}

/* RFC 9110, 5.6.2 */
static inline bool
is_token(char c)
{
	switch (c) {
	case 'a' ... 'z': case 'A' ... 'Z': case '0' ... '9':
	case '!': case '#': case '$': case '%': case '&': case '\'': case '*': case '+':
	case '-': case '.': case '^': case '_': case '`': case '|': case '~':
		return true;
	default:
		return false;
	}
}

/* RFC 9110, 5.5: visible, blank, tab, or above 0x7f */
static inline bool
is_value(char c)
{
	unsigned char u = (unsigned char)c;

	return (u >= 0x20 && u != 0x7f) || u == '\t';
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* True if the n bytes at p are s in any case; independent of the locale. */
static bool
same(const char *p, size_t n, const char *s)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (s[i] == '\0' || lower(p[i]) != lower(s[i]))
			return false;
	}
	return s[n] == '\0';
}

static size_t
token_run(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && is_token(p[i]))
		i++;
	return i;
}

static struct http_span
span_of(size_t off, size_t len)
{
	struct http_span s = { (uint32_t)off, (uint32_t)len };

	return s;
}

/* Takes the optional whitespace off both ends. */
static struct http_span
span_trim(const char *p, size_t off, size_t len)
{
	while (len > 0 && (p[off] == ' ' || p[off] == '\t')) {
		off++;
		len--;
	}
	while (len > 0 && (p[off + len - 1] == ' ' || p[off + len - 1] == '\t'))
		len--;
	return span_of(off, len);
}

/*
 * Looks for the empty line. 1: *start and *end are the bounds of the head; 0: not there yet,
 * *scanned tells how far it was searched; -1: refused.
 */
static int
find_head(const char *p, size_t n, size_t max, size_t *scanned, size_t *start, size_t *end,
    enum http_why *why)
{
	size_t limit = n < max ? n : max, i;
	const char *lf;

	*start = 0;
	if (n > 0 && p[0] == '\r') {
		if (n == 1)
			return 0;
		*start = 2;
	}
	if (*start == 2 ? p[1] != '\n' : n > 0 && p[0] == '\n')
		return refuse(why, HTTP_WHY_LINE_END), -1;
	if (n > *start && !is_token(p[*start]))
		return refuse(why, HTTP_WHY_METHOD), -1;
	i = *scanned > *start ? *scanned : *start;
	while (i < limit && (lf = memchr(p + i, '\n', limit - i)) != NULL) {
		i = (size_t)(lf - p) + 1;
		if (i - *start < 2 || p[i - 2] != '\r')
			return refuse(why, HTTP_WHY_LINE_END), -1;
		if (i - *start >= 4 && p[i - 3] == '\n') {
			*end = i;
			return 1;
		}
	}
	*scanned = limit;
	if (n >= max)
		return refuse(why, HTTP_WHY_HEAD_TOO_LARGE), -1;
	return 0;
}

/* What the strict reading of a head remembers. */
struct check {
	const char *p;
	struct http_request *rq;
	struct http_span host;		/* value of the Host field */
	uint32_t nfields;
	unsigned minor;
	bool has_host, has_length, has_coding, coding_chunked;
};

static bool
port_valid(const char *p, size_t n)
{
	unsigned port = 0;
	size_t i;

	if (n > 5)
		return false;
	for (i = 0; i < n; i++) {
		if (!is_digit(p[i]))
			return false;
		port = port * 10 + (unsigned)(p[i] - '0');
	}
	return port <= 65535;
}

/*
 * uri-host [":" port] of RFC 9110, 7.2, narrowed to names as they are registered and used: no
 * percent-encoding, no delimiters (a comma is what a proxy leaves that merged two Host fields).
 */
static bool
host_valid(const char *p, size_t n)
{
	size_t i = 0;

	if (n > 0 && p[0] == '[') {
		for (i = 1; i < n && (hex_value(p[i]) >= 0 || p[i] == ':' || p[i] == '.'); i++)
			continue;
		if (i < 3 || i == n || p[i] != ']')
			return false;
		i++;
	} else {
		while (i < n && (is_digit(p[i]) || (lower(p[i]) >= 'a' && lower(p[i]) <= 'z') ||
		    p[i] == '-' || p[i] == '.' || p[i] == '_' || p[i] == '~'))
			i++;
		if (i == 0)
			return false;
	}
	return i == n || (p[i] == ':' && port_valid(p + i + 1, n - i - 1));
}

/* Path and query of what stands behind the authority: len bytes at off, which start with '/'. */
static void
split_path(struct check *ck, size_t off, size_t len)
{
	const char *mark = memchr(ck->p + off, '?', len);
	size_t path = mark == NULL ? len : (size_t)(mark - ck->p) - off;

	ck->rq->path = span_of(off, path);
	ck->rq->query = mark == NULL ? span_of(off + len, 0) :
	    span_of(off + path + 1, len - path - 1);
}

/* http://authority[/path][?query], RFC 9112, 3.2.2 */
static bool
check_absolute(struct check *ck, size_t off, size_t len)
{
	const char *p = ck->p;
	size_t scheme, at, end = off + len;

	if (len > 7 && same(p + off, 7, "http://"))
		scheme = 7;
	else if (len > 8 && same(p + off, 8, "https://"))
		scheme = 8;
	else
		return false;
	for (at = off + scheme; at < end && p[at] != '/' && p[at] != '?'; at++)
		continue;
	ck->rq->host = span_of(off + scheme, at - off - scheme);
	if (!host_valid(p + off + scheme, at - off - scheme))
		return false;
	if (at < end && p[at] == '/') {
		split_path(ck, at, end - at);
		return true;
	}
	/* No path means the root: the last slash of "://" serves as its text. */
	ck->rq->path = span_of(off + scheme - 1, 1);
	ck->rq->query = at < end ? span_of(at + 1, end - at - 1) : span_of(end, 0);
	return true;
}

static bool
check_target(struct check *ck, size_t off, size_t len)
{
	const char *t = ck->p + off;
	size_t i;

	/* Visible ASCII; a fragment never goes over the wire. */
	for (i = 0; i < len; i++) {
		if (t[i] <= 0x20 || t[i] >= 0x7f || t[i] == '#')
			return false;
	}
	if (t[0] == '/') {
		split_path(ck, off, len);
		return true;
	}
	if (t[0] == '*') {
		ck->rq->path = span_of(off, 1);
		ck->rq->query = span_of(off + 1, 0);
		return len == 1 && ck->rq->method == HTTP_VERB_OPTIONS;
	}
	return check_absolute(ck, off, len);
}

/* The request line: len bytes at off, without its CR LF. */
static bool
check_request_line(struct check *ck, size_t off, size_t len, enum http_why *why)
{
	const char *line = ck->p + off, *blank, *v;
	size_t m = token_run(line, len), t;
	unsigned verb;

	if (m == len)
		return refuse(why, HTTP_WHY_REQUEST_LINE);
	if (m == 0 || line[m] != ' ')
		return refuse(why, HTTP_WHY_METHOD);
	for (verb = 0; verb < HTTP_VERB_OTHER; verb++) {
		if (strlen(http_verb_names[verb]) == m &&
		    memcmp(line, http_verb_names[verb], m) == 0)
			break;
	}
	ck->rq->method = (enum http_verb)verb;
	ck->rq->verb = span_of(off, m);
	blank = memchr(line + m + 1, ' ', len - m - 1);
	if (blank == NULL || blank == line + m + 1)
		return refuse(why, HTTP_WHY_REQUEST_LINE);
	t = (size_t)(blank - line);
	v = blank + 1;
	if (len - t - 1 != 8 || memcmp(v, "HTTP/", 5) != 0 || !is_digit(v[5]) || v[6] != '.' ||
	    !is_digit(v[7]))
		return refuse(why, HTTP_WHY_VERSION_FORM);
	if (v[5] != '1' || v[7] > '1')
		return refuse(why, HTTP_WHY_VERSION);
	ck->minor = (unsigned)(v[7] - '0');
	if (!check_target(ck, off + m + 1, t - m - 1))
		return refuse(why, HTTP_WHY_TARGET);
	return true;
}

/* One field line: len bytes at off, without CR LF. Trailer fields obey the same rules. */
static bool
check_field_form(const char *p, size_t off, size_t len, struct http_span *name,
    struct http_span *value, enum http_why *why)
{
	size_t m, i;

	if (p[off] == ' ' || p[off] == '\t')
		return refuse(why, HTTP_WHY_FOLDED);
	m = token_run(p + off, len);
	if (m == 0 || m == len || p[off + m] != ':')
		return refuse(why, HTTP_WHY_FIELD_NAME);
	for (i = off + m + 1; i < off + len; i++) {
		if (!is_value(p[i]))
			return refuse(why,
			    p[i] == '\r' ? HTTP_WHY_LINE_END : HTTP_WHY_FIELD_VALUE);
	}
	*name = span_of(off, m);
	*value = span_trim(p, off + m + 1, len - m - 1);
	return true;
}

/* 1..19 digits: they always fit 64 bits. */
static bool
length_valid(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (!is_digit(p[i]))
			return false;
	}
	return n >= 1 && n <= 19;
}

/* The fields that decide where the message ends and whom it is for. */
static bool
check_field(struct check *ck, struct http_span name, struct http_span value, enum http_why *why)
{
	const char *n = ck->p + name.off, *v = ck->p + value.off;

	if (same(n, name.len, "host")) {
		if (ck->has_host)
			return refuse(why, HTTP_WHY_HOST_REPEATED);
		if (!host_valid(v, value.len))
			return refuse(why, HTTP_WHY_HOST);
		ck->has_host = true;
		ck->host = value;
	} else if (same(n, name.len, "content-length")) {
		if (ck->has_length)
			return refuse(why, HTTP_WHY_LENGTH_REPEATED);
		if (!length_valid(v, value.len))
			return refuse(why, HTTP_WHY_LENGTH);
		ck->has_length = true;
	} else if (same(n, name.len, "transfer-encoding")) {
		if (ck->has_coding)
			return refuse(why, HTTP_WHY_CODING_REPEATED);
		ck->has_coding = true;
		ck->coding_chunked = same(v, value.len, "chunked");
	} else if (same(n, name.len, "expect")) {
		if (!same(v, value.len, "100-continue"))
			return refuse(why, HTTP_WHY_EXPECT);
		/* RFC 9110, 10.1.1: ignored in HTTP/1.0 */
		ck->rq->expect_continue = ck->minor == 1;
	}
	return true;
}

static bool
check_fields(struct check *ck, size_t off, size_t end, enum http_why *why)
{
	struct http_span name, value;
	const char *lf;
	size_t next;

	/* The last line is the empty one. */
	for (; off < end - 2; off = next) {
		lf = memchr(ck->p + off, '\n', end - off);
		assert(lf != NULL);
		next = (size_t)(lf - ck->p) + 1;
		if (++ck->nfields > HTTP_FIELDS_MAX)
			return refuse(why, HTTP_WHY_TOO_MANY_FIELDS);
		if (!check_field_form(ck->p, off, next - 2 - off, &name, &value, why) ||
		    !check_field(ck, name, value, why))
			return false;
	}
	return true;
}

/* The strict reading: sets all of *rq that the second reading does not. */
static bool
check_head(struct check *ck, size_t start, size_t end, enum http_why *why)
{
	const char *lf = memchr(ck->p + start, '\n', end - start);
	size_t line = (size_t)(lf - ck->p) + 1;

	if (!check_request_line(ck, start, line - 2 - start, why) ||
	    !check_fields(ck, line, end, why))
		return false;
	if (!ck->has_host && ck->minor == 1)
		return refuse(why, HTTP_WHY_HOST_MISSING);
	if (ck->has_coding && ck->minor == 0)
		return refuse(why, HTTP_WHY_CODING_VERSION);
	if (ck->has_coding && ck->has_length)
		return refuse(why, HTTP_WHY_LENGTH_AND_CODING);
	if (ck->has_coding && !ck->coding_chunked)
		return refuse(why, HTTP_WHY_CODING);
	/* RFC 9112, 3.2.2: the target's authority goes before the Host field. */
	if (ck->rq->host.len == 0)
		ck->rq->host = ck->host;
	return true;
}

/* What http-parser's callbacks work on. */
struct fill {
	const char *p;
	struct http_request *rq;
	bool complete;
};

static int
on_url(http_parser *hp, const char *at, size_t len)
{
	struct fill *fl = hp->data;

	fl->rq->target = span_of((size_t)(at - fl->p), len);
	return 0;
}

static int
on_header_field(http_parser *hp, const char *at, size_t len)
{
	struct fill *fl = hp->data;

	if (fl->rq->nfields == HTTP_FIELDS_MAX)
		return -1;
	fl->rq->field[fl->rq->nfields].name = span_of((size_t)(at - fl->p), len);
	fl->rq->field[fl->rq->nfields].value = span_of((size_t)(at - fl->p) + len, 0);
	fl->rq->nfields++;
	return 0;
}

static int
on_header_value(http_parser *hp, const char *at, size_t len)
{
	struct fill *fl = hp->data;

	if (fl->rq->nfields == 0)
		return -1;
	fl->rq->field[fl->rq->nfields - 1].value =
	    span_trim(fl->p, (size_t)(at - fl->p), len);
	return 0;
}

static int
on_headers_complete(http_parser *hp)
{
	struct fill *fl = hp->data;
	struct http_request *rq = fl->rq;

	fl->complete = true;
	rq->minor = hp->http_minor;
	rq->chunked = (hp->flags & F_CHUNKED) != 0;
	rq->has_length = (hp->flags & F_CONTENTLENGTH) != 0;
	rq->content_length = rq->has_length ? hp->content_length : 0;
	rq->keep_alive = http_should_keep_alive(hp) != 0;
	return 0;
}

static const http_parser_settings fill_settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
};

/* The second reading, by http-parser. False if it does not accept the head. */
static bool
fill_head(struct fill *fl, size_t start, size_t end)
{
	static const char substitute[] = "PUT";
	http_parser hp;
	size_t at = start;

	http_parser_init(&hp, HTTP_REQUEST);
	hp.data = fl;
	/* Our own limit held already, and may be larger than the one it was built with. */
	http_parser_set_max_header_size(UINT32_MAX);
	if (fl->rq->method == HTTP_VERB_OTHER) {
		if (http_parser_execute(&hp, &fill_settings, substitute,
		    sizeof substitute - 1) != sizeof substitute - 1)
			return false;
		at += fl->rq->verb.len;
	}
	return http_parser_execute(&hp, &fill_settings, fl->p + at, end - at) == end - at &&
	    HTTP_PARSER_ERRNO(&hp) == HPE_OK && fl->complete;
}

/* Both readings must have seen the same message. */
static bool
readings_agree(const struct check *ck, const struct http_request *rq)
{
	return rq->minor == ck->minor && rq->nfields == ck->nfields &&
	    rq->has_length == ck->has_length && rq->chunked == ck->has_coding &&
	    rq->target.off == rq->verb.off + rq->verb.len + 1;
}

ssize_t
http_head_parse(const char *p, size_t n, size_t max, size_t *scanned, struct http_request *rq,
    enum http_why *why)
{
	struct check ck = { .p = p, .rq = rq };
	struct fill fl = { .p = p, .rq = rq };
	size_t start, end;
	int rc;

	assert(max <= UINT32_MAX);
	*why = HTTP_WHY_NONE;
	rc = find_head(p, n, max, scanned, &start, &end, why);
	if (rc <= 0)
		return rc;
	/* The unused part of the field table is left as it is. */
	memset(rq, 0, offsetof(struct http_request, field));
	if (!check_head(&ck, start, end, why))
		return -1;
	if (!fill_head(&fl, start, end) || !readings_agree(&ck, rq))
		return refuse(why, HTTP_WHY_DISAGREE), -1;
	/* http-parser takes Proxy-Connection for Connection; only the latter may keep it open. */
	rq->keep_alive = rq->keep_alive && !http_field_has(rq, p, "connection", "close") &&
	    (rq->minor == 1 || http_field_has(rq, p, "connection", "keep-alive"));
	rq->upgrade_websocket = http_field_has(rq, p, "upgrade", "websocket") &&
	    http_field_has(rq, p, "connection", "upgrade");
	*scanned = 0;
	return (ssize_t)end;
}

const struct http_field *
http_field_find(const struct http_request *rq, const char *p, const char *name)
{
	uint32_t i;

	for (i = 0; i < rq->nfields; i++) {
		if (same(p + rq->field[i].name.off, rq->field[i].name.len, name))
			return &rq->field[i];
	}
	return NULL;
}

bool
http_list_has(const char *value, size_t n, const char *token)
{
	struct http_span item;
	const char *comma;
	size_t at = 0, len;

	while (at < n) {
		comma = memchr(value + at, ',', n - at);
		len = comma == NULL ? n - at : (size_t)(comma - value) - at;
		item = span_trim(value, at, len);
		if (same(value + item.off, item.len, token))
			return true;
		at += len + 1;
	}
	return false;
}

bool
http_field_has(const struct http_request *rq, const char *p, const char *name, const char *token)
{
	const struct http_field *f;

	for (f = rq->field; f < rq->field + rq->nfields; f++) {
		if (same(p + f->name.off, f->name.len, name) &&
		    http_list_has(p + f->value.off, f->value.len, token))
			return true;
	}
	return false;
}

/* The extension of a chunk, behind its ';'. Returns the offset of what ends it; 0: need more; -1 */
static ssize_t
chunk_extension(const char *p, size_t n, size_t at, enum http_why *why)
{
	size_t i;

	for (i = at; i < n && p[i] != '\r'; i++) {
		if (p[i] < 0x20 || p[i] > 0x7e || i - at == CHUNK_EXTENSION_MAX ||
		    (i == at && !is_token(p[i])))
			return refuse(why, HTTP_WHY_CHUNK_EXTENSION), -1;
	}
	if (i == n)
		return 0;
	if (i == at)
		return refuse(why, HTTP_WHY_CHUNK_EXTENSION), -1;
	return (ssize_t)i;
}

/* The chunk line at offset at. >0: offset of what follows it; 0: need more; -1: refused. */
static ssize_t
chunk_line(const char *p, size_t n, size_t at, uint64_t *size, enum http_why *why)
{
	size_t i;
	ssize_t end;
	int digit;

	*size = 0;
	for (i = at; i < n && (digit = hex_value(p[i])) >= 0; i++) {
		if (i - at == CHUNK_DIGITS_MAX)
			return refuse(why, HTTP_WHY_CHUNK_SIZE), -1;
		*size = *size << 4 | (unsigned)digit;
	}
	if (i == n)
		return 0;
	if (i == at)
		return refuse(why, HTTP_WHY_CHUNK_SIZE), -1;
	if (p[i] == ';') {
		end = chunk_extension(p, n, i + 1, why);
		if (end <= 0)
			return end;
		i = (size_t)end;
	}
	if (p[i] != '\r')
		return refuse(why, HTTP_WHY_CHUNK_SIZE), -1;
	if (i + 1 == n)
		return 0;
	if (p[i + 1] != '\n')
		return refuse(why, HTTP_WHY_LINE_END), -1;
	return (ssize_t)i + 2;
}

/* The trailer section at offset at. >0: offset of its end; 0: need more; -1: refused. */
static ssize_t
scan_trailers(const char *p, size_t n, size_t at, enum http_why *why)
{
	size_t limit = n - at > HTTP_TRAILER_MAX ? at + HTTP_TRAILER_MAX : n, off, next;
	struct http_span name, value;
	const char *lf;

	for (off = at; (lf = memchr(p + off, '\n', limit - off)) != NULL; off = next) {
		next = (size_t)(lf - p) + 1;
		if (next - off < 2 || p[next - 2] != '\r')
			return refuse(why, HTTP_WHY_TRAILER), -1;
		if (next - off == 2)
			return (ssize_t)next;
		if (!check_field_form(p, off, next - 2 - off, &name, &value, why))
			return refuse(why, HTTP_WHY_TRAILER), -1;
	}
	if (n - at >= HTTP_TRAILER_MAX)
		return refuse(why, HTTP_WHY_TRAILER), -1;
	return 0;
}

ssize_t
http_chunks_scan(const char *p, size_t n, size_t *pos, uint64_t *total, uint64_t max,
    enum http_why *why)
{
	uint64_t size;
	size_t data;
	ssize_t rc;

	assert(*pos <= n && *total <= max);
	*why = HTTP_WHY_NONE;
	for (;;) {
		rc = chunk_line(p, n, *pos, &size, why);
		if (rc <= 0)
			return rc;
		data = (size_t)rc;
		if (size == 0)
			return scan_trailers(p, n, data, why);
		if (size > max - *total)
			return refuse(why, HTTP_WHY_BODY_TOO_LARGE), -1;
		if (data - *total > CHUNK_OVERHEAD(*total + size))
			return refuse(why, HTTP_WHY_CHUNK_EXTENSION), -1;
		if (n - data <= size)
			return 0;
		data += size;
		if (p[data] != '\r')
			return refuse(why, HTTP_WHY_CHUNK_END), -1;
		if (n - data < 2)
			return 0;
		if (p[data + 1] != '\n')
			return refuse(why, HTTP_WHY_CHUNK_END), -1;
		*pos = data + 2;
		*total += size;
	}
}

size_t
http_chunks_decode(const char *p, size_t n, char *out, size_t cap)
{
	enum http_why why;
	size_t at = 0, have = 0;
	uint64_t size;
	ssize_t rc;

	for (;;) {
		rc = chunk_line(p, n, at, &size, &why);
		assert(rc > 0);
		if (size == 0)
			return have;
		assert(size <= n - (size_t)rc && size <= cap - have);
		memcpy(out + have, p + rc, size);
		have += size;
		at = (size_t)rc + size + 2;
	}
}

ssize_t
http_percent_decode(const char *p, size_t n, char *out, size_t cap)
{
	size_t i, have = 0;
	int hi, lo;

	for (i = 0; i < n; i++) {
		if (have == cap)
			return -1;
		if (p[i] != '%') {
			out[have++] = p[i];
			continue;
		}
		if (n - i < 3 || (hi = hex_value(p[i + 1])) < 0 || (lo = hex_value(p[i + 2])) < 0)
			return -1;
		out[have++] = (char)(hi << 4 | lo);
		i += 2;
	}
	return (ssize_t)have;
}

bool
http_query_get(const char *q, size_t n, const char *name, struct http_span *value)
{
	size_t at = 0, len, key, want = strlen(name);
	const char *amp, *eq;

	while (at < n) {
		amp = memchr(q + at, '&', n - at);
		len = amp == NULL ? n - at : (size_t)(amp - q) - at;
		eq = memchr(q + at, '=', len);
		key = eq == NULL ? len : (size_t)(eq - q) - at;
		if (key == want && memcmp(q + at, name, want) == 0) {
			*value = eq == NULL ? span_of(at + len, 0) :
			    span_of(at + key + 1, len - key - 1);
			return true;
		}
		at += len + 1;
	}
	return false;
}
