/*
 * The heir. Its predecessor is gone, all of its stores are to be seen, its descriptors are here.
 *
 *  0. vet: a predecessor that ended by a bug may have scribbled. Each record is looked at before
 *     anything is done with it: numbers within their tables, spans within the frame arena, a block
 *     named by one only. One that fails is emptied, which leaves its descriptor to the sweep; the
 *     slot's own words are put within bounds. Whether a descriptor is the record's is a system
 *     call, and asked only if the predecessor had a fault.
 *  1. sweep: what lies in the slot's table and no word of the region names was the dead worker's.
 *     One socket may be among it that was accepted and not yet recorded: it is told by `accepting`
 *     and by its local port, and kept.
 *  2. the publish that may have happened (event_recover), a channel that was being made.
 *  3. every record: the effects of its last commit again, in_done from the commits; then the free
 *     lists from what the records name; then closes that were begun, plans (the kernel is asked how
 *     much of each was done), lists of subscribers, odd registrations.
 *  4. what lies in the scratch or a block and was not processed, before anything else is published:
 *     the first message of it may be the one whose publish has happened. Behind it, an idempotency
 *     key whose message is gone is settled.
 *  5. queued replies go out before anything is read: a span that was closed must not be appended
 *     to.
 *  6. everything is assumed dirty, everybody that sleeps is woken.
 *
 * Any step may be cut short by another death: all of it may be done again.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/heritage.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/table.h"
#include "ipc/witness.h"
#include "shm/channel.h"
#include "shm/dirty.h"
#include "shm/idempotency.h"
#include "worker/arrive.h"
#include "worker/dialect.h"
#include "worker/http.h"
#include "worker/listen.h"
#include "worker/message.h"
#include "worker/move.h"
#include "worker/priv.h"
#include "worker/vet.h"
#include "worker/wsframe.h"
#include "worker/ws.h"

static int orphan = -1;
static unsigned orphan_listener;

/* ---- 1. sweep ---- */

static size_t
claimed(struct worker *w, int *fd)
{
	uint32_t used = (uint32_t)word_get(&w->slot->conns_used), i;
	size_t n;

	n = table_common(w->r, fd);
	n += table_own(w->slot, fd + n);
	for (i = 0; i < used; i++)
		if (conn_life(conn_at(w, i)) != CONN_FREE)
			fd[n++] = conn_at(w, i)->fd;
	return n;
}

/* A connected socket of this listener? */
static bool
is_child_of(int fd, int listener)
{
	struct sockaddr_storage a, b;
	socklen_t an = sizeof a, bn = sizeof b, n = sizeof(int);
	int listening = 1;

	memset(&a, 0, sizeof a);
	memset(&b, 0, sizeof b);
	if (getsockname(fd, (struct sockaddr *)&a, &an) != 0 ||
	    getsockname(listener, (struct sockaddr *)&b, &bn) != 0 || a.ss_family != b.ss_family)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) != 0 || listening)
		return false;
	if (a.ss_family == AF_INET)
		return ((struct sockaddr_in *)&a)->sin_port == ((struct sockaddr_in *)&b)->sin_port;
	if (a.ss_family == AF_INET6)
		return ((struct sockaddr_in6 *)&a)->sin6_port ==
		    ((struct sockaddr_in6 *)&b)->sin6_port;
	return a.ss_family == AF_UNIX;
}

/* accept4() takes the lowest free number, so an orphan is near the claimed ones. */
static void
find_orphan(struct worker *w, const unsigned char *is_claimed, int top)
{
	uint64_t accepting = word_get(&w->slot->accepting);
	uint32_t ci = (uint32_t)accepting - 1;
	unsigned listener = (unsigned)(accepting >> 32);
	int fd;

	orphan = -1;
	if (accepting == 0 || ci >= w->conns_max || listen_fd(w, listener) < 0 ||
	    conn_life(conn_at(w, ci)) != CONN_FREE)
		return;
	for (fd = 3; fd <= top + 64; fd++)
		if ((fd > top || !is_claimed[fd]) && is_child_of(fd, listen_fd(w, listener))) {
			orphan = fd;
			orphan_listener = listener;
			return;
		}
}

/* Nothing of the predecessor's descriptors is here: all records end. */
static void
forget_all(struct worker *w)
{
	uint32_t used = (uint32_t)word_get(&w->slot->conns_used), i;

	arrive_forget(w);
	for (i = 0; i < used; i++)
		if (word32_get(&conn_at(w, i)->state) != CONN_FREE && !move_forget(w, i)) {
			memset((void *)conn_at(w, i), 0, sizeof(struct conn));
			stat_add(w->stats, STAT_DISCONNECT_HEIR, 1);
		}
	word_set(&w->slot->hdr, 0);
	word_set(&w->slot->accepting, 0);
}

void
recover_sweep(struct worker *w)
{
	int *fd, top = 2, end = w->slot->table_end;
	unsigned char *is_claimed;
	size_t n, i;

	vet_records(w);
	if (w->h->fresh)
		forget_all(w);
	n = (size_t)word_get(&w->slot->conns_used) + TABLE_MAX + 1;
	fd = malloc(n * sizeof *fd);
	if (fd == NULL)
		fatal("out of memory");
	n = claimed(w, fd);
	for (i = 0; i < n; i++)
		if (fd[i] > top && fd[i] < end)
			top = fd[i];
	is_claimed = calloc((size_t)top + 1, 1);
	if (is_claimed == NULL)
		fatal("out of memory");
	for (i = 0; i < n; i++)
		if (fd[i] >= 0 && fd[i] <= top)
			is_claimed[fd[i]] = 1;
	find_orphan(w, is_claimed, top);
	if (orphan >= 0)
		fd[n++] = orphan;
	process_close_others(fd, n);
	free(is_claimed);
	free(fd);
}

/* ---- 3. records ---- */

static void
mark_used(struct worker *w, struct used *u, const struct conn *c)
{
	uint64_t plan = word_get(&c->plan), ext = word_get(&c->ext);

	if (plan_kind(plan) == PLAN_CUT)
		used_take(u->block, plan_ref(plan), w->r->caps.blocks);
	used_take(u->block, word_get(&c->part), w->r->caps.blocks);
	used_take(u->block, word_get(&c->assembly), w->r->caps.blocks);
	if (ext != 0)
		used_take(u->ext[ext >> 28 & 3], ext & 0xfffffff, w->r->caps.conns);
}

/* Free lists hold what no record names. */
static void
build_lists(struct worker *w)
{
	uint32_t used = (uint32_t)word_get(&w->slot->conns_used), i;
	struct used u;
	unsigned k;

	used_init(w, &u);
	w->free_conns.n = 0;
	for (i = used; i-- > 0;) {
		if (conn_life(conn_at(w, i)) != CONN_FREE)
			mark_used(w, &u, conn_at(w, i));
		else if (i + 1 != (uint32_t)word_get(&w->slot->accepting))
			list_push(&w->free_conns, i);
	}
	pool_rebuild(&w->blocks, u.block, w->r->caps.blocks);
	for (k = 0; k < EXT_CLASSES; k++)
		pool_rebuild(&w->ext[k], u.ext[k], w->r->caps.conns);
	used_fini(&u);
}

/* in_done is the maximum of the commits that name the connection. */
static void
redo(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint64_t a = word_get(&c->assembly), in_end;

	message_redo(w, ci);
	if (a == 0 || a > w->r->caps.blocks)
		return;
	in_end = commit_in_end(word_get(&block_at(w, (uint32_t)a)->commit));
	if (in_end > word_get(&c->in_done))
		word_set(&c->in_done, in_end);
}

static void
register_again(struct worker *w, uint32_t ci)
{
	w->priv[ci].want = 255;		/* whatever it was */
	if (conn_has(conn_at(w, ci), CONN_BLOCKED))
		conn_want(w, ci, WANT_WRITE);
	else
		conn_want_rest(w, ci);
}

static void
restore(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint64_t plan;

	if (conn_has(c, CONN_UNIX) || !vet_conn(w, ci)) {	/* CONN_UNIX: no witness */
		conn_close(w, ci, STAT_DISCONNECT_HEIR);
		return;
	}
	/* blocked and not odd: the predecessor died before it had registered that */
	if (conn_has(c, CONN_ODD | CONN_BLOCKED) ||
	    ci + 1 == (uint32_t)word_get(&w->slot->accepting))
		register_again(w, ci);
	if (conn_has(c, CONN_LINGER))
		shutdown(c->fd, SHUT_WR);	/* it may not have been said */
	plan = word_get(&c->plan);
	if (plan != 0 && (uint32_t)output_position(w, ci) - plan_base(plan) > vet_plan_len(w, plan))
		conn_close(w, ci, STAT_DISCONNECT_HEIR);
	else if (plan != 0)
		output_settle(w, ci, (uint32_t)output_position(w, ci) - plan_base(plan));
	if (conn_life(c) != CONN_OPEN)
		return;
	conn_enlist(w, ci);
}

static void
finish_close(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	/*
	 * The number may be another file by now, and what is no socket has cookie 0, as has a
	 * record that was being emptied: then close() is done.
	 */
	if (word_get(&c->cookie) != 0 && witness_cookie(c->fd) == word_get(&c->cookie))
		conn_shut(w, ci);
	conn_forget(w, ci);
}

static void
count_all(struct worker *w)
{
	uint32_t used = (uint32_t)word_get(&w->slot->conns_used), i, open = 0;
	unsigned d;

	for (d = 0; d < DIALECT_COUNT; d++)
		word_set(&w->slot->conns_dialect[d], 0);
	for (i = 0; i < used; i++)
		if (conn_life(conn_at(w, i)) == CONN_OPEN ||
		    conn_life(conn_at(w, i)) == CONN_MOVING) {
			conn_count(w, conn_dialect(conn_at(w, i)), 1);
			open++;
		}
	word_set(&w->slot->conns_open, open);
}

/* ---- 4. what was read and not processed ---- */

/* A message that killed two workers by a fault costs its sender the connection. */
static bool
is_poison(struct worker *w, uint32_t ci)
{
	struct slot *s = w->slot;
	uint64_t key = word_get(&conn_at(w, ci)->cookie), in = word_get(&conn_at(w, ci)->in_done);

	if (!w->h->faulted)
		return false;
	if (word_get(&s->suspect_key) != key || word_get(&s->suspect_in) != in) {
		word_set(&s->suspect_key, key);
		word_set(&s->suspect_in, in);
		word32_set(&s->suspect_count, 0);
	}
	word32_set(&s->suspect_count, word32_get(&s->suspect_count) + 1);
	return word32_get(&s->suspect_count) >= 2;
}

static void
expel(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	uint64_t done = word_get(&c->in_done);
	struct message m;

	stat_add(w->stats, STAT_POISONED, 1);
	log_error("a message ended two workers, its sender is closed conn=%u.%u", w->pub.index, ci);
	word32_set(&w->slot->suspect_count, 0);
	word_set(&w->slot->hdr, 0);
	if (!conn_has(c, CONN_WS) || !message_begin(w, ci, done, done, &m)) {
		conn_close(w, ci, STAT_DISCONNECT_PROTOCOL);
		return;
	}
	ws_reply_close(&m, WS_CLOSE_INTERNAL, "this message ends workers");
	message_commit(&m);
	message_close_span(w, ci);
}

static void
process_rest(struct worker *w)
{
	uint64_t hdr = word_get(&w->slot->hdr), off, consumed, done;
	int32_t ci = hdr_conn(hdr);
	struct conn *c;
	struct block *k = NULL;
	unsigned char *p = w->scratch;

	if (hdr == 0 || ci < 0 || (uint32_t)ci >= w->conns_max)
		return;
	c = conn_at(w, (uint32_t)ci);
	if (conn_life(c) != CONN_OPEN)
		return;
	done = word_get(&c->in_done);
	consumed = witness_consumed(c->fd);
	if ((hdr & HDR_BLOCK) != 0) {
		if (word_get(&c->part) == 0 || word_get(&c->part) > w->r->caps.blocks)
			return;
		k = block_at(w, (uint32_t)word_get(&c->part));
		off = word_get(&k->off);
		if (consumed - off <= sizeof k->data)
			word_set(&k->len, consumed - off);
		p = k->data;
	} else if (word_get(&c->part) != 0) {
		return;			/* the batch was over: its rest lies in the block */
	} else
		off = done - ((done - (hdr & HDR_OFF_MASK)) & HDR_OFF_MASK);
	if (consumed - off > (k != NULL ? sizeof k->data : SCRATCH_SIZE) || done < off ||
	    done > consumed || done == consumed)
		return;
	if (is_poison(w, (uint32_t)ci)) {
		expel(w, (uint32_t)ci);
		return;
	}
	w->in_doubt = true;
	input_process(w, (uint32_t)ci, off, p, (size_t)(consumed - off));
}

/* Nothing may be named in the frame arena when it is used from its start again. */
static void
close_unsent(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);

	if (conn_life(c) == CONN_OPEN && word_get(&c->ctl) != 0)
		conn_close(w, ci, STAT_DISCONNECT_HEIR);
}

static void
finish_accept(struct worker *w)
{
	uint64_t accepting = word_get(&w->slot->accepting);
	uint32_t ci = (uint32_t)accepting - 1;

	if (accepting == 0)
		return;
	if (orphan >= 0)
		conn_adopt(w, ci, orphan, orphan_listener);
	else if (ci < w->conns_max && conn_life(conn_at(w, ci)) == CONN_FREE)
		list_push(&w->free_conns, ci);
	word_set(&w->slot->accepting, 0);
}

void
recover_records(struct worker *w)
{
	struct doubt doubt;
	uint32_t used, i;

	event_recover(&w->pub, &w->doubt);
	channel_repair(&w->pub);
	used = (uint32_t)word_get(&w->slot->conns_used);
	arrive_decide(w);
	for (i = 0; i < used; i++) {
		move_decide(w, i);
		if (conn_life(conn_at(w, i)) == CONN_OPEN)
			redo(w, i);
	}
	build_lists(w);
	arrive_drop(w);
	for (i = 0; i < used; i++) {
		if (conn_life(conn_at(w, i)) == CONN_CLOSING)
			finish_close(w, i);
		else if (conn_life(conn_at(w, i)) == CONN_OPEN)
			restore(w, i);
		else if (conn_life(conn_at(w, i)) == CONN_MOVING)
			move_restore(w, i);
	}
	count_all(w);
	arrive_finish(w);
	doubt = w->doubt;
	process_rest(w);		/* before anything else is published */
	idempotency_settle(&w->pub, &doubt);
	w->in_doubt = false;
	w->doubt.on = false;
	for (i = 0; i < used; i++)	/* before anything is read */
		if (conn_life(conn_at(w, i)) == CONN_OPEN && word_get(&conn_at(w, i)->ctl) != 0) {
			output_replies(w, i);
			close_unsent(w, i);
		}
	frames_reset(w);
	finish_accept(w);
	move_recovered(w);
}
