/*
 * A subscriber follows `nfollow` channels on one connection.  A frame that equals one that was
 * checked before is counted at once; everything else is taken apart and reported to the oracle.
 *
 * The slow ones have a small receive buffer and read a little now and then, so that the server
 * finds their sockets full; when publishing ends they read like everybody else.
 */
#include "t/tools/subscribers.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/tools/lost.h"

enum {
	SLOW_BYTES = 4096,		/* per turn */
	SLOW_TURN_MS = 50,
	WATCH_MS = 200
};

static struct sub *subs;
static int subs_count, subs_opened;
static uint64_t next_slow, next_watch;

static struct follower *
find_follower(struct sub *s, struct slice channel)
{
	channel = scan_unquote(channel);
	for (int i = 0; i < s->nfollow; i++) {
		const char *name = oracle_channel_name(s->follow[i].channel);

		if (channel.p != NULL && strlen(name) == channel.len &&
		    memcmp(name, channel.p, channel.len) == 0)
			return &s->follow[i];
	}
	return NULL;
}

static bool
goes_on(const struct sub *s, const struct follower *f)
{
	return s->has_since && f->next > 0 && *oracle_epoch_of(f->channel) != '\0';
}

void
sub_subscribe_all(struct sub *s)
{
	for (int i = 0; i < s->nfollow; i++) {
		const struct follower *f = &s->follow[i];

		if (goes_on(s, f))
			client_queue_textf(&s->c, "{\"type\":\"subscribe\",\"channel\":\"%s\","
			    "\"since\":{\"epoch\":\"%s\",\"seq\":%" PRIu64 "}}",
			    oracle_channel_name(f->channel), oracle_epoch_of(f->channel),
			    f->next - 1);
		else
			client_queue_textf(&s->c, "{\"type\":\"subscribe\",\"channel\":\"%s\"}",
			    oracle_channel_name(f->channel));
		s->waiting++;
	}
	client_flush(&s->c);
}

/* The server did not resume: that is wrong if what was missed is surely kept. */
static void
judge_unrecovered(const struct sub *s, const struct follower *f, uint64_t newest)
{
	uint64_t from = f->next - 1;

	tally.unrecovered++;
	if (newest < from)
		oracle_violation("client %d: resumed at %" PRIu64 ", newest is %" PRIu64, s->c.id,
		    from, newest);
	else if (s->resumes || newest - from < (uint64_t)opt.history * 3 / 4)
		oracle_violation("client %d: not resumed from %" PRIu64 ", newest is %" PRIu64,
		    s->c.id, from, newest);
}

static void
on_subscribed(struct sub *s, struct follower *f, const struct scan_member *m, int n)
{
	struct slice recovered = scan_get(m, n, "recovered");
	uint64_t seq = scan_number(scan_get(m, n, "seq"));
	bool since = goes_on(s, f);

	s->waiting--;
	oracle_epoch(f->channel, scan_get(m, n, "epoch"));
	if (seq == UINT64_MAX || f->live || since != (recovered.p != NULL)) {
		oracle_violation("client %d: a wrong answer to subscribe", s->c.id);
		return;
	}
	f->live = true;
	f->missing_from = f->missing_to = 0;
	if (since && recovered.len == 4) {
		tally.recovered++;
	} else {
		if (since)
			judge_unrecovered(s, f, seq);
		f->next = seq + 1;
	}
	if (s->waiting > 0)
		return;
	s->ready = true;
	tally.resumed += s->resumes;
	s->resumes = false;
}

static void
on_gap(struct follower *f, const struct scan_member *m, int n)
{
	oracle_epoch(f->channel, scan_get(m, n, "epoch"));
	oracle_gap(f, scan_number(scan_get(m, n, "from")), scan_number(scan_get(m, n, "to")));
}

static void
on_pong(struct sub *s)
{
	tally.pongs++;
	if (s->pings_due-- == 0)
		oracle_violation("client %d: a pong too many", s->c.id);
}

static void
on_channel_message(struct sub *s, struct slice text, const struct scan_member *m, int n)
{
	struct slice type = scan_get(m, n, "type");
	struct follower *f = find_follower(s, scan_get(m, n, "channel"));

	if (f == NULL) {
		oracle_violation("client %d: unexpected: %.*s", s->c.id,
		    text.len > 200 ? 200 : (int)text.len, text.p);
	} else if (scan_is_string(type, "event")) {
		uint64_t seq = scan_number(scan_get(m, n, "seq")), torn = tally.torn;

		oracle_event(f, seq, scan_get(m, n, "data"), client_rx_time(), s->c.last_rx);
		if (torn == tally.torn)
			oracle_remember_frame(f->channel, seq, text);
	} else if (scan_is_string(type, "gap")) {
		on_gap(f, m, n);
	} else if (scan_is_string(type, "subscribed")) {
		on_subscribed(s, f, m, n);
	} else if (scan_is_string(type, "unsubscribed")) {
		s->waiting--;
		f->live = false;
	} else {
		oracle_violation("client %d: unexpected: %.*s", s->c.id,
		    text.len > 200 ? 200 : (int)text.len, text.p);
	}
}

void
sub_on_message(struct client *c, struct slice text)
{
	struct sub *s = (struct sub *)c;
	struct scan_member m[SCAN_MEMBERS_MAX];
	int n;

	s->progress++;
	if (s->nfollow == 1 &&
	    oracle_is_known_frame(&s->follow[0], text, client_rx_time(), c->last_rx))
		return;
	n = scan_object(text, m);
	if (n < 0) {
		tally.torn++;
		oracle_violation("client %d: not JSON: %.*s", c->id,
		    text.len > 200 ? 200 : (int)text.len, text.p);
	} else if (scan_is_string(scan_get(m, n, "type"), "pong")) {
		on_pong(s);
	} else {
		on_channel_message(s, text, m, n);
	}
}

static void
on_open(struct client *c)
{
	struct sub *s = (struct sub *)c;

	s->ready = s->nfollow == 0;
	sub_subscribe_all(s);
}

static void
come_back(struct sub *s)
{
	for (int i = 0; i < s->nfollow; i++)
		s->follow[i].live = false;
	s->waiting = s->pings_due = 0;
	s->ready = false;
	s->has_since = s->resumes = true;
	client_open(&s->c);
}

static void
on_close(struct client *c, int code, const char *why)
{
	struct sub *s = (struct sub *)c;

	if (lost_take(c)) {
		come_back(s);
		return;
	}
	for (int i = 0; i < s->nfollow; i++)
		oracle_final_follower(&s->follow[i]);
	for (int i = 0; i < s->nfollow; i++)
		s->follow[i].live = false;
	s->waiting = s->pings_due = 0;
	crowd_closed("subscriber", c->id, code, why);
}

static const struct client_ops sub_ops = {
	.on_open = on_open,
	.on_message = sub_on_message,
	.on_close = on_close,
};

void
sub_init(struct sub *s, int first, int nfollow, const struct client_ops *ops)
{
	memset(s, 0, sizeof *s);
	s->c.ops = ops != NULL ? ops : &sub_ops;
	s->c.id = crowd_next_id();
	s->c.fd = -1;
	s->c.websocket = true;
	s->nfollow = nfollow;
	s->follow = calloc((size_t)nfollow + 1, sizeof *s->follow);
	assert(s->follow != NULL);
	for (int i = 0; i < nfollow; i++) {
		s->follow[i].channel = (first + i) % opt.channels;
		s->follow[i].who = s->c.id;
	}
}

/* --- all of them --- */

void
subscribers_new(void)
{
	subs_count = opt.subscribers + opt.slow;
	subs = calloc((size_t)subs_count + 1, sizeof *subs);
	assert(subs != NULL);
	for (int i = 0; i < subs_count; i++) {
		sub_init(&subs[i], i, opt.per_client, NULL);
		if (i < opt.subscribers)
			continue;
		subs[i].slow = subs[i].c.unread = true;
		for (int k = 0; k < subs[i].nfollow; k++)
			subs[i].follow[k].slow = true;
	}
}

bool
subscribers_open_next(void)
{
	if (subs_opened == subs_count)
		return false;
	client_open(&subs[subs_opened++].c);
	return true;
}

bool
subscribers_are_ready(void)
{
	if (subs_opened < subs_count)
		return false;
	for (int i = 0; i < subs_count; i++)
		if (!subs[i].ready && client_is_open(&subs[i].c))
			return false;
	return true;
}

static bool
is_owed(const struct sub *s)
{
	if (!client_is_open(&s->c))
		return false;
	if (!s->ready || s->waiting > 0 || s->pings_due > 0)
		return true;
	for (int i = 0; i < s->nfollow; i++)
		if (oracle_is_owed(&s->follow[i]))
			return true;
	return false;
}

static void
read_slowly(struct sub *s)
{
	if (s->c.unread && s->c.state == CLIENT_WS)
		client_read(&s->c, SLOW_BYTES);
	else if (s->c.unread && s->c.state == CLIENT_UPGRADING)
		client_read(&s->c, SLOW_BYTES);
}

static void
send_ping(struct sub *s, uint64_t now)
{
	uint64_t every = (uint64_t)opt.ping_ms * 1000000u;

	if (s->next_ping == 0) {
		s->next_ping = now + every * crowd_random(1000) / 1000;
	} else if (now >= s->next_ping) {
		s->next_ping = now + every;
		s->pings_due++;
		client_queue_textf(&s->c, "{\"type\":\"ping\"}");
		client_flush(&s->c);
	}
}

void
subscribers_tick(uint64_t now)
{
	bool slow_turn = now >= next_slow, watch_turn = now >= next_watch;

	if (slow_turn)
		next_slow = now + SLOW_TURN_MS * 1000000u;
	if (watch_turn)
		next_watch = now + WATCH_MS * 1000000u;
	for (int i = opt.subscribers; i < subs_count; i++) {
		if (crowd_phase == CROWD_DRAIN)
			client_set_unread(&subs[i].c, false);
		else if (slow_turn)
			read_slowly(&subs[i]);
	}
	for (int i = 0; i < subs_count; i++) {
		struct sub *s = &subs[i];

		if (opt.ping_ms > 0 && crowd_phase == CROWD_RUN && s->c.state == CLIENT_WS &&
		    !s->slow)
			send_ping(s, now);
		if (watch_turn && watch_is_stalled(&s->watch, is_owed(s), s->progress, now))
			oracle_violation("client %d: stalled: %s waits for %" PRIu64, s->c.id,
			    s->nfollow > 0 ? oracle_channel_name(s->follow[0].channel) : "",
			    s->nfollow > 0 ? s->follow[0].next : 0);
	}
}

bool
subscribers_are_settled(void)
{
	for (int i = 0; i < subs_count; i++)
		if (is_owed(&subs[i]))
			return false;
	return true;
}

void
subscribers_finish(void)
{
	for (int i = 0; i < subs_count; i++) {
		for (int k = 0; k < subs[i].nfollow; k++)
			oracle_final_follower(&subs[i].follow[k]);
		client_drop(&subs[i].c);
	}
}
