/* What was measured in a run of chaos, what must be true of it, and the summary for people. */
#ifndef PLENUM_TOOLS_CHAOS_REPORT_H
#define PLENUM_TOOLS_CHAOS_REPORT_H

#include <stdint.h>

#include "t/tools/chaos.h"

struct chaos_measure {
	struct server_memory memory;
	struct server_tables tables;
	uint64_t connections;
};

struct chaos_report {
	/* no crowd yet; served for a while; half of the steps; all of them; the crowd is gone */
	struct chaos_measure before, warm, middle, after, left;
	uint64_t took_ms;
};

/* Adds what is wrong to the violations. The server must still run. */
void chaos_judge(struct chaos *c, const struct chaos_report *r);

/* Prints the summary. */
void chaos_print(const struct chaos *c, const struct chaos_report *r);

#endif
