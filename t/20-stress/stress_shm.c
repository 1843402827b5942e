/*
 * Processes on one region, killed at random: stress_shm [SECONDS [SEED]]
 *
 * Three workers publish and read, a fourth only reads. Each carries a few senders, whose messages
 * are numbered; message n is of kind n % KINDS. Seven kinds are steady: everybody reads their
 * channels from end to end, and their publishers wait for the slowest reader, so that nothing may
 * be missing. The eighth is fleeting: names that are created by whoever comes first, written to,
 * retired by the master at any moment and read once more by it before their record is used again.
 * The others are in stress_kinds.c: keys that all senders ask for, a quiet channel whose history
 * the arenas move forward, and a hot one whose reader is lapped.
 *
 * Meanwhile any of the four is killed (or stopped for a while) at any moment and an heir does what
 * an heir does. How far a sender's messages are processed stands in shared memory of the test,
 * stored after the publish, as a connection would do it: whether the message behind it was
 * published is what event_recover() must know.
 *
 * Violations: a message published twice or not at all, a hole in the seqs, bytes that are not those
 * that were sent, a sender's messages out of order, a reader that is told a gap that is none or is
 * not woken, two channels of one name, a record that nobody has. With -DTHREADS the same in threads
 * for ThreadSanitizer: they die only where it says so (dies_here).
 */
#define _GNU_SOURCE
#include "t/20-stress/kinds.h"

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
#include "shm/slot_layout.h"

enum {
	FLEETING_NAMES = 12, FLEETING_FULL = 30,
	AUDIT_MAX = 1 << 24,		/* fleeting messages per sender */
	WAIT_MS = 3000,
};

struct region region;
struct book *book;
static unsigned char *audit;		/* how often a fleeting message was found, master only */
static int wake_fd[PROCS];
static uint64_t first_seed;

uint64_t
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

void
violation(const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	if (atomic_fetch_add(&book->violations, 1) < 20)
		fprintf(stderr, "stress_shm: %s (%llu %llu %llu)\n", what, (unsigned long long)a,
		    (unsigned long long)b, (unsigned long long)c);
}

/* ---- a process ---- */

uint64_t
rnd(struct proc *p, uint64_t n)
{
	return mix(p->rnd++) % n;
}

void
tell(word64 *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

uint32_t
make_data(uint64_t *data, uint64_t sender, uint64_t n)
{
	uint64_t h = mix(sender << 40 | n), size = h % 400, i;

	if (h >> 32 & 1 && (h >> 40) % 200 == 0)
		size = EVENT_MAX - (h >> 52);
	for (i = 0; i <= size / 8 && i < EVENT_MAX / 8; i++)
		data[i] = h + i * 0x9e3779b97f4a7c15ull;
	return (uint32_t)size;
}

enum event_result
read_checked(uint32_t chan, uint64_t seq, struct event *e, uint64_t *buf)
{
	enum event_result res = event_peek(&region, chan, seq, e);
	uint64_t h, i;

	if (res == EVENT_OK)
		res = event_copy(&region, chan, seq, e, buf);
	if (res != EVENT_OK)
		return res;
	h = mix(e->head.cookie % NSENDERS << 40 | e->head.in_off);
	if (e->head.in_off == 0 || (e->head.len != h % 400 && e->head.len < 50000))
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
	snprintf(name, size, "f%llu", (unsigned long long)(mix(n * 31 + sender) % FLEETING_NAMES));
}

uint32_t
room_of(unsigned kind)
{
	return (uint32_t)word_get(&book->room[kind]) - 1;
}

uint64_t
done_of_kind(unsigned sender, unsigned kind)
{
	uint64_t done = word_get(&book->done[sender]);

	return kind == 0 ? done / KINDS : done / KINDS + (done % KINDS >= kind);
}

static void
read_steady(struct proc *p, unsigned c)
{
	uint64_t seq = word_get(&book->cursor[p->index][c]) + 1, n, was;
	struct event e;
	enum event_result res;

	for (;; seq++) {
		while ((res = read_checked(room_of(c), seq, &e, p->data)) == EVENT_NONE)
			if (seq > channel_tail(&region, room_of(c)))
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
		if (room_of(c) == chan)
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
			tell(&book->moved_on);
			p->room = UINT32_MAX;
			return;
		}
		tell(&book->joins);
	}
	while (read_checked(p->room, p->room_seq + 1, &e, p->data) != EVENT_NONE)
		p->room_seq++;
	if (channel_is_closed(&region, p->room)) {
		tell(&book->moved_on);
		p->room = UINT32_MAX;
	} else if (rnd(p, 4) == 0) {
		channel_leave(&p->w, p->room);
		p->room = UINT32_MAX;
	}
}

static bool
has_room(unsigned c)
{
	uint64_t tail = channel_tail(&region, room_of(c));
	unsigned k;

	for (k = 0; k < PROCS; k++)
		if (tail - word_get(&book->cursor[k][c]) > WINDOW)
			return false;
	return true;
}

/* Into a steady or a fleeting channel. False: not now. */
static bool
publish_plain(struct proc *p, unsigned sender, uint64_t n)
{
	struct channel_rule_values v = { .history = RING };
	struct event_head h = { .cookie = sender, .in_off = n };
	unsigned kind = n % KINDS;
	uint32_t chan;
	uint64_t seq;
	char name[16];

	if (kind == FLEETING ? n / KINDS >= AUDIT_MAX : !has_room(kind))
		return false;
	h.len = make_data(p->data, sender, n);
	for (;;) {
		if (kind < STEADY)
			chan = room_of(kind);
		else {
			fleeting_name(name, sizeof name, sender, n);
			if (channel_get(&p->w, name, strlen(name), &v, &chan) != 0) {
				tell(&book->full);
				return false;
			}
			/* the master reads it all when it is retired */
			if (channel_tail(&region, chan) > FLEETING_FULL)
				return false;
		}
		if (event_publish(&p->w, chan, &h, p->data, &seq) == 0)
			return true;
		if (errno != ESTALE || kind < STEADY)
			violation("publish failed", sender, n, (uint64_t)errno);
		tell(&book->stale);
	}
}

/* Processes the sender's next message. False: not now. */
static bool
publish_next(struct proc *p, unsigned sender)
{
	uint64_t n = word_get(&book->done[sender]) + 1;
	bool done;

	switch (n % KINDS) {
	case KEYED:
		done = keyed_publish(p, sender, n);
		break;
	case QUIET:
		done = quiet_publish(p, sender, n);
		break;
	case HOT:
		done = hot_publish(p, sender, n);
		break;
	default:
		done = publish_plain(p, sender, n);
		break;
	}
	if (!done || (rnd(p, 32) == 0 && dies_here(p)))
		return false;
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
				if (channel_tail(&region, room_of(c)) !=
				    word_get(&book->cursor[p->index][c]) && poll(&fd, 1, 500) == 0)
					violation("not woken", p->index, c, 0);
		tell(&book->slept);
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
	struct doubt d = { 0 };
	unsigned c, sender;

	writer_open(&p->w, &region, p->index);
	atomic_store(&p->w.slot->quiet, (word_get(&p->w.slot->quiet) | 1) + 1);
	event_recover(&p->w, &d);
	sender = (unsigned)(d.head.cookie % NSENDERS);
	if (d.on && sender / SENDERS != p->index)
		violation("a doubt of somebody else", p->index, d.head.cookie, d.head.in_off);
	else if (d.on && d.head.in_off % KINDS != KEYED &&
	    d.head.in_off == word_get(&book->done[sender]) + 1) {
		word_set(&book->done[sender], d.head.in_off);
		tell(&book->taken);
	}
	channel_repair(&p->w);
	keyed_inherit(p, &d);
	for (c = 0; c < region.caps.channels; c++)
		channel_leave(&p->w, c);
	p->hot_seq = channel_tail(&region, room_of(HOT));
	for (c = 0; c < STEADY; c++) {
		p->fresh[c] = true;
		if (!channel_join(&p->w, room_of(c), &tail))
			violation("a steady channel is closed", c, tail, 0);
		dirty_mark_self(&p->w, room_of(c));
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
	while (word_get(&book->stop) == 0 && !p->dead) {
		dirty_take(&p->w, on_dirty, p);
		dirty_take_hints(&p->w);
		if (p->index >= PUBLISHERS) {
			read_fleeting(p);
			if (rnd(p, 32) == 0)
				hot_read(p);
			if (rnd(p, 8) == 0)
				quiet_read(p->data);
			doze(p, WAIT_MS);
			if (dies_here(p))
				break;
			continue;
		}
		for (i = did = 0; i < 32 && !p->dead; i++)
			did += publish_next(p, p->index * SENDERS + (unsigned)rnd(p, SENDERS));
		if (p->dead || (did == 0 && dies_here(p)))
			break;
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
		for (i = 0; i < KINDS && room_of(i) != chan; i++)
			;
		if (i < KINDS || nretired == 256)
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
	if (used != ROOMS)
		violation("records that nobody has", used, ROOMS, 0);
}

static void
check_end(void)
{
	uint64_t k, want[STEADY] = { 0 };
	unsigned s, c;

	for (s = 0; s < NSENDERS; s++) {
		for (c = 0; c < STEADY; c++)
			want[c] += done_of_kind(s, c);
		for (k = 0; k < AUDIT_MAX && k < done_of_kind(s, FLEETING); k++)
			if (audit[(size_t)s * AUDIT_MAX + k] != 1)
				violation("fleeting message not found once", s,
				    k * KINDS + FLEETING, audit[(size_t)s * AUDIT_MAX + k]);
	}
	for (c = 0; c < STEADY; c++)
		if (channel_tail(&region, room_of(c)) != want[c])
			violation("seqs and messages differ", c,
			    channel_tail(&region, room_of(c)), want[c]);
}

/* ---- start, deaths, end ---- */

static struct proc proc[PROCS];

static void
wake_one(unsigned k)
{
	uint64_t one = 1;

	(void)!write(wake_fd[k], &one, sizeof one);
}

#ifdef THREADS
static pthread_t thread[PROCS];
static word32 told_to_go[PROCS];

bool
dies_here(struct proc *p)
{
	p->dead = word32_get(&told_to_go[p->index]) != 0;
	return p->dead;
}

static void
start(unsigned k)
{
	static uint64_t starts;

	word32_set(&told_to_go[k], 0);
	proc[k].index = k;
	proc[k].dead = false;
	proc[k].room = UINT32_MAX;
	proc[k].rnd = mix(first_seed + starts++);
	if (pthread_create(&thread[k], NULL, run, &proc[k]) != 0)
		abort();
}

static void
hurt(uint64_t *seed)
{
	uint64_t h = mix((*seed)++);
	unsigned k = (unsigned)(h % PROCS);

	usleep((useconds_t)((h >> 8) % 2000));
	word32_set(&told_to_go[k], 1);
	/* of itself it looks only where it publishes, and may be waiting */
	wake_one(k);
	pthread_join(thread[k], NULL);
	start(k);
	book->kills++;
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

bool
dies_here(struct proc *p)
{
	sched_yield();
	return false;
}

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
	proc[k].rnd = mix(first_seed + starts);
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
		/* the rings keep some 700K alive: room also if one writer wrote it all */
		.arena = 2 << 20, .frame_arena = 1 << 16, .idempotency = KEYS,
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
		book->room[c] = chan + 1;
	}
	kinds_open(&master);
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

uint64_t
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
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)getpid();
	uint64_t messages = 0;
	unsigned k;

	first_seed = seed;
	fprintf(stderr, "stress_shm: seed %llu\n", (unsigned long long)seed);
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
			kinds_audit();
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
		wake_one(k);
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
	kinds_check();
	messages = sum(book->done, NSENDERS);
	kinds_print();
	printf("stress_shm: seed %llu, %llu messages, %llu kills, %llu stops, %llu doubts taken, "
	    "%llu channels made, %llu recycled, %llu fleeting, %llu stale, %llu joins (%llu "
	    "moved on), %llu table full, %llu moved, %llu dropped, %llu sleeps: %llu violations\n",
	    (unsigned long long)first_seed, (unsigned long long)messages,
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
