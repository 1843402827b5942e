#include "master/capacity.h"

#include <stdio.h>
#include <string.h>

#include <check.h>

#include "shm/settings.h"

static struct settings s;
static struct capacity c;
static char err[256];

static void
set_up(void)
{
	settings_defaults(&s);
	s.slot_count = s.worker_count = 4;
	err[0] = '\0';
}

START_TEST(connections_are_what_descriptors_allow)
{
	ck_assert_int_eq(capacity_plan(&s, 20000, &c, err, sizeof err), 0);
	ck_assert_uint_eq(c.connections, 20000 - capacity_reserve(&s) - CAPACITY_SPARE);
	ck_assert_uint_eq(c.caps.conns, c.connections + CAPACITY_SPARE);
	ck_assert_uint_eq(c.descriptors, 20000);
}
END_TEST

START_TEST(connections_are_at_most_the_limit_of_a_slot)
{
	ck_assert_int_eq(capacity_plan(&s, 1 << 20, &c, err, sizeof err), 0);
	ck_assert_uint_eq(c.connections, CONNS_MAX);
}
END_TEST

START_TEST(max_connections_is_taken_when_it_fits)
{
	s.max_connections = 10;
	ck_assert_int_eq(capacity_plan(&s, 20000, &c, err, sizeof err), 0);
	ck_assert_uint_eq(c.connections, 10);
	ck_assert_uint_eq(c.asked, 10);
}
END_TEST

START_TEST(max_connections_is_cut_to_what_fits)
{
	s.max_connections = 5000;
	ck_assert_int_eq(capacity_plan(&s, 1024, &c, err, sizeof err), 0);
	ck_assert_uint_eq(c.connections, 1024 - capacity_reserve(&s) - CAPACITY_SPARE);
	ck_assert_uint_eq(c.asked, 5000);
}
END_TEST

START_TEST(too_few_descriptors_are_refused)
{
	uint32_t least = capacity_reserve(&s) + CAPACITY_SPARE;

	ck_assert_int_eq(capacity_plan(&s, least, &c, err, sizeof err), -1);
	ck_assert_ptr_nonnull(strstr(err, " descriptors are allowed"));
}
END_TEST

START_TEST(the_listeners_of_all_slots_count)
{
	s.max_connections = 1;
	s.slot_count = WORKERS_MAX;
	snprintf(s.listen, sizeof s.listen, "127.0.0.1:1 127.0.0.1:2 127.0.0.1:3 127.0.0.1:4");
	ck_assert_int_eq(capacity_plan(&s, 20000, &c, err, sizeof err), 0);
	ck_assert_uint_ge(c.descriptors, WORKERS_MAX * 4 + 3 * WORKERS_MAX + HELPERS_MAX);
	ck_assert_int_eq(capacity_plan(&s, 400, &c, err, sizeof err), -1);
}
END_TEST

START_TEST(sizes_are_rounded_up_to_what_the_region_takes)
{
	s.channels_max = 65;
	s.history = 1000;
	s.arena = 3 << 20;
	settings_derive(&s);
	s.slot_count = s.worker_count = 4;
	ck_assert_int_eq(capacity_plan(&s, 20000, &c, err, sizeof err), 0);
	ck_assert_uint_eq(c.caps.channels, 128);
	ck_assert_uint_eq(c.caps.ring_cells, 1024);
	ck_assert_uint_eq(c.caps.arena, 4 << 20);
	ck_assert_uint_eq(c.caps.workers, 4);
}
END_TEST

START_TEST(rings_hold_the_longest_history_of_any_section)
{
	struct channel_rule *rule = settings_add_channel(&s, "tape:*");

	rule->history = 5000;
	settings_derive(&s);
	ck_assert_int_eq(capacity_plan(&s, 20000, &c, err, sizeof err), 0);
	ck_assert_uint_eq(c.caps.ring_cells, 8192);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("capacity");
	TCase *tc = tcase_create("capacity");
	SRunner *sr = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, connections_are_what_descriptors_allow);
	tcase_add_test(tc, connections_are_at_most_the_limit_of_a_slot);
	tcase_add_test(tc, max_connections_is_taken_when_it_fits);
	tcase_add_test(tc, max_connections_is_cut_to_what_fits);
	tcase_add_test(tc, too_few_descriptors_are_refused);
	tcase_add_test(tc, the_listeners_of_all_slots_count);
	tcase_add_test(tc, sizes_are_rounded_up_to_what_the_region_takes);
	tcase_add_test(tc, rings_hold_the_longest_history_of_any_section);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
