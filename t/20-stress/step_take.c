/*
 * What comes from the server. A frame or an event is taken when it is complete, and must be the
 * next of its kind: of the answers in the order of the questions, of the events of its channel.
 *
 * Which place a message got is not always known beforehand (two publishers, a lapped ring): the
 * first who sees it tells, by its answer or by the event, and everybody else must agree.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "t/20-stress/step_oracle.h"
#include "t/20-stress/step_server.h"

enum { OP_TEXT = 1, OP_CLOSE = 8, OP_PONG = 10, NEIGHBOURS = 64 };

/* ---- messages and their places ---- */

/* What a client says later has a later place; who was lapped may see the later one first. */
static bool
is_in_order(struct oracle *o, const struct publish *p, uint64_t seq)
{
	uint32_t id = p->id > NEIGHBOURS ? p->id - NEIGHBOURS : 1;

	if (id < o->chan[p->chan].first)
		id = o->chan[p->chan].first;
	for (; p->client >= 0 && id <= o->npubs && id <= p->id + NEIGHBOURS; id++) {
		const struct publish *q = &o->pub[id % LOG];

		if (q->id != id || id == p->id || q->client != p->client || q->chan != p->chan ||
		    q->seq == 0 || (id < p->id) == (q->seq < seq))
			continue;
		went_wrong(o, WRONG_OTHER,
		    "message %u of %s is event %" PRIu64 ", message %u of the same client %" PRIu64,
		    p->id, o->chan[p->chan].name, seq, id, q->seq);
		return false;
	}
	return true;
}

bool
oracle_place(struct oracle *o, struct publish *p, uint64_t seq)
{
	struct chan *c = &o->chan[p->chan];
	uint64_t *last = p->client < 0 ? NULL : &o->client[p->client].published[p->chan];

	if (p->seq == seq)
		return true;
	if (p->seq != 0 || seq == 0 || seq > c->count) {
		went_wrong(o, WRONG_DOUBLED,
		    "message %u is event %" PRIu64 " and %" PRIu64 " of %s, "
		    "which has %" PRIu64,
		    p->id, p->seq, seq, c->name, c->count);
		return false;
	}
	if (c->log[seq % LOG].seq == seq) {
		went_wrong(o, WRONG_DOUBLED, "event %" PRIu64 " of %s is message %u and %u", seq,
		    c->name, c->log[seq % LOG].id, p->id);
		return false;
	}
	if (!is_in_order(o, p, seq))
		return false;
	if (last != NULL && seq > *last)
		*last = seq;
	p->seq = seq;
	c->log[seq % LOG].seq = seq;
	c->log[seq % LOG].id = p->id;
	return true;
}

struct publish *
oracle_publish(struct oracle *o, unsigned chan, int client, uint32_t len)
{
	struct publish *p;

	p = &o->pub[++o->npubs % LOG];
	*p = (struct publish){ .id = o->npubs, .len = len, .chan = chan, .client = client };
	o->chan[chan].count++;
	return p;
}

size_t
oracle_data(char *out, const struct publish *p)
{
	size_t n = (size_t)snprintf(out, 40, "{\"n\":%u,\"fill\":\"", p->id), i;

	for (i = n; i + 2 < p->len; i++)
		out[i] = (char)('a' + (p->id * 7 + i * (1 + i / 26)) % 26);
	memcpy(out + i, "\"}", 2);
	return i + 2;
}

/* ---- what comes: events ---- */

/* An event that the client said itself and does not want back. */
static bool
is_own(const struct oracle *o, const struct client *k, unsigned chan, uint64_t seq)
{
	const struct chan *c = &o->chan[chan];
	const struct publish *p = &o->pub[c->log[seq % LOG].id % LOG];

	return seq <= c->count && c->log[seq % LOG].seq == seq && p->not_for != 0 &&
	    p->not_for == k->number;
}

/* Passes over those. */
void
oracle_pass_own(const struct oracle *o, struct client *k, unsigned chan)
{
	while (k->next[chan] != 0 && is_own(o, k, chan, k->next[chan]))
		k->next[chan]++;
}

/* True if this is the next event of client k in the channel, with its bytes. */
static bool
take_event(struct oracle *o, struct client *k, unsigned chan, uint64_t seq, const char *data,
    size_t n)
{
	static char want[BYTES];
	struct chan *c = &o->chan[chan];
	struct publish *p;
	unsigned id = 0;

	oracle_pass_own(o, k, chan);
	if (k->next[chan] == 0 || seq != k->next[chan]) {
		went_wrong(o,
		    seq < k->next[chan] || k->next[chan] == 0 ? WRONG_DOUBLED : WRONG_LOST,
		    "client %td got event %" PRIu64 " of %s instead of %" PRIu64, k - o->client,
		    seq, c->name, k->next[chan]);
		return false;
	}
	if (sscanf(data, "{\"n\":%u,", &id) != 1 || (p = &o->pub[id % LOG])->id != id ||
	    p->chan != chan || oracle_data(want, p) != n || memcmp(want, data, n) != 0) {
		went_wrong(o, WRONG_TORN, "event %" PRIu64 " of %s is %.100s", seq, c->name, data);
		return false;
	}
	k->next[chan]++;
	return oracle_place(o, p, seq);
}

static int
chan_by_name(const struct oracle *o, const char *name, size_t n)
{
	int i;

	for (i = 0; i < CHANS; i++)
		if (n > 0 && strlen(o->chan[i].name) == n && memcmp(o->chan[i].name, name, n) == 0)
			return i;
	return -1;
}

uint64_t
oracle_epoch(const struct oracle *o, unsigned chan)
{
	const struct chan *c = &o->chan[chan];
	uint32_t number;

	if (channel_find(&o->s->r, c->name, strlen(c->name), &number) != 0)
		return 0;
	return o->s->r.channels[number].epoch;
}

/* {"type":"event","channel":"NAME","seq":N,"data":DATA} */
static void
take_ws_event(struct oracle *o, struct client *k, const char *p, size_t n)
{
	const char *name = p + 27, *quote = memchr(name, '"', n - 27);
	int chan = quote == NULL ? -1 : chan_by_name(o, name, (size_t)(quote - name));
	unsigned long long seq = 0;
	int used = 0;

	if (chan < 0 || sscanf(quote, "\",\"seq\":%llu,\"data\":%n", &seq, &used) != 1 ||
	    used == 0 || p[n - 1] != '}') {
		went_wrong(o, WRONG_TORN, "client %td: torn event %.100s", k - o->client, p);
		return;
	}
	quote += used;
	take_event(o, k, (unsigned)chan, seq, quote, (size_t)(p + n - 1 - quote));
}

/* A gap is right only if so much was published meanwhile. */
static bool
is_gap(const struct oracle *o, const struct client *k, unsigned chan, uint64_t to)
{
	const struct chan *c = &o->chan[chan];

	if (!c->may_gap || k->next[chan] == 0 || to < k->next[chan] || (c->latest && !k->slow))
		return false;
	return c->latest ? to + 1 == c->count : to + STEP_HISTORY <= c->count;
}

static void
take_gap(struct oracle *o, struct client *k, const char *p)
{
	unsigned long long from = 0, to = 0, epoch = 0;
	char name[40] = "";
	int chan;

	sscanf(p,
	    "{\"type\":\"gap\",\"channel\":\"%39[^\"]\",\"from\":%llu,\"to\":%llu,"
	    "\"epoch\":\"%llx\"}",
	    name, &from, &to, &epoch);
	chan = chan_by_name(o, name, strlen(name));
	if (chan >= 0)
		oracle_pass_own(o, k, (unsigned)chan);
	while (chan >= 0 && from < k->next[chan] && is_own(o, k, (unsigned)chan, from))
		from++;			/* the server had not come so far */
	if (chan < 0 || from != k->next[chan] || !is_gap(o, k, (unsigned)chan, to) ||
	    epoch != oracle_epoch(o, (unsigned)chan))
		went_wrong(o, WRONG_LOST, "client %td: %.200s", k - o->client, p);
	else
		k->next[chan] = to + 1;
}

/* ---- what comes: replies ---- */

static void
take_published(struct oracle *o, const struct reply *q, const char *p, size_t n)
{
	struct publish *pub = &o->pub[q->id % LOG];
	unsigned long long seq = 0;
	char want[300];
	const char *at = memmem(p, n, "\"seq\":", 6);

	if (at != NULL)
		sscanf(at, "\"seq\":%llu", &seq);
	snprintf(want, sizeof want,
	    "{\"type\":\"published\",\"id\":%u,\"channel\":\"%s\",\"seq\":%llu}", q->id,
	    o->chan[q->chan].name, seq);
	if (strlen(want) != n || memcmp(want, p, n) != 0)
		went_wrong(
		    o, WRONG_TORN, "got %.200s instead of the answer to message %u", p, q->id);
	else
		oracle_place(o, pub, seq);
}

/* The place where it begins may be known only from the answer. */
static void
take_subscribed(struct oracle *o, struct client *k, const struct reply *q, const char *p, size_t n)
{
	unsigned long long seq = q->seq;
	const char *at = memmem(p, n, "\",\"seq\":", 8);
	char want[300];

	if (o->racing && at != NULL)
		sscanf(at + 8, "%llu", &seq);
	snprintf(want, sizeof want,
	    "{\"type\":\"subscribed\",\"channel\":\"%s\",\"epoch\":\"%016" PRIx64
	    "\",\"seq\":%llu%s}",
	    o->chan[q->chan].name, oracle_epoch(o, q->chan), seq,
	    q->since > 0 ? ",\"recovered\":true" : "");
	if (strlen(want) != n || memcmp(want, p, n) != 0 || seq < q->seq ||
	    seq > o->chan[q->chan].count)
		went_wrong(o, WRONG_LOST, "client %td: got %.200s instead of %.200s", k - o->client,
		    p, want);
	k->next[q->chan] = (q->since > 0 ? q->since : seq) + 1;
}

static void
take_reply(struct oracle *o, struct client *k, unsigned opcode, const char *p, size_t n)
{
	const struct reply *q = &k->reply[k->reply_first % REPLIES];
	char want[300] = "";
	unsigned op = OP_TEXT;

	if (k->reply_first == k->reply_end) {
		went_wrong(o, WRONG_DOUBLED, "client %td got more than it asked for: %.200s",
		    k - o->client, p);
		return;
	}
	k->reply_first++;
	switch (q->kind) {
	case REPLY_PUBLISHED:
		take_published(o, q, p, n);
		return;
	case REPLY_SUBSCRIBED:
		take_subscribed(o, k, q, p, n);
		return;
	case REPLY_UNSUBSCRIBED:
		snprintf(want, sizeof want, "{\"type\":\"unsubscribed\",\"channel\":\"%s\"}",
		    o->chan[q->chan].name);
		k->next[q->chan] = 0;
		break;
	case REPLY_PONG:
		snprintf(want, sizeof want, "ping %u", q->id);
		op = OP_PONG;
		break;
	}
	if (op != opcode || strlen(want) != n || memcmp(want, p, n) != 0)
		went_wrong(o, WRONG_LOST, "client %td: got %.200s instead of %.200s", k - o->client,
		    p, want);
}

/* It is closed: what it still had to get does not come, unless it has said goodbye itself. */
static void
take_close(struct oracle *o, struct client *k, const unsigned char *p, size_t n)
{
	size_t len = k->fall_code == 0 ? 0 : strlen(k->fall_reason);

	if (k->fall_code == 0 || n != 2 + len || (p[0] << 8 | p[1]) != (int)k->fall_code ||
	    memcmp(p + 2, k->fall_reason, len) != 0 ||
	    (k->fall_code == 1000 && k->reply_first != k->reply_end)) {
		went_wrong(o, WRONG_CLOSED, "client %td: close frame %u %.*s", k - o->client,
		    n >= 2 ? p[0] << 8 | p[1] : 0, n >= 2 ? (int)n - 2 : 0, (const char *)p + 2);
		return;
	}
	k->fallen = true;
	k->fallen_at = server_now();
	k->reply_first = k->reply_end;
}

static void
take_frame(struct oracle *o, struct client *k, unsigned opcode, unsigned char *p, size_t n)
{
	unsigned char after = p[n];

	p[n] = '\0';			/* there is room, and texts can be printed */
	if (opcode == OP_CLOSE)
		take_close(o, k, p, n);
	else if (opcode == OP_TEXT && n > 27 &&
	    memcmp(p, "{\"type\":\"event\",\"channel\":\"", 27) == 0)
		take_ws_event(o, k, (char *)p, n);
	else if (opcode == OP_TEXT && n > 13 && memcmp(p, "{\"type\":\"gap\"", 13) == 0)
		take_gap(o, k, (char *)p);
	else
		take_reply(o, k, opcode, (char *)p, n);
	p[n] = after;
}

/* ---- what comes: bytes ---- */

/* Bytes of a whole frame at p, 0: more is needed. */
static size_t
take_ws(struct oracle *o, struct client *k, unsigned char *p, size_t n)
{
	size_t head = 2, len;

	if (n < 2)
		return 0;
	len = p[1] & 127;
	if ((p[0] & 0xf0) != 0x80 || p[1] > 127 ||
	    (len == 127 && n >= 10 && (p[2] | p[3] | p[4]) != 0)) {
		went_wrong(o, WRONG_TORN, "client %td: frame begins with %02x %02x", k - o->client,
		    p[0], p[1]);
		return 0;
	}
	if (len >= 126)
		head = len == 126 ? 4 : 10;
	if (n < head)
		return 0;
	if (head == 4)
		len = (size_t)p[2] << 8 | p[3];
	else if (head == 10)
		len = (size_t)p[6] << 24 | (size_t)p[7] << 16 | (size_t)p[8] << 8 | p[9];
	if (len > INPUT / 2) {
		went_wrong(o, WRONG_TORN, "client %td: frame of %zu bytes", k - o->client, len);
		return 0;
	}
	if (n < head + len)
		return 0;
	take_frame(o, k, p[0] & 15, p + head, len);
	return head + len;
}

/* event: gap, id: EPOCH:SEQ, data: … */
static void
take_sse_gap(struct oracle *o, struct client *k, const char *p)
{
	unsigned long long seq = 0, epoch = 0, again = 0, seq_again = 0;

	sscanf(p, "event: gap\nid: %16llx:%llu\ndata: {\"epoch\":\"%16llx\",\"seq\":%llu}", &epoch,
	    &seq, &again, &seq_again);
	if (epoch != oracle_epoch(o, 0) || again != epoch || seq_again != seq ||
	    !is_gap(o, k, 0, seq))
		went_wrong(o, WRONG_LOST, "client %td: %.200s", k - o->client, p);
	else
		k->next[0] = seq + 1;
}

/* id: EPOCH:SEQ, data: DATA, of channel 0. */
static size_t
take_sse(struct oracle *o, struct client *k, unsigned char *p, size_t n)
{
	unsigned char *end = memmem(p, n, "\n\n", 2);
	unsigned long long seq = 0, epoch = 0;
	int used = 0;

	if (end == NULL)
		return 0;
	*end = '\0';
	if (strncmp((char *)p, "event: gap\n", 11) == 0)
		take_sse_gap(o, k, (char *)p);
	else if (sscanf((char *)p, "id: %16llx:%llu\ndata: %n", &epoch, &seq, &used) != 2 ||
	    used == 0 || epoch != oracle_epoch(o, 0))
		went_wrong(
		    o, WRONG_TORN, "client %td: torn event %.100s", k - o->client, (char *)p);
	else
		take_event(o, k, 0, seq, (char *)p + used, (size_t)(end - p) - (size_t)used);
	return (size_t)(end - p) + 2;
}

/* The number at p is where the client's next post has got to. */
static bool
take_place(struct oracle *o, struct client *k, const unsigned char *p)
{
	uint32_t id = k->post[k->post_first++ % REPLIES];

	return oracle_place(o, &o->pub[id % LOG], strtoull((const char *)p, NULL, 10));
}

static size_t
take_raw(struct oracle *o, struct client *k, const unsigned char *p, size_t n)
{
	size_t i, digits;

	for (i = 0; i < n && k->raw_at < k->raw_n; i++, k->raw_at++) {
		char want = k->raw[k->raw_at];

		if (want == ANY_NUMBER || want == ANY_PLACE) {
			for (digits = 0; i + digits < n && isdigit(p[i + digits]); digits++)
				;
			if (i + digits == n)
				return i;	/* there may be more */
			if (digits > 0 && (want == ANY_NUMBER || take_place(o, k, p + i))) {
				i += digits - 1;
				continue;
			}
		}
		if (want == (char)p[i] || want == ANY_BYTE)
			continue;
		if (want == ANY_DIGIT && p[i] >= '0' && p[i] <= '9')
			continue;
		went_wrong(o, WRONG_TORN, "client %td: got %.120s instead of %.120s", k - o->client,
		    (const char *)p + i, k->raw + k->raw_at);
		return n;
	}
	return i;
}

void
oracle_take(struct oracle *o, struct client *k)
{
	size_t at = 0, used = 1;

	while (at < k->n && used > 0 && o->why[0] == '\0') {
		if (k->raw_at < k->raw_n)
			used = take_raw(o, k, k->in + at, k->n - at);
		else if (k->kind == CLIENT_WS)
			used = take_ws(o, k, k->in + at, k->n - at);
		else if (k->kind == CLIENT_SSE)
			used = take_sse(o, k, k->in + at, k->n - at);
		else {
			went_wrong(o, WRONG_DOUBLED,
			    "client %td got more than it asked for: %.100s", k - o->client,
			    (char *)k->in + at);
			return;
		}
		at += used;
	}
	memmove(k->in, k->in + at, k->n - at);
	k->n -= at;
}
