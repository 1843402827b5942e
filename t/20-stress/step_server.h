/* step_worker: the plenumd under test, started by it, and its region. */
#ifndef PLENUM_T_STEP_SERVER_H
#define PLENUM_T_STEP_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/region.h"
#include "shm/writer.h"

enum { STEP_HISTORY = 64 };	/* events that a channel keeps there, and cells of its ring */

struct server {
	char dir[96];
	pid_t master, keeper;
	int keeper_pidfd;
	struct region r;
	struct slot *slot;		/* of its only worker */
	struct writer writer;		/* the test publishes, too */
	unsigned port;
	unsigned descriptors;		/* in the slot's table, without clients */
	uint32_t chan[8];		/* channels that are looked at */
	unsigned nchans;
	bool keys;			/* idempotency keys are looked at */
};

/*
 * Starts plenumd on one processor, with small memory, deadlines that never come, and what conf says
 * beside (lines of plenum.conf). 0; -1: it does not start, with a message on stderr; 1: it runs
 * without keepers here. May block for ten seconds.
 */
int server_start(struct server *s, const char *plenumd, int cpu, unsigned workers,
    const char *conf);

/* Tells it to take this configuration; returns when the first slot's worker is told to renew. */
void server_reload(struct server *s, const char *conf);

/* Kills the keeper of the first slot; true when its worker has started another one. */
bool server_kill_keeper(struct server *s);

/* Wakes whoever sleeps and has news by what the test published or changed. */
void server_wake(struct server *s);

/* Ends it; its folder goes, unless keep. */
void server_stop(struct server *s, bool keep);

/* The worker that runs or starts now, 0 if none. */
pid_t server_worker(const struct server *s);

/* A descriptor of our own for what is number fd in the slot's table, or -1. */
int server_descriptor(const struct server *s, int fd);

/* How many numbers of the slot's table are in use. */
unsigned server_descriptors(const struct server *s);

/* True once the worker waits for events; within ms. */
bool server_wait_idle(const struct server *s, pid_t not_this, unsigned ms);

/* Monotonic seconds. */
double server_now(void);

#endif
