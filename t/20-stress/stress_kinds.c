/*
 * Three kinds of messages of stress_shm.
 *
 * Keyed: every sender asks for the same keys one after the other, so each key is asked for by
 * twelve; one becomes owner and publishes. The process may be killed anywhere in this; its heir
 * executes the message again, or its connection is lost and another asks anew. The period turns as
 * often as a key may see it: at most once between the first look for it and the last.
 *
 * Quiet: one message in thousands. By the next one the arenas have been gone round several times by
 * the other kinds, so its history is kept by being moved forward; who looks must find all of it.
 *
 * Hot: nobody waits for its reader, which looks seldom. A gap it is told must be one.
 */
#include "t/20-stress/kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/idempotency.h"

enum {
	AHEAD = 32,			/* keys that a sender may be ahead of another */
	QUIET_EVERY = 2048, QUIET_HISTORY = 16, QUIET_AHEAD = 8,
	HOT_READS = 512,
};

static uint32_t *published;		/* by key: its seq; the master's */
static word64 *answer;			/* by key: the seq that somebody was told */
static uint64_t turns;

static bool
publish(struct proc *p, unsigned kind, unsigned sender, uint64_t n, uint64_t cookie, uint64_t *seq)
{
	struct event_head h = { .cookie = cookie, .in_off = n };

	h.len = make_data(p->data, sender, n);
	if (event_publish(&p->w, room_of(kind), &h, p->data, seq) == 0)
		return true;
	violation("publish failed", sender, n, kind);
	return false;
}

/* ---- keyed ---- */

static uint64_t
slowest(void)
{
	uint64_t least = UINT64_MAX, n;
	unsigned s;

	for (s = 0; s < NSENDERS; s++)
		if ((n = done_of_kind(s, KEYED)) < least)
			least = n;
	return least;
}

static void
told(uint64_t key, uint64_t epoch, uint64_t seq)
{
	uint64_t was = 0;

	if (epoch != region.channels[room_of(KEYED)].epoch)
		violation("another epoch", key, epoch, 0);
	if (!atomic_compare_exchange_strong(&answer[key], &was, seq) && was != seq)
		violation("two answers for a key", key, was, seq);
}

static bool
was_published(const struct proc *p, const struct idempotency *q)
{
	return p->doubt.on && p->doubt.head.cookie == q->cookie &&
	    p->doubt.head.in_off == q->in_off;
}

static bool
own(struct proc *p, unsigned sender, uint64_t n, struct idempotency *q)
{
	uint64_t epoch = region.channels[room_of(KEYED)].epoch, seq;

	if (rnd(p, 64) == 0 && dies_here(p))
		return false;
	if (was_published(p, q)) {
		seq = p->doubt.head.seq;
		tell(&book->taken);
	} else if (rnd(p, 16) == 0 || !publish(p, KEYED, sender, n, q->cookie, &seq)) {
		idempotency_give_up(q);
		tell(&book->given_up);
		return false;
	}
	if (rnd(p, 64) == 0 && dies_here(p))
		return false;
	idempotency_finish(q, epoch, seq);
	told(n / KINDS, epoch, seq);
	tell(&book->owned);
	return true;
}

static bool
ask(struct proc *p, unsigned sender, uint64_t n)
{
	char key[24];
	struct idempotency q = {
		.channel = "keyed", .channel_len = 5, .key = key,
		.cookie = sender + word_get(&book->life[sender]) * NSENDERS, .in_off = n,
	};

	q.key_len = (size_t)snprintf(key, sizeof key, "key-%u", (unsigned)(n / KINDS));
	switch (idempotency_get(&p->w, &q)) {
	case IDEMPOTENCY_OWNER:
		return own(p, sender, n, &q);
	case IDEMPOTENCY_ANSWERED:
		told(n / KINDS, q.epoch, q.seq);
		tell(&book->answered);
		return true;
	case IDEMPOTENCY_UNFINISHED:
		tell(&book->unfinished);
		return false;
	case IDEMPOTENCY_FULL:
		break;
	}
	tell(&book->full);
	return false;
}

bool
keyed_publish(struct proc *p, unsigned sender, uint64_t n)
{
	uint64_t key = n / KINDS, tail = channel_tail(&region, room_of(KEYED));

	if (key >= KEYS_MAX || key > slowest() + AHEAD ||
	    tail - word_get(&book->checked[KEYED]) > WINDOW)
		return false;
	/* seq_cst: before the first look for it, which the turner must know of */
	atomic_store(&book->begun[sender], key + 1);
	word_set(&book->hand[p->index], sender + 1);
	return ask(p, sender, n);
}

void
keyed_inherit(struct proc *p, const struct doubt *d)
{
	uint64_t hand = word_get(&book->hand[p->index]), n;
	unsigned sender = (unsigned)hand - 1;

	n = hand == 0 ? 0 : word_get(&book->done[sender]) + 1;
	if (n % KINDS == KEYED && n / KINDS + 1 == word_get(&book->begun[sender])) {
		if (rnd(p, 3) == 0) {
			word_set(&book->life[sender], word_get(&book->life[sender]) + 1);
			tell(&book->lost);
		} else {
			p->doubt = *d;
			if (ask(p, sender, n))
				word_set(&book->done[sender], n);
			p->doubt.on = false;
		}
	}
	/* who died in this is followed by one who does it */
	if (!p->dead)
		idempotency_settle(&p->w, d);
}

/* Turns the period if every key that was begun before the last turn has been answered. */
static void
turn(void)
{
	static uint64_t begun;
	unsigned s;

	if (slowest() < begun)
		return;
	idempotency_turn(&region);
	turns++;
	for (s = 0; s < NSENDERS; s++)
		if (atomic_load(&book->begun[s]) > begun)
			begun = word_get(&book->begun[s]);
}

static void
audit_keys(uint64_t *buf)
{
	uint32_t chan = room_of(KEYED);
	uint64_t seq = word_get(&book->checked[KEYED]) + 1, key;
	enum event_result res;
	struct event e;

	for (; seq <= channel_tail(&region, chan); seq++) {
		while ((res = read_checked(chan, seq, &e, buf)) == EVENT_NONE)
			;
		key = res == EVENT_OK ? e.head.in_off / KINDS : KEYS_MAX;
		if (key >= KEYS_MAX)
			violation("a keyed event cannot be read", seq, (uint64_t)res, key);
		else if (published[key] != 0)
			violation("a key published twice", key, published[key], seq);
		else
			published[key] = (uint32_t)seq;
		word_set(&book->checked[KEYED], seq);
	}
}

static void
check_keys(void)
{
	uint64_t key, seq, all = slowest();

	for (key = 0; key < all + AHEAD + 1 && key < KEYS_MAX; key++) {
		seq = word_get(&answer[key]);
		if (seq != 0 && (uint32_t)seq != published[key])
			violation("the answer is not the event", key, seq, published[key]);
		if (key < all && published[key] == 0)
			violation("a key not published", key, 0, 0);
	}
}

/* ---- quiet ---- */

bool
quiet_publish(struct proc *p, unsigned sender, uint64_t n)
{
	uint64_t seq;

	if (n / KINDS % QUIET_EVERY != 0)
		return true;
	if (channel_tail(&region, room_of(QUIET)) - word_get(&book->checked[QUIET]) > QUIET_AHEAD)
		return false;
	return publish(p, QUIET, sender, n, sender, &seq);
}

void
quiet_read(uint64_t *buf)
{
	uint32_t chan = room_of(QUIET);
	uint64_t tail = channel_tail(&region, chan), seq;
	enum event_result res;
	struct event e;

	seq = tail > QUIET_HISTORY ? tail - QUIET_HISTORY + 1 : 1;
	for (; seq <= tail; seq++) {
		while ((res = read_checked(chan, seq, &e, buf)) == EVENT_NONE)
			;
		if (res == EVENT_LAPPED && channel_tail(&region, chan) - seq < QUIET_HISTORY &&
		    stat_sum(STAT_ARENA_DROPPED) == 0)
			violation("a history with a hole", seq, tail, 0);
	}
	tell(&book->histories);
}

static void
audit_quiet(uint64_t *buf)
{
	static uint64_t last[NSENDERS];
	uint32_t chan = room_of(QUIET);
	uint64_t seq = word_get(&book->checked[QUIET]) + 1, sender;
	enum event_result res;
	struct event e;

	for (; seq <= channel_tail(&region, chan); seq++) {
		while ((res = read_checked(chan, seq, &e, buf)) == EVENT_NONE)
			;
		sender = res == EVENT_OK ? e.head.cookie : NSENDERS;
		if (sender >= NSENDERS ||
		    e.head.in_off != (last[sender] == 0 ? QUIET :
		    last[sender] + (uint64_t)KINDS * QUIET_EVERY))
			violation("a quiet event lost or doubled", seq, sender, (uint64_t)res);
		else
			last[sender] = e.head.in_off;
		word_set(&book->checked[QUIET], seq);
	}
}

/* ---- hot ---- */

bool
hot_publish(struct proc *p, unsigned sender, uint64_t n)
{
	uint64_t seq;

	return publish(p, HOT, sender, n, sender, &seq);
}

void
hot_read(struct proc *p)
{
	uint32_t chan = room_of(HOT);
	uint64_t seq = p->hot_seq + 1, tail = channel_tail(&region, chan);
	enum event_result res;
	struct event e;
	unsigned i;

	for (i = 0; i < HOT_READS && seq <= tail; i++) {
		res = read_checked(chan, seq, &e, p->data);
		if (res == EVENT_NONE)
			continue;
		if (res == EVENT_LAPPED) {
			tail = channel_tail(&region, chan);
			if (tail - seq < RING && stat_sum(STAT_ARENA_DROPPED) == 0)
				violation("a gap that is none", seq, tail, 0);
			seq = channel_first_after(&region, chan, seq, tail);
			tell(&book->gaps);
			continue;
		}
		if (e.head.in_off % KINDS != HOT ||
		    e.head.in_off <= p->hot_last[e.head.cookie % NSENDERS])
			violation("hot: doubled or out of order", seq, e.head.cookie,
			    e.head.in_off);
		p->hot_last[e.head.cookie % NSENDERS] = e.head.in_off;
		p->hot_seq = seq++;
	}
}

/* ---- the master ---- */

void
kinds_open(struct writer *master)
{
	static const char *const name[] = { [KEYED] = "keyed", [QUIET] = "quiet", [HOT] = "hot" };
	unsigned kind;
	uint32_t chan;

	published = mmap(NULL, KEYS_MAX * sizeof *published, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	answer = mmap(NULL, KEYS_MAX * sizeof *answer, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (published == MAP_FAILED || answer == MAP_FAILED)
		abort();
	for (kind = KEYED; kind <= HOT; kind++) {
		struct channel_rule_values v = { .history = RING };

		if (kind == QUIET)
			v.history = QUIET_HISTORY;
		if (channel_get(master, name[kind], strlen(name[kind]), &v, &chan) != 0)
			abort();
		word_set(&book->room[kind], chan + 1);
	}
}

void
kinds_audit(void)
{
	static uint64_t buf[EVENT_MAX / 8];

	audit_keys(buf);
	audit_quiet(buf);
	quiet_read(buf);
	turn();
}

void
kinds_check(void)
{
	uint64_t quiet = 0, hot = 0;
	unsigned s;

	kinds_audit();
	check_keys();
	for (s = 0; s < NSENDERS; s++) {
		quiet += (done_of_kind(s, QUIET) + QUIET_EVERY - 1) / QUIET_EVERY;
		hot += done_of_kind(s, HOT);
	}
	if (channel_tail(&region, room_of(QUIET)) != quiet)
		violation("quiet: seqs and messages differ", quiet, 0, 0);
	if (channel_tail(&region, room_of(HOT)) != hot)
		violation("hot: seqs and messages differ", hot, 0, 0);
}

void
kinds_print(void)
{
	printf("stress_shm: %llu keys (%llu turns, %llu owned, %llu answered, %llu unfinished, "
	    "%llu given up, %llu lost), %llu quiet (%llu times read), %llu hot (%llu gaps)\n",
	    (unsigned long long)slowest(), (unsigned long long)turns,
	    (unsigned long long)book->owned, (unsigned long long)book->answered,
	    (unsigned long long)book->unfinished, (unsigned long long)book->given_up,
	    (unsigned long long)book->lost,
	    (unsigned long long)channel_tail(&region, room_of(QUIET)),
	    (unsigned long long)book->histories,
	    (unsigned long long)channel_tail(&region, room_of(HOT)),
	    (unsigned long long)book->gaps);
}
