/*
 * A slot that is started again has an heir, who finishes what its predecessor had begun. One that
 * is not, because there are fewer workers now, would leave for ever: a channel that was claimed and
 * not made, an idempotency key that is neither answered nor given up, an offer of a connection that
 * nobody ends, records of sockets that are gone. So the master does what an heir without
 * descriptors does (worker/recover.c), in the same order: the publish in doubt, the channel, what
 * was arriving, the records, the key. There is no message in hand that could be executed again, as
 * its sender is gone.
 *
 * Nobody runs as this slot, so its words may be stored as its owner would. Others may live: what is
 * theirs as well (cells, claims, moves) is changed by CAS, as by anybody.
 */
#include "master/leftover.h"

#include <stdint.h>
#include <string.h>

#include "shm/channel.h"
#include "shm/conn_layout.h"
#include "shm/event.h"
#include "shm/idempotency.h"
#include "shm/move_layout.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

static unsigned
life(const struct conn *c)
{
	return word32_get(&c->state) & CONN_LIFE_MASK;
}

void
leftover_arrival(const struct region *r, unsigned slot)
{
	struct slot *s = region_slot(r, slot);
	uint64_t a = word_get(&s->arriving);
	unsigned to;

	if (a != 0 && arriving_from(a) < r->caps.workers && arriving_record(a) < r->caps.conns &&
	    arriving_here(a) < r->caps.conns) {
		/* one that was not yet open is still the source's */
		to = life(region_conns(r, slot) + arriving_here(a)) == CONN_MOVING ? MOVE_NONE :
		    MOVE_DONE;
		move_step(region_moves(r, arriving_from(a)) + arriving_record(a),
		    move_make((uint32_t)word_get(&s->arriving_gen), slot, MOVE_TAKEN),
		    (enum move_kind)to);
	}
	word_set(&s->arriving, 0);
}

/* Whether the connection went with the slot; ends its offer. What was taken is another's. */
static bool
end_record(const struct region *r, unsigned slot, uint32_t i)
{
	struct conn *c = region_conns(r, slot) + i;
	word64 *word = region_moves(r, slot) + i;
	uint64_t move = word_get(word);
	bool gone = life(c) != CONN_FREE;

	if (move_kind(move) == MOVE_OFFERED && !move_step(word, move, MOVE_NONE))
		move = word_get(word);
	if (life(c) == CONN_MOVING &&
	    (move_kind(move) == MOVE_TAKEN || move_kind(move) == MOVE_DONE))
		gone = false;
	if (life(c) != CONN_FREE)
		memset((void *)c, 0, sizeof *c);
	return gone;
}

static void
end_records(const struct region *r, unsigned slot)
{
	struct slot *s = region_slot(r, slot);
	uint64_t used = word_get(&s->conns_used);
	uint32_t i;

	for (i = 0; i < used && i < r->caps.conns; i++)
		if (end_record(r, slot, i))
			stat_add(&s->stats, STAT_DISCONNECT_HEIR, 1);
	word_set(&s->hdr, 0);
	word_set(&s->accepting, 0);
	for (i = 0; i < sizeof s->conns_dialect / sizeof s->conns_dialect[0]; i++)
		word_set(&s->conns_dialect[i], 0);
	word_set(&s->conns_open, 0);
	word_set(&s->conns_used, 0);
}

void
leftover_settle(struct writer *w, unsigned slot)
{
	struct writer dead;
	struct doubt d;

	writer_open(&dead, w->r, slot);
	event_recover(&dead, &d);
	channel_repair(&dead);
	leftover_arrival(w->r, slot);
	end_records(w->r, slot);
	idempotency_settle(&dead, &d);
	w->wake |= dead.wake;
}
