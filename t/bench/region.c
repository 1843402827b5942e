/*
 * The region alone, without sockets: what a publish costs its writer while three others publish,
 * how long a sleeper takes to wake up, and how often it is woken.
 */
#define _GNU_SOURCE
#include "t/bench/bench.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/wake.h"
#include "shm/channel.h"
#include "shm/dirty.h"
#include "shm/event.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/stats.h"
#include "shm/writer.h"
#include "t/bench/load.h"

enum { WRITERS = 4, EVENTS = 1000000, BARE_FACTOR = 8, WAKES = 2000 };

static const struct region_caps caps = {
	.workers = WRITERS + 1, .channels = 64, .ring_cells = 1024, .conns = 16, .blocks = 16,
	.arena = 64 << 20, .frame_arena = 1 << 20,
};
static const struct channel_rule_values rule = { .history = 1000 };

static void
open_region(struct region *r)
{
	unsigned i;

	if (region_create(r, &caps) != 0)
		err(1, "region");
	for (i = 0; i < caps.workers; i++)
		region_slot(r, i)->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static uint32_t
channel(struct writer *w, unsigned n)
{
	char name[32];
	uint32_t chan;

	snprintf(name, sizeof name, "bench:%u", n);
	if (channel_get(w, name, strlen(name), &rule, &chan) != 0)
		errx(1, "no channel");
	return chan;
}

static void
publish(struct writer *w, uint32_t chan)
{
	static const unsigned char data[LOAD_DATA];
	struct event_head h = { .len = sizeof data };
	uint64_t seq;

	if (event_publish(w, chan, &h, data, &seq) != 0)
		err(1, "publish");
}

/*
 * What the floor's writers share: a counter and a ring. Theirs alone is what they copy the event
 * to. No reader could trust it, and a death in it would leave a hole.
 */
struct bare {
	_Atomic uint64_t tail[WRITERS * 8];	/* a line for each that is used */
	_Atomic uint64_t ring[WRITERS][1024];
	unsigned char arena[WRITERS][64 << 20];
};

struct job {
	const struct region *r;		/* NULL: bare */
	struct bare *bare;
	unsigned index;
	bool same_channel;
	struct writer w;
	uint32_t chan;
	uint64_t at;			/* in the bare arena */
};

static void
publish_bare(struct job *j)
{
	static const unsigned char event[LOAD_DATA + 64];
	unsigned k = j->same_channel ? 0 : j->index;
	uint64_t q;

	memcpy(j->bare->arena[j->index] + j->at, event, sizeof event);
	q = atomic_fetch_add(&j->bare->tail[k * 8], 1);
	atomic_store_explicit(&j->bare->ring[k][q & 1023], j->at, memory_order_release);
	j->at = (j->at + 192) & ((64 << 20) - 256);
}

static void
publish_once(struct job *j)
{
	if (j->r == NULL)
		publish_bare(j);
	else
		publish(&j->w, j->chan);
}

/* ns of CPU per publish, told through the pipe. */
static void
write_events(struct job *j, int go, int out)
{
	/* as long as the others' start takes, or they would not meet */
	unsigned events = j->r != NULL ? EVENTS : BARE_FACTOR * EVENTS, i;
	uint64_t cpu;
	double ns;
	char c;

	if (j->r != NULL) {
		writer_open(&j->w, j->r, j->index);
		j->chan = channel(&j->w, j->same_channel ? 0 : j->index);
	}
	for (i = 0; i < events; i++)		/* the pages are touched */
		publish_once(j);
	if (read(go, &c, 1) != 1)
		_exit(1);
	cpu = clock_cpu_self();
	for (i = 0; i < events; i++)
		publish_once(j);
	ns = (double)(clock_cpu_self() - cpu) / events;
	_exit(write(out, &ns, sizeof ns) != sizeof ns);
}

/* On all processors: contention is what is measured here. */
static void
unpin(void)
{
	cpu_set_t set;
	int i;

	CPU_ZERO(&set);
	for (i = 0; i < CPU_SETSIZE; i++)
		CPU_SET(i, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static void
run_writers(struct job *j, unsigned writers, struct samples *s)
{
	int go[2], out[2];
	double ns;

	if (pipe(go) != 0 || pipe(out) != 0)
		err(1, "pipe");
	for (j->index = 0; j->index < writers; j->index++)
		if (fork() == 0) {
			unpin();
			write_events(j, go[0], out[1]);
		}
	usleep(100000);
	if (write(go[1], "gggg", writers) != (ssize_t)writers)
		err(1, "write");
	for (j->index = 0; j->index < writers; j->index++) {
		if (read(out[0], &ns, sizeof ns) != sizeof ns)
			errx(1, "a writer failed");
		samples_add(s, ns);
	}
	while (wait(NULL) > 0)
		;
	close(go[0]);
	close(go[1]);
	close(out[0]);
	close(out[1]);
}

static void
run_publish(unsigned writers, bool same_channel, struct samples *s, struct samples *floor)
{
	struct job j = { .same_channel = same_channel };
	struct region r;
	unsigned i;

	open_region(&r);
	j.r = &r;
	run_writers(&j, writers, s);
	for (i = 0; i < caps.workers; i++)
		close(region_slot(&r, i)->event_fd);
	region_detach(&r);
	close(r.fd);
	j.bare = mmap(NULL, sizeof *j.bare, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	    0);
	if (j.bare == MAP_FAILED)
		err(1, "mmap");
	j.r = NULL;
	run_writers(&j, writers, floor);
	munmap(j.bare, sizeof *j.bare);
}

static void
publish_rows(void)
{
	static const struct { const char *what; unsigned writers; bool same; const char *goal; }
	    row[] = {
		{ "publish of 100 bytes into the region, 1 writer", 1, true, "" },
		{ "the same, 4 writers, a channel each", 4, false, "plenum ≤ 100" },
		{ "the same, 4 writers, one channel", 4, true, "" },
	};
	static struct samples s, floor, ratio;
	unsigned i, k, rounds = bench_options.rounds < 9 ? bench_options.rounds : 9;

	for (i = 0; i < sizeof row / sizeof row[0]; i++) {
		s.n = floor.n = ratio.n = 0;
		for (k = 0; k < rounds; k++)
			run_publish(row[i].writers, row[i].same, &s, &floor);
		samples_add(&ratio, samples_at(&s, 0.5) / samples_at(&floor, 0.5));
		bench_row(row[i].what, "ns", &s, &floor, &ratio, row[i].goal);
	}
}

/* A reader as a worker is one: sleeps by the handshake, takes its marks, says when it was there. */
static void
read_events(const struct region *r, uint32_t chan, uint64_t events, int out)
{
	struct writer w;
	uint64_t seq, now;

	writer_open(&w, r, WRITERS);
	if (!channel_join(&w, chan, &seq))
		_exit(1);
	now = 0;
	if (write(out, &now, sizeof now) != sizeof now)
		_exit(1);
	while (seq < events) {
		struct pollfd p = { .fd = w.slot->event_fd, .events = POLLIN };

		if (sleep_begin(&w) && channel_tail(r, chan) == seq)
			poll(&p, 1, 1000);
		sleep_end(&w);
		wake_drain(&w);
		atomic_exchange(&w.slot->summary[0], 0);
		atomic_exchange(&w.dirty[0], 0);
		now = clock_wall();
		if (channel_tail(r, chan) == seq)
			continue;
		seq = channel_tail(r, chan);
		if (write(out, &now, sizeof now) != sizeof now)
			_exit(1);
	}
	_exit(0);
}

/* µs from the publish to the reader's next instruction; each finds it asleep. */
static void
wake_row(void)
{
	static struct samples s;
	struct region r;
	struct writer w;
	uint64_t then, now, woken;
	uint32_t chan;
	unsigned i, k;
	int out[2];

	open_region(&r);
	writer_open(&w, &r, 0);
	chan = channel(&w, 0);
	if (pipe(out) != 0)
		err(1, "pipe");
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		unpin();
		read_events(&r, chan, (uint64_t)WAKES * 10, out[1]);
	}
	if (read(out[0], &now, sizeof now) != sizeof now)
		errx(1, "no reader");
	for (i = 0; i < WAKES; i++) {
		usleep(200);
		then = clock_wall();
		for (k = 0; k < 10; k++)	/* a turn of ten events wakes once */
			publish(&w, chan);
		wake_flush(&w);
		if (read(out[0], &now, sizeof now) != sizeof now)
			errx(1, "no reader");
		samples_add(&s, now < then ? 0 : (double)(now - then) / 1000);
	}
	woken = stat_get(&w.slot->stats, STAT_WAKEUPS);
	wait(NULL);
	bench_row("publish of ten events to the sleeper's next instruction", "µs", &s, NULL, NULL,
	    "plenum ≤ 50");
	bench_note("| wake-ups a turn of ten events | %.3f | – | – | ≤ 1 |",
	    (double)woken / WAKES);
}

void
bench_region(void)
{
	if (bench_wants("region-publish"))
		publish_rows();
	if (bench_wants("region-wake"))
		wake_row();
}
