/*
 * A worker: the loop that serves the clients of a slot. Started by the slot's keeper, in a process
 * of its own; nothing of it outlives the process but what lies in the region and the descriptors.
 */
#ifndef PLENUM_WORKER_WORKER_H
#define PLENUM_WORKER_WORKER_H

struct heritage;

/* Runs the worker of slot h->slot: takes over what the region says, then serves. Never returns. */
_Noreturn void worker_run(struct heritage *h);

/*
 * What takes long once in a process is done here, by the master before its first fork: every worker
 * and heir is born with it. Opens nothing.
 */
void worker_prepare(void);

#endif
