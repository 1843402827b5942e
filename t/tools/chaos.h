/* What the parts of chaos share: a run, from its options to its counts. */
#ifndef PLENUM_TOOLS_CHAOS_H
#define PLENUM_TOOLS_CHAOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "t/tools/chaos_crowd.h"
#include "t/tools/chaos_plan.h"
#include "t/tools/chaos_server.h"

enum { CROWD_OPTIONS_MAX = 64, VIOLATIONS_TOLD = 40 };

struct chaos_options {
	struct chaos_plan_options plan;
	double seconds, warm;
	unsigned clients, room, deliveries, http;
	bool print_plan;		/* and nothing else */
	const char *plenumd, *crowd;
	const char *extra[CROWD_OPTIONS_MAX];	/* to the crowd */
	unsigned nextra;
};

struct storms {
	struct crowd_child child;
	uint64_t connects, served, refused, resets, timed_out, failed, slowest_ms;
};

struct chaos {
	struct chaos_options o;
	struct server server;
	struct crowd_child crowd;
	struct storms storm;
	unsigned done[CHAOS_ACTION_COUNT];
	unsigned violations;
	uint64_t late_ms;		/* the latest that a step was: it waits for its victim */
	uint64_t pause_least, pause_most;	/* us, of all heirs that were seen */
	uint64_t generation[SERVER_SLOTS_MAX];
	uint64_t deaths[5];		/* killed, fault, exit, stuck, renewed; as last said */
};

/* Does one step: waits until its victim is whole. Counts it, or a violation. */
void chaos_act(struct chaos *c, const struct chaos_step *s);

/* Looks whether a storm is over, and adds its figures. True as long as it rages. */
bool chaos_storm_poll(struct chaos *c);

/* Looks at the server; remembers pauses and deaths. */
bool chaos_look(struct chaos *c, struct server_state *st);

/* All slots are whole and nothing is pending; waits at most `ms`. */
bool chaos_wait_whole(struct chaos *c, struct server_state *st, unsigned ms);

/* Something that must not be: counted and told. */
__attribute__((format(printf, 2, 3)))
void chaos_violation(struct chaos *c, const char *fmt, ...);

#endif
