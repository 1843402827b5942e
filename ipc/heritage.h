/*
 * What crosses fork: one structure, filled by the master and handed to keepers, workers and
 * helpers. Private memory of each after the fork. Descriptor numbers are the same in every table,
 * because the master opens all of them before it starts anybody.
 */
#ifndef PLENUM_IPC_HERITAGE_H
#define PLENUM_IPC_HERITAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/limits.h"
#include "shm/region.h"

struct heritage {
	struct region region;
	unsigned slot;			/* writer index of whoever holds this */
	bool keeper;			/* records and descriptors outlive the worker */
	bool fresh;			/* the slot's first worker, or one without its predecessor's
					 * descriptors: nothing to inherit */
	bool faulted;			/* the predecessor ended by a fault or was stuck */
	int log_fd;			/* where the logger writes; -1: syslog */
	bool foreground;
	uid_t uid;			/* to drop to; 0: stay */
	gid_t gid;
	const char *version;
	uint64_t image;			/* which program this is (ipc/image.h) */
	/* Runs a worker in this process; never returns. Given by main.c, called by the keeper. */
	void (*run_worker)(struct heritage *);
};

#endif
