/* What the last worker of a slot has left in shared memory, when none follows. Master only. */
#ifndef PLENUM_MASTER_LEFTOVER_H
#define PLENUM_MASTER_LEFTOVER_H

struct region;
struct writer;

/*
 * Finishes it for a worker's slot of which no process is left; the caller starts none meanwhile.
 * Who is marked thereby is added to w->wake. May be cut short and repeated.
 */
void leftover_settle(struct writer *w, unsigned slot);

/*
 * The first part of it alone: what was arriving in the slot is given back, or was taken. Before
 * leftover_settle() of any slot when nobody is left in several.
 */
void leftover_arrival(const struct region *r, unsigned slot);

#endif
