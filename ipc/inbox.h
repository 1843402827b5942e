/*
 * The inboxes of the slots: where a connection's descriptor goes when another slot is to serve it.
 * Every process has both ends of all of them, so what was sent survives any death but the host's.
 */
#ifndef PLENUM_IPC_INBOX_H
#define PLENUM_IPC_INBOX_H

#include <stdint.h>

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

/* Sends a copy of fd. 0, or -1 with errno (EAGAIN, ETOOMANYREFS: later). Never blocks. */
int inbox_send(const struct region *r, unsigned slot, const struct inbox_message *m, int fd);

/*
 * Takes the next message; *fd is the caller's, -1 if it could not be had. 1, 0: there is none.
 * Owner of the slot only. Never blocks.
 */
int inbox_receive(const struct region *r, unsigned slot, struct inbox_message *m, int *fd);

#endif
