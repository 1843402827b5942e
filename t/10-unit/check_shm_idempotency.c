/* Idempotency keys: who becomes owner, what the others are told, periods, deaths. */
#include "shm/idempotency.h"

#include "shm/idempotency_layout.h"
#include "shm/siphash.h"
#include "t/10-unit/shm_fixture.h"

enum { KEYS = 16, WORDS = KEYS * IDEMPOTENCY_WORDS_PER_KEY };

static struct region table;
static struct writer a, b;

static void
begin(uint32_t keys)
{
	struct region_caps caps = small_caps;

	caps.idempotency = keys;
	ck_assert_int_eq(region_create(&table, &caps), 0);
	writer_open(&a, &table, 0);
	writer_open(&b, &table, 1);
}

static void
begin_small(void)
{
	begin(KEYS);
}

static void
end(void)
{
	region_detach(&table);
}

static enum idempotency_result
get(struct writer *w, struct idempotency *q, const char *channel_name, const char *key,
    uint64_t in_off)
{
	*q = (struct idempotency){
		.channel = channel_name, .channel_len = strlen(channel_name),
		.key = key, .key_len = strlen(key), .cookie = 100 + w->index, .in_off = in_off,
	};
	return idempotency_get(w, q);
}

/* Asks as the n-th message of a worker. */
static enum idempotency_result
ask(struct writer *w, const char *key, uint64_t n)
{
	struct idempotency q;

	return get(w, &q, "room", key, n);
}

static void
ck_answered(struct writer *w, const char *key, uint64_t epoch, uint64_t seq)
{
	struct idempotency q;

	ck_assert_int_eq(get(w, &q, "room", key, 999), IDEMPOTENCY_ANSWERED);
	ck_assert_uint_eq(q.epoch, epoch);
	ck_assert_uint_eq(q.seq, seq);
}

static void
own_and_finish(struct writer *w, const char *key, uint64_t seq)
{
	struct idempotency q;

	ck_assert_int_eq(get(w, &q, "room", key, 1), IDEMPOTENCY_OWNER);
	idempotency_finish(&q, 7, seq);
}

START_TEST(the_hash_is_siphash_2_4_with_128_bits)
{
	static const uint64_t key[2] = { 0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull };
	static const struct { size_t n; uint64_t out[2]; } known[] = {
		{ 0, { 0xe6a825ba047f81a3ull, 0x930255c71472f66dull } },
		{ 7, { 0x53c1dbd8beebf1a1ull, 0x3982f01fa64ab8c0ull } },
		{ 8, { 0x61f55862baa9623bull, 0xb49714f364e2830full } },
		{ 63, { 0x4a83502f77d15051ull, 0x7cbd3f979a063e50ull } },
	};
	unsigned char text[64];
	uint64_t out[2];
	size_t i;

	for (i = 0; i < sizeof text; i++)
		text[i] = (unsigned char)i;
	for (i = 0; i < sizeof known / sizeof known[0]; i++) {
		siphash_128(key, text, known[i].n, out);
		ck_assert_uint_eq(out[0], known[i].out[0]);
		ck_assert_uint_eq(out[1], known[i].out[1]);
	}
}
END_TEST

START_TEST(a_key_is_1_to_128_printable_bytes)
{
	char key[IDEMPOTENCY_KEY_MAX + 1];
	int c;

	memset(key, 'k', sizeof key);
	ck_assert(!idempotency_key_valid(key, 0));
	ck_assert(idempotency_key_valid(key, 1));
	ck_assert(idempotency_key_valid(key, IDEMPOTENCY_KEY_MAX));
	ck_assert(!idempotency_key_valid(key, IDEMPOTENCY_KEY_MAX + 1));
	for (c = 0; c < 256; c++) {
		key[3] = (char)c;
		ck_assert_int_eq(idempotency_key_valid(key, 8), c >= 0x20 && c <= 0x7e);
	}
}
END_TEST

START_TEST(a_word_is_what_it_is_made_of)
{
	uint64_t last = (1u << IDEMPOTENCY_PERIOD_BITS) - 1;
	uint64_t w = idempotency_word(63, IDEMPOTENCY_CAP_MAX - 1, last, 0x1fff);

	ck_assert_uint_eq(idempotency_word_writer(w), 63);
	ck_assert_uint_eq(idempotency_word_index(w), IDEMPOTENCY_CAP_MAX - 1);
	ck_assert_uint_eq(idempotency_word_tag(w), 0x1fff);
	ck_assert_int_eq(idempotency_word_age(w, last), 0);
	ck_assert_int_eq(idempotency_word_age(w, last + 2), 2);	/* the bits have wrapped */
	ck_assert_int_eq(idempotency_word_age(w, last - 3), -3);
	w = idempotency_word(0, 0, 5, 0);
	ck_assert_uint_ne(w, 0);
	ck_assert_uint_eq(idempotency_word_index(w), 0);
	ck_assert_int_eq(idempotency_word_age(w, 7), 2);
	ck_assert_uint_eq(idempotency_word_index(0), UINT32_MAX);
}
END_TEST

START_TEST(the_first_owns_and_the_others_get_its_answer)
{
	struct idempotency q;

	ck_assert_int_eq(get(&a, &q, "room", "key", 1), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(ask(&b, "key", 1), IDEMPOTENCY_UNFINISHED);
	ck_assert_int_eq(ask(&a, "key", 2), IDEMPOTENCY_UNFINISHED);
	idempotency_finish(&q, 0xabcdef, 41);
	ck_answered(&b, "key", 0xabcdef, 41);
	ck_answered(&a, "key", 0xabcdef, 41);
}
END_TEST

START_TEST(channel_and_key_are_told_apart)
{
	struct idempotency q;

	ck_assert_int_eq(get(&a, &q, "ab", "c", 1), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(get(&a, &q, "a", "bc", 2), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(get(&a, &q, "ab", "C", 3), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(get(&a, &q, "ab", "c ", 4), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(get(&b, &q, "ab", "c", 5), IDEMPOTENCY_UNFINISHED);
}
END_TEST

START_TEST(the_same_message_asked_again_goes_on_as_owner)
{
	struct idempotency q;

	ck_assert_int_eq(ask(&a, "key", 1), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(get(&a, &q, "room", "key", 1), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(ask(&b, "key", 1), IDEMPOTENCY_UNFINISHED);	/* another cookie */
	idempotency_finish(&q, 7, 3);
	ck_answered(&b, "key", 7, 3);
	ck_assert_int_eq(ask(&a, "key", 1), IDEMPOTENCY_ANSWERED);
}
END_TEST

START_TEST(a_key_that_was_given_up_is_the_next_ones)
{
	struct idempotency q;
	unsigned i;

	for (i = 0; i < KEYS / 2; i++) {
		ck_assert_int_eq(get(&a, &q, "room", "key", i), IDEMPOTENCY_OWNER);
		idempotency_give_up(&q);
		ck_assert_int_eq(get(&b, &q, "room", "key", i), IDEMPOTENCY_OWNER);
		ck_assert_int_eq(ask(&a, "key", i), IDEMPOTENCY_UNFINISHED);
		idempotency_give_up(&q);
	}
	own_and_finish(&a, "key", 9);
	ck_answered(&b, "key", 7, 9);
	/* and it took one word only */
	for (i = 0; i < WORDS; i++)
		if (word_get(&region_idempotency(&table, 1)[i]) != 0)
			break;
	ck_assert_uint_lt(i, WORDS);
	while (++i < WORDS)
		ck_assert_uint_eq(word_get(&region_idempotency(&table, 1)[i]), 0);
}
END_TEST

START_TEST(a_key_is_known_in_its_period_and_the_next_and_then_forgotten)
{
	own_and_finish(&a, "key", 1);
	idempotency_turn(&table);
	ck_answered(&b, "key", 7, 1);
	own_and_finish(&b, "other", 2);
	idempotency_turn(&table);
	ck_answered(&a, "other", 7, 2);
	ck_assert_int_eq(ask(&b, "key", 1), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(ask(&a, "key", 1), IDEMPOTENCY_UNFINISHED);
}
END_TEST

START_TEST(an_unfinished_key_stays_so_over_a_turn)
{
	struct idempotency q;

	ck_assert_int_eq(get(&a, &q, "room", "key", 1), IDEMPOTENCY_OWNER);
	idempotency_turn(&table);
	ck_assert_int_eq(ask(&b, "key", 1), IDEMPOTENCY_UNFINISHED);
	idempotency_finish(&q, 7, 5);
	ck_answered(&b, "key", 7, 5);
}
END_TEST

START_TEST(an_heir_behind_a_turn_goes_on_as_owner_and_nobody_else_does)
{
	struct idempotency q;

	ck_assert_int_eq(ask(&a, "key", 1), IDEMPOTENCY_OWNER);
	idempotency_turn(&table);
	ck_assert_int_eq(get(&a, &q, "room", "key", 1), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(ask(&b, "key", 1), IDEMPOTENCY_UNFINISHED);
	idempotency_finish(&q, 7, 6);
	ck_answered(&b, "key", 7, 6);
	idempotency_turn(&table);
	ck_answered(&b, "key", 7, 6);
}
END_TEST

/* A's word came into the older array after B had looked there: B is the owner. */
START_TEST(the_newer_array_decides_over_a_stray_word_in_the_older)
{
	struct idempotency q;
	word64 *words = region_idempotency(&table, word_get(&table.head->idempotency_period));
	uint64_t stray;
	unsigned i = 0;

	ck_assert_int_eq(ask(&a, "key", 1), IDEMPOTENCY_OWNER);
	idempotency_turn(&table);
	while (word_get(&words[i]) == 0)
		i++;
	stray = word_get(&words[i]);
	word_set(&words[i], 0);
	ck_assert_int_eq(get(&b, &q, "room", "key", 1), IDEMPOTENCY_OWNER);
	word_set(&words[i], stray);
	/* although its own is there */
	ck_assert_int_eq(ask(&a, "key", 1), IDEMPOTENCY_UNFINISHED);
	ck_assert_int_eq(ask(&a, "key", 2), IDEMPOTENCY_UNFINISHED);
	idempotency_finish(&q, 7, 8);
	ck_answered(&a, "key", 7, 8);
}
END_TEST

START_TEST(words_of_periods_that_are_over_are_free)
{
	char key[16];
	unsigned round, i, n;

	for (round = 0; round < 50; round++) {
		for (i = n = 0; i < KEYS; i++) {
			snprintf(key, sizeof key, "k%u.%u", round, i);
			n += ask(i & 1 ? &a : &b, key, i) == IDEMPOTENCY_OWNER;
		}
		ck_assert_uint_eq(n, KEYS);
		idempotency_turn(&table);
	}
}
END_TEST

START_TEST(a_full_pool_says_so_and_still_answers)
{
	char key[16];
	unsigned i;

	own_and_finish(&a, "first", 1);
	for (i = 1; i < KEYS; i++) {
		snprintf(key, sizeof key, "k%u", i);
		ck_assert_int_eq(ask(&a, key, i), IDEMPOTENCY_OWNER);
	}
	ck_assert_int_eq(ask(&a, "more", 1), IDEMPOTENCY_FULL);
	ck_assert_uint_eq(stat_get(&a.slot->stats, STAT_IDEMPOTENCY_FULL), 1);
	ck_answered(&a, "first", 7, 1);
	ck_assert_int_eq(ask(&b, "more", 1), IDEMPOTENCY_OWNER);
	idempotency_turn(&table);
	ck_assert_int_eq(ask(&a, "again", 1), IDEMPOTENCY_OWNER);
}
END_TEST

START_TEST(a_full_array_says_so)
{
	uint64_t period = word_get(&table.head->idempotency_period);
	unsigned i;

	for (i = 0; i < WORDS; i++)		/* words that name nothing */
		word_set(&region_idempotency(&table, period)[i],
		    idempotency_word(9, 1 << 20, period, i));
	ck_assert_int_eq(ask(&a, "key", 1), IDEMPOTENCY_FULL);
	word_set(&region_idempotency(&table, period)[5], 0);
	ck_assert_int_eq(ask(&a, "key", 1), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(ask(&b, "key", 1), IDEMPOTENCY_UNFINISHED);
}
END_TEST

START_TEST(without_a_table_it_is_full)
{
	writer_open(&wa, &region, 0);
	ck_assert_uint_eq(region.caps.idempotency, 0);
	ck_assert_int_eq(ask(&wa, "key", 1), IDEMPOTENCY_FULL);
}
END_TEST

START_TEST(what_was_asked_in_vain_uses_up_nothing)
{
	unsigned i;

	own_and_finish(&a, "key", 1);
	for (i = 0; i < 10 * KEYS; i++)
		ck_answered(&b, "key", 7, 1);
	for (i = 0; i < 10 * KEYS; i++)
		ck_assert_int_eq(ask(&a, "key", 50 + i), IDEMPOTENCY_ANSWERED);
	ck_assert_uint_eq((uint32_t)word_get(&a.slot->idempotency_used[1]), 1);
	ck_assert_uint_eq((uint32_t)word_get(&b.slot->idempotency_used[1]), 0);
}
END_TEST

START_TEST(an_abandoned_key_is_answered_if_its_publish_took_place)
{
	uint32_t chan;
	struct event_head h = { .cookie = 100, .in_off = 1, .len = 8 };
	struct idempotency q;
	struct doubt d;
	uint64_t seq;

	ck_assert_int_eq(channel_get(&a, "room", 4, &rule, &chan), 0);
	ck_assert_int_eq(get(&a, &q, "room", "key", 1), IDEMPOTENCY_OWNER);
	ck_assert_int_eq(event_publish(&a, chan, &h, big, &seq), 0);
	event_recover(&a, &d);
	ck_assert(d.on);
	idempotency_settle(&a, &d);
	ck_answered(&b, "key", table.channels[chan].epoch, seq);
	/* one that is finished is left alone */
	d.head.seq = 77;
	idempotency_settle(&a, &d);
	ck_answered(&b, "key", table.channels[chan].epoch, seq);
}
END_TEST

START_TEST(an_abandoned_key_is_given_up_if_nothing_was_published)
{
	struct doubt d = { .on = true, .head = { .cookie = 100, .in_off = 0 } };

	ck_assert_int_eq(ask(&a, "key", 1), IDEMPOTENCY_OWNER);
	idempotency_turn(&table);
	idempotency_settle(&b, &d);			/* not b's */
	ck_assert_int_eq(ask(&b, "key", 1), IDEMPOTENCY_UNFINISHED);
	idempotency_settle(&a, &d);
	ck_assert_int_eq(ask(&b, "key", 1), IDEMPOTENCY_OWNER);
}
END_TEST

START_TEST(a_period_lasts_ten_minutes_at_least)
{
	uint64_t p = word_get(&table.head->idempotency_period), t = 5000, turned = 0, i;

	ck_assert(!idempotency_tick(&table, t));
	for (i = 1; i <= 3; i++, turned = 0) {
		uint64_t from = t;

		while (turned == 0) {
			t += 100;
			turned = idempotency_tick(&table, t);
			ck_assert_uint_eq(word_get(&table.head->idempotency_period),
			    p + i - 1 + turned);
		}
		ck_assert_uint_ge(t - from, 600 * 1000);
		ck_assert_uint_le(t - from, 610 * 1000);
	}
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_checked_fixture(tc, begin_small, end);
	tcase_add_test(tc, the_hash_is_siphash_2_4_with_128_bits);
	tcase_add_test(tc, a_key_is_1_to_128_printable_bytes);
	tcase_add_test(tc, a_word_is_what_it_is_made_of);
	tcase_add_test(tc, the_first_owns_and_the_others_get_its_answer);
	tcase_add_test(tc, channel_and_key_are_told_apart);
	tcase_add_test(tc, the_same_message_asked_again_goes_on_as_owner);
	tcase_add_test(tc, a_key_that_was_given_up_is_the_next_ones);
	tcase_add_test(tc, a_key_is_known_in_its_period_and_the_next_and_then_forgotten);
	tcase_add_test(tc, an_unfinished_key_stays_so_over_a_turn);
	tcase_add_test(tc, an_heir_behind_a_turn_goes_on_as_owner_and_nobody_else_does);
	tcase_add_test(tc, the_newer_array_decides_over_a_stray_word_in_the_older);
	tcase_add_test(tc, words_of_periods_that_are_over_are_free);
	tcase_add_test(tc, a_full_pool_says_so_and_still_answers);
	tcase_add_test(tc, a_full_array_says_so);
	tcase_add_test(tc, without_a_table_it_is_full);
	tcase_add_test(tc, what_was_asked_in_vain_uses_up_nothing);
	tcase_add_test(tc, an_abandoned_key_is_answered_if_its_publish_took_place);
	tcase_add_test(tc, an_abandoned_key_is_given_up_if_nothing_was_published);
	tcase_add_test(tc, a_period_lasts_ten_minutes_at_least);
}

int
main(void)
{
	return run_cases("shm/idempotency", add);
}
