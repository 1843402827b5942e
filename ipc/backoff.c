#include "ipc/backoff.h"

enum { WINDOW_MS = 10000, FIRST_MS = 100, LONGEST_MS = 5000 };

unsigned
backoff_next(struct backoff *b, uint64_t now)
{
	uint64_t *oldest = &b->at[b->count % BACKOFF_FREE];
	uint64_t at = now - b->waited, since = at - *oldest;

	*oldest = at;
	if (++b->count <= BACKOFF_FREE || since > WINDOW_MS) {
		b->ms = 0;
		return 0;
	}
	b->ms = b->ms == 0 ? FIRST_MS : b->ms * 2;
	if (b->ms > LONGEST_MS)
		b->ms = LONGEST_MS;
	b->waited += b->ms;
	return b->ms;
}
