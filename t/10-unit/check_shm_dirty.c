/* Marks, hints and the handshake of sleep, one step after another. */
#include "shm/dirty.h"

#include "t/10-unit/shm_fixture.h"

static uint32_t taken[SMALL_CHANNELS];

static void
on_channel(void *arg, uint32_t chan)
{
	ck_assert_ptr_eq(arg, &taken);
	taken[chan]++;
}

static unsigned
take(struct writer *w)
{
	memset(taken, 0, sizeof taken);
	return dirty_take(w, on_channel, &taken);
}

static uint32_t
joined(struct writer *w, const char *name)
{
	uint32_t chan = channel(w, name);
	uint64_t tail;

	ck_assert(channel_join(w, chan, &tail));
	return chan;
}

START_TEST(a_publish_marks_those_who_joined_and_nobody_else)
{
	uint32_t chan = joined(&wb, "room"), other = channel(&wa, "other");

	publish(&wa, other, 0, 1);
	ck_assert_uint_eq(wa.wake, 0);
	publish(&wa, chan, 0, 1);
	ck_assert_uint_eq(wa.wake, 1ull << 1);
	ck_assert_uint_eq(take(&wa), 0);
	ck_assert_uint_eq(take(&wb), 1);
	ck_assert_uint_eq(taken[chan], 1);
	ck_assert_uint_eq(take(&wb), 0);
}
END_TEST

START_TEST(who_left_is_not_marked)
{
	uint32_t chan = joined(&wb, "room");

	channel_leave(&wb, chan);
	publish(&wa, chan, 0, 1);
	ck_assert_uint_eq(wa.wake, 0);
	ck_assert_uint_eq(take(&wb), 0);
}
END_TEST

START_TEST(many_marks_of_a_channel_are_taken_once)
{
	uint32_t chan = joined(&wb, "room");
	unsigned i;

	for (i = 0; i < 10; i++)
		publish(&wa, chan, 0, 1);
	ck_assert_uint_eq(take(&wb), 1);
	ck_assert_uint_eq(taken[chan], 1);
}
END_TEST

START_TEST(every_channel_of_the_table_can_be_marked)
{
	char name[16];
	unsigned i;

	for (i = 0; i < SMALL_CHANNELS; i++) {
		snprintf(name, sizeof name, "c%u", i);
		publish(&wa, joined(&wb, name), 0, 1);
	}
	ck_assert_uint_eq(take(&wb), SMALL_CHANNELS);
	for (i = 0; i < SMALL_CHANNELS; i++)
		ck_assert_uint_eq(taken[i], 1);
}
END_TEST

START_TEST(who_has_a_mark_does_not_sleep)
{
	uint32_t chan = joined(&wb, "room");

	ck_assert(sleep_begin(&wb));
	sleep_end(&wb);
	publish(&wa, chan, 0, 1);
	ck_assert(!sleep_begin(&wb));
	sleep_end(&wb);
	take(&wb);
	ck_assert(sleep_begin(&wb));
	sleep_end(&wb);
}
END_TEST

START_TEST(a_sleeper_is_taken_once_and_only_while_it_sleeps)
{
	uint32_t chan = joined(&wb, "room");

	publish(&wa, chan, 0, 1);
	ck_assert_uint_eq(sleepers_take(&region, wa.wake), 0);
	take(&wb);
	ck_assert(sleep_begin(&wb));
	publish(&wa, chan, 0, 1);
	ck_assert_uint_eq(sleepers_take(&region, wa.wake), 1ull << 1);
	ck_assert_uint_eq(sleepers_take(&region, ~0ull), 0);
	sleep_end(&wb);
	take(&wb);
	ck_assert(sleep_begin(&wb));
	sleep_end(&wb);
	ck_assert_uint_eq(sleepers_take(&region, ~0ull), 0);
}
END_TEST

START_TEST(hints_keep_awake_and_are_taken_once)
{
	dirty_hint(&master, 0, HINT_ORDER);
	dirty_hint(&master, 0, HINT_LOG);
	ck_assert_uint_eq(master.wake, 1);
	ck_assert(!sleep_begin(&wa));
	sleep_end(&wa);
	ck_assert_uint_eq(dirty_take_hints(&wa), HINT_ORDER | HINT_LOG);
	ck_assert_uint_eq(dirty_take_hints(&wa), 0);
	ck_assert_uint_eq(dirty_take_hints(&wb), 0);
	ck_assert(sleep_begin(&wa));
}
END_TEST

/* A marker that died between the two bits of a mark: the next one completes it. */
START_TEST(half_a_mark_is_completed_by_the_next)
{
	uint32_t chan = joined(&wb, "room");

	atomic_fetch_or(&wb.dirty[chan / 64], 1ull << chan % 64);
	publish(&wa, chan, 0, 1);
	ck_assert(!sleep_begin(&wb));
	ck_assert_uint_eq(take(&wb), 1);
}
END_TEST

START_TEST(an_heir_marks_for_itself)
{
	uint32_t chan = channel(&wa, "room");

	dirty_mark_self(&wa, chan);
	ck_assert(!sleep_begin(&wa));
	ck_assert_uint_eq(take(&wa), 1);
	ck_assert_uint_eq(taken[chan], 1);
}
END_TEST

START_TEST(rubbish_marks_name_no_channel_that_is_not)
{
	unsigned i;

	atomic_fetch_or(&region.channels[0].interest, ~0ull);
	dirty_mark(&wa, 0);
	ck_assert_uint_le(sleepers_take(&region, ~0ull), 1);
	for (i = 0; i < DIRTY_WORDS; i++)
		atomic_store(&wa.dirty[i], ~0ull);
	for (i = 0; i < SUMMARY_WORDS; i++)
		atomic_store(&wa.slot->summary[i], ~0ull);
	take(&wa);
	for (i = 0; i < SMALL_CHANNELS; i++)
		ck_assert_uint_eq(taken[i], 1);
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, a_publish_marks_those_who_joined_and_nobody_else);
	tcase_add_test(tc, who_left_is_not_marked);
	tcase_add_test(tc, many_marks_of_a_channel_are_taken_once);
	tcase_add_test(tc, every_channel_of_the_table_can_be_marked);
	tcase_add_test(tc, who_has_a_mark_does_not_sleep);
	tcase_add_test(tc, a_sleeper_is_taken_once_and_only_while_it_sleeps);
	tcase_add_test(tc, hints_keep_awake_and_are_taken_once);
	tcase_add_test(tc, half_a_mark_is_completed_by_the_next);
	tcase_add_test(tc, an_heir_marks_for_itself);
	tcase_add_test(tc, rubbish_marks_name_no_channel_that_is_not);
}

int
main(void)
{
	return run_cases("shm/dirty", add);
}
