#include "worker/text.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint64_t numbers[] = { 0, 1, 9, 10, 99, 100, 12345, 4294967295u, 4294967296u,
	999999999999999999u, UINT64_MAX };

START_TEST(decimals_are_written_as_printf_does)
{
	char a[32], b[32];
	size_t n = decimal_put(a, numbers[_i]);

	snprintf(b, sizeof b, "%" PRIu64, numbers[_i]);
	ck_assert_uint_eq(n, strlen(b));
	ck_assert(memcmp(a, b, n) == 0);
}
END_TEST

START_TEST(decimals_are_read_back)
{
	char a[32];
	uint64_t v = 1;
	size_t n = decimal_put(a, numbers[_i]);

	if (n <= 19) {
		ck_assert(decimal_parse(a, n, &v));
		ck_assert_uint_eq(v, numbers[_i]);
	} else
		ck_assert(!decimal_parse(a, n, &v));
}
END_TEST

START_TEST(what_is_no_decimal_is_refused)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "a",
		"99999999999999999999" };
	uint64_t v;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!decimal_parse(bad[i], strlen(bad[i]), &v), "%s", bad[i]);
}
END_TEST

START_TEST(an_epoch_is_sixteen_lower_case_hex_digits)
{
	uint64_t e = 0;

	ck_assert(epoch_parse("00ff1234567890ab", 16, &e));
	ck_assert_uint_eq(e, 0x00ff1234567890abull);
	ck_assert(!epoch_parse("00FF1234567890AB", 16, &e));
	ck_assert(!epoch_parse("00ff1234567890a", 15, &e));
	ck_assert(!epoch_parse("00ff1234567890abc", 17, &e));
	ck_assert(!epoch_parse("00ff1234567890ag", 16, &e));
	ck_assert(!epoch_parse("00ff1234567890a\0", 16, &e));
}
END_TEST

/* Form of version 4; more than fetched at once, so that the kernel is asked again. */
START_TEST(uuids_have_the_form_and_differ)
{
	enum { COUNT = 1000 };
	static char id[COUNT][UUID_LEN + 1];
	int i, k;

	for (i = 0; i < COUNT; i++) {
		uuid_put(id[i]);
		ck_assert_uint_eq(strlen(id[i]), UUID_LEN);
		ck_assert_uint_eq(strspn(id[i], "0123456789abcdef-"), UUID_LEN);
		for (k = 0; k < UUID_LEN; k++)
			ck_assert_int_eq(id[i][k] == '-', k == 8 || k == 13 || k == 18 || k == 23);
		ck_assert_int_eq(id[i][14], '4');
		ck_assert_ptr_nonnull(strchr("89ab", id[i][19]));
		for (k = 0; k < i; k++)
			ck_assert_str_ne(id[i], id[k]);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("worker/text");
	TCase *t = tcase_create("text");
	SRunner *r;
	int failed, n = sizeof numbers / sizeof numbers[0];

	tcase_add_loop_test(t, decimals_are_written_as_printf_does, 0, n);
	tcase_add_loop_test(t, decimals_are_read_back, 0, n);
	tcase_add_test(t, what_is_no_decimal_is_refused);
	tcase_add_test(t, uuids_have_the_form_and_differ);
	tcase_add_test(t, an_epoch_is_sixteen_lower_case_hex_digits);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
