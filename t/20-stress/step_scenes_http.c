/* Scenes of HTTP: idempotency keys, event streams, long histories. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shm/idempotency.h"
#include "t/20-stress/step_oracle.h"
#include "t/20-stress/step_scenes_priv.h"
#include "t/20-stress/step_server.h"

enum { ANSWER_MS = 2000, BIG = 1100, BIG_BUF = 8192, OLD = 60 };

static unsigned turns;			/* makes keys that were never used */
static char key[40];
static uint32_t asked;			/* the message said with it */

static void
next_key(void)
{
	snprintf(key, sizeof key, "key-%u", ++turns);
}

/* ---- keys: posts with the same, before and behind one with another ---- */

static void
start_keys(struct oracle *o)
{
	client_open(o, A, CLIENT_HTTP, 0);
	scene_open_subscriber(o, B, 0);
}

static void
prepare_keys(struct oracle *o)
{
	char first[sizeof key];

	scene_warm(o);
	scene_said.n = 0;
	next_key();
	memcpy(first, key, sizeof first);
	asked = say_post_key(o, A, 0, 50, first, &scene_said);
	say_post_again(o, A, asked, first, &scene_said);
	next_key();
	say_post_key(o, A, 0, 60, key, &scene_said);
	scene_cut[0] = scene_said.n - 20;
	say_post_again(o, A, asked, first, &scene_said);
	scene_cut[1] = 0;
}

static void
turn_period(struct oracle *o)
{
	idempotency_turn(&o->s->r);
}

const struct scene scene_keys = { .name = "idempotency keys", .start = start_keys,
	.prepare = prepare_keys, .act = scene_act_in_pieces, .keys = true };
const struct scene scene_keys_turned = { .name = "idempotency keys, the period turns",
	.start = start_keys, .prepare = prepare_keys, .act = scene_act_in_pieces,
	.orphaned = turn_period, .keys = true };

/* ---- a key that clients of two workers say ---- */

static void
start_keys_of_two(struct oracle *o)
{
	o->racing = true;
	client_open(o, A, CLIENT_HTTP, 0);
	scene_open_subscriber(o, B, 0);
	o->open_slot = 1;
	client_open(o, D, CLIENT_HTTP, 0);
	scene_open_subscriber(o, E, 0);
	o->open_slot = 0;
}

static void
prepare_keys_of_two(struct oracle *o)
{
	scene_warm(o);
	scene_said.n = 0;
	next_key();
	asked = say_post_key(o, A, 0, 50, key, &scene_said);
}

/* A whole answer; false: it does not come. */
static bool
read_answer(const struct client *k, char *out, size_t cap)
{
	struct pollfd p = { .fd = k->fd, .events = POLLIN };
	size_t n = 0, body = 0;
	char *end;

	while (n + 1 < cap && poll(&p, 1, ANSWER_MS) > 0) {
		ssize_t r = recv(k->fd, out + n, cap - 1 - n, 0);

		if (r <= 0)
			return false;
		n += (size_t)r;
		out[n] = '\0';
		end = strstr(out, "\r\n\r\n");
		if (end == NULL)
			continue;
		body = strtoul(strstr(out, "Content-Length: ") + 16, NULL, 10);
		if (n >= (size_t)(end + 4 - out) + body)
			return true;
	}
	return false;
}

/*
 * D asks for the same, of another worker, who answers whatever the first one does: with the place
 * of the only event there is, or that the first is not finished.
 */
static void
ask_elsewhere(struct oracle *o)
{
	struct publish *p = &o->pub[asked % LOG];
	struct bytes *b = &scene_said2;
	struct client *k = &o->client[D];
	char answer[1000] = "", want[60], *at;

	snprintf(want, sizeof want, "\"epoch\":\"%016llx\",\"seq\":",
	    (unsigned long long)oracle_epoch(o, 0));
	b->n = 0;
	say_post_again(o, D, asked, key, b);
	k->raw_at = k->raw_n = 0;
	k->post_first = k->post_end;
	client_send(o, D, b->p, b->n);
	if (!read_answer(k, answer, sizeof answer))
		went_wrong(o, WRONG_LOST, "another worker does not answer: %.100s", answer);
	else if (strncmp(answer, "HTTP/1.1 202", 12) == 0 &&
	    (at = strstr(answer, want)) != NULL)
		oracle_place(o, p, strtoull(at + strlen(want), NULL, 10));
	else if (strncmp(answer, "HTTP/1.1 409", 12) != 0)
		went_wrong(o, WRONG_OTHER, "another worker answers %.100s", answer);
}

static void
turn_and_ask(struct oracle *o)
{
	turn_period(o);
	ask_elsewhere(o);
}

/* In the end everybody is told the same. */
static void
finish_keys_of_two(struct oracle *o)
{
	struct bytes *b = &scene_said2;

	b->n = 0;
	say_post_again(o, D, asked, key, b);
	client_send(o, D, b->p, b->n);
}

const struct scene scene_keys_of_two = { .name = "a key of two workers",
	.start = start_keys_of_two, .prepare = prepare_keys_of_two, .act = scene_act_once,
	.orphaned = ask_elsewhere, .finish = finish_keys_of_two, .workers = 2, .keys = true };
const struct scene scene_keys_of_two_turned = { .name = "a key of two workers, the period turns",
	.start = start_keys_of_two, .prepare = prepare_keys_of_two, .act = scene_act_once,
	.orphaned = turn_and_ask, .finish = finish_keys_of_two, .workers = 2, .keys = true };

/* ---- an event stream resumes, is full, goes on, and is left ---- */

static void
start_event_stream(struct oracle *o)
{
	scene_open_subscriber(o, A, 0);
	publish_self(o, 0, 100);
	publish_self(o, 0, 120);
	server_wake(o->s);
}

static void
prepare_event_stream(struct oracle *o)
{
	scene_warm(o);
	client_open(o, C, CLIENT_SSE, SMALL_RCVBUF);
	scene_said.n = scene_said2.n = 0;
	say_resume_events(o, C, 0, o->chan[0].count - 2, &scene_said2);
}

static bool
act_event_stream(struct oracle *o, unsigned n)
{
	static unsigned stage, reads;

	if (n == 0)
		stage = reads = 0;
	if (stage >= 2) {
		client_read(o, C, reads++ < 30 ? 1500 : INPUT);
		if (o->why[0] == '\0' && !client_is_done(o, C))
			return true;
	}
	switch (stage++) {
	case 0:
		client_send(o, C, scene_said2.p, 60);
		return true;
	case 1:
		client_send(o, C, scene_said2.p + 60, scene_said2.n - 60);
		return true;
	case 2:
		say_publish(o, A, 0, 3600, &scene_said);
		say_publish(o, A, 0, 1600, &scene_said);
		client_send(o, A, scene_said.p, scene_said.n);
		return true;
	case 3:
		scene_said.n = 0;
		say_publish(o, A, 0, 60, &scene_said);
		client_send(o, A, scene_said.p, scene_said.n);
		return true;
	case 4:
		client_close(o, C);
		return true;
	default:
		return false;
	}
}

static void
leave_event_stream(struct oracle *o)
{
	client_close(o, C);
}

const struct scene scene_event_stream = { .name = "an event stream resumes, is full, is left",
	.start = start_event_stream, .prepare = prepare_event_stream, .act = act_event_stream,
	.finish = leave_event_stream, .quiet = true, .heavy = true };

/* ---- a history larger than a span, to one who reads slowly; a publish waits behind it ---- */

static void
start_long_history(struct oracle *o)
{
	unsigned i;

	client_open(o, A, CLIENT_HTTP, BIG_BUF);
	for (i = 0; i < STEP_HISTORY; i++)
		publish_self(o, 0, BIG);
	scene_open_subscriber(o, B, 0);
}

static void
prepare_long_history(struct oracle *o)
{
	unsigned i;

	for (i = 0; i < 3; i++)
		publish_self(o, 0, BIG);
	server_wake(o->s);
	oracle_drain(o, 3);
	scene_warm(o);
	scene_said.n = 0;
	say_history(o, A, 0, o->chan[0].count - OLD, &scene_said);
	say_post(o, A, 0, BIG, &scene_said);
}

static bool
act_long_history(struct oracle *o, unsigned n)
{
	if (n == 0) {
		client_send(o, A, scene_said.p, scene_said.n);
		return true;
	}
	if (client_is_done(o, A) || o->why[0] != '\0')
		return false;
	client_read(o, A, n < 20 ? 30000 : INPUT);
	return true;
}

const struct scene scene_long_history = { .name = "a long history", .start = start_long_history,
	.prepare = prepare_long_history, .act = act_long_history, .quiet = true,
	.heavy = true };
