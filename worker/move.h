/* The source's side of a move: a connection of this slot goes to another one's worker. */
#ifndef PLENUM_WORKER_MOVE_H
#define PLENUM_WORKER_MOVE_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* Offers it to a slot. False: it is not at rest; nothing has happened. */
bool move_offer(struct worker *w, uint32_t ci, unsigned to);

/* Looks at all that are on their way: at each tick, and when HINT_MOVES says so. True. */
bool move_look(struct worker *w);

/* Whether a slot takes part: it gives and takes. */
bool move_takes_part(const struct worker *w, unsigned slot);
/* Whether this one gives everybody away, and takes nobody. */
bool move_is_closing(const struct worker *w);

/* ---- the heir ---- */

/* Before anything is done with a record: whether it is on its way at all. */
void move_decide(struct worker *w, uint32_t ci);
/* One that is: into the private lists. */
void move_restore(struct worker *w, uint32_t ci);
/* At the end: everybody is to look, and offers are sent again. */
void move_recovered(struct worker *w);
/*
 * Of a slot whose descriptors are gone. True: the connection is another slot's now, and its record
 * must stay until that has said so.
 */
bool move_forget(struct worker *w, uint32_t ci);

#endif
