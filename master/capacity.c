#include "master/capacity.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "master/address.h"
#include "shm/channel_layout.h"
#include "shm/frame_layout.h"
#include "shm/idempotency_layout.h"
#include "shm/settings.h"

enum { DESCRIPTORS_MOST = 1 << 20, CELLS_LEAST = 16 };

static uint64_t
power_of_two(uint64_t least, uint64_t floor)
{
	uint64_t n = floor;

	while (n < least)
		n *= 2;
	return n;
}

/* Every table has the listeners and inboxes of all slots, and everybody's eventfd. */
uint32_t
capacity_reserve(const struct settings *s)
{
	struct address list[LISTENERS_MAX];

	return s->slot_count * ((uint32_t)address_list(s, list, LISTENERS_MAX) + 3) +
	    HELPERS_MAX + CAPACITY_OWN;
}

static uint32_t
connections_for(const struct settings *s, uint64_t allowed)
{
	uint64_t most = allowed - capacity_reserve(s) - CAPACITY_SPARE;

	if (most > CONNS_MAX)
		most = CONNS_MAX;
	if (s->max_connections != 0 && s->max_connections < most)
		most = s->max_connections;
	return (uint32_t)most;
}

int
capacity_plan(const struct settings *s, uint64_t allowed, struct capacity *out, char *err, size_t n)
{
	uint32_t least = capacity_reserve(s) + CAPACITY_SPARE + 1;

	memset(out, 0, sizeof *out);
	out->allowed = allowed;
	if (allowed < least) {
		snprintf(err, n, "%llu descriptors are allowed, needed are at least %u "
		    "(see ulimit -Hn)", (unsigned long long)allowed, least);
		return -1;
	}
	out->asked = s->max_connections;
	out->connections = connections_for(s, allowed);
	out->reserve = capacity_reserve(s);
	out->descriptors = out->connections + out->reserve + CAPACITY_SPARE;
	out->caps.workers = s->slot_count;
	out->caps.channels = (s->channels_max + 63) & ~63u;
	out->caps.ring_cells = (uint32_t)power_of_two(settings_history_max(s), CELLS_LEAST);
	out->caps.conns = out->connections + CAPACITY_SPARE;
	out->caps.blocks = s->blocks;
	out->caps.arena = power_of_two(s->arena, 4096);
	out->caps.frame_arena = s->frame_arena;
	out->caps.idempotency = (uint32_t)power_of_two(s->idempotency_max, IDEMPOTENCY_CAP_MIN);
	return 0;
}

uint64_t
capacity_allowed(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return 1024;
	if (l.rlim_max == RLIM_INFINITY || l.rlim_max > DESCRIPTORS_MOST)
		return DESCRIPTORS_MOST;
	return l.rlim_max;
}

int
capacity_apply(const struct capacity *c)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return -1;
	l.rlim_cur = (c->descriptors + 1023) & ~1023ull;
	if (l.rlim_cur > c->allowed)
		l.rlim_cur = c->allowed;
	return setrlimit(RLIMIT_NOFILE, &l);
}

void
capacity_print(FILE *f, const struct capacity *c)
{
	region_print(f, &c->caps);
	fprintf(f, "descriptors per process\n"
	    "  %u connections + %d to refuse + %u of its own; %llu needed, %llu allowed\n",
	    c->connections, CAPACITY_SPARE, c->reserve, (unsigned long long)c->descriptors,
	    (unsigned long long)c->allowed);
	if (c->asked > c->connections)
		fprintf(f, "  max_connections = %u is more than the descriptors allow\n", c->asked);
	fprintf(f, "memory per connection\n"
	    "  %zu bytes; subscriptions beyond the first: 8 in %zu, 32 in %zu, %d in %zu bytes\n"
	    "  and a block of %zu bytes while a message is incomplete or a frame is cut\n",
	    sizeof(struct conn), 8 * sizeof(struct sub), 32 * sizeof(struct sub),
	    SUBSCRIPTIONS_MAX, SUBSCRIPTIONS_MAX * sizeof(struct sub), sizeof(struct block));
}
