/*
 * A connection arrives from another slot (move.c says how it was offered):
 *
 *	descriptor received: in the table, named by no record
 *	arriving = (source, its record, record here)
 *	blocks, extension and words copied -> fd -> state MOVING
 *	interest declared in its channels
 *	CAS OFFERED -> TAKEN: from here on it is this slot's
 *	state OPEN -> epoll ADD -> CAS TAKEN -> DONE -> arriving = 0 -> hint
 *
 * While it is copied the offer may end and the source go on with it: then the copy is rubbish, and
 * the CAS fails. So all that is read there is believed only as far as it stays within its bounds.
 *
 * An heir finds `arriving`. The record is free: nothing has happened, the sweep closed the
 * descriptor. MOVING: the move word says TAKEN for this slot, then it is open; else it is emptied.
 * Open: it was taken. TAKEN is said by this slot alone, for one arrival at a time, so it cannot be
 * that of another offer; and DONE is not said before the record is open.
 *
 * A slot of which nobody was left has no descriptors: what had arrived and was open is lost, and
 * the source lets go of it; what was not yet served is given back, as the source still has it.
 */
#include "worker/arrive.h"

#include <string.h>
#include <unistd.h>

#include "ipc/inbox.h"
#include "ipc/witness.h"
#include "shm/channel.h"
#include "shm/dirty.h"
#include "shm/move_layout.h"
#include "worker/move.h"
#include "worker/priv.h"
#include "worker/vet.h"

enum {
	ARRIVALS_PER_TURN = 64,
	BLOCK_DATA = BLOCK_SIZE - offsetof(struct block, data),
	CONN_WORDS = sizeof(struct conn) / 8,
	/* of struct conn, as words */
	AT_PLAN = offsetof(struct conn, plan) / 8,
	AT_CTL = offsetof(struct conn, ctl) / 8,
	AT_CURSOR = offsetof(struct conn, cursor) / 8,
	AT_COOKIE = offsetof(struct conn, cookie) / 8,
	AT_PART = offsetof(struct conn, part) / 8,
	AT_EXT = offsetof(struct conn, ext) / 8,
	AT_WAIT = offsetof(struct conn, wait) / 8,
	AT_ASSEMBLY = offsetof(struct conn, assembly) / 8,
};

/* What arrives. */
struct arrival {
	struct worker *w;
	const struct inbox_message *m;
	const struct conn *from;
	word64 *move;
	uint64_t offered;		/* what the move word must say */
	int fd;
	uint32_t ci;			/* the record here */
	uint32_t state;
	uint64_t word[CONN_WORDS];	/* as they will be here */
	uint32_t block[3];		/* that it has got here */
	unsigned nblocks;
	uint64_t ext;
};

/* ---- the copy ---- */

/* len: the word of a block that says how much of it is used, or its commit. */
static bool
copy_block(struct arrival *a, uint64_t *ref, bool assembly)
{
	const struct block *from;
	struct block *to;
	uint64_t len;
	uint32_t b;

	if (*ref == 0)
		return true;
	if (*ref > a->w->r->caps.blocks)
		return false;
	from = region_block(a->w->r, a->m->from, (uint32_t)*ref - 1);
	len = assembly ? commit_len(word_get(&from->commit)) : word_get(&from->len);
	b = len <= BLOCK_DATA ? block_get(a->w) : 0;
	if (b == 0)
		return false;
	a->block[a->nblocks++] = b;
	to = block_at(a->w, b);
	memcpy(to->data, from->data, len);
	word_set(&to->off, word_get(&from->off));
	word_set(&to->len, word_get(&from->len));
	word_set(&to->commit, word_get(&from->commit));
	word_set(&to->tag, word_get(&from->tag));
	*ref = b;
	return true;
}

static bool
copy_plan(struct arrival *a)
{
	uint64_t plan = a->word[AT_PLAN], ref = plan_ref(plan);

	if (plan == 0)
		return true;
	if (plan_kind(plan) != PLAN_CUT || ref == 0 || !copy_block(a, &ref, false))
		return false;
	a->word[AT_PLAN] = plan_make(PLAN_CUT, (uint32_t)ref, plan_base(plan));
	return true;
}

static bool
is_cursor(const struct worker *w, uint64_t cursor)
{
	return cursor_chan(cursor) < (int32_t)w->r->caps.channels;
}

static bool
copy_ext(struct arrival *a)
{
	uint64_t ext = a->word[AT_EXT], n = ext & 0xfffffff;
	enum ext_class k = (enum ext_class)(ext >> 28);
	const struct sub *from;
	struct sub *to;
	uint32_t index, i;

	if (ext == 0)
		return true;
	if (ext >> 28 >= EXT_CLASSES || n == 0 || n > a->w->r->caps.conns ||
	    !pool_take(&a->w->ext[k], &index))
		return false;
	a->ext = a->word[AT_EXT] = (uint64_t)k << 28 | (index + 1);
	from = region_ext(a->w->r, a->m->from, k, (uint32_t)n - 1);
	to = region_ext(a->w->r, a->w->pub.index, k, index);
	for (i = 0; i < ext_subs(k); i++) {
		uint64_t cursor = word_get(&from[i].cursor);

		if (!is_cursor(a->w, cursor))
			return false;
		word_set(&to[i].cursor, cursor);
		word_set(&to[i].info, word_get(&from[i].info));
	}
	return true;
}

static bool
copy_words(struct arrival *a)
{
	unsigned i;

	a->state = word32_get(&a->from->state);
	for (i = 1; i < CONN_WORDS; i++)
		a->word[i] = word_get((const word64 *)a->from + i);
	return (a->state & CONN_LIFE_MASK) == CONN_MOVING && a->word[AT_CTL] == 0 &&
	    a->word[AT_WAIT] == 0 && is_cursor(a->w, a->word[AT_CURSOR]) && copy_plan(a) &&
	    copy_block(a, &a->word[AT_PART], false) &&
	    copy_block(a, &a->word[AT_ASSEMBLY], true) && copy_ext(a);
}

static void
put_pieces(struct arrival *a)
{
	while (a->nblocks > 0)
		block_put(a->w, a->block[--a->nblocks]);
	if (a->ext != 0)
		pool_give(&a->w->ext[a->ext >> 28 & 3], (uint32_t)(a->ext & 0xfffffff) - 1);
}

/* ---- the arrival ---- */

/* For the record, and again for nothing: what is declared twice is declared. */
static void
join_channels(struct worker *w, uint32_t ci)
{
	unsigned i, n = subs_limit(w, ci);
	uint64_t tail;

	for (i = 0; i < n; i++) {
		int32_t chan = cursor_chan(word_get(subs_cursor(w, ci, i)));

		/* a closed one has a successor, which is looked for when it is listed */
		if (chan >= 0)
			channel_join(&w->pub, (uint32_t)chan, &tail);
	}
}

/*
 * Where nobody else is. Not the heir's: it does not know yet who is; what is left over is taken
 * back at the next mark.
 */
static void
leave_channels(struct worker *w, uint32_t ci)
{
	unsigned i, n = subs_limit(w, ci);

	for (i = 0; i < n; i++) {
		int32_t chan = cursor_chan(word_get(subs_cursor(w, ci, i)));

		if (chan >= 0 && (uint32_t)chan < w->r->caps.channels && w->views[chan] == NULL)
			channel_leave(&w->pub, (uint32_t)chan);
	}
}

static void
fill(struct arrival *a)
{
	struct conn *c = conn_at(a->w, a->ci);
	unsigned i;

	for (i = 1; i < CONN_WORDS; i++)
		word_set((word64 *)c + i, a->word[i]);
	c->fd = a->fd;
	word32_set(&c->state, (a->state & ~(uint32_t)CONN_ODD) | CONN_MOVING | CONN_MOVED);
}

/* It is this slot's: ODD, as it has to be registered. */
static void
open_record(struct worker *w, uint32_t ci)
{
	conn_count(w, conn_dialect(conn_at(w, ci)), 1);
	word_set(&w->slot->conns_open, word_get(&w->slot->conns_open) + 1);
	conn_set_bits(conn_at(w, ci), CONN_OPEN | CONN_ODD, CONN_LIFE_MASK);
	w->priv[ci].known = false;
	w->priv[ci].want = 255;
	conn_want_rest(w, ci);
}

/* The descriptor goes with the record. */
static void
drop(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	if (word_get(&c->cookie) != 0 && witness_cookie(c->fd) == word_get(&c->cookie))
		close(c->fd);
	conn_empty(w, ci);
}

/* True: it is taken. False: its descriptor is closed. */
static bool
take(struct arrival *a)
{
	struct worker *w = a->w;

	fill(a);
	join_channels(w, a->ci);
	if (!vet_conn(w, a->ci) || !move_step(a->move, a->offered, MOVE_TAKEN)) {
		leave_channels(w, a->ci);
		drop(w, a->ci);
		return false;
	}
	open_record(w, a->ci);
	move_step(a->move, move_make(a->m->gen, w->pub.index, MOVE_TAKEN), MOVE_DONE);
	return true;
}

static bool
may_take(struct worker *w)
{
	return !w->draining && !move_is_closing(w) &&
	    word_get(&w->slot->conns_open) < w->conns_limit;
}

/* No room, or no sense: the source goes on with it. */
static void
give_back(struct arrival *a)
{
	if (move_step(a->move, a->offered, MOVE_NONE))
		stat_add(a->w->stats, STAT_MOVES_REFUSED, 1);
	dirty_hint(&a->w->pub, a->m->from, HINT_MOVES);
}

/* An offer that stands. */
static void
arrive(struct arrival *a)
{
	struct worker *w = a->w;

	if (a->fd < 0 || !may_take(w) || !conn_take_record(w, &a->ci)) {
		if (a->fd >= 0)
			close(a->fd);
		give_back(a);
		return;
	}
	word_set(&w->slot->arriving_gen, a->m->gen);
	word_set(&w->slot->arriving, arriving_make(a->m->from, a->m->record, a->ci));
	if (!copy_words(a)) {
		put_pieces(a);
		close(a->fd);
		list_push(&w->free_conns, a->ci);
		word_set(&w->slot->arriving, 0);
		give_back(a);
		return;
	}
	if (!take(a)) {
		word_set(&w->slot->arriving, 0);
		give_back(a);
		return;
	}
	word_set(&w->slot->arriving, 0);
	dirty_hint(&w->pub, a->m->from, HINT_MOVES);
	stat_add(w->stats, STAT_MOVED_IN, 1);
	conn_enlist(w, a->ci);
}

/* Whether the message tells of an offer that stands, and of this socket. */
static bool
is_offered(struct arrival *a)
{
	const struct inbox_message *m = a->m;
	const struct worker *w = a->w;

	if (m->from >= w->r->caps.workers || m->from == w->pub.index || m->record >= w->conns_max)
		return false;
	a->from = region_conns(w->r, m->from) + m->record;
	a->move = region_moves(w->r, m->from) + m->record;
	a->offered = move_make(m->gen, w->pub.index, MOVE_OFFERED);
	return word_get(a->move) == a->offered && word_get(&a->from->cookie) == m->cookie &&
	    (a->fd < 0 || witness_cookie(a->fd) == m->cookie);
}

void
arrive_inbox(struct worker *w)
{
	struct inbox_message m;
	unsigned n;
	int fd;

	for (n = 0; n < ARRIVALS_PER_TURN; n++) {
		struct arrival a = { .w = w, .m = &m };

		if (inbox_receive(w->r, w->pub.index, &m, &fd) == 0)
			return;
		a.fd = fd;
		if (is_offered(&a))
			arrive(&a);
		else if (fd >= 0)
			close(fd);		/* twice, or too late */
	}
}

/* ---- the heir ---- */

/* The move word of what was arriving; NULL: nothing was. */
static word64 *
arriving_move(const struct worker *w, uint32_t *ci)
{
	uint64_t a = word_get(&w->slot->arriving);

	if (a == 0)
		return NULL;
	*ci = arriving_here(a);
	return region_moves(w->r, arriving_from(a)) + arriving_record(a);
}

static uint64_t
taken(const struct worker *w)
{
	return move_make((uint32_t)word_get(&w->slot->arriving_gen), w->pub.index, MOVE_TAKEN);
}

void
arrive_decide(struct worker *w)
{
	uint32_t ci;
	word64 *move = arriving_move(w, &ci);

	if (move != NULL && conn_life(conn_at(w, ci)) == CONN_MOVING &&
	    word_get(move) == taken(w))
		conn_set_bits(conn_at(w, ci), CONN_OPEN | CONN_ODD, CONN_LIFE_MASK);
}

void
arrive_drop(struct worker *w)
{
	uint32_t ci;

	if (arriving_move(w, &ci) == NULL || conn_life(conn_at(w, ci)) == CONN_OPEN)
		return;
	if (conn_life(conn_at(w, ci)) == CONN_MOVING)
		drop(w, ci);
	word_set(&w->slot->arriving, 0);
}

void
arrive_finish(struct worker *w)
{
	uint32_t ci;
	word64 *move = arriving_move(w, &ci);

	if (move == NULL)
		return;
	move_step(move, taken(w), MOVE_DONE);
	word_set(&w->slot->arriving, 0);
}

void
arrive_forget(struct worker *w)
{
	uint32_t ci;
	word64 *move = arriving_move(w, &ci);

	if (move == NULL)
		return;
	move_step(move, taken(w),
	    conn_life(conn_at(w, ci)) == CONN_MOVING ? MOVE_NONE : MOVE_DONE);
	word_set(&w->slot->arriving, 0);
}
