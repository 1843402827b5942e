/*
 * JSON scanner
 *
 * The text is read once from left to right. Nothing is built: a value is known by where it
 * starts and where it ends. Nesting costs no recursion; one bit per open container says
 * whether it is an object (a member name and a colon come before each value) or an array, so
 * the memory is fixed and the depth is bounded by the caller.
 *
 * The outermost object of json_scan_object() is walked by its own loop, because only there are
 * names of interest: it takes a name, lets scan_value() run over whatever follows the colon,
 * and remembers the span if the name is wanted. A name without a backslash is compared as it
 * stands; one with a backslash is decoded first, since "ty\u0070e" is "type" to everybody else
 * who reads the same text.
 *
 * Strings are what texts mostly consist of: eight bytes at a time are tested for quote,
 * backslash and control characters. The tests are the usual borrow tricks; each may report a
 * byte too many only above one that is reported rightly, so the lowest report, in
 * little-endian order, is always true.
 */
#include "worker/json.h"

#include <endian.h>

#include <assert.h>
#include <string.h>

static const char *const json_type_names[] = {
#define X(name, text) text,
	JSON_TYPES(X)
#undef X
};
_Static_assert(sizeof json_type_names / sizeof *json_type_names == JSON_TYPE_MAX, "json types");

static const char *const json_why_names[] = {
#define X(name, text) text,
	JSON_WHYS(X)
#undef X
};
_Static_assert(sizeof json_why_names / sizeof *json_why_names == JSON_WHY_MAX, "json reasons");

const char *
json_type_name(enum json_type type)
{
	return (unsigned)type < JSON_TYPE_MAX ? json_type_names[type] : "unknown";
}

const char *
json_why_name(enum json_why why)
{
	return (unsigned)why < JSON_WHY_MAX ? json_why_names[why] : "unknown";
}

struct scan {
	const char *p;
	const char *end;
	enum json_why why;
};

static bool
scan_fail(struct scan *s, enum json_why why)
{
	s->why = why;
	return false;
}

static inline void
scan_space(struct scan *s)
{
	while (s->p < s->end &&
	    (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
		s->p++;
}

/* Skips whitespace and looks at the next byte; -1 at the end. */
static inline int
scan_peek(struct scan *s)
{
	if (s->p < s->end && (unsigned char)*s->p > ' ')
		return (unsigned char)*s->p;
	scan_space(s);
	return s->p < s->end ? (unsigned char)*s->p : -1;
}

#define BYTES(c) (UINT64_C(0x0101010101010101) * (c))

/* The high bit of each byte that is a quote, a backslash or below 0x20; see the top of the file. */
static inline uint64_t
string_specials(uint64_t w)
{
	uint64_t quote = w ^ BYTES('"'), slash = w ^ BYTES('\\');

	return (((w - BYTES(0x20)) & ~w) | ((quote - BYTES(1)) & ~quote) |
	    ((slash - BYTES(1)) & ~slash)) & BYTES(0x80);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at p, or -1. */
static int
hex_quad(const char *p)
{
	int v = 0, i, d;

	for (i = 0; i < 4; i++) {
		if ((d = hex_value(p[i])) < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* At a backslash. */
static bool
scan_escape(struct scan *s)
{
	if (s->end - s->p < 2)
		return scan_fail(s, JSON_WHY_TRUNCATED);
	switch (s->p[1]) {
	case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
		s->p += 2;
		return true;
	case 'u':
		if (s->end - s->p < 6)
			return scan_fail(s, JSON_WHY_TRUNCATED);
		if (hex_quad(s->p + 2) < 0)
			return scan_fail(s, JSON_WHY_ESCAPE);
		s->p += 6;
		return true;
	default:
		return scan_fail(s, JSON_WHY_ESCAPE);
	}
}

/* At the opening quote. *escaped, if not NULL, tells whether there is a backslash inside. */
static bool
scan_string(struct scan *s, bool *escaped)
{
	uint64_t w;
	unsigned char c;

	s->p++;
	for (;;) {
		while (s->end - s->p >= 8) {
			memcpy(&w, s->p, sizeof w);
			w = string_specials(le64toh(w));
			if (w != 0) {
				s->p += __builtin_ctzll(w) / 8;
				break;
			}
			s->p += 8;
		}
		if (s->p == s->end)
			return scan_fail(s, JSON_WHY_TRUNCATED);
		c = (unsigned char)*s->p;
		if (c == '"') {
			s->p++;
			return true;
		} else if (c == '\\') {
			if (escaped != NULL)
				*escaped = true;
			if (!scan_escape(s))
				return false;
		} else if (c < 0x20) {
			return scan_fail(s, JSON_WHY_CONTROL);
		} else {
			s->p++;
		}
	}
}

static bool
scan_digits(struct scan *s)
{
	const char *start = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > start || scan_fail(s, JSON_WHY_NUMBER);
}

/* At a minus or a digit. */
static bool
scan_number(struct scan *s)
{
	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0') {
		s->p++;
		if (s->p < s->end && *s->p >= '0' && *s->p <= '9')
			return scan_fail(s, JSON_WHY_NUMBER);
	} else if (!scan_digits(s)) {
		return false;
	}
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (!scan_digits(s))
			return false;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!scan_digits(s))
			return false;
	}
	return true;
}

static bool
scan_word(struct scan *s, const char *word, size_t n)
{
	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
		return scan_fail(s, JSON_WHY_LITERAL);
	s->p += n;
	return true;
}

/* A value that is no container, whose first byte is c. */
static bool
scan_scalar(struct scan *s, int c)
{
	switch (c) {
	case '"':
		return scan_string(s, NULL);
	case 't':
		return scan_word(s, "true", 4);
	case 'f':
		return scan_word(s, "false", 5);
	case 'n':
		return scan_word(s, "null", 4);
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return scan_number(s);
	case -1:
		return scan_fail(s, JSON_WHY_TRUNCATED);
	default:
		return scan_fail(s, JSON_WHY_VALUE);
	}
}

/* A member name and the colon behind it. name and escaped may be NULL. */
static bool
scan_key(struct scan *s, struct json_value *name, bool *escaped)
{
	int c = scan_peek(s);
	const char *start = s->p;

	if (c != '"')
		return scan_fail(s, c == -1 ? JSON_WHY_TRUNCATED : JSON_WHY_KEY);
	if (!scan_string(s, escaped))
		return false;
	if (name != NULL) {
		name->type = JSON_STRING;
		name->p = start;
		name->n = (size_t)(s->p - start);
	}
	c = scan_peek(s);
	if (c != ':')
		return scan_fail(s, c == -1 ? JSON_WHY_TRUNCATED : JSON_WHY_COLON);
	s->p++;
	return true;
}

/* Open containers: bit set for an object. */
struct nest {
	unsigned depth;
	uint64_t object[JSON_DEPTH_LIMIT / 64];
};

static bool
nest_is_object(const struct nest *ns)
{
	unsigned i = ns->depth - 1;

	return (ns->object[i / 64] >> i % 64 & 1) != 0;
}

static void
nest_push(struct nest *ns, bool is_object)
{
	unsigned i = ns->depth++;
	uint64_t bit = UINT64_C(1) << i % 64;

	if (is_object)
		ns->object[i / 64] |= bit;
	else
		ns->object[i / 64] &= ~bit;
}

/* Behind a value: closes what ends here, until a comma asks for one more value or all is closed. */
static bool
scan_after(struct scan *s, struct nest *ns)
{
	bool is_object;
	int c;

	while (ns->depth > 0) {
		is_object = nest_is_object(ns);
		c = scan_peek(s);
		if (c == ',') {
			s->p++;
			return !is_object || scan_key(s, NULL, NULL);
		}
		if (c != (is_object ? '}' : ']'))
			return scan_fail(s, c == -1 ? JSON_WHY_TRUNCATED : JSON_WHY_COMMA);
		s->p++;
		ns->depth--;
	}
	return true;
}

/* Any one value, from its first byte (whitespace before it is skipped) to its last. */
static bool
scan_value(struct scan *s, unsigned max_depth)
{
	struct nest ns;
	int c;

	ns.depth = 0;
	do {
		c = scan_peek(s);
		if (c == '{' || c == '[') {
			if (ns.depth == max_depth)
				return scan_fail(s, JSON_WHY_DEPTH);
			s->p++;
			nest_push(&ns, c == '{');
			if (scan_peek(s) != (c == '{' ? '}' : ']')) {
				if (c == '{' && !scan_key(s, NULL, NULL))
					return false;
				continue;
			}
		} else if (!scan_scalar(s, c)) {
			return false;
		}
		if (!scan_after(s, &ns))
			return false;
	} while (ns.depth > 0);
	return true;
}

static enum json_type
type_of(char c)
{
	switch (c) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't': case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

/* The same, and tells where it stands; *v is left alone on failure. */
static bool
scan_span(struct scan *s, unsigned max_depth, struct json_value *v)
{
	const char *start;

	scan_space(s);
	start = s->p;
	if (!scan_value(s, max_depth))
		return false;
	v->p = start;
	v->n = (size_t)(s->p - start);
	v->type = type_of(*start);
	return true;
}

int
json_scan_value(const char *p, size_t n, unsigned max_depth, struct json_value *out,
    enum json_why *why)
{
	struct scan s = { p, p + n, JSON_WHY_NONE };

	assert(max_depth <= JSON_DEPTH_LIMIT);
	if (scan_peek(&s) == -1)
		(void)scan_fail(&s, JSON_WHY_EMPTY);
	else if (scan_span(&s, max_depth, out) && scan_peek(&s) != -1)
		(void)scan_fail(&s, JSON_WHY_TRAILING);
	*why = s.why;
	return s.why == JSON_WHY_NONE ? 1 : -1;
}

static bool
key_is(const struct json_value *key, bool escaped, const char *name)
{
	size_t n = key->n - 2;

	if (escaped)
		return json_string_is(key, name);
	return n == 0 ? name[0] == '\0' : key->p[1] == name[0] &&
	    strncmp(name, key->p + 1, n) == 0 && name[n] == '\0';
}

/* A member of the outermost object, behind its colon. */
static bool
scan_member(struct scan *s, unsigned max_depth, const struct json_value *key, bool escaped,
    struct json_member *want)
{
	struct json_value v;

	if (!scan_span(s, max_depth, &v))
		return false;
	for (; want->name != NULL; want++) {
		if (!key_is(key, escaped, want->name))
			continue;
		if (want->seen)
			return scan_fail(s, JSON_WHY_DUPLICATE);
		want->seen = true;
		want->v = v;
		break;
	}
	return true;
}

/* The outermost object, at its opening brace. */
static bool
scan_members(struct scan *s, unsigned max_depth, struct json_member *want)
{
	struct json_value key;
	bool escaped;
	int c;

	if (max_depth == 0)
		return scan_fail(s, JSON_WHY_DEPTH);
	s->p++;
	if (scan_peek(s) == '}') {
		s->p++;
		return true;
	}
	do {
		escaped = false;
		if (!scan_key(s, &key, &escaped) ||
		    !scan_member(s, max_depth - 1, &key, escaped, want))
			return false;
		c = scan_peek(s);
		if (c != -1)
			s->p++;
	} while (c == ',');
	if (c != '}')
		return scan_fail(s, c == -1 ? JSON_WHY_TRUNCATED : JSON_WHY_COMMA);
	return true;
}

int
json_scan_object(const char *p, size_t n, unsigned max_depth, struct json_member *want,
    enum json_why *why)
{
	struct scan s = { p, p + n, JSON_WHY_NONE };
	struct json_member *m;
	struct json_value other;
	int c;

	assert(max_depth <= JSON_DEPTH_LIMIT);
	for (m = want; m->name != NULL; m++)
		m->seen = false;
	c = scan_peek(&s);
	if (c != '{') {
		/* Tell what is no JSON at all from what is merely no object. */
		if (json_scan_value(p, n, max_depth, &other, why) == 1)
			*why = JSON_WHY_NOT_OBJECT;
		return -1;
	}
	if (scan_members(&s, max_depth, want) && scan_peek(&s) != -1)
		(void)scan_fail(&s, JSON_WHY_TRAILING);
	*why = s.why;
	return s.why == JSON_WHY_NONE ? 1 : -1;
}

bool
json_next(const struct json_value *list, size_t *at, struct json_value *name,
    struct json_value *v)
{
	struct scan s = { list->p + *at, list->p + list->n, JSON_WHY_NONE };
	int c;

	if (list->type != JSON_ARRAY && list->type != JSON_OBJECT)
		return false;
	c = scan_peek(&s);
	if (*at == 0 ? c == -1 : c != ',')
		return false;
	s.p++;
	if (*at == 0 && scan_peek(&s) == (list->type == JSON_OBJECT ? '}' : ']'))
		return false;
	if (list->type == JSON_OBJECT && !scan_key(&s, name, NULL))
		return false;
	if (!scan_span(&s, JSON_DEPTH_LIMIT, v))
		return false;
	*at = (size_t)(s.p - list->p);
	return true;
}

/* Writes the UTF-8 of a code point to dst, which has four bytes; returns how many. */
static size_t
put_utf8(char *dst, unsigned cp)
{
	if (cp < 0x80) {
		dst[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		dst[0] = (char)(0xc0 | cp >> 6);
		dst[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		dst[0] = (char)(0xe0 | cp >> 12);
		dst[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		dst[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	dst[0] = (char)(0xf0 | cp >> 18);
	dst[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	dst[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	dst[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

/*
 * The code point of the escape at p (a backslash); *used is how many bytes it takes. 0 for
 * what cannot be decoded: a zero, half of a surrogate pair, or no valid escape.
 */
static unsigned
decode_escape(const char *p, const char *end, size_t *used)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *hit;
	int hi, lo;

	*used = 2;
	if (end - p < 2)
		return 0;
	if (p[1] != 'u')
		return (hit = memchr(from, p[1], sizeof from - 1)) == NULL ? 0 :
		    (unsigned char)to[hit - from];
	*used = 6;
	if (end - p < 6 || (hi = hex_quad(p + 2)) <= 0)
		return 0;
	if (hi < 0xd800 || hi > 0xdfff)
		return (unsigned)hi;
	*used = 12;
	if (hi > 0xdbff || end - p < 12 || p[6] != '\\' || p[7] != 'u')
		return 0;
	lo = hex_quad(p + 8);
	if (lo < 0xdc00 || lo > 0xdfff)
		return 0;
	return 0x10000u + (((unsigned)hi - 0xd800) << 10) + ((unsigned)lo - 0xdc00);
}

ssize_t
json_string_decode(const struct json_value *v, char *out, size_t cap)
{
	const char *p, *end, *stop;
	char utf8[4];
	size_t have = 0, n, used;
	unsigned cp;

	if (v->type != JSON_STRING || v->n < 2)
		return -1;
	p = v->p + 1;
	end = v->p + v->n - 1;
	while (p < end) {
		stop = memchr(p, '\\', (size_t)(end - p));
		if (stop == NULL)
			stop = end;
		n = (size_t)(stop - p);
		if (n > cap - have)
			return -1;
		memcpy(out + have, p, n);
		have += n;
		p = stop;
		if (p == end)
			break;
		if ((cp = decode_escape(p, end, &used)) == 0)
			return -1;
		n = put_utf8(utf8, cp);
		if (n > cap - have)
			return -1;
		memcpy(out + have, utf8, n);
		have += n;
		p += used;
	}
	return (ssize_t)have;
}

bool
json_string_is(const struct json_value *v, const char *s)
{
	char text[JSON_NAME_MAX];
	size_t want = strlen(s);
	ssize_t n;

	assert(want <= sizeof text);
	n = json_string_decode(v, text, sizeof text);
	return n >= 0 && (size_t)n == want && memcmp(text, s, want) == 0;
}

/* The letter of the short escape of c, 'u' if only the long form does, 0 if c needs none. */
static char
escape_letter(unsigned char c)
{
	switch (c) {
	case '"': case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return c < 0x20 ? 'u' : 0;
	}
}

/* How many bytes at s need no escape. */
static size_t
plain_run(const char *s, size_t n)
{
	size_t i = 0;
	uint64_t w;

	for (; n - i >= 8; i += 8) {
		memcpy(&w, s + i, sizeof w);
		if ((w = string_specials(le64toh(w))) != 0)
			return i + (size_t)__builtin_ctzll(w) / 8;
	}
	while (i < n && escape_letter((unsigned char)s[i]) == 0)
		i++;
	return i;
}

size_t
json_string_encode(char *out, size_t cap, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t need = n + 2, i, run;
	unsigned char c;
	char letter;

	for (i = plain_run(s, n); i < n; i += 1 + plain_run(s + i + 1, n - i - 1))
		need += escape_letter((unsigned char)s[i]) == 'u' ? 5 : 1;
	if (need > cap)
		return need;
	*out++ = '"';
	for (i = 0; i < n; i++) {
		run = plain_run(s + i, n - i);
		if (run > 0)
			memcpy(out, s + i, run);
		out += run;
		i += run;
		if (i == n)
			break;
		c = (unsigned char)s[i];
		letter = escape_letter(c);
		*out++ = '\\';
		*out++ = letter;
		if (letter == 'u') {
			*out++ = '0';
			*out++ = '0';
			*out++ = hex[c >> 4];
			*out++ = hex[c & 15];
		}
	}
	*out = '"';
	return need;
}

/* The value of n decimal digits. */
static bool
digits_value(const char *p, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (n == 0)
		return false;
	for (i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(p[i] - '0'), &v))
			return false;
	}
	*out = v;
	return true;
}

bool
json_uint64(const struct json_value *v, uint64_t *out)
{
	return v->type == JSON_NUMBER && digits_value(v->p, v->n, out);
}

bool
json_int64(const struct json_value *v, int64_t *out)
{
	bool minus = v->type == JSON_NUMBER && v->n > 0 && v->p[0] == '-';
	uint64_t u;

	if (v->type != JSON_NUMBER || !digits_value(v->p + minus, v->n - minus, &u) ||
	    u > (uint64_t)INT64_MAX + minus)
		return false;
	if (u == (uint64_t)INT64_MAX + 1)
		*out = INT64_MIN;
	else
		*out = minus ? -(int64_t)u : (int64_t)u;
	return true;
}

bool
json_bool(const struct json_value *v, bool *out)
{
	if (v->type != JSON_BOOL)
		return false;
	*out = v->p[0] == 't';
	return true;
}
