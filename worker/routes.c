#define _GNU_SOURCE
#include "worker/routes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "console/assets.h"
#include "ipc/heritage.h"
#include "worker/dialect.h"
#include "worker/http.h"
#include "worker/message.h"
#include "worker/priv.h"
#include "worker/wsframe.h"

#define VERB(v) (1u << HTTP_VERB_##v)
#define READS (VERB(GET) | VERB(HEAD))

/*
 * A path is literal but for one {channel}, which stands for one percent-encoded segment, and a
 * final
 * *, which stands for any rest.
 */
static const struct route {
	const char *path;
	unsigned verbs;
	uint32_t service;
	void (*handler)(struct http *h);
} routes[] = {
	{ "/", READS, SETTINGS_SERVICE_CONSOLE, page_asset },
	{ "/console/*", READS, SETTINGS_SERVICE_CONSOLE, page_asset },
	{ "/health", READS, SETTINGS_SERVICE_HEALTH, health_all },
	{ "/health/live", READS, SETTINGS_SERVICE_HEALTH, health_live },
	{ "/health/ready", READS, SETTINGS_SERVICE_HEALTH, health_ready },
	{ "/metrics", READS, SETTINGS_SERVICE_METRICS, metrics_page },
	{ "/api/channels/{channel}/events", READS, SETTINGS_SERVICE_API, api_events },
	{ "/api/channels/{channel}/events", VERB(POST), SETTINGS_SERVICE_API, api_publish },
	{ "/ws/channels", VERB(GET), SETTINGS_SERVICE_CHANNELS, upgrade_channels },
	{ "/ws/echo", VERB(GET), SETTINGS_SERVICE_ECHO, upgrade_echo },
};

void
routes_allow(unsigned verbs, char *out, size_t cap)
{
	size_t n = (size_t)snprintf(out, cap, "Allow: ");
	const char *comma = "";
	unsigned v;

	verbs |= VERB(OPTIONS);
	for (v = 0; v < HTTP_VERB_OTHER; v++)
		if ((verbs >> v & 1) != 0 && n < cap) {
			n += (size_t)snprintf(out + n, cap - n, "%s%s", comma,
			    http_verb_name((enum http_verb)v));
			comma = ", ";
		}
	if (n < cap)
		snprintf(out + n, cap - n, "\r\n");
}

/* One pattern: * matches any run without a dot, so that it stays within its label. */
static bool
origin_matches(const char *pat, size_t pn, const char *s, size_t n)
{
	while (pn > 0 && *pat != '*') {
		if (n == 0 || strncasecmp(pat, s, 1) != 0)
			return false;
		pat++, pn--, s++, n--;
	}
	if (pn == 0)
		return n == 0;
	pat++, pn--;
	for (;;) {
		if (origin_matches(pat, pn, s, n))
			return true;
		if (n == 0 || *s == '.' || *s == '/')
			return false;
		s++, n--;
	}
}

bool
routes_origin_matches(const char *patterns, const char *origin, size_t n)
{
	const char *p = patterns;

	while (*p != '\0') {
		size_t k = strcspn(p, " ");

		if ((k == 1 && *p == '*') || (k > 0 && origin_matches(p, k, origin, n)))
			return true;
		p += k;
		p += strspn(p, " ");
	}
	return false;
}

/* How far a path agrees with a pattern's literal beginning. */
static size_t
agreement(const char *pat, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && pat[i] != '\0' && pat[i] != '{' && pat[i] != '*' && pat[i] == p[i])
		i++;
	return i;
}

/* True if the path is the route's; its {channel} goes to h. */
static bool
path_matches(struct http *h, const char *pat, const char *p, size_t n)
{
	size_t before = agreement(pat, p, n), after;
	ssize_t k;

	if (pat[before] == '\0' || pat[before] == '*')
		return (pat[before] == '*') == (n > before);
	if (pat[before] != '{')
		return false;
	pat = strchr(pat + before, '}') + 1;
	after = strlen(pat);
	if (n <= before + after || memcmp(p + n - after, pat, after) != 0)
		return false;
	p += before;
	n -= before + after;
	if (memchr(p, '/', n) != NULL)
		return false;
	k = http_percent_decode(p, n, h->channel, sizeof h->channel);
	h->channel_len = k < 0 ? sizeof h->channel : (size_t)k;
	return true;
}

/* Preflight of a cross-origin request, or a plain question for the methods. */
static void
answer_options(struct http *h)
{
	char extra[400];
	size_t n;

	routes_allow(h->allow, extra, sizeof extra);
	n = strlen(extra);
	if (http_header(h, "Access-Control-Request-Method", &(size_t){ 0 }) != NULL)
		snprintf(extra + n, sizeof extra - n,
		    "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"
		    "Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, "
		    "Last-Event-ID, X-API-Key, X-Request-Id\r\n"
		    "Access-Control-Max-Age: 600\r\n");
	http_answer(h, 204, NULL, NULL, 0, extra);
}

static bool
is_health(const struct route *r)
{
	return r->service == SETTINGS_SERVICE_HEALTH || r->service == SETTINGS_SERVICE_METRICS;
}

static void
run(struct http *h, const struct route *r)
{
	if (word32_get(&h->w->r->head->stopping) != 0 && !is_health(r)) {
		http_error(h, HTTP_ERROR_DRAINING, "this server is going away");
		return;
	}
	r->handler(h);
}

void
routes_dispatch(struct http *h)
{
	const struct http_request *rq = h->rq;
	const struct region_listener *l =
	    &h->w->r->head->listener[CONN_LISTENER(word32_get(&h->m->c->state))];
	const struct route *r, *found = NULL;

	for (r = routes; r < routes + sizeof routes / sizeof routes[0]; r++) {
		if ((l->services & r->service) == 0 ||
		    !path_matches(h, r->path, h->p + rq->path.off, rq->path.len))
			continue;
		if (r->service == SETTINGS_SERVICE_ECHO && !h->w->set.debug_endpoints)
			continue;
		h->allow |= r->verbs;
		if ((r->verbs >> rq->method & 1) != 0)
			found = r;
	}
	if (found != NULL)
		run(h, found);
	else if (h->allow != 0 && rq->method == HTTP_VERB_OPTIONS)
		answer_options(h);
	else if (h->allow != 0)
		http_error(h, HTTP_ERROR_METHOD_NOT_ALLOWED, "this path does not know the method");
	else
		http_error(h, HTTP_ERROR_NOT_FOUND, "nothing is served at this path");
}

/* ---- WebSocket upgrades (RFC 6455, 4.2) ---- */

static void
upgrade(struct http *h, enum dialect_id d)
{
	char accept[WS_ACCEPT_SIZE];
	size_t n = 0, kn = 0, on = 0;
	const char *version = http_header(h, "Sec-WebSocket-Version", &n);
	const char *key = http_header(h, "Sec-WebSocket-Key", &kn);
	const char *origin = http_header(h, "Origin", &on);

	if (!h->rq->upgrade_websocket || h->rq->minor == 0) {
		http_error(h, HTTP_ERROR_UPGRADE_REQUIRED, "this path speaks WebSocket");
		return;
	}
	if (version == NULL || n != 2 || memcmp(version, "13", 2) != 0) {
		http_error(h, HTTP_ERROR_UPGRADE_REQUIRED, "the WebSocket version must be 13");
		return;
	}
	if (key == NULL || !ws_key_valid(key, kn)) {
		http_error(h, HTTP_ERROR_BAD_REQUEST, "Sec-WebSocket-Key is missing or malformed");
		return;
	}
	if (origin != NULL && h->w->set.origins[0] != '\0' &&
	    !routes_origin_matches(h->w->set.origins, origin, on)) {
		http_error(h, HTTP_ERROR_FORBIDDEN, "pages of this origin may not connect");
		return;
	}
	ws_accept_key(key, kn, accept);
	h->close = false;
	stat_http_add(h->w->stats, 101);
	message_text(h->m, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
	message_text(h->m, accept);
	message_text(h->m, "\r\n");
	http_put_request_id(h);
	message_text(h->m, "\r\n");
	message_state(h->m, CONN_WS | (uint32_t)d << 16, 0x1fu << 16 & ~((uint32_t)d << 16));
}

void
upgrade_channels(struct http *h)
{
	upgrade(h, DIALECT_CHANNELS);
}

void
upgrade_echo(struct http *h)
{
	upgrade(h, DIALECT_ECHO);
}

/* ---- the page ---- */

void
page_asset(struct http *h)
{
	const char *p = h->p + h->rq->path.off, *tag;
	size_t n = h->rq->path.len, tn;
	char extra[400];
	unsigned i;

	for (i = 0; i < assets_count; i++)
		if (strlen(assets[i].path) == n && memcmp(assets[i].path, p, n) == 0)
			break;
	if (i == assets_count) {
		http_error(h, HTTP_ERROR_NOT_FOUND, "nothing is served at this path");
		return;
	}
	snprintf(extra, sizeof extra, "ETag: %s\r\nCache-Control: no-cache\r\n"
	    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
	    "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss:; "
	    "img-src 'self' data:\r\n", assets[i].etag);
	tag = http_header(h, "If-None-Match", &tn);
	if (tag != NULL && tn == strlen(assets[i].etag) && memcmp(tag, assets[i].etag, tn) == 0)
		http_answer(h, 304, NULL, NULL, 0, extra);
	else
		http_answer(h, 200, assets[i].type, assets[i].data, assets[i].len, extra);
}
