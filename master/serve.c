#include "master/serve.h"

#include <unistd.h>

#include "ipc/inbox.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "master/leftover.h"
#include "master/listeners.h"
#include "master/master_priv.h"
#include "master/slots.h"
#include "shm/dirty.h"
#include "shm/slot_layout.h"

enum { AWAY_LEAST_MS = 300 };	/* without a beat for so long, a slot's listeners are lent */

static struct slot *
slot_of(const struct master *m, unsigned i)
{
	return region_slot(&m->h.region, i);
}

bool
serve_wants(const struct master *m, unsigned slot)
{
	return slot < m->settings.worker_count && slot < m->h.region.caps.workers;
}

unsigned
serve_count(const struct master *m)
{
	unsigned n = m->settings.worker_count;

	return n < m->h.region.caps.workers ? n : m->h.region.caps.workers;
}

unsigned
serve_end(const struct master *m)
{
	unsigned i = m->h.region.caps.workers;

	while (i > 0 && !serve_wants(m, i - 1) && !m->slot[i - 1].keeper.running)
		i--;
	return i;
}

/* What was sent to a slot that is closed now would keep its sockets open. */
static void
empty_inbox(const struct master *m, unsigned i)
{
	struct inbox_message msg;
	int fd;

	while (inbox_receive(&m->h.region, i, &msg, &fd) > 0)
		if (fd >= 0)
			close(fd);
}

static void
close_slot(struct master *m, unsigned i)
{
	if (m->slot[i].keeper.running) {
		if (word32_get(&slot_of(m, i)->order) < ORDER_CLOSE) {
			log_notice("slot closes, its connections move to others slot=%u "
			    "connections=%llu", i,
			    (unsigned long long)word_get(&slot_of(m, i)->conns_open));
			slots_order(m, i, ORDER_CLOSE);
		}
		return;
	}
	if (!m->slot[i].settled)
		leftover_settle(&m->w, i);
	m->slot[i].settled = true;
	empty_inbox(m, i);
}

/* One that is still closing is opened when it is through with that. */
static bool
is_open(const struct master *m, unsigned i)
{
	return serve_wants(m, i) && word32_get(&slot_of(m, i)->order) != ORDER_CLOSE;
}

/* One that was closed takes part from its worker's first beat. */
static void
mark_open(struct master *m)
{
	uint64_t was = word_get(&m->h.region.head->open_slots), mask = 0;
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (is_open(m, i) && ((was >> i & 1) != 0 ||
		    (m->slot[i].keeper.running &&
		    word_get(&slot_of(m, i)->beat) > m->slot[i].started_at)))
			mask |= 1ull << i;
	if (was != mask)
		word_set(&m->h.region.head->open_slots, mask);
}

void
serve_resize(struct master *m)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (serve_wants(m, i) && listeners_begin(&m->h.region, i) != 0)
			log_error("cannot listen slot=%u", i);
	mark_open(m);
	serve_tick(m);
}

/* Somebody takes connections there, or will at once. */
static bool
takes(struct master *m, unsigned i, uint64_t now)
{
	const struct slot *slot = slot_of(m, i);
	uint64_t beat = word_get(&slot->beat), limit = m->settings.stuck_timeout;

	if (limit < AWAY_LEAST_MS)
		limit = AWAY_LEAST_MS;
	if (beat < m->slot[i].started_at)
		beat = m->slot[i].started_at;
	return is_open(m, i) && m->slot[i].keeper.running &&
	    word_get(&slot->backoff_until) == 0 && now < beat + limit;
}

static void
assign(struct master *m, unsigned i, unsigned to)
{
	struct slot *s = slot_of(m, i);
	uint32_t was = word32_get(&s->served_by);

	if (was == to + 1)
		return;
	word32_set(&s->served_by, to + 1);
	dirty_hint(&m->w, to, HINT_ORDER);
	if (was != 0 && was <= m->h.region.caps.workers)
		dirty_hint(&m->w, was - 1, HINT_ORDER);
}

/* Who has the fewest connections of those that can; caps.workers: nobody. */
static unsigned
best(struct master *m, uint64_t now)
{
	unsigned i, to = m->h.region.caps.workers;

	for (i = 0; i < m->h.region.caps.workers; i++)
		if (takes(m, i, now) && (to == m->h.region.caps.workers ||
		    word_get(&slot_of(m, i)->conns_open) < word_get(&slot_of(m, to)->conns_open)))
			to = i;
	return to;
}

/* A listener that was lent stays where it is as long as that will do. */
static void
give_listeners(struct master *m, unsigned i, uint64_t now)
{
	uint32_t by = word32_get(&slot_of(m, i)->served_by);
	unsigned to;

	if (takes(m, i, now)) {
		assign(m, i, i);
		return;
	}
	if (by != 0 && by - 1 != i && by <= m->h.region.caps.workers && takes(m, by - 1, now))
		return;
	to = best(m, now);
	if (to < m->h.region.caps.workers)
		assign(m, i, to);
	else if (by == 0)
		assign(m, i, i);
}

void
serve_tick(struct master *m)
{
	uint64_t now = clock_ms();
	unsigned i;

	mark_open(m);
	for (i = 0; i < m->h.region.caps.workers; i++) {
		if (!serve_wants(m, i))
			close_slot(m, i);
		/* bound, but not yet listening: nothing arrives there */
		if (serve_wants(m, i) || word32_get(&slot_of(m, i)->served_by) != 0)
			give_listeners(m, i, now);
	}
	wake_flush(&m->w);
}
