/* The channel table: get-or-create, history's edges, retire and recycle. */
#include "shm/channel.h"

#include <errno.h>

#include "t/10-unit/shm_fixture.h"

START_TEST(names_are_what_the_contract_says)
{
	char name[CHANNEL_NAME_MAX + 2];

	memset(name, 'a', sizeof name);
	ck_assert(channel_name_valid("room:42/a.b-c_d@e", 17));
	ck_assert(channel_name_valid(name, CHANNEL_NAME_MAX));
	ck_assert(!channel_name_valid(name, CHANNEL_NAME_MAX + 1));
	ck_assert(!channel_name_valid("", 0));
	ck_assert(!channel_name_valid("a b", 3));
	ck_assert(!channel_name_valid("a\0b", 3));
	ck_assert(!channel_name_valid("a\n", 2));
	ck_assert(!channel_name_valid("\xc3\xa4", 2));
	ck_assert(!channel_name_valid("a*", 2));
}
END_TEST

START_TEST(get_or_create_gives_everybody_one_number)
{
	struct region r;
	struct writer w;
	uint32_t chan = channel(&wa, "room"), again;

	ck_assert_uint_eq(channel(&wa, "room"), chan);
	ck_assert_uint_eq(channel(&wb, "room"), chan);
	ck_assert_uint_eq(channel(&master, "room"), chan);
	ck_assert_int_eq(region_attach(&r, region.fd), 0);
	writer_open(&w, &r, 1);
	ck_assert_uint_eq(channel(&w, "room"), chan);
	ck_assert_int_eq(channel_find(&r, "room", 4, &again), 0);
	ck_assert_uint_eq(again, chan);
	ck_assert_int_eq(channel_find(&r, "roo", 3, &again), -1);
	ck_assert_int_eq(channel_find(&r, "rooms", 5, &again), -1);
	ck_assert_uint_ne(channel(&wa, "rooms"), chan);
	ck_assert_uint_eq(stat_get(&wa.slot->stats, STAT_CHANNELS_MADE), 2);
	ck_assert_uint_eq(stat_get(&wb.slot->stats, STAT_CHANNELS_MADE), 0);
	region_detach(&r);
}
END_TEST

START_TEST(a_full_table_is_an_error_and_keeps_what_is_there)
{
	uint32_t chan[SMALL_CHANNELS], i, j, none;
	char name[16];

	for (i = 0; i < SMALL_CHANNELS; i++) {
		snprintf(name, sizeof name, "c%u", i);
		chan[i] = channel(i % 2 ? &wa : &wb, name);
		for (j = 0; j < i; j++)
			ck_assert_uint_ne(chan[i], chan[j]);
	}
	ck_assert_int_eq(channel_get(&wa, "more", 4, &rule, &none), -1);
	ck_assert_int_eq(channel_get(&wb, "more", 4, &rule, &none), -1);
	ck_assert_uint_eq(stat_get(&wa.slot->stats, STAT_CHANNELS_FULL), 1);
	ck_assert_uint_eq(word_get(&wa.slot->claiming), 0);
	for (i = 0; i < SMALL_CHANNELS; i++) {
		snprintf(name, sizeof name, "c%u", i);
		ck_assert_uint_eq(channel(&wa, name), chan[i]);
	}
	ck_assert(channel_retire(&master, chan[7], 0));
	channel_recycle(&master, chan[7]);
	ck_assert_uint_eq(channel(&wa, "more"), chan[7]);
}
END_TEST

static unsigned
records_in_use(void)
{
	unsigned i, n = 0;

	for (i = 0; i < SMALL_CHANNELS; i++)
		n += word_get(&region.channels[i].claim) != CHANNEL_FREE;
	return n;
}

START_TEST(a_claim_of_a_dead_creator_is_given_back)
{
	channel(&wa, "room");
	/* claimed, being filled */
	atomic_store(&region.channels[9].claim, wa.index + 1);
	word_set(&wa.slot->claiming, 10);
	ck_assert_uint_eq(records_in_use(), 2);
	channel_repair(&wa);
	ck_assert_uint_eq(records_in_use(), 1);
	ck_assert_uint_eq(word_get(&wa.slot->claiming), 0);
}
END_TEST

START_TEST(a_channel_of_a_dead_creator_is_kept)
{
	uint32_t chan = channel(&wa, "room"), again;

	word_set(&wa.slot->claiming, (uint64_t)chan + 1);
	channel_repair(&wa);
	ck_assert_uint_eq(word_get(&wa.slot->claiming), 0);
	ck_assert_int_eq(channel_find(&region, "room", 4, &again), 0);
	ck_assert_uint_eq(again, chan);
	ck_assert_uint_eq(records_in_use(), 1);
}
END_TEST

START_TEST(a_claim_of_somebody_else_is_not_given_back)
{
	atomic_store(&region.channels[9].claim, wb.index + 1);
	word_set(&wa.slot->claiming, 10);
	channel_repair(&wa);
	ck_assert_uint_eq(word_get(&region.channels[9].claim), wb.index + 1);
	word_set(&wa.slot->claiming, UINT64_MAX);
	channel_repair(&wa);
	ck_assert_uint_eq(word_get(&wa.slot->claiming), 0);
}
END_TEST

/* A channel is retired between its creator's death behind the CAS and the repair. */
START_TEST(a_channel_that_the_master_takes_off_is_not_given_back)
{
	uint32_t chan = channel(&wa, "room");

	word_set(&wa.slot->claiming, (uint64_t)chan + 1);
	ck_assert(channel_retire(&master, chan, 0));
	channel_repair(&wa);
	ck_assert_uint_eq(word_get(&region.channels[chan].claim), CHANNEL_RETIRED);
	atomic_store(&region.channels[chan].claim, CHANNEL_CLOSING);
	word_set(&wa.slot->claiming, (uint64_t)chan + 1);
	channel_repair(&wa);
	ck_assert_uint_eq(word_get(&region.channels[chan].claim), CHANNEL_CLOSING);
}
END_TEST

START_TEST(join_tells_where_the_channel_stands)
{
	uint32_t chan = channel(&wa, "room");
	uint64_t tail;

	ck_assert(channel_join(&wa, chan, &tail));
	ck_assert_uint_eq(tail, 0);
	publish(&wb, chan, 0, 1);
	publish(&wb, chan, 0, 1);
	ck_assert(channel_join(&wb, chan, &tail));
	ck_assert_uint_eq(tail, 2);
	ck_assert_uint_eq(atomic_load(&region.channels[chan].interest), 3);
	channel_leave(&wa, chan);
	ck_assert_uint_eq(atomic_load(&region.channels[chan].interest), 2);
}
END_TEST

START_TEST(history_ends_exactly_at_its_edge)
{
	const struct channel_rule_values five = { .history = 5 };
	uint32_t chan;
	uint64_t i, tail;

	ck_assert_int_eq(channel_get(&wa, "five", 4, &five, &chan), 0);
	ck_assert(channel_covers(&region, chan, 0, 0));
	ck_assert_uint_eq(channel_first_after(&region, chan, 0, 0), 1);
	for (tail = 1; tail <= 40; tail++) {
		publish(&wa, chan, 0, 8);
		for (i = 0; i <= tail; i++) {
			uint64_t oldest = tail > 5 ? tail - 4 : 1;

			ck_assert_int_eq(channel_covers(&region, chan, i, tail), i + 1 >= oldest);
			ck_assert_uint_eq(channel_first_after(&region, chan, i, tail),
			    i + 1 > oldest ? i + 1 : oldest);
		}
		ck_assert(!channel_covers(&region, chan, tail + 1, tail));
		ck_assert(!channel_covers(&region, chan, UINT64_MAX, tail));
		ck_assert_uint_eq(channel_first_after(&region, chan, UINT64_MAX, tail), tail + 1);
	}
}
END_TEST

START_TEST(history_is_at_most_the_ring)
{
	const struct channel_rule_values much = { .history = HISTORY_MAX }, one = { .history = 1 };
	uint32_t chan;
	unsigned i;

	ck_assert_int_eq(channel_get(&wa, "much", 4, &much, &chan), 0);
	for (i = 0; i < 40; i++)
		publish(&wa, chan, 0, 8);
	ck_assert(channel_covers(&region, chan, 40 - SMALL_RING, 40));
	ck_assert(!channel_covers(&region, chan, 40 - SMALL_RING - 1, 40));
	ck_assert_int_eq(channel_get(&wa, "one", 3, &one, &chan), 0);
	for (i = 0; i < 40; i++)
		publish(&wa, chan, 0, 8);
	ck_assert(channel_covers(&region, chan, 39, 40));
	ck_assert(!channel_covers(&region, chan, 38, 40));
}
END_TEST

START_TEST(an_event_given_up_is_a_gap_that_is_told)
{
	uint32_t chan = channel(&wa, "room");
	struct event e;
	unsigned i;

	for (i = 0; i < 8; i++)
		publish(&wa, chan, 0, 8);
	/* the record of 6 is overwritten: its cell names rubbish */
	ck_assert_int_eq(event_peek(&region, chan, 6, &e), EVENT_OK);
	memset(wa.arena + (cell_pos(e.cell) & (SMALL_ARENA - 1)), 0, EVENT_HEAD);
	ck_assert(!channel_covers(&region, chan, 3, 8));
	ck_assert(!channel_covers(&region, chan, 5, 8));
	ck_assert(channel_covers(&region, chan, 6, 8));
	ck_assert_uint_eq(channel_first_after(&region, chan, 5, 8), 7);
	ck_assert_uint_eq(channel_first_after(&region, chan, 4, 8), 5);
}
END_TEST

/* ---- retire and recycle ---- */

START_TEST(retire_refuses_a_channel_with_interest)
{
	uint32_t chan = channel(&wa, "room");
	uint64_t tail;

	channel_join(&wa, chan, &tail);
	ck_assert(!channel_retire(&master, chan, 0));
	channel_leave(&wa, chan);
	ck_assert(!channel_is_closed(&region, chan));
	ck_assert(channel_retire(&master, chan, 0));
	ck_assert(channel_is_closed(&region, chan));
}
END_TEST

START_TEST(retire_refuses_a_channel_with_newer_events)
{
	uint32_t chan = channel(&wa, "room");

	publish(&wa, chan, 0, 1);
	publish(&wa, chan, 0, 1);
	ck_assert(!channel_retire(&master, chan, 1));
	ck_assert(!channel_retire(&master, chan, 3));
	ck_assert_uint_eq(publish(&wa, chan, 0, 1), 3);
	/* and one whose publisher died behind its CAS */
	atomic_store(&region.channels[chan].tail, 2);
	ck_assert(!channel_retire(&master, chan, 2));
	ck_assert(channel_retire(&master, chan, 3));
}
END_TEST

/* Claimed and filled, not yet in its bucket: it looks idle, and must be left alone. */
START_TEST(retire_refuses_a_record_in_preparation)
{
	atomic_store(&region.channels[9].claim, wa.index + 1);
	atomic_store(&region.channels[9].mask, SMALL_RING - 1);
	ck_assert(!channel_retire(&master, 9, 0));
	ck_assert_uint_eq(word_get(&region.channels[9].claim), wa.index + 1);
	ck_assert_uint_eq(atomic_load(region_ring(&region, 9) + 1), 0);
	ck_assert(!channel_retire(&master, 10, 0));
}
END_TEST

START_TEST(a_name_retired_gets_a_new_channel_and_a_new_epoch)
{
	uint32_t chan = channel(&wa, "room"), next;
	uint64_t epoch = region.channels[chan].epoch, tail, mark;

	publish(&wa, chan, 1, 8);
	ck_assert(channel_retire(&master, chan, 1));
	ck_assert_int_eq(channel_find(&region, "room", 4, &next), -1);
	ck_assert(!channel_join(&wb, chan, &tail));
	next = channel(&wb, "room");
	ck_assert_uint_ne(next, chan);
	ck_assert_uint_ne(region.channels[next].epoch, epoch);
	/* what was there can be read until it is recycled */
	ck_assert_int_eq(read_event(chan, 1, &mark), EVENT_OK);
	ck_assert_int_eq(read_event(chan, 2, &mark), EVENT_NONE);
	ck_assert_uint_eq(publish(&wa, next, 2, 8), 1);
	ck_assert_int_eq(read_event(next, 1, &mark), EVENT_OK);
	ck_assert_uint_eq(mark, 2);
}
END_TEST

START_TEST(a_record_recycled_is_as_new)
{
	uint32_t chan = channel(&wa, "room"), again, i;
	uint64_t epoch, tail, mark;

	for (i = 0; i < 50; i++) {
		uint32_t k, n = i % 40;

		for (k = 0; k < n; k++)
			publish(&wa, chan, i, 8);
		epoch = region.channels[chan].epoch;
		ck_assert(channel_retire(&master, chan, n));
		channel_recycle(&master, chan);
		again = channel(&wa, "room");
		ck_assert_uint_eq(again, chan);
		ck_assert_uint_ne(region.channels[chan].epoch, epoch);
		ck_assert(channel_join(&wb, chan, &tail));
		ck_assert_uint_eq(tail, 0);
		ck_assert_int_eq(read_event(chan, 1, &mark), EVENT_NONE);
		channel_leave(&wb, chan);
	}
	ck_assert_uint_eq(records_in_use(), 1);
}
END_TEST

/* As many names as records, so that chains are changed at the head, in the middle, at the end. */
START_TEST(retiring_leaves_the_rest_of_the_chain)
{
	uint32_t chan[SMALL_CHANNELS], found, i, k;
	char name[16];

	for (i = 0; i < SMALL_CHANNELS; i++) {
		snprintf(name, sizeof name, "c%u", i);
		chan[i] = channel(&wa, name);
	}
	for (k = 0; k < SMALL_CHANNELS; k++) {
		ck_assert(channel_retire(&master, chan[k * 37 % SMALL_CHANNELS], 0));
		for (i = 0; i < SMALL_CHANNELS; i++) {
			int gone = 0, j;

			for (j = 0; j <= (int)k; j++)
				gone |= (unsigned)j * 37 % SMALL_CHANNELS == i;
			snprintf(name, sizeof name, "c%u", i);
			ck_assert_int_eq(channel_find(&region, name, strlen(name), &found), -gone);
		}
	}
	for (i = 0; i < SMALL_CHANNELS; i++)
		ck_assert_uint_eq(word32_get(&region.buckets[i]), 0);
}
END_TEST

/* The master died between the CAS that closes and the end: its successor finishes. */
START_TEST(a_retirement_begun_by_a_dead_master_is_finished)
{
	uint32_t chan = channel(&wa, "room"), next;
	uint64_t tail;

	atomic_store(region_ring(&region, chan) + 1, cell_make(1, WRITER_CLOSED, 0));
	ck_assert(!channel_join(&wb, chan, &tail));
	ck_assert(channel_retire(&master, chan, 0));
	ck_assert_uint_eq(word_get(&region.channels[chan].claim), CHANNEL_RETIRED);
	channel_recycle(&master, chan);
	next = channel(&wa, "room");
	atomic_store(region_ring(&region, next) + 1, cell_make(1, WRITER_CLOSED, 0));
	atomic_store(&region.channels[next].claim, CHANNEL_CLOSING);
	ck_assert(channel_retire(&master, next, 0));
	ck_assert_uint_eq(word_get(&region.channels[next].claim), CHANNEL_RETIRED);
	ck_assert(!channel_retire(&master, next, 0));
}
END_TEST

START_TEST(a_chain_that_bites_its_tail_ends)
{
	uint32_t chan = channel(&wa, "room"), found;
	unsigned i;

	for (i = 0; i < SMALL_CHANNELS; i++)
		word32_set(&region.buckets[i], chan + 1);
	word32_set(&region.channels[chan].next, chan + 1);
	ck_assert_int_eq(channel_find(&region, "nobody", 6, &found), -1);
	word32_set(&region.channels[chan].next, UINT32_MAX);
	ck_assert_int_eq(channel_find(&region, "nobody", 6, &found), -1);
	ck_assert_int_eq(channel_find(&region, "room", 4, &found), 0);
	word32_set(&region.channels[chan].next, chan + 1);
	ck_assert(channel_retire(&master, chan, 0));
}
END_TEST

/* What a record of rubbish says of its name may be longer than any. */
START_TEST(a_name_that_no_record_has_room_for_is_refused)
{
	char name[CHANNEL_NAME_MAX + 1];
	uint32_t chan;

	memset(name, 'a', sizeof name);
	ck_assert_int_eq(channel_get(&wa, name, CHANNEL_NAME_MAX, &rule, &chan), 0);
	ck_assert_int_eq(channel_get(&wa, name, sizeof name, &rule, &chan), -1);
	ck_assert_int_eq(channel_find(&region, name, sizeof name, &chan), -1);
}
END_TEST

/* A cursor has no room for more, and whoever counts up to it must come to an end. */
START_TEST(a_tail_of_rubbish_is_within_its_range)
{
	uint32_t room = channel(&wa, "room");
	uint64_t tail;

	atomic_store(&region.channels[room].tail, UINT64_MAX);
	tail = channel_tail(&region, room);
	ck_assert_uint_le(tail, CHANNEL_SEQ_MAX);
	ck_assert_uint_eq(channel_first_after(&region, room, 0, tail), tail + 1);
	ck_assert(!channel_covers(&region, room, tail - 3, tail));
	ck_assert(channel_join(&wa, room, &tail));
	ck_assert_uint_le(tail, CHANNEL_SEQ_MAX);
}
END_TEST

START_TEST(taking_a_channel_off_a_chain_of_rubbish_ends)
{
	uint32_t room = channel(&wa, "room"), next[] = { room + 2, SMALL_CHANNELS + 1, UINT32_MAX };
	uint32_t i;

	for (i = 0; i < SMALL_CHANNELS; i++) {
		word32_set(&region.buckets[i], room + 2);
		word32_set(&region.channels[i].next, next[_i]);
	}
	word_set(&region.channels[room].claim, CHANNEL_CLOSING);
	ck_assert(channel_retire(&master, room, 0));
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, names_are_what_the_contract_says);
	tcase_add_test(tc, get_or_create_gives_everybody_one_number);
	tcase_add_test(tc, a_full_table_is_an_error_and_keeps_what_is_there);
	tcase_add_test(tc, a_claim_of_a_dead_creator_is_given_back);
	tcase_add_test(tc, a_channel_of_a_dead_creator_is_kept);
	tcase_add_test(tc, a_claim_of_somebody_else_is_not_given_back);
	tcase_add_test(tc, a_channel_that_the_master_takes_off_is_not_given_back);
	tcase_add_test(tc, join_tells_where_the_channel_stands);
	tcase_add_test(tc, history_ends_exactly_at_its_edge);
	tcase_add_test(tc, history_is_at_most_the_ring);
	tcase_add_test(tc, an_event_given_up_is_a_gap_that_is_told);
	tcase_add_test(tc, retire_refuses_a_channel_with_interest);
	tcase_add_test(tc, retire_refuses_a_channel_with_newer_events);
	tcase_add_test(tc, retire_refuses_a_record_in_preparation);
	tcase_add_test(tc, a_name_retired_gets_a_new_channel_and_a_new_epoch);
	tcase_add_test(tc, a_record_recycled_is_as_new);
	tcase_add_test(tc, retiring_leaves_the_rest_of_the_chain);
	tcase_add_test(tc, a_retirement_begun_by_a_dead_master_is_finished);
	tcase_add_test(tc, a_chain_that_bites_its_tail_ends);
	tcase_add_test(tc, a_name_that_no_record_has_room_for_is_refused);
	tcase_add_test(tc, a_tail_of_rubbish_is_within_its_range);
	tcase_add_loop_test(tc, taking_a_channel_off_a_chain_of_rubbish_ends, 0, 3);
}

int
main(void)
{
	return run_cases("shm/channel", add);
}
