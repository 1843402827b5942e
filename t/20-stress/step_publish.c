/*
 * A publisher dies, or is frozen, after every single instruction:
 *
 *	step_publish [FREEZE_EVERY [HEIR_EVERY [KILL_EVERY [SCENARIO]]]]
 *
 * A child publishes in the region, single-stepped by ptrace. What a kill -9 leaves is the region
 * as it is between two instructions: so at each that has changed it, the region is copied, and on
 * the copy an heir recovers and goes on, at once, or after others have published a little, or
 * after they have lapped the ring. That is every instruction of each scenario, always. In addition
 *
 *	FREEZE_EVERY  at every n-th instruction (default 29) a child is left standing there while
 * others publish: 3 events, or as many as lap the ring, or nearly 65536, after which tags repeat;
 * then it goes on HEIR_EVERY    on every n-th state (default 25) the heir is stepped too, and dies
 * at each of its own KILL_EVERY    at every n-th instruction (default 97) a child is really killed
 *
 * 0 switches one off, 1 does it all. Checked each time: every message of the dead one is published
 * exactly once and in order, seqs are dense, all bytes are right, what a channel keeps can be read,
 * readers are marked, the arena can be walked over, every channel record belongs to one name, and
 * while the publisher is frozen everybody else publishes and reads.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/arena.h"
#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/dirty.h"
#include "shm/event.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum { RING = 16, CHANNELS = 64, ARENA = 1 << 20, MINE = 77, OTHER = 5, LEN = 40 };

static const struct region_caps caps = {
	.workers = 2, .channels = CHANNELS, .ring_cells = RING, .conns = 16, .blocks = 1,
	.arena = ARENA, .frame_arena = 1 << 16,
};
static const struct channel_rule_values rule = { .history = RING };

static unsigned long violations, states, frozen, heirs, kills, instructions;
static unsigned messages = 2;		/* of the child */
static const char *scenario;
static const char *where;
static unsigned long at;

static void
violation(const char *what, uint64_t a, uint64_t b)
{
	if (violations++ < 20)
		fprintf(stderr, "step_publish: %s, %s %lu: %s (%llu %llu)\n", scenario, where, at,
		    what, (unsigned long long)a, (unsigned long long)b);
}

/* ---- regions and copies of them ---- */

static struct region live, copy, second, base;

/* What is used of a region lies at its start: up to the arenas of the writers 0 and 1. */
static size_t
used(void)
{
	return live.map.writers + 2 * live.map.writer_stride;
}

static void
clone_region(struct region *to, const struct region *from)
{
	memcpy(to->base, from->base, used());
}

/* ---- messages ---- */

static void
make_data(unsigned char *data, uint64_t cookie, uint64_t n, uint32_t len)
{
	uint64_t v = cookie << 32 | n;
	uint32_t i;

	/* up to 7 bytes more than asked for: it is stepped through, so it is short */
	for (i = 0; i < len; i += 8, v += 0x0101010101010101ull)
		memcpy(data + i, &v, 8);
}

static uint32_t
room(struct writer *w)
{
	uint32_t chan;

	if (channel_get(w, "room", 4, &rule, &chan) != 0)
		abort();
	return chan;
}

static uint64_t
publish(struct writer *w, uint32_t chan, uint64_t cookie, uint64_t n, uint32_t len)
{
	static unsigned char data[EVENT_MAX + 8];
	struct event_head h = { .cookie = cookie, .in_off = n, .len = len };
	uint64_t seq = 0;

	make_data(data, cookie, n, len);
	while (event_publish(w, chan, &h, data, &seq) != 0) {
		if (errno != ESTALE)
			abort();
		chan = room(w);
	}
	return seq;
}

/* How many messages are processed, in a word that is copied with the region. */
static word64 *
done_word(const struct region *r)
{
	return &region_slot(r, 0)->hdr;
}

/* What the child does, and its heir behind the recovery. */
static void
publish_rest(struct writer *w)
{
	uint64_t n;

	while ((n = word_get(done_word(w->r))) < messages) {
		publish(w, room(w), MINE, n + 1, LEN);
		word_set(done_word(w->r), n + 1);
	}
}

static void
inherit(struct writer *w, const struct region *r)
{
	struct doubt d;

	writer_open(w, r, 0);
	event_recover(w, &d);
	if (d.on && d.head.cookie == MINE && d.head.in_off == word_get(done_word(r)) + 1)
		word_set(done_word(r), d.head.in_off);
	channel_repair(w);
}

/* ---- checks ---- */

static void
check_channel(const struct region *r, uint32_t chan, uint64_t *mine, uint64_t *last)
{
	uint64_t tail = channel_tail(r, chan), q = tail > RING ? tail - RING + 1 : 1;
	static unsigned char data[EVENT_MAX], want[EVENT_MAX + 8];
	struct event e;

	for (; q <= tail; q++) {
		if (event_peek(r, chan, q, &e) != EVENT_OK ||
		    event_copy(r, chan, q, &e, data) != EVENT_OK) {
			violation("cannot be read", chan, q);
			continue;
		}
		make_data(want, e.head.cookie, e.head.in_off, e.head.len);
		if (memcmp(data, want, e.head.len) != 0)
			violation("torn", chan, q);
		if (e.head.cookie != MINE)
			continue;
		++*mine;
		if (e.head.in_off != *last + 1 && tail <= RING)
			violation("twice or out of order", e.head.in_off, *last);
		*last = e.head.in_off;
	}
}

/* From low to head there is one record behind the other. */
static void
check_arena(const struct region *r, unsigned writer)
{
	const struct slot *s = region_slot(r, writer);
	uint64_t pos = word_get(&s->arena_low), head = word_get(&s->arena_head);

	if (head != word_get(&s->arena_reserved) || head - pos > ARENA)
		violation("arena's positions", head, pos);
	while (pos < head) {
		struct event_head h;

		memcpy(&h, region_arena(r, writer) + (pos & (ARENA - 1)), sizeof h);
		if (h.len > EVENT_MAX || h.kind >= EVENT_KIND_COUNT)
			break;
		pos += EVENT_HEAD + ((h.len + EVENT_ALIGN - 1) & ~(uint64_t)(EVENT_ALIGN - 1));
	}
	if (pos != head)
		violation("arena cannot be walked over", pos, head);
}

/* Every record in use is in the table or retired, and named once. */
static void
check_table(const struct region *r)
{
	uint32_t i, found;

	for (i = 0; i < CHANNELS; i++) {
		struct channel *c = &r->channels[i];

		if (claim_is_open(word_get(&c->claim)) && !channel_is_closed(r, i) &&
		    (channel_find(r, c->name, c->name_len, &found) != 0 || found != i))
			violation("a record that nobody has", i, word_get(&c->claim));
	}
}

static uint64_t
tails(const struct region *r)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < CHANNELS; i++)
		if (word_get(&r->channels[i].claim) != CHANNEL_FREE &&
		    r->channels[i].name_len == 4 && memcmp(r->channels[i].name, "room", 4) == 0)
			n += channel_tail(r, i);
	return n;
}

/* Everything is published now: before, n of others, and all of ours. */
static void
check_all(const struct region *r, uint64_t n)
{
	uint64_t mine = 0, last = 0, want = tails(&base) + n + messages;
	uint32_t i;

	if (tails(r) != want)
		violation("seqs and messages differ", tails(r), want);
	for (i = 0; i < CHANNELS; i++)
		if (claim_is_open(word_get(&r->channels[i].claim)) && !channel_is_closed(r, i))
			check_channel(r, i, &mine, &last);
	if (n < RING / 2 && mine != messages)
		violation("not there once", mine, messages);
	check_arena(r, 0);
	check_arena(r, 1);
	check_table(r);
}

static bool marked[CHANNELS];

static void
on_mark(void *arg, uint32_t chan)
{
	marked[chan] = true;
}

static void
others_publish(struct writer *b, uint64_t n)
{
	static uint64_t count = 1000;
	uint64_t i, seq, last = 0;
	struct event e;
	uint32_t chan = room(b);

	for (i = 0; i < n; i++) {
		seq = publish(b, chan, OTHER, count++, 8);
		if (last != 0 && seq != last + 1)
			violation("a hole in front of others", seq, last);
		last = seq;
	}
	/* the channel whose records the dead one was moving */
	for (i = 0; i < n && n <= 3 * RING && channel_find(b->r, "quiet", 5, &chan) == 0; i++)
		publish(b, chan, OTHER, count++, 8);
	if (n > 0 && (channel_tail(b->r, room(b)) < last ||
	    event_peek(b->r, room(b), last, &e) != EVENT_OK || e.head.cookie != OTHER))
		violation("others cannot be read", last, channel_tail(b->r, room(b)));
}

/* The dead one left `from`: on a copy, others publish n, then an heir goes on. */
static void
bequeath(const struct region *from, uint64_t n)
{
	struct writer a, b;
	uint64_t before;
	uint32_t chan;

	clone_region(&copy, from);
	writer_open(&b, &copy, 1);
	others_publish(&b, n);
	before = word_get(done_word(&copy));
	memset(marked, 0, sizeof marked);
	inherit(&a, &copy);
	dirty_take(&b, on_mark, NULL);
	if (word_get(done_word(&copy)) > before && channel_find(&copy, "room", 4, &chan) == 0 &&
	    n == 0 && (atomic_load(&copy.channels[chan].interest) & 2) && !marked[chan])
		violation("not marked", chan, 0);
	publish_rest(&a);
	others_publish(&b, 2);
	check_all(&copy, n + 2);
}

/* ---- stepping ---- */

static pid_t
start_child(const struct region *r, bool is_heir)
{
	pid_t pid = fork();
	struct writer w;
	int status;

	if (pid < 0)
		abort();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		if (!is_heir)
			writer_open(&w, r, 0);
		raise(SIGSTOP);
		if (is_heir)
			inherit(&w, r);
		publish_rest(&w);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		abort();
	return pid;
}

/* One instruction. False: it has ended. */
static bool
step(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid)
		abort();
	instructions++;
	if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP)
		return true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		violation("the child ended oddly", (uint64_t)status, 0);
	return false;
}

/* Steps a child on r to its end, and calls fn for each state of the region. */
static unsigned long
for_each_state(struct region *r, struct region *last, bool is_heir, void (*fn)(struct region *))
{
	pid_t pid = start_child(r, is_heir);
	unsigned long n = 0;

	clone_region(last, r);
	fn(r);
	for (; step(pid); n++) {
		at = n;
		if (memcmp(last->base, r->base, used()) == 0)
			continue;
		clone_region(last, r);
		fn(r);
	}
	return n;
}

static struct region heir_live, heir_last;
static unsigned heir_every, every_state;

static void
on_heir_state(struct region *r)
{
	heirs++;
	bequeath(r, 0);
	bequeath(r, 3 * RING);
}

static void
on_state(struct region *r)
{
	unsigned long was = at;

	where = "dead at";
	states++;
	bequeath(r, 0);
	bequeath(r, 3);
	bequeath(r, 3 * RING);
	if (heir_every != 0 && every_state++ % heir_every == 0) {
		where = "heir dead at";
		clone_region(&heir_live, r);
		for_each_state(&heir_live, &heir_last, true, on_heir_state);
		where = "dead at";
		at = was;
	}
}

/* A child that is stopped behind its n-th instruction; -1: it has fewer. */
static pid_t
child_at(unsigned long n)
{
	unsigned long i;
	pid_t pid;

	clone_region(&live, &base);
	pid = start_child(&live, false);
	for (i = 0; i < n; i++)
		if (!step(pid))
			return -1;
	at = n;
	return pid;
}

static void
freeze_at(unsigned long n, uint64_t events)
{
	pid_t pid = child_at(n);
	struct writer b;
	int status;

	if (pid < 0)
		return;
	where = "frozen at";
	frozen++;
	writer_open(&b, &live, 1);
	others_publish(&b, events);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		violation("the frozen one ended oddly", (uint64_t)status, events);
	others_publish(&b, 1);
	check_all(&live, events + 1);
}

static void
kill_at(unsigned long n)
{
	pid_t pid = child_at(n);
	int status;

	if (pid < 0)
		return;
	where = "killed at";
	kills++;
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		abort();
	bequeath(&live, 0);
	bequeath(&live, 3 * RING);
}

/* ---- start states ---- */

static struct writer a, b;

static void
fill_ring(unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		publish(i % 3 ? &b : &a, room(&b), OTHER, i, 8);
}

static void
start_empty(void)
{
	room(&b);
}

static void
start_first_lap(void)
{
	fill_ring(5);
}

static void
start_wrapping(void)
{
	fill_ring(40);
}

static void
start_lagging(void)
{
	uint32_t chan = room(&b);

	fill_ring(20);
	atomic_fetch_sub(&live.channels[chan].tail, 1);
}

/* The first record does not fit before the arena's end. */
static void
start_pad(void)
{
	uint32_t filler;

	room(&b);
	if (channel_get(&b, "filler", 6, &rule, &filler) != 0)
		abort();
	while ((word_get(&a.slot->arena_head) & (ARENA - 1)) != ARENA - 64)
		publish(&a, filler, OTHER, 1, (word_get(&a.slot->arena_head) & 64) ? 40 : 100);
}

/*
 * A quiet channel whose records the next append moves; with_pad: and the arena ends in the same.
 * Tried one by one, on the region itself, which is put back each time.
 */
static void
start_move(bool with_pad)
{
	uint64_t n = 0, moved, head;
	uint32_t quiet, hot, i;

	room(&b);
	if (channel_get(&b, "quiet", 5, &rule, &quiet) != 0 ||
	    channel_get(&b, "hot", 3, &rule, &hot) != 0)
		abort();
	for (i = 0; i < 1000000; i++) {
		if (i % 64 == 0 && i / 64 < RING)
			publish(&a, quiet, OTHER, i, 600);
		publish(&a, hot, OTHER, i, (i * 131) % 700);
		head = word_get(&a.slot->arena_head);
		if (word_get(&a.slot->arena_low) == ARENA ||
		    (with_pad && ARENA - (head & (ARENA - 1)) >= EVENT_HEAD + 640))
			continue;
		moved = stat_get(&a.slot->stats, STAT_ARENA_MOVED);
		clone_region(&base, &live);
		publish(&a, room(&a), OTHER, ++n, LEN);
		if (stat_get(&a.slot->stats, STAT_ARENA_MOVED) > moved) {
			clone_region(&live, &base);
			return;
		}
		clone_region(&live, &base);
	}
	violation("nothing is ever moved", 0, 0);
}

static void
start_copy_forward(void)
{
	start_move(false);
}

static void
start_copy_forward_and_pad(void)
{
	start_move(true);
}

static void
start_creation(void)
{
}

/* Chains, and two records left: one that a dead creator may hold, and one for the others. */
static void
start_creation_in_a_full_table(void)
{
	char name[16];
	uint32_t chan;
	unsigned i;

	for (i = 0; i < CHANNELS - 2; i++) {
		snprintf(name, sizeof name, "c%u", i);
		if (channel_get(&b, name, strlen(name), &rule, &chan) != 0)
			abort();
	}
}

/* The channel is closed but still in the table: stale, and made anew. */
static void
start_closed(void)
{
	uint32_t chan = room(&b);

	fill_ring(20);
	atomic_store(region_ring(&live, chan) + (21 & (RING - 1)), cell_make(21, WRITER_CLOSED, 0));
}

static const struct {
	const char *name;
	void (*start)(void);
	bool join;
} table[] = {
	{ "empty", start_empty, true },
	{ "first lap", start_first_lap, true },
	{ "wrapping", start_wrapping, true },
	{ "tail lagging", start_lagging, true },
	{ "arena's end", start_pad, true },
	{ "copy forward", start_copy_forward, true },
	{ "copy forward at the arena's end", start_copy_forward_and_pad, true },
	{ "creation", start_creation, false },
	{ "creation in a full table", start_creation_in_a_full_table, false },
	{ "closed", start_closed, false },
};

static void
set_up(unsigned i)
{
	uint64_t tail;
	unsigned k;

	scenario = table[i].name;
	region_detach(&live);
	close(live.fd);
	if (region_create(&live, &caps) != 0)
		abort();
	writer_open(&a, &live, 0);
	writer_open(&b, &live, 1);
	table[i].start();
	if (table[i].join)
		channel_join(&b, room(&b), &tail);
	for (k = 0; k < CHANNELS; k++)
		marked[k] = false;
	dirty_take(&b, on_mark, NULL);
	word_set(done_word(&live), 0);
	clone_region(&base, &live);
}

static void
ignore(struct region *r)
{
}

static void
run(unsigned i, unsigned freeze_every, unsigned kill_every)
{
	static const uint64_t events[] = { 3, 3 * RING, 65536 - RING / 2 };
	unsigned long n, k, end;

	messages = 2;
	set_up(i);
	end = for_each_state(&live, &second, false, on_state);
	check_all(&live, 0);
	printf("step_publish: %-32s %5lu instructions\n", scenario, end);
	messages = 1;
	clone_region(&live, &base);
	end = for_each_state(&live, &second, false, ignore);
	for (k = 0; kill_every != 0 && k < end; k += kill_every)
		kill_at(k);
	for (n = k = 0; freeze_every != 0 && k < end; k += freeze_every, n++)
		freeze_at(k, events[freeze_every > 1 ? n % 3 : 0]);
	for (n = 1; freeze_every == 1 && n < 3; n++)
		for (k = 0; k < end; k++)
			freeze_at(k, events[n]);
}

int
main(int argc, char **argv)
{
	unsigned freeze_every = argc > 1 ? (unsigned)atoi(argv[1]) : 29;
	unsigned kill_every = argc > 3 ? (unsigned)atoi(argv[3]) : 97, i;
	struct region *all[] = { &live, &copy, &second, &base, &heir_live, &heir_last };
	cpu_set_t set;

	heir_every = argc > 2 ? (unsigned)atoi(argv[2]) : 25;
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof set, &set);
	for (i = 0; i < sizeof all / sizeof all[0]; i++)
		if (region_create(all[i], &caps) != 0)
			abort();
	setbuf(stdout, NULL);
	for (i = 0; i < sizeof table / sizeof table[0]; i++)
		if (argc < 5 || (unsigned)atoi(argv[4]) == i)
			run(i, freeze_every, kill_every);
	printf("step_publish: %lu instructions stepped, %lu states (3 deaths each), %lu deaths of "
	    "heirs, "
	    "%lu kills, %lu frozen: %lu violations\n",
	    instructions, states, 2 * heirs, kills, frozen, violations);
	return violations == 0 && states > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
