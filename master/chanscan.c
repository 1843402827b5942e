/*
 * Reading a hole of a memfd makes a page, so the holes are asked for: lseek(SEEK_DATA). Nobody else
 * uses the offset of the region's descriptor. Asked once per page.
 */
#define _GNU_SOURCE
#include "master/chanscan.h"

#include <errno.h>
#include <unistd.h>

#include "shm/channel_layout.h"
#include "shm/region.h"

enum { PAGE = 4096, PER_PAGE = PAGE / sizeof(struct channel) };

uint32_t
chanscan_next(const struct region *r, uint32_t at)
{
	off_t from, data;

	if (at % PER_PAGE != 0 || at >= r->caps.channels)
		return at;
	from = (off_t)(r->map.channels + (uint64_t)at * sizeof(struct channel));
	data = lseek(r->fd, from, SEEK_DATA);
	if (data < 0)			/* ENXIO: no data behind it; else it cannot be told */
		return errno == ENXIO ? r->caps.channels : at;
	at += (uint32_t)((uint64_t)(data - from) / sizeof(struct channel));
	return at < r->caps.channels ? at : r->caps.channels;
}

uint32_t
chanscan_count(const struct region *r)
{
	uint32_t i, n = 0;

	for (i = chanscan_next(r, 0); i < r->caps.channels; i = chanscan_next(r, i + 1))
		if (claim_is_open(word_get(&r->channels[i].claim)))
			n++;
	return n;
}
