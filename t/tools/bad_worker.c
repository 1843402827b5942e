/* The worker of a plenumd that is broken: it dies by a fault as soon as it runs. */
#include <stdlib.h>

#include "shm/region.h"
#include "shm/slot_layout.h"
#include "t/tools/bad_worker.h"

void
bad_worker_run(struct heritage *h)
{
	/* as worker/worker.c's fault handler says it */
	word32_set(&region_slot(&h->region, h->slot)->signal, 6);
	abort();
}
