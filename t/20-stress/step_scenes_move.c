/*
 * Scenes of two workers between which connections move: one is stepped, the other runs. Which slots
 * take part is a word of the region; whoever does not gives everybody away, so the test moves
 * clients by storing it.
 *
 * A has several subscriptions, B is in the middle of a message, C is full and has a cut frame, D is
 * an event stream, F has said something by HTTP. E speaks at the other worker meanwhile, and hears
 * what A does.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ipc/inbox.h"
#include "shm/dirty.h"
#include "shm/move_layout.h"
#include "shm/slot_layout.h"
#include "t/20-stress/step_oracle.h"
#include "t/20-stress/step_scenes_priv.h"
#include "t/20-stress/step_server.h"

enum { MOVE_S = 4, STAY_S = 1, FORGED_MS = 300, CANCELLED_MS = 1300, EVERYBODY = 3 };

static unsigned away;			/* to which slot the clients of this turn go */
static unsigned descriptors;		/* of the second slot, without clients */
static unsigned listens[2];		/* both, to what, without clients */
static uint64_t withdrawn;		/* offers that were, before this turn */
static bool orphaned;			/* the target was killed or stopped in this turn */

static unsigned
descriptors_of(const struct oracle *o, unsigned slot)
{
	const struct server s = { .keeper = (pid_t)word32_get(
	    &region_slot(&o->s->r, slot)->keeper) };

	return server_descriptors(&s);
}

/* What the slot's epoll set listens to. */
static unsigned
registrations(const struct oracle *o, unsigned slot)
{
	const struct slot *s = region_slot(&o->s->r, slot);
	char path[64], line[200];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%u/fdinfo/%d", word32_get(&s->keeper), s->client_epoll);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		n += strncmp(line, "tfd:", 4) == 0;
	if (f != NULL)
		fclose(f);
	return n;
}

static uint64_t
withdrawn_by(const struct oracle *o, unsigned slot)
{
	return stat_get(&region_slot(&o->s->r, slot)->stats, STAT_MOVES_WITHDRAWN);
}

static uint64_t
open_in(const struct oracle *o, unsigned slot)
{
	return word_get(&region_slot(&o->s->r, slot)->conns_open);
}

static void
hint(struct oracle *o, unsigned slot)
{
	dirty_hint(&o->s->writer, slot, HINT_MOVES);
	server_wake(o->s);
}

/* From now on the other slot gives everybody away. */
static void
order(struct oracle *o, unsigned to)
{
	kill(o->s->master, SIGSTOP);	/* it would set the word as it should be */
	word_set(&o->s->r.head->open_slots, 1ull << to);
	hint(o, !to);
}

/* Clients know where they are served. */
static void
are_in(struct oracle *o, unsigned slot)
{
	unsigned i;

	for (i = 0; i < CLIENTS; i++)
		o->client[i].slot = slot;
}

static void
stay(struct oracle *o)
{
	word_set(&o->s->r.head->open_slots, EVERYBODY);
	kill(o->s->master, SIGCONT);
}

/* Everybody goes there; then nobody moves. */
static void
move_all(struct oracle *o, unsigned to)
{
	double until = server_now() + MOVE_S;

	order(o, to);
	while (open_in(o, !to) > 0 && server_now() < until)
		usleep(200);
	if (open_in(o, !to) > 0)
		went_wrong(o, WRONG_OTHER, "clients do not move");
	are_in(o, to);
	stay(o);
}

/* ---- what all have in common ---- */

static void
start_moves(struct oracle *o)
{
	o->racing = true;
	oracle_channel(o, 2, "three", false);		/* of A alone */
	descriptors = descriptors_of(o, 1);
	listens[0] = registrations(o, 0);
	listens[1] = registrations(o, 1);
}

/* Anew in each turn: so numbers of descriptors are the same, by which points are found again. */
static void
open_three(struct oracle *o)
{
	scene_open_subscriber(o, A, 0);
	scene_subscribe(o, A, 1);
	scene_subscribe(o, A, 2);
	scene_open_ws(o, B, 0);
	client_open(o, D, CLIENT_SSE, 0);
	scene_said.n = 0;
	say_events(o, D, 0, &scene_said);
	client_send(o, D, scene_said.p, scene_said.n);
	client_open(o, F, CLIENT_HTTP, 0);
	scene_said.n = 0;
	say_post(o, F, 1, 40, &scene_said);
	client_send(o, F, scene_said.p, scene_said.n);
	oracle_drain(o, 3);
}

/* C is full, and B has said half of something. */
static void
fill(struct oracle *o)
{
	unsigned n = 0;

	open_three(o);
	scene_open_ws(o, C, SMALL_RCVBUF);
	scene_subscribe(o, C, 0);
	scene_said.n = 0;
	say_publish(o, A, 0, 3600, &scene_said);
	say_publish(o, A, 0, 1600, &scene_said);
	client_send(o, A, scene_said.p, scene_said.n);
	while (n++ < 5000 && scene_await(o, A))
		usleep(200);
	scene_said.n = 0;
	say_publish(o, B, 0, 900, &scene_said);
	scene_cut[0] = scene_said.n - 300;
	client_send(o, B, scene_said.p, scene_cut[0]);
	usleep(2000);
}

static void
open_elsewhere(struct oracle *o, unsigned slot)
{
	o->open_slot = slot;
	client_open(o, E, CLIENT_WS, 0);
	scene_said2.n = 0;
	say_upgrade(o, E, &scene_said2);
	client_send(o, E, scene_said2.p, scene_said2.n);
	while (scene_await(o, E))
		usleep(200);
	o->open_slot = 0;
	scene_said2.n = 0;
	say_subscribe(o, E, 1, &scene_said2);
	client_send(o, E, scene_said2.p, scene_said2.n);
	while (scene_await(o, E))
		usleep(200);
	scene_said2.n = 0;
	say_publish(o, E, 0, 130, &scene_said2);
}

/* Who has gone is heard no more, and was not lost on the way. */
static void
check_gone(struct oracle *o)
{
	unsigned n = registrations(o, !away);

	if (n > listens[!away])
		went_wrong(o, WRONG_OTHER, "the source listens to %u that are gone",
		    n - listens[!away]);
	/* a target that is stepped may take as long */
	if ((away == 1 || orphaned) && withdrawn_by(o, !away) != withdrawn)
		went_wrong(o, WRONG_OTHER, "an offer was not made");
}

/* Everybody goes; meanwhile A and E speak, and when all are there, everybody does. */
static bool
act_move(struct oracle *o, unsigned n)
{
	static struct bytes b;
	static unsigned stage, reads;

	if (n == 0) {
		stage = reads = 0;
		b.n = 0;
		say_publish_no_echo(o, A, 0, 70, &b);
		client_send(o, A, b.p, b.n);
		client_send(o, E, scene_said2.p, scene_said2.n);
		order(o, away);
		return true;
	}
	if (stage == 0 && open_in(o, !away) > 0) {
		usleep(200);
		return true;
	}
	if (stage++ == 0) {
		check_gone(o);
		are_in(o, away);
		stay(o);
		client_send(o, B, scene_said.p + scene_cut[0], scene_said.n - scene_cut[0]);
		b.n = 0;
		say_publish(o, A, 1, 60, &b);
		say_publish(o, A, 2, 90, &b);
		client_send(o, A, b.p, b.n);
		b.n = 0;
		say_publish(o, E, 0, 80, &b);
		client_send(o, E, b.p, b.n);
		b.n = 0;
		say_post(o, F, 1, 50, &b);
		client_send(o, F, b.p, b.n);
		return true;
	}
	if (client_is_done(o, C) || o->why[0] != '\0')
		return false;
	client_read(o, C, reads++ < 20 ? 1500 : INPUT);
	return true;
}

/* Everybody is gone, and nothing is left of it. */
static void
check_slots(struct oracle *o)
{
	unsigned i;

	if (open_in(o, 0) != 0 || open_in(o, 1) != 0)
		went_wrong(o, WRONG_OTHER, "without clients the slots have %u and %u",
		    (unsigned)open_in(o, 0), (unsigned)open_in(o, 1));
	for (i = 0; i < 2; i++)
		if (word_get(&region_slot(&o->s->r, i)->arriving) != 0)
			went_wrong(o, WRONG_OTHER, "slot %u has something arriving", i);
	if (descriptors_of(o, 1) != descriptors)
		went_wrong(o, WRONG_OTHER, "the second slot has %u descriptors, not %u",
		    descriptors_of(o, 1), descriptors);
}

static void
finish_move(struct oracle *o)
{
	double until = server_now() + STAY_S;
	unsigned i;

	stay(o);
	for (i = A; i <= F; i++)
		client_close(o, i);
	while ((open_in(o, 0) + open_in(o, 1) > 0 || descriptors_of(o, 1) != descriptors) &&
	    server_now() < until)
		usleep(200);
	check_slots(o);
}

/* ---- the source is stepped ---- */

static bool
has_ended(pid_t pid)
{
	return kill(pid, 0) != 0;
}

/* The second slot is told to close: its clients are served by the first, and nobody is left. */
static void
start_source(struct oracle *o)
{
	struct slot *s = region_slot(&o->s->r, 1);
	double until = server_now() + MOVE_S;
	pid_t pid;

	start_moves(o);
	open_three(o);
	move_all(o, 1);
	pid = (pid_t)word32_get(&s->keeper);
	word32_set(&s->order, ORDER_CLOSE);
	hint(o, 1);
	while (!has_ended(pid) && server_now() < until)
		usleep(1000);
	if (!has_ended(pid) || open_in(o, 1) != 0)
		went_wrong(o, WRONG_OTHER, "a slot that is to close does not");
	are_in(o, 0);
	publish_self(o, 0, 50);
	server_wake(o->s);
	oracle_drain(o, 3);
	word32_set(&s->order, ORDER_RUN);
	while ((word32_get(&s->pid) == 0 || word32_get(&s->sleeping) == 0 ||
	    descriptors_of(o, 1) < descriptors) && server_now() < until + MOVE_S)
		usleep(1000);
	finish_move(o);
}

static void
prepare_source(struct oracle *o)
{
	away = 1;
	withdrawn = withdrawn_by(o, 0);
	fill(o);
	open_elsewhere(o, 1);
}

/* ---- the target is stepped ---- */

/* Another worker begins with the same private memory each time, and so offers in the same order. */
static void
renew_source(struct oracle *o)
{
	struct slot *s = region_slot(&o->s->r, 1);
	double until = server_now() + MOVE_S;
	uint32_t pid = word32_get(&s->pid);

	kill((pid_t)pid, SIGKILL);
	while ((word32_get(&s->pid) == pid || word32_get(&s->sleeping) == 0) &&
	    server_now() < until)
		usleep(200);
}

static void
prepare_target(struct oracle *o)
{
	renew_source(o);
	fill(o);
	move_all(o, 1);
	open_elsewhere(o, 0);
	away = 0;
	orphaned = false;
	withdrawn = withdrawn_by(o, 1);
}

/* The record of the worker of slot 1 that is open, with another socket than its own. */
static uint32_t
forge(struct oracle *o, struct inbox_message *m, int *fd)
{
	const struct region *r = &o->s->r;
	struct conn *c = region_conns(r, 1);
	uint32_t i = 0;

	while ((word32_get(&c[i].state) & CONN_LIFE_MASK) != CONN_OPEN)
		i++;
	*fd = o->client[A].fd;
	m->from = 1;
	m->record = i;
	m->gen = move_gen(word_get(&region_moves(r, 1)[i])) + 1;
	m->cookie = word_get(&c[i].cookie);
	return i;
}

/* The source looks while there is no target. */
static void
look_again(struct oracle *o)
{
	orphaned = true;
	hint(o, 1);
	usleep(3000);
}

/* A descriptor that is not the record's socket is not taken for it, whatever the message says. */
static void
start_target(struct oracle *o)
{
	const struct region *r = &o->s->r;
	struct region here = *r;
	struct slot *slots = here.slots, copy[1];
	struct inbox_message m;
	word32 *state;
	uint32_t i;
	int fd, out;

	start_moves(o);
	open_three(o);
	move_all(o, 1);
	memset(&m, 0, sizeof m);
	i = forge(o, &m, &fd);
	state = &region_conns(r, 1)[i].state;
	word_set(&region_moves(r, 1)[i], move_make(m.gen, 0, MOVE_OFFERED));
	word32_set(state, word32_get(state) | CONN_MOVING);
	/* our own number of the slot's outbox */
	out = server_descriptor(o->s, slots[0].outbox);
	memset(copy, 0, sizeof copy);
	copy[0].outbox = out;
	here.slots = copy;
	if (inbox_send(&here, 0, &m, fd) != 0)
		went_wrong(o, WRONG_OTHER, "no message can be sent");
	usleep(FORGED_MS * 1000);
	close(out);
	if (word_get(&region_moves(r, 1)[i]) != move_make(m.gen, 0, MOVE_OFFERED) ||
	    open_in(o, 0) != 0)
		went_wrong(o, WRONG_OTHER, "another connection's socket was taken");
	word_set(&region_moves(r, 1)[i], move_make(m.gen, 0, MOVE_NONE));
	word32_set(state, (word32_get(state) & ~(uint32_t)CONN_LIFE_MASK) | CONN_OPEN);
	finish_move(o);
}

/*
 * A copy of a socket lies in the inbox of a worker that stands still, and the client goes: it is
 * told so, and nobody listens to it any more.
 */
static void
check_copies(struct oracle *o)
{
	struct slot *target = region_slot(&o->s->r, 0);
	struct timeval soon = { 1, 0 };
	char byte;
	int fd;

	open_three(o);
	move_all(o, 1);
	kill((pid_t)word32_get(&target->pid), SIGSTOP);
	order(o, 0);
	usleep(CANCELLED_MS * 1000);
	stay(o);
	fd = o->client[B].fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
	shutdown(fd, SHUT_WR);
	if (recv(fd, &byte, 1, 0) != 0)
		went_wrong(o, WRONG_OTHER, "who leaves is not told that it is closed");
	if (registrations(o, 1) != listens[1] + 3)
		went_wrong(o, WRONG_OTHER, "the source listens to what is closed");
	kill((pid_t)word32_get(&target->pid), SIGCONT);
	move_all(o, 0);
	finish_move(o);
}

/* ---- the target stands still until the offers have ended, and there are others ---- */

static void
offered_again(struct oracle *o)
{
	struct timespec now;

	if (open_in(o, 1) == 0)
		return;
	usleep(CANCELLED_MS * 1000);		/* the source serves them, and looks at its tick */
	publish_self(o, 0, 50);
	server_wake(o->s);
	usleep(50000);
	clock_gettime(CLOCK_MONOTONIC, &now);
	word_set(&region_slot(&o->s->r, 0)->beat,
	    (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
	hint(o, 1);
	usleep(20000);
}

static void
start_again(struct oracle *o)
{
	start_moves(o);
	check_copies(o);
}

const struct scene scene_move_away = { .name = "connections move away", .start = start_source,
	.prepare = prepare_source, .act = act_move, .finish = finish_move, .workers = 2 };
const struct scene scene_move_in = { .name = "connections arrive", .start = start_target,
	.prepare = prepare_target, .act = act_move, .orphaned = look_again,
	.finish = finish_move, .workers = 2 };
const struct scene scene_move_again = { .name = "connections are offered again",
	.start = start_again, .prepare = prepare_target, .act = act_move,
	.orphaned = offered_again, .finish = finish_move, .workers = 2, .slow = true };
