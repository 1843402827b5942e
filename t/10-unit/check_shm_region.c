/* The region: its plan, its identity, and who may attach it. */
#include "shm/region.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/settings.h"
#include "t/10-unit/shm_fixture.h"

START_TEST(parts_do_not_overlap)
{
	struct region_map m;

	region_plan(&small_caps, &m);
	ck_assert_uint_ge(m.settings, sizeof(struct region_head));
	ck_assert_uint_ge(m.slots, m.settings + 2 * sizeof(struct settings));
	ck_assert_uint_ge(m.buckets, m.slots + WRITERS_MAX * sizeof(struct slot));
	ck_assert_uint_ge(m.channels, m.buckets + SMALL_CHANNELS * sizeof(word32));
	ck_assert_uint_ge(m.rings, m.channels + SMALL_CHANNELS * sizeof(struct channel));
	ck_assert_uint_ge(m.writers, m.rings + SMALL_CHANNELS * SMALL_RING * sizeof(word64));
	ck_assert_uint_ge(m.log, m.dirty + DIRTY_WORDS * sizeof(word64));
	ck_assert_uint_ge(m.arena, m.log + LOG_RING_SIZE);
	ck_assert_uint_ge(m.writer_stride, m.arena + SMALL_ARENA);
	ck_assert_uint_ge(m.workers, m.writers + region_writers(&small_caps) * m.writer_stride);
	ck_assert_uint_ge(m.worker_stride, m.frames + small_caps.frame_arena);
	ck_assert_uint_ge(m.size, m.workers + 2 * m.worker_stride);
}
END_TEST

START_TEST(every_part_can_be_written_to_its_last_byte)
{
	unsigned w;

	for (w = 0; w < WRITERS_MAX; w++)
		if (region_has_writer(&region, w)) {
			memset(region_arena(&region, w), (int)w + 1, SMALL_ARENA);
			memset(region_log(&region, w), (int)w + 1, LOG_RING_SIZE);
			memset(region_dirty(&region, w), (int)w + 1, DIRTY_WORDS * 8);
		}
	for (w = 0; w < WRITERS_MAX; w++)
		if (region_has_writer(&region, w)) {
			ck_assert_uint_eq(region_arena(&region, w)[0], w + 1);
			ck_assert_uint_eq(region_arena(&region, w)[SMALL_ARENA - 1], w + 1);
			ck_assert_uint_eq(region_log(&region, w)[LOG_RING_SIZE - 1], w + 1);
		}
	memset(region_frames(&region, 1), 0xff, small_caps.frame_arena);
	ck_assert_uint_eq(region.head->magic, REGION_MAGIC);
}
END_TEST

START_TEST(layout_id_changes_with_every_capacity)
{
	uint64_t id = region_layout_id(&small_caps);
	struct region_caps c;

#define OTHER(field, value) do { \
	c = small_caps; \
	c.field = (value); \
	ck_assert_uint_ne(region_layout_id(&c), id); \
} while (0)
	ck_assert_uint_eq(region_layout_id(&small_caps), id);
	OTHER(workers, 3);
	OTHER(channels, 2048);
	OTHER(ring_cells, 1024);
	OTHER(conns, 1024);
	OTHER(blocks, 3);
	OTHER(arena, 2 << 20);
	OTHER(frame_arena, 1 << 17);
	OTHER(idempotency, 16);
#undef OTHER
}
END_TEST

/* Capacities so near that they take the same pages: the map is equal, the meaning is not. */
START_TEST(layout_id_tells_capacities_apart_that_fill_the_same_pages)
{
	struct region_caps c = small_caps;

	c.channels = 128;
	c.ring_cells = 8;
	ck_assert_uint_ne(region_layout_id(&c), region_layout_id(&small_caps));
	c = small_caps;
	c.conns = 17;
	ck_assert_uint_ne(region_layout_id(&c), region_layout_id(&small_caps));
}
END_TEST

START_TEST(two_mappings_are_one_region)
{
	struct region r;
	struct writer w;
	uint32_t chan = channel(&wa, "room"), again;
	uint64_t mark;

	ck_assert_int_eq(region_attach(&r, region.fd), 0);
	ck_assert_ptr_ne(r.base, region.base);
	writer_open(&w, &r, 1);
	ck_assert_int_eq(channel_find(&r, "room", 4, &again), 0);
	ck_assert_uint_eq(again, chan);
	ck_assert_uint_eq(publish(&w, chan, 5, 100), 1);
	ck_assert_int_eq(read_event(chan, 1, &mark), EVENT_OK);
	ck_assert_uint_eq(mark, 5);
	region_detach(&r);
}
END_TEST

START_TEST(another_layout_is_refused)
{
	struct region r;

	region.head->layout_id ^= 1;
	ck_assert_int_eq(region_attach(&r, region.fd), -1);
	ck_assert_int_eq(errno, EPROTO);
	region.head->layout_id ^= 1;
	region.head->magic ^= 1;
	ck_assert_int_eq(region_attach(&r, region.fd), -1);
	ck_assert_int_eq(errno, EPROTO);
}
END_TEST

START_TEST(rubbish_capacities_are_refused_not_asserted)
{
	struct region r;
	unsigned i;

	for (i = 0; i < sizeof(struct region_caps); i += 4) {
		uint32_t *p = (uint32_t *)((unsigned char *)&region.head->caps + i), was = *p;

		*p = 0xfffffff3;
		ck_assert_int_eq(region_attach(&r, region.fd), -1);
		ck_assert_int_eq(errno, EPROTO);
		*p = was;
	}
}
END_TEST

START_TEST(a_map_that_is_not_of_its_capacities_is_refused)
{
	struct region r;

	region.head->map.rings += 4096;
	ck_assert_int_eq(region_attach(&r, region.fd), -1);
	ck_assert_int_eq(errno, EPROTO);
}
END_TEST

START_TEST(a_truncated_region_is_refused)
{
	struct region r;

	ck_assert_int_eq(ftruncate(region.fd, (off_t)region.map.size - 4096), 0);
	ck_assert_int_eq(region_attach(&r, region.fd), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_int_eq(ftruncate(region.fd, 100), 0);
	ck_assert_int_eq(region_attach(&r, region.fd), -1);
}
END_TEST

START_TEST(a_snapshot_is_what_was_put_last)
{
	static struct settings s, out;
	unsigned i;

	ck_assert_uint_eq(region_settings_number(&region), 0);
	settings_defaults(&s);
	for (i = 1; i <= 5; i++) {
		s.history = 100 + i;
		region_settings_put(&region, &s);
		ck_assert_uint_eq(region_settings_number(&region), i);
		region_settings_get(&region, &out);
		ck_assert_uint_eq(out.number, i);
		ck_assert_uint_eq(out.history, 100 + i);
		out.number = s.number;
		ck_assert_int_eq(memcmp(&out, &s, sizeof s), 0);
	}
}
END_TEST

START_TEST(helpers_and_configured_workers_have_parts_nobody_else)
{
	unsigned w, n = 0;

	for (w = 0; w < 256; w++)
		n += region_has_writer(&region, w);
	ck_assert_uint_eq(n, region_writers(&small_caps));
	ck_assert(region_has_writer(&region, 1));
	ck_assert(!region_has_writer(&region, 2));
	ck_assert(region_has_writer(&region, HELPER_SPARE));
	ck_assert(!region_has_writer(&region, WRITER_CLOSED));
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, parts_do_not_overlap);
	tcase_add_test(tc, every_part_can_be_written_to_its_last_byte);
	tcase_add_test(tc, layout_id_changes_with_every_capacity);
	tcase_add_test(tc, layout_id_tells_capacities_apart_that_fill_the_same_pages);
	tcase_add_test(tc, two_mappings_are_one_region);
	tcase_add_test(tc, another_layout_is_refused);
	tcase_add_test(tc, rubbish_capacities_are_refused_not_asserted);
	tcase_add_test(tc, a_map_that_is_not_of_its_capacities_is_refused);
	tcase_add_test(tc, a_truncated_region_is_refused);
	tcase_add_test(tc, a_snapshot_is_what_was_put_last);
	tcase_add_test(tc, helpers_and_configured_workers_have_parts_nobody_else);
}

int
main(void)
{
	return run_cases("shm/region", add);
}
