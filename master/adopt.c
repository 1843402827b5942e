/*
 * One slot that answers is enough for the parts. One that was stopped answers later: its line is
 * there already, in the queue of its door.
 */
#define _GNU_SOURCE
#include "master/adopt.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "master/master_priv.h"
#include "master/parts.h"
#include "master/slots.h"
#include "master/store.h"
#include "shm/slot_layout.h"

enum { ANSWER_MS = 5000, LOGGER = WORKERS_MAX, LINES = WORKERS_MAX + 1 };

struct adoption {
	int line[LINES];		/* -1: nobody there */
	struct parts parts;
	bool complete;
};

static unsigned
knock(struct adoption *a, const char *run_dir)
{
	char path[RUNDIR_MAX + 32];
	unsigned i, n = 0;

	for (i = 0; i < LINES; i++) {
		line_path(path, sizeof path, run_dir, i == LOGGER ? HELPER_LOGGER : i);
		a->line[i] = line_knock(path);
		n += i != LOGGER && a->line[i] >= 0;
	}
	return n;
}

static void
take_parts(struct adoption *a, const struct line_message *m, const int *fd, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		parts_add(&a->parts, m->value[i], fd[i]);
}

/* Reads a line until its parts are complete. False: it hung up. */
static bool
read_parts(struct adoption *a, int line)
{
	int fd[LINE_VALUES_MAX], r;
	struct line_message m;
	size_t n;

	while ((r = line_take(line, &m, fd, &n)) > 0) {
		if (m.kind == LINE_PARTS_END) {
			a->complete = true;
			return true;
		}
		take_parts(a, &m, fd, m.kind == LINE_PARTS ? n : 0);
	}
	return r == 0;
}

/* The first line that speaks is heard to its end. */
static void
collect_parts(struct adoption *a)
{
	uint64_t until = clock_ms() + ANSWER_MS;
	struct pollfd p[LINES];
	unsigned i;
	int from = -1;

	while (!a->complete && clock_ms() < until) {
		for (i = 0; i < LINES; i++)
			p[i] = (struct pollfd) { .events = POLLIN,
			    .fd = i == LOGGER || (from >= 0 && (int)i != from) ? -1 : a->line[i] };
		if (poll(p, LINES, 100) <= 0)
			continue;
		for (i = 0; i < LINES && from < 0; i++)
			if (p[i].revents != 0)
				from = (int)i;
		if (read_parts(a, a->line[from]))
			continue;
		close(a->line[from]);
		a->line[from] = -1;
		parts_drop(&a->parts);
		from = -1;
	}
}

static int
place_parts(struct adoption *a, int *pid_fd)
{
	int *others[LINES + 1];
	unsigned i;

	for (i = 0; i < LINES; i++)
		others[i] = &a->line[i];
	others[LINES] = pid_fd;
	return parts_place(&a->parts, others, LINES + 1);
}

/* The region is the first of the parts. */
static void
hand_over(struct master *m, struct adoption *a)
{
	unsigned i;

	for (i = 0; i < LINES; i++) {
		if (a->line[i] < 0)
			continue;
		if (i == LOGGER)
			child_adopt(&m->logger, a->line[i]);
		else if (i < m->h.region.caps.workers)
			child_adopt(&m->slot[i].keeper, a->line[i]);
		else
			close(a->line[i]);
	}
}

int
adopt_slots(struct master *m, char *err, size_t n)
{
	static struct adoption a;

	if (knock(&a, m->run_dir) == 0) {
		if (a.line[LOGGER] >= 0)	/* it ends by itself */
			close(a.line[LOGGER]);
		return 0;
	}
	collect_parts(&a);
	if (!a.complete || a.parts.n == 0) {
		snprintf(err, n, "processes of an earlier master are there and do not answer, "
		    "see %s/slot-*.sock", m->run_dir);
		return -1;
	}
	store_let_go();
	if (place_parts(&a, &m->pid_fd) != 0) {
		snprintf(err, n, "cannot take over descriptors: %s", strerror(errno));
		return -1;
	}
	if (region_attach(&m->h.region, a.parts.number[0]) != 0) {
		snprintf(err, n, "processes of another version are there, whose memory this one "
		    "does not know; they drain and end by themselves after orphan_timeout");
		return -1;
	}
	hand_over(m, &a);
	m->adopted = true;
	return 1;
}

void
adopt_resume(struct master *m)
{
	struct region_head *head = m->h.region.head;
	unsigned i;

	if (word32_get(&head->stopping) == 0)
		return;
	log_notice("an end had begun, service goes on");
	word32_set(&head->stopping, 0);
	word32_set(&head->draining, 0);
	for (i = 0; i < m->h.region.caps.workers; i++)
		/* the heir knows nothing of it; behind one that stops there is a new slot */
		if (word32_get(&region_slot(&m->h.region, i)->order) == ORDER_DRAIN)
			slots_order(m, i, ORDER_RENEW);
	wake_flush(&m->w);
}
