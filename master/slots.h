/* Slots: their keepers, and the orders that are given to them. Master only. */
#ifndef PLENUM_MASTER_SLOTS_H
#define PLENUM_MASTER_SLOTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "shm/slot_layout.h"

struct master;

/* Starts the keepers that are due; takes note of those that workers started. */
void slots_tick(struct master *m);

/* Takes note that `pid` ended. False: it was no keeper. */
bool slots_reaped(struct master *m, pid_t pid, int status);

/* Gives an order to one slot, or to all; an order that is repeated is only a hint. */
void slots_order(struct master *m, unsigned slot, enum slot_order order);
void slots_order_all(struct master *m, enum slot_order order);

/* Ends all workers and keepers at once. */
void slots_kill(struct master *m);

/* Whether a process of any slot is still there. */
bool slots_any_left(const struct master *m);

/* Whether every slot has a worker that has begun to beat. */
bool slots_all_beat(const struct master *m);

/*
 * A pidfd of the slot's worker, which is known to be that by its parent being the slot's keeper or
 * this process, so that a number that was used again is never signalled. -1: there is none. The
 * caller closes it.
 */
int slots_worker_pidfd(const struct master *m, unsigned slot);

#endif
