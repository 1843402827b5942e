#define _GNU_SOURCE
#include "t/20-stress/step_scenes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "t/20-stress/step_server.h"

enum { A, B, C, D, SMALL_RCVBUF = 2304 };

static struct bytes said, said2;	/* in this turn, by one client and by another */
static size_t cut[2];			/* what is said first comes in pieces that end here */

/* ---- what scenes have in common ---- */

static void
open_ws(struct oracle *o, unsigned i, int rcvbuf)
{
	client_open(o, i, CLIENT_WS, rcvbuf);
	said.n = 0;
	say_upgrade(o, i, &said);
	client_send(o, i, said.p, said.n);
	oracle_drain(o, 3);
}

static void
subscribe(struct oracle *o, unsigned i, unsigned chan)
{
	said.n = 0;
	say_subscribe(o, i, chan, &said);
	client_send(o, i, said.p, said.n);
	oracle_drain(o, 3);
}

static void
open_subscriber(struct oracle *o, unsigned i, unsigned chan)
{
	open_ws(o, i, 0);
	subscribe(o, i, chan);
}

/* In three pieces, or in two if the second cut is 0. */
static bool
send_pieces(struct oracle *o, unsigned i, unsigned n)
{
	unsigned last = cut[1] == 0 ? 1 : 2;
	size_t from, to;

	if (n > last)
		return false;
	from = n == 0 ? 0 : cut[n - 1];
	to = n == last ? said.n : cut[n];
	client_send(o, i, said.p + from, to - from);
	return true;
}

/* Reads until the client has all that it must get; the worker is given its turns. True: not yet. */
static bool
await(struct oracle *o, unsigned i)
{
	client_read(o, i, INPUT);
	return o->why[0] == '\0' && !client_is_done(o, i);
}

/* ---- 1: messages cut into three pieces, three subscribers, one of them full ---- */

static void
start_full(struct oracle *o)
{
	open_subscriber(o, A, 0);
	open_subscriber(o, B, 0);
	open_ws(o, C, SMALL_RCVBUF);
	subscribe(o, C, 0);
}

static void
prepare_full(struct oracle *o)
{
	said.n = 0;
	say_publish(o, A, 0, 3600, &said);
	cut[0] = 1500;
	cut[1] = said.n + 300;
	say_publish(o, A, 0, 1600, &said);
	say_publish(o, A, 0, 60, &said);
}

static bool
act_full(struct oracle *o, unsigned n)
{
	if (n < 3)
		return send_pieces(o, A, n);
	if (client_is_done(o, C) || o->why[0] != '\0')
		return false;
	client_read(o, C, n < 40 ? 1500 : INPUT);
	return true;
}

/* ---- 2: subscribe to a second channel, publish there, unsubscribe, in one read ---- */

static void
start_three(struct oracle *o)
{
	open_subscriber(o, B, 1);
	subscribe(o, B, 0);
}

static void
prepare_three(struct oracle *o)
{
	open_subscriber(o, A, 0);
	said.n = 0;
	say_subscribe(o, A, 1, &said);
	say_publish(o, A, 1, 200, &said);
	say_unsubscribe(o, A, 1, &said);
}

static bool
act_once(struct oracle *o, unsigned n)
{
	if (n > 0)
		return false;
	client_send(o, A, said.p, said.n);
	return true;
}

static void
finish_three(struct oracle *o)
{
	client_close(o, A);
}

/* ---- 3: a client comes, subscribes, gets an event, leaves ---- */

static void
start_visit(struct oracle *o)
{
	open_subscriber(o, B, 0);
}

/* The first upgrade of a worker takes millions of instructions, which none must step through. */
static void
prepare_visit(struct oracle *o)
{
	open_ws(o, C, 0);
	client_close(o, C);
	oracle_drain(o, 3);
	said.n = said2.n = 0;
}

/* Each stage from the third on waits for the answers to the one before. */
static bool
act_visit(struct oracle *o, unsigned n)
{
	static unsigned stage;

	stage = n == 0 ? 0 : stage;
	if (stage >= 3 && stage <= 5 && await(o, A))
		return true;
	switch (stage++) {
	case 0:
		client_open(o, A, CLIENT_WS, 0);
		say_upgrade(o, A, &said);
		return true;
	case 1:
		client_send(o, A, said.p, 50);
		return true;
	case 2:
		client_send(o, A, said.p + 50, said.n - 50);
		return true;
	case 3:
		said.n = 0;
		say_subscribe(o, A, 0, &said);
		say_subscribe(o, A, 1, &said);
		client_send(o, A, said.p, said.n);
		return true;
	case 4:
		say_publish(o, B, 0, 100, &said2);
		client_send(o, B, said2.p, said2.n);
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
	open_subscriber(o, B, 0);
	said.n = 0;
	say_post(o, A, 0, 50, &said);
	say_post(o, A, 0, 50, &said);
	client_send(o, A, said.p, said.n);
	oracle_drain(o, 3);
}

static void
prepare_http(struct oracle *o)
{
	said.n = 0;
	say_post(o, A, 0, 70, &said);
	say_history(o, A, 0, o->chan[0].count - 3, &said);
	say_post(o, A, 0, 90, &said);
	cut[0] = said.n - 50;
	cut[1] = 0;
}

/* ---- 5: while nobody serves, the ring goes round ---- */

static void
start_lapped(struct oracle *o)
{
	open_subscriber(o, A, 0);
	open_subscriber(o, B, 0);
	o->racing = true;
}

static void
prepare_one(struct oracle *o)
{
	said.n = 0;
	say_publish(o, A, 0, 150, &said);
}

static void
lap(struct oracle *o)
{
	unsigned i;

	o->chan[0].may_gap = true;
	for (i = 0; i < STEP_HISTORY + 6; i++)
		publish_self(o, 0, 80);
}

static void
finish_lapped(struct oracle *o)
{
	o->chan[0].may_gap = false;
}

/* ---- 6: a fragmented message with pings in it, and an event stream ---- */

static void
start_fragments(struct oracle *o)
{
	struct bytes b = { .n = 0 };

	open_ws(o, A, 0);
	client_open(o, B, CLIENT_SSE, 0);
	say_events(o, B, 0, &b);
	client_send(o, B, b.p, b.n);
	oracle_drain(o, 3);
}

static void
prepare_fragments(struct oracle *o)
{
	said.n = 0;
	cut[0] = say_fragments(o, A, 0, 1200, &said);
	cut[1] = 0;
}

static bool
act_in_pieces(struct oracle *o, unsigned n)
{
	return send_pieces(o, A, n);
}

/* ---- 7: two publishers in one turn, and more from the first ---- */

static void
start_two(struct oracle *o)
{
	open_subscriber(o, A, 0);
	open_ws(o, B, 0);
	open_subscriber(o, C, 0);
}

static void
prepare_two(struct oracle *o)
{
	said.n = said2.n = 0;
	say_publish(o, A, 0, 120, &said);
	cut[0] = said.n;
	cut[1] = 0;
	say_publish(o, B, 0, 180, &said2);
	say_publish(o, A, 0, 90, &said);
}

static bool
act_two(struct oracle *o, unsigned n)
{
	if (n == 0)
		client_send(o, B, said2.p, said2.n);
	return send_pieces(o, A, n);
}

/* ---- 8: as 2, into a new channel, the extension full, so that it is copied into a larger ---- */

static unsigned fresh;

static void
start_growth(struct oracle *o)
{
	open_subscriber(o, B, 0);
}

static void
prepare_growth(struct oracle *o)
{
	char name[40];
	unsigned i;

	snprintf(name, sizeof name, "fresh-%u", ++fresh);
	oracle_channel(o, 2, name, true);
	open_subscriber(o, A, 0);
	/* answered anew each, in places of their own: 1 and 8 are taken */
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof name, "filler-%u", i);
		oracle_channel(o, 1, name, true);
		subscribe(o, A, 1);
		o->client[A].next[1] = 0;
	}
	oracle_channel(o, 1, "", true);
	said.n = 0;
	say_subscribe(o, A, 2, &said);
	say_publish(o, A, 2, 200, &said);
	say_publish(o, A, 0, 70, &said);
	cut[0] = said.n - 20;
	cut[1] = 0;
}

/* ---- 9: one message, for faults ---- */

static void
start_poison(struct oracle *o)
{
	open_subscriber(o, B, 0);
	open_subscriber(o, C, 0);
}

static void
prepare_poison(struct oracle *o)
{
	open_ws(o, A, 0);
	o->client[A].may_fall = true;
	said.n = 0;
	say_publish(o, A, 0, 150, &said);
}

static const struct scene scenes[] = {
	{ "a full subscriber", start_full, prepare_full, act_full, NULL, NULL },
	{ "three messages in one read", start_three, prepare_three, act_once, NULL, finish_three },
	{ "a client comes and leaves", start_visit, prepare_visit, act_visit, NULL, NULL },
	{ "pipelined HTTP", start_http, prepare_http, act_in_pieces, NULL, NULL },
	{ "the ring goes round", start_lapped, prepare_one, act_once, lap, finish_lapped },
	{ "fragments and an event stream", start_fragments, prepare_fragments, act_in_pieces, NULL,
	    NULL },
	{ "two publishers", start_two, prepare_two, act_two, NULL, NULL },
	{ "a new channel, a larger extension", start_growth, prepare_growth, act_in_pieces, NULL,
	    finish_three },
	{ "faults", start_poison, prepare_poison, act_once, NULL, finish_three },
};

const struct scene *
scene_get(unsigned number)
{
	if (number < 1 || number > sizeof scenes / sizeof scenes[0])
		return NULL;
	return &scenes[number - 1];
}
