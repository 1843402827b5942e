/*
 * Two ask for one key, one of them after every single instruction of the other:
 *
 *	step_idempotency [EVERY]
 *
 * A child, worker A, asks for a key, single-stepped by ptrace. After its n-th instruction (each
 * EVERY-th, 37 by default) it is left standing there while B asks for the same key, or the period
 * turns, or both, or B fills the table with other keys. Then A goes on, or is killed and its heir
 * executes the message again. Checked: the key is published once, all answers are the event's
 * place, what was once answered stays answered, B never waits for A.
 *
 * Then the same with B asking in the midst of A's idempotency_finish().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/event.h"
#include "shm/idempotency.h"
#include "shm/region.h"
#include "shm/writer.h"

enum { TABLE = 16, OTHERS = TABLE - 2, RING = 256, A_COOKIE = 1, B_COOKIE = 2 };

static const struct region_caps caps = {
	.workers = 2, .channels = 64, .ring_cells = RING, .conns = 16, .blocks = 1,
	.arena = 1 << 20, .frame_arena = 1 << 16, .idempotency = TABLE,
};

/* What the child tells, in shared memory. */
struct told {
	word32 got;		/* its idempotency_get() has returned */
	word32 result;
	word64 epoch, seq;
};

static struct region region;
static struct told *told;
static struct writer a, b;
static uint32_t room;
static unsigned long violations, points, at;
static unsigned long way;		/* instructions of an undisturbed idempotency_get() */
static uint64_t message;		/* each is another one */
static const char *where;

static void
violation(const char *what, uint64_t x, uint64_t y)
{
	if (violations++ < 20)
		fprintf(stderr, "step_idempotency: %s, at %lu: %s (%llu %llu)\n", where, at, what,
		    (unsigned long long)x, (unsigned long long)y);
}

/* ---- messages ---- */

static void
fill(struct idempotency *q, char *key, size_t size, uint64_t n, uint64_t cookie, uint64_t in_off)
{
	*q = (struct idempotency){
		.channel = "room", .channel_len = 4, .key = key, .cookie = cookie, .in_off = in_off,
	};
	q->key_len = (size_t)snprintf(key, size, "key-%llu", (unsigned long long)n);
}

static uint64_t
publish(struct writer *w, uint64_t n, const struct idempotency *q, struct doubt *d)
{
	struct event_head h = { .cookie = q->cookie, .in_off = q->in_off, .len = sizeof n };
	uint64_t seq = 0;

	if (d != NULL && d->on && d->head.cookie == q->cookie && d->head.in_off == q->in_off)
		return d->head.seq;
	if (event_publish(w, room, &h, &n, &seq) != 0)
		abort();
	return seq;
}

/* Executes a message that asks for key n; *seq: what it was told. */
static enum idempotency_result
execute(struct writer *w, uint64_t n, uint64_t cookie, uint64_t in_off, struct doubt *d,
    uint64_t *seq)
{
	enum idempotency_result res;
	struct idempotency q;
	char key[32];

	fill(&q, key, sizeof key, n, cookie, in_off);
	res = idempotency_get(w, &q);
	if (res == IDEMPOTENCY_OWNER) {
		q.seq = publish(w, n, &q, d);
		q.epoch = region.channels[room].epoch;
		idempotency_finish(&q, q.epoch, q.seq);
	}
	if (res < IDEMPOTENCY_UNFINISHED && q.epoch != region.channels[room].epoch)
		violation("another epoch", q.epoch, n);
	*seq = q.seq;
	return res;
}

static enum idempotency_result
b_asks(uint64_t n, uint64_t *seq)
{
	return execute(&b, n, B_COOKIE, ++message, NULL, seq);
}

/* The last seq at which n was published; *times how often since `from`. */
static uint64_t
published(uint64_t n, uint64_t from, unsigned *times)
{
	uint64_t tail = channel_tail(&region, room), seq, data, last = 0;
	struct event e;

	*times = 0;
	for (seq = from + 1; seq <= tail; seq++)
		if (event_peek(&region, room, seq, &e) != EVENT_OK ||
		    event_copy(&region, room, seq, &e, &data) != EVENT_OK)
			violation("cannot be read", seq, tail);
		else if (data == n) {
			last = seq;
			++*times;
		}
	return last;
}

/* ---- the child ---- */

static pid_t
start_child(uint64_t n, uint64_t in_off)
{
	struct idempotency q;
	char key[32];
	int status;
	pid_t pid;

	fill(&q, key, sizeof key, n, A_COOKIE, in_off);
	word32_set(&told->got, 0);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		enum idempotency_result res;

		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		res = idempotency_get(&a, &q);
		word32_set(&told->got, 1);
		if (res == IDEMPOTENCY_OWNER) {
			q.seq = publish(&a, n, &q, NULL);
			idempotency_finish(&q, region.channels[room].epoch, q.seq);
		}
		word32_set(&told->result, res);
		word_set(&told->seq, q.seq);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		abort();
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_EXITKILL);
	return pid;
}

/* Never beyond the end of what is stepped through: `got` is looked at. */
static void
step(pid_t pid, unsigned long n)
{
	int status;

	for (; n > 0 && word32_get(&told->got) == 0; n--)
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
		    WSTOPSIG(status) != SIGTRAP)
			abort();
}

static void
go_on(pid_t pid)
{
	int status;

	ptrace(PTRACE_CONT, pid, NULL, NULL);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		violation("the child ended oddly", (uint64_t)status, 0);
}

static void
die(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		abort();
}

/* Kills A; its heir executes the message again, or its connection is lost. */
static enum idempotency_result
inherit(pid_t pid, uint64_t n, uint64_t in_off, bool lost, uint64_t *seq)
{
	enum idempotency_result res = IDEMPOTENCY_UNFINISHED;
	struct doubt d;

	die(pid);
	writer_open(&a, &region, 0);
	event_recover(&a, &d);
	if (!lost)
		res = execute(&a, n, A_COOKIE, in_off, &d, seq);
	idempotency_settle(&a, &d);
	if (lost)
		res = execute(&a, n, A_COOKIE, ++message, &d, seq);
	return res;
}

/* ---- one point ---- */

static const struct scenario {
	const char *name;
	bool before;		/* B has published the key a period ago */
	bool b_first;		/* B asks before the period turns */
	unsigned turns;
	bool b_then;		/* and after it */
	unsigned others;	/* keys of its own that B asks for then */
	unsigned pause;		/* all this at so many per cent of A's way, not at its end */
} scenarios[] = {
	{ "B asks", false, true, 0, false, 0, 0 },
	{ "turn, B asks", false, false, 1, true, 0, 0 },
	{ "B asks, turn", false, true, 1, true, 0, 0 },
	{ "two turns, B asks for others", false, false, 2, false, OTHERS, 0 },
	{ "answered long ago, turn, others", true, false, 1, false, OTHERS, 0 },
	{ "answered long ago, B asks", true, true, 0, false, 0, 0 },
	{ "turn, B asks, A goes on a little", false, false, 1, true, 0, 75 },
	{ "turn, B asks, A nearly ends", false, false, 1, true, 0, 95 },
};

enum ending { GO_ON, HEIR, LOST, ENDINGS };

static void
b_asks_and_stands(uint64_t n, uint64_t *seq)
{
	uint64_t again;
	enum idempotency_result res = b_asks(n, seq);

	if (res == IDEMPOTENCY_FULL)
		violation("full", n, 0);
	if (res == IDEMPOTENCY_UNFINISHED)
		*seq = 0;
	else if (b_asks(n, &again) != IDEMPOTENCY_ANSWERED || again != *seq)
		violation("an answer is taken back while A stands", *seq, again);
}

static enum idempotency_result
end_child(pid_t pid, enum ending ending, uint64_t n, uint64_t in_off, uint64_t *seq)
{
	if (ending != GO_ON)
		return inherit(pid, n, in_off, ending == LOST, seq);
	go_on(pid);
	*seq = word_get(&told->seq);
	return (enum idempotency_result)word32_get(&told->result);
}

/* Everybody has ended: the key has one place, and keeps it. */
static void
check_key(uint64_t n, uint64_t from, uint64_t seq_a, uint64_t seq_b)
{
	uint64_t seq, ignored;
	unsigned times;

	if (execute(&a, 10 * n + 1, A_COOKIE, ++message, NULL, &ignored) != IDEMPOTENCY_OWNER)
		violation("A cannot ask for another", n, 0);
	if (b_asks(n, &seq) != IDEMPOTENCY_ANSWERED)
		violation("unfinished, or forgotten", n, seq);
	if (published(n, from, &times) != seq)
		violation("the answer is not the event", n, seq);
	if (times != 1)
		violation("not published once", n, times);
	if (seq_a != seq || (seq_b != 0 && seq_b != seq))
		violation("two answers", seq_a, seq_b);
}

/* What happens while A stands. */
static void
meanwhile(const struct scenario *s, uint64_t n, uint64_t *seq)
{
	uint64_t ignored;
	unsigned i;

	if (s->b_first)
		b_asks_and_stands(n, seq);
	for (i = 0; i < s->turns; i++)
		idempotency_turn(&region);
	if (s->b_then && *seq == 0)
		b_asks_and_stands(n, seq);
	for (i = 0; i < s->others; i++)
		if (b_asks(100 * n + i, &ignored) != IDEMPOTENCY_OWNER)
			violation("B cannot ask for others", i, 0);
}

/* Steps A and lets the scenario happen. False: its idempotency_get() has fewer instructions. */
static bool
stand(pid_t pid, const struct scenario *s, unsigned long steps, uint64_t n, uint64_t *seq)
{
	unsigned long pause = s->pause * way / 100;
	uint64_t again;

	if (pause == 0 || pause > steps)
		pause = steps;
	step(pid, pause);
	at = steps;
	if (word32_get(&told->got) == 0)
		meanwhile(s, n, seq);
	step(pid, steps - pause);
	if (*seq != 0 && pause < steps &&
	    (b_asks(n, &again) != IDEMPOTENCY_ANSWERED || again != *seq))
		violation("an answer is hidden while A stands", *seq, again);
	return word32_get(&told->got) == 0;
}

static bool
try_point(const struct scenario *s, enum ending ending, unsigned long steps)
{
	static uint64_t key = 1000;
	uint64_t n = ++key, seq_a = 0, seq_b = 0, seq, before = 0, from, in_off = ++message;
	enum idempotency_result res;
	unsigned i;
	pid_t pid;

	idempotency_turn(&region);
	idempotency_turn(&region);		/* everything before is forgotten */
	from = channel_tail(&region, room);
	if (s->before) {
		b_asks(n, &before);
		idempotency_turn(&region);
	}
	pid = start_child(n, in_off);
	if (!stand(pid, s, steps, n, &seq_b)) {
		go_on(pid);
		return false;
	}
	points++;
	res = end_child(pid, ending, n, in_off, &seq_a);
	if (res == IDEMPOTENCY_FULL && s->others == 0)
		violation("full", n, 0);
	if (res == IDEMPOTENCY_UNFINISHED && (seq_b != 0 || !s->b_first))
		violation("unfinished, but nobody is at work", n, 0);
	for (i = 0; i < s->others; i++)
		if (b_asks(100 * n + i, &seq) != IDEMPOTENCY_ANSWERED)
			violation("A has overwritten another", i, seq);
	if (res == IDEMPOTENCY_ANSWERED && before != 0 && seq_a != before && s->others > 0)
		violation("the answer of another", seq_a, before);
	if (s->turns < 2 && s->others == 0)
		check_key(n, from, seq_a, seq_b);
	return true;
}

/* B asks in the midst of A's idempotency_finish(). */
static void
step_finish(void)
{
	uint64_t seq = 0, n = 5;
	enum idempotency_result res;
	struct idempotency q, other;
	char key[32];
	pid_t pid;

	where = "finish";
	idempotency_turn(&region);
	idempotency_turn(&region);
	fill(&q, key, sizeof key, n, A_COOKIE, ++message);
	if (idempotency_get(&a, &q) != IDEMPOTENCY_OWNER)
		abort();
	word32_set(&told->got, 0);
	pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		idempotency_finish(&q, 11, 12);
		word32_set(&told->got, 1);
		_exit(0);
	}
	if (waitpid(pid, NULL, 0) != pid)
		abort();
	for (at = 0; word32_get(&told->got) == 0; at++) {
		fill(&other, key, sizeof key, n, B_COOKIE, ++message);
		res = idempotency_get(&b, &other);
		if (res == IDEMPOTENCY_ANSWERED ? other.epoch != 11 || other.seq != 12 :
		    res != IDEMPOTENCY_UNFINISHED || seq != 0)
			violation("half an answer", other.epoch, other.seq);
		seq = res == IDEMPOTENCY_ANSWERED;
		step(pid, 1);
	}
	if (seq != 1)
		violation("never answered", 0, 0);
	die(pid);
}

static void
set_up(void)
{
	static const struct channel_rule_values rule = { .history = RING };
	cpu_set_t set;

	CPU_ZERO(&set);			/* on one processor a step takes less */
	CPU_SET((unsigned)sched_getcpu(), &set);
	sched_setaffinity(0, sizeof set, &set);
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED || region_create(&region, &caps) != 0)
		abort();
	writer_open(&a, &region, 0);
	writer_open(&b, &region, 1);
	if (channel_get(&b, "room", 4, &rule, &room) != 0)
		abort();
}

int
main(int argc, char **argv)
{
	unsigned long every = argc > 1 && atoi(argv[1]) > 0 ? (unsigned long)atoi(argv[1]) : 37, n;
	unsigned i, e;

	set_up();
	step_finish();
	for (i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
		for (e = 0; e < ENDINGS; e++) {
			where = scenarios[i].name;
			n = (i * ENDINGS + e) * 5 % every + scenarios[i].pause * way / 100;
			while (try_point(&scenarios[i], e, n))
				n += every;
			if (way == 0)
				way = n;
		}
	printf("step_idempotency: %lu points: %lu violations\n", points, violations);
	return violations == 0 && points > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
