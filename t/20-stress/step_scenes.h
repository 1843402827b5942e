/* step_worker: the turns in which a worker is killed. */
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
	/* Between a death and the heir, if something happens there. */
	void (*orphaned)(struct oracle *o);
	/* After each turn. */
	void (*finish)(struct oracle *o);
};

/* The one that is for faults, not kills. */
enum { SCENE_FAULTS = 9 };

/* Numbers from 1; NULL: there is none of this number. */
const struct scene *scene_get(unsigned number);

#endif
