/*
 * A holder: a process with idle subscribers of one room, for more connections than one process may
 * have. When it is told to, it waits for what is published there, all of it, and ends.
 */
#ifndef PLENUM_BENCH_HOLDER_H
#define PLENUM_BENCH_HOLDER_H

#include <stdint.h>
#include <sys/types.h>

#include "t/bench/server.h"

struct holder {
	pid_t pid;
	int up, down;
};

/* Subscribes n connections, of which the first is server_connect()'s nth. Returns when all are. */
void holder_start(struct holder *h, const struct server *s, unsigned n, unsigned room,
    unsigned nth);
/* From now on it waits for so many deliveries to each. */
void holder_expect(struct holder *h, uint64_t events);
/* Until it has got them. */
void holder_finish(struct holder *h);
/* Ends it and closes its connections. */
void holder_stop(struct holder *h);

#endif
