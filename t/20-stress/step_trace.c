/*
 * System calls are run with PTRACE_SYSCALL, the instructions between them one by one with
 * PTRACE_SINGLESTEP. On the way to a known point only the stretch it lies in is stepped; the calls
 * before it are counted, which costs two stops each.
 *
 * After each instruction the words of the region that an heir goes by are hashed: the slot's own
 * line, the records in use, the extensions, blocks, spans and lists that they name, the channels
 * with the cells around their tails. A changed hash is a point, and so is a system call.
 *
 * No points are calls that only ask, and words that only tell the time: they depend on the clock,
 * and on whether the worker is an heir, and points would not be found again.
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

#include "shm/channel_layout.h"
#include "shm/frame_layout.h"
#include "shm/slot_layout.h"
#include "t/20-stress/step_server.h"

enum { CODE_CACHE = 1 << 16, NAMED_BYTES = 64, CELLS_HASHED = 4, CALLS_MAX = 20000 };

/* ---- the region's state ---- */

static uint64_t
mix(uint64_t h, const void *p, size_t n)
{
	const volatile uint64_t *w = p;
	size_t i;

	for (i = 0; i < n / 8; i++) {
		h = (h ^ w[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 31;
	}
	return h;
}

/* Bytes that are named: so many, or the first of them. */
static uint64_t
mix_bytes(uint64_t h, const unsigned char *p, uint64_t n)
{
	return mix(h, p, n < NAMED_BYTES ? (size_t)n : NAMED_BYTES);
}

static uint64_t
mix_block(const struct region *r, uint64_t h, uint64_t block)
{
	const struct block *k;

	if (block == 0 || block > r->caps.blocks)
		return h;
	k = region_block(r, 0, (uint32_t)block - 1);
	return mix_bytes(mix(h, k, offsetof(struct block, data)), k->data, word_get(&k->len));
}

static uint64_t
mix_assembly(const struct region *r, uint64_t h, uint64_t block)
{
	const struct block *k;

	if (block == 0 || block > r->caps.blocks)
		return h;
	k = region_block(r, 0, (uint32_t)block - 1);
	return mix_bytes(mix(h, &k->commit, 16), k->data, commit_len(word_get(&k->commit)));
}

static const struct span *
span_at(const struct region *r, uint64_t ref)
{
	uint64_t at = (ref - 1) * FRAME_UNIT;

	if (ref == 0 || at + sizeof(struct span_list) + NAMED_BYTES > r->caps.frame_arena)
		return NULL;
	return (const struct span *)(region_frames(r, 0) + at);
}

/* Behind what is committed, and of effects that are not valid, there may be anything. */
static uint64_t
mix_span(const struct region *r, uint64_t h, uint64_t ref)
{
	const struct span *s = span_at(r, ref);
	uint64_t commit;

	if (s == NULL)
		return h;
	commit = word_get(&s->commit);
	h = mix(h, &s->commit, 8);
	if (s->kind != SPAN_REPLY)
		return mix_bytes(mix(h, s, sizeof *s), s->data, commit_len(commit));
	if (word_get(&s->from) == commit)
		h = mix(h, s->data, SPAN_EFFECTS * sizeof(struct effect));
	return mix_bytes(mix(h, &s->from, 8), s->data + SPAN_EFFECTS * sizeof(struct effect),
	    commit_len(commit));
}

static uint64_t
mix_plan(const struct region *r, uint64_t h, uint64_t plan)
{
	const struct span_list *l;

	switch (plan_kind(plan)) {
	case PLAN_CUT:
		return mix_block(r, h, plan_ref(plan));
	case PLAN_SPAN:
		return mix_span(r, h, plan_ref(plan));
	case PLAN_LIST:
		l = (const struct span_list *)(const void *)span_at(r, plan_ref(plan));
		return l == NULL ? h : mix(h, l, 8 + 8 * (l->n <= LIST_MAX ? l->n : 0));
	case PLAN_NONE:
		break;
	}
	return h;
}

static uint64_t
mix_conn(const struct region *r, uint64_t h, const struct conn *c)
{
	uint64_t ext = word_get(&c->ext);
	enum ext_class k = (enum ext_class)(ext >> 28 & 3);

	/* without what only tells the time: it would make points of its own */
	h = mix(h, c, offsetof(struct conn, seen));
	h = mix(h, &c->stream, offsetof(struct conn, deadline) - offsetof(struct conn, stream));
	h = mix(h, &c->goodbye, sizeof *c - offsetof(struct conn, goodbye));
	if (ext != 0 && k < EXT_CLASSES && (ext & 0xfffffff) <= r->caps.conns)
		h = mix(h, region_ext(r, 0, k, (uint32_t)(ext & 0xfffffff) - 1),
		    ext_subs(k) * sizeof(struct sub));
	h = mix_plan(r, h, word_get(&c->plan));
	h = mix_span(r, h, word_get(&c->ctl));
	h = mix_block(r, h, word_get(&c->part));
	return mix_assembly(r, h, word_get(&c->assembly));
}

static uint64_t
mix_channel(const struct region *r, uint64_t h, uint32_t chan)
{
	const struct channel *c = &r->channels[chan];
	uint64_t q;
	unsigned i;

	h = mix(h, c, 48);
	q = word_get(&c->tail);
	for (i = 0; i < CELLS_HASHED; i++)
		h = mix(
		    h, region_ring(r, chan) + ((q + i) & channel_mask(c, r->caps.ring_cells)), 8);
	return h;
}

static uint64_t
state_hash(const struct server *s)
{
	const struct region *r = &s->r;
	const struct conn *c = region_conns(r, 0);
	uint64_t h = mix(1, s->slot, 64), used = word_get(&s->slot->conns_used), i;

	for (i = 0; i < used && i < r->caps.conns; i++)
		if (word32_get(&c[i].state) != CONN_FREE)
			h = mix_conn(r, h, &c[i]);
	for (i = 0; i < s->nchans; i++)
		h = mix_channel(r, h, s->chan[i]);
	i = word_get(&s->slot->claiming);
	return i == 0 || i > r->caps.channels ? h : mix_channel(r, h, (uint32_t)i - 1);
}

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

static bool
next_is_call(struct tracer *t)
{
	static struct { unsigned long rip; bool call; } cache[CODE_CACHE];
	unsigned long rip, code;

	rip = (unsigned long)ptrace(
	    PTRACE_PEEKUSER, t->pid, offsetof(struct user_regs_struct, rip), 0);
	if (cache[rip % CODE_CACHE].rip != rip) {
		code = (unsigned long)ptrace(PTRACE_PEEKTEXT, t->pid, rip, 0);
		cache[rip % CODE_CACHE].rip = rip;
		cache[rip % CODE_CACHE].call = (code & 0xffff) == 0x050f;
	}
	return cache[rip % CODE_CACHE].call;
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
	t->hash = state_hash(t->s);
	t->idle = idle;
	t->arg = arg;
}

/* One instruction that is no call. True: the region has changed. */
static bool
step(struct tracer *t, enum trace *r)
{
	uint64_t h;

	t->steps++;
	if (!resume(t, PTRACE_SINGLESTEP)) {
		*r = TRACE_DIED;
		return false;
	}
	h = state_hash(t->s);
	if (h == t->hash)
		return false;
	t->hash = h;
	t->changes++;
	t->vain = 0;
	return true;
}

/* The call at hand, the clients' turn before it included. */
static enum trace
call(struct tracer *t)
{
	enum trace r = t->at_call ? look_at_call(t) : to_call(t);

	return r == TRACE_POINT ? through_call(t) : r;
}

enum trace
trace_next(struct tracer *t)
{
	enum trace r = TRACE_POINT;

	for (;;) {
		uint32_t calls = t->calls;

		if (!t->at_call && !next_is_call(t)) {
			if (step(t, &r) || r == TRACE_DIED)
				return r;
		} else if ((r = call(t)) != TRACE_POINT || t->calls != calls)
			return r;
	}
}

enum trace
trace_to(struct tracer *t, struct point p)
{
	enum trace r = TRACE_POINT;

	while (t->calls < p.calls)
		if ((r = call(t)) != TRACE_POINT)
			return r;
	while (t->calls == p.calls && t->changes < p.changes) {
		if (t->at_call || next_is_call(t))
			r = call(t);
		else
			step(t, &r);
		if (r != TRACE_POINT)
			return r;
	}
	return TRACE_POINT;
}

enum trace
trace_until(struct tracer *t, const word32 *word, uint32_t value, unsigned n)
{
	enum trace r = TRACE_POINT;

	while (word32_get(word) != value) {
		if (t->at_call || next_is_call(t))
			r = call(t);
		else
			step(t, &r);
		if (r != TRACE_POINT)
			return r;
	}
	for (; n > 0 && !next_is_call(t); n--) {
		step(t, &r);
		if (r == TRACE_DIED)
			return r;
	}
	return TRACE_POINT;
}

/* ---- deaths ---- */

static void
forget(struct tracer *t)
{
	if (t->base >= 0)
		close(t->base);
	t->base = -1;
	t->at_call = t->at_rest = false;
}

void
trace_detach(struct tracer *t)
{
	ptrace(PTRACE_DETACH, t->pid, 0, 0);
	forget(t);
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
