/*
 * One pass over the text with a cursor.  A string ends at a quote with an even number of
 * backslashes before it; a nested value ends where its brackets balance, strings skipped whole, so
 * that a long filler costs one memchr().  What is inside a nested value is not judged here.
 */
#include "t/tools/scan.h"

#include <string.h>

static const char *
skip_blank(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* p is behind the opening quote; returns what is behind the closing one, NULL if there is none */
static const char *
skip_string(const char *p, const char *end)
{
	const char *from = p, *quote, *back;

	while (p < end && (quote = memchr(p, '"', (size_t)(end - p))) != NULL) {
		for (back = quote; back > from && back[-1] == '\\'; back--)
			;
		if ((quote - back) % 2 == 0)
			return quote + 1;
		p = quote + 1;
	}
	return NULL;
}

static const char *
skip_nested(const char *p, const char *end)
{
	int depth = 0;

	while (p < end) {
		char c = *p++;

		if (c == '"') {
			p = skip_string(p, end);
			if (p == NULL)
				return NULL;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if ((c == '}' || c == ']') && --depth == 0) {
			return p;
		}
	}
	return NULL;
}

static const char *
skip_value(const char *p, const char *end)
{
	const char *from = p;

	if (p == end)
		return NULL;
	if (*p == '"')
		return skip_string(p + 1, end);
	if (*p == '{' || *p == '[')
		return skip_nested(p, end);
	while (p < end && strchr(",]} \t\r\n", *p) == NULL)
		p++;
	return p > from ? p : NULL;
}

static const char *
take_member(const char *p, const char *end, struct scan_member *m)
{
	const char *after;

	if (p == end || *p != '"' || (after = skip_string(p + 1, end)) == NULL)
		return NULL;
	m->key = (struct slice){ p + 1, (size_t)(after - p - 2) };
	p = skip_blank(after, end);
	if (p == end || *p != ':')
		return NULL;
	p = skip_blank(p + 1, end);
	after = skip_value(p, end);
	if (after == NULL)
		return NULL;
	m->value = (struct slice){ p, (size_t)(after - p) };
	return skip_blank(after, end);
}

int
scan_object(struct slice text, struct scan_member members[SCAN_MEMBERS_MAX])
{
	const char *end = text.p + text.len, *p = skip_blank(text.p, end);
	int n = 0;

	if (p == end || *p != '{')
		return -1;
	p = skip_blank(p + 1, end);
	if (p < end && *p == '}')
		return skip_blank(p + 1, end) == end ? 0 : -1;
	while (n < SCAN_MEMBERS_MAX) {
		p = take_member(p, end, &members[n]);
		if (p == NULL || p == end)
			return -1;
		n++;
		if (*p == '}')
			return skip_blank(p + 1, end) == end ? n : -1;
		if (*p != ',')
			return -1;
		p = skip_blank(p + 1, end);
	}
	return -1;
}

int
scan_element(struct slice array, size_t *at, struct slice *element)
{
	const char *end = array.p + array.len, *p = array.p + *at, *after;

	p = skip_blank(p, end);
	if (p == end)
		return -1;
	if (*p == ']')
		return 0;
	if (*p != (*at == 0 ? '[' : ','))
		return -1;
	p = skip_blank(p + 1, end);
	if (p < end && *p == ']' && *at == 0)
		return 0;
	after = p == end ? NULL : skip_value(p, end);
	if (after == NULL)
		return -1;
	*element = (struct slice){ p, (size_t)(after - p) };
	*at = (size_t)(after - array.p);
	return 1;
}

struct slice
scan_get(const struct scan_member *members, int n, const char *key)
{
	size_t len = strlen(key);

	for (int i = 0; i < n; i++)
		if (members[i].key.len == len && memcmp(members[i].key.p, key, len) == 0)
			return members[i].value;
	return (struct slice){ NULL, 0 };
}

bool
scan_is_string(struct slice value, const char *s)
{
	size_t len = strlen(s);

	return value.p != NULL && value.len == len + 2 && value.p[0] == '"' &&
	    memcmp(value.p + 1, s, len) == 0;
}

struct slice
scan_unquote(struct slice value)
{
	if (value.p != NULL && value.len >= 2 && value.p[0] == '"')
		return (struct slice){ value.p + 1, value.len - 2 };
	return value;
}

uint64_t
scan_number(struct slice value)
{
	uint64_t n = 0;

	if (value.p == NULL || value.len == 0 || value.len > 19)
		return UINT64_MAX;
	for (size_t i = 0; i < value.len; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			return UINT64_MAX;
		n = n * 10 + (uint64_t)(value.p[i] - '0');
	}
	return n;
}
