/*
 * The keeper of a slot: it shares its descriptor table with the slot's worker and does nothing but
 * wait. When the worker dies, every socket, the listeners and their queues are still there, and the
 * keeper starts an heir. The other way round, the worker starts another keeper when its own has
 * died.
 */
#ifndef PLENUM_IPC_KEEPER_H
#define PLENUM_IPC_KEEPER_H

#include <stdbool.h>

struct heritage;

/*
 * Runs the keeper of slot h->slot in this process, which the master has just forked. Drops
 * privileges, closes what is not the slot's, starts workers until it is over. Never returns.
 */
_Noreturn void keeper_run(struct heritage *h);

/*
 * The same for a keeper that has just become this program by an upgrade: its table is as it was,
 * and there is no worker.
 */
_Noreturn void keeper_resume(struct heritage *h);

/*
 * Worker: whether its keeper is gone (slot.keeper_pidfd). Never blocks. Without a keeper's number
 * it looks for one first; what it opens is named by the slot.
 */
bool keeper_is_gone(struct heritage *h);

/*
 * Worker: starts another keeper, which takes this process for its worker; returns in the worker
 * alone, true if there is one. The keeper's number is then in slot.keeper_pidfd.
 */
bool keeper_replace(struct heritage *h);

#endif
