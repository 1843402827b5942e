/*
 * A master that was started anew, after its predecessor was killed or to follow it as another
 * program, adopts what goes on without it: region, listeners, slots, logger.
 */
#ifndef PLENUM_MASTER_ADOPT_H
#define PLENUM_MASTER_ADOPT_H

#include <stddef.h>

struct master;

/*
 * Knocks at the doors in run_dir, which the caller has locked. If somebody answers, his descriptors
 * are put under the numbers that stand in the region (so nothing may be open yet that must not
 * move, but m->pid_fd), the region is attached and the slots are known. Waits, for seconds at most.
 * 1: adopted. 0: nobody is there. -1, with what is wrong in err: somebody is there who cannot be
 * adopted.
 */
int adopt_slots(struct master *m, char *err, size_t n);

/* Takes back what a predecessor had begun: an end, of which the slots may not yet be through. */
void adopt_resume(struct master *m);

#endif
