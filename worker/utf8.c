/*
 * UTF-8 validation
 *
 * A lead byte decides how many continuation bytes follow and, for four of the lead bytes,
 * narrows the range of the first of them: E0 A0.. and F0 90.. keep overlong forms out, ED ..9F
 * keeps surrogates out, F4 ..8F ends at U+10FFFF. All later continuation bytes are 80..BF. So
 * the whole state between two bytes is how many are missing and the range of the next one.
 *
 * Most text is ASCII: between characters eight bytes are tested at once for a high bit.
 */
#include "worker/utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* The first byte of a character of several bytes. */
static bool
utf8_lead(struct utf8_state *st, uint8_t c)
{
	st->low = 0x80;
	st->high = 0xbf;
	if (c >= 0xc2 && c <= 0xdf) {
		st->need = 1;
	} else if (c >= 0xe0 && c <= 0xef) {
		st->need = 2;
		if (c == 0xe0)
			st->low = 0xa0;
		else if (c == 0xed)
			st->high = 0x9f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		st->need = 3;
		if (c == 0xf0)
			st->low = 0x90;
		else if (c == 0xf4)
			st->high = 0x8f;
	} else {
		return false;
	}
	return true;
}

static const uint8_t *
utf8_skip_ascii(const uint8_t *p, const uint8_t *end)
{
	uint64_t w;

	while (end - p >= 8) {
		memcpy(&w, p, sizeof w);
		if ((w & HIGH_BITS) != 0)
			break;
		p += 8;
	}
	while (p < end && *p < 0x80)
		p++;
	return p;
}

bool
utf8_feed(struct utf8_state *st, const uint8_t *p, size_t n)
{
	const uint8_t *end;

	if (st->need == UTF8_DEAD)
		return false;
	if (n == 0)
		return true;
	for (end = p + n; p < end; p++) {
		if (st->need == 0) {
			if (*p < 0x80)
				p = utf8_skip_ascii(p, end);
			if (p == end)
				break;
			if (!utf8_lead(st, *p))
				goto dead;
		} else {
			if (*p < st->low || *p > st->high)
				goto dead;
			st->low = 0x80;
			st->high = 0xbf;
			st->need--;
		}
	}
	return true;
dead:
	st->need = UTF8_DEAD;
	return false;
}

bool
utf8_done(const struct utf8_state *st)
{
	return st->need == 0;
}

bool
utf8_valid(const uint8_t *p, size_t n)
{
	struct utf8_state st = { 0, 0, 0 };

	return utf8_feed(&st, p, n) && utf8_done(&st);
}
