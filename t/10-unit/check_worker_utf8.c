/* UTF-8: every code point, every short sequence against a slow reference, every split. */
#include "worker/utf8.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Decodes one character the slow way; its length, or 0. */
static size_t
reference_char(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t cp;
	size_t len, i;

	if (p[0] < 0x80)
		return 1;
	if ((p[0] & 0xe0) == 0xc0)
		len = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		len = 3;
	else if ((p[0] & 0xf8) == 0xf0)
		len = 4;
	else
		return 0;
	if (n < len)
		return 0;
	cp = p[0] & (0x7fu >> len);
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3f);
	}
	if (cp < least[len] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	return len;
}

static bool
reference(const uint8_t *p, size_t n)
{
	size_t i, len;

	for (i = 0; i < n; i += len) {
		if ((len = reference_char(p + i, n - i)) == 0)
			return false;
	}
	return true;
}

START_TEST(all_sequences_of_three_bytes_agree_with_the_reference)
{
	uint8_t b[3];
	unsigned i, n;

	for (n = 1; n <= 3; n++) {
		for (i = 0; i < 1u << 8 * n; i++) {
			b[0] = (uint8_t)i;
			b[1] = (uint8_t)(i >> 8);
			b[2] = (uint8_t)(i >> 16);
			if (utf8_valid(b, n) != reference(b, n))
				ck_abort_msg("%u bytes: %#x", n, i);
		}
	}
}
END_TEST

START_TEST(sequences_of_four_bytes_agree_with_the_reference)
{
	static const uint8_t edge[] = { 0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
	    0xff };
	uint8_t b[4];
	unsigned lead, i, j, k;

	for (lead = 0xe0; lead <= 0xff; lead++) {
		for (i = 0; i < 256; i++) {
			for (j = 0; j < COUNT(edge) * COUNT(edge); j++) {
				b[0] = (uint8_t)lead;
				b[1] = (uint8_t)i;
				b[2] = edge[j / COUNT(edge)];
				b[3] = edge[j % COUNT(edge)];
				k = utf8_valid(b, 4);
				if (k != reference(b, 4))
					ck_abort_msg("%02x %02x %02x %02x: %u", b[0], b[1],
					    b[2], b[3], k);
			}
		}
	}
}
END_TEST

static const char *const valid[] = {
	"", "a", "ASCII only, and more than eight bytes of it",
	"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
	"\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
	"12345678\xe2\x82\xac" "12345678\xf0\x9f\x98\x80" "1234567\xc3\xbc",
};

static const char *const invalid[] = {
	"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf",
	"\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xfe",
	"\xc2", "\xe2\x82", "\xf0\x9f\x98", "\xc2\xc2", "\xe2\x28\xa1", "a\x80", "\xc2\x80\x80",
	"1234567\x80", "12345678\x80", "12345678\xe2\x82" "12345678",
};

START_TEST(valid_text_passes_at_every_split)
{
	const uint8_t *p = (const uint8_t *)valid[_i];
	size_t n = strlen(valid[_i]), cut, i;
	struct utf8_state st, slow = { 0, 0, 0 };

	ck_assert(utf8_valid(p, n));
	for (cut = 0; cut <= n; cut++) {
		memset(&st, 0, sizeof st);
		ck_assert(utf8_feed(&st, p, cut));
		ck_assert_int_eq(utf8_done(&st), reference(p, cut));
		ck_assert(utf8_feed(&st, p + cut, n - cut));
		ck_assert(utf8_done(&st));
	}
	for (i = 0; i < n; i++)
		ck_assert(utf8_feed(&slow, p + i, 1));
	ck_assert(utf8_done(&slow));
}
END_TEST

START_TEST(invalid_text_is_refused_at_every_split)
{
	const uint8_t *p = (const uint8_t *)invalid[_i];
	size_t n = strlen(invalid[_i]), cut;
	struct utf8_state st;

	ck_assert(!utf8_valid(p, n));
	for (cut = 0; cut <= n; cut++) {
		memset(&st, 0, sizeof st);
		ck_assert(!(utf8_feed(&st, p, cut) && utf8_feed(&st, p + cut, n - cut) &&
		    utf8_done(&st)));
	}
}
END_TEST

START_TEST(error_shows_at_once_and_stays)
{
	struct utf8_state st = { 0, 0, 0 };

	ck_assert(utf8_feed(&st, (const uint8_t *)"\xf4", 1));
	ck_assert(!utf8_feed(&st, (const uint8_t *)"\x90", 1));
	ck_assert(!utf8_feed(&st, (const uint8_t *)"a", 1));
	ck_assert(!utf8_feed(&st, NULL, 0));
	ck_assert(!utf8_done(&st));
}
END_TEST

START_TEST(bad_byte_is_found_at_every_position)
{
	uint8_t text[40];
	size_t i, shift;

	for (shift = 0; shift < 8; shift++) {
		for (i = shift; i < sizeof text; i++) {
			memset(text, 'a', sizeof text);
			ck_assert(utf8_valid(text + shift, sizeof text - shift));
			text[i] = 0x80;
			ck_assert(!utf8_valid(text + shift, sizeof text - shift));
		}
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("worker/utf8");
	TCase *tc = tcase_create("utf8");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, all_sequences_of_three_bytes_agree_with_the_reference);
	tcase_add_test(tc, sequences_of_four_bytes_agree_with_the_reference);
	tcase_add_loop_test(tc, valid_text_passes_at_every_split, 0, (int)COUNT(valid));
	tcase_add_loop_test(tc, invalid_text_is_refused_at_every_split, 0, (int)COUNT(invalid));
	tcase_add_test(tc, error_shows_at_once_and_stays);
	tcase_add_test(tc, bad_byte_is_found_at_every_position);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
