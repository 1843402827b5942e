/* Log rings: what goes in comes out, or is counted. */
#include "shm/logring.h"

#include "t/10-unit/shm_fixture.h"

static int
put(unsigned n, size_t len)
{
	char text[LOG_LINE_MAX + 100];

	memset(text, 'a' + (int)(n % 26), sizeof text);
	return logring_put(&region, 0, n, 77, 3, text, len);
}

static void
take(unsigned n, size_t len)
{
	struct log_line l;
	size_t i;

	ck_assert_int_eq(logring_take(&region, 0, &l), 1);
	ck_assert_uint_eq(l.time, n);
	ck_assert_uint_eq(l.pid, 77);
	ck_assert_uint_eq(l.level, 3);
	ck_assert_uint_eq(l.len, len);
	for (i = 0; i < len; i++)
		ck_assert_int_eq(l.text[i], 'a' + (int)(n % 26));
}

START_TEST(an_empty_ring_has_no_line)
{
	struct log_line l;

	ck_assert_int_eq(logring_take(&region, 0, &l), 0);
}
END_TEST

START_TEST(lines_come_out_in_order_round_the_ring_many_times)
{
	unsigned n, out = 0;

	/* odd sizes, so that heads and texts straddle the end at every place */
	for (n = 0; n < 5000; n++) {
		ck_assert_int_eq(put(n, n * 37 % (LOG_LINE_MAX + 1)), 0);
		if (n >= 20) {
			take(out, out * 37 % (LOG_LINE_MAX + 1));
			out++;
		}
	}
	for (; out < n; out++)
		take(out, out * 37 % (LOG_LINE_MAX + 1));
	ck_assert_uint_eq(logring_lost(&region, 0), 0);
}
END_TEST

START_TEST(a_full_ring_loses_the_new_lines_and_counts_them)
{
	struct log_line l;
	unsigned n = 0, i;

	while (put(n, 100) == 0)
		n++;
	ck_assert_uint_eq(n, LOG_RING_SIZE / 116);
	ck_assert_int_eq(put(n, 100), -1);
	ck_assert_uint_eq(logring_lost(&region, 0), 2);
	for (i = 0; i < n; i++)
		take(i, 100);
	ck_assert_int_eq(logring_take(&region, 0, &l), 0);
	ck_assert_int_eq(put(1, 100), 0);
	take(1, 100);
	ck_assert_uint_eq(logring_lost(&region, 0), 2);
}
END_TEST

START_TEST(a_ring_can_be_filled_to_its_last_byte)
{
	unsigned i;

	for (i = 0; i < 63; i++)
		ck_assert_int_eq(put(i, 1008), 0);
	ck_assert_int_eq(put(63, 1009), -1);
	ck_assert_int_eq(put(63, 1008), 0);
	ck_assert_int_eq(put(64, 0), -1);
	for (i = 0; i < 64; i++)
		take(i, 1008);
}
END_TEST

START_TEST(a_long_line_is_cut)
{
	ck_assert_int_eq(put(4, LOG_LINE_MAX + 100), 0);
	take(4, LOG_LINE_MAX);
}
END_TEST

START_TEST(each_writer_has_a_ring_of_its_own)
{
	struct log_line l;

	ck_assert_int_eq(logring_put(&region, 1, 9, 1, 1, "one", 3), 0);
	ck_assert_int_eq(logring_take(&region, 0, &l), 0);
	ck_assert_int_eq(logring_take(&region, HELPER_LOGGER, &l), 0);
	ck_assert_int_eq(logring_take(&region, 1, &l), 1);
	ck_assert_uint_eq(l.len, 3);
}
END_TEST

START_TEST(rubbish_in_a_ring_neither_faults_nor_stalls)
{
	struct slot *s = region_slot(&region, 0);
	static const uint64_t odd[] = { 1, 15, LOG_RING_SIZE + 1, UINT64_MAX, 1ull << 63, 16 };
	struct log_line l;
	unsigned i, k;

	memset(region_log(&region, 0), 0xff, LOG_RING_SIZE);
	for (i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		word_set(&s->log_head, word_get(&s->log_tail) + odd[i]);
		for (k = 0; k < 100000 && logring_take(&region, 0, &l) == 1; k++)
			ck_assert_uint_le(l.len, LOG_LINE_MAX);
		ck_assert_uint_lt(k, 100000);
		ck_assert_int_eq(put(i, 50), 0);
		take(i, 50);
	}
	word_set(&s->log_tail, word_get(&s->log_head) + 12345);
	(void)put(0, 1000);
	for (k = 0; k < 100000 && logring_take(&region, 0, &l) == 1; k++)
		ck_assert_uint_le(l.len, LOG_LINE_MAX);
	ck_assert_uint_lt(k, 100000);
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, an_empty_ring_has_no_line);
	tcase_add_test(tc, lines_come_out_in_order_round_the_ring_many_times);
	tcase_add_test(tc, a_full_ring_loses_the_new_lines_and_counts_them);
	tcase_add_test(tc, a_ring_can_be_filled_to_its_last_byte);
	tcase_add_test(tc, a_long_line_is_cut);
	tcase_add_test(tc, each_writer_has_a_ring_of_its_own);
	tcase_add_test(tc, rubbish_in_a_ring_neither_faults_nor_stalls);
}

int
main(void)
{
	return run_cases("shm/logring", add);
}
