/* The runs that need no publishing for a while: a storm of connects, idle holders, one creation. */
#define _GNU_SOURCE
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/tools/client.h"
#include "t/tools/crowd.h"
#include "t/tools/oracle.h"
#include "t/tools/publishers.h"
#include "t/tools/subscribers.h"

enum { PENDING_MAX = 128 };

static uint64_t
deadline_in(double seconds)
{
	return client_now() + (uint64_t)(seconds * 1e9);
}

/* --- storm: everybody at the door at once --- */

struct guest {
	struct client c;
	uint64_t began, took;
	bool done;
};

static int guests_done, guests_served;

static void
guest_on_open(struct client *c)
{
	client_queuef(c, "GET /health HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n%s\r\n",
	    opt.host, opt.port, opt.headers);
	client_flush(c);
}

static void
guest_done(struct guest *g)
{
	g->done = true;
	g->took = client_now() - g->began;
	guests_done++;
}

static void
guest_on_response(struct client *c, const struct response *r)
{
	tally.http++;
	guest_done((struct guest *)c);
	if (r->status == 200)
		guests_served++;
	else {
		tally.http_failed++;
		oracle_violation("guest %d: /health answered %d", c->id, r->status);
	}
	client_drop(c);
}

static void
guest_on_close(struct client *c, int code, const char *why)
{
	guest_done((struct guest *)c);
	crowd_closed("guest", c->id, code, why);
}

static const struct client_ops guest_ops = {
	.on_open = guest_on_open,
	.on_response = guest_on_response,
	.on_close = guest_on_close,
};

int
mode_storm(void)
{
	struct guest *guests = calloc((size_t)opt.storm, sizeof *guests);
	uint64_t deadline = deadline_in(opt.connect), slowest = 0, began = client_now();

	assert(guests != NULL);
	printf("ready\n");
	fflush(stdout);
	for (int i = 0; i < opt.storm; i++) {
		guests[i].c.ops = &guest_ops;
		guests[i].c.id = crowd_next_id();
		guests[i].began = client_now();
		client_open(&guests[i].c);
	}
	while (guests_done < opt.storm && client_now() < deadline)
		client_poll(10);
	for (int i = 0; i < opt.storm; i++) {
		if (!guests[i].done) {
			tally.timed_out++;
			oracle_violation("guest %d: not served in %g s", i, opt.connect);
		}
		if (guests[i].took > slowest)
			slowest = guests[i].took;
		client_drop(&guests[i].c);
	}
	printf("storm=%d served=%d took_ms=%" PRIu64 " slowest_ms=%" PRIu64 "\n", opt.storm,
	    guests_served, (client_now() - began) / 1000000, slowest / 1000000);
	free(guests);
	return oracle_summary(client_opened());
}

/* --- idle: hold and answer pings --- */

int
mode_idle(void)
{
	struct sub *subs = calloc((size_t)opt.idle, sizeof *subs);
	int opened = 0, ready = 0;
	uint64_t deadline = deadline_in(opt.connect);

	assert(subs != NULL);
	for (int i = 0; i < opt.idle; i++)
		sub_init(&subs[i], i, opt.channels > 0 ? opt.per_client : 0, NULL);
	while (ready < opt.idle && client_now() < deadline) {
		while (opened < opt.idle && client_pending() < PENDING_MAX)
			client_open(&subs[opened++].c);
		client_poll(10);
		while (ready < opened && subs[ready].ready)
			ready++;
	}
	if (ready < opt.idle)
		oracle_violation("%d of %d got in within %g s", ready, opt.idle, opt.connect);
	printf("ready %d\n", ready);
	fflush(stdout);
	for (deadline = deadline_in(opt.seconds); client_now() < deadline;)
		client_poll(50);
	for (int i = 0; i < opt.idle; i++) {
		client_drop(&subs[i].c);
		free(subs[i].follow);
	}
	free(subs);
	return oracle_summary(client_opened());
}

/* --- create: one new channel, everybody at once --- */

struct founder {
	struct client c;
	int no;
	bool ready;
};

static int founders_ready, founders_answered, round_no;

static void
founder_on_open(struct client *c)
{
	((struct founder *)c)->ready = true;
	founders_ready++;
}

static uint32_t
publisher_of(const struct founder *f)
{
	return (uint32_t)(round_no * opt.create + f->no + 1);
}

static void
founder_queue(struct founder *f)
{
	uint32_t p = publisher_of(f), n = oracle_send(p, round_no);
	struct slice data = oracle_payload(p, n);
	const char *name = oracle_channel_name(round_no);
	char text[1024];
	int len;

	if (f->c.websocket) {
		len = snprintf(text, sizeof text,
		    "{\"type\":\"publish\",\"channel\":\"%s\",\"id\":\"1\",\"data\":%.*s}", name,
		    (int)data.len, data.p);
		client_queue_text(&f->c, text, (size_t)len);
		return;
	}
	client_queuef(&f->c, "POST /api/channels/%s/events HTTP/1.1\r\nHost: %s:%d\r\n"
	    "Content-Length: %zu\r\n%s\r\n%.*s", name, opt.host, opt.port, data.len, opt.headers,
	    (int)data.len, data.p);
}

static void
founder_answered(struct founder *f, struct slice text, bool good)
{
	struct scan_member m[SCAN_MEMBERS_MAX];
	int n = scan_object(text, m);
	uint64_t seq = n < 0 ? UINT64_MAX : scan_number(scan_get(m, n, "seq"));
	uint32_t p = publisher_of(f);

	founders_answered++;
	if (!good || seq == UINT64_MAX)
		oracle_refused(p, 1, round_no, text);
	else
		oracle_reply(p, 1, round_no, seq, scan_get(m, n, "epoch"), client_rx_time());
}

static void
founder_on_message(struct client *c, struct slice text)
{
	founder_answered((struct founder *)c, text, true);
}

static void
founder_on_response(struct client *c, const struct response *r)
{
	tally.http++;
	founder_answered((struct founder *)c, r->body, r->status == 202);
}

static void
founder_on_close(struct client *c, int code, const char *why)
{
	crowd_closed("founder", c->id, code, why);
	founders_ready++;
	founders_answered++;
}

static const struct client_ops founder_ops = {
	.on_open = founder_on_open,
	.on_message = founder_on_message,
	.on_response = founder_on_response,
	.on_close = founder_on_close,
};

static void
poll_until(const int *count, int want, uint64_t deadline)
{
	while (*count < want && client_now() < deadline)
		client_poll(10);
	if (*count < want)
		oracle_violation("%d of %d after the time allowed", *count, want);
}

int
mode_create(void)
{
	struct founder *founders = calloc((size_t)opt.create, sizeof *founders);
	int opened = 0;
	uint64_t deadline = deadline_in(opt.connect);

	assert(founders != NULL);
	opt.channels = opt.rounds;
	for (int i = 0; i < opt.create; i++) {
		founders[i].c.ops = &founder_ops;
		founders[i].c.id = crowd_next_id();
		founders[i].c.websocket = i % 2 == 0;
		founders[i].no = i;
	}
	while (opened < opt.create && client_now() < deadline) {
		while (opened < opt.create && client_pending() < PENDING_MAX)
			client_open(&founders[opened++].c);
		client_poll(10);
	}
	poll_until(&founders_ready, opt.create, deadline);
	printf("ready\n");
	fflush(stdout);
	for (round_no = 0; round_no < opt.rounds; round_no++) {
		founders_answered = 0;
		for (int i = 0; i < opt.create; i++)
			founder_queue(&founders[i]);
		for (int i = 0; i < opt.create; i++)
			client_flush(&founders[i].c);
		poll_until(&founders_answered, opt.create, deadline_in(opt.drain));
	}
	audit_channels();
	for (int i = 0; i < opt.create; i++)
		client_drop(&founders[i].c);
	oracle_final_walk();
	free(founders);
	return oracle_summary(client_opened());
}
