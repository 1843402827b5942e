/*
 * A connection goes from one slot's worker to another's, and its client does not notice. The law is
 * that of all shared memory: one atomic instruction is the move, what follows may be redone.
 *
 *	source		hdr = 0 if it names the record -> move = OFFERED(generation, target)
 *			-> state MOVING -> epoll DEL -> descriptor and (slot, record, generation,
 *			cookie) into the target's inbox
 *	target		arrive.c: a copy of the record -> CAS OFFERED -> TAKEN: the move
 *			-> state OPEN -> epoll ADD -> CAS TAKEN -> DONE -> hint
 *	source		close() of its copy -> words emptied -> state FREE -> move = NONE
 *
 * A record in state MOVING stands still: whatever looks for open ones passes it by. It stays in the
 * lists of its channels, so that the slot's interest in them lasts until the target's is declared.
 * Whoever wants to end the offer (the target has no room; the source waits in vain, or drains) does
 * that by CAS OFFERED -> NONE; if that succeeds the connection is the source's as before.
 *
 * Only who is at rest moves: its input is processed up to in_done or lies in a block, no reply is
 * queued, and of its output nothing is between plan and settle. So nothing of the frame arena or
 * the scratch is named, and what the kernel counts is true for whoever has the socket.
 *
 * The message may be lost with a target that died between taking it and naming what it took: it is
 * sent again when that slot has another worker. What comes twice, or too late, matches no offer.
 * An offer that nobody took for CANCEL_MS is ended, so a connection is never without a worker for
 * long. A copy of the descriptor may then still lie in the inbox: see conn_shut().
 */
#include "worker/move.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ipc/heritage.h"
#include "ipc/inbox.h"
#include "ipc/witness.h"
#include "shm/dirty.h"
#include "shm/move_layout.h"
#include "worker/priv.h"

enum { CANCEL_MS = 1000 };

static word64 *
move_word(const struct worker *w, uint32_t ci)
{
	return region_moves(w->r, w->pub.index) + ci;
}

/* ---- the offer ---- */

/* How far a cut frame got is told by the kernel's counters alone. */
static bool
has_witness(const struct worker *w, const struct conn *c)
{
	return w->h->keeper && !conn_has(c, CONN_UNIX);
}

static bool
is_at_rest(const struct worker *w, uint32_t ci)
{
	const struct conn *c = conn_at(w, ci);
	enum plan_kind plan = plan_kind(word_get(&c->plan));

	return conn_life(c) == CONN_OPEN &&
	    !conn_has(c, CONN_CLOSE | CONN_LINGER | CONN_REFUSED | CONN_WS_BYE | CONN_BIG) &&
	    word_get(&c->ctl) == 0 && word_get(&c->wait) == 0 && word_get(&c->goodbye) == 0 &&
	    (plan == PLAN_NONE || (plan == PLAN_CUT && has_witness(w, c))) &&
	    !w->priv[ci].resume;
}

/* Nothing is heard here any more, then the target is told; if it cannot be, move_look() tries. */
static void
send_offer(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint64_t move = word_get(move_word(w, ci));
	struct inbox_message m = { .from = w->pub.index, .record = ci, .gen = move_gen(move),
		.cookie = word_get(&c->cookie) };

	/* the target's copy would keep the registration alive */
	epoll_ctl(w->slot->client_epoll, EPOLL_CTL_DEL, c->fd, NULL);
	w->priv[ci].sent = inbox_send(w->r, move_to(move), &m, c->fd) == 0;
	if (w->priv[ci].sent)
		w->priv[ci].offered_at = w->now;
}

bool
move_offer(struct worker *w, uint32_t ci, unsigned to)
{
	word64 *move = move_word(w, ci);

	if (!is_at_rest(w, ci))
		return false;
	if (hdr_conn(word_get(&w->slot->hdr)) == (int32_t)ci)
		word_set(&w->slot->hdr, 0);	/* what it says is in the record */
	word_set(move, move_make(move_gen(word_get(move)) + 1, to, MOVE_OFFERED));
	conn_set_bits(conn_at(w, ci), CONN_MOVING | CONN_MOVED, CONN_LIFE_MASK);
	list_push(&w->moving, ci);
	w->priv[ci].offered_at = w->now;
	send_offer(w, ci);
	return true;
}

/* ---- its end ---- */

/* A record without a socket, see move_forget(). */
static bool
is_empty(const struct conn *c)
{
	return word_get(&c->cookie) == 0;
}

/* Given back: ODD, as it has to be registered anew. */
static void
take_back(struct worker *w, uint32_t ci)
{
	if (is_empty(conn_at(w, ci))) {
		conn_forget(w, ci);
		return;
	}
	conn_set_bits(conn_at(w, ci), CONN_OPEN | CONN_ODD, CONN_LIFE_MASK);
	w->priv[ci].want = 255;
	conn_want_rest(w, ci);
	conn_enlist(w, ci);
}

/* The target has it: a plain close, which nobody notices. */
static void
let_go(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	/* an heir may find that it is closed already */
	if (!is_empty(c) && witness_cookie(c->fd) == word_get(&c->cookie))
		close(c->fd);
	conn_forget(w, ci);
	move_step(move_word(w, ci), word_get(move_word(w, ci)), MOVE_NONE);
	stat_add(w->stats, STAT_MOVED_OUT, 1);
}

/* True: it is not on its way any more. again: the slots whose messages may be lost. */
static bool
look_at(struct worker *w, uint32_t ci, uint64_t again)
{
	struct priv *p = &w->priv[ci];
	uint64_t move = word_get(move_word(w, ci));
	bool late = w->now - p->offered_at >= CANCEL_MS;

	if (conn_life(conn_at(w, ci)) != CONN_MOVING)
		return true;
	if (move_kind(move) == MOVE_OFFERED && (w->draining || late)) {
		if (move_step(move_word(w, ci), move, MOVE_NONE))
			stat_add(w->stats, STAT_MOVES_WITHDRAWN, 1);
		move = word_get(move_word(w, ci));
	}
	switch (move_kind(move)) {
	case MOVE_NONE:
		take_back(w, ci);
		return true;
	case MOVE_DONE:
		let_go(w, ci);
		return true;
	case MOVE_OFFERED:
		if (!p->sent || (again >> move_to(move) & 1) != 0)
			send_offer(w, ci);
		break;
	case MOVE_TAKEN:
		break;
	}
	return false;
}

/* The slots that have another worker than when this was asked last. */
static uint64_t
renewed_slots(struct worker *w)
{
	uint64_t mask = 0;
	unsigned i;

	for (i = 0; i < w->r->caps.workers; i++) {
		uint32_t gen = word32_get(&region_slot(w->r, i)->gen);

		if (gen != w->slot_gen[i])
			mask |= 1ull << i;
		w->slot_gen[i] = gen;
	}
	return mask;
}

bool
move_look(struct worker *w)
{
	uint64_t again = renewed_slots(w);
	uint32_t i;

	for (i = w->moving.n; i-- > 0;)
		if (look_at(w, w->moving.item[i], again))
			w->moving.item[i] = w->moving.item[--w->moving.n];
	return true;
}

bool
move_takes_part(const struct worker *w, unsigned slot)
{
	return region_slot_is_open(w->r, slot);
}

bool
move_is_closing(const struct worker *w)
{
	return word32_get(&w->slot->order) == ORDER_CLOSE || !move_takes_part(w, w->pub.index);
}

/* ---- the heir ---- */

void
move_decide(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint64_t move = word_get(move_word(w, ci));

	if (conn_life(c) != CONN_MOVING) {
		/* nobody was told of it */
		if (move_kind(move) != MOVE_NONE)
			move_step(move_word(w, ci), move, MOVE_NONE);
	} else if (move_kind(move) == MOVE_NONE || move_to(move) >= w->r->caps.workers) {
		if (word_get(&w->slot->arriving) != 0 &&
		    arriving_here(word_get(&w->slot->arriving)) == ci)
			return;			/* not from here: arrive.c */
		if (is_empty(c))
			memset((void *)c, 0, sizeof *c);
		else
			conn_set_bits(c, CONN_OPEN | CONN_ODD, CONN_LIFE_MASK);
	}
}

void
move_restore(struct worker *w, uint32_t ci)
{
	list_push(&w->moving, ci);
	w->priv[ci].offered_at = w->now;
	conn_enlist(w, ci);
}

void
move_recovered(struct worker *w)
{
	unsigned i;

	for (i = 0; i < w->r->caps.workers; i++)
		if (i != w->pub.index)
			dirty_hint(&w->pub, i, HINT_MOVES);
	move_look(w);
}

bool
move_forget(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	word64 *word = move_word(w, ci);
	uint64_t move = word_get(word);
	unsigned i;

	if (move_kind(move) == MOVE_OFFERED && move_step(word, move, MOVE_NONE))
		return false;
	move = word_get(word);
	if (conn_life(c) != CONN_MOVING || move_kind(move) != MOVE_TAKEN)
		return false;
	c->fd = -1;
	for (i = 1; i < sizeof *c / 8; i++)
		word_set((word64 *)c + i, 0);
	word32_set(&c->state, CONN_MOVING);
	return true;
}
