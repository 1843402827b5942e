/* Slots: their keepers, and the orders that are given to them. Master only. */
#ifndef PLENUM_MASTER_SLOTS_H
#define PLENUM_MASTER_SLOTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "shm/slot_layout.h"

struct master;

/* Before anything else here. */
void slots_init(struct master *m);

/* Listens to every slot's line; starts the keepers that are due. */
void slots_tick(struct master *m);

/* Takes note of how `pid` ended. False: it was no keeper. */
bool slots_reaped(struct master *m, pid_t pid, int status);

/* Gives an order to one slot, or to all; an order that is repeated is only a hint. */
void slots_order(struct master *m, unsigned slot, enum slot_order order);
void slots_order_all(struct master *m, enum slot_order order);

/* Ends all workers and keepers at once. */
void slots_kill(struct master *m);

/* Whether a process of any slot is still there. */
bool slots_any_left(const struct master *m);

/* Whether every slot has a worker that has begun to beat, and is known by its pidfd. */
bool slots_all_beat(const struct master *m);

/* Closes lines and pidfds; removes the doors of all slots from the run_dir. For the end. */
void slots_close(struct master *m);
void slots_remove_doors(const struct master *m);

#endif
