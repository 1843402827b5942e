/*
 * Levelling. At each tick a worker compares its connections with those of the slots that take part
 * (region: open_slots). If it has so many more than the least loaded that it shows, it gives away
 * half of what it has above the average, to those below it by what they lack: everybody who is
 * above has the same picture, so together they never give more than is missing, and half of it does
 * not swing. While some are on their way, no others are offered.
 *
 * Only long-lived connections are worth it; those of HTTP come and go.
 *
 * A slot that is to close, or does not take part, gives away everybody who is at rest, one after
 * the other to whoever has the least. When it is told to close it ends as soon as it is empty and
 * its listeners were silent for a while.
 */
#include "worker/level.h"

#include "ipc/heritage.h"
#include "ipc/log.h"
#include "worker/arrive.h"
#include "worker/priv.h"
#include "worker/move.h"

enum {
	MOVES_MAX = 256,		/* on their way from here */
	SCAN = 4096,			/* records looked at */
	DIFFERENCE_LEAST = 8,		/* connections */
	DIFFERENCE_PERCENT = 6,		/* of the average */
	BEAT_MS = 1000,			/* who has not turned for so long takes nothing */
	REFUSED_MS = 1000,		/* after one was given back */
	SILENT_MS = 200,
};

/* The slots that take part, and their connections. */
struct loads {
	uint64_t mask;			/* without our own */
	unsigned n;			/* with it */
	uint64_t own, sum;
	uint64_t conns[WORKERS_MAX];
};

/* Somebody serves there, and will. */
static bool
is_target(const struct worker *w, unsigned i)
{
	const struct slot *s = region_slot(w->r, i);
	uint32_t order = word32_get(&s->order);

	return i != w->pub.index && move_takes_part(w, i) && word32_get(&s->pid) != 0 &&
	    order <= ORDER_EXEC &&
	    w->now < word_get(&s->beat) + BEAT_MS;
}

static void
look(const struct worker *w, struct loads *l)
{
	unsigned i;

	l->mask = 0;
	l->n = 1;
	l->own = l->sum = word_get(&w->slot->conns_open) - w->moving.n;
	for (i = 0; i < w->r->caps.workers; i++) {
		if (!is_target(w, i))
			continue;
		l->mask |= 1ull << i;
		l->conns[i] = word_get(&region_slot(w->r, i)->conns_open);
		l->sum += l->conns[i];
		l->n++;
	}
}

static unsigned
least(const struct loads *l)
{
	unsigned best = WORKERS_MAX, i;
	uint64_t m;

	for (m = l->mask; m != 0; m &= m - 1) {
		i = (unsigned)__builtin_ctzll(m);
		if (best == WORKERS_MAX || l->conns[i] < l->conns[best])
			best = i;
	}
	return best;
}

/* The next record; false: all were looked at. */
static bool
next_record(struct worker *w, uint32_t *seen, uint32_t *ci)
{
	uint32_t used = (uint32_t)word_get(&w->slot->conns_used);

	if (*seen >= used || ++*seen > SCAN)
		return false;
	if (w->move_at >= used)
		w->move_at = 0;
	*ci = w->move_at++;
	return true;
}

/* Offers n long-lived connections to one slot. */
static void
give(struct worker *w, unsigned to, uint64_t n, uint32_t *seen)
{
	uint32_t ci;

	while (n > 0 && w->moving.n < MOVES_MAX && next_record(w, seen, &ci))
		if (conn_has(conn_at(w, ci), CONN_WS | CONN_SSE) && move_offer(w, ci, to))
			n--;
}

/* What was given back will be again: not so soon. */
static bool
was_refused(struct worker *w)
{
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < w->r->caps.workers; i++)
		n += stat_get(&region_slot(w->r, i)->stats, STAT_MOVES_REFUSED);
	if (n != w->level_refused)
		w->level_at = w->now + REFUSED_MS;
	w->level_refused = n;
	return w->now < w->level_at;
}

static void
give_surplus(struct worker *w)
{
	struct loads l;
	uint64_t average, surplus, lack = 0, m, n;
	uint32_t seen = 0;
	unsigned i;

	look(w, &l);
	average = l.sum / l.n;
	if (l.mask == 0 || l.own <= average || was_refused(w))
		return;
	n = l.conns[least(&l)];
	if (l.own < n + DIFFERENCE_LEAST || (l.own - n) * 100 <= average * DIFFERENCE_PERCENT)
		return;
	surplus = (l.own - average + 1) / 2;
	if (surplus > MOVES_MAX)
		surplus = MOVES_MAX;
	for (m = l.mask; m != 0; m &= m - 1) {
		i = (unsigned)__builtin_ctzll(m);
		lack += l.conns[i] < average ? average - l.conns[i] : 0;
	}
	for (m = l.mask; m != 0 && lack > 0; m &= m - 1) {
		i = (unsigned)__builtin_ctzll(m);
		if (l.conns[i] < average)
			give(w, i, (surplus * (average - l.conns[i]) + lack - 1) / lack, &seen);
	}
}

static void
give_all(struct worker *w)
{
	struct loads l;
	uint32_t seen = 0, ci;
	unsigned to;

	look(w, &l);
	if (l.mask == 0 || was_refused(w))
		return;
	while (w->moving.n < MOVES_MAX && next_record(w, &seen, &ci)) {
		to = least(&l);
		if (move_offer(w, ci, to))
			l.conns[to]++;
	}
}

static void
leave_if_empty(struct worker *w)
{
	uint64_t accepts = stat_get(w->stats, STAT_ACCEPTS);

	if (word_get(&w->slot->conns_open) != 0 || accepts != w->empty_accepts) {
		w->empty_accepts = accepts;
		w->empty_since = w->now;
		return;
	}
	if (w->now - w->empty_since < SILENT_MS)
		return;
	arrive_inbox(w);		/* what comes too late is given back */
	log_info("closed");
	worker_leave(w, "closed");
}

void
level(struct worker *w)
{
	if (w->draining)
		return;
	if (!move_is_closing(w)) {
		if (w->moving.n == 0 && w->h->keeper)
			give_surplus(w);
		return;
	}
	give_all(w);
	if (word32_get(&w->slot->order) == ORDER_CLOSE)
		leave_if_empty(w);
}
