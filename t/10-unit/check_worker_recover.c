/*
 * An heir over records that its predecessor has overwritten: the connection that is hurt is closed,
 * another one goes on, and nothing is used that lies outside its table.
 */
#define _GNU_SOURCE
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shm/channel_layout.h"
#include "shm/event.h"
#include "shm/move_layout.h"
#include "t/fuzz/slot.h"
#include "worker/move.h"
#include "worker/wsframe.h"

enum { HURT, WHOLE };

static const char upgrade[] = "GET /ws/channels HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/* One frame of text, to a connection, without the turns that take it. */
static void
say(uint32_t ci, bool fin, const char *text)
{
	static const uint8_t mask[4] = { 1, 2, 4, 8 };
	static uint8_t frame[2][1024];
	size_t n = strlen(text), k = ws_frame_head(frame[ci], WS_TEXT, fin, false, n);

	frame[ci][1] |= 0x80;
	memcpy(frame[ci] + k, mask, 4);
	ws_unmask(frame[ci] + k + 4, (const uint8_t *)text, n, mask);
	slot_give(ci, frame[ci], k + 4 + n, 0);
}

/* Two subscribers of "a". */
static void
set_up(void)
{
	uint32_t ci;

	slot_make();
	for (ci = HURT; ci <= WHOLE; ci++) {
		ck_assert_uint_eq(slot_connect(), ci);
		slot_give(ci, upgrade, sizeof upgrade - 1, 0);
		slot_settle();
		say(ci, true, "{\"type\":\"subscribe\",\"channel\":\"a\"}");
		slot_settle();
		world.peer[ci].nout = 0;
	}
}

static struct conn *
hurt(void)
{
	return conn_at(&world.w, HURT);
}

/* Input of half a frame rests in a block of the connection. */
static struct block *
give_half(void)
{
	slot_give(HURT, "\x81\x90half", 6, 0);
	slot_settle();
	ck_assert_uint_ne(hurt()->part, 0);
	return block_at(&world.w, (uint32_t)hurt()->part);
}

/* A reply is queued, and the worker dies before it is sent. */
static struct span *
queue_reply(const char *text)
{
	frames_reset(&world.w);
	say(HURT, true, text);
	input_ready(&world.w, HURT);
	ck_assert_uint_ne(hurt()->ctl, 0);
	return frames_at(&world.w, (uint32_t)hurt()->ctl);
}

static void
inherit(bool faulted)
{
	slot_heir(false, faulted);
	slot_recover();
	slot_settle();
}

/* The other connection hears what is published, by itself too. */
static void
expect_whole(void)
{
	ck_assert(world.peer[WHOLE].open);
	world.peer[WHOLE].nout = 0;
	say(WHOLE, true, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":\"new\"}");
	slot_settle();
	ck_assert_ptr_nonnull(memmem(world.peer[WHOLE].out, world.peer[WHOLE].nout, "\"new\"", 5));
}

static void
expect_closed(void)
{
	ck_assert(!world.peer[HURT].open);
	ck_assert_uint_eq(stat_get(world.w.stats, STAT_DISCONNECT_HEIR), 1);
	ck_assert_uint_eq(word_get(&world.w.slot->conns_open), 1);
	expect_whole();
}

START_TEST(records_that_are_whole_go_on)
{
	give_half();
	inherit(_i == 1);
	ck_assert(world.peer[HURT].open);
	ck_assert_uint_eq(stat_get(world.w.stats, STAT_DISCONNECT_HEIR), 0);
	expect_whole();
}
END_TEST

START_TEST(a_queued_reply_is_sent_by_the_heir)
{
	queue_reply("{\"type\":\"ping\"}");
	inherit(true);
	ck_assert_ptr_nonnull(memmem(world.peer[HURT].out, world.peer[HURT].nout, "pong", 4));
	ck_assert_uint_eq(stat_get(world.w.stats, STAT_DISCONNECT_HEIR), 0);
	expect_whole();
}
END_TEST

/* Else it would be looked for in the frame arena when that holds something else. */
START_TEST(a_queued_reply_that_cannot_be_sent_costs_its_connection)
{
	queue_reply("{\"type\":\"ping\"}");
	conn_set_bits(hurt(), _i == 0 ? CONN_BLOCKED : CONN_LINGER, 0);
	inherit(true);
	expect_closed();
}
END_TEST

/* On the way to another slot: the offer has ended, or is one that cannot be. */
START_TEST(a_record_that_is_not_offered_is_open_again)
{
	static const uint64_t moves[] = { 0, 7ull << 32 | 99 << 8 | MOVE_OFFERED,
		7ull << 32 | MOVE_NONE };

	word_set(&region_moves(world.w.r, 0)[HURT], moves[_i]);
	conn_set_bits(hurt(), CONN_MOVING, CONN_LIFE_MASK);
	inherit(true);
	ck_assert(world.peer[HURT].open);
	ck_assert_uint_eq(conn_life(hurt()), CONN_OPEN);
	ck_assert_uint_eq(word_get(&world.w.slot->conns_open), 2);
	world.peer[HURT].nout = 0;
	expect_whole();
	ck_assert_ptr_nonnull(memmem(world.peer[HURT].out, world.peer[HURT].nout, "\"new\"", 5));
}
END_TEST

/* What a slot keeps of a connection that another one took before all of the slot died. */
START_TEST(a_record_that_is_given_back_empty_is_free)
{
	memset((void *)hurt(), 0, sizeof *hurt());
	hurt()->fd = -1;
	word32_set(&hurt()->state, CONN_MOVING);
	if (_i == 1)
		word_set(&region_moves(world.w.r, 0)[HURT], move_make(7, 0, MOVE_TAKEN));
	inherit(false);
	if (_i == 1) {
		ck_assert_uint_eq(conn_life(hurt()), CONN_MOVING);
		word_set(&region_moves(world.w.r, 0)[HURT], move_make(7, 0, MOVE_NONE));
		move_look(&world.w);
	}
	ck_assert_uint_eq(conn_life(hurt()), CONN_FREE);
	ck_assert_uint_eq(word_get(&world.w.slot->conns_open), 1);
	expect_whole();
}
END_TEST

START_TEST(a_record_on_its_way_has_no_queued_reply)
{
	queue_reply("{\"type\":\"ping\"}");
	conn_set_bits(hurt(), CONN_MOVING, CONN_LIFE_MASK);
	inherit(false);
	expect_closed();
}
END_TEST

/* What arrived and was not taken leaves nothing. */
START_TEST(a_connection_that_arrived_and_was_not_taken_is_dropped)
{
	word_set(&world.w.slot->arriving, arriving_make(0, WHOLE + 1, HURT));
	word_set(&world.w.slot->arriving_gen, 7);
	conn_set_bits(hurt(), CONN_MOVING, CONN_LIFE_MASK);
	word_set(&region_moves(world.w.r, 0)[WHOLE + 1],
	    move_make(_i == 0 ? 7 : 6, 0, _i == 0 ? MOVE_TAKEN : MOVE_OFFERED));
	inherit(false);
	ck_assert_uint_eq(word_get(&world.w.slot->arriving), 0);
	ck_assert_int_eq(world.peer[HURT].open, _i == 0);
	ck_assert_uint_eq(word_get(&world.w.slot->conns_open), _i == 0 ? 2 : 1);
	ck_assert_uint_eq(move_kind(region_moves(world.w.r, 0)[WHOLE + 1]),
	    _i == 0 ? MOVE_DONE : MOVE_OFFERED);
	expect_whole();
}
END_TEST

/* Words of the record that name nothing. */
static const struct {
	size_t at;
	uint64_t value;
} words[] = {
	{ offsetof(struct conn, part), 7 },
	{ offsetof(struct conn, part), UINT64_MAX },
	{ offsetof(struct conn, assembly), 1 << 20 },
	{ offsetof(struct conn, ext), 1 },
	{ offsetof(struct conn, ext), 3ull << 28 | 1 },
	{ offsetof(struct conn, ext), SLOT_CONNS + 1 },
	{ offsetof(struct conn, ext), 0xf0000001 },
	{ offsetof(struct conn, cursor), (uint64_t)(SLOT_CHANNELS + 1) << 44 },
	{ offsetof(struct conn, cursor), UINT64_MAX / 2 },
	{ offsetof(struct conn, ctl), UINT32_MAX },
	{ offsetof(struct conn, ctl), (1 << 20) / FRAME_UNIT },
	{ offsetof(struct conn, plan), 5 },
	{ offsetof(struct conn, plan), 1ull << 62 | 0x3fffffffull << 32 },
	{ offsetof(struct conn, plan), 1ull << 62 },
	{ offsetof(struct conn, plan), 2ull << 62 },
	{ offsetof(struct conn, plan), 2ull << 62 | 0x10000ull << 32 },
	{ offsetof(struct conn, plan), 3ull << 62 },
	{ offsetof(struct conn, plan), 3ull << 62 | 7ull << 32 },
};

START_TEST(a_record_that_names_what_is_not_there_costs_its_connection)
{
	word64 *word = (word64 *)((unsigned char *)hurt() + words[_i].at);

	if (_i == 3) {
		word_set(&hurt()->ext, 1);
		region_ext(world.w.r, 0, EXT_8, 0)[7].cursor = UINT64_MAX / 2;
	} else
		word_set(word, words[_i].value);
	inherit(false);
	expect_closed();
}
END_TEST

START_TEST(a_block_that_says_it_holds_more_than_it_can_costs_its_connection)
{
	word_set(&give_half()->len, BLOCK_SIZE);
	inherit(false);
	expect_closed();
}
END_TEST

START_TEST(a_block_that_lies_elsewhere_in_the_stream_costs_its_connection)
{
	word_set(&give_half()->off, 1 << 20);
	inherit(false);
	expect_closed();
}
END_TEST

START_TEST(a_block_belongs_to_one_connection_only)
{
	give_half();
	word_set(&conn_at(&world.w, WHOLE)->part, hurt()->part);
	inherit(false);
	ck_assert(world.peer[HURT].open);
	ck_assert(!world.peer[WHOLE].open);
}
END_TEST

START_TEST(a_message_of_unknown_kind_costs_its_connection)
{
	say(HURT, false, "{\"ty");
	slot_settle();
	ck_assert_uint_ne(hurt()->assembly, 0);
	word_set(&block_at(&world.w, (uint32_t)hurt()->assembly)->tag, 77);
	inherit(false);
	expect_closed();
}
END_TEST

START_TEST(an_effect_on_a_channel_outside_the_table_costs_its_connection)
{
	struct span *s = queue_reply("{\"type\":\"subscribe\",\"channel\":\"b\"}");

	ck_assert_uint_eq(((struct effect *)s->data)->word, EFFECT_CURSOR);
	((struct effect *)s->data)->value = cursor_make(CHANNELS_MAX, 1);
	inherit(false);
	expect_closed();
}
END_TEST

START_TEST(a_span_that_leaves_the_arena_costs_its_connection)
{
	struct span *s = queue_reply("{\"type\":\"ping\"}");

	if (_i == 0)
		word_set(&s->commit, commit_make(commit_in_end(word_get(&s->commit)), 0xfffff));
	else
		s->kind = SPAN_EVENTS + (uint32_t)_i;
	inherit(false);
	expect_closed();
}
END_TEST

/* A plan with a span of events, of two frames. */
START_TEST(frames_that_do_not_fit_their_span_cost_its_connection)
{
	struct span *s;
	uint32_t *ends;

	frames_reset(&world.w);
	s = frames_alloc(&world.w, 256);
	*s = (struct span){ .to = 3, .kind = SPAN_EVENTS, .nframes = 2, .ends = 16 };
	word_set(&s->from, 1);
	word_set(&s->commit, commit_make(0, 12));
	ends = (uint32_t *)(s->data + s->ends);
	ends[0] = 6;
	ends[1] = 12;
	switch (_i) {
	case 1:
		ends[0] = 1 << 30;
		break;
	case 2:
		ends[1] = 11;
		break;
	case 3:
		s->nframes = SPAN_FRAMES + 1;
		break;
	case 4:
		s->ends = UINT32_MAX - 3;
		break;
	case 5:
		s->to = UINT64_MAX;
		break;
	case 6:
		s->chan = SLOT_CHANNELS;
		break;
	}
	word_set(&hurt()->plan, plan_make(PLAN_SPAN, frames_ref(&world.w, s),
	    world.peer[HURT].written - (_i == 7 ? 13 : 12)));
	inherit(false);
	if (_i == 0)
		expect_whole();
	else
		expect_closed();
	ck_assert_int_eq(world.peer[HURT].open, _i == 0);
}
END_TEST

START_TEST(a_dialect_that_frames_no_events_has_no_subscriptions)
{
	conn_set_bits(hurt(), (uint32_t)(_i == 0 ? DIALECT_ECHO : _i) << 16, 31 << 16);
	inherit(false);
	expect_closed();
}
END_TEST

START_TEST(a_connection_that_is_no_websocket_any_more_is_closed)
{
	conn_set_bits(hurt(), _i == 0 ? 0 : CONN_SSE, _i == 0 ? CONN_WS : 0);
	inherit(false);
	expect_closed();
}
END_TEST

START_TEST(after_a_fault_a_descriptor_must_be_the_record_s_own)
{
	if (_i == 0)
		word_set(&hurt()->cookie, 1);
	else
		hurt()->fd = _i == 1 ? 2 : INT32_MAX;
	inherit(true);
	expect_closed();
}
END_TEST

START_TEST(a_free_record_is_empty_before_it_is_used_again)
{
	struct conn *c = conn_at(&world.w, WHOLE + 1);

	if (_i == 0)
		word_set(&world.w.slot->conns_used, WHOLE + 2);
	word_set(&c->ctl, 12345);
	word_set(&c->part, 99);
	inherit(_i == 1);
	ck_assert_uint_eq(slot_connect(), WHOLE + 1);
	slot_settle();
	ck_assert(world.peer[WHOLE + 1].open);
	expect_whole();
}
END_TEST

START_TEST(words_of_the_slot_are_put_within_bounds)
{
	static const uint64_t rubbish[] = { UINT64_MAX, 1ull << 40, 77 };
	struct slot *s = world.w.slot;
	uint64_t v = rubbish[_i % 3];

	switch (_i / 3) {
	case 0:
		word_set(&s->conns_used, v);
		break;
	case 1:
		word_set(&s->frame_head, v);
		break;
	case 2:
		word_set(&s->accepting, v);
		break;
	case 3:
		word_set(&s->hdr, v);
		break;
	case 4:
		word_set(&s->claiming, v);
		break;
	}
	inherit(true);
	ck_assert_uint_eq(stat_get(world.w.stats, STAT_DISCONNECT_HEIR), 0);
	ck_assert(world.peer[HURT].open);
	expect_whole();
}
END_TEST

START_TEST(after_a_fault_records_are_found_that_the_slot_does_not_count)
{
	word_set(&world.w.slot->conns_used, 0);
	inherit(true);
	ck_assert_uint_eq(word_get(&world.w.slot->conns_used), WHOLE + 1);
	ck_assert(world.peer[HURT].open);
	expect_whole();
}
END_TEST

/* Else the heir would write a reply over it. */
START_TEST(what_a_record_names_in_the_arena_is_not_written_over)
{
	queue_reply("{\"type\":\"ping\"}");
	word_set(&world.w.slot->frame_head, 0);
	slot_heir(false, true);
	recover_sweep(&world.w);
	ck_assert_uint_gt(word_get(&world.w.slot->frame_head), sizeof(struct span));
	recover_records(&world.w);
	ck_assert_ptr_nonnull(memmem(world.peer[HURT].out, world.peer[HURT].nout, "pong", 4));
}
END_TEST

START_TEST(a_channel_s_name_is_framed_within_its_record)
{
	world.w.r->channels[cursor_chan(hurt()->cursor)].name_len = 255;
	inherit(true);
	world.peer[HURT].nout = 0;
	say(HURT, true, "{\"type\":\"ping\"}");
	slot_settle();
	ck_assert_int_eq(event_publish(&world.w.pub, (uint32_t)cursor_chan(hurt()->cursor),
	    &(struct event_head){ .len = 1 }, "1", &(uint64_t){ 0 }), 0);
	slot_settle();
	ck_assert_uint_gt(world.peer[HURT].nout, CHANNEL_NAME_MAX);
	ck_assert_uint_lt(world.peer[HURT].nout, 2 * CHANNEL_NAME_MAX);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker/recover");
	TCase *tc = tcase_create("recover");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, records_that_are_whole_go_on, 0, 2);
	tcase_add_test(tc, a_queued_reply_is_sent_by_the_heir);
	tcase_add_loop_test(tc, a_queued_reply_that_cannot_be_sent_costs_its_connection, 0, 2);
	tcase_add_loop_test(tc, a_record_that_is_not_offered_is_open_again, 0, 3);
	tcase_add_loop_test(tc, a_record_that_is_given_back_empty_is_free, 0, 2);
	tcase_add_test(tc, a_record_on_its_way_has_no_queued_reply);
	tcase_add_loop_test(tc, a_connection_that_arrived_and_was_not_taken_is_dropped, 0, 2);
	tcase_add_loop_test(tc, a_record_that_names_what_is_not_there_costs_its_connection, 0,
	    sizeof words / sizeof words[0]);
	tcase_add_test(tc, a_block_that_says_it_holds_more_than_it_can_costs_its_connection);
	tcase_add_test(tc, a_block_that_lies_elsewhere_in_the_stream_costs_its_connection);
	tcase_add_test(tc, a_block_belongs_to_one_connection_only);
	tcase_add_test(tc, a_message_of_unknown_kind_costs_its_connection);
	tcase_add_test(tc, an_effect_on_a_channel_outside_the_table_costs_its_connection);
	tcase_add_loop_test(tc, a_span_that_leaves_the_arena_costs_its_connection, 0, 3);
	tcase_add_loop_test(tc, frames_that_do_not_fit_their_span_cost_its_connection, 0, 8);
	tcase_add_loop_test(tc, a_dialect_that_frames_no_events_has_no_subscriptions, 0, 1);
	tcase_add_loop_test(tc, a_connection_that_is_no_websocket_any_more_is_closed, 0, 2);
	tcase_add_loop_test(tc, after_a_fault_a_descriptor_must_be_the_record_s_own, 0, 3);
	tcase_add_loop_test(tc, a_free_record_is_empty_before_it_is_used_again, 0, 2);
	tcase_add_loop_test(tc, words_of_the_slot_are_put_within_bounds, 0, 15);
	tcase_add_test(tc, after_a_fault_records_are_found_that_the_slot_does_not_count);
	tcase_add_test(tc, what_a_record_names_in_the_arena_is_not_written_over);
	tcase_add_test(tc, a_channel_s_name_is_framed_within_its_record);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
