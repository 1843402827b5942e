/* Takes the place of worker/worker.h's worker_run() in plenumd-bad. */
#ifndef PLENUM_T_TOOLS_BAD_WORKER_H
#define PLENUM_T_TOOLS_BAD_WORKER_H

#include "ipc/heritage.h"

_Noreturn void bad_worker_run(struct heritage *h);

#endif
