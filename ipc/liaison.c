/*
 * Over its line (ipc/line.h) the keeper names its worker and itself to the master, and learns that
 * the master is gone. Then both go on; at the door it answers a new master. Without one for
 * orphan_timeout the slot drains as by QUIT and ends. What is received takes a number in the table,
 * so it waits until the heir has swept it (`settled`), or is done while there is no worker.
 */
#define _GNU_SOURCE
#include "ipc/liaison.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/heritage.h"
#include "ipc/keeper_priv.h"
#include "ipc/line.h"
#include "ipc/process.h"
#include "shm/region.h"
#include "shm/settings.h"
#include "shm/slot_layout.h"

enum {
	AGAIN_MS = 10,			/* what cannot be done now */
	ORPHAN_MS = 100,		/* how often one without a master looks at the time */
	LONE_LEAST_MS = 3000,		/* without a beat, in the keeper's eyes */
	LONE_GAP_MS = 1000,		/* between two looks of one that is scheduled */
	STOP_MS = 2000,			/* that a worker may take to obey */
};

static bool
may_open(struct keeper *k)
{
	return !k->h->keeper || k->slot->worker_pidfd < 0 ||
	    word32_get(&k->slot->settled) == word32_get(&k->slot->gen);
}

static bool
is_told(const struct keeper *k)
{
	return k->told_self && (k->told_worker || k->slot->worker_pidfd < 0);
}

void
liaison_tell(struct keeper *k)
{
	if (k->slot->line < 0)
		return;
	/* its pidfd is there, also of a worker that does not come to sweep; once, as it may be
	 * stopped and ended: it would be taken for another */
	if (!k->told_worker && k->slot->worker_pidfd >= 0)
		k->told_worker = line_tell(k->slot->line, LINE_WORKER,
		    (int32_t)word32_get(&k->slot->pid), k->slot->worker_pidfd);
	if (!k->told_self && may_open(k))
		k->told_self = line_tell_self(k->slot->line);
}

static void
close_line(struct keeper *k)
{
	int fd = k->slot->line;

	k->slot->line = -1;
	if (fd >= 0)
		close(fd);
}

static void
lose_master(struct keeper *k)
{
	close_line(k);
	if (word_get(&k->slot->orphaned) == 0)
		word_set(&k->slot->orphaned, clock_ms());
}

/* Whoever knocks is the master from now on. */
static void
answer_door(struct keeper *k)
{
	int fd = line_answer(k->slot->door, k->h->region.head->owner);

	if (fd < 0)
		return;
	if (!line_tell_parts(fd, &k->h->region)) {
		close(fd);
		return;
	}
	close_line(k);
	k->slot->line = fd;
	word_set(&k->slot->orphaned, 0);
	k->told_worker = k->told_self = false;
	liaison_tell(k);
}

static void
take_image(struct keeper *k, uint32_t number, int fd, bool trial)
{
	int was = k->slot->image_fd;

	k->slot->image_fd = fd;
	word32_set(&k->slot->upgrade_next, number);
	word32_set(&k->slot->upgrade_trial, trial);
	if (was >= 0)
		close(was);
}

void
liaison_read(struct keeper *k)
{
	int fd[LINE_VALUES_MAX], r;
	struct line_message m;
	size_t n, i;

	while (k->slot->line >= 0 && (r = line_take(k->slot->line, &m, fd, &n)) != 0) {
		if (r < 0) {
			lose_master(k);
			return;
		}
		if ((m.kind == LINE_IMAGE || m.kind == LINE_IMAGE_BACK) && n == 1) {
			take_image(k, (uint32_t)m.value[0], fd[0], m.kind == LINE_IMAGE);
			continue;
		}
		for (i = 0; i < n; i++)
			close(fd[i]);
	}
}

/*
 * No master knows the worker: there is none, or it knocks in vain, because the worker has not swept
 * the table. Then the keeper ends one that is stuck, if it was itself scheduled meanwhile.
 */
static void
end_stuck(struct keeper *k, const struct settings *s, uint64_t now)
{
	static uint64_t looked_at;
	uint64_t beat = word_get(&k->slot->beat), limit = 3 * s->stuck_timeout;
	bool was_here = now - looked_at < LONE_GAP_MS;

	looked_at = now;
	if (limit < LONE_LEAST_MS)
		limit = LONE_LEAST_MS;
	if (beat < k->cloned_at)
		beat = k->cloned_at;
	if (!was_here || k->slot->worker_pidfd < 0 || now < beat + limit)
		return;
	word32_set(&k->slot->stuck, 1);
	syscall(SYS_pidfd_send_signal, k->slot->worker_pidfd, SIGKILL, NULL, 0);
}

/* Without a master for too long: the slot ends as by QUIT. */
static void
be_alone(struct keeper *k)
{
	static struct settings s;
	uint64_t since = word_get(&k->slot->orphaned), now = clock_ms();
	struct region_head *head = k->h->region.head;
	enum slot_order was = (enum slot_order)word32_get(&k->slot->order);

	if (since == 0 || now - since < ORPHAN_MS)
		return;
	region_settings_get(&k->h->region, &s);
	end_stuck(k, &s, now);
	if (now - since < s.orphan_timeout)
		return;
	word32_set(&head->draining, 1);
	word32_set(&head->stopping, 1);
	if (now - since - s.orphan_timeout < s.graceful_timeout) {
		if (was < ORDER_DRAIN)
			word32_set(&k->slot->order, ORDER_DRAIN);
		return;
	}
	if (was != ORDER_STOP)
		word32_set(&k->slot->order, ORDER_STOP);
	if (now - since - s.orphan_timeout - s.graceful_timeout > STOP_MS &&
	    k->slot->worker_pidfd >= 0)
		syscall(SYS_pidfd_send_signal, k->slot->worker_pidfd, SIGKILL, NULL, 0);
}

void
liaison_replace(_Atomic int32_t *word, int fd)
{
	int was = *word;

	*word = fd;
	if (was >= 0)
		close(was);
}

/* The program before is not needed any more. */
static void
end_trial(struct keeper *k)
{
	if (k->slot->old_fd >= 0 && may_open(k) && clock_ms() >= word_get(&k->slot->trial_until))
		liaison_replace(&k->slot->old_fd, -1);
}

bool
liaison_attend(struct keeper *k, int worker, int ms)
{
	struct pollfd p[] = {
		{ .fd = worker, .events = POLLIN },
		{ .fd = k->slot->line },		/* its end is seen at any time */
		{ .fd = -1, .events = POLLIN },
	};
	bool open = may_open(k);

	if (open) {
		p[1].events = POLLIN;
		p[2].fd = k->slot->door;
	}
	if ((!open || (!is_told(k) && k->slot->line >= 0)) && (ms < 0 || ms > AGAIN_MS))
		ms = AGAIN_MS;
	else if ((k->slot->line < 0 || k->slot->old_fd >= 0) && (ms < 0 || ms > ORPHAN_MS))
		ms = ORPHAN_MS;
	if (poll(p, 3, ms) < 0)
		return false;
	if (open && p[1].revents != 0)
		liaison_read(k);
	else if (p[1].revents != 0)
		lose_master(k);
	if (p[2].revents != 0)
		answer_door(k);
	liaison_tell(k);
	be_alone(k);
	end_trial(k);
	return p[0].revents != 0;
}
