/* What a slot that nobody follows has left is settled by the master. */
#include "master/leftover.h"

#include "shm/conn_layout.h"
#include "shm/idempotency.h"
#include "shm/idempotency_layout.h"
#include "shm/move_layout.h"
#include "t/10-unit/shm_fixture.h"

enum { DEAD = 1, OTHER = 0 };

static const char key[] = "key";

static void
settle(void)
{
	leftover_arrival(&region, DEAD);
	leftover_settle(&master, DEAD);
}

static struct conn *
record(unsigned slot, uint32_t i, unsigned life)
{
	struct conn *c = region_conns(&region, slot) + i;

	word32_set(&c->state, life);
	word_set(&c->cookie, 1000 + i);
	if (word_get(&region_slot(&region, slot)->conns_used) <= i)
		word_set(&region_slot(&region, slot)->conns_used, i + 1);
	return c;
}

static word64 *
move_of(unsigned slot, uint32_t i)
{
	return region_moves(&region, slot) + i;
}

static uint64_t
lost(void)
{
	return stat_get(&region_slot(&region, DEAD)->stats, STAT_DISCONNECT_HEIR);
}

START_TEST(records_are_emptied_and_counted)
{
	static const struct conn empty;
	struct slot *s = region_slot(&region, DEAD);
	struct conn *c = record(DEAD, 3, CONN_OPEN);

	record(DEAD, 5, CONN_CLOSING);
	word_set(&s->conns_open, 1);
	word_set(&s->hdr, hdr_make(3, 17, 0));
	word_set(&s->accepting, 7);
	settle();
	ck_assert_int_eq(memcmp((const void *)c, (const void *)&empty, sizeof empty), 0);
	ck_assert_uint_eq(word_get(&s->conns_used), 0);
	ck_assert_uint_eq(word_get(&s->conns_open), 0);
	ck_assert_uint_eq(word_get(&s->hdr), 0);
	ck_assert_uint_eq(word_get(&s->accepting), 0);
	ck_assert_uint_eq(lost(), 2);
	settle();
	ck_assert_uint_eq(lost(), 2);
}
END_TEST

START_TEST(its_offers_end_and_what_was_taken_is_the_others)
{
	record(DEAD, 0, CONN_MOVING);
	word_set(move_of(DEAD, 0), move_make(7, OTHER, MOVE_OFFERED));
	record(DEAD, 1, CONN_MOVING);
	word_set(move_of(DEAD, 1), move_make(8, OTHER, MOVE_TAKEN));
	settle();
	ck_assert_uint_eq(word_get(move_of(DEAD, 0)), move_make(7, OTHER, MOVE_NONE));
	ck_assert_uint_eq(word_get(move_of(DEAD, 1)), move_make(8, OTHER, MOVE_TAKEN));
	ck_assert_uint_eq(lost(), 1);
}
END_TEST

static void
arriving(unsigned life)
{
	struct slot *s = region_slot(&region, DEAD);

	record(OTHER, 2, CONN_MOVING);
	word_set(move_of(OTHER, 2), move_make(9, DEAD, MOVE_TAKEN));
	record(DEAD, 4, life);
	word_set(&s->arriving_gen, 9);
	word_set(&s->arriving, arriving_make(OTHER, 2, 4));
	settle();
	ck_assert_uint_eq(word_get(&s->arriving), 0);
}

START_TEST(what_had_arrived_is_given_back_unless_it_was_open)
{
	arriving(CONN_MOVING);
	ck_assert_uint_eq(word_get(move_of(OTHER, 2)), move_make(9, DEAD, MOVE_NONE));
	arriving(CONN_OPEN);
	ck_assert_uint_eq(word_get(move_of(OTHER, 2)), move_make(9, DEAD, MOVE_DONE));
}
END_TEST

START_TEST(what_arrives_from_nowhere_harms_nobody)
{
	struct slot *s = region_slot(&region, DEAD);

	word_set(&s->arriving, arriving_make(55, 0xfffff, 0xffffe));
	word_set(&s->conns_used, UINT64_MAX);
	settle();
	ck_assert_uint_eq(word_get(&s->arriving), 0);
	ck_assert_uint_eq(word_get(&s->conns_used), 0);
}
END_TEST

START_TEST(a_channel_that_was_not_made_is_free_again)
{
	word_set(&region.channels[5].claim, DEAD + 1);
	word_set(&region_slot(&region, DEAD)->claiming, 5 + 1);
	settle();
	ck_assert_uint_eq(word_get(&region.channels[5].claim), CHANNEL_FREE);
	ck_assert_uint_eq(word_get(&region_slot(&region, DEAD)->claiming), 0);
}
END_TEST

/* Asks as a message of the slot; key and channel are always the same. */
static enum idempotency_result
ask(struct writer *w, uint64_t cookie, struct idempotency *q)
{
	*q = (struct idempotency) { .channel = "room", .channel_len = 4, .key = key,
		.key_len = strlen(key), .cookie = cookie };
	return idempotency_get(w, q);
}

static void
with_keys(void)
{
	struct region_caps caps = small_caps;

	region_detach(&region);
	caps.idempotency = 16;
	ck_assert_int_eq(region_create(&region, &caps), 0);
	writer_open(&wa, &region, OTHER);
	writer_open(&wb, &region, DEAD);
	writer_open(&master, &region, HELPER_MASTER);
}

START_TEST(a_key_without_its_event_is_given_up)
{
	struct idempotency q;

	with_keys();
	ck_assert_int_eq(ask(&wb, 1, &q), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(ask(&wa, 2, &q), IDEMPOTENCY_UNFINISHED);
	settle();
	ck_assert_int_eq(ask(&wa, 2, &q), IDEMPOTENCY_OWNER);
}
END_TEST

START_TEST(a_key_with_its_event_is_finished)
{
	struct idempotency q;
	uint32_t chan;
	uint64_t seq;

	with_keys();
	chan = channel(&wb, "room");
	ck_assert_int_eq(ask(&wb, 1, &q), IDEMPOTENCY_OWNER);
	seq = publish(&wb, chan, 1, 10);
	settle();
	ck_assert_int_eq(ask(&wa, 2, &q), IDEMPOTENCY_ANSWERED);
	ck_assert_uint_eq(q.seq, seq);
	ck_assert_uint_eq(q.epoch, region.channels[chan].epoch);
}
END_TEST

START_TEST(an_event_that_nobody_was_told_of_is_told)
{
	uint32_t chan = channel(&wb, "room");
	uint64_t tail;

	ck_assert(channel_join(&wa, chan, &tail));
	publish(&wb, chan, 1, 10);
	word_set(&region.channels[chan].tail, 0);
	word_set(&region_dirty(&region, OTHER)[0], 0);
	settle();
	ck_assert_uint_eq(word_get(&region.channels[chan].tail), 1);
	ck_assert_uint_ne(word_get(&region_dirty(&region, OTHER)[0]), 0);
	ck_assert_uint_ne(master.wake & 1ull << OTHER, 0);
}
END_TEST

START_TEST(interests_are_taken_back_from_those_that_are_named)
{
	uint32_t chan = channel(&wa, "room");
	uint64_t tail;

	ck_assert(channel_join(&wa, chan, &tail));
	ck_assert(channel_join(&wb, chan, &tail));
	channel_disown(&region, chan, 1ull << DEAD);
	ck_assert_uint_eq(word_get(&region.channels[chan].interest), 1ull << OTHER);
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, records_are_emptied_and_counted);
	tcase_add_test(tc, its_offers_end_and_what_was_taken_is_the_others);
	tcase_add_test(tc, what_had_arrived_is_given_back_unless_it_was_open);
	tcase_add_test(tc, what_arrives_from_nowhere_harms_nobody);
	tcase_add_test(tc, a_channel_that_was_not_made_is_free_again);
	tcase_add_test(tc, a_key_without_its_event_is_given_up);
	tcase_add_test(tc, a_key_with_its_event_is_finished);
	tcase_add_test(tc, an_event_that_nobody_was_told_of_is_told);
	tcase_add_test(tc, interests_are_taken_back_from_those_that_are_named);
}

int
main(void)
{
	return run_cases("master leftover", add);
}
