/*
 * The inboxes of the slots: where a connection's descriptor goes when another slot is to serve it.
 * Every process has both ends of all of them, so what was sent survives any death but the host's.
 */
#ifndef PLENUM_IPC_INBOX_H
#define PLENUM_IPC_INBOX_H

#include <stddef.h>
#include <stdint.h>

#include "shm/limits.h"

struct region;

/* An offer: the source's slot and record, and which offer of it. */
struct inbox_message {
	uint32_t from;
	uint32_t record;
	uint32_t gen;
	uint32_t pad;
	uint64_t cookie;		/* of the socket that comes with it */
};

/* Opens all, before anybody is forked; the numbers stand in the slots. 0 or -1. Master. */
int inbox_open_all(const struct region *r);

/* The numbers that every table keeps; dst has room for INBOX_NUMBERS. Returns how many. */
enum { INBOX_NUMBERS = 2 * WORKERS_MAX };
size_t inbox_numbers(const struct region *r, int *dst);

/* Sends a copy of fd. 0, or -1 with errno (EAGAIN, ETOOMANYREFS: later). Never blocks. */
int inbox_send(const struct region *r, unsigned slot, const struct inbox_message *m, int fd);

/*
 * Takes the next message; *fd is the caller's, -1 if it could not be had. 1, 0: there is none.
 * Owner of the slot only. Never blocks.
 */
int inbox_receive(const struct region *r, unsigned slot, struct inbox_message *m, int *fd);

#endif
