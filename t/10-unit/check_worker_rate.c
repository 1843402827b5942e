/* message_rate: never more than N in any second, all of which may come at once. */
#include "worker/rate.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "worker/message.h"
#include "worker/priv.h"

static struct worker w;
static struct conn c;
static struct stats stats;
static struct message m;

static void
begin(uint32_t limit)
{
	memset(&w, 0, sizeof w);
	memset((void *)&c, 0, sizeof c);
	memset((void *)&stats, 0, sizeof stats);
	memset(&m, 0, sizeof m);
	w.stats = &stats;
	w.set.message_rate = limit;
	w.now = 1000000;
	m.w = &w;
	m.c = &c;
}

static unsigned
take(unsigned n)
{
	unsigned ok = 0;

	while (n-- > 0) {
		m.in_off = m.in_end;
		m.in_end += 10;
		ok += rate_take(&m);
	}
	return ok;
}

START_TEST(all_may_come_at_once)
{
	begin(20);
	ck_assert_uint_eq(take(50), 20);
	ck_assert_uint_eq(stat_get(&stats, STAT_RATE_LIMITED), 30);
}
END_TEST

START_TEST(a_second_later_all_may_come_again)
{
	begin(20);
	ck_assert_uint_eq(take(20), 20);
	w.now += 999;
	ck_assert_uint_eq(take(5), 0);
	w.now += 101;
	ck_assert_uint_eq(take(50), 20);
}
END_TEST

START_TEST(a_refusal_comes_at_most_a_tenth_too_early)
{
	begin(1);
	w.now = 1000099;		/* at the end of its tenth */
	ck_assert_uint_eq(take(1), 1);
	w.now += 1100;
	ck_assert_uint_eq(take(1), 1);
}
END_TEST

START_TEST(refused_ones_are_not_counted)
{
	begin(2);
	ck_assert_uint_eq(take(100), 2);
	w.now += 1100;
	ck_assert_uint_eq(take(2), 2);
}
END_TEST

/* Every window of a second of a long random run holds at most the limit. */
START_TEST(no_window_holds_more)
{
	static uint64_t at[100000];
	unsigned limit = 50, n = 0, i, j = 0;

	begin(limit);
	srandom(7);
	for (i = 0; i < 100000; i++) {
		w.now += (uint64_t)random() % 25;
		if (take(1))
			at[n++] = w.now;
	}
	ck_assert_uint_gt(n, 10000);
	for (i = 0; i < n; i++) {
		while (at[i] - at[j] >= 1000)
			j++;
		ck_assert_uint_le(i - j + 1, limit);
	}
}
END_TEST

START_TEST(a_steady_sender_below_the_limit_is_never_refused)
{
	unsigned i;

	begin(50);
	for (i = 0; i < 5000; i++) {
		w.now += 25;		/* 40 a second */
		ck_assert_uint_eq(take(1), 1);
	}
}
END_TEST

START_TEST(an_heir_does_not_count_a_message_again)
{
	begin(3);
	ck_assert_uint_eq(take(1), 1);
	w.in_doubt = true;		/* the same message, executed again */
	ck_assert(rate_take(&m));
	ck_assert(rate_take(&m));
	w.in_doubt = false;
	ck_assert_uint_eq(take(5), 2);
}
END_TEST

START_TEST(an_heir_after_a_long_pause_begins_anew)
{
	begin(3);
	ck_assert_uint_eq(take(3), 3);
	w.now += 3600 * 1000;
	ck_assert_uint_eq(take(5), 3);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("worker/rate");
	TCase *t = tcase_create("rate");
	SRunner *r;
	int failed;

	tcase_add_test(t, all_may_come_at_once);
	tcase_add_test(t, a_second_later_all_may_come_again);
	tcase_add_test(t, a_refusal_comes_at_most_a_tenth_too_early);
	tcase_add_test(t, refused_ones_are_not_counted);
	tcase_add_test(t, no_window_holds_more);
	tcase_add_test(t, a_steady_sender_below_the_limit_is_never_refused);
	tcase_add_test(t, an_heir_does_not_count_a_message_again);
	tcase_add_test(t, an_heir_after_a_long_pause_begins_anew);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
