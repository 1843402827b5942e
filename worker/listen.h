/*
 * Which listeners a worker takes connections from: those of its own slot, and those of slots that
 * are closed or do not get a worker for now, as the master says (slot.served_by).
 */
#ifndef PLENUM_WORKER_LISTEN_H
#define PLENUM_WORKER_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* A listener, as it stands in `accepting` and in the epoll set: slot << 8 | address. */
static inline uint32_t
listen_key(unsigned slot, unsigned address)
{
	return slot << 8 | address;
}

static inline unsigned
listen_address(uint32_t key)
{
	return key & 0xff;
}

/* Its descriptor; -1: there is no such listener. */
int listen_fd(const struct worker *w, uint32_t key);

/* Brings the slot's epoll set up to date with served_by. */
void listen_look(struct worker *w);

/* No more can be taken: the queues wait until listen_resume(). */
void listen_pause(struct worker *w);
void listen_resume(struct worker *w);

#endif
