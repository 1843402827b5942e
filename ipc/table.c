#include "ipc/table.h"

#include "shm/region.h"
#include "shm/slot_layout.h"

static size_t
put(int *fd, size_t n, int one)
{
	if (one < 0)
		return n;
	fd[n] = one;
	return n + 1;
}

/* A unix: address has one socket for all slots. */
static size_t
put_listeners(const struct region *r, int *fd, size_t n)
{
	unsigned slot, i;
	int one;

	for (slot = 0; slot < r->caps.workers; slot++)
		for (i = 0; i < r->head->nlisteners && i < LISTENERS_MAX; i++) {
			one = region_slot(r, slot)->listener[i];
			if (slot == 0 || one != region_slot(r, 0)->listener[i])
				n = put(fd, n, one);
		}
	return n;
}

size_t
table_common(const struct region *r, int *fd)
{
	size_t n = put(fd, 0, r->fd);
	unsigned i;

	for (i = 0; i < WRITERS_MAX; i++)
		if (region_has_writer(r, i))
			n = put(fd, n, region_slot(r, i)->event_fd);
	for (i = 0; i < r->caps.workers; i++) {
		n = put(fd, n, region_slot(r, i)->inbox);
		n = put(fd, n, region_slot(r, i)->outbox);
	}
	return put_listeners(r, fd, n);
}

size_t
table_own(const struct slot *s, int *fd)
{
	size_t n = put(fd, 0, s->line);

	n = put(fd, n, s->door);
	n = put(fd, n, s->client_epoll);
	n = put(fd, n, s->worker_pidfd);
	n = put(fd, n, s->image_fd);
	n = put(fd, n, s->old_fd);
	return put(fd, n, s->keeper_pidfd);
}
