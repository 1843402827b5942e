/*
 * A part of the table is looked at in each tick. For every record the master keeps privately where
 * its tail stood and since when; a channel with an interest, or a tail that moved, is not idle.
 *
 * Retired channels form a batch. Their records are used again when no process can still hold their
 * number from a look-up: when every worker has passed the top of its loop twice since, which
 * `quiet` counts. A worker that died counts from 1 again, so any other number is a difference of at
 * least two, or one to wait for; its heir has passed the top since. Until then there is no other
 * batch.
 */
#include "master/retire.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "master/chanscan.h"
#include "master/master_priv.h"
#include "master/serve.h"
#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/dirty.h"
#include "shm/slot_layout.h"

enum { RECORDS_PER_TICK = 1024, BATCH_MAX = 256, TURNS = 2 };

struct idle {
	uint64_t tail;		/* + 1; 0: was not there */
	uint64_t since;		/* ms */
	uint64_t asked;		/* ms, when those with an interest were last asked for it */
	uint64_t epoch;
};

struct retire {
	struct idle *idle;
	uint32_t at;		/* where the next tick begins */
	uint32_t batch[BATCH_MAX];
	unsigned count;
	uint64_t quiet[WORKERS_MAX];	/* when the batch was retired */
};

struct retire *
retire_new(unsigned channels)
{
	struct retire *r = calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	r->idle = calloc(channels, sizeof *r->idle);
	if (r->idle == NULL)
		retire_free(&r);
	return r;
}

void
retire_free(struct retire **r)
{
	if (*r != NULL)
		free((*r)->idle);
	free(*r);
	*r = NULL;
}

/* Slots that take no part and of which no process is left: nobody there answers. */
static uint64_t
empty_slots(const struct master *m)
{
	uint64_t mask = 0;
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (!region_slot_is_open(&m->h.region, i) && !serve_wants(m, i) &&
		    !m->slot[i].keeper.running)
			mask |= 1ull << i;
	return mask;
}

/*
 * An interest may be left over from a worker that died between declaring it and its subscription.
 * A mark makes each worker look, and one without subscribers takes its interest back. For a slot
 * without a worker the master does it. That is safe: the bit is declared by the slot's worker
 * alone, the line has told that no process of the slot is left, and the next is started by this
 * master, not before this turn is over, without subscribers.
 */
static void
ask_for_interest(struct master *m, uint32_t i, uint64_t now)
{
	struct idle *d = &m->retire->idle[i];

	if (now - d->asked < m->settings.channel_idle)
		return;
	d->asked = now;
	channel_disown(&m->h.region, i, empty_slots(m));
	dirty_mark(&m->w, i);
}

/* Whether the channel has been idle long enough; brings what is known about it up to date. */
static bool
is_idle(struct master *m, uint32_t i, uint64_t now)
{
	const struct channel *c = &m->h.region.channels[i];
	struct idle *d = &m->retire->idle[i];
	uint64_t tail;

	if (!claim_is_open(word_get(&c->claim))) {
		d->tail = 0;
		return false;
	}
	tail = channel_tail(&m->h.region, i) + 1;
	if (word_get(&c->interest) != 0 || tail != d->tail || c->epoch != d->epoch) {
		d->tail = tail;
		d->epoch = c->epoch;
		d->since = now;
		if (word_get(&c->interest) != 0)
			ask_for_interest(m, i, now);
		return false;
	}
	return now - d->since >= m->settings.channel_idle;
}

/*
 * A record is in the table if its name leads to it; one that is still being prepared by somebody
 * who was stopped must not be touched.
 */
static bool
is_in_table(const struct region *r, uint32_t i)
{
	const struct channel *c = &r->channels[i];
	uint32_t found;

	return c->name_len > 0 && c->name_len <= CHANNEL_NAME_MAX &&
	    channel_find(r, c->name, c->name_len, &found) == 0 && found == i;
}

static void
retire_one(struct master *m, uint32_t i)
{
	struct retire *r = m->retire;
	struct idle *d = &r->idle[i];

	if (!is_in_table(&m->h.region, i) || !channel_retire(&m->w, i, d->tail - 1))
		return;
	d->tail = 0;
	r->batch[r->count++] = i;
}

/* What a master before this one had begun, and which is in no batch: there is none now. */
static bool
is_left_over(struct master *m, uint32_t i)
{
	uint64_t claim = word_get(&m->h.region.channels[i].claim);
	struct retire *r = m->retire;

	if (claim == CHANNEL_CLOSING && !channel_retire(&m->w, i, 0))
		return false;
	if (claim != CHANNEL_CLOSING && claim != CHANNEL_RETIRED)
		return false;
	r->idle[i].tail = 0;
	r->batch[r->count++] = i;
	return true;
}

static void
look(struct master *m, uint64_t now)
{
	const struct region *region = &m->h.region;
	struct retire *r = m->retire;
	uint32_t i, n = 0;

	i = chanscan_next(region, r->at);
	while (i < region->caps.channels && n < RECORDS_PER_TICK && r->count < BATCH_MAX) {
		if (!is_left_over(m, i) && is_idle(m, i, now))
			retire_one(m, i);
		n++;
		i = chanscan_next(region, i + 1);
	}
	r->at = i < region->caps.channels ? i : 0;
}

static void
remember_quiet(struct master *m)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		/* seq_cst by the owner: the table was changed before this look */
		m->retire->quiet[i] = word_get(&region_slot(&m->h.region, i)->quiet);
}

static bool
all_were_quiet(const struct master *m)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (m->slot[i].keeper.running && word_get(&region_slot(&m->h.region, i)->quiet) -
		    m->retire->quiet[i] < TURNS)
			return false;
	return true;
}

void
retire_tick(struct master *m)
{
	struct retire *r = m->retire;

	if (r->count > 0) {
		if (!all_were_quiet(m))
			return;
		log_debug("channels forgotten count=%u", r->count);
		while (r->count > 0)
			channel_recycle(&m->w, r->batch[--r->count]);
	}
	look(m, clock_ms());
	if (r->count > 0)
		remember_quiet(m);
	wake_flush(&m->w);
}
