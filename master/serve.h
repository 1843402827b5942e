/*
 * Which slots take part in service, and who serves the listeners of the others: a listener is never
 * closed while plenumd runs, since what waits in its queue would be reset. Master only.
 */
#ifndef PLENUM_MASTER_SERVE_H
#define PLENUM_MASTER_SERVE_H

#include <stdbool.h>

struct master;

/* Whether the slot is to have a worker. */
bool serve_wants(const struct master *m, unsigned slot);

/* How many take part, and the end of those that do or still have a process: for tables. */
unsigned serve_count(const struct master *m);
unsigned serve_end(const struct master *m);

/* The number of workers is settings.worker_count: opens slots, tells others to close. */
void serve_resize(struct master *m);

/*
 * Gives each listener to a worker: its own, or, while that is closed, has not beaten for
 * stuck_timeout, or waits for the end of a back-off, another's.
 */
void serve_tick(struct master *m);

#endif
