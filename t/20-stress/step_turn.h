/*
 * step_worker: one turn of a scene's clients, in which the worker is killed or stopped at a point.
 * Streams go on from turn to turn; what went wrong is in turn_oracle().
 */
#ifndef PLENUM_T_STEP_TURN_H
#define PLENUM_T_STEP_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "t/20-stress/step_scenes.h"
#include "t/20-stress/step_trace.h"

enum { POINTS_MAX = 40000, EXIT_SKIPPED = 77 };

struct points {
	struct point p[POINTS_MAX];
	unsigned n;
};

/* An instruction or a call, by the point before it. */
struct instruction {
	unsigned long rip;
	int after;			/* point, -1: before the first */
	uint32_t nth;			/* the n-th time that it is come by since */
};

/* What the heir did from the death to the turn's end. Equal states make equal ones. */
enum { OUTCOMES = 7 };
struct outcome {
	uint64_t n[OUTCOMES];
};

struct turn_count {
	unsigned long turns, kills, heirs, stops, stuck, missed, slipped, left;
	uint64_t adopted, taken, void_, cuts, gaps, poisoned;
};
extern struct turn_count turn_count;	/* reset by turn_open() */

struct turn_options {
	const char *plenumd;
	int cpu;
	unsigned others;		/* events that others publish between a death and an heir */
};
extern struct turn_options turn_options;

/* Starts plenumd and the clients that stay; ends the process if that is not possible. */
void turn_open(const struct scene *scene);
void turn_close(void);
/* As turn_close() and turn_open(), but the counts go on. conf: more lines of plenum.conf. */
void turn_reopen(const char *conf);

struct oracle *turn_oracle(void);

/*
 * A turn without a death: where are the points? briefly: steps only through what changes something
 * between two calls, which takes another turn to find out (trace_skim()).
 */
void turn_record(struct points *out, bool briefly);
/* The same, every instruction. Returns how many; at most max. */
unsigned turn_record_all(struct points *out, struct instruction *all, unsigned max);

/* kill -9 behind point k. at_once: the clients go on while there is no worker. */
void turn_kill(const struct points *p, unsigned k, bool at_once);
/* kill -9 before this instruction. False: it was not found, or what followed is not comparable. */
bool turn_kill_before(const struct points *p, const struct instruction *i, struct outcome *out);
/* SIGSTOP behind point k, then SIGCONT, when others have acted; or the watchdog ends it. */
void turn_stop(const struct points *p, unsigned k, bool watchdog);

/* As turn_record() and turn_kill(), of the heir of one who was killed behind point k. */
void turn_record_heir(const struct points *p, unsigned k, struct points *heir);
void turn_kill_twice(const struct points *p, unsigned k, const struct points *heir, unsigned j);

/*
 * A fault behind point k, and if the heir has the same message in hand, another one n instructions
 * later.
 */
void turn_fault(const struct points *p, unsigned k, unsigned n);

#endif
