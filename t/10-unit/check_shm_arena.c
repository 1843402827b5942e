/* The arena: laps, what is moved forward, what is given up. */
#include "shm/arena.h"

#include "t/10-unit/shm_fixture.h"

static uint64_t
counter(enum counter i)
{
	return stat_get(&wa.slot->stats, i);
}

static uint64_t
laps(void)
{
	return word_get(&wa.slot->arena_head) / SMALL_ARENA;
}

/* All records that the region's cells name must be readable and right. */
static unsigned
count_readable(uint32_t chan)
{
	uint64_t q, tail = channel_tail(&region, chan), mark;
	unsigned n = 0;

	for (q = tail > SMALL_RING ? tail - SMALL_RING + 1 : 1; q <= tail; q++)
		n += read_event(chan, q, &mark) == EVENT_OK;
	return n;
}

START_TEST(records_are_aligned_and_never_straddle_the_end)
{
	struct event_head h = { .kind = EVENT_DATA };
	uint64_t pos, end = 0;
	unsigned i;

	for (i = 0; i < 3000; i++) {
		h.len = i * 977 % (EVENT_MAX + 1);
		pos = arena_append(&wa, &h, big);
		ck_assert_uint_eq(pos % EVENT_ALIGN, 0);
		ck_assert_uint_ge(pos, end);
		ck_assert_uint_le((pos & (SMALL_ARENA - 1)) + EVENT_HEAD + h.len, SMALL_ARENA);
		end = pos + EVENT_HEAD + h.len;
		ck_assert_uint_eq(
		    word_get(&wa.slot->arena_head), word_get(&wa.slot->arena_reserved));
		ck_assert_uint_le(word_get(&wa.slot->arena_head) - word_get(&wa.slot->arena_low),
		    SMALL_ARENA);
	}
	ck_assert_uint_gt(laps(), 50);
}
END_TEST

START_TEST(a_quiet_channel_keeps_its_history_while_a_hot_one_laps_the_arena)
{
	uint32_t quiet = channel(&wa, "quiet"), hot = channel(&wa, "hot");
	uint64_t i, mark;

	for (i = 1; i <= SMALL_RING; i++)
		publish(&wa, quiet, i, 100 + (uint32_t)i);
	while (laps() < 40)
		publish(&wa, hot, 0, 1000);
	ck_assert_uint_ge(counter(STAT_ARENA_MOVED), 38 * SMALL_RING);
	ck_assert_uint_eq(counter(STAT_ARENA_DROPPED), 0);
	ck_assert(channel_covers(&region, quiet, 0, SMALL_RING));
	for (i = 1; i <= SMALL_RING; i++) {
		ck_assert_int_eq(read_event(quiet, i, &mark), EVENT_OK);
		ck_assert_uint_eq(mark, i);
	}
	ck_assert_uint_eq(count_readable(hot), SMALL_RING);
}
END_TEST

/* Written at once, it lies in one piece: more to be moved than one append may. */
START_TEST(a_long_history_written_at_once_is_kept)
{
	struct region_caps caps = small_caps;
	const struct channel_rule_values thousand = { .history = 1000 };
	uint32_t quiet, hot;
	uint64_t i, mark;

	tear_down();
	caps.ring_cells = 1024;
	ck_assert_int_eq(region_create(&region, &caps), 0);
	writer_open(&wa, &region, 0);
	ck_assert_int_eq(channel_get(&wa, "quiet", 5, &thousand, &quiet), 0);
	hot = channel(&wa, "hot");
	for (i = 1; i <= 1000; i++)
		publish(&wa, quiet, i, 100);
	while (laps() < 20)
		publish(&wa, hot, 0, 50);
	while (laps() < 40)
		publish(&wa, hot, 0, laps() % 2 ? 20000 : 300);
	ck_assert_uint_eq(counter(STAT_ARENA_DROPPED), 0);
	for (i = 1; i <= 1000; i++) {
		ck_assert_int_eq(read_event(quiet, i, &mark), EVENT_OK);
		ck_assert_uint_eq(mark, i);
	}
}
END_TEST

START_TEST(events_beyond_the_history_are_not_moved)
{
	const struct channel_rule_values two = { .history = 2 };
	uint32_t quiet, hot = channel(&wa, "hot");
	uint64_t i;

	ck_assert_int_eq(channel_get(&wa, "quiet", 5, &two, &quiet), 0);
	for (i = 0; i < SMALL_RING; i++)
		publish(&wa, quiet, i, 8);
	while (laps() < 3)
		publish(&wa, hot, 0, 8000);
	ck_assert_uint_ge(counter(STAT_ARENA_MOVED), 2);
	ck_assert_uint_le(counter(STAT_ARENA_MOVED), 6 + 2 * SMALL_RING);
	ck_assert(channel_covers(&region, quiet, SMALL_RING - 2, SMALL_RING));
	ck_assert_uint_eq(count_readable(quiet), 2);
}
END_TEST

START_TEST(retired_channels_are_not_moved)
{
	uint32_t quiet = channel(&wa, "quiet"), hot = channel(&wa, "hot");
	uint64_t i;

	for (i = 0; i < SMALL_RING; i++)
		publish(&wa, quiet, i, 8);
	ck_assert(channel_retire(&master, quiet, SMALL_RING));
	while (laps() < 3)
		publish(&wa, hot, 0, 30000);
	ck_assert_uint_eq(count_readable(quiet), 0);
}
END_TEST

/* More alive than the arena can keep: given up, told, counted, and what is left is right. */
START_TEST(budget_drops_are_counted)
{
	uint32_t chan[40], i, k, readable = 0;
	uint64_t published = 0;
	char name[16];

	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "c%u", i);
		chan[i] = channel(&wa, name);
	}
	for (k = 0; k < SMALL_RING; k++)
		for (i = 0; i < 40; i++, published++)
			publish(&wa, chan[i], i, 8000);
	for (i = 0; i < 40; i++)
		readable += count_readable(chan[i]);
	ck_assert_uint_gt(counter(STAT_ARENA_DROPPED), 0);
	/* what was given up and not yet overwritten can still be read */
	ck_assert_uint_le(published - readable, counter(STAT_ARENA_DROPPED));
	ck_assert_uint_ge(readable, 70);
	ck_assert_uint_lt(counter(STAT_ARENA_MOVED), published * 16);
}
END_TEST

START_TEST(the_smallest_arena_holds_the_largest_events)
{
	uint32_t a = channel(&wa, "a"), b = channel(&wa, "b"), i;
	uint64_t mark;

	for (i = 1; i <= 500; i++) {
		ck_assert_uint_eq(publish(&wa, a, 0, EVENT_MAX), i);
		ck_assert_int_eq(read_event(a, i, &mark), EVENT_OK);
		ck_assert_uint_eq(publish(&wa, b, i, i * 131 % 60000), i);
		ck_assert_int_eq(read_event(b, i, &mark), EVENT_OK);
		ck_assert_uint_eq(mark, i);
		ck_assert_uint_le(word_get(&wa.slot->arena_head) - word_get(&wa.slot->arena_low),
		    SMALL_ARENA);
		count_readable(a);
		count_readable(b);
	}
	ck_assert_uint_ge(count_readable(a) + count_readable(b), 8);
}
END_TEST

/* The record of the last publish is what an heir looks at: one append must not overwrite it. */
START_TEST(the_last_record_outlives_the_next_append)
{
	struct event_head h;
	uint32_t chan[40], i, k;
	uint64_t last = 0, lost = 0;
	char name[16];

	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "c%u", i);
		chan[i] = channel(&wa, name);
	}
	for (k = 0; k < 1000; k++) {
		i = k * 7 % 40;
		publish(&wa, chan[i], 0, k % 3 ? EVENT_MAX - k % 100 : 40000 + k);
		if (k > 0)
			lost += !arena_peek(&region, 0, last, &h);
		last = word_get(&wa.slot->intent) & ~(uint64_t)INTENT_FLAGS;
	}
	ck_assert_uint_gt(counter(STAT_ARENA_MOVED), 100);
	ck_assert_uint_eq(lost, 0);
}
END_TEST

START_TEST(a_death_in_the_middle_of_a_move_loses_nothing)
{
	uint32_t quiet = channel(&wa, "quiet"), hot = channel(&wa, "hot");
	uint64_t head, i, mark;

	for (i = 1; i <= SMALL_RING; i++)
		publish(&wa, quiet, i, 200);
	for (i = 0; i < 4000; i++) {
		publish(&wa, hot, 0, 2000);
		if (i % 3 == 0) {
			/* reserved, some bytes, then dead; a copy that no cell names */
			head = word_get(&wa.slot->arena_head);
			if ((head & (SMALL_ARENA - 1)) + 640 > SMALL_ARENA)
				continue;
			word_set(&wa.slot->arena_reserved, head + 64 * (1 + i % 10));
			memset(wa.arena + (head & (SMALL_ARENA - 1)), 0xee, 64 * (i % 10));
			writer_open(&wa, &region, 0);
		}
	}
	ck_assert_uint_gt(laps(), 5);
	for (i = 1; i <= SMALL_RING; i++) {
		ck_assert_int_eq(read_event(quiet, i, &mark), EVENT_OK);
		ck_assert_uint_eq(mark, i);
	}
	ck_assert_uint_eq(counter(STAT_ARENA_DROPPED), 0);
}
END_TEST

START_TEST(what_nobody_reserved_cannot_be_read)
{
	struct event_head h;
	uint64_t head = word_get(&wa.slot->arena_head);

	ck_assert(!arena_peek(&region, 0, head, &h));
	ck_assert(!arena_peek(&region, 0, head + 64, &h));
	ck_assert(!arena_peek(&region, 0, head - SMALL_ARENA - 64, &h));
	ck_assert(!arena_peek(&region, 0, head + 1, &h));
	ck_assert(!arena_peek(&region, 63, head, &h));
	ck_assert(!arena_peek(&region, 2, head, &h));
}
END_TEST

START_TEST(rubbish_positions_make_the_arena_begin_anew)
{
	static const uint64_t odd[] = { 1, UINT64_MAX, 1ull << 63, 0, SMALL_ARENA * 5 + 32 };
	uint32_t chan = channel(&wa, "room");
	uint64_t seq = 0, mark;
	unsigned i, k;

	for (i = 0; i < sizeof odd / sizeof odd[0]; i++)
		for (k = 0; k < 3; k++) {
			word64 *w[] = { &wa.slot->arena_low, &wa.slot->arena_head,
			    &wa.slot->arena_reserved };

			word_set(w[k], odd[i]);
			writer_open(&wa, &region, 0);
			ck_assert_uint_eq(publish(&wa, chan, 3, 5000), ++seq);
			ck_assert_int_eq(read_event(chan, seq, &mark), EVENT_OK);
		}
	for (i = 0; i < 1000; i++)
		publish(&wa, chan, 3, 5000);
	ck_assert_uint_eq(count_readable(chan), SMALL_RING);
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, records_are_aligned_and_never_straddle_the_end);
	tcase_add_test(tc, a_quiet_channel_keeps_its_history_while_a_hot_one_laps_the_arena);
	tcase_add_test(tc, a_long_history_written_at_once_is_kept);
	tcase_add_test(tc, events_beyond_the_history_are_not_moved);
	tcase_add_test(tc, retired_channels_are_not_moved);
	tcase_add_test(tc, budget_drops_are_counted);
	tcase_add_test(tc, the_smallest_arena_holds_the_largest_events);
	tcase_add_test(tc, the_last_record_outlives_the_next_append);
	tcase_add_test(tc, a_death_in_the_middle_of_a_move_loses_nothing);
	tcase_add_test(tc, what_nobody_reserved_cannot_be_read);
	tcase_add_test(tc, rubbish_positions_make_the_arena_begin_anew);
}

int
main(void)
{
	return run_cases("shm/arena", add);
}
