#define _GNU_SOURCE
#include "shm/region.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shm/channel_layout.h"
#include "shm/event_layout.h"
#include "shm/frame_layout.h"
#include "shm/idempotency_layout.h"
#include "shm/settings.h"
#include "shm/slot_layout.h"

enum { PAGE = 4096 };
#define ARENA_MIN (1ull << 20)		/* the margin and the moves of shm/arena.c need it */
#define MEMORY_MAX (1ull << 40)

static uint64_t
take(uint64_t *at, uint64_t bytes)
{
	uint64_t off = *at;

	*at = (off + bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	return off;
}

uint32_t
ext_subs(enum ext_class c)
{
	static const uint32_t n[] = { 8, 32, SUBSCRIPTIONS_MAX };

	_Static_assert(sizeof n / sizeof n[0] == EXT_CLASSES, "a size per class");
	assert(c < EXT_CLASSES);
	return n[c];
}

uint32_t
region_writers(const struct region_caps *caps)
{
	return caps->workers + HELPERS_MAX;
}

uint32_t
region_idempotency_words(const struct region_caps *caps)
{
	return caps->idempotency * IDEMPOTENCY_WORDS_PER_KEY;
}

/* Whether a region can have these. */
static bool
caps_valid(const struct region_caps *c)
{
	return c->workers >= 1 && c->workers <= WORKERS_MAX && c->channels >= 64 &&
	    c->channels <= CHANNELS_MAX && c->channels % 64 == 0 &&
	    c->ring_cells >= 2 && c->ring_cells <= HISTORY_MAX &&
	    (c->ring_cells & (c->ring_cells - 1)) == 0 && c->conns <= CONNS_MAX &&
	    c->arena >= ARENA_MIN && c->arena <= MEMORY_MAX && (c->arena & (c->arena - 1)) == 0 &&
	    c->frame_arena <= MEMORY_MAX && (c->idempotency & (c->idempotency - 1)) == 0 &&
	    (c->idempotency == 0 || c->idempotency >= IDEMPOTENCY_CAP_MIN) &&
	    c->idempotency <= IDEMPOTENCY_CAP_MAX;
}

void
region_plan(const struct region_caps *caps, struct region_map *m)
{
	uint64_t at = 0, part;
	unsigned c;

	assert(caps_valid(caps));
	memset(m, 0, sizeof *m);
	take(&at, sizeof(struct region_head));
	m->settings_stride = (sizeof(struct settings) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	m->settings = take(&at, 2 * m->settings_stride);
	m->slots = take(&at, WRITERS_MAX * sizeof(struct slot));
	m->buckets = take(&at, caps->channels * sizeof(word32));
	m->channels = take(&at, caps->channels * sizeof(struct channel));
	m->ring_stride = (uint64_t)caps->ring_cells * sizeof(word64);
	m->rings = take(&at, caps->channels * m->ring_stride);
	m->idempotency_stride = region_idempotency_words(caps) * sizeof(word64);
	m->idempotency = take(&at, 2 * m->idempotency_stride);

	part = 0;
	m->dirty = take(&part, DIRTY_WORDS * sizeof(word64));
	m->log = take(&part, LOG_RING_SIZE);
	m->arena = take(&part, caps->arena);
	m->writer_stride = part;
	m->writers = take(&at, region_writers(caps) * part);

	part = 0;
	m->conns = take(&part, caps->conns * sizeof(struct conn));
	m->moves = take(&part, caps->conns * sizeof(word64));
	for (c = 0; c < EXT_CLASSES; c++)
		m->ext[c] = take(&part, (uint64_t)caps->conns * ext_subs(c) * sizeof(struct sub));
	m->blocks = take(&part, (uint64_t)caps->blocks * sizeof(struct block));
	m->scratch = take(&part, SCRATCH_SIZE);
	m->frames = take(&part, caps->frame_arena);
	m->idempotency_pool = take(&part,
	    2ull * caps->idempotency * sizeof(struct idempotency_record));
	m->worker_stride = part;
	m->workers = take(&at, caps->workers * part);
	m->size = at;
}

/* FNV-1a: this is an identity, not a defence. */
static uint64_t
hash_add(uint64_t h, uint64_t v)
{
	unsigned i;

	for (i = 0; i < 8; i++, v >>= 8)
		h = (h ^ (v & 0xff)) * 0x100000001b3ull;
	return h;
}

uint64_t
region_layout_id(const struct region_caps *caps)
{
	struct region_map m;
	const unsigned char *p = (const unsigned char *)&m;
	uint64_t h = hash_add(0xcbf29ce484222325ull, REGION_VERSION), v;
	size_t i;

	region_plan(caps, &m);
	for (i = 0; i + 8 <= sizeof m; i += 8) {
		memcpy(&v, p + i, 8);
		h = hash_add(h, v);
	}
	/* capacities too: different ones may fill the same pages */
	h = hash_add(h, (uint64_t)caps->workers << 32 | caps->channels);
	h = hash_add(h, (uint64_t)caps->ring_cells << 32 | caps->conns);
	h = hash_add(hash_add(h, caps->blocks), caps->arena);
	h = hash_add(hash_add(h, caps->frame_arena), caps->idempotency);
	h = hash_add(h, sizeof(struct region_head));
	h = hash_add(h, sizeof(struct slot) << 32 | offsetof(struct slot, stats));
	h = hash_add(h, sizeof(struct conn) << 32 | sizeof(struct channel));
	h = hash_add(h, sizeof(struct event_head) << 32 | sizeof(struct span));
	h = hash_add(h, (uint64_t)EFFECT_WORD_MAX << 32 | SPAN_EFFECTS);
	h = hash_add(h, sizeof(struct settings) << 32 | STAT_COUNT);
	h = hash_add(h, sizeof(struct region_head) << 32 | sizeof(struct region_listener));
	h = hash_add(h, (uint64_t)ORDER_COUNT << 32 | DEATH_COUNT);
	h = hash_add(h, sizeof(struct idempotency_record) << 32 | IDEMPOTENCY_PERIOD_BITS << 16 |
	    IDEMPOTENCY_TAG_BITS);
	return h;
}

static void
region_point(struct region *r, int fd)
{
	r->fd = fd;
	r->head = (struct region_head *)r->base;
	r->caps = r->head->caps;
	r->map = r->head->map;
	r->slots = (struct slot *)(r->base + r->map.slots);
	r->buckets = (word32 *)(r->base + r->map.buckets);
	r->channels = (struct channel *)(r->base + r->map.channels);
}

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void
region_fill(struct region *r, const struct region_caps *caps, const struct region_map *map)
{
	struct region_head *h = (struct region_head *)r->base;
	unsigned w;

	h->caps = *caps;
	h->map = *map;
	h->layout_id = region_layout_id(caps);
	h->started = now_ms();
	if (getrandom(&h->hash_key, sizeof h->hash_key, 0) != sizeof h->hash_key)
		h->hash_key = h->started * 0x9e3779b97f4a7c15ull;
	if (getrandom(h->idempotency_key, sizeof h->idempotency_key, 0) !=
	    sizeof h->idempotency_key)
		h->idempotency_key[0] = h->hash_key;
	word_set(&h->idempotency_period, 1);
	word_set(&h->open_slots, (1ull << caps->workers) - 1);
	for (w = 0; w < WRITERS_MAX; w++) {
		struct slot *s = (struct slot *)(r->base + map->slots) + w;

		/* position 0 is never used, so that no cell is 0 */
		word_set(&s->arena_reserved, caps->arena);
		word_set(&s->arena_head, caps->arena);
		word_set(&s->arena_low, caps->arena);
	}
	h->magic = REGION_MAGIC;
}

int
region_create(struct region *r, const struct region_caps *caps)
{
	struct region_map map;
	int fd, e;

	region_plan(caps, &map);
	memset(r, 0, sizeof *r);
	fd = memfd_create("plenum", 0);
	if (fd < 0)
		return -1;
	r->size = map.size;
	if (ftruncate(fd, (off_t)map.size) != 0)
		goto fail;
	r->base = mmap(NULL, map.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (r->base == MAP_FAILED)
		goto fail;
	madvise(r->base, map.size, MADV_DONTDUMP);
	region_fill(r, caps, &map);
	region_point(r, fd);
	return 0;
fail:
	e = errno;
	close(fd);
	errno = e;
	return -1;
}

int
region_attach(struct region *r, int fd)
{
	struct region_head h;
	struct region_map map;
	struct stat st;

	memset(r, 0, sizeof *r);
	/* of another layout these may be any bytes: nothing is asserted before it is checked */
	if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h || h.magic != REGION_MAGIC ||
	    !caps_valid(&h.caps) || h.layout_id != region_layout_id(&h.caps))
		goto other;
	region_plan(&h.caps, &map);
	if (memcmp(&map, &h.map, sizeof map) != 0 || fstat(fd, &st) != 0 ||
	    (uint64_t)st.st_size < map.size)
		goto other;
	r->size = h.map.size;
	r->base = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (r->base == MAP_FAILED)
		return -1;
	madvise(r->base, r->size, MADV_DONTDUMP);
	region_point(r, fd);
	return 0;
other:
	errno = EPROTO;
	return -1;
}

void
region_detach(struct region *r)
{
	munmap(r->base, r->size);
	memset(r, 0, sizeof *r);
	r->fd = -1;
}

static void
print_row(FILE *f, const char *what, uint64_t each, uint64_t n)
{
	fprintf(f, "  %-44s %12llu x %7llu = %8.1f M\n", what, (unsigned long long)each,
	    (unsigned long long)n, (double)each * (double)n / 1048576);
}

void
region_print(FILE *f, const struct region_caps *c)
{
	struct region_map m;
	unsigned e;

	region_plan(c, &m);
	fprintf(f, "shared memory, touched as it is used (bytes x number)\n");
	print_row(f, "arena per writer (arena)", c->arena, region_writers(c));
	print_row(f, "log ring and dirty bits per writer", m.arena, region_writers(c));
	print_row(f, "channel records (channels_max)", sizeof(struct channel), c->channels);
	print_row(f, "rings (history, rounded up)", m.ring_stride, c->channels);
	print_row(f, "idempotency words (idempotency_max)", 2 * sizeof(word64),
	    region_idempotency_words(c));
	print_row(f, "idempotency records, by worker", 2 * sizeof(struct idempotency_record),
	    (uint64_t)c->idempotency * c->workers);
	print_row(f, "connection records (max_connections)", sizeof(struct conn) + sizeof(word64),
	    (uint64_t)c->conns * c->workers);
	for (e = 0; e < EXT_CLASSES; e++)
		print_row(f, "subscriptions beyond the first, by class",
		    ext_subs(e) * sizeof(struct sub), (uint64_t)c->conns * c->workers);
	print_row(f, "blocks (blocks)", sizeof(struct block), (uint64_t)c->blocks * c->workers);
	print_row(f, "frame arena per worker (frame_arena)", c->frame_arena, c->workers);
	fprintf(f, "  in all, at most %.1f M; layout %016llx\n", (double)m.size / 1048576,
	    (unsigned long long)region_layout_id(c));
}

struct slot *
region_slot(const struct region *r, unsigned writer)
{
	assert(writer < WRITERS_MAX);
	return &r->slots[writer];
}

bool
region_has_writer(const struct region *r, unsigned writer)
{
	return writer < r->caps.workers ||
	    (writer >= WORKERS_MAX && writer < WORKERS_MAX + HELPERS_MAX);
}

static unsigned char *
writer_part(const struct region *r, unsigned writer)
{
	unsigned i = writer < WORKERS_MAX ? writer : r->caps.workers + writer - WORKERS_MAX;

	assert(region_has_writer(r, writer));
	return r->base + r->map.writers + i * r->map.writer_stride;
}

word64 *
region_dirty(const struct region *r, unsigned writer)
{
	return (word64 *)(writer_part(r, writer) + r->map.dirty);
}

unsigned char *
region_log(const struct region *r, unsigned writer)
{
	return writer_part(r, writer) + r->map.log;
}

unsigned char *
region_arena(const struct region *r, unsigned writer)
{
	return writer_part(r, writer) + r->map.arena;
}

static unsigned char *
worker_part(const struct region *r, unsigned worker)
{
	assert(worker < r->caps.workers);
	return r->base + r->map.workers + worker * r->map.worker_stride;
}

struct conn *
region_conns(const struct region *r, unsigned worker)
{
	return (struct conn *)(worker_part(r, worker) + r->map.conns);
}

word64 *
region_moves(const struct region *r, unsigned worker)
{
	return (word64 *)(worker_part(r, worker) + r->map.moves);
}

struct sub *
region_ext(const struct region *r, unsigned worker, enum ext_class c, uint32_t index)
{
	assert(c < EXT_CLASSES && index < r->caps.conns);
	return (struct sub *)(worker_part(r, worker) + r->map.ext[c]) + (size_t)index * ext_subs(c);
}

struct block *
region_block(const struct region *r, unsigned worker, uint32_t index)
{
	assert(index < r->caps.blocks);
	return (struct block *)(worker_part(r, worker) + r->map.blocks) + index;
}

unsigned char *
region_scratch(const struct region *r, unsigned worker)
{
	return worker_part(r, worker) + r->map.scratch;
}

unsigned char *
region_frames(const struct region *r, unsigned worker)
{
	return worker_part(r, worker) + r->map.frames;
}

word64 *
region_ring(const struct region *r, uint32_t chan)
{
	assert(chan < r->caps.channels);
	return (word64 *)(r->base + r->map.rings + chan * r->map.ring_stride);
}

word64 *
region_idempotency(const struct region *r, uint64_t period)
{
	return (word64 *)(r->base + r->map.idempotency + (period & 1) * r->map.idempotency_stride);
}

struct idempotency_record *
region_idempotency_record(const struct region *r, unsigned worker, uint64_t period, uint32_t index)
{
	struct idempotency_record *pool = (struct idempotency_record *)(worker_part(r, worker) +
	    r->map.idempotency_pool);

	assert(index < r->caps.idempotency);
	return pool + (period & 1) * r->caps.idempotency + index;
}

static word64 *
settings_buffer(const struct region *r, uint64_t number)
{
	_Static_assert(sizeof(struct settings) % sizeof(word64) == 0, "copied by words");
	return (word64 *)(r->base + r->map.settings + (number & 1) * r->map.settings_stride);
}

void
region_settings_put(struct region *r, const struct settings *s)
{
	uint64_t n = word_get(&r->head->snapshot) + 1;
	word64 *b = settings_buffer(r, n);

	words_publish(b, s, sizeof *s);
	word_set(&b[offsetof(struct settings, number) / sizeof *b], n);
	word_set(&r->head->snapshot, n);
}

void
region_settings_get(const struct region *r, struct settings *out)
{
	uint64_t n;

	/* the master switches at most once per reload; a copy torn by two is taken again */
	do {
		n = word_get(&r->head->snapshot);
		words_fetch(out, settings_buffer(r, n), sizeof *out);
	} while (word_get(&r->head->snapshot) != n);
}

uint64_t
region_settings_number(const struct region *r)
{
	return word_get(&r->head->snapshot);
}
