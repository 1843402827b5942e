/* The keeper's state, shared by the files it is made of. Private memory of its process. */
#ifndef PLENUM_IPC_KEEPER_PRIV_H
#define PLENUM_IPC_KEEPER_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/backoff.h"
#include "shm/writer.h"

struct heritage;
struct slot;

struct keeper {
	struct heritage *h;
	struct slot *slot;
	struct writer self;		/* while there is no worker */
	bool told_worker, told_self;	/* the master knows them */
	uint64_t cloned_at;		/* ms, when the worker was started */
	struct backoff faults;
};

#endif
