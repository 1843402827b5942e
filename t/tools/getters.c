/*
 * Keep-alive loops that ask for /health: the even ones one request at a time, the odd ones several
 * in one write.  And the auditor, who asks for the channels when all is over.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/tools/client.h"
#include "t/tools/crowd.h"
#include "t/tools/lost.h"
#include "t/tools/oracle.h"
#include "t/tools/publishers.h"

enum {
	PIPELINE = 4,
	WATCH_MS = 200,
	AUDIT_BODIES = 32,		/* channels whose history is read, too */
	AUDIT_SIZE_MAX = 8192		/* of events, for that */
};

struct getter {
	struct client c;
	struct watch watch;
	int depth, due;			/* requests per turn; answers that are due */
	uint64_t next, answered;
};

static struct getter *getters;
static uint64_t next_watch;

static struct {
	struct client c;
	int channel;
	bool done;
} audit;

static void
getter_on_response(struct client *c, const struct response *r)
{
	struct getter *g = (struct getter *)c;

	tally.http++;
	g->due--;
	g->answered++;
	if (r->status != 200)
		tally.http_failed++;
	if (g->due < 0 || r->status != 200 || r->close ||
	    memmem(r->body.p, r->body.len, "\"healthy\"", 9) == NULL)
		oracle_violation("getter %d: /health answered %d: %.*s", c->id, r->status,
		    r->body.len > 200 ? 200 : (int)r->body.len, r->body.p);
}

static void
getter_on_open(struct client *c)
{
	((struct getter *)c)->answered++;
}

static void
getter_on_close(struct client *c, int code, const char *why)
{
	struct getter *g = (struct getter *)c;

	if (lost_take(c))
		tally.slot_http += (uint64_t)g->due;
	else if (g->due > 0 || !crowd_is_idle_close(c->last_rx, why)) {
		tally.http_failed += (uint64_t)g->due;
		crowd_closed("getter", c->id, code, why);
	}
	g->due = 0;
	g->next = client_now() + 100000000u;
}

static const struct client_ops getter_ops = {
	.on_open = getter_on_open,
	.on_response = getter_on_response,
	.on_close = getter_on_close,
};

void
getters_new(void)
{
	getters = calloc((size_t)opt.http_get + 1, sizeof *getters);
	assert(getters != NULL);
	for (int i = 0; i < opt.http_get; i++) {
		getters[i].c.ops = &getter_ops;
		getters[i].c.id = crowd_next_id();
		getters[i].depth = i % 2 == 0 ? 1 : PIPELINE;
	}
}

static void
ask(struct getter *g, uint64_t now)
{
	for (int i = 0; i < g->depth; i++)
		client_queuef(&g->c, "GET /health HTTP/1.1\r\nHost: %s:%d\r\n%s\r\n", opt.host,
		    opt.port, opt.headers);
	g->due = g->depth;
	g->next = now;
	if (opt.get_rate > 0)
		g->next += (uint64_t)(1e9 * g->depth / opt.get_rate);
	client_flush(&g->c);
}

void
getters_tick(uint64_t now)
{
	bool watch_turn = now >= next_watch;

	if (watch_turn)
		next_watch = now + WATCH_MS * 1000000u;
	for (int i = 0; i < opt.http_get; i++) {
		struct getter *g = &getters[i];

		if (crowd_phase == CROWD_RUN && g->due == 0 && now >= g->next) {
			if (g->c.state == CLIENT_HTTP)
				ask(g, now);
			else if (g->c.state == CLIENT_CLOSED)
				client_open(&g->c);
		}
		if (watch_turn && watch_is_stalled(&g->watch,
		    g->due > 0 || g->c.state == CLIENT_CONNECTING, g->answered, now))
			oracle_violation("getter %d: stalled", g->c.id);
	}
}

bool
getters_are_settled(void)
{
	for (int i = 0; i < opt.http_get; i++)
		if (getters[i].due > 0)
			return false;
	return true;
}

void
getters_finish(void)
{
	for (int i = 0; i < opt.http_get; i++)
		client_drop(&getters[i].c);
}

/* --- the auditor --- */

static bool
wants_bodies(int channel)
{
	return channel < AUDIT_BODIES && opt.size_max <= AUDIT_SIZE_MAX;
}

static void
audit_ask(void)
{
	if (audit.channel == opt.channels) {
		audit.done = true;
		return;
	}
	client_queuef(&audit.c, "GET /api/channels/%s/events%s HTTP/1.1\r\nHost: %s:%d\r\n%s\r\n",
	    oracle_channel_name(audit.channel), wants_bodies(audit.channel) ? "" : "?limit=1",
	    opt.host, opt.port, opt.headers);
	client_flush(&audit.c);
}

static void
audit_events(int channel, struct slice events, uint64_t newest)
{
	struct scan_member m[SCAN_MEMBERS_MAX];
	struct slice event;
	size_t at = 0;
	uint64_t next = 0;
	int got;

	while ((got = scan_element(events, &at, &event)) == 1) {
		int n = scan_object(event, m);
		uint64_t seq = n < 0 ? UINT64_MAX : scan_number(scan_get(m, n, "seq"));

		if (seq == UINT64_MAX || seq > newest || (next != 0 && seq != next)) {
			oracle_violation("history of %s: %" PRIu64 " where %" PRIu64 " was due",
			    oracle_channel_name(channel), seq, next);
			return;
		}
		oracle_past_event(channel, seq, scan_get(m, n, "data"));
		next = seq + 1;
	}
	if (got != 0)
		oracle_violation("history of %s: no array", oracle_channel_name(channel));
	else if (wants_bodies(channel) && next != 0 && next != newest + 1)
		oracle_violation("history of %s: ends before %" PRIu64 ", newest is %" PRIu64,
		    oracle_channel_name(channel), next, newest);
}

static void
audit_on_response(struct client *c, const struct response *r)
{
	struct scan_member m[SCAN_MEMBERS_MAX];
	int n = scan_object(r->body, m), channel = audit.channel++;
	uint64_t seq = n < 0 ? UINT64_MAX : scan_number(scan_get(m, n, "seq"));

	tally.http++;
	if (r->status != 200 || seq == UINT64_MAX) {
		oracle_violation("history of %s: answered %d", oracle_channel_name(channel),
		    r->status);
	} else {
		oracle_final_seq(channel, seq);
		if (seq > 0)
			oracle_epoch(channel, scan_get(m, n, "epoch"));
		audit_events(channel, scan_get(m, n, "events"), seq);
	}
	audit_ask();
}

static void
audit_on_open(struct client *c)
{
	audit_ask();
}

static void
audit_on_close(struct client *c, int code, const char *why)
{
	crowd_closed("auditor", c->id, code, why);
	audit.done = true;
}

static const struct client_ops audit_ops = {
	.on_open = audit_on_open,
	.on_response = audit_on_response,
	.on_close = audit_on_close,
};

void
audit_channels(void)
{
	uint64_t deadline = client_now() + (uint64_t)(opt.drain * 1e9);

	audit.c.ops = &audit_ops;
	client_open(&audit.c);
	while (!audit.done && client_now() < deadline)
		client_poll(10);
	if (!audit.done)
		oracle_violation("the auditor got no answer");
	client_drop(&audit.c);
}
