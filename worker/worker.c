/*
 * The loop. Clients, listeners and the wake-up lie in one epoll set, which is the slot's and
 * outlives the worker with its registrations: an heir has nothing to open. What an event belongs to
 * is said by its data, a source and an index. A turn: events, then what was left in blocks, then
 * output; between two turns that have nothing to do, sleep.
 */
#define _GNU_SOURCE
#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ipc/heritage.h"
#include "ipc/keeper.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "shm/dirty.h"
#include "worker/arrive.h"
#include "worker/level.h"
#include "worker/listen.h"
#include "worker/move.h"
#include "worker/priv.h"
#include "worker/wsframe.h"

static struct worker the;		/* one per process */

/* ---- faults ---- */

static void
on_fault(int sig)
{
	/* relaxed store to a word of the slot: async-signal-safe */
	word32_set(&the.slot->signal, (uint32_t)sig);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void
catch_faults(void)
{
	static const int fault[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	static char stack[32 * 1024];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack };
	struct sigaction sa;
	size_t i;

	sigaltstack(&ss, NULL);
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_fault;
	sa.sa_flags = SA_ONSTACK | SA_RESETHAND | SA_NODEFER;
	for (i = 0; i < sizeof fault / sizeof fault[0]; i++)
		sigaction(fault[i], &sa, NULL);
}

/* ---- events ---- */

static void
set_clock(struct worker *w)
{
	w->now = clock_ms();
	w->now_real = clock_real_ms();
}

static void
on_client(struct worker *w, uint32_t ci)
{
	struct conn *c;

	if (ci >= w->conns_max || conn_life(c = conn_at(w, ci)) != CONN_OPEN)
		return;
	if (conn_has(c, CONN_BLOCKED)) {
		output_writable(w, ci);
		/* it may be blocked again by the end of the turn: it is heard now or never */
		if (conn_life(c) == CONN_OPEN && !conn_has(c, CONN_BLOCKED))
			input_ready(w, ci);
	} else if (w->priv[ci].want == WANT_NONE)
		conn_close(w, ci, STAT_DISCONNECT_CLIENT);
	else
		input_ready(w, ci);
}

static void
watch(struct worker *w, int op, int fd, enum source source, uint32_t index)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = source_data(source, index) };

	/* an heir finds it there */
	if (epoll_ctl(w->slot->client_epoll, op, fd, &e) != 0 && errno != EEXIST &&
	    errno != ENOENT && errno != EBADF)
		fatal("epoll_ctl: %s", strerror(errno));
}

/* If nothing more can be taken, the queues wait for the next tick. */
static void
on_listener(struct worker *w, uint32_t listener)
{
	if (listen_fd(w, listener) < 0 || w->accept_paused)
		return;
	conn_accept(w, listener);
	if (w->accept_paused)
		listen_pause(w);
}

static void
on_wake(struct worker *w, uint32_t index)
{
	wake_drain(&w->pub);
}

/* The keeper: if it died, another one is started, which shares this table as well. */
static void
look_after_keeper(struct worker *w)
{
	if (!w->h->keeper)
		return;
	if (keeper_is_gone(w->h)) {
		watch(w, EPOLL_CTL_DEL, w->slot->keeper_pidfd, SOURCE_KEEPER, 0);
		if (!keeper_replace(w->h))
			return;			/* at the next tick */
		log_warning("keeper died, another one was started slot=%u pid=%u", w->h->slot,
		    word32_get(&w->slot->keeper));
	}
	watch(w, EPOLL_CTL_ADD, w->slot->keeper_pidfd, SOURCE_KEEPER, 0);
}

static void
on_keeper(struct worker *w, uint32_t index)
{
	look_after_keeper(w);
}

static void
on_inbox(struct worker *w, uint32_t index)
{
	arrive_inbox(w);
}

static void (*const handlers[SOURCE_COUNT])(struct worker *w, uint32_t index) = {
	[SOURCE_CLIENT] = on_client,
	[SOURCE_LISTENER] = on_listener,
	[SOURCE_WAKE] = on_wake,
	[SOURCE_KEEPER] = on_keeper,
	[SOURCE_INBOX] = on_inbox,
};

static void
wait_events(struct worker *w, bool may_sleep)
{
	struct epoll_event ev[CLIENT_EVENTS];
	int ms = may_sleep && w->now < w->next_tick ? (int)(w->next_tick - w->now) : 0;
	int n = epoll_wait(w->slot->client_epoll, ev, CLIENT_EVENTS, ms), i;

	set_clock(w);
	for (i = 0; i < n; i++) {
		uint64_t source = ev[i].data.u64 >> 32;

		if (source < SOURCE_COUNT)
			handlers[source](w, (uint32_t)ev[i].data.u64);
	}
}

/* The keeper stores it, but has no voice while the worker lives. */
static void
look_for_master(struct worker *w)
{
	bool orphaned = word_get(&w->slot->orphaned) != 0;

	if (orphaned == w->orphaned)
		return;
	w->orphaned = orphaned;
	if (orphaned)
		log_warning("the master is gone, serving goes on without it for ms=%u",
		    w->set.orphan_timeout);
	else
		log_notice("a new master is there");
}

/* True: it was time. */
static bool
tick(struct worker *w)
{
	if (w->now < w->next_tick)
		return false;
	w->next_tick = w->now + TICK_MS;
	listen_resume(w);
	if (w->slot->keeper_pidfd < 0)
		look_after_keeper(w);
	look_for_master(w);
	subs_retry_moves(w);
	timeouts_tick(w);
	move_look(w);
	if (w->draining)
		drain_tick(w);
	return true;
}

/* ---- orders ---- */

void
worker_leave(struct worker *w, const char *why)
{
	log_debug("worker ends: %s", why);
	wake_flush(&w->pub);
	word32_set(&w->slot->left, 1);
	_exit(0);
}

/* Ends, so that an heir follows: if the keeper died meanwhile, there must be another one first. */
static void
renew(struct worker *w, const char *why)
{
	look_after_keeper(w);
	if (!w->h->keeper || w->slot->keeper_pidfd >= 0)
		worker_leave(w, why);
}

static void
obey(struct worker *w)
{
	switch ((enum slot_order)word32_get(&w->slot->order)) {
	case ORDER_STOP:
		worker_leave(w, "stop");
	case ORDER_RENEW:
	case ORDER_EXEC:
		renew(w, "renewal");
		break;
	case ORDER_DRAIN:
		if (!w->draining && w->orphaned)
			log_warning("no master came, draining");
		w->draining = true;
		break;
	case ORDER_RUN:
	case ORDER_CLOSE:		/* see level.c */
	case ORDER_COUNT:
		break;
	}
	/* behind one who drains or closes, and ends, nobody follows */
	if (w->max_requests != 0 && w->requests >= w->max_requests && !w->draining &&
	    word32_get(&w->slot->order) != ORDER_CLOSE)
		renew(w, "max_requests");
}

/* ---- start ---- */

static void *
zeroed(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		fatal("out of memory");
	return p;
}

static void
open_region(struct worker *w, struct heritage *h)
{
	w->h = h;
	w->r = &h->region;
	writer_open(&w->pub, w->r, h->slot);
	w->slot = w->pub.slot;
	w->stats = &w->slot->stats;
	region_settings_get(w->r, &w->set);
	w->conns = region_conns(w->r, h->slot);
	w->conns_max = w->r->caps.conns;
	w->conns_limit = w->conns_max > 64 ? w->conns_max - 64 : w->conns_max;
	if (w->set.max_connections != 0 && w->set.max_connections < w->conns_limit)
		w->conns_limit = w->set.max_connections;
	w->scratch = region_scratch(w->r, h->slot);
	w->frames = region_frames(w->r, h->slot);
	w->frames_size = w->r->caps.frame_arena;
	w->priv = zeroed(w->conns_max, sizeof *w->priv);
	w->views = zeroed(w->r->caps.channels, sizeof *w->views);
}

static void
open_events(struct worker *w)
{
	watch(w, EPOLL_CTL_ADD, w->slot->event_fd, SOURCE_WAKE, 0);
	watch(w, EPOLL_CTL_ADD, w->slot->inbox, SOURCE_INBOX, 0);
	listen_look(w);
	look_after_keeper(w);
	w->next_tick = w->now + TICK_MS;
}

/* A keeper that a worker started has that worker's memory, and so has its heir. */
static void
forget_predecessor(struct worker *w)
{
	uint32_t i;

	if (w->r == NULL)
		return;
	for (i = 0; i < w->conns_max; i++)
		free(w->priv[i].more);
	subs_free_views(w);
	pools_free(w);
	free(w->priv);
	free(w->views);
	memset(w, 0, sizeof *w);
}

static void
set_recycling(struct worker *w)
{
	uint64_t jitter = w->set.max_requests_jitter;

	if (w->set.max_requests == 0)
		return;
	srandom((unsigned)clock_us());
	w->max_requests = w->set.max_requests +
	    (jitter == 0 ? 0 : (uint64_t)random() % (jitter + 1));
}

static void
announce(struct worker *w)
{
	uint64_t died = word_get(&w->slot->died_us), now = clock_us();

	word_set(&w->slot->recover_us, now - w->started_us);
	if (died != 0 && word32_get(&w->slot->gen) > 0) {
		word_set(&w->slot->pause_us, now - died);
		word_set(&w->slot->died_us, 0);
		log_info("heir serves connections=%llu pause_us=%llu",
		    (unsigned long long)word_get(&w->slot->conns_open),
		    (unsigned long long)(now - died));
	} else
		log_info("worker serves");
	word_set(&w->slot->snapshot, w->set.number);
}

/* ---- the loop ---- */

static void
resume(struct worker *w)
{
	struct list32 t = w->resume;
	uint32_t i;

	w->resume = w->resume_now;
	w->resume.n = 0;
	w->resume_now = t;
	for (i = 0; i < t.n; i++) {
		uint32_t ci = t.item[i];

		w->priv[ci].resume = false;
		if (conn_life(conn_at(w, ci)) == CONN_OPEN)
			input_resume(w, ci);
	}
}

static void
end_of_turn(struct worker *w)
{
	output_run(w);
	subs_sweep_empty(w);
	wake_flush(&w->pub);
	stat_add(w->stats, STAT_TURNS, 1);
}

static void
turn(struct worker *w)
{
	bool busy = w->more_output || w->touched.n > 0 || w->resume.n > 0, ticks;
	uint32_t hints;

	frames_reset(w);		/* nothing of the last turn is left in it */
	w->turn++;
	w->more_output = false;
	word_set(&w->slot->quiet, w->turn);
	set_clock(w);
	word_set(&w->slot->beat, w->now);
	wait_events(w, !busy && sleep_begin(&w->pub));
	sleep_end(&w->pub);
	ticks = tick(w);
	hints = dirty_take_hints(&w->pub);
	if ((hints & HINT_ORDER) != 0)
		listen_look(w);
	if ((hints & HINT_MOVES) != 0)
		ticks = move_look(w) || ticks;
	resume(w);
	end_of_turn(w);
	if (ticks)
		level(w);		/* behind the output: most are at rest */
	obey(w);
}

void
worker_prepare(void)
{
	char accept[WS_ACCEPT_SIZE];

	/* libcrypto's first digest costs half a millisecond */
	ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", 24, accept);
}

void
worker_run(struct heritage *h)
{
	struct worker *w = &the;

	forget_predecessor(w);
	w->started_us = clock_us();
	open_region(w, h);
	log_open(&w->pub, (enum settings_log_level)w->set.log_level);
	word32_set(&w->slot->pid, (uint32_t)getpid());
	process_title("worker %u", h->slot);
	catch_faults();
	set_clock(w);
	word_set(&w->slot->beat, w->now);
	word_set(&w->slot->started, w->now_real);
	recover_sweep(w);
	word32_set(&w->slot->settled, word32_get(&w->slot->gen));
	open_events(w);
	w->turn = word_get(&w->slot->quiet) + 1;
	set_recycling(w);
	recover_records(w);
	end_of_turn(w);
	wake_all(&w->pub);
	announce(w);
	for (;;)
		turn(w);
}
