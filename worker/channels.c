/*
 * The channel dialect, /ws/channels: text frames of JSON, doc/channels.md. Each message is one
 * object with a type; each is answered. An error never closes the connection.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ipc/heritage.h"
#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "worker/dialect.h"
#include "worker/json.h"
#include "worker/message.h"
#include "worker/rate.h"
#include "worker/text.h"
#include "worker/ws.h"
#include "worker/wsframe.h"

enum { ID_MAX = 128, TEXT_MAX = 1024 };

/* Errors of this dialect: name, code, default text. */
#define CHANNEL_ERRORS(X) \
	X(BAD_JSON, "bad_json") \
	X(BAD_REQUEST, "bad_request") \
	X(UNKNOWN_TYPE, "unknown_type") \
	X(BAD_CHANNEL, "bad_channel") \
	X(NOT_SUBSCRIBED, "not_subscribed") \
	X(FORBIDDEN, "forbidden") \
	X(RATE_LIMITED, "rate_limited") \
	X(TOO_LARGE, "too_large") \
	X(FULL, "full") \
	X(UNAVAILABLE, "unavailable")

enum channel_error {
#define X(name, code) ERROR_##name,
	CHANNEL_ERRORS(X)
#undef X
	ERROR_COUNT
};

static const char *const error_codes[] = {
#define X(name, code) code,
	CHANNEL_ERRORS(X)
#undef X
};
_Static_assert(sizeof error_codes / sizeof error_codes[0] == ERROR_COUNT, "a code per error");

/* The members that any message of the dialect may have. */
enum member { TYPE, CHANNEL, DATA, ID, ECHO_, SINCE, PRESENCE, USER, NAME, MEMBER_COUNT };

struct request {
	struct message *m;
	struct json_member member[MEMBER_COUNT + 1];
	const char *channel;		/* valid name */
	size_t channel_len;
};

/* ---- answers ---- */

static void
say(struct message *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
say(struct message *m, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	ws_reply_text(m, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* ,"id":… as it was sent, or nothing. */
static const char *
id_of(const struct request *q, char *out, size_t cap)
{
	const struct json_member *id = &q->member[ID];

	out[0] = '\0';
	if (id->seen && (id->v.type == JSON_STRING || id->v.type == JSON_NUMBER) &&
	    id->v.n <= ID_MAX)
		snprintf(out, cap, "\"id\":%.*s,", (int)id->v.n, id->v.p);
	return out;
}

static void
say_error(const struct request *q, enum channel_error e, const char *text)
{
	char id[ID_MAX + 16];

	say(q->m, "{\"type\":\"error\",%s\"code\":\"%s\",\"message\":\"%s\"}",
	    id_of(q, id, sizeof id), error_codes[e], text);
}

/* ---- requests ---- */

static bool
take_channel(struct request *q)
{
	static char name[CHANNEL_NAME_MAX + 1];
	const struct json_member *c = &q->member[CHANNEL];
	ssize_t n;

	if (!c->seen) {
		say_error(q, ERROR_BAD_REQUEST, "channel is missing");
		return false;
	}
	n = json_string_decode(&c->v, name, sizeof name);
	if (n < 0 || !channel_name_valid(name, (size_t)n)) {
		say_error(q, ERROR_BAD_CHANNEL,
		    "a channel is named by 1 to 128 letters, digits and _ - . : / @");
		return false;
	}
	if (name[0] == '$') {
		say_error(q, ERROR_FORBIDDEN, "names that begin with $ are the server's own");
		return false;
	}
	q->channel = name;
	q->channel_len = (size_t)n;
	return true;
}

/* since: {"epoch":HEX,"seq":N}. 1: there, 0: not there, -1: malformed. */
static int
take_since(const struct request *q, uint64_t *epoch, uint64_t *seq)
{
	struct json_member want[] = { { .name = "epoch" }, { .name = "seq" }, { .name = NULL } };
	char text[32];
	enum json_why why;
	ssize_t n;

	if (!q->member[SINCE].seen || q->member[SINCE].v.type == JSON_NULL)
		return 0;
	if (json_scan_object(q->member[SINCE].v.p, q->member[SINCE].v.n, 32, want, &why) != 1 ||
	    !want[0].seen || !want[1].seen || !json_uint64(&want[1].v, seq))
		return -1;
	n = json_string_decode(&want[0].v, text, sizeof text - 1);
	if (n < 0)
		return -1;
	text[n] = '\0';
	if (!epoch_parse(text, (size_t)n, epoch))
		*epoch = 0;		/* no epoch of ours: not recovered */
	return 1;
}

static void
say_subscribed(const struct request *q, uint32_t chan, uint64_t seq, int since, bool recovered)
{
	say(q->m, "{\"type\":\"subscribed\",\"channel\":\"%.*s\",\"epoch\":\"%016" PRIx64
	    "\",\"seq\":%" PRIu64 "%s}", (int)q->channel_len, q->channel,
	    q->m->w->r->channels[chan].epoch, seq,
	    since == 0 ? "" : recovered ? ",\"recovered\":true" : ",\"recovered\":false");
}

static void
on_subscribe(struct request *q)
{
	struct worker *w = q->m->w;
	uint64_t epoch, seq = 0, tail;
	uint32_t chan;
	int since, sub, tries = 0;
	bool recovered;

	if (!take_channel(q))
		return;
	since = take_since(q, &epoch, &seq);
	if (since < 0) {
		say_error(q, ERROR_BAD_REQUEST, "since needs an epoch and a seq");
		return;
	}
	do {
		if (message_channel(w, q->channel, q->channel_len, &chan) != 0) {
			say_error(q, ERROR_FULL, "the channel table is full");
			return;
		}
	} while (!channel_join(&w->pub, chan, &tail) && tries++ < 8);
	sub = subs_find(w, q->m->ci, chan);
	if (sub < 0)
		sub = subs_place(w, q->m->ci);
	if (sub < 0) {
		if (w->views[chan] == NULL)
			channel_leave(&w->pub, chan);
		say_error(
		    q, ERROR_FULL, "this connection has as many subscriptions as it may have");
		return;
	}
	recovered = since == 1 && epoch == w->r->channels[chan].epoch &&
	    channel_covers(w->r, chan, seq, tail);
	say_subscribed(q, chan, tail, since, recovered);
	message_effect(
	    q->m, EFFECT_CURSOR, (uint32_t)sub, cursor_make(chan, recovered ? seq : tail));
	message_effect(q->m, EFFECT_INFO, (uint32_t)sub, 0);
}

static void
on_unsubscribe(struct request *q)
{
	struct worker *w = q->m->w;
	uint32_t chan;
	int sub = -1;

	if (!take_channel(q))
		return;
	if (channel_find(w->r, q->channel, q->channel_len, &chan) == 0)
		sub = subs_find(w, q->m->ci, chan);
	if (sub < 0) {
		say_error(q, ERROR_NOT_SUBSCRIBED, "there is no such subscription");
		return;
	}
	say(q->m, "{\"type\":\"unsubscribed\",\"channel\":\"%.*s\"}", (int)q->channel_len,
	    q->channel);
	message_effect(q->m, EFFECT_CURSOR, (uint32_t)sub, 0);
}

static void
publish_failed(const struct request *q)
{
	if (errno == ENOSPC)
		say_error(q, ERROR_FULL, "the channel table is full");
	else
		say_error(q, ERROR_UNAVAILABLE, "the event could not be published");
}

static void
on_publish(struct request *q)
{
	const struct json_value *data = &q->member[DATA].v;
	struct publication p = { .len = (uint32_t)data->n };
	char id[ID_MAX + 16];
	bool echo = true;

	if (!take_channel(q))
		return;
	if (!q->member[DATA].seen) {
		say_error(q, ERROR_BAD_REQUEST, "data is missing");
		return;
	}
	if (q->member[ECHO_].seen && !json_bool(&q->member[ECHO_].v, &echo)) {
		say_error(q, ERROR_BAD_REQUEST, "echo is not a boolean");
		return;
	}
	if (data->n > EVENT_MAX) {
		say_error(q, ERROR_TOO_LARGE, "data is larger than an event may be");
		return;
	}
	p.channel = q->channel;
	p.channel_len = q->channel_len;
	p.data = data->p;
	p.len = (uint32_t)data->n;
	p.flags = echo ? 0 : EVENT_NO_ECHO;
	if (message_publish(q->m, &p) != 0) {
		publish_failed(q);
		return;
	}
	say(q->m, "{\"type\":\"published\",%s\"channel\":\"%.*s\",\"seq\":%" PRIu64 "}",
	    id_of(q, id, sizeof id), (int)q->channel_len, q->channel, p.seq);
}

static void
on_ping(struct request *q)
{
	static const char pong[] = "{\"type\":\"pong\"}";

	ws_reply_text(q->m, pong, sizeof pong - 1);
}

static void
on_server(struct request *q)
{
	const struct slot *s = q->m->w->slot;
	uint64_t deaths = 0;
	unsigned d;

	for (d = 0; d < DEATH_COUNT; d++)
		deaths += word_get(&s->deaths[d]);
	say(q->m, "{\"type\":\"server\",\"slot\":%u,\"deaths\":%" PRIu64 ",\"version\":\"%s\"}",
	    q->m->w->pub.index, deaths, q->m->w->h->version);
}

static const struct {
	const char *type;
	void (*run)(struct request *q);
} types[] = {
	{ "publish", on_publish },
	{ "subscribe", on_subscribe },
	{ "unsubscribe", on_unsubscribe },
	{ "ping", on_ping },
	{ "server", on_server },
};

static void
run(struct request *q)
{
	char type[32];
	ssize_t n;
	size_t i;

	if (!q->member[TYPE].seen || q->member[TYPE].v.type != JSON_STRING) {
		say_error(q, ERROR_BAD_REQUEST, "type is missing");
		return;
	}
	n = json_string_decode(&q->member[TYPE].v, type, sizeof type - 1);
	for (i = 0; n > 0 && i < sizeof types / sizeof types[0]; i++)
		if ((size_t)n == strlen(types[i].type) &&
		    memcmp(type, types[i].type, (size_t)n) == 0) {
			types[i].run(q);
			return;
		}
	say_error(q, ERROR_UNKNOWN_TYPE, "there is no message of this type");
}

static void
channels_message(struct message *m, unsigned opcode, const unsigned char *p, size_t n)
{
	struct request q = {
		.m = m,
		.member = { { .name = "type" }, { .name = "channel" }, { .name = "data" },
		    { .name = "id" }, { .name = "echo" }, { .name = "since" },
		    { .name = "presence" }, { .name = "user" }, { .name = "name" },
		    { .name = NULL } },
	};
	enum json_why why;
	bool good;

	if (opcode != WS_TEXT) {
		ws_reply_close(m, WS_CLOSE_UNSUPPORTED, "this dialect is text");
		return;
	}
	good = json_scan_object((const char *)p, n, m->w->set.json_depth, q.member, &why) == 1;
	if (!good)
		q.member[ID].seen = false;
	if (!rate_take(m))
		say_error(&q, ERROR_RATE_LIMITED, "too many messages in a second");
	else if (!good)
		say_error(&q, why == JSON_WHY_NOT_OBJECT ? ERROR_BAD_REQUEST : ERROR_BAD_JSON,
		    json_why_name(why));
	else
		run(&q);
}

/* ---- framing ---- */

static size_t
event_frame(unsigned char *out, const struct frame_context *x, const struct event_head *h,
    const unsigned char *data)
{
	char head[CHANNEL_NAME_MAX + 80];
	size_t n = 0, k, len;

	/* {"type":"event","channel":"…","seq":N,"data":…} */
	memcpy(head, "{\"type\":\"event\",\"channel\":\"", 27);
	n = 27;
	memcpy(head + n, x->name, x->name_len);
	n += x->name_len;
	memcpy(head + n, "\",\"seq\":", 8);
	n += 8;
	n += decimal_put(head + n, h->seq);
	memcpy(head + n, ",\"data\":", 8);
	n += 8;
	len = n + h->len + 1;
	k = ws_frame_head(out, WS_TEXT, true, false, len);
	memcpy(out + k, head, n);
	memcpy(out + k + n, data, h->len);
	out[k + len - 1] = '}';
	return k + len;
}

static size_t
gap_frame(unsigned char *out, const struct frame_context *x, uint64_t from, uint64_t to)
{
	char text[CHANNEL_NAME_MAX + 160];
	int n = snprintf(text, sizeof text,
	    "{\"type\":\"gap\",\"channel\":\"%.*s\",\"from\":%" PRIu64 ",\"to\":%" PRIu64
	    ",\"epoch\":\"%016" PRIx64 "\"}",
	    (int)x->name_len, x->name, from, to, x->epoch);
	size_t k = ws_frame_head(out, WS_TEXT, true, false, (uint64_t)n);

	memcpy(out + k, text, (size_t)n);
	return k + (size_t)n;
}

const struct dialect dialect_channels = {
	.message = channels_message,
	.event = event_frame,
	.gap = gap_frame,
	.ping = ws_ping,
	.goodbye = ws_reply_close,
};

/* ---- /ws/echo ---- */

static void
echo_message(struct message *m, unsigned opcode, const unsigned char *p, size_t n)
{
	ws_reply(m, opcode, p, n);
}

const struct dialect dialect_echo = {
	.message = echo_message,
	.ping = ws_ping,
	.goodbye = ws_reply_close,
};
