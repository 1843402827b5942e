/*
 * Idempotency keys under fire: stress_idempotency [SECONDS [SEED]]
 *
 * Four workers ask for the same keys, one after the other and nearly at the same time, publish
 * those that they come to own, and ask again until they have an answer. Each is killed (or stopped
 * for a while) at any moment; its heir executes the message in hand again, or, if its connection is
 * lost, only settles it and asks on a new one. Now and then an owner gives up. The period turns all
 * the while, as often as a key may see it: at most once between the first look for it and the last.
 *
 * Violations: a key published twice or not at all, two answers for one key, an answer that is not
 * the place of the event, nobody getting on.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/event.h"
#include "shm/idempotency.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum {
	PROCS = 4, ROOMS = 3, RING = 4096, AHEAD = 12, KEYS_MAX = 1 << 21, TABLE = 256, QUIET_S = 2,
};

static const struct region_caps caps = {
	.workers = PROCS, .channels = 64, .ring_cells = RING, .conns = 16, .blocks = 1,
	.arena = 1 << 21, .frame_arena = 1 << 16, .idempotency = TABLE,
};

struct book {
	word64 stop, violations, owned, taken, answered, busy, full, given_up, lost;
	word64 commit[PROCS];		/* messages processed 32 | keys answered 32: one store */
	word64 started[PROCS];		/* keys begun */
	word64 cookie[PROCS];
	word64 cursor[ROOMS];		/* of the checker */
	word64 answer[KEYS_MAX];	/* seq that somebody was told */
};

static struct region region;
static struct book *book;
static uint32_t room[ROOMS];
static pid_t pids[PROCS];
static uint32_t *published;		/* seq, by the checker */

static uint64_t
mix(uint64_t h)
{
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdull;
	h = (h ^ h >> 29) * 0xc4ceb9fe1a85ec53ull;
	return h ^ h >> 32;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
violation(const char *what, uint64_t x, uint64_t y, uint64_t z)
{
	if (atomic_fetch_add(&book->violations, 1) < 20)
		fprintf(stderr, "stress_idempotency: %s (%llu %llu %llu)\n", what,
		    (unsigned long long)x, (unsigned long long)y, (unsigned long long)z);
}

static void
count(word64 *w)
{
	atomic_fetch_add_explicit(w, 1, memory_order_relaxed);
}

/* ---- a worker ---- */

struct proc {
	struct writer w;
	unsigned index;
	uint64_t rnd;
	struct doubt doubt;
};

static uint32_t
keys_of(unsigned k)
{
	return (uint32_t)word_get(&book->commit[k]);
}

static uint32_t
slowest(void)
{
	uint32_t least = UINT32_MAX, n;
	unsigned k;

	for (k = 0; k < PROCS; k++)
		if ((n = keys_of(k)) < least)
			least = n;
	return least;
}

static void
told(uint32_t n, uint64_t epoch, uint64_t seq)
{
	uint64_t was = 0;

	if (epoch != region.channels[room[n % ROOMS]].epoch)
		violation("another epoch", n, epoch, 0);
	if (!atomic_compare_exchange_strong(&book->answer[n], &was, seq) && was != seq)
		violation("two answers", n, was, seq);
}

/* The seq of the publish; one that was made before the last death is not made again. */
static uint64_t
publish(struct proc *p, uint32_t n, const struct idempotency *q)
{
	struct event_head h = { .cookie = q->cookie, .in_off = q->in_off, .len = sizeof n };
	uint64_t seq;

	if (p->doubt.on && p->doubt.head.cookie == q->cookie && p->doubt.head.in_off == q->in_off) {
		count(&book->taken);
		return p->doubt.head.seq;
	}
	if (event_publish(&p->w, room[n % ROOMS], &h, &n, &seq) != 0)
		violation("publish failed", n, 0, 0);
	return seq;
}

static bool
own(struct proc *p, uint32_t n, struct idempotency *q)
{
	uint64_t epoch = region.channels[room[n % ROOMS]].epoch, seq;

	if (!p->doubt.on && mix(p->rnd++) % 16 == 0) {
		idempotency_give_up(q);
		count(&book->given_up);
		return false;
	}
	if (mix(p->rnd++) % 64 == 0)
		sched_yield();			/* die here */
	seq = publish(p, n, q);
	if (mix(p->rnd++) % 64 == 0)
		sched_yield();			/* or here */
	idempotency_finish(q, epoch, seq);
	told(n, epoch, seq);
	count(&book->owned);
	return true;
}

/* One message: asks for key n. */
static void
execute(struct proc *p, uint32_t n)
{
	uint64_t message = word_get(&book->commit[p->index]) >> 32;
	char key[24];
	struct idempotency q = {
		.channel = "room", .channel_len = 4, .key = key,
		.cookie = word_get(&book->cookie[p->index]), .in_off = message,
	};
	bool done = false;

	q.key_len = (size_t)snprintf(key, sizeof key, "key-%u", n);
	switch (idempotency_get(&p->w, &q)) {
	case IDEMPOTENCY_OWNER:
		done = own(p, n, &q);
		break;
	case IDEMPOTENCY_ANSWERED:
		told(n, q.epoch, q.seq);
		count(&book->answered);
		done = true;
		break;
	case IDEMPOTENCY_UNFINISHED:
		count(&book->busy);
		sched_yield();
		break;
	case IDEMPOTENCY_FULL:
		count(&book->full);
		sched_yield();
		break;
	}
	p->doubt.on = false;
	word_set(&book->commit[p->index], (message + 1) << 32 | (n + done));
}

/* What an heir does: the message in hand again, or its connection is lost. */
static void
inherit(struct proc *p)
{
	struct doubt d;

	writer_open(&p->w, &region, p->index);
	event_recover(&p->w, &p->doubt);
	d = p->doubt;
	if (mix(p->rnd++) % 3 == 0) {
		count(&book->lost);
		word_set(&book->cookie[p->index], word_get(&book->cookie[p->index]) + PROCS);
	} else if (word_get(&book->started[p->index]) > keys_of(p->index))
		execute(p, keys_of(p->index));
	p->doubt.on = false;
	idempotency_settle(&p->w, &d);
}

static bool
has_room(uint32_t n)
{
	unsigned c = n % ROOMS;

	return channel_tail(&region, room[c]) - word_get(&book->cursor[c]) < RING / 2;
}

static void
work(struct proc *p)
{
	uint32_t n;

	inherit(p);
	while (word_get(&book->stop) == 0) {
		n = keys_of(p->index);
		if (n >= KEYS_MAX || n > slowest() + AHEAD || !has_room(n)) {
			sched_yield();
			continue;
		}
		/* seq_cst: before the first look for it, which the turner must know of */
		atomic_store(&book->started[p->index], (uint64_t)n + 1);
		execute(p, n);
	}
	_exit(0);
}

static void
start(unsigned k, uint64_t seed)
{
	struct proc p = { .index = k, .rnd = seed };

	pids[k] = fork();
	if (pids[k] < 0)
		abort();
	if (pids[k] == 0)
		work(&p);
}

/* ---- who hurts, turns and checks ---- */

static void
check_room(unsigned c)
{
	uint64_t seq = word_get(&book->cursor[c]) + 1;
	enum event_result res;
	struct event e;
	uint32_t n;

	for (;; seq++) {
		res = event_peek(&region, room[c], seq, &e);
		if (res == EVENT_OK && e.head.len == sizeof n)
			res = event_copy(&region, room[c], seq, &e, &n);
		if (res == EVENT_NONE)
			return;
		if (res == EVENT_LAPPED || n >= KEYS_MAX)
			violation("cannot be read", c, seq, 0);
		else if (published[n] != 0)
			violation("published twice", n, published[n], seq);
		else
			published[n] = (uint32_t)seq;
		word_set(&book->cursor[c], seq);
	}
}

/* Turns the period if every key that was begun before the last turn has been answered. */
static unsigned
turn(void)
{
	static uint64_t begun;
	unsigned k;

	if (slowest() < begun)
		return 0;
	idempotency_turn(&region);
	for (k = 0; k < PROCS; k++)
		if (atomic_load(&book->started[k]) > begun)
			begun = word_get(&book->started[k]);
	return 1;
}

static void
let_rest(uint64_t us)
{
	unsigned c;

	usleep((useconds_t)us);
	for (c = 0; c < ROOMS; c++)
		check_room(c);
}

static void
hurt(uint64_t *seed)
{
	unsigned k = (unsigned)(mix((*seed)++) % PROCS);
	int status;

	if (mix((*seed)++) % 4 == 0) {
		kill(pids[k], SIGSTOP);
		let_rest(mix((*seed)++) % 500);
		turn();
		let_rest(mix((*seed)++) % 500);
		kill(pids[k], SIGCONT);
		return;
	}
	kill(pids[k], SIGKILL);
	if (waitpid(pids[k], &status, 0) != pids[k] || !WIFSIGNALED(status))
		violation("ended by itself", k, (uint64_t)status, 0);
	if (mix((*seed)++) % 2 == 0)
		turn();
	start(k, mix((*seed)++));
}

static void
set_up(void)
{
	static const struct channel_rule_values rule = { .history = RING };
	struct writer w;
	char name[8];
	unsigned c;

	book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	published = calloc(KEYS_MAX, sizeof *published);
	if (book == MAP_FAILED || published == NULL || region_create(&region, &caps) != 0)
		abort();
	writer_open(&w, &region, HELPER_MASTER);
	for (c = 0; c < ROOMS; c++) {
		snprintf(name, sizeof name, "r%u", c);
		if (channel_get(&w, name, strlen(name), &rule, &room[c]) != 0)
			abort();
	}
	for (c = 0; c < PROCS; c++)
		word_set(&book->cookie[c], c + 1);
}

static void
join_all(void)
{
	unsigned k;
	int status;

	word_set(&book->stop, 1);
	for (k = 0; k < PROCS; k++)
		if (waitpid(pids[k], &status, 0) != pids[k] || !WIFEXITED(status))
			violation("ended oddly", k, (uint64_t)status, 0);
	for (k = 0; k < ROOMS; k++)
		check_room(k);
}

static void
check_end(void)
{
	uint32_t n;

	for (n = 0; n < KEYS_MAX; n++) {
		uint64_t seq = word_get(&book->answer[n]);

		if (seq != 0 && seq != published[n])
			violation("the answer is not the event", n, seq, published[n]);
		if (n < slowest() && published[n] == 0)
			violation("not published", n, 0, 0);
	}
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 4, end, moved;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)getpid(), first = seed;
	unsigned long kills = 0, turns = 0;
	uint32_t keys = 0;
	unsigned k;

	set_up();
	seed = mix(seed);
	for (k = 0; k < PROCS; k++)
		start(k, mix(seed++));
	moved = now();
	for (end = moved + seconds; now() < end && keys < KEYS_MAX; turns += turn()) {
		let_rest(mix(seed++) % 300);
		if (mix(seed++) % 2 == 0) {
			hurt(&seed);
			kills++;
		}
		if (slowest() > keys)
			moved = now();
		else if (now() - moved > QUIET_S) {
			violation("nobody gets on", slowest(), 0, 0);
			break;
		}
		keys = slowest();
	}
	join_all();
	check_end();
	printf("stress_idempotency: seed %llu, %u keys, %lu blows, %lu turns and more, %llu owned, "
	    "%llu taken over, %llu answered, %llu unfinished, %llu given up, %llu lost, %llu full: "
	    "%llu violations\n", (unsigned long long)first, slowest(), kills, turns,
	    (unsigned long long)book->owned, (unsigned long long)book->taken,
	    (unsigned long long)book->answered, (unsigned long long)book->busy,
	    (unsigned long long)book->given_up, (unsigned long long)book->lost,
	    (unsigned long long)book->full, (unsigned long long)book->violations);
	return book->violations == 0 && slowest() > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
