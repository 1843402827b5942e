/* step_worker: the turns in which a worker is killed or stopped. */
#ifndef PLENUM_T_STEP_SCENES_H
#define PLENUM_T_STEP_SCENES_H

#include "t/20-stress/step_client.h"

struct scene {
	const char *name;
	/* Connects the clients that stay, once. */
	void (*start)(struct oracle *o);
	/* Before each turn: what will be said, and must be answered. */
	void (*prepare)(struct oracle *o);
	/* The clients' n-th move; they make it when the worker rests. False: there is none. */
	bool (*act)(struct oracle *o, unsigned n);
	/* Between a death and the heir, or while the worker is stopped, if something happens. */
	void (*orphaned)(struct oracle *o);
	/* After each turn. */
	void (*finish)(struct oracle *o);
	const char *conf;		/* lines of plenum.conf */
	unsigned workers;		/* 0: one */
	bool keys;			/* idempotency keys are looked at */
	bool quiet;			/* nobody else may publish in channel 0 */
	bool exits;			/* the worker may end by itself, as planned */
	bool faults;			/* it is for faults, not for kills */
	bool heavy;			/* it takes many instructions */
	bool slow;			/* its turns take seconds: for --stop with few points */
};

enum { SCENE_FAULTS = 9 };		/* the first of those */

/* Numbers from 1; NULL: there is none of this number. */
const struct scene *scene_get(unsigned number);

/* Others publish so many events in the channel, and come and go. */
void scene_others(struct oracle *o, unsigned chan, unsigned events);

#endif
