/*
 * What the unit tests of shm/ share: a small region with two workers, and short words for what a
 * process does in it.
 */
#ifndef PLENUM_T_SHM_FIXTURE_H
#define PLENUM_T_SHM_FIXTURE_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/dirty.h"
#include "shm/event.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum { SMALL_CHANNELS = 64, SMALL_RING = 16, SMALL_ARENA = 1 << 20 };

static const struct region_caps small_caps = {
	.workers = 2,
	.channels = SMALL_CHANNELS,
	.ring_cells = SMALL_RING,
	.conns = 16,
	.blocks = 2,
	.arena = SMALL_ARENA,
	.frame_arena = 1 << 16,
};
static const struct channel_rule_values rule = { .history = SMALL_RING };

static struct region region;
static struct writer wa, wb, master;
static unsigned char big[EVENT_MAX], got[EVENT_MAX];

__attribute__((unused)) static void
set_up(void)
{
	size_t i;

	ck_assert_int_eq(region_create(&region, &small_caps), 0);
	writer_open(&wa, &region, 0);
	writer_open(&wb, &region, 1);
	writer_open(&master, &region, HELPER_MASTER);
	for (i = 0; i < sizeof big; i++)
		big[i] = (unsigned char)(i * 7 + i / 251);
}

__attribute__((unused)) static void
tear_down(void)
{
	region_detach(&region);
}

__attribute__((unused)) static uint32_t
channel(struct writer *w, const char *name)
{
	uint32_t chan = UINT32_MAX;

	ck_assert_int_eq(channel_get(w, name, strlen(name), &rule, &chan), 0);
	ck_assert_uint_lt(chan, SMALL_CHANNELS);
	return chan;
}

/* Publishes n bytes of big[] from `mark` on; cookie is the mark. Returns the seq. */
__attribute__((unused)) static uint64_t
publish(struct writer *w, uint32_t chan, uint64_t mark, uint32_t n)
{
	struct event_head h = { .cookie = mark, .len = n };
	uint64_t seq = 0;

	ck_assert_uint_le(mark + n, sizeof big);
	ck_assert_int_eq(event_publish(w, chan, &h, big + mark, &seq), 0);
	return seq;
}

/* The result of reading seq; if it is there, it must be what publish() made of this mark. */
__attribute__((unused)) static enum event_result
read_event(uint32_t chan, uint64_t seq, uint64_t *mark)
{
	struct event e;
	enum event_result res = event_peek(&region, chan, seq, &e);

	if (res == EVENT_OK)
		res = event_copy(&region, chan, seq, &e, got);
	if (res != EVENT_OK)
		return res;
	ck_assert_uint_eq(e.head.seq, seq);
	ck_assert_uint_eq(e.head.chan, chan);
	ck_assert_int_eq(memcmp(got, big + e.head.cookie, e.head.len), 0);
	*mark = e.head.cookie;
	return EVENT_OK;
}

__attribute__((unused)) static int
run_cases(const char *name, void (*add)(TCase *))
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	add(tc);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
