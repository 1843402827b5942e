/* step_worker: one traced worker, and the points at which it may be killed. */
#ifndef PLENUM_T_STEP_TRACE_H
#define PLENUM_T_STEP_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/word.h"

struct server;

/*
 * A point: the worker has made `calls` system calls that do something since the turn began, and
 * since the last of them the region has changed `changes` times. Private memory dies with the
 * worker, so instructions between two points are the same death.
 */
struct point {
	uint32_t calls, changes;
};

enum trace {
	TRACE_POINT,		/* stands behind a point */
	TRACE_OVER,		/* it waits, and nobody has anything more to do */
	TRACE_DIED,		/* it ended by itself */
};

/* What the clients do when the worker has nothing left to do. False: nothing more. */
typedef bool (*trace_idle_fn)(void *arg);

struct tracer {
	const struct server *s;
	pid_t pid;
	int base, base_number;		/* our descriptor for its epoll set, or -1; its own */
	unsigned vain;			/* looks for events, since something was done */
	bool at_call;			/* stands before a system call that it has entered */
	bool asks;			/* that call changes nothing */
	bool at_rest;			/* that call would wait */
	uint32_t calls, changes;
	uint64_t hash;
	unsigned long steps;
	int status;			/* TRACE_DIED: of waitpid() */
	trace_idle_fn idle;
	void *arg;
};

/* Attaches to a process that runs. 0, or -1 with errno. */
int trace_attach(struct tracer *t, const struct server *s, pid_t pid);

/* Runs it until it would wait for events: TRACE_OVER. TRACE_POINT: it never does. */
enum trace trace_to_rest(struct tracer *t);

/* Counting begins here; idle(arg) is called whenever the worker would wait. */
void trace_begin(struct tracer *t, trace_idle_fn idle, void *arg);

/* On to the next point, instruction by instruction. */
enum trace trace_next(struct tracer *t);

/* On to this point (or the end of its stretch between two calls, if that is shorter today). */
enum trace trace_to(struct tracer *t, struct point p);

/* Instruction by instruction until *word is value, then n more instructions. */
enum trace trace_until(struct tracer *t, const word32 *word, uint32_t value, unsigned n);

/* Ends the traced worker by kill -9. If heir: its heir is traced from its first instruction. */
int trace_kill(struct tracer *t, bool heir);

/* Sends it a signal and lets it die of that. If heir: as above. */
int trace_fault(struct tracer *t, int sig, bool heir);

/* Lets it go on by itself. */
void trace_detach(struct tracer *t);

#endif
