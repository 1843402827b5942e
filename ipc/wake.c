#include "ipc/wake.h"

#include <unistd.h>

#include "shm/dirty.h"
#include "shm/region.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

static void
wake_mask(struct writer *w, uint64_t mask)
{
	uint64_t one = 1;

	for (mask &= ~(1ull << w->index); mask != 0; mask &= mask - 1) {
		unsigned k = (unsigned)__builtin_ctzll(mask);
		ssize_t n;

		if (!region_has_writer(w->r, k))
			continue;
		n = write(region_slot(w->r, k)->event_fd, &one, sizeof one);
		(void)n;	/* full means that it will wake */
		stat_add(&w->slot->stats, STAT_WAKEUPS, 1);
	}
}

void
wake_flush(struct writer *w)
{
	if (w->wake != 0)
		wake_mask(w, sleepers_take(w->r, w->wake));
	w->wake = 0;
}

void
wake_all(struct writer *w)
{
	/* also who does not say that he sleeps: whoever took his word died before the write */
	wake_mask(w, ~(uint64_t)0);
	w->wake = 0;
}

void
wake_drain(struct writer *w)
{
	uint64_t v;
	ssize_t n = read(w->slot->event_fd, &v, sizeof v);

	(void)n;
}
