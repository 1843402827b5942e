/* Counters: names, and the words they are kept in. */
#include "shm/stats.h"

#include <ctype.h>

#include "t/10-unit/shm_fixture.h"

START_TEST(every_counter_has_a_name_of_its_own_and_a_help)
{
	unsigned i, j;

	for (i = 0; i < STAT_COUNT; i++) {
		const char *p = stat_metric(i);

		ck_assert_int_eq(strncmp(p, "plenum_", 7), 0);
		for (; *p != '\0'; p++)
			ck_assert(
			    islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_');
		ck_assert_uint_gt(strlen(stat_help(i)), 5);
		for (j = 0; j < i; j++)
			ck_assert_str_ne(stat_metric(i), stat_metric(j));
	}
}
END_TEST

START_TEST(every_status_finds_its_own_word)
{
	unsigned i;

	for (i = 0; i + 1 < HTTP_CODE_COUNT; i++)
		ck_assert_uint_eq(stat_http_index(stat_http_code(i)), i);
	ck_assert_uint_eq(stat_http_index(299), HTTP_CODE_COUNT - 1);
	ck_assert_uint_eq(stat_http_index(0), HTTP_CODE_COUNT - 1);
	ck_assert_uint_eq(stat_http_code(HTTP_CODE_COUNT - 1), 0);
	ck_assert_uint_eq(stat_http_code(9999), 0);
}
END_TEST

START_TEST(counters_add_up_each_in_its_word)
{
	struct stats *s = &region_slot(&region, 0)->stats;
	unsigned i;

	for (i = 0; i < STAT_COUNT; i++)
		stat_add(s, i, i + 1);
	stat_add(s, STAT_COUNT - 1, 1000);
	stat_http_add(s, 404);
	stat_http_add(s, 404);
	stat_http_add(s, 299);
	for (i = 0; i + 1 < STAT_COUNT; i++)
		ck_assert_uint_eq(stat_get(s, i), i + 1);
	ck_assert_uint_eq(stat_get(s, STAT_COUNT - 1), STAT_COUNT + 1000);
	ck_assert_uint_eq(word_get(&s->http[stat_http_index(404)]), 2);
	ck_assert_uint_eq(word_get(&s->http[HTTP_CODE_COUNT - 1]), 1);
	ck_assert_uint_eq(word_get(&s->http[0]), 0);
}
END_TEST

START_TEST(a_publish_and_a_new_channel_are_counted_for_their_writer)
{
	uint32_t chan = channel(&wa, "room");

	publish(&wb, chan, 0, 1);
	publish(&wb, chan, 0, 1);
	ck_assert_uint_eq(stat_get(&wa.slot->stats, STAT_CHANNELS_MADE), 1);
	ck_assert_uint_eq(stat_get(&wa.slot->stats, STAT_PUBLISHED), 0);
	ck_assert_uint_eq(stat_get(&wb.slot->stats, STAT_PUBLISHED), 2);
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, every_counter_has_a_name_of_its_own_and_a_help);
	tcase_add_test(tc, every_status_finds_its_own_word);
	tcase_add_test(tc, counters_add_up_each_in_its_word);
	tcase_add_test(tc, a_publish_and_a_new_channel_are_counted_for_their_writer);
}

int
main(void)
{
	return run_cases("shm/stats", add);
}
