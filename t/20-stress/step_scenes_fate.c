/* Scenes of what becomes of connections: reloads, slow readers, limits, closes, other workers. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/settings.h"
#include "shm/slot_layout.h"
#include "t/20-stress/step_oracle.h"
#include "t/20-stress/step_scenes_priv.h"
#include "t/20-stress/step_server.h"

enum {
	RELOAD_S = 15, CLOSE_TOO_SLOW = 4008, BATCHES = 4, BATCH = 20, ELSEWHERE_S = 2,
	START_MS = 3000,
};

/* ---- a reload, in the middle of a message ---- */

static uint64_t reloads;		/* before this turn */

static void
start_reload(struct oracle *o)
{
	scene_open_subscriber(o, A, 0);
	scene_open_subscriber(o, B, 0);
}

static void
prepare_reload(struct oracle *o)
{
	scene_said.n = 0;
	say_publish(o, A, 0, 150, &scene_said);
	say_publish(o, A, 0, 250, &scene_said);
	scene_cut[0] = scene_said.n - 100;
	scene_cut[1] = 0;
	reloads = word_get(&o->s->r.head->reloads);
}

static bool
act_reload(struct oracle *o, unsigned n)
{
	static unsigned which;

	if (n == 0)
		server_reload(o->s, which++ % 2 == 0 ? "message_rate = 50000/s\n" : "");
	return scene_send_pieces(o, A, n);
}

/* It is over when the heir has the new settings. */
static void
finish_reload(struct oracle *o)
{
	double until = server_now() + RELOAD_S;

	while (word_get(&o->s->r.head->reloads) == reloads && server_now() < until)
		usleep(1000);
	if (word_get(&o->s->r.head->reloads) == reloads)
		went_wrong(o, WRONG_OTHER, "the reload does not end");
	else if (word_get(&o->s->slot->snapshot) != word_get(&o->s->r.head->snapshot))
		went_wrong(o, WRONG_OTHER, "the heir has the old settings");
}

const struct scene scene_reload = { .name = "a reload", .start = start_reload,
	.prepare = prepare_reload, .act = act_reload, .finish = finish_reload, .exits = true };

/* ---- one who reads slowly, in channels that do not wait: C is lapped, B is not ---- */

static void
start_slow(struct oracle *o, unsigned policy)
{
	oracle_channel_slow(o, 2, "late", policy);
	o->chan[2].may_gap = true;
	scene_open_ws(o, A, 0);
	scene_open_subscriber(o, B, 2);
}

static void
open_slow(struct oracle *o)
{
	scene_open_ws(o, C, SMALL_RCVBUF);
	scene_subscribe(o, C, 2);
	o->client[C].slow = true;
}

static void
start_latest(struct oracle *o)
{
	start_slow(o, SETTINGS_SLOW_LATEST);
}

static void
start_close(struct oracle *o)
{
	start_slow(o, SETTINGS_SLOW_CLOSE);
}

static void
prepare_latest(struct oracle *o)
{
	open_slow(o);
	scene_said.n = 0;
	say_publish(o, A, 2, 3600, &scene_said);
	say_publish(o, A, 2, 1600, &scene_said);
}

static void
prepare_close(struct oracle *o)
{
	prepare_latest(o);
	o->client[C].fall_code = CLOSE_TOO_SLOW;
	o->client[C].fall_reason = "too slow";
	o->client[C].must_fall = true;
}

static void
finish_slow(struct oracle *o)
{
	client_close(o, C);
}

static bool
act_slow(struct oracle *o, unsigned n)
{
	static unsigned stage, reads;
	unsigned i;

	if (n == 0) {
		stage = reads = 0;
		client_send(o, A, scene_said.p, scene_said.n);
		return true;
	}
	if (stage < BATCHES) {
		if (scene_await(o, B))
			return true;
		for (i = 0; i < BATCH; i++)
			publish_self(o, 2, 80);
		server_wake(o->s);
		stage++;
		return true;
	}
	if (scene_await(o, B))
		return true;
	if (client_is_done(o, C) || o->why[0] != '\0')
		return false;
	client_read(o, C, reads++ < 30 ? 1500 : INPUT);
	return true;
}

const struct scene scene_latest = { .name = "slow = latest", .start = start_latest,
	.prepare = prepare_latest, .act = act_slow, .finish = finish_slow };
const struct scene scene_close = { .name = "slow = close", .start = start_close,
	.prepare = prepare_close, .act = act_slow };

/* ---- clients of two workers: the channel is quiet behind each message ---- */

static void
start_two_workers(struct oracle *o)
{
	o->racing = true;
	scene_open_subscriber(o, A, 0);
	scene_open_subscriber(o, B, 0);
	o->open_slot = 1;
	scene_open_subscriber(o, D, 0);
	scene_open_ws(o, E, 0);
	scene_open_ws(o, F, 0);
	o->open_slot = 0;
}

static void
prepare_two_workers(struct oracle *o)
{
	scene_said2.n = 0;
	say_publish(o, E, 0, 130, &scene_said2);
}

/* E speaks, and A behind it: then nobody does, and everybody must have got it. */
static bool
act_two_workers(struct oracle *o, unsigned n)
{
	static bool said;

	if (n == 0) {
		said = false;
		client_send(o, E, scene_said2.p, scene_said2.n);
		return true;
	}
	if (n < 50 && (scene_await(o, B) || scene_await(o, E))) {
		usleep(200);			/* the other worker's turn */
		return true;
	}
	if (said || o->why[0] != '\0')
		return false;
	said = true;
	scene_said.n = 0;
	say_publish(o, A, 0, 150, &scene_said);
	client_send(o, A, scene_said.p, scene_said.n);
	return true;
}

/* Whatever the first worker does, clients of the second are served: F speaks, D hears. */
static void
act_elsewhere(struct oracle *o)
{
	double until = server_now() + ELSEWHERE_S;
	struct client *d = &o->client[D], *f = &o->client[F];
	static struct bytes b;

	b.n = 0;
	say_publish(o, F, 0, 70, &b);
	client_send(o, F, b.p, b.n);
	while (o->why[0] == '\0' && (f->reply_first != f->reply_end ||
	    d->next[0] <= f->published[0])) {
		client_read(o, F, INPUT);
		client_read(o, D, INPUT);
		if (server_now() > until)
			went_wrong(o, WRONG_OTHER, "clients of another worker have to wait");
	}
}

const struct scene scene_two_workers = { .name = "clients of two workers",
	.start = start_two_workers, .prepare = prepare_two_workers, .act = act_two_workers,
	.workers = 2 };
const struct scene scene_elsewhere = { .name = "clients of two workers, the second serves",
	.start = start_two_workers, .prepare = prepare_two_workers, .act = act_two_workers,
	.orphaned = act_elsewhere, .workers = 2 };

/* ---- the first request of a worker, with all that libraries do at first ---- */

static void
start_first(struct oracle *o)
{
	client_open(o, A, CLIENT_HTTP, 0);
	scene_open_subscriber(o, B, 0);
}

static void
prepare_first(struct oracle *o)
{
	pid_t pid = server_worker(o->s);

	kill(pid, SIGKILL);
	if (!server_wait_idle(o->s, pid, START_MS))
		went_wrong(o, WRONG_OTHER, "no heir serves");
	scene_said.n = 0;
	say_post(o, A, 0, 80, &scene_said);
}

const struct scene scene_first = { .name = "the first request", .start = start_first,
	.prepare = prepare_first, .act = scene_act_once, .quiet = true, .heavy = true };

/* ---- as many messages as may be said in a second ---- */

static void
start_rate(struct oracle *o)
{
	scene_open_subscriber(o, B, 0);
}

static void
prepare_rate(struct oracle *o)
{
	scene_open_ws(o, A, 0);
	scene_said.n = 0;
	say_subscribe(o, A, 1, &scene_said);
	say_publish(o, A, 0, 50, &scene_said);
	say_publish(o, A, 0, 60, &scene_said);
}

const struct scene scene_rate = { .name = "message_rate", .start = start_rate,
	.prepare = prepare_rate, .act = scene_act_once, .finish = scene_close_first,
	.conf = "message_rate = 3/s\n" };

/* ---- a client resumes, publishes without an echo, pings, says goodbye ---- */

static void
start_goodbye(struct oracle *o)
{
	scene_open_subscriber(o, B, 0);
	publish_self(o, 0, 100);
	publish_self(o, 0, 120);
	server_wake(o->s);
}

static void
prepare_goodbye(struct oracle *o)
{
	scene_open_ws(o, A, 0);
	scene_said.n = 0;
	say_ping(o, A, 7, &scene_said);
	say_resume(o, A, 0, o->chan[0].count - 2, &scene_said);
	say_publish_no_echo(o, A, 0, 90, &scene_said);
	say_publish(o, A, 0, 80, &scene_said);
}

static bool
act_goodbye(struct oracle *o, unsigned n)
{
	static bool said;

	if (n == 0) {
		said = false;
		client_send(o, A, scene_said.p, scene_said.n);
		return true;
	}
	if (scene_await(o, A))
		return true;
	if (said || o->why[0] != '\0')
		return false;
	said = true;
	scene_said.n = 0;
	say_goodbye(o, A, &scene_said);
	client_send(o, A, scene_said.p, scene_said.n);
	return true;
}

const struct scene scene_goodbye = { .name = "a client resumes and says goodbye",
	.start = start_goodbye, .prepare = prepare_goodbye, .act = act_goodbye, .quiet = true };

/* ---- clients that are gone when the heir comes: no key is lost, no interest left over ---- */

static unsigned turns;
static char key[40];
static uint32_t asked;

static void
start_cut_off(struct oracle *o)
{
	o->racing = true;
	scene_open_subscriber(o, B, 0);
}

static void
prepare_cut_off(struct oracle *o)
{
	client_open(o, A, CLIENT_HTTP, 0);
	scene_open_ws(o, E, 0);
	scene_said.n = scene_said2.n = 0;
	snprintf(key, sizeof key, "cut-%u", ++turns);
	asked = say_post_key(o, A, 0, 50, key, &scene_said);
	say_subscribe(o, E, 1, &scene_said2);
}

static bool
act_cut_off(struct oracle *o, unsigned n)
{
	if (n > 0 || o->client[A].fd < 0)
		return false;
	client_send(o, E, scene_said2.p, scene_said2.n);
	client_send(o, A, scene_said.p, scene_said.n);
	return true;
}

static void
cut_off(struct oracle *o)
{
	scene_reset(o, A);
	scene_reset(o, E);
}

/* Whoever says the same again gets the place of the only event there is. */
static void
finish_cut_off(struct oracle *o)
{
	client_close(o, A);
	client_close(o, E);
	client_open(o, D, CLIENT_HTTP, 0);
	scene_said.n = 0;
	say_post_again(o, D, asked, key, &scene_said);
	client_send(o, D, scene_said.p, scene_said.n);
	oracle_drain(o, 3);
	client_close(o, D);
}

const struct scene scene_cut_off = { .name = "clients are gone when the heir comes",
	.start = start_cut_off, .prepare = prepare_cut_off, .act = act_cut_off,
	.orphaned = cut_off, .finish = finish_cut_off, .keys = true, .quiet = true };

/* ---- faults in a subscribe: its sender goes, the interest is taken back ---- */

static void
start_poisoned_subscribe(struct oracle *o)
{
	scene_open_subscriber(o, B, 0);
}

static void
prepare_poisoned_subscribe(struct oracle *o)
{
	scene_open_ws(o, A, 0);
	o->client[A].fall_code = 1011;
	o->client[A].fall_reason = "this message ends workers";
	scene_said.n = 0;
	say_subscribe(o, A, 1, &scene_said);
}

const struct scene scene_poisoned_subscribe = { .name = "faults in a subscribe",
	.start = start_poisoned_subscribe, .prepare = prepare_poisoned_subscribe,
	.act = scene_act_once, .finish = scene_close_first, .faults = true };

/* ---- faults in a post with a key: the key is settled without it ---- */

static void
prepare_poisoned_post(struct oracle *o)
{
	client_open(o, A, CLIENT_HTTP, 0);
	o->client[A].fallen = true;		/* it may be closed at any time */
	scene_said.n = 0;
	snprintf(key, sizeof key, "poison-%u", ++turns);
	asked = say_post_key(o, A, 0, 50, key, &scene_said);
}

/* Whoever says the same again gets the place of the only event there is. */
static bool
act_poisoned_post(struct oracle *o, unsigned n)
{
	static bool again;

	if (n == 0) {
		again = false;
		client_send(o, A, scene_said.p, scene_said.n);
		return true;
	}
	if (scene_await(o, A) || (again && scene_await(o, D)))
		return true;
	if ((again && o->client[D].fd >= 0) || o->why[0] != '\0')
		return false;
	again = true;
	client_open(o, D, CLIENT_HTTP, 0);
	o->client[D].fallen = true;		/* it may be the one: again */
	scene_said2.n = 0;
	say_post_again(o, D, asked, key, &scene_said2);
	client_send(o, D, scene_said2.p, scene_said2.n);
	return true;
}

static void
finish_poisoned_post(struct oracle *o)
{
	client_close(o, A);
	client_close(o, D);
}

const struct scene scene_poisoned_post = { .name = "faults in a post with a key",
	.start = start_cut_off, .prepare = prepare_poisoned_post, .act = act_poisoned_post,
	.finish = finish_poisoned_post, .faults = true, .keys = true };

/* ---- the keeper was killed before: the next one has the worker's memory, as has the heir ---- */

static void
start_other_keeper(struct oracle *o)
{
	scene_open_ws(o, A, 0);
	scene_subscribe(o, A, 0);
	scene_subscribe(o, A, 1);
	scene_open_subscriber(o, B, 0);
}

static void
prepare_other_keeper(struct oracle *o)
{
	if (!server_kill_keeper(o->s))
		went_wrong(o, WRONG_OTHER, "the keeper is not replaced");
	scene_said.n = 0;
	say_publish(o, A, 0, 150, &scene_said);
	say_publish(o, A, 1, 250, &scene_said);
	scene_cut[0] = scene_said.n - 100;
	scene_cut[1] = 0;
}

const struct scene scene_other_keeper = { .name = "another keeper", .start = start_other_keeper,
	.prepare = prepare_other_keeper, .act = scene_act_in_pieces };
