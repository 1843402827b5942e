/*
 * /metrics: Prometheus text exposition format 0.0.4. Counters are sums over all writers of the
 * host; no label names a channel or a client, so the page does not grow with them.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shm/channel_layout.h"
#include "ipc/process.h"
#include "worker/dialect.h"
#include "worker/http.h"
#include "worker/message.h"
#include "worker/priv.h"
#include "worker/routes.h"

struct page {
	const struct worker *w;
	char *text;
	size_t n, cap;
};

static void put(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
put(struct page *p, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(p->text + p->n, p->cap - p->n, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < p->cap - p->n)
		p->n += (size_t)n;
}

static void
head(struct page *p, const char *name, const char *type, const char *help)
{
	put(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static uint64_t
sum(const struct worker *w, enum counter c)
{
	uint64_t v = 0;
	unsigned i;

	for (i = 0; i < WRITERS_MAX; i++)
		v += stat_get(&region_slot(w->r, i)->stats, c);
	return v;
}

static void
put_counters(struct page *p)
{
	unsigned c;

	for (c = 0; c < STAT_COUNT; c++) {
		const char *name = stat_metric((enum counter)c);

		if (c >= STAT_DISCONNECT_CLIENT && c <= STAT_DISCONNECT_HEIR)
			continue;
		head(p, name, "counter", stat_help((enum counter)c));
		put(p, "%s %" PRIu64 "\n", name, sum(p->w, (enum counter)c));
	}
	head(p, "plenum_disconnects_total", "counter", "connections ended, by reason");
	for (c = STAT_DISCONNECT_CLIENT; c <= STAT_DISCONNECT_HEIR; c++)
		put(p, "plenum_disconnects_total{reason=\"%s\"} %" PRIu64 "\n",
		    strrchr(stat_metric((enum counter)c), '_') + 1, sum(p->w, (enum counter)c));
}

static void
put_http(struct page *p)
{
	unsigned i, k;

	head(p, "plenum_http_requests_total", "counter", "requests answered, by status");
	for (i = 0; i < HTTP_CODE_COUNT; i++) {
		uint64_t v = 0;

		for (k = 0; k < WRITERS_MAX; k++)
			v += atomic_load_explicit(&region_slot(p->w->r, k)->stats.http[i],
			    memory_order_relaxed);
		if (stat_http_code(i) != 0)
			put(p, "plenum_http_requests_total{code=\"%u\"} %" PRIu64 "\n",
			    stat_http_code(i), v);
		else
			put(p, "plenum_http_requests_total{code=\"other\"} %" PRIu64 "\n", v);
	}
}

static void
put_connections(struct page *p)
{
	unsigned d, k;

	head(p, "plenum_connections", "gauge", "open connections, by dialect");
	for (d = 0; d < DIALECT_COUNT; d++) {
		uint64_t v = 0;

		for (k = 0; k < p->w->r->caps.workers; k++)
			v += word_get(&region_slot(p->w->r, k)->conns_dialect[d]);
		put(p, "plenum_connections{dialect=\"%s\"} %" PRIu64 "\n",
		    dialect_name(d), v);
	}
	head(p, "plenum_worker_connections", "gauge", "open connections, by slot");
	for (k = 0; k < p->w->r->caps.workers; k++)
		if (region_slot_is_open(p->w->r, k))
			put(p, "plenum_worker_connections{slot=\"%u\"} %" PRIu64 "\n", k,
			    word_get(&region_slot(p->w->r, k)->conns_open));
}

static void
put_workers(struct page *p)
{
	const struct worker *w = p->w;
	uint64_t deaths[DEATH_COUNT] = { 0 }, pause = 0;
	unsigned d, k;

	for (k = 0; k < w->r->caps.workers; k++) {
		const struct slot *s = region_slot(w->r, k);

		for (d = 0; d < DEATH_COUNT; d++)
			deaths[d] += word_get(&s->deaths[d]);
		if (word_get(&s->pause_us) > pause)
			pause = word_get(&s->pause_us);
	}
	head(p, "plenum_worker_deaths_total", "counter", "workers that ended, by reason");
	for (d = DEATH_NONE + 1; d < DEATH_COUNT; d++)
		put(p, "plenum_worker_deaths_total{reason=\"%s\"} %" PRIu64 "\n",
		    slot_death_name((enum slot_death)d), deaths[d]);
	head(p, "plenum_worker_pause_seconds", "gauge",
	    "longest last pause of a slot, from a worker's death to its heir's first turn");
	put(p, "plenum_worker_pause_seconds %.6f\n", (double)pause / 1e6);
	head(p, "plenum_workers", "gauge", "worker slots in service");
	put(p, "plenum_workers %d\n",
	    __builtin_popcountll(word_get(&w->r->head->open_slots)));
}

static void
put_host(struct page *p)
{
	const struct region_head *r = p->w->r->head;
	uint64_t made = sum(p->w, STAT_CHANNELS_MADE), gone = sum(p->w, STAT_CHANNELS_RETIRED);

	head(p, "plenum_channels", "gauge", "channels in the table");
	put(p, "plenum_channels %" PRIu64 "\n", made > gone ? made - gone : 0);
	head(p, "plenum_channels_max", "gauge", "capacity of the channel table");
	put(p, "plenum_channels_max %u\n", p->w->r->caps.channels);
	head(p, "plenum_draining", "gauge", "1 while the host is taken out");
	put(p, "plenum_draining %u\n", word32_get(&r->draining) | word32_get(&r->stopping));
	head(p, "plenum_reloads_total", "counter", "configurations taken over");
	put(p, "plenum_reloads_total %" PRIu64 "\n", word_get(&r->reloads));
	head(p, "plenum_start_time_seconds", "gauge", "when the region was made, since 1970");
	put(p, "plenum_start_time_seconds %.3f\n", (double)r->started / 1e3);
}

void
metrics_page(struct http *h)
{
	static char text[REPLY_MAX - 4096];
	struct page p = { .w = h->w, .text = text, .cap = sizeof text };

	put_connections(&p);
	put_host(&p);
	put_workers(&p);
	put_http(&p);
	put_counters(&p);
	http_answer(h, 200, "text/plain; version=0.0.4; charset=utf-8", text, p.n,
	    "Cache-Control: no-store\r\n");
}
