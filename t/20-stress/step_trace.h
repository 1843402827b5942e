/* step_worker: one traced worker, and the points at which it may be killed. */
#ifndef PLENUM_T_STEP_TRACE_H
#define PLENUM_T_STEP_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/word.h"

struct server;

enum {
	BREAKS = 4,			/* breakpoints that the processor has */
	CALL_KINDS = 4096, SKIMMED_MAX = 512,
};

/*
 * A point: the worker has made `calls` system calls that do something since the turn began, and
 * since the last of them the region has changed `changes` times. Private memory dies with the
 * worker, so instructions between two points are the same death.
 *
 * Which call comes next may depend on the clock. So a point is found again behind the call that is
 * as often as it was the one of its number and first argument.
 */
struct point {
	uint32_t calls, changes;
	uint64_t call;		/* the last call: its number, first argument, and how often */
	unsigned long rip;	/* the instruction that made the change; 0: it was a call */
};

/* Calls behind which something changes. */
struct skimmed {
	uint64_t call[SKIMMED_MAX];
	unsigned n;
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
	uint32_t kind;			/* of that call: number and first argument */
	uint32_t calls, changes;
	uint64_t call;			/* as in struct point */
	uint32_t made[CALL_KINDS];	/* by a hash of number and argument */
	uint64_t hash;
	unsigned long steps;
	unsigned long broken[BREAKS];	/* where breakpoints wait */
	unsigned nbroken;
	unsigned long changed_by;	/* the instruction that made the last change on the way */
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

/*
 * Runs it from call to call until it rests, and notes behind which calls the state has changed
 * until the next one. What is changed and changed back is not seen.
 */
enum trace trace_skim(struct tracer *t, struct skimmed *s);

/*
 * On to the next point, instruction by instruction; only what changed when it was skimmed, if that
 * is given. p: where it is, also if there is none.
 */
enum trace trace_next(struct tracer *t, const struct skimmed *only, struct point *p);

/* One instruction or call, from p->rip on; the rest of p is where it stands then. */
enum trace trace_step(struct tracer *t, struct point *p);

/*
 * On to point k of the n that were found one after the other, or beside it: to the next point, or
 * the end of its stretch between two calls, if it is not made today.
 */
enum trace trace_to(struct tracer *t, const struct point *p, unsigned k, unsigned n);

/*
 * From a point on until it stands the n-th time before the instruction at rip, or the state is
 * another one, which is seen by t->changes and t->calls.
 */
enum trace trace_by(struct tracer *t, unsigned long rip, unsigned n);

/* Until *word, of the region, is value, then n more instructions. */
enum trace trace_until(struct tracer *t, const word32 *word, uint32_t value, unsigned n);

/* Ends the traced worker by kill -9. If heir: its heir is traced from its first instruction. */
int trace_kill(struct tracer *t, bool heir);

/* Sends it a signal and lets it die of that. If heir: as above. */
int trace_fault(struct tracer *t, int sig, bool heir);

/* Lets it go on by itself. */
void trace_detach(struct tracer *t);

/* It has ended by itself. */
void trace_gone(struct tracer *t);

/* Lets it go on, but it is stopped (SIGSTOP) before its next instruction. */
void trace_stop(struct tracer *t);

#endif
