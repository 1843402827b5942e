/*
 * An heir finds registrations in the set and does not know which: it says for each slot what holds,
 * and that something was so already is no error.
 */
#define _GNU_SOURCE
#include "worker/listen.h"

#include <errno.h>
#include <sys/epoll.h>

#include "ipc/log.h"
#include "worker/priv.h"

int
listen_fd(const struct worker *w, uint32_t key)
{
	if (key >> 8 >= w->r->caps.workers || listen_address(key) >= w->r->head->nlisteners)
		return -1;
	return region_slot(w->r, key >> 8)->listener[listen_address(key)];
}

static void
watch(struct worker *w, unsigned slot, bool on)
{
	struct epoll_event e = { .events = EPOLLIN };
	unsigned i;
	int fd;

	for (i = 0; i < w->r->head->nlisteners; i++) {
		/* one socket for all slots: it is watched as the own one */
		if (w->r->head->listener[i].is_unix && slot != w->pub.index)
			continue;
		e.data.u64 = source_data(SOURCE_LISTENER, listen_key(slot, i));
		fd = listen_fd(w, listen_key(slot, i));
		if (epoll_ctl(w->slot->client_epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd,
		    &e) != 0 && errno != EEXIST && errno != ENOENT && errno != EBADF)
			log_error("epoll_ctl: %s", strerror(errno));
	}
}

void
listen_look(struct worker *w)
{
	uint64_t mine = 0, differ;
	unsigned i;

	for (i = 0; i < w->r->caps.workers; i++)
		if (word32_get(&region_slot(w->r, i)->served_by) == w->pub.index + 1)
			mine |= 1ull << i;
	if (w->accept_paused)
		mine = 0;
	differ = w->serves_known ? mine ^ w->serves : (1ull << w->r->caps.workers) - 1;
	for (; differ != 0; differ &= differ - 1) {
		i = (unsigned)__builtin_ctzll(differ);
		watch(w, i, (mine >> i & 1) != 0);
	}
	w->serves = mine;
	w->serves_known = true;
}

void
listen_pause(struct worker *w)
{
	w->accept_paused = true;
	listen_look(w);
}

void
listen_resume(struct worker *w)
{
	w->accept_paused = false;
	listen_look(w);
}
