/*
 * Eleven counts of a tenth of a second each lie in the record. A message is let through if the sum
 * of the current tenth and the ten before it is below the limit: so never more than N in any
 * second, all of which may come at once, and a refusal may come up to a tenth of a second too
 * early.
 *
 * Counts are stored before the message is executed; for the one that an heir executes again they
 * are not stored again, unless its predecessor died between the two stores: then it counts twice,
 * never in the client's favour. A count is 16 bits wide, hence the setting's range.
 *
 *	rate_at: number of the current tenth (32) | low half of the last counted message's offset
 *	rate[0..2]: counts 0-3, 4-7, 8-10
 */
#include "worker/rate.h"

#include <string.h>

#include "worker/message.h"
#include "worker/priv.h"

enum { TENTHS = 11 };

static void
load(const struct conn *c, uint16_t count[TENTHS + 1])
{
	uint64_t v[3];
	unsigned i;

	for (i = 0; i < 3; i++)
		v[i] = word_get(&c->rate[i]);
	memcpy(count, v, sizeof v);
}

static void
store(struct conn *c, const uint16_t count[TENTHS + 1])
{
	uint64_t v[3];
	unsigned i;

	memcpy(v, count, sizeof v);
	for (i = 0; i < 3; i++)
		word_set(&c->rate[i], v[i]);
}

bool
rate_take(struct message *m)
{
	struct conn *c = m->c;
	uint16_t count[TENTHS + 1];
	uint32_t tick = (uint32_t)(m->w->now / 100), last = (uint32_t)(word_get(&c->rate_at) >> 32);
	uint32_t limit = m->w->set.message_rate, sum = 0, i;

	if (m->w->in_doubt && (uint32_t)word_get(&c->rate_at) == (uint32_t)m->in_end)
		return true;		/* its predecessor has counted it */
	load(c, count);
	if (tick - last >= TENTHS)
		memset(count, 0, sizeof count);
	else
		for (i = last + 1; i != tick + 1; i++)
			count[i % TENTHS] = 0;
	for (i = 0; i < TENTHS; i++)
		sum += count[i];
	if (sum >= limit) {
		stat_add(m->w->stats, STAT_RATE_LIMITED, 1);
		return false;
	}
	count[tick % TENTHS]++;
	store(c, count);
	word_set(&c->rate_at, (uint64_t)tick << 32 | (uint32_t)m->in_end);
	return true;
}
