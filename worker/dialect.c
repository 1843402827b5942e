#include "worker/dialect.h"

#include <assert.h>

static const struct dialect *const dialects[] = {
	[DIALECT_HTTP] = &dialect_http,
	[DIALECT_CHANNELS] = &dialect_channels,
	[DIALECT_ECHO] = &dialect_echo,
	[DIALECT_SSE] = &dialect_sse,
};
_Static_assert(sizeof dialects / sizeof dialects[0] == DIALECT_COUNT, "a table per dialect");

const struct dialect *
dialect_get(enum dialect_id d)
{
	assert(d < DIALECT_COUNT);
	return dialects[d];
}
