/*
 * The keeper of a slot: it shares its descriptor table with the slot's worker and does nothing but
 * wait. When the worker dies, every socket, the listeners and their queues are still there, and the
 * keeper starts an heir.
 */
#ifndef PLENUM_IPC_KEEPER_H
#define PLENUM_IPC_KEEPER_H

struct heritage;

/*
 * Runs the keeper of slot h->slot in this process, which the master has just forked. Drops
 * privileges, closes what is not the slot's, starts workers until the master orders a stop. Never
 * returns.
 */
_Noreturn void keeper_run(struct heritage *h);

#endif
