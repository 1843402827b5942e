/*
 * Health. /health probes the real path: an event through a channel of the server's own and back,
 * the heartbeats of all workers. /health/ready says whether this host should get traffic,
 * /health/live whether this process answers. None of them blocks.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ipc/heritage.h"
#include "ipc/process.h"
#include "worker/http.h"
#include "worker/message.h"
#include "worker/priv.h"
#include "worker/routes.h"

/* An event through a channel and back. */
static bool
probe_channel(struct http *h)
{
	static const char name[] = "$health";
	char data[64];
	struct publication p = { .channel = name, .channel_len = sizeof name - 1, .data = data };
	struct event e;

	p.len = (uint32_t)snprintf(data, sizeof data, "{\"at\":%" PRIu64 "}", h->w->now_real);
	if (message_publish(h->m, &p) != 0)
		return false;
	if (event_peek(h->w->r, p.chan, p.seq, &e) != EVENT_OK)
		return true;		/* already lapped by others who ask: it was there */
	return event_copy(h->w->r, p.chan, p.seq, &e, h->w->event) != EVENT_LAPPED;
}

/* What is wrong with workers: numbers of slots, as a list for people. */
struct trouble {
	unsigned silent, backing_off;
	char slots[WORKERS_MAX * 3 + 1];
	size_t len;
};

static void
add_slot(struct trouble *t, unsigned slot)
{
	int n = snprintf(t->slots + t->len, sizeof t->slots - t->len, "%s%u",
	    t->len > 0 ? "," : "", slot);

	if (n > 0 && (size_t)n < sizeof t->slots - t->len)
		t->len += (size_t)n;
	else
		t->slots[t->len] = '\0';
}

/* Workers whose loop has not turned for long, and those that failed often and are kept waiting. */
static void
find_trouble(const struct worker *w, struct trouble *t)
{
	unsigned i;
	uint64_t limit = w->set.stuck_timeout * 2 + 1000, now = clock_ms();

	t->silent = t->backing_off = 0;
	t->len = 0;
	t->slots[0] = '\0';
	for (i = 0; i < w->r->caps.workers; i++) {
		const struct slot *s = region_slot(w->r, i);
		uint64_t beat = word_get(&s->beat);
		bool waits = word_get(&s->backoff_until) > now;

		if (!region_slot_is_open(w->r, i))
			continue;
		if (waits)
			t->backing_off++;
		else if (beat < now && now - beat > limit)
			t->silent++;
		else
			continue;
		add_slot(t, i);
	}
}

static bool
is_draining(const struct http *h)
{
	const struct region_head *r = h->w->r->head;

	return word32_get(&r->draining) != 0 || word32_get(&r->stopping) != 0;
}

static void
answer(struct http *h, unsigned status, const char *word, const char *more)
{
	const char *const part[] = { "{\"status\":\"", word, "\",\"service\":\"plenum\"",
		",\"version\":\"", h->w->h->version, "\"", more, "}" };
	char body[512];
	size_t n = 0, i;

	for (i = 0; i < sizeof part / sizeof part[0]; i++) {
		size_t k = strnlen(part[i], sizeof body - n);

		memcpy(body + n, part[i], k);
		n += k;
	}
	http_answer(h, status, "application/json", body, n,
	    status == 503 ? "Retry-After: 1\r\nCache-Control: no-store\r\n" :
	    "Cache-Control: no-store\r\n");
}

void
health_all(struct http *h)
{
	bool channel = probe_channel(h), good;
	char checks[320];
	struct trouble t;

	find_trouble(h->w, &t);
	good = t.silent + t.backing_off == 0;
	if (channel && good && !is_draining(h)) {
		answer(h, 200, "healthy", "");
		return;
	}
	snprintf(checks, sizeof checks, ",\"checks\":{\"channel\":\"%s\",\"workers\":\"%s\","
	    "\"workers_silent\":%u,\"workers_backing_off\":%u,\"slots\":[%s]}",
	    channel ? "ok" : "failed", good ? "ok" : "failed", t.silent, t.backing_off, t.slots);
	answer(h, 503, is_draining(h) ? "draining" : "degraded", checks);
}

void
health_live(struct http *h)
{
	answer(h, 200, "healthy", "");
}

void
health_ready(struct http *h)
{
	if (is_draining(h))
		answer(h, 503, "draining", "");
	else
		answer(h, 200, "healthy", "");
}
