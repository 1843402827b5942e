/*
 * The loop. Everything is done in turns: a signal or the timer causes one, and a turn brings every
 * part of the master up to date, whatever has happened. Orders that are given while plenumd stops
 * are given again in each turn, because a keeper may just have overwritten one of them.
 */
#define _GNU_SOURCE
#include "master/master.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "master/control.h"
#include "master/daemon.h"
#include "master/listeners.h"
#include "master/logging.h"
#include "master/master_priv.h"
#include "master/notify.h"
#include "master/options.h"
#include "master/pidfile.h"
#include "master/reload.h"
#include "master/retire.h"
#include "master/serve.h"
#include "master/slots.h"
#include "master/start.h"
#include "master/upgrade.h"
#include "master/watchdog.h"
#include "shm/idempotency.h"
#include "shm/slot_layout.h"

enum {
	TURN_MS = 100,
	TURN_FAST_MS = 10,	/* while something is waited for */
	START_MS = 30000,
	STOP_MS = 2000,
	LAST_MS = 3000,
};

static const char *const phase_names[] = {
	"start", "serve", "drain", "stop", "last", "over"
};
_Static_assert(sizeof phase_names / sizeof phase_names[0] == PHASE_COUNT, "a name per phase");

static void turn(struct master *m);

/* --- phases --- */

static void
say_goodbye(struct master *m)
{
	notify_stopping();
	reload_abandon(m);
	upgrade_abandon(m);
	word32_set(&m->h.region.head->draining, 1);
	word32_set(&m->h.region.head->stopping, 1);
}

void
master_enter(struct master *m, enum phase phase)
{
	if (phase <= m->phase)
		return;
	log_debug("phase %s", phase_names[phase]);
	if (m->phase <= PHASE_SERVE && phase > PHASE_SERVE)
		say_goodbye(m);
	m->phase = phase;
	m->phase_at = clock_ms();
	switch (phase) {
	case PHASE_DRAIN:
		log_notice("draining, then stopping timeout_ms=%u", m->settings.graceful_timeout);
		break;
	case PHASE_STOP:
		log_notice("stopping");
		break;
	case PHASE_LAST:
		log_notice("stopped");
		logging_stop(m, false);
		break;
	case PHASE_OVER:
		event_base_loopbreak(m->base);
		break;
	default:
		break;
	}
}

static void
serve(struct master *m)
{
	char err[CONF_ERROR_MAX];

	if (pidfile_store(m->pid_fd) != 0)
		log_error("cannot write the pid file: %s", strerror(errno));
	master_enter(m, PHASE_SERVE);
	log_notice("ready workers=%u pid=%d", serve_count(m), (int)getpid());
	notify_ready();
	daemon_ready();
	if (m->adopted) {
		upgrade_catch_up(m);
		reload_resume(m);
	}
	if (m->reload.again) {
		m->reload.again = false;
		reload_begin(m, err, sizeof err);
	}
}

static void
fail_start(struct master *m, const char *why)
{
	log_error("start failed: %s", why);
	m->status = 1;
	daemon_failed(why);
	master_enter(m, PHASE_STOP);
}

/* A keeper that ends by itself would do so again; its reason is in the log or on stderr. */
static bool
keeper_failed(const struct master *m)
{
	unsigned i;

	for (i = 0; i < serve_count(m); i++)
		if (m->slot[i].keeper.backoff.count > 0)
			return true;
	return false;
}

static void
go_on(struct master *m, uint64_t waited)
{
	switch (m->phase) {
	case PHASE_START:
		if (slots_all_beat(m))
			serve(m);
		else if (keeper_failed(m))
			fail_start(m, "a keeper ended at once, see the log");
		else if (waited > START_MS)
			fail_start(m, "the workers do not begin to serve, see the log");
		break;
	case PHASE_DRAIN:
		slots_order_all(m, ORDER_DRAIN);
		if (!slots_any_left(m))
			master_enter(m, PHASE_LAST);
		else if (waited > m->settings.graceful_timeout)
			master_enter(m, PHASE_STOP);
		break;
	case PHASE_STOP:
		slots_order_all(m, ORDER_STOP);
		if (waited > STOP_MS)
			slots_kill(m);
		if (!slots_any_left(m))
			master_enter(m, PHASE_LAST);
		break;
	case PHASE_LAST:
		if (waited > LAST_MS)
			logging_stop(m, true);
		if (!m->logger.running)
			master_enter(m, PHASE_OVER);
		break;
	default:
		break;
	}
}

/* --- turns --- */

static void
reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!slots_reaped(m, pid, status) && !logging_reaped(m, pid, status))
			upgrade_reaped(m, pid, status);
}

static void
arm(struct master *m)
{
	bool fast = m->phase != PHASE_SERVE || m->reload.state != RELOAD_NONE ||
	    m->upgrade.state != UPGRADE_NONE;
	struct timeval t = { .tv_usec = (fast ? TURN_FAST_MS : TURN_MS) * 1000 };

	evtimer_add(m->tick, &t);
}

static void
turn(struct master *m)
{
	reap(m);
	slots_tick(m);
	logging_tick(m);
	go_on(m, clock_ms() - m->phase_at);
	if (m->phase == PHASE_SERVE) {
		serve_tick(m);
		reload_tick(m);
		upgrade_tick(m);
		retire_tick(m);
	}
	if (m->phase < PHASE_LAST)
		watchdog_tick(m);
	idempotency_tick(&m->h.region, clock_ms());
	word_set(&m->w.slot->beat, clock_ms());
	wake_flush(&m->w);
	arm(m);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	turn(arg);
}

/* --- signals --- */

static void
on_hup(struct master *m)
{
	char err[CONF_ERROR_MAX];

	if (m->phase == PHASE_START)
		m->reload.again = true;
	else if (m->phase == PHASE_SERVE)
		reload_begin(m, err, sizeof err);
}

static void
on_quit(struct master *m)
{
	master_enter(m, PHASE_DRAIN);
}

static void
on_term(struct master *m)
{
	master_enter(m, PHASE_STOP);
}

static void
on_usr1(struct master *m)
{
	logging_reopen(m);
}

static void
on_usr2(struct master *m)
{
	char err[UPGRADE_TEXT_MAX];

	if (m->phase == PHASE_SERVE)
		upgrade_begin(m, err, sizeof err);
}

static void
on_chld(struct master *m)
{
	(void)m;	/* the turn reaps */
}

static struct on_signal {
	int number;
	void (*fn)(struct master *);
	struct event *event;
} signals[] = {
	{ SIGHUP, on_hup, NULL },
	{ SIGQUIT, on_quit, NULL },
	{ SIGTERM, on_term, NULL },
	{ SIGINT, on_term, NULL },
	{ SIGUSR1, on_usr1, NULL },
	{ SIGUSR2, on_usr2, NULL },
	{ SIGCHLD, on_chld, NULL },
};

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct master *m = arg;
	size_t i;

	for (i = 0; i < sizeof signals / sizeof signals[0]; i++)
		if (signals[i].number == (int)number)
			signals[i].fn(m);
	turn(m);
}

/* --- beginning and end --- */

static int
open_loop(struct master *m, int control)
{
	sigset_t none;
	size_t i;

	m->base = event_base_new();
	if (m->base == NULL)
		return -1;
	for (i = 0; i < sizeof signals / sizeof signals[0]; i++) {
		signals[i].event = evsignal_new(m->base, signals[i].number, on_signal, m);
		if (signals[i].event == NULL || event_add(signals[i].event, NULL) != 0)
			return -1;
	}
	/* the program before may have left all of them to us */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	m->tick = evtimer_new(m->base, on_tick, m);
	m->control = control_new(m, control);
	m->retire = retire_new(m->h.region.caps.channels);
	return m->tick == NULL || m->control == NULL || m->retire == NULL ? -1 : 0;
}

static void
close_loop(struct master *m)
{
	size_t i;

	control_free(&m->control);
	retire_free(&m->retire);
	for (i = 0; i < sizeof signals / sizeof signals[0]; i++)
		if (signals[i].event != NULL)
			event_free(signals[i].event);
	if (m->tick != NULL)
		event_free(m->tick);
	if (m->base != NULL)
		event_base_free(m->base);
	libevent_global_shutdown();
}

static void
say_hello(const struct master *m)
{
	log_notice("plenumd %s %s pid=%d workers=%u connections_per_worker=%u run_dir=%s "
		   "keeper=%s",
	    m->h.version, m->adopted ? "goes on" : "starts", (int)getpid(), serve_count(m),
	    m->capacity.connections,
	    m->run_dir, m->h.keeper ? "yes" : "no");
	if (m->capacity.asked > m->capacity.connections)
		log_warning("max_connections is more than the descriptors allow asked=%u "
		    "allowed=%u", m->capacity.asked, m->capacity.connections);
	listeners_log(&m->h);
}

static int
run(struct master *m, int control)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	process_title("master");
	word32_set(&m->w.slot->pid, (uint32_t)getpid());
	say_hello(m);
	if (open_loop(m, control) != 0) {
		daemon_failed("cannot make the event loop");
		m->status = 1;
	} else {
		watchdog_init(m);
		m->phase_at = clock_ms();
		serve_resize(m);
		turn(m);
		event_base_dispatch(m->base);
	}
	slots_close(m);
	child_close(&m->logger);
	close_loop(m);
	start_undo(m);
	upgrade_start_anew(m);
	conf_source_fini(&m->source);
	return m->status;
}

int
master_run(const struct options *o, const struct heritage *h)
{
	static struct master m;
	int control;

	m.h = *h;
	control = start_prepare(&m, o);
	if (!o->foreground && !o->is_successor)
		daemon_begin();
	return run(&m, control);
}
