/*
 * System calls are run with PTRACE_SYSCALL. To find the points, the instructions between them are
 * run one by one with PTRACE_SINGLESTEP, and after each the state of the region (step_state.c) is
 * hashed. A changed hash is a point, and so is a system call. Each instruction that changed
 * something is noted with the point.
 *
 * On the way to a known point the calls before it are counted, which costs two stops each. In the
 * stretch it lies in, a breakpoint of the processor waits for the instructions that make the
 * changes, one after the other; of the times that one is come by, those count that change the
 * state. So a stretch that is longer today by some turns of a loop leads to the same point.
 *
 * No points are calls that only ask: they depend on the clock, and on whether the worker is an
 * heir.
 *
 * A worker that enters epoll_wait() with a timeout while nothing is ready is at rest: the clients
 * are given a turn before it goes on.
 *
 * To have an heir from its first instruction its keeper is traced over the clone().
 */
#define _GNU_SOURCE
#include "t/20-stress/step_trace.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <linux/ptrace.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/slot_layout.h"
#include "t/20-stress/step_server.h"
#include "t/20-stress/step_state.h"

enum {
	CODE_CACHE = 1 << 16, CALLS_MAX = 20000, HITS_MAX = 200000,
	/* the first breakpoint, at a store of four bytes */
	WATCH_WORD = 1 | 1 << 16 | 3 << 18,
};

/* ---- stops ---- */

/* Waits for the next stop of the worker. False: it is dead. */
static bool
wait_stop(struct tracer *t)
{
	while (waitpid(t->pid, &t->status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	return WIFSTOPPED(t->status);
}

/* Resumes and waits; signals other than the tracer's own are its death. */
static bool
resume(struct tracer *t, enum __ptrace_request how)
{
	if (ptrace(how, t->pid, 0, 0) != 0 || !wait_stop(t))
		return false;
	return (WSTOPSIG(t->status) & 0x7f) == SIGTRAP;
}

static unsigned long
next_instruction(struct tracer *t)
{
	return (unsigned long)ptrace(
	    PTRACE_PEEKUSER, t->pid, offsetof(struct user_regs_struct, rip), 0);
}

static bool
is_call(struct tracer *t, unsigned long rip)
{
	static struct { unsigned long rip; bool call; } cache[CODE_CACHE];
	unsigned long code;

	if (cache[rip % CODE_CACHE].rip != rip) {
		code = (unsigned long)ptrace(PTRACE_PEEKTEXT, t->pid, rip, 0);
		cache[rip % CODE_CACHE].rip = rip;
		cache[rip % CODE_CACHE].call = (code & 0xffff) == 0x050f;
	}
	return cache[rip % CODE_CACHE].call;
}

static bool
next_is_call(struct tracer *t)
{
	return is_call(t, next_instruction(t));
}

static bool
is_ready(struct tracer *t)
{
	struct pollfd p = { .fd = t->base, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/*
 * Would it wait? Its first epoll set is libevent's. A timer is always due for one who is stepped,
 * so one that looks for events a third time in vain, and does nothing else, is idle as well.
 */
static bool
is_idle(struct tracer *t, int epoll_fd, bool waits)
{
	if (t->base < 0) {
		t->base = server_descriptor(t->s, epoll_fd);
		t->base_number = epoll_fd;
	}
	if (t->base_number != epoll_fd || is_ready(t))
		return false;
	return waits || ++t->vain > 2;
}

/* Calls that leave everything as it was, at least for a heir, who assumes that he was woken. */
static bool
only_asks(long nr)
{
	switch (nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_read:
	case SYS_getsockopt:
	case SYS_getsockname:
	case SYS_ioctl:
	case SYS_getrandom:
	case SYS_futex:
	case SYS_clock_gettime:
	case SYS_mmap:
	case SYS_munmap:
	case SYS_brk:
		return true;
	default:
		return false;
	}
}

/* It has entered a system call: would it wait, with nobody who has anything to tell it? */
static enum trace
look_at_call(struct tracer *t)
{
	struct ptrace_syscall_info i;

	t->at_rest = false;
	t->asks = true;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof i, &i) <= 0 ||
	    i.op != PTRACE_SYSCALL_INFO_ENTRY)
		return TRACE_POINT;
	t->asks = only_asks((long)i.entry.nr);
	t->kind = (uint32_t)i.entry.nr * 64 + (uint32_t)i.entry.args[0] % 64;
	if (i.entry.nr != SYS_epoll_wait && i.entry.nr != SYS_epoll_pwait)
		return TRACE_POINT;
	if (!is_idle(t, (int)i.entry.args[0], i.entry.args[3] != 0))
		return TRACE_POINT;
	t->at_rest = true;
	while (t->at_rest && t->idle != NULL) {
		if (!t->idle(t->arg))
			return TRACE_OVER;
		t->at_rest = !is_ready(t);
	}
	t->vain = 0;
	return t->at_rest ? TRACE_OVER : TRACE_POINT;
}

/* Up to the entry of the next call, or if it stands there, through it. */
static enum trace
to_call(struct tracer *t)
{
	if (t->at_call)
		return TRACE_POINT;
	if (!resume(t, PTRACE_SYSCALL))
		return TRACE_DIED;
	t->at_call = true;
	return look_at_call(t);
}

static enum trace
through_call(struct tracer *t)
{
	if (!resume(t, PTRACE_SYSCALL))
		return TRACE_DIED;
	t->at_call = false;
	if (t->asks)
		return TRACE_POINT;
	t->calls++;
	t->call = (uint64_t)t->kind << 32 | ++t->made[t->kind % CALL_KINDS];
	t->changes = t->vain = 0;
	t->hash = state_hash(t->s);
	return TRACE_POINT;
}

/* ---- running to points ---- */

int
trace_attach(struct tracer *t, const struct server *s, pid_t pid)
{
	memset(t, 0, sizeof *t);
	t->s = s;
	t->pid = pid;
	t->base = -1;
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) != 0)
		return -1;
	if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0 || !wait_stop(t))
		return -1;
	t->hash = state_hash(s);
	return 0;
}

enum trace
trace_to_rest(struct tracer *t)
{
	enum trace r = TRACE_POINT;
	unsigned i;

	t->idle = NULL;
	for (i = 0; i < CALLS_MAX && (r = to_call(t)) == TRACE_POINT; i++)
		if (through_call(t) == TRACE_DIED)
			return TRACE_DIED;
	return r;
}

void
trace_begin(struct tracer *t, trace_idle_fn idle, void *arg)
{
	t->calls = t->changes = t->vain = 0;
	t->call = 0;
	memset(t->made, 0, sizeof t->made);
	t->hash = state_hash(t->s);
	t->idle = idle;
	t->arg = arg;
}

/* The state may be another one now. */
static bool
has_changed(struct tracer *t)
{
	uint64_t h = state_hash(t->s);

	if (h == t->hash)
		return false;
	t->hash = h;
	t->changes++;
	t->vain = 0;
	return true;
}

/* One instruction that is no call. True: the region has changed. */
static bool
step(struct tracer *t, enum trace *r)
{
	t->steps++;
	if (!resume(t, PTRACE_SINGLESTEP)) {
		*r = TRACE_DIED;
		return false;
	}
	return has_changed(t);
}

/* The call at hand, the clients' turn before it included. */
static enum trace
call(struct tracer *t)
{
	enum trace r = t->at_call ? look_at_call(t) : to_call(t);

	return r == TRACE_POINT ? through_call(t) : r;
}

static struct point
here(const struct tracer *t, unsigned long rip)
{
	return (struct point){ t->calls, t->changes, t->call, rip };
}

static bool
was_skimmed(const struct skimmed *s, uint64_t call)
{
	unsigned i;

	for (i = 0; i < s->n; i++)
		if (s->call[i] == call)
			return true;
	return false;
}

enum trace
trace_skim(struct tracer *t, struct skimmed *s)
{
	enum trace r = TRACE_POINT;

	for (s->n = 0; r == TRACE_POINT;) {
		r = to_call(t);
		if (has_changed(t) && !was_skimmed(s, t->call) && s->n < SKIMMED_MAX)
			s->call[s->n++] = t->call;
		if (r == TRACE_POINT)
			r = through_call(t);
	}
	return r;
}

enum trace
trace_next(struct tracer *t, const struct skimmed *only, struct point *p)
{
	enum trace r = TRACE_POINT;

	for (;;) {
		unsigned long rip = next_instruction(t);
		bool steps = only == NULL || was_skimmed(only, t->call);
		uint32_t calls = t->calls;

		if (steps && !t->at_call && !is_call(t, rip)) {
			if (step(t, &r) || r == TRACE_DIED) {
				*p = here(t, rip);
				return r;
			}
		} else if ((r = call(t)) != TRACE_POINT || t->calls != calls) {
			*p = here(t, 0);
			return r;
		}
	}
}

enum trace
trace_step(struct tracer *t, struct point *p)
{
	unsigned long rip = next_instruction(t);
	enum trace r = TRACE_POINT;

	if (!t->at_call && !is_call(t, rip))
		step(t, &r);
	else
		r = call(t);
	*p = here(t, rip);
	return r;
}

/* ---- breakpoints ---- */

static const unsigned long nowhere[1];

/* Stops before these n instructions; 0 is nowhere. */
static void
break_at(struct tracer *t, const unsigned long *rip, unsigned n)
{
	unsigned long on = 0;
	unsigned i;

	for (i = 0; i < BREAKS; i++)
		on |= i < n && rip[i] != 0 ? 1ul << 2 * i : 0;
	if (n == t->nbroken && memcmp(rip, t->broken, n * sizeof *rip) == 0)
		return;
	ptrace(PTRACE_POKEUSER, t->pid, offsetof(struct user, u_debugreg[7]), 0);
	for (i = 0; i < n; i++)
		ptrace(PTRACE_POKEUSER, t->pid, offsetof(struct user, u_debugreg[i]), rip[i]);
	if (on != 0)
		ptrace(PTRACE_POKEUSER, t->pid, offsetof(struct user, u_debugreg[7]), on);
	memcpy(t->broken, rip, n * sizeof *rip);
	t->nbroken = n;
}

/* Is there a breakpoint before the next instruction? */
static bool
is_broken(struct tracer *t, unsigned long *rip)
{
	unsigned i;

	*rip = next_instruction(t);
	for (i = 0; i < t->nbroken; i++)
		if (*rip == t->broken[i])
			return true;
	return false;
}

/*
 * Runs until it stands before a breakpoint. TRACE_POINT also if it makes `calls` calls first, which
 * is seen by t->calls.
 */
static enum trace
run_to_break(struct tracer *t, uint32_t calls, unsigned long *rip)
{
	enum trace r;

	while (t->calls < calls && (t->at_call || !is_broken(t, rip))) {
		if (!t->at_call) {
			if (!resume(t, PTRACE_SYSCALL))
				return TRACE_DIED;
			if (WSTOPSIG(t->status) == SIGTRAP)	/* not |0x80: a breakpoint */
				continue;
			t->at_call = true;
		}
		if ((r = look_at_call(t)) != TRACE_POINT || (r = through_call(t)) != TRACE_POINT)
			return r;
	}
	return TRACE_POINT;
}

/* Breakpoints for the next of the points i .. n - 1, as many as there can be. */
static void
break_at_points(struct tracer *t, const struct point *p, unsigned i, unsigned n)
{
	unsigned long rip[BREAKS] = { 0 };
	unsigned have = 0, j;

	for (; i < n && have < BREAKS; i++) {
		for (j = 0; j < have && rip[j] != p[i].rip; j++)
			;
		if (j == have)
			rip[have++] = p[i].rip;
	}
	break_at(t, rip, have);
}

/*
 * On to the change that point k is, from where point i is the next to come; n: end of the stretch.
 * A store of what is there already is no change, so a point may be left out today.
 */
static enum trace
run_to_change(struct tracer *t, const struct point *p, unsigned i, unsigned k, unsigned n)
{
	uint32_t calls = t->calls + 1;
	enum trace r = TRACE_POINT;
	unsigned long rip;
	unsigned hits, j;

	for (hits = 0; hits < HITS_MAX && i <= k; hits++) {
		break_at_points(t, p, i, n);
		r = run_to_break(t, calls, &rip);
		if (r != TRACE_POINT || t->calls == calls)
			break;
		has_changed(t);		/* by an instruction that changed nothing last time */
		if (step(t, &r)) {
			t->changed_by = rip;
			for (j = i; j < n && p[j].rip != rip; j++)
				;
			i = j < n ? j + 1 : i;
		}
		if (r != TRACE_POINT)
			break;
	}
	break_at(t, nowhere, 0);
	return r;
}

enum trace
trace_to(struct tracer *t, const struct point *p, unsigned k, unsigned n)
{
	enum trace r = TRACE_POINT;
	unsigned i = k, end = k;

	while (t->call != p[k].call)
		if ((r = call(t)) != TRACE_POINT)
			return r;
	while (i > 0 && p[i - 1].calls == p[k].calls)
		i--;
	while (end < n && p[end].calls == p[k].calls)
		end++;
	t->changed_by = 0;
	i += p[i].rip == 0;			/* the call itself */
	return run_to_change(t, p, i, k, end);
}

enum trace
trace_by(struct tracer *t, unsigned long rip, unsigned hits)
{
	uint32_t calls = t->calls, changes = t->changes;
	enum trace r = TRACE_POINT;
	unsigned long at;

	break_at(t, &rip, 1);
	while (r == TRACE_POINT && t->calls == calls) {
		r = run_to_break(t, calls + 1, &at);
		if (r != TRACE_POINT || t->calls > calls || --hits == 0)
			break;
		if (is_call(t, rip))
			r = call(t);
		else
			step(t, &r);
		if (t->changes != changes)
			break;
	}
	break_at(t, nowhere, 0);
	if (r == TRACE_POINT)
		has_changed(t);
	return r;
}

/* Where the worker has mapped the region; 0: nowhere. */
static unsigned long
region_of(pid_t pid)
{
	char path[40], line[400];
	unsigned long start = 0, offset;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	f = fopen(path, "r");
	while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
		found = strstr(line, "/memfd:plenum ") != NULL &&
		    sscanf(line, "%lx-%*x %*s %lx", &start, &offset) == 2 && offset == 0;
	if (f != NULL)
		fclose(f);
	return found ? start : 0;
}

/* Stops behind each store to this word of the region. */
static void
watch(struct tracer *t, const word32 *word)
{
	unsigned long at = (unsigned long)((const unsigned char *)word - t->s->r.base);

	break_at(t, nowhere, 0);
	ptrace(PTRACE_POKEUSER, t->pid, offsetof(struct user, u_debugreg[0]),
	    region_of(t->pid) + at);
	ptrace(PTRACE_POKEUSER, t->pid, offsetof(struct user, u_debugreg[7]), WATCH_WORD);
	t->nbroken = 1;
	t->broken[0] = 0;
}

enum trace
trace_until(struct tracer *t, const word32 *word, uint32_t value, unsigned n)
{
	enum trace r = TRACE_POINT;

	watch(t, word);
	while (r == TRACE_POINT && word32_get(word) != value) {
		if (!t->at_call) {
			if (!resume(t, PTRACE_SYSCALL))
				return TRACE_DIED;
			if (WSTOPSIG(t->status) == SIGTRAP)
				continue;
			t->at_call = true;
		}
		if ((r = look_at_call(t)) == TRACE_POINT)
			r = through_call(t);
	}
	if (r == TRACE_DIED)
		return r;
	break_at(t, nowhere, 0);
	for (; n > 0 && r == TRACE_POINT && !next_is_call(t); n--)
		step(t, &r);
	return r;
}

/* ---- deaths ---- */

static void
forget(struct tracer *t)
{
	if (t->base >= 0)
		close(t->base);
	t->base = -1;
	t->nbroken = 0;
	t->at_call = t->at_rest = false;
}

void
trace_detach(struct tracer *t)
{
	break_at(t, nowhere, 0);
	ptrace(PTRACE_DETACH, t->pid, 0, 0);
	forget(t);
}

void
trace_gone(struct tracer *t)
{
	forget(t);
}

void
trace_stop(struct tracer *t)
{
	/* it is pending when the tracer lets go, so no further instruction is executed */
	kill(t->pid, SIGSTOP);
	trace_detach(t);
}

static void
reap(struct tracer *t)
{
	int status;

	while (waitpid(t->pid, &status, __WALL) == t->pid && WIFSTOPPED(status))
		ptrace(PTRACE_CONT, t->pid, 0, status >> 16 != 0 ? 0 : WSTOPSIG(status));
	forget(t);
}

/* The keeper clones: the child is stopped before its first instruction, and ours. */
static int
follow_keeper(struct tracer *t)
{
	pid_t keeper = t->s->keeper;
	unsigned long child = 0;
	int status;

	for (;;) {
		if (waitpid(keeper, &status, __WALL) != keeper || !WIFSTOPPED(status))
			return -1;
		if (status >> 16 == PTRACE_EVENT_FORK || status >> 16 == PTRACE_EVENT_CLONE)
			break;
		/* SIGCHLD and the like pass */
		ptrace(PTRACE_CONT, keeper, 0, status >> 16 != 0 ? 0 : WSTOPSIG(status));
	}
	ptrace(PTRACE_GETEVENTMSG, keeper, 0, &child);
	ptrace(PTRACE_DETACH, keeper, 0, 0);
	t->pid = (pid_t)child;
	if (!wait_stop(t))
		return -1;
	ptrace(PTRACE_SETOPTIONS, t->pid, 0, PTRACE_O_TRACESYSGOOD);
	trace_begin(t, NULL, NULL);
	return 0;
}

static int
seize_keeper(struct tracer *t)
{
	return (int)ptrace(PTRACE_SEIZE, t->s->keeper, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE);
}

int
trace_kill(struct tracer *t, bool heir)
{
	if (heir && seize_keeper(t) != 0)
		return -1;
	kill(t->pid, SIGKILL);
	reap(t);
	return heir ? follow_keeper(t) : 0;
}

int
trace_fault(struct tracer *t, int sig, bool heir)
{
	if (heir && seize_keeper(t) != 0)
		return -1;
	kill(t->pid, sig);
	ptrace(PTRACE_CONT, t->pid, 0, 0);
	reap(t);
	return heir ? follow_keeper(t) : 0;
}
