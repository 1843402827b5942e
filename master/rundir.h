/*
 * The folder of plenumd.pid and control.sock. Without root and without a setting it lies where this
 * user may write; plenumd and plenumctl look in the same places in the same order.
 */
#ifndef PLENUM_MASTER_RUNDIR_H
#define PLENUM_MASTER_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>

enum { RUNDIR_MAX = 256, RUNDIR_CANDIDATES = 4 };

/*
 * The i-th folder that is tried: /run/plenum, $XDG_RUNTIME_DIR/plenum, plenum-UID below $TMPDIR and
 * below /tmp. 0, or -1: there is no such place.
 */
int rundir_candidate(unsigned i, char *out, size_t n);

/*
 * Makes the folder `wanted` if it is not there, or, if is_default and this process may not write
 * there, the first of the others that it may. 0 with its path in out, or -1 with what is wrong in
 * err. For the master's start; blocks on the file system.
 */
int rundir_open(const char *wanted, bool is_default, char *out, size_t n, char *err, size_t errlen);

#endif
