/* What chaos does and when: a list that is made of the seed and the options alone. */
#ifndef PLENUM_TOOLS_CHAOS_PLAN_H
#define PLENUM_TOOLS_CHAOS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, word, ms between two of them in a long run, what one is, what many are) */
#define CHAOS_ACTIONS(X)							\
	X(WORKER, "worker", 500, "kill worker %u", "workers killed")		\
	X(KEEPER, "keeper", 500, "kill keeper %u", "keepers killed")		\
	X(BOTH, "both", 15000, "kill keeper and worker %u", "slots lost on purpose")	\
	X(STOP, "stop", 10000, "stop worker %u", "workers stopped")		\
	X(RELOAD, "reload", 1000, "reload", "reloads")				\
	X(LOGGER, "logger", 9000, "kill the logger", "loggers killed")		\
	X(STORM, "storm", 12000, "storm of %u connects", "storms of connects")	\
	X(UPGRADE, "upgrade", 6000, "upgrade", "upgrades")			\
	X(MASTER, "master", 12000, "kill the master and start again", "masters killed")	\
	X(WORKERS, "workers", 12000, "change workers to %u", "changes of workers")

enum chaos_action {
#define X(name, word, every, one, many) CHAOS_##name,
	CHAOS_ACTIONS(X)
#undef X
	CHAOS_ACTION_COUNT
};

struct chaos_step {
	uint32_t ms;			/* after the begin */
	enum chaos_action action;
	unsigned arg;			/* the slot; STORM: connections, WORKERS: how many */
};

struct chaos_plan_options {
	uint64_t seed;
	uint32_t ms;			/* how long */
	unsigned workers;		/* at the begin */
	unsigned storm;			/* connects in one */
	unsigned kill_ms;		/* between two kills of a worker or keeper */
	bool with[CHAOS_ACTION_COUNT];	/* KEEPER is as WORKER */
};

/* A new list, sorted by time, of *n steps; the caller frees it. */
struct chaos_step *chaos_plan_new(const struct chaos_plan_options *o, size_t *n);

/* A step in words, as in the table. */
void chaos_plan_print(const struct chaos_step *s, char *out, size_t size);

/* The action of that name, or -1. */
int chaos_action_of(const char *name);

const char *chaos_action_words(enum chaos_action a);

#endif
