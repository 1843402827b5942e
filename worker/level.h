/* Who gives connections to whom, and when a slot that closes is empty. */
#ifndef PLENUM_WORKER_LEVEL_H
#define PLENUM_WORKER_LEVEL_H

struct worker;

/* At each tick, and when moves have ended. A slot that closes may end this process. */
void level(struct worker *w);

#endif
