/*
 * Listeners: for each slot and address one socket with SO_REUSEPORT, opened once and never closed
 * while plenumd runs. A slot's sockets listen from the first time that it is in service. All slots
 * share the one socket of a unix: address.
 */
#ifndef PLENUM_MASTER_LISTENERS_H
#define PLENUM_MASTER_LISTENERS_H

#include <stddef.h>

struct heritage;
struct region;
struct settings;

/*
 * Opens them all, stores their numbers in the region (slot.listener) and the addresses, with the
 * port that was got for port 0, in h. 0, or -1 with one line in err. Master, at the start.
 */
int listeners_open(struct heritage *h, const struct settings *s, char *err, size_t n);

/*
 * The same in a region that was taken over with its listeners. If the addresses are those of the
 * settings, they stay, with what waits in their queues, but those of unix: addresses, whose files
 * went with an orderly end: these are replaced under their numbers. Else all are opened anew. A
 * slot whose listeners listen is served by itself, until somebody else is found, others by nobody.
 */
int listeners_take(struct heritage *h, const struct settings *s, char *err, size_t n);

/*
 * The slot's begin to listen, which none does before; again does no harm. 0, or -1 with errno.
 */
int listeners_begin(const struct region *r, unsigned slot);

/* Says in the log where plenumd listens. */
void listeners_log(const struct heritage *h);

/* Removes the files of unix: sockets. */
void listeners_remove(const struct heritage *h);

#endif
