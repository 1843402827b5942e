/*
 * Processes on one region, killed at random: stress_shm [SECONDS [SEED]]
 *
 * Three workers publish and read, a fourth only reads. Each carries a few senders, whose messages
 * are numbered; message n goes to channel n % 8. Seven of these are steady: everybody reads them
 * from end to end, and their publishers wait for the slowest reader, so that nothing may be
 * missing. The eighth kind is fleeting: names that are created by whoever comes first, written to,
 * retired by the master at any moment and read once more by it before their record is used again.
 *
 * Meanwhile any of the four is killed (or stopped for a while) at any moment and an heir does what
 * an heir does. How far a sender's messages are processed stands in shared memory of the test,
 * stored after the publish, as a connection would do it: whether the message behind it was
 * published is what event_recover() must know.
 *
 * Violations: a message published twice or not at all, a hole in the seqs, bytes that are not those
 * that were sent, a sender's messages out of order, a reader that is told a gap or not woken, two
 * channels of one name, a record that nobody has. With -DTHREADS the same in threads, without the
 * deaths, for ThreadSanitizer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
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

enum {
	PUBLISHERS = 3, PROCS = PUBLISHERS + 1, SENDERS = 4, NSENDERS = PUBLISHERS * SENDERS,
	STEADY = 7, KINDS = STEADY + 1, FLEETING = 12, RING = 128, WINDOW = 64, FLEETING_FULL = 30,
	AUDIT_MAX = 1 << 20,		/* fleeting messages per sender */
	WAIT_MS = 3000,
};

struct book {
	word64 stop, violations, kills, stops, taken, doubts, joins, moved_on, stale, full, slept;
	word64 done[NSENDERS];
	word64 chan[STEADY];			/* number + 1, agreed upon */
	word64 cursor[PROCS][STEADY];
	word64 expect[PROCS][STEADY][NSENDERS];	/* the sender's last message there */
	word32 started[PROCS];
};

static struct region region;
static struct book *book;
static unsigned char *audit;		/* how often a fleeting message was found, master only */
static int wake_fd[PROCS];

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
violation(const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	if (atomic_fetch_add(&book->violations, 1) < 20)
		fprintf(stderr, "stress_shm: %s (%llu %llu %llu)\n", what, (unsigned long long)a,
		    (unsigned long long)b, (unsigned long long)c);
}

/* ---- a process ---- */

struct proc {
	struct writer w;
	unsigned index;
	bool fresh[STEADY];	/* an heir may see the last event again */
	bool had[STEADY];
	uint32_t room;		/* a fleeting channel it reads, or UINT32_MAX */
	uint64_t room_seq;
	uint64_t rnd;
	uint64_t data[EVENT_MAX / 8];
};

static uint64_t
rnd(struct proc *p, uint64_t n)
{
	return mix(p->rnd++) % n;
}

static uint32_t
make_data(uint64_t *data, uint64_t sender, uint64_t n)
{
	uint64_t h = mix(sender << 40 | n), size = h % 400, i;

	if (h >> 32 & 1 && (h >> 40) % 200 == 0)
		size = EVENT_MAX - (h >> 52);
	for (i = 0; i <= size / 8 && i < EVENT_MAX / 8; i++)
		data[i] = h + i * 0x9e3779b97f4a7c15ull;
	return (uint32_t)size;
}

/* Reads seq of a channel and checks that its bytes are what its sender sent. */
static enum event_result
read_checked(uint32_t chan, uint64_t seq, struct event *e, uint64_t *buf)
{
	enum event_result res = event_peek(&region, chan, seq, e);
	uint64_t h, i;

	if (res == EVENT_OK)
		res = event_copy(&region, chan, seq, e, buf);
	if (res != EVENT_OK)
		return res;
	h = mix(e->head.cookie << 40 | e->head.in_off);
	if (e->head.cookie >= NSENDERS || (e->head.len != h % 400 && e->head.len < 50000))
		violation("head is not what was sent", chan, seq, e->head.cookie);
	for (i = 0; i < e->head.len / 8; i++)
		if (buf[i] != h + i * 0x9e3779b97f4a7c15ull) {
			violation("torn bytes", chan, seq, i);
			break;
		}
	return EVENT_OK;
}

static void
fleeting_name(char *name, size_t size, uint64_t sender, uint64_t n)
{
	snprintf(name, size, "f%llu", (unsigned long long)(mix(n * 31 + sender) % FLEETING));
}

static uint32_t
steady_chan(unsigned c)
{
	return (uint32_t)word_get(&book->chan[c]) - 1;
}

static void
read_steady(struct proc *p, unsigned c)
{
	uint64_t seq = word_get(&book->cursor[p->index][c]) + 1, n, was;
	struct event e;
	enum event_result res;

	for (;; seq++) {
		while ((res = read_checked(steady_chan(c), seq, &e, p->data)) == EVENT_NONE)
			if (seq > channel_tail(&region, steady_chan(c)))
				return;
		if (res == EVENT_LAPPED) {
			violation("a gap", p->index, c, seq);
			word_set(&book->cursor[p->index][c], seq);
			continue;
		}
		n = e.head.in_off;
		was = word_get(&book->expect[p->index][c][e.head.cookie % NSENDERS]);
		if (n != (was == 0 ? (c == 0 ? KINDS : c) : was + KINDS) &&
		    !(p->fresh[c] && n == was))
			violation(n <= was ? "published twice or out of order" : "lost",
			    e.head.cookie, was, n);
		p->fresh[c] = false;
		word_set(&book->expect[p->index][c][e.head.cookie % NSENDERS], n);
		word_set(&book->cursor[p->index][c], seq);
	}
}

static void
on_dirty(void *arg, uint32_t chan)
{
	struct proc *p = arg;
	unsigned c;

	for (c = 0; c < STEADY; c++)
		if (steady_chan(c) == chan)
			read_steady(p, c);
}

/* The reader of fleeting channels: joins one, follows it, moves on when it is closed. */
static void
read_fleeting(struct proc *p)
{
	struct channel_rule_values v = { .history = RING };
	struct event e;
	char name[16];

	if (p->room == UINT32_MAX) {
		fleeting_name(name, sizeof name, p->index, rnd(p, 1000));
		if (channel_get(&p->w, name, strlen(name), &v, &p->room) != 0) {
			p->room = UINT32_MAX;
			return;
		}
		sched_yield();			/* be retired here */
		if (!channel_join(&p->w, p->room, &p->room_seq)) {
			atomic_fetch_add_explicit(&book->moved_on, 1, memory_order_relaxed);
			p->room = UINT32_MAX;
			return;
		}
		atomic_fetch_add_explicit(&book->joins, 1, memory_order_relaxed);
	}
	while (read_checked(p->room, p->room_seq + 1, &e, p->data) != EVENT_NONE)
		p->room_seq++;
	if (channel_is_closed(&region, p->room)) {
		atomic_fetch_add_explicit(&book->moved_on, 1, memory_order_relaxed);
		p->room = UINT32_MAX;
	} else if (rnd(p, 4) == 0) {
		channel_leave(&p->w, p->room);
		p->room = UINT32_MAX;
	}
}

static bool
has_room(unsigned c)
{
	uint64_t tail = channel_tail(&region, steady_chan(c));
	unsigned k;

	for (k = 0; k < PROCS; k++)
		if (tail - word_get(&book->cursor[k][c]) > WINDOW)
			return false;
	return true;
}

/* Publishes the sender's next message. False: not now. */
static bool
publish_next(struct proc *p, unsigned sender)
{
	struct channel_rule_values v = { .history = RING };
	uint64_t n = word_get(&book->done[sender]) + 1, seq;
	struct event_head h = { .cookie = sender, .in_off = n };
	unsigned kind = n % KINDS;
	uint32_t chan;
	char name[16];

	if (kind == STEADY && n / KINDS >= AUDIT_MAX)
		return false;
	if (kind < STEADY && !has_room(kind))
		return false;
	h.len = make_data(p->data, sender, n);
	for (;;) {
		if (kind < STEADY)
			chan = steady_chan(kind);
		else {
			fleeting_name(name, sizeof name, sender, n);
			if (channel_get(&p->w, name, strlen(name), &v, &chan) != 0) {
				atomic_fetch_add_explicit(&book->full, 1, memory_order_relaxed);
				return false;
			}
			/* the master reads it all when it is retired */
			if (channel_tail(&region, chan) > FLEETING_FULL)
				return false;
		}
		if (event_publish(&p->w, chan, &h, p->data, &seq) == 0)
			break;
		if (errno != ESTALE || kind < STEADY)
			violation("publish failed", sender, n, (uint64_t)errno);
		atomic_fetch_add_explicit(&book->stale, 1, memory_order_relaxed);
	}
	if (rnd(p, 32) == 0)
		sched_yield();		/* die here */
	word_set(&book->done[sender], n);
	return true;
}

static void
wake(struct writer *w)
{
	uint64_t m = sleepers_take(&region, w->wake), one = 1;

	for (w->wake = 0; m != 0; m &= m - 1)
		if ((unsigned)__builtin_ctzll(m) < PROCS)
			(void)!write(wake_fd[__builtin_ctzll(m)], &one, sizeof one);
}

/* Waits for a wake-up. Nothing is held meanwhile: an odd `quiet` says so. */
static void
doze(struct proc *p, int ms)
{
	struct pollfd fd = { .fd = wake_fd[p->index], .events = POLLIN };
	uint64_t quiet = word_get(&p->w.slot->quiet), v;
	unsigned c;

	if (sleep_begin(&p->w)) {
		atomic_store(&p->w.slot->quiet, quiet + 1);
		if (poll(&fd, 1, ms) == 0 && ms >= WAIT_MS && word_get(&book->stop) == 0)
			for (c = 0; c < STEADY; c++)
				if (channel_tail(&region, steady_chan(c)) !=
				    word_get(&book->cursor[p->index][c]) && poll(&fd, 1, 500) == 0)
					violation("not woken", p->index, c, 0);
		atomic_fetch_add_explicit(&book->slept, 1, memory_order_relaxed);
	}
	atomic_store(&p->w.slot->quiet, quiet + 2);
	sleep_end(&p->w);
	if (poll(&fd, 1, 0) == 1)
		(void)!read(fd.fd, &v, sizeof v);
}

/* What an heir does. */
static void
begin(struct proc *p)
{
	uint64_t one = 1, tail;
	struct doubt d;
	unsigned c;

	writer_open(&p->w, &region, p->index);
	atomic_store(&p->w.slot->quiet, (word_get(&p->w.slot->quiet) | 1) + 1);
	event_recover(&p->w, &d);
	if (d.on && d.head.cookie / SENDERS != p->index)
		violation("a doubt of somebody else", p->index, d.head.cookie, d.head.in_off);
	else if (d.on && d.head.in_off == word_get(&book->done[d.head.cookie]) + 1) {
		word_set(&book->done[d.head.cookie], d.head.in_off);
		atomic_fetch_add_explicit(&book->taken, 1, memory_order_relaxed);
	}
	channel_repair(&p->w);
	for (c = 0; c < region.caps.channels; c++)
		if (c != steady_chan(0))
			channel_leave(&p->w, c);
	for (c = 0; c < STEADY; c++) {
		p->fresh[c] = true;
		if (!channel_join(&p->w, steady_chan(c), &tail))
			violation("a steady channel is closed", c, tail, 0);
		dirty_mark_self(&p->w, steady_chan(c));
	}
	for (c = 0; c < PROCS; c++)
		(void)!write(wake_fd[c], &one, sizeof one);
	p->w.wake = 0;
}

static void *
run(void *arg)
{
	struct proc *p = arg;
	unsigned i, did, idle = 0;

	begin(p);
	while (word_get(&book->stop) == 0) {
		dirty_take(&p->w, on_dirty, p);
		dirty_take_hints(&p->w);
		if (p->index >= PUBLISHERS) {
			read_fleeting(p);
			doze(p, WAIT_MS);
			continue;
		}
		for (i = did = 0; i < 32; i++)
			did += publish_next(p, p->index * SENDERS + (unsigned)rnd(p, SENDERS));
		wake(&p->w);
		if (did == 0 && ++idle % 16 == 0)
			doze(p, 1);
		else {
			if (did == 0)
				sched_yield();
			atomic_store(&p->w.slot->quiet, word_get(&p->w.slot->quiet) + 2);
		}
	}
	return NULL;
}

/* ---- the master ---- */

static struct writer master;
static struct { uint32_t chan; uint64_t quiet[PROCS]; } retired[256];
static unsigned nretired;
static uint64_t recycled, audited;

static struct { uint64_t sender, n; } found[RING];

/* Reads all that a channel holds; its senders never publish more than that. */
static void
read_all(uint32_t chan, uint64_t tail)
{
	static uint64_t buf[EVENT_MAX / 8];
	enum event_result res;
	uint64_t seq;
	struct event e;

	if (tail > RING)
		violation("more than the ring holds", chan, tail, 0);
	for (seq = 1; seq <= tail && seq <= RING; seq++) {
		while ((res = read_checked(chan, seq, &e, buf)) == EVENT_NONE)
			;
		if (res != EVENT_OK) {
			violation("cannot be read", chan, seq, tail);
			memset(&e, 0, sizeof e);
		}
		found[seq - 1].sender = e.head.cookie % NSENDERS;
		found[seq - 1].n = e.head.in_off;
	}
}

static void
count_all(uint64_t tail)
{
	uint64_t i;

	for (i = 0; i < tail && i < RING; i++, audited++)
		if (++audit[found[i].sender * AUDIT_MAX + found[i].n / KINDS] != 1)
			violation("published twice", found[i].sender, found[i].n, i + 1);
}

/* Nobody may hold what was retired before these were read; see `quiet`. */
static void
look_at_quiet(uint64_t *quiet)
{
	unsigned k;

	for (k = 0; k < PROCS; k++)
		quiet[k] = atomic_load(&region_slot(&region, k)->quiet);
}

static bool
has_passed(const uint64_t *then)
{
	unsigned k;

	for (k = 0; k < PROCS; k++)
		if ((then[k] & 1) == 0 && atomic_load(&region_slot(&region, k)->quiet) == then[k])
			return false;
	return true;
}

/* A channel is read before: when it is retired its records are not kept any longer. */
static void
retire_some(bool all)
{
	uint32_t chan;
	unsigned i;

	for (chan = 0; chan < region.caps.channels; chan++) {
		struct channel *c = &region.channels[chan];
		uint64_t claim = word_get(&c->claim), tail = channel_tail(&region, chan);

		if (!claim_is_open(claim) ||
		    (!all && (mix(chan + tail + (uint64_t)(now() * 1e5)) & 3)))
			continue;
		for (i = 0; i < STEADY && steady_chan(i) != chan; i++)
			;
		if (i < STEADY || nretired == 256)
			continue;
		read_all(chan, tail);
		if (!channel_retire(&master, chan, tail))
			continue;
		retired[nretired].chan = chan;
		look_at_quiet(retired[nretired++].quiet);
		count_all(tail);
	}
	wake(&master);
	for (i = 0; i < nretired;)
		if (has_passed(retired[i].quiet)) {
			channel_recycle(&master, retired[i].chan);
			recycled++;
			retired[i] = retired[--nretired];
		} else
			i++;
}

static void
check_names(void)
{
	uint32_t a, b, number, used = 0;

	for (a = 0; a < region.caps.channels; a++) {
		struct channel *c = &region.channels[a];

		if (word_get(&c->claim) == CHANNEL_FREE)
			continue;
		used++;
		if (channel_find(&region, c->name, c->name_len, &number) != 0 || number != a)
			violation("a record that is not in the table", a, word_get(&c->claim), 0);
		for (b = 0; b < a; b++)
			if (claim_is_open(word_get(&region.channels[b].claim)) &&
			    c->name_len == region.channels[b].name_len &&
			    memcmp(c->name, region.channels[b].name, c->name_len) == 0)
				violation("two channels of one name", a, b, 0);
	}
	if (used != STEADY)
		violation("records that nobody has", used, STEADY, 0);
}

static void
check_end(void)
{
	uint64_t n, k, want[STEADY] = { 0 }, done;
	unsigned s, c;

	for (s = 0; s < NSENDERS; s++) {
		done = word_get(&book->done[s]);
		for (c = 0; c < STEADY; c++)
			want[c] += c == 0 ? done / KINDS : done / KINDS + (done % KINDS >= c);
		for (k = 0; k < AUDIT_MAX && (n = k * KINDS + STEADY) <= done; k++)
			if (audit[s * AUDIT_MAX + k] != 1)
				violation("fleeting message not found once", s, n,
				    audit[s * AUDIT_MAX + k]);
	}
	for (c = 0; c < STEADY; c++)
		if (channel_tail(&region, steady_chan(c)) != want[c])
			violation("seqs and messages differ", c,
			    channel_tail(&region, steady_chan(c)), want[c]);
}

/* ---- start, deaths, end ---- */

static struct proc proc[PROCS];

#ifdef THREADS
static pthread_t thread[PROCS];

static void
start(unsigned k)
{
	proc[k].index = k;
	proc[k].room = UINT32_MAX;
	proc[k].rnd = k * 7919;
	if (pthread_create(&thread[k], NULL, run, &proc[k]) != 0)
		abort();
}

static void
hurt(uint64_t *seed)
{
	usleep(3000);
}

static void
join_all(void)
{
	unsigned k;

	for (k = 0; k < PROCS; k++)
		pthread_join(thread[k], NULL);
}
#else
static pid_t pid[PROCS];

static void
start(unsigned k)
{
	static uint64_t starts;

	starts++;
	pid[k] = fork();
	if (pid[k] < 0)
		abort();
	if (pid[k] > 0)
		return;
	proc[k].index = k;
	proc[k].room = UINT32_MAX;
	proc[k].rnd = starts * 7919;
	run(&proc[k]);
	_exit(0);
}

static void
bury(unsigned k)
{
	int status;

	if (waitpid(pid[k], &status, 0) != pid[k])
		abort();
	if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) &&
	    !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		violation("a process ended by itself", k, (uint64_t)status, 0);
}

static void
hurt(uint64_t *seed)
{
	uint64_t h = mix((*seed)++);
	unsigned k = (unsigned)(h % PROCS), again;

	usleep((useconds_t)((h >> 8) % 2000));
	if ((h >> 20) % 8 == 0) {
		kill(pid[k], SIGSTOP);
		usleep((useconds_t)((h >> 32) % 10000));
		kill(pid[k], SIGCONT);
		book->stops++;
		return;
	}
	/* one in four dies again at once, in the middle of its recovery */
	for (again = 0; again < ((h >> 24) % 4 == 0 ? 3u : 1u); again++) {
		kill(pid[k], SIGKILL);
		bury(k);
		start(k);
		book->kills++;
		usleep((useconds_t)((h >> 40) % 300));
	}
}

static void
join_all(void)
{
	unsigned k;

	for (k = 0; k < PROCS; k++)
		bury(k);
}
#endif

static void
set_up(void)
{
	static const struct region_caps caps = {
		.workers = PROCS, .channels = 64, .ring_cells = RING, .conns = 16, .blocks = 2,
		/* the rings keep some 640K alive: room also if one writer wrote it all */
		.arena = 2 << 20, .frame_arena = 1 << 16,
	};
	struct channel_rule_values v = { .history = RING };
	uint32_t chan;
	char name[8];
	unsigned c;

	book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	audit = mmap(NULL, (size_t)NSENDERS * AUDIT_MAX, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (book == MAP_FAILED || audit == MAP_FAILED || region_create(&region, &caps) != 0)
		abort();
	writer_open(&master, &region, HELPER_MASTER);
	for (c = 0; c < STEADY; c++) {
		snprintf(name, sizeof name, "s%u", c);
		if (channel_get(&master, name, strlen(name), &v, &chan) != 0)
			abort();
		book->chan[c] = chan + 1;
	}
	for (c = 0; c < PROCS; c++)
		wake_fd[c] = eventfd(0, EFD_NONBLOCK);
}

static uint64_t
sum(const word64 *w, unsigned n)
{
	uint64_t s = 0;

	while (n-- > 0)
		s += word_get(&w[n]);
	return s;
}

static uint64_t
stat_sum(enum counter i)
{
	uint64_t s = 0;
	unsigned k;

	for (k = 0; k < PROCS; k++)
		s += stat_get(&region_slot(&region, k)->stats, i);
	return s;
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 4, end, mark;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)getpid(), first = seed;
	uint64_t messages = 0, one = 1;
	unsigned k;

	set_up();
	seed = mix(seed);
	for (k = 0; k < PROCS; k++)
		start(k);
	mark = now();
	end = mark + seconds;
	while (now() < end) {
		hurt(&seed);
		for (k = 0; k < 8; k++) {
			retire_some(false);
			usleep(100);
		}
		if (now() - mark > 5) {
			if (sum(book->done, NSENDERS) == messages)
				violation("nobody gets on", messages, 0, 0);
			messages = sum(book->done, NSENDERS);
			mark = now();
		}
	}
	word_set(&book->stop, 1);
	for (k = 0; k < PROCS; k++)
		(void)!write(wake_fd[k], &one, sizeof one);
	join_all();
	/* everybody's last events, and the channels that are left */
	for (k = 0; k < PROCS; k++) {
		unsigned c;

		proc[k].index = k;
		for (c = 0; c < STEADY; c++) {
			proc[k].fresh[c] = true;
			read_steady(&proc[k], c);
		}
		atomic_store(&region_slot(&region, k)->quiet, 1);
		for (c = 0; c < region.caps.channels; c++)
			atomic_fetch_and(&region.channels[c].interest, ~(1ull << k));
	}
	for (k = 0; k < 3; k++) {
		unsigned i, p;

		retire_some(true);
		for (i = 0; i < nretired; i++)
			for (p = 0; p < PROCS; p++)
				retired[i].quiet[p] = 1;
		retire_some(true);
	}
	check_names();
	check_end();
	messages = sum(book->done, NSENDERS);
	printf("stress_shm: seed %llu, %llu messages, %llu kills, %llu stops, %llu doubts taken, "
	    "%llu channels made, %llu recycled, %llu fleeting, %llu stale, %llu joins (%llu "
	    "moved on), "
	    "%llu table full, %llu moved, %llu dropped, %llu sleeps: %llu violations\n",
	    (unsigned long long)first, (unsigned long long)messages,
	    (unsigned long long)book->kills, (unsigned long long)book->stops,
	    (unsigned long long)book->taken, (unsigned long long)stat_sum(STAT_CHANNELS_MADE),
	    (unsigned long long)recycled, (unsigned long long)audited,
	    (unsigned long long)book->stale, (unsigned long long)book->joins,
	    (unsigned long long)book->moved_on, (unsigned long long)book->full,
	    (unsigned long long)stat_sum(STAT_ARENA_MOVED),
	    (unsigned long long)stat_sum(STAT_ARENA_DROPPED), (unsigned long long)book->slept,
	    (unsigned long long)book->violations);
	return book->violations == 0 && messages > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
