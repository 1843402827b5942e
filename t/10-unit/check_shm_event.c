/* Publishing, reading, and what an heir finds. */
#include "shm/event.h"

#include <errno.h>

#include "shm/arena.h"
#include "t/10-unit/shm_fixture.h"

START_TEST(seq_is_contiguous_from_one_whoever_publishes)
{
	uint32_t chan = channel(&wa, "room");
	uint64_t i, mark;

	for (i = 1; i <= 1000; i++) {
		ck_assert_uint_eq(publish(i % 3 ? &wa : &wb, chan, i, (uint32_t)i), i);
		ck_assert_uint_eq(channel_tail(&region, chan), i);
		ck_assert_int_eq(read_event(chan, i, &mark), EVENT_OK);
		ck_assert_uint_eq(mark, i);
	}
}
END_TEST

START_TEST(an_event_carries_what_its_publisher_said)
{
	uint32_t chan = channel(&wa, "room");
	struct event_head h = {
		.time = 1, .key = 2, .cookie = 3, .in_off = 4, .len = 5, .conn = 6, .index = 7,
		.flags = EVENT_TEXT, .host = 8, .aux = 9,
	};
	struct event e;
	uint64_t seq;

	ck_assert_int_eq(event_publish(&wb, chan, &h, "hello", &seq), 0);
	ck_assert_int_eq(event_peek(&region, chan, seq, &e), EVENT_OK);
	h.seq = 1;
	h.chan = chan;
	ck_assert_int_eq(memcmp(&e.head, &h, sizeof h), 0);
	ck_assert_uint_eq(cell_writer(e.cell), 1);
	ck_assert_int_eq(event_copy(&region, chan, seq, &e, got), EVENT_OK);
	ck_assert_int_eq(memcmp(got, "hello", 5), 0);
}
END_TEST

START_TEST(events_of_any_length_come_back)
{
	static const uint32_t len[] = { 0, 1, 7, 8, 9, 63, 64, 65, 4095, EVENT_MAX - 1, EVENT_MAX };
	uint32_t chan = channel(&wa, "room");
	uint64_t mark;
	unsigned i;

	for (i = 0; i < sizeof len / sizeof len[0]; i++) {
		ck_assert_uint_eq(publish(&wa, chan, 0, len[i]), i + 1);
		ck_assert_int_eq(read_event(chan, i + 1, &mark), EVENT_OK);
	}
}
END_TEST

START_TEST(an_event_that_is_not_there_is_not_a_gap)
{
	uint32_t chan = channel(&wa, "room");
	uint64_t i, mark;

	for (i = 0; i < 3 * SMALL_RING; i++) {
		ck_assert_int_eq(read_event(chan, i + 1, &mark), EVENT_NONE);
		ck_assert_int_eq(read_event(chan, i + 1 + SMALL_RING, &mark), EVENT_NONE);
		ck_assert_int_eq(read_event(chan, i + 65537, &mark), EVENT_NONE);
		publish(&wa, chan, 0, 8);
	}
}
END_TEST

START_TEST(lapped_reader_is_told)
{
	uint32_t chan = channel(&wa, "room");
	uint64_t i, mark;

	for (i = 0; i < SMALL_RING + 5; i++)
		publish(&wa, chan, i, 8);
	for (i = 1; i <= 5; i++)
		ck_assert_int_eq(read_event(chan, i, &mark), EVENT_LAPPED);
	for (; i <= SMALL_RING + 5; i++) {
		ck_assert_int_eq(read_event(chan, i, &mark), EVENT_OK);
		ck_assert_uint_eq(mark, i - 1);
	}
}
END_TEST

START_TEST(lapped_between_the_look_and_the_copy_is_told)
{
	uint32_t chan = channel(&wa, "room"), i;
	struct event e;

	publish(&wa, chan, 1, 1000);
	ck_assert_int_eq(event_peek(&region, chan, 1, &e), EVENT_OK);
	for (i = 0; i < 40; i++)		/* the ring and the arena go round */
		publish(&wa, chan, 0, EVENT_MAX);
	ck_assert_int_ne(event_copy(&region, chan, 1, &e, got), EVENT_OK);
	ck_assert_int_eq(event_peek(&region, chan, 1, &e), EVENT_LAPPED);
}
END_TEST

/* Tags repeat after 65536 events: the same tag and cell, another event. */
START_TEST(an_event_65536_later_is_not_taken_for_this_one)
{
	uint32_t chan = channel(&wa, "room"), i;
	uint64_t mark;

	for (i = 0; i < 65536 + 3; i++)
		publish(&wa, chan, 0, 8);
	ck_assert_int_eq(read_event(chan, 3, &mark), EVENT_LAPPED);
	ck_assert_int_eq(read_event(chan, 65539, &mark), EVENT_OK);
	ck_assert_int_eq(read_event(chan, 65539 + 65536, &mark), EVENT_NONE);
}
END_TEST

START_TEST(a_publish_on_a_closed_channel_is_stale)
{
	uint32_t chan = channel(&wa, "room");
	struct event_head h = { .len = 1 };
	uint64_t seq = 77;

	publish(&wa, chan, 0, 1);
	ck_assert(channel_retire(&master, chan, 1));
	errno = 0;
	ck_assert_int_eq(event_publish(&wa, chan, &h, "x", &seq), -1);
	ck_assert_int_eq(errno, ESTALE);
	ck_assert_uint_eq(seq, 77);
	ck_assert_uint_eq(channel_tail(&region, chan), 1);
}
END_TEST

START_TEST(a_ring_of_rubbish_is_an_error_not_a_loop)
{
	uint32_t chan = channel(&wa, "room"), i;
	struct event_head h = { .len = 1 };
	uint64_t seq;

	for (i = 0; i < SMALL_RING; i++)
		atomic_store(region_ring(&region, chan) + i, 0x7777000000000000ull | i);
	errno = 0;
	ck_assert_int_eq(event_publish(&wa, chan, &h, "x", &seq), -1);
	ck_assert_int_eq(errno, EIO);
}
END_TEST

/* ---- a colleague that died behind its CAS ---- */

START_TEST(a_tail_that_was_left_behind_is_brought_up_by_anybody)
{
	uint32_t chan = channel(&wa, "room");
	uint64_t mark;

	publish(&wa, chan, 1, 8);
	atomic_store(&region.channels[chan].tail, 0);
	ck_assert_uint_eq(publish(&wb, chan, 2, 8), 2);
	ck_assert_int_eq(read_event(chan, 1, &mark), EVENT_OK);
	ck_assert_uint_eq(mark, 1);
	atomic_store(&region.channels[chan].tail, 1);
	ck_assert_uint_eq(channel_tail(&region, chan), 2);
	ck_assert_uint_eq(atomic_load(&region.channels[chan].tail), 2);
}
END_TEST

/* ---- recover: every combination ---- */

static uint32_t room;
static struct doubt d;

/* The state in which a publisher leaves the region that dies just behind its CAS. */
static uint64_t
die_behind_cas(uint64_t mark)
{
	uint64_t seq = publish(&wa, room, mark, 8), intent = atomic_load(&wa.slot->intent);

	atomic_store(&wa.slot->intent, (intent & ~(uint64_t)INTENT_FLAGS) | INTENT_PENDING);
	atomic_store(&region.channels[room].tail, seq - 1);
	return seq;
}

/* And just before it. */
static void
die_before_cas(uint64_t mark)
{
	struct event_head h = { .cookie = mark, .len = 8, .chan = room, .kind = EVENT_DATA };
	uint64_t pos = arena_append(&wa, &h, big + mark);

	atomic_store(&wa.slot->intent, (pos & CELL_POS_MASK) | INTENT_PENDING);
	arena_set_seq(&wa, pos, channel_tail(&region, room) + 1);
}

static void
inherit(void)
{
	memset(&wa, 0xff, sizeof wa);
	writer_open(&wa, &region, 0);
	event_recover(&wa, &d);
}

START_TEST(an_heir_of_nobody_has_no_doubt)
{
	inherit();
	ck_assert(!d.on);
}
END_TEST

START_TEST(an_heir_of_an_owner_at_rest_is_told_its_last_event)
{
	room = channel(&wa, "room");
	publish(&wa, room, 4, 8);
	publish(&wa, room, 5, 8);
	inherit();
	ck_assert(d.on);
	ck_assert_uint_eq(d.head.cookie, 5);
	ck_assert_uint_eq(d.head.seq, 2);
}
END_TEST

START_TEST(recover_says_no_when_it_was_not_installed)
{
	uint64_t mark;

	room = channel(&wb, "room");
	publish(&wb, room, 1, 8);
	die_before_cas(5);
	publish(&wb, room, 2, 8);		/* takes the same place */
	inherit();
	ck_assert(!d.on);
	ck_assert_uint_eq(stat_get(&wa.slot->stats, STAT_DOUBTS_VOID), 1);
	ck_assert_uint_eq(publish(&wa, room, 5, 8), 3);
	ck_assert_int_eq(read_event(room, 2, &mark), EVENT_OK);
	ck_assert_uint_eq(mark, 2);
}
END_TEST

START_TEST(recover_says_no_before_the_first_attempt)
{
	struct event_head h = { .len = 8, .kind = EVENT_DATA };
	uint64_t pos;

	room = channel(&wb, "room");
	publish(&wb, room, 1, 8);
	h.chan = room;
	pos = arena_append(&wa, &h, big);
	atomic_store(&wa.slot->intent, (pos & CELL_POS_MASK) | INTENT_PENDING);
	inherit();
	ck_assert(!d.on);
}
END_TEST

START_TEST(recover_says_yes_when_it_was_installed_and_does_the_rest)
{
	uint64_t tail;

	room = channel(&wb, "room");
	ck_assert(channel_join(&wb, room, &tail));
	publish(&wb, room, 1, 8);
	die_behind_cas(5);
	atomic_store(&wb.slot->summary[0], 0);
	atomic_store(&wb.dirty[room / 64], 0);
	inherit();
	ck_assert(d.on);
	ck_assert_uint_eq(d.head.cookie, 5);
	ck_assert_uint_eq(d.head.seq, 2);
	ck_assert_uint_eq(atomic_load(&region.channels[room].tail), 2);
	ck_assert(wa.wake & 1ull << 1);
	ck_assert(!sleep_begin(&wb));
}
END_TEST

START_TEST(recover_says_yes_when_it_was_lapped_because_of_the_testimony)
{
	unsigned i;

	room = channel(&wb, "room");
	publish(&wb, room, 1, 8);
	die_behind_cas(5);
	for (i = 0; i < SMALL_RING - 1; i++)
		publish(&wb, room, 9, 8);
	ck_assert_uint_eq(atomic_load(&wa.slot->intent) & INTENT_FLAGS, INTENT_PENDING);
	publish(&wb, room, 9, 8);
	ck_assert_uint_eq(atomic_load(&wa.slot->intent) & INTENT_FLAGS, INTENT_SEEN);
	for (i = 0; i < 3 * SMALL_RING; i++)
		publish(&wb, room, 9, 8);
	inherit();
	ck_assert(d.on);
	ck_assert_uint_eq(d.head.cookie, 5);
	ck_assert_uint_eq(d.head.seq, 2);
}
END_TEST

START_TEST(recover_says_no_when_it_was_not_installed_and_the_ring_went_round)
{
	unsigned i;

	room = channel(&wb, "room");
	publish(&wb, room, 1, 8);
	die_before_cas(5);
	for (i = 0; i < 3 * SMALL_RING; i++)
		publish(&wb, room, 9, 8);
	inherit();
	ck_assert(!d.on);
}
END_TEST

/* The cleaner moves the last event while the next is prepared: it is published all the same. */
START_TEST(recover_says_yes_when_the_event_was_moved)
{
	struct event_head h;
	struct event e;
	uint64_t pos;

	room = channel(&wa, "room");
	publish(&wa, room, 5, 8);
	ck_assert_int_eq(event_peek(&region, room, 1, &e), EVENT_OK);
	h = e.head;
	pos = arena_append(&wa, &h, big + 5);
	atomic_store(region_ring(&region, room) + 1, cell_make(1, 0, pos));
	inherit();
	ck_assert(d.on);
	ck_assert_uint_eq(d.head.cookie, 5);
}
END_TEST

START_TEST(retiring_and_recycling_testify_too)
{
	uint64_t seq;

	room = channel(&wb, "room");
	seq = die_behind_cas(5);
	atomic_store(&region.channels[room].tail, seq);
	ck_assert(channel_retire(&master, room, seq));
	channel_recycle(&master, room);
	inherit();
	ck_assert(d.on);
	ck_assert_uint_eq(d.head.cookie, 5);
	ck_assert_uint_eq(stat_get(&wa.slot->stats, STAT_DOUBTS_VOID), 0);
}
END_TEST

START_TEST(a_record_that_was_half_written_becomes_padding)
{
	uint64_t head, mark, i;

	room = channel(&wa, "room");
	publish(&wa, room, 1, 8);
	head = word_get(&wa.slot->arena_head);
	word_set(&wa.slot->arena_reserved, head + 4096 + EVENT_HEAD);
	memset(wa.arena + (head & (SMALL_ARENA - 1)), 0xff, 4000);
	inherit();
	ck_assert(d.on);
	ck_assert_uint_eq(word_get(&wa.slot->arena_head), head + 4096 + EVENT_HEAD);
	for (i = 2; i < 2000; i++) {
		ck_assert_uint_eq(publish(&wa, room, 2, 4000), i);
		ck_assert_int_eq(read_event(room, i, &mark), EVENT_OK);
	}
	ck_assert_uint_eq(stat_get(&wa.slot->stats, STAT_ARENA_DROPPED), 0);
}
END_TEST

/* ---- rubbish ---- */

static uint64_t seed;

static uint64_t
rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Words that hurt: borders, all ones, a bit changed. */
static uint64_t
odd(uint64_t was)
{
	switch (rnd() % 6) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return was ^ 1ull << rnd() % 64;
	case 3:
		return was + rnd() % 200 - 100;
	case 4:
		return rnd() >> rnd() % 64;
	default:
		return rnd();
	}
}

static void
scribble(void)
{
	word64 *places[] = {
		region_ring(&region, room) + rnd() % SMALL_RING,
		(word64 *)&region.channels[room] + rnd() % (sizeof(struct channel) / 8),
		(word64 *)wa.slot + rnd() % 8,
		(word64 *)wa.arena + rnd() % (SMALL_ARENA / 8),
		(word64 *)wa.arena + (word_get(&wa.slot->arena_low) & (SMALL_ARENA - 1)) / 8 +
		    rnd() % 8,
		(word64 *)(wa.slot->summary) + rnd() % SUMMARY_WORDS,
		(word64 *)&region.buckets[rnd() % SMALL_CHANNELS & ~1u],
	};
	word64 *p = places[rnd() % (sizeof places / sizeof places[0])];

	if ((unsigned char *)p < wa.arena || (unsigned char *)p < wa.arena + SMALL_ARENA)
		atomic_store(p, odd(atomic_load(p)));
}

static void
nothing(void *arg, uint32_t chan)
{
	ck_assert_uint_lt(chan, SMALL_CHANNELS);
}

/* Whatever stands in the region, nobody faults or stays for ever. Results may be anything. */
START_TEST(rubbish_never_faults_and_never_stalls)
{
	unsigned turn, i;
	struct event e;
	uint64_t t, q, seq;
	uint32_t chan;

	for (turn = 0; turn < 400; turn++) {
		seed = (uint64_t)_i * 1000003 + turn + 1;
		for (i = 0; i < 8; i++)
			rnd();
		tear_down();
		set_up();
		room = channel(&wa, "room");
		for (i = 0; i < 60; i++)
			publish(&wa, room, 0, (uint32_t)(rnd() % 30000));
		for (i = 0; i < 4; i++) {
			struct event_head h = { .len = 500 };

			scribble();
			writer_open(&wa, &region, 0);
			event_recover(&wa, &d);
			channel_repair(&wa);
			t = channel_tail(&region, room);
			for (q = t - 40; q != t + 2; q++)
				if (event_peek(&region, room, q, &e) == EVENT_OK) {
					ck_assert_uint_le(e.head.len, EVENT_MAX);
					event_copy(&region, room, q, &e, got);
				}
			channel_covers(&region, room, t - rnd() % 30, t);
			channel_first_after(&region, room, t - rnd() % 30, t);
			channel_first_after(&region, room, 0, t);
			channel_first_after(&region, room, UINT64_MAX, t);
			event_publish(&wa, room, &h, big, &seq);
			channel_find(&region, "room", 4, &chan);
			if (channel_get(&wb, "other", 5, &rule, &chan) == 0)
				ck_assert_uint_lt(chan, SMALL_CHANNELS);
			dirty_take(&wa, nothing, NULL);
			channel_retire(&master, room, t);
		}
	}
}
END_TEST

START_TEST(a_tail_of_rubbish_is_an_error_not_an_event)
{
	struct event_head h = { .len = 8 };
	uint64_t seq;

	room = channel(&wa, "room");
	atomic_store(&region.channels[room].tail, _i == 0 ? UINT64_MAX : CHANNEL_SEQ_MAX);
	errno = 0;
	ck_assert_int_eq(event_publish(&wa, room, &h, big, &seq), -1);
	ck_assert_int_eq(errno, EIO);
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, seq_is_contiguous_from_one_whoever_publishes);
	tcase_add_test(tc, an_event_carries_what_its_publisher_said);
	tcase_add_test(tc, events_of_any_length_come_back);
	tcase_add_test(tc, an_event_that_is_not_there_is_not_a_gap);
	tcase_add_test(tc, lapped_reader_is_told);
	tcase_add_test(tc, lapped_between_the_look_and_the_copy_is_told);
	tcase_add_test(tc, an_event_65536_later_is_not_taken_for_this_one);
	tcase_add_test(tc, a_publish_on_a_closed_channel_is_stale);
	tcase_add_test(tc, a_ring_of_rubbish_is_an_error_not_a_loop);
	tcase_add_test(tc, a_tail_that_was_left_behind_is_brought_up_by_anybody);
	tcase_add_test(tc, an_heir_of_nobody_has_no_doubt);
	tcase_add_test(tc, an_heir_of_an_owner_at_rest_is_told_its_last_event);
	tcase_add_test(tc, recover_says_no_when_it_was_not_installed);
	tcase_add_test(tc, recover_says_no_before_the_first_attempt);
	tcase_add_test(tc, recover_says_yes_when_it_was_installed_and_does_the_rest);
	tcase_add_test(tc, recover_says_yes_when_it_was_lapped_because_of_the_testimony);
	tcase_add_test(tc, recover_says_no_when_it_was_not_installed_and_the_ring_went_round);
	tcase_add_test(tc, recover_says_yes_when_the_event_was_moved);
	tcase_add_test(tc, retiring_and_recycling_testify_too);
	tcase_add_test(tc, a_record_that_was_half_written_becomes_padding);
	tcase_add_loop_test(tc, a_tail_of_rubbish_is_an_error_not_an_event, 0, 2);
	tcase_add_loop_test(tc, rubbish_never_faults_and_never_stalls, 0, 4);
}

int
main(void)
{
	return run_cases("shm/event", add);
}
