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

/* An address that is served; its descriptor per slot stands in the region (slot.listener). */
struct heritage_listener {
	char address[256];	/* as configured */
	bool is_unix;
	bool is_loopback;
	bool dedicated;		/* a [listen] section that names services */
	uint32_t services;	/* SETTINGS_SERVICE_* */
};

struct heritage {
	struct region region;
	unsigned slot;			/* writer index of whoever holds this */
	bool keeper;			/* records and descriptors outlive the worker */
	bool fresh;			/* the slot's first worker, or one without its predecessor's
					 * descriptors: nothing to inherit */
	bool faulted;			/* the predecessor ended by a fault or was stuck */
	unsigned nlisteners;
	struct heritage_listener listener[LISTENERS_MAX];
	int log_fd;			/* where the logger writes; -1: syslog */
	pid_t master;
	bool foreground;
	uid_t uid;			/* to drop to; 0: stay */
	gid_t gid;
	const char *version;
	/* Runs a worker in this process; never returns. Given by main.c, called by the keeper. */
	void (*run_worker)(struct heritage *);
};

#endif
