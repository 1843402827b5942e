/* step_worker: the state of the region, as far as an heir of the first slot goes by it. */
#ifndef PLENUM_T_STEP_STATE_H
#define PLENUM_T_STEP_STATE_H

#include <stdint.h>

struct server;

/* Two states that differ have different hashes, but by chance. */
uint64_t state_hash(const struct server *s);

#endif
