#include "shm/stats.h"

#include "shm/slot_layout.h"

static const struct {
	const char *metric, *help;
} names[] = {
#define X(name, metric, help) { metric, help },
	STATS(X)
#undef X
};
_Static_assert(sizeof names / sizeof names[0] == STAT_COUNT, "a name per counter");

static const unsigned codes[] = {
#define X(code) code,
	HTTP_CODES(X)
#undef X
	0
};
_Static_assert(sizeof codes / sizeof codes[0] == HTTP_CODE_COUNT, "a word per status");

const char *
stat_metric(enum counter i)
{
	return names[i].metric;
}

const char *
stat_help(enum counter i)
{
	return names[i].help;
}

unsigned
stat_http_index(unsigned code)
{
	unsigned i;

	for (i = 0; i + 1 < HTTP_CODE_COUNT; i++)
		if (codes[i] == code)
			break;
	return i;
}

unsigned
stat_http_code(unsigned index)
{
	return index < HTTP_CODE_COUNT ? codes[index] : 0;
}

static const char *const deaths[] = { "none", "killed", "fault", "exit", "renewed", "stuck" };
_Static_assert(sizeof deaths / sizeof deaths[0] == DEATH_COUNT, "a name per death");

const char *
slot_death_name(enum slot_death d)
{
	return (unsigned)d < DEATH_COUNT ? deaths[d] : "?";
}

static const char *const orders[] = { "run", "renew", "exec", "close", "drain", "stop" };
_Static_assert(sizeof orders / sizeof orders[0] == ORDER_COUNT, "a name per order");

const char *
slot_order_name(enum slot_order o)
{
	return (unsigned)o < ORDER_COUNT ? orders[o] : "?";
}
