/*
 * A publisher has one channel and at most `window` messages without an answer.  With a rate, a
 * turn of the clock gives the messages that are due to the publishers in turn; without one, each
 * sends whenever its window has room.
 */
#include "t/tools/publishers.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/tools/client.h"
#include "t/tools/crowd.h"
#include "t/tools/lost.h"
#include "t/tools/oracle.h"

enum { WATCH_MS = 200 };

struct publisher {
	struct client c;
	struct watch watch;
	struct follower f;		/* with --echo: it hears itself */
	uint32_t id;			/* in the payload, from 1 */
	int channel;
	bool ready;
	uint32_t sent, answered;
};

static struct publisher *pubs;
static int pubs_count, pubs_opened, turn;
static uint64_t started, issued, next_watch;

/* --- sending --- */

static void
send_ws(struct publisher *p, uint32_t n)
{
	static char text[1 << 21];
	struct slice data = oracle_payload(p->id, n);
	int head = snprintf(text, sizeof text,
	    "{\"type\":\"publish\",\"channel\":\"%s\",\"id\":\"%" PRIu32 "\",\"data\":",
	    oracle_channel_name(p->channel), n);

	assert((size_t)head + data.len + 1 < sizeof text);
	memcpy(text + head, data.p, data.len);
	text[(size_t)head + data.len] = '}';
	client_queue_text(&p->c, text, (size_t)head + data.len + 1);
}

static void
send_http(struct publisher *p, uint32_t n)
{
	struct slice data = oracle_payload(p->id, n);
	size_t half = data.len / 2;

	client_queuef(&p->c, "POST /api/channels/%s/events HTTP/1.1\r\nHost: %s:%d\r\n"
	    "Content-Type: application/json\r\n%s", oracle_channel_name(p->channel), opt.host,
	    opt.port, opt.headers);
	if (p->id % 4 != 0) {
		client_queuef(&p->c, "Content-Length: %zu\r\n\r\n", data.len);
		client_queue(&p->c, data.p, data.len);
		return;
	}
	client_queuef(&p->c, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", half);
	client_queue(&p->c, data.p, half);
	client_queuef(&p->c, "\r\n%zx\r\n", data.len - half);
	client_queue(&p->c, data.p + half, data.len - half);
	client_queuef(&p->c, "\r\n0\r\n\r\n");
}

static bool
has_room(const struct publisher *p)
{
	return p->ready && client_is_open(&p->c) && p->sent - p->answered < (uint32_t)opt.window;
}

static void
send_next(struct publisher *p)
{
	uint32_t n = oracle_send(p->id, p->channel);

	p->sent = n;
	if (p->c.websocket)
		send_ws(p, n);
	else
		send_http(p, n);
}

static void
fill_window(struct publisher *p)
{
	if (crowd_phase != CROWD_RUN || opt.rate > 0)
		return;
	while (has_room(p))
		send_next(p);
	client_flush(&p->c);
}

static void
on_turn(struct client *c)
{
	fill_window((struct publisher *)c);
}

/* --- answers --- */

static void
on_published(struct publisher *p, const struct scan_member *m, int n)
{
	uint64_t id = scan_number(scan_unquote(scan_get(m, n, "id")));
	uint64_t seq = scan_number(scan_get(m, n, "seq"));

	if (id != p->answered + 1 || seq == UINT64_MAX || !scan_is_string(scan_get(m, n,
	    "channel"), oracle_channel_name(p->channel))) {
		tally.reordered++;
		oracle_violation("publisher %" PRIu32 ": answer to %" PRIu64 ", due is %" PRIu32,
		    p->id, id, p->answered + 1);
		return;
	}
	p->answered++;
	oracle_reply(p->id, p->answered, p->channel, seq, (struct slice){ NULL, 0 },
	    client_rx_time());
}

static void
on_other(struct publisher *p, struct slice text, const struct scan_member *m, int n)
{
	struct slice type = scan_get(m, n, "type");

	if (scan_is_string(type, "error")) {
		oracle_refused(p->id, ++p->answered, p->channel, text);
	} else if (scan_is_string(type, "subscribed") && opt.echo) {
		p->f.live = p->ready = true;
		p->f.next = scan_number(scan_get(m, n, "seq")) + 1;
	} else if (scan_is_string(type, "gap") && opt.echo) {
		oracle_gap(&p->f, scan_number(scan_get(m, n, "from")),
		    scan_number(scan_get(m, n, "to")));
	} else {
		oracle_violation("publisher %" PRIu32 ": unexpected: %.*s", p->id,
		    text.len > 200 ? 200 : (int)text.len, text.p);
	}
}

static void
on_message(struct client *c, struct slice text)
{
	struct publisher *p = (struct publisher *)c;
	struct scan_member m[SCAN_MEMBERS_MAX];
	int n = scan_object(text, m);
	struct slice type = n < 0 ? (struct slice){ NULL, 0 } : scan_get(m, n, "type");

	if (scan_is_string(type, "published"))
		on_published(p, m, n);
	else if (scan_is_string(type, "event") && opt.echo)
		oracle_event(&p->f, scan_number(scan_get(m, n, "seq")), scan_get(m, n, "data"),
		    client_rx_time(), c->last_rx);
	else
		on_other(p, text, m, n < 0 ? 0 : n);
}

static void
on_response(struct client *c, const struct response *r)
{
	struct publisher *p = (struct publisher *)c;
	struct scan_member m[SCAN_MEMBERS_MAX];
	int n = scan_object(r->body, m);
	uint64_t seq = n < 0 ? UINT64_MAX : scan_number(scan_get(m, n, "seq"));

	tally.http++;
	p->answered++;
	if (p->answered > p->sent)
		oracle_violation("publisher %" PRIu32 ": an answer too many", p->id);
	else if (r->status != 202 || seq == UINT64_MAX || r->close ||
	    !scan_is_string(scan_get(m, n, "channel"), oracle_channel_name(p->channel))) {
		tally.http_failed++;
		oracle_refused(p->id, p->answered, p->channel,
		    (struct slice){ r->head.p, r->head.len + r->body.len });
	} else
		oracle_reply(p->id, p->answered, p->channel, seq, scan_get(m, n, "epoch"),
		    client_rx_time());
}

/* --- life --- */

static void
on_open(struct client *c)
{
	struct publisher *p = (struct publisher *)c;

	if (!c->websocket || !opt.echo) {
		p->ready = true;
		fill_window(p);
		return;
	}
	client_queue_textf(c, "{\"type\":\"subscribe\",\"channel\":\"%s\"}",
	    oracle_channel_name(p->channel));
	client_flush(c);
}

static void
on_close(struct client *c, int code, const char *why)
{
	struct publisher *p = (struct publisher *)c;

	if (lost_take(c)) {
		p->f.live = p->ready = false;
		p->answered = oracle_unsure(p->id, p->channel);
		client_open(c);
		return;
	}
	oracle_final_follower(&p->f);
	p->f.live = false;
	if (!c->websocket && p->sent > p->answered)
		tally.http_failed += p->sent - p->answered;
	if (!c->websocket && p->sent == p->answered && crowd_is_idle_close(c->last_rx, why)) {
		p->ready = false;
		client_open(c);
		return;
	}
	crowd_closed(c->websocket ? "publisher" : "http publisher", c->id, code, why);
}

static const struct client_ops ops = {
	.on_open = on_open,
	.on_message = on_message,
	.on_response = on_response,
	.on_turn = on_turn,
	.on_close = on_close,
};

void
publishers_new(void)
{
	pubs_count = opt.ws_publishers + opt.http_publishers;
	pubs = calloc((size_t)pubs_count + 1, sizeof *pubs);
	assert(pubs != NULL);
	for (int i = 0; i < pubs_count; i++) {
		struct publisher *p = &pubs[i];

		p->c.ops = &ops;
		p->c.id = p->f.who = crowd_next_id();
		p->c.websocket = i < opt.ws_publishers;
		p->id = (uint32_t)i + 1;
		p->channel = p->f.channel = i % opt.channels;
	}
}

bool
publishers_open_next(void)
{
	if (pubs_opened == pubs_count)
		return false;
	client_open(&pubs[pubs_opened++].c);
	return true;
}

bool
publishers_are_ready(void)
{
	if (pubs_opened < pubs_count)
		return false;
	for (int i = 0; i < pubs_count; i++)
		if (!pubs[i].ready && client_is_open(&pubs[i].c))
			return false;
	return true;
}

void
publishers_start(uint64_t now)
{
	started = now;
	issued = 0;
	for (int i = 0; i < pubs_count; i++)
		fill_window(&pubs[i]);
}

static void
send_due(uint64_t now)
{
	uint64_t due = (uint64_t)((double)(now - started) * opt.rate / 1e9);
	uint64_t backlog = (uint64_t)opt.rate + 1;
	int refused = 0;

	if (due > issued + backlog)
		issued = due - backlog;		/* a second's is enough */
	while (issued < due && refused < pubs_count) {
		struct publisher *p = &pubs[turn++ % pubs_count];

		if (!has_room(p)) {
			refused++;
			continue;
		}
		refused = 0;
		issued++;
		send_next(p);
		client_flush(&p->c);
	}
}

static bool
is_owed(const struct publisher *p)
{
	return client_is_open(&p->c) && (p->answered < p->sent || oracle_is_owed(&p->f));
}

void
publishers_tick(uint64_t now)
{
	if (crowd_phase == CROWD_RUN && opt.rate > 0 && pubs_count > 0)
		send_due(now);
	if (now < next_watch)
		return;
	next_watch = now + WATCH_MS * 1000000u;
	for (int i = 0; i < pubs_count; i++) {
		struct publisher *p = &pubs[i];

		if (watch_is_stalled(&p->watch, is_owed(p), p->answered + p->f.next, now))
			oracle_violation("publisher %" PRIu32 ": stalled: waits for the answer to "
			    "%" PRIu32, p->id, p->answered + 1);
	}
}

bool
publishers_are_settled(void)
{
	for (int i = 0; i < pubs_count; i++)
		if (is_owed(&pubs[i]))
			return false;
	return true;
}

void
publishers_finish(void)
{
	for (int i = 0; i < pubs_count; i++) {
		oracle_final_follower(&pubs[i].f);
		client_drop(&pubs[i].c);
	}
}
