/*
 * The region: one memfd that every process of plenumd maps. It knows offsets only, so it may lie at
 * a different address in each.
 *
 *   head | snapshots of the settings | slots | buckets | channels | rings | idempotency words
 *        | per writer: dirty bitmap, log ring, arena
 *        | per worker: records, moves, extensions, blocks, scratch, frame arena, idempotency
 *          records
 *
 * Capacities are fixed when the region is made; pages are touched as they are used.
 */
#ifndef PLENUM_SHM_REGION_H
#define PLENUM_SHM_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/conn_layout.h"
#include "shm/limits.h"
#include "shm/word.h"

struct block;
struct channel;
struct idempotency_record;
struct settings;
struct slot;

/*
 * Raised when the meaning of what lies in the region changes though no size and no place does. Part
 * of the layout's identity.
 */
#ifndef REGION_VERSION
#define REGION_VERSION 1
#endif

#define REGION_MAGIC 0x706c656e756d3031ull	/* "plenum01" */

/* What decides the region's size. */
struct region_caps {
	uint32_t workers;	/* 1..WORKERS_MAX */
	uint32_t channels;	/* channel records, a multiple of 64, at most CHANNELS_MAX */
	uint32_t ring_cells;	/* per channel, a power of two */
	uint32_t conns;		/* records per worker, at most CONNS_MAX */
	uint32_t blocks;	/* per worker */
	uint32_t idempotency;	/* keys per period: 0 or a power of two, 16 to 2^24 */
	uint64_t arena;		/* bytes per writer, a power of two */
	uint64_t frame_arena;	/* bytes per worker */
};

/* Where everything lies, in bytes from the region's start; strides of repeated parts. */
struct region_map {
	uint64_t settings, settings_stride;
	uint64_t slots;
	uint64_t buckets;
	uint64_t channels;
	uint64_t rings, ring_stride;
	uint64_t idempotency, idempotency_stride;	/* an array of words per parity */
	uint64_t writers, writer_stride;
	uint64_t dirty, log, arena;			/* within a writer's part */
	uint64_t workers, worker_stride;
	/* within a worker's part */
	uint64_t conns, moves, ext[EXT_CLASSES], blocks, scratch, frames;
	uint64_t idempotency_pool;
	uint64_t size;
};

/* An address that is served; its descriptors, one per slot, stand in the slots. */
struct region_listener {
	char address[256];	/* as configured */
	uint32_t services;	/* SETTINGS_SERVICE_* */
	bool is_unix;
	bool is_loopback;
	bool dedicated;		/* a [listen] section that names services */
};

struct region_head {
	uint64_t magic;
	uint64_t layout_id;
	struct region_caps caps;
	struct region_map map;
	uint64_t hash_key;	/* keys the channel table against crafted names */
	uint64_t idempotency_key[2];	/* of the fingerprints */
	uint64_t started;	/* ms since 1970 */
	word64 snapshot;	/* number of the settings in force: buffer number & 1 */
	word32 draining;	/* 1: /health/ready says so */
	word32 stopping;	/* 1: QUIT or TERM was received */
	word64 idempotency_period;	/* in force, from 1 */
	word64 idempotency_turned;	/* ms, CLOCK_MONOTONIC, when it began; 0 not yet known */
	word32 reload_wanted;	/* one was asked for that has not begun; the next master's, too */
	word32 spare;
	word64 reloads;
	word64 reload_failed;
	word64 open_slots;	/* bits of the workers that take connections of others */
	word32 keeper;		/* 0: no keeper, and why */
	char keeper_why[124];
	word32 upgrade;		/* number of the last one */
	uint32_t owner;		/* the user that the master runs as */
	uint32_t nlisteners;	/* filled before anybody else is started */
	struct region_listener listener[LISTENERS_MAX];
};

/* A process's view of a region. Private memory; pointers are valid while it is attached. */
struct region {
	unsigned char *base;
	size_t size;
	int fd;
	struct region_head *head;
	struct region_caps caps;
	struct region_map map;
	struct slot *slots;		/* WRITERS_MAX */
	word32 *buckets;
	struct channel *channels;
};

/* Lays the region out for these capacities. Pure. */
void region_plan(const struct region_caps *caps, struct region_map *map);

/* Makes a region of these capacities and attaches it. 0, or -1 with errno. Master, tests. */
int region_create(struct region *r, const struct region_caps *caps);

/* Attaches a region by its descriptor. 0, or -1 with errno (EPROTO: another layout). */
int region_attach(struct region *r, int fd);

/* Unmaps; the descriptor stays open. */
void region_detach(struct region *r);

/* A hash over every layout table and capacity: equal ids may adopt each other's region. */
uint64_t region_layout_id(const struct region_caps *caps);

/* The arithmetic of the memory, for people. */
void region_print(FILE *f, const struct region_caps *caps);

/* The number of writers that have a part of their own. */
uint32_t region_writers(const struct region_caps *caps);

/* The parts of a writer (worker or helper) and of a worker. The index must be in range. */
struct slot *region_slot(const struct region *r, unsigned writer);
word64 *region_dirty(const struct region *r, unsigned writer);
unsigned char *region_log(const struct region *r, unsigned writer);
unsigned char *region_arena(const struct region *r, unsigned writer);
struct conn *region_conns(const struct region *r, unsigned worker);
word64 *region_moves(const struct region *r, unsigned worker);
struct sub *region_ext(const struct region *r, unsigned worker, enum ext_class c, uint32_t index);
struct block *region_block(const struct region *r, unsigned worker, uint32_t index);
unsigned char *region_scratch(const struct region *r, unsigned worker);
unsigned char *region_frames(const struct region *r, unsigned worker);
word64 *region_ring(const struct region *r, uint32_t chan);

/* Idempotency: the words of a period, their number, and a worker's record of that period. */
word64 *region_idempotency(const struct region *r, uint64_t period);
uint32_t region_idempotency_words(const struct region_caps *caps);
struct idempotency_record *region_idempotency_record(const struct region *r, unsigned worker,
    uint64_t period, uint32_t index);

/* Whether a worker's slot takes part in service. */
static inline bool
region_slot_is_open(const struct region *r, unsigned worker)
{
	return (word_get(&r->head->open_slots) >> worker & 1) != 0;
}

/* Whether this writer has a part in this region. */
bool region_has_writer(const struct region *r, unsigned writer);

/* Subscriptions that an extension of this class holds. */
uint32_t ext_subs(enum ext_class c);

/*
 * Settings: the master prepares the buffer that is not in force and switches with one store; any
 * process copies the one in force. number counts up from 1.
 */
void region_settings_put(struct region *r, const struct settings *s);
void region_settings_get(const struct region *r, struct settings *out);
uint64_t region_settings_number(const struct region *r);

#endif
