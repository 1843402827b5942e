#include "ipc/backoff.h"

#include <check.h>

START_TEST(five_faults_cost_nothing)
{
	struct backoff b = { .count = 0 };
	int i;

	for (i = 0; i < BACKOFF_FREE; i++)
		ck_assert_uint_eq(backoff_next(&b, 50000 + (uint64_t)i), 0);
}
END_TEST

START_TEST(the_sixth_waits_and_each_more_waits_twice_as_long_up_to_five_seconds)
{
	static const unsigned wanted[] = { 100, 200, 400, 800, 1600, 3200, 5000, 5000,
	    5000, 5000, 5000, 5000, 5000, 5000 };
	struct backoff b = { .count = 0 };
	uint64_t now = 50000;
	unsigned i;

	for (i = 0; i < BACKOFF_FREE; i++)
		backoff_next(&b, now++);
	for (i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		ck_assert_uint_eq(backoff_next(&b, now), wanted[i]);
		now += wanted[i] + 20;
	}
}
END_TEST

START_TEST(rare_faults_never_wait)
{
	struct backoff b = { .count = 0 };
	uint64_t now = 50000;
	int i;

	for (i = 0; i < 50; i++, now += 2500)
		ck_assert_uint_eq(backoff_next(&b, now), 0);
}
END_TEST

START_TEST(a_quiet_time_is_a_new_beginning)
{
	struct backoff b = { .count = 0 };
	uint64_t now = 50000;
	int i;

	for (i = 0; i < 20; i++)
		now += backoff_next(&b, now);
	now += 120000;
	for (i = 0; i < BACKOFF_FREE; i++)
		ck_assert_uint_eq(backoff_next(&b, now++), 0);
	ck_assert_uint_eq(backoff_next(&b, now), 100);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("backoff");
	TCase *tc = tcase_create("backoff");
	SRunner *sr = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, five_faults_cost_nothing);
	tcase_add_test(tc, the_sixth_waits_and_each_more_waits_twice_as_long_up_to_five_seconds);
	tcase_add_test(tc, rare_faults_never_wait);
	tcase_add_test(tc, a_quiet_time_is_a_new_beginning);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
