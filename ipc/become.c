/*
 * An upgrade: the master sends a program, and the order to become it. When the worker has left, the
 * keeper, which has the table to itself then, calls execveat(); numbers and records are what the
 * new program finds. Until upgrade_grace is over a worker of it that ends by a fault, by itself, or
 * stuck, makes the keeper go back to the program it was before. A kill from outside does not.
 */
#define _GNU_SOURCE
#include "ipc/become.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "ipc/heritage.h"
#include "ipc/image.h"
#include "ipc/keeper_priv.h"
#include "ipc/liaison.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/table.h"
#include "ipc/wake.h"
#include "shm/conn_layout.h"
#include "shm/region.h"
#include "shm/settings.h"

static void
keep_open(int fd)
{
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFD);

	if (flags >= 0 && (flags & FD_CLOEXEC) != 0)
		fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
}

/* All that the region names goes through execveat(). */
static void
keep_table_open(const struct keeper *k)
{
	static int fd[TABLE_MAX];
	struct conn *conns = region_conns(&k->h->region, k->h->slot);
	uint32_t i, used = (uint32_t)word_get(&k->slot->conns_used);
	size_t n = table_common(&k->h->region, fd), at;

	n += table_own(k->slot, fd + n);
	for (at = 0; at < n; at++)
		keep_open(fd[at]);
	for (i = 0; i < used && i < k->h->region.caps.conns; i++)
		if ((word32_get(&conns[i].state) & CONN_LIFE_MASK) != CONN_FREE)
			keep_open(conns[i].fd);
}

/* Returns if it cannot be done. */
static void
become(struct keeper *k, int image)
{
	char keeper[32], region[32];
	char *argv[] = { "plenumd", keeper, region, NULL };

	snprintf(keeper, sizeof keeper, "--keeper=%u", k->h->slot);
	snprintf(region, sizeof region, "--region=%d", k->h->region.fd);
	keep_table_open(k);
	wake_flush(&k->self);
	image_exec(image, argv);
	log_error("cannot execute the program: %s", strerror(errno));
}

void
become_ordered(struct keeper *k, const struct settings *s)
{
	uint32_t was = word32_get(&k->slot->upgrade);

	liaison_read(k);
	word32_set(&k->slot->order, ORDER_RUN);
	if (k->slot->image_fd < 0)
		return;
	liaison_replace(&k->slot->old_fd, image_self());
	word_set(&k->slot->trial_until, word32_get(&k->slot->upgrade_trial) != 0 ?
	    clock_ms() + s->upgrade_grace : 0);
	word32_set(&k->slot->upgrade, word32_get(&k->slot->upgrade_next));
	become(k, k->slot->image_fd);
	word32_set(&k->slot->upgrade, was);
	word_set(&k->slot->trial_until, 0);
	word32_set(&k->slot->upgrade_failed, word32_get(&k->slot->upgrade_next));
	liaison_replace(&k->slot->image_fd, -1);
}

void
become_back(struct keeper *k, enum slot_death d)
{
	if (clock_ms() >= word_get(&k->slot->trial_until) || k->slot->old_fd < 0 ||
	    (d != DEATH_FAULT && d != DEATH_EXIT && d != DEATH_STUCK))
		return;
	log_error("a worker of the new program failed, going back to the one before slot=%u",
	    k->h->slot);
	word_set(&k->slot->trial_until, 0);
	word32_set(&k->slot->upgrade_failed, word32_get(&k->slot->upgrade));
	become(k, k->slot->old_fd);
}
