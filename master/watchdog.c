/*
 * A worker stores the time in its slot at each turn of its loop. One that has not done so for
 * stuck_timeout gets SIGABRT, which leaves a core to look at, and SIGKILL half a second later,
 * because one that was stopped by SIGSTOP does not see the first. Its keeper does the rest.
 *
 * The time is taken by both from the same clock. If the master itself was not scheduled, nothing
 * can be said about anybody else: everybody's time begins anew. An heir that has not yet served has
 * three times as long, as it looks at every connection first.
 *
 * One that had a fault is not stuck: it is about to end, but its core takes long. It is cut short,
 * as clients wait, and the death remains the fault that it was.
 *
 * A slot whose worker is gone while its keeper does not start another has a keeper that was
 * stopped: it is told to continue, and ended if that does not help.
 */
#define _GNU_SOURCE
#include "master/watchdog.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/process.h"
#include "master/master_priv.h"
#include "shm/slot_layout.h"

enum {
	TIMEOUT_LEAST_MS = 300,		/* workers beat ten times a second */
	HEIR_LEAST_MS = 3000,
	ABORT_MS = 500,
	KEEPER_MS = 5000,
	LOGGER_MS = 5000,
};

void
watchdog_init(struct master *m)
{
	m->watched_at = clock_ms();
}

static void
signal_worker(const struct slot_state *s, int sig)
{
	syscall(SYS_pidfd_send_signal, s->worker, sig, NULL, 0);
}

/* One that was told to end. */
static void
follow(struct slot_state *s, uint64_t now)
{
	if (child_pidfd_gone(s->worker)) {
		s->ending = false;
	} else if (now >= s->kill_at) {
		signal_worker(s, SIGKILL);
		s->kill_at = now + ABORT_MS;
	}
}

static void
end_worker(struct master *m, unsigned i, uint64_t now, uint64_t silent)
{
	struct slot *slot = region_slot(&m->h.region, i);
	uint32_t fault = word32_get(&slot->signal);

	m->slot[i].ending = true;
	m->slot[i].kill_at = now + ABORT_MS;
	if (fault != 0) {
		log_warning("worker had a fault and does not come to its end, its core is cut "
		    "short slot=%u pid=%u signal=%u", i, word32_get(&slot->pid), fault);
		signal_worker(&m->slot[i], SIGKILL);
		return;
	}
	log_error("worker is stuck and is ended slot=%u pid=%u silent_ms=%llu", i,
	    word32_get(&slot->pid), (unsigned long long)silent);
	word32_set(&slot->stuck, 1);
	signal_worker(&m->slot[i], SIGABRT);
}

/* No worker: the keeper starts one, unless it is slow, backs off, or was stopped. */
static void
watch_keeper(struct master *m, unsigned i, uint64_t now)
{
	struct slot_state *s = &m->slot[i];

	if (!s->keeper.running || word_get(&region_slot(&m->h.region, i)->backoff_until) != 0) {
		s->missing_at = 0;
	} else if (s->missing_at == 0) {
		s->missing_at = now;
		child_signal(&s->keeper, SIGCONT);
	} else if (now - s->missing_at > KEEPER_MS) {
		log_error("keeper starts no worker and is ended slot=%u pid=%d", i,
		    (int)s->keeper.pid);
		s->missing_at = 0;
		child_signal(&s->keeper, SIGKILL);
	}
}

static void
watch_slot(struct master *m, unsigned i, uint64_t now, uint64_t timeout)
{
	struct slot *slot = region_slot(&m->h.region, i);
	struct slot_state *s = &m->slot[i];
	uint64_t beat = word_get(&slot->beat), since;
	uint32_t pid = word32_get(&slot->pid);

	if (s->ending) {
		follow(s, now);
		return;
	}
	if (pid != s->seen_pid) {
		s->seen_pid = pid;
		s->seen_at = now;
	}
	since = beat > s->seen_at ? beat : s->seen_at;
	if (word_get(&slot->died_us) != 0)	/* an heir, until it serves */
		timeout = timeout * 3 > HEIR_LEAST_MS ? timeout * 3 : HEIR_LEAST_MS;
	if (now <= since || now - since <= timeout) {
		s->missing_at = 0;
		return;
	}
	if (child_pidfd_gone(s->worker))
		watch_keeper(m, i, now);
	else
		end_worker(m, i, now, now - since);
}

static void
watch_logger(struct master *m, uint64_t now)
{
	uint64_t beat = word_get(&region_slot(&m->h.region, HELPER_LOGGER)->beat);

	if (!m->logger.running || now - m->logger.start_at <= LOGGER_MS ||
	    now <= beat || now - beat <= LOGGER_MS)
		return;
	log_error("logger is stuck and is ended pid=%d", (int)m->logger.pid);
	m->logger.start_at = now;
	child_signal(&m->logger, SIGKILL);
}

/* Nothing is known of the time that has passed: whoever is silent has just begun to be. */
static void
excuse_all(struct master *m, uint64_t now)
{
	unsigned i;

	for (i = 0; i < m->h.region.caps.workers; i++) {
		m->slot[i].seen_at = now;
		m->slot[i].missing_at = 0;
		m->slot[i].kill_at = now + ABORT_MS;
	}
	m->logger.start_at = now;
}

void
watchdog_tick(struct master *m)
{
	uint64_t now = clock_ms(), timeout = m->settings.stuck_timeout;
	uint64_t gap = now - m->watched_at;
	unsigned i;

	if (timeout < TIMEOUT_LEAST_MS)
		timeout = TIMEOUT_LEAST_MS;
	m->watched_at = now;
	if (gap > timeout / 2) {
		excuse_all(m, now);
		return;
	}
	for (i = 0; i < m->h.region.caps.workers; i++)
		watch_slot(m, i, now, timeout);
	watch_logger(m, now);
}
