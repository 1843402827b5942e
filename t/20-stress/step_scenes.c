#define _GNU_SOURCE
#include "t/20-stress/step_scenes.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "shm/channel.h"
#include "t/20-stress/step_scenes_priv.h"
#include "t/20-stress/step_server.h"

struct bytes scene_said, scene_said2;
size_t scene_cut[2];

/* ---- what scenes have in common ---- */

void
scene_open_ws(struct oracle *o, unsigned i, int rcvbuf)
{
	client_open(o, i, CLIENT_WS, rcvbuf);
	scene_said.n = 0;
	say_upgrade(o, i, &scene_said);
	client_send(o, i, scene_said.p, scene_said.n);
	oracle_drain(o, 3);
}

void
scene_subscribe(struct oracle *o, unsigned i, unsigned chan)
{
	scene_said.n = 0;
	say_subscribe(o, i, chan, &scene_said);
	client_send(o, i, scene_said.p, scene_said.n);
	oracle_drain(o, 3);
}

void
scene_open_subscriber(struct oracle *o, unsigned i, unsigned chan)
{
	scene_open_ws(o, i, 0);
	scene_subscribe(o, i, chan);
}

bool
scene_send_pieces(struct oracle *o, unsigned i, unsigned n)
{
	unsigned last = scene_cut[1] == 0 ? 1 : 2;
	size_t from, to;

	if (n > last)
		return false;
	from = n == 0 ? 0 : scene_cut[n - 1];
	to = n == last ? scene_said.n : scene_cut[n];
	client_send(o, i, scene_said.p + from, to - from);
	return true;
}

bool
scene_await(struct oracle *o, unsigned i)
{
	client_read(o, i, INPUT);
	return o->why[0] == '\0' && !client_is_done(o, i);
}

void
scene_warm(struct oracle *o)
{
	scene_open_ws(o, F, 0);
	client_close(o, F);
	oracle_drain(o, 3);
	client_open(o, F, CLIENT_HTTP, 0);
	scene_said.n = 0;
	say_history(o, F, 1, o->chan[1].count, &scene_said);
	client_send(o, F, scene_said.p, scene_said.n);
	oracle_drain(o, 3);
	client_close(o, F);
	oracle_drain(o, 3);
}

void
scene_reset(struct oracle *o, unsigned i)
{
	struct linger now = { 1, 0 };

	if (o->client[i].fd >= 0)
		setsockopt(o->client[i].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	client_close(o, i);
}

void
scene_others(struct oracle *o, unsigned chan, unsigned events)
{
	uint32_t number = o->s->chan[chan];
	uint64_t tail;
	unsigned i;

	/* so many that, with those in flight, the oldest may go */
	if (events >= STEP_HISTORY / 2)
		o->chan[chan].may_gap = true;
	channel_join(&o->s->writer, number, &tail);
	for (i = 0; i < events; i++)
		publish_self(o, chan, 80);
	channel_leave(&o->s->writer, number);
	server_wake(o->s);
}

/* ---- 1: messages cut into three pieces, three subscribers, one of them full ---- */

static void
start_full(struct oracle *o)
{
	scene_open_subscriber(o, A, 0);
	scene_open_subscriber(o, B, 0);
}

/* The full one is another connection each time: what the kernel grants it changes with its age. */
static void
prepare_full(struct oracle *o)
{
	scene_open_ws(o, C, SMALL_RCVBUF);
	scene_subscribe(o, C, 0);
	scene_said.n = 0;
	say_publish(o, A, 0, 3600, &scene_said);
	scene_cut[0] = 1500;
	scene_cut[1] = scene_said.n + 300;
	say_publish(o, A, 0, 1600, &scene_said);
	say_publish(o, A, 0, 60, &scene_said);
}

static void
close_third(struct oracle *o)
{
	client_close(o, C);
}

static bool
act_full(struct oracle *o, unsigned n)
{
	if (n < 3)
		return scene_send_pieces(o, A, n);
	if (client_is_done(o, C) || o->why[0] != '\0')
		return false;
	client_read(o, C, n < 40 ? 1500 : INPUT);
	return true;
}

/* ---- 2: subscribe to a second channel, publish there, unsubscribe, in one read ---- */

static void
start_three(struct oracle *o)
{
	scene_open_subscriber(o, B, 1);
	scene_subscribe(o, B, 0);
}

static void
prepare_three(struct oracle *o)
{
	scene_open_subscriber(o, A, 0);
	scene_said.n = 0;
	say_subscribe(o, A, 1, &scene_said);
	say_publish(o, A, 1, 200, &scene_said);
	say_unsubscribe(o, A, 1, &scene_said);
}

bool
scene_act_once(struct oracle *o, unsigned n)
{
	if (n > 0)
		return false;
	client_send(o, A, scene_said.p, scene_said.n);
	return true;
}

void
scene_close_first(struct oracle *o)
{
	client_close(o, A);
}

/* ---- 3: a client comes, subscribes, gets an event, leaves ---- */

static void
start_visit(struct oracle *o)
{
	scene_open_subscriber(o, B, 0);
}

static void
prepare_visit(struct oracle *o)
{
	scene_warm(o);
	scene_said.n = scene_said2.n = 0;
}

/* Each stage from the third on waits for the answers to the one before. */
static bool
act_visit(struct oracle *o, unsigned n)
{
	static unsigned stage;

	stage = n == 0 ? 0 : stage;
	if (stage >= 3 && stage <= 5 && scene_await(o, A))
		return true;
	switch (stage++) {
	case 0:
		client_open(o, A, CLIENT_WS, 0);
		say_upgrade(o, A, &scene_said);
		return true;
	case 1:
		client_send(o, A, scene_said.p, 50);
		return true;
	case 2:
		client_send(o, A, scene_said.p + 50, scene_said.n - 50);
		return true;
	case 3:
		scene_said.n = 0;
		say_subscribe(o, A, 0, &scene_said);
		say_subscribe(o, A, 1, &scene_said);
		client_send(o, A, scene_said.p, scene_said.n);
		return true;
	case 4:
		say_publish(o, B, 0, 100, &scene_said2);
		client_send(o, B, scene_said2.p, scene_said2.n);
		return true;
	case 5:
		client_close(o, A);
		return true;
	default:
		return false;
	}
}

/* ---- 4: HTTP, pipelined, the last body in two pieces ---- */

static void
start_http(struct oracle *o)
{
	client_open(o, A, CLIENT_HTTP, 0);
	scene_open_subscriber(o, B, 0);
	scene_said.n = 0;
	say_post(o, A, 0, 50, &scene_said);
	say_post(o, A, 0, 50, &scene_said);
	client_send(o, A, scene_said.p, scene_said.n);
	oracle_drain(o, 3);
}

static void
prepare_http(struct oracle *o)
{
	scene_warm(o);
	scene_said.n = 0;
	say_post(o, A, 0, 70, &scene_said);
	say_history(o, A, 0, o->chan[0].count - 3, &scene_said);
	say_post(o, A, 0, 90, &scene_said);
	scene_cut[0] = scene_said.n - 50;
	scene_cut[1] = 0;
}

/* ---- 5: while nobody serves, the ring goes round ---- */

static void
start_lapped(struct oracle *o)
{
	scene_open_subscriber(o, A, 0);
	scene_open_subscriber(o, B, 0);
	o->racing = true;
}

static void
prepare_one(struct oracle *o)
{
	scene_said.n = 0;
	say_publish(o, A, 0, 150, &scene_said);
}

static void
lap(struct oracle *o)
{
	scene_others(o, 0, STEP_HISTORY + 6);
}

/* ---- 6: a fragmented message with pings in it, and an event stream ---- */

static void
start_fragments(struct oracle *o)
{
	struct bytes b = { .n = 0 };

	scene_open_ws(o, A, 0);
	client_open(o, B, CLIENT_SSE, 0);
	say_events(o, B, 0, &b);
	client_send(o, B, b.p, b.n);
	oracle_drain(o, 3);
}

static void
prepare_fragments(struct oracle *o)
{
	scene_said.n = 0;
	scene_cut[0] = say_fragments(o, A, 0, 1200, &scene_said);
	scene_cut[1] = 0;
}

bool
scene_act_in_pieces(struct oracle *o, unsigned n)
{
	return scene_send_pieces(o, A, n);
}

/* ---- 7: two publishers in one turn, and more from the first ---- */

static void
start_two(struct oracle *o)
{
	scene_open_subscriber(o, A, 0);
	scene_open_ws(o, B, 0);
	scene_open_subscriber(o, C, 0);
}

static void
prepare_two(struct oracle *o)
{
	scene_said.n = scene_said2.n = 0;
	say_publish(o, A, 0, 120, &scene_said);
	scene_cut[0] = scene_said.n;
	scene_cut[1] = 0;
	say_publish(o, B, 0, 180, &scene_said2);
	say_publish(o, A, 0, 90, &scene_said);
}

static bool
act_two(struct oracle *o, unsigned n)
{
	if (n == 0)
		client_send(o, B, scene_said2.p, scene_said2.n);
	return scene_send_pieces(o, A, n);
}

/* ---- 8: as 2, into a new channel, the extension full, so that it is copied into a larger ---- */

static unsigned fresh;

static void
start_growth(struct oracle *o)
{
	scene_open_subscriber(o, B, 0);
}

static void
prepare_growth(struct oracle *o)
{
	char name[40];
	unsigned i;

	snprintf(name, sizeof name, "fresh-%u", ++fresh);
	oracle_channel(o, 2, name, true);
	scene_open_subscriber(o, A, 0);
	/* answered anew each, in places of their own: 1 and 8 are taken */
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof name, "filler-%u", i);
		oracle_channel(o, 1, name, true);
		scene_subscribe(o, A, 1);
		o->client[A].next[1] = 0;
	}
	oracle_channel(o, 1, "", true);
	scene_said.n = 0;
	say_subscribe(o, A, 2, &scene_said);
	say_publish(o, A, 2, 200, &scene_said);
	say_publish(o, A, 0, 70, &scene_said);
	scene_cut[0] = scene_said.n - 20;
	scene_cut[1] = 0;
}

/* ---- 9: one message, for faults ---- */

static void
start_poison(struct oracle *o)
{
	scene_open_subscriber(o, B, 0);
	scene_open_subscriber(o, C, 0);
}

static void
prepare_poison(struct oracle *o)
{
	scene_open_ws(o, A, 0);
	o->client[A].fall_code = 1011;
	o->client[A].fall_reason = "this message ends workers";
	scene_said.n = 0;
	say_publish(o, A, 0, 150, &scene_said);
}

static const struct scene full = { .name = "a full subscriber", .start = start_full,
	.prepare = prepare_full, .act = act_full, .finish = close_third };
static const struct scene three = { .name = "three messages in one read", .start = start_three,
	.prepare = prepare_three, .act = scene_act_once, .finish = scene_close_first };
static const struct scene visit = { .name = "a client comes and leaves", .start = start_visit,
	.prepare = prepare_visit, .act = act_visit };
static const struct scene http = { .name = "pipelined HTTP", .start = start_http,
	.prepare = prepare_http, .act = scene_act_in_pieces, .quiet = true };
static const struct scene lapped = { .name = "the ring goes round", .start = start_lapped,
	.prepare = prepare_one, .act = scene_act_once, .orphaned = lap };
static const struct scene fragments = { .name = "fragments and an event stream",
	.start = start_fragments, .prepare = prepare_fragments, .act = scene_act_in_pieces };
static const struct scene two = { .name = "two publishers", .start = start_two,
	.prepare = prepare_two, .act = act_two };
static const struct scene growth = { .name = "a new channel, a larger extension",
	.start = start_growth, .prepare = prepare_growth, .act = scene_act_in_pieces,
	.finish = scene_close_first };
static const struct scene poison = { .name = "faults", .start = start_poison,
	.prepare = prepare_poison, .act = scene_act_once, .finish = scene_close_first,
	.faults = true };

static const struct scene *const scenes[] = {
	&full, &three, &visit, &http, &lapped, &fragments, &two, &growth, &poison,
	&scene_keys, &scene_keys_of_two, &scene_event_stream, &scene_long_history,
	&scene_reload, &scene_latest, &scene_close, &scene_two_workers, &scene_rate,
	&scene_goodbye, &scene_cut_off, &scene_poisoned_subscribe, &scene_elsewhere,
	&scene_first, &scene_poisoned_post, &scene_keys_turned, &scene_keys_of_two_turned,
	&scene_other_keeper, &scene_move_away, &scene_move_in, &scene_move_again,
};

const struct scene *
scene_get(unsigned number)
{
	if (number < 1 || number > sizeof scenes / sizeof scenes[0])
		return NULL;
	return scenes[number - 1];
}
