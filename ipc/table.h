/*
 * Which numbers of a slot's descriptor table stand in the region. Everything else in it is its
 * worker's own, and the heir closes it.
 */
#ifndef PLENUM_IPC_TABLE_H
#define PLENUM_IPC_TABLE_H

#include <stddef.h>

#include "shm/limits.h"

struct region;
struct slot;

enum {
	TABLE_COMMON_MAX = 1 + WRITERS_MAX + WORKERS_MAX * (LISTENERS_MAX + 2),
	TABLE_OWN_MAX = 8,
	TABLE_MAX = TABLE_COMMON_MAX + TABLE_OWN_MAX,
};

/*
 * The numbers that mean the same in the master's table and in every slot's: the region, eventfds,
 * the listeners and inboxes of all slots. No number twice. Returns how many; fd has room for
 * TABLE_COMMON_MAX.
 */
size_t table_common(const struct region *r, int *fd);

/* The numbers that this slot alone has, those that are there; fd has room for TABLE_OWN_MAX. */
size_t table_own(const struct slot *s, int *fd);

#endif
