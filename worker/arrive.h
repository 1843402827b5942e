/* The target's side of a move: a connection of another slot is taken over. */
#ifndef PLENUM_WORKER_ARRIVE_H
#define PLENUM_WORKER_ARRIVE_H

struct worker;

/* Takes what lies in the slot's inbox, a bounded number. */
void arrive_inbox(struct worker *w);

/* ---- the heir, in this order ---- */

/* Before anything is done with the records: was the one that arrived taken? Then it is open. */
void arrive_decide(struct worker *w);
/* When there are free lists: if it was not taken, nothing of it is left. */
void arrive_drop(struct worker *w);
/* When it is listed and registered: the source is told. */
void arrive_finish(struct worker *w);
/* Of a slot whose descriptors are gone. */
void arrive_forget(struct worker *w);

#endif
