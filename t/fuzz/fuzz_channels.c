/*
 * What clients say, and what is made of it: the channel dialect, the routes and the handlers behind
 * them, on a worker of slot.c. A subscriber looks on, whose stream must stay well formed.
 *
 * The first byte picks the part, how many bytes a read gets, and whether the server stops.
 *
 *   requests   the rest is what one connection sends, an upgrade included
 *   dialect    each line is a message to /ws/channels, masked and framed here. One that begins
 *              with ! has the opcode of the next byte; > + and = are fragments: the first, one in
 *              between, the last; ~ and a letter is no message but something that happens
 *
 * The answers may not depend on where the bytes are cut, and what goes out are frames of UTF-8 and
 * JSON.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "t/fuzz/slot.h"
#include "worker/json.h"
#include "worker/message.h"
#include "worker/utf8.h"
#include "worker/wsframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_MAX = 256 * 1024, OWN_MAX = 64 * 1024 };

static const char upgrade[] = "GET /ws/channels HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
static const char event[] = "{\"type\":\"publish\",\"channel\":\"a\",\"data\":[1,\"x\"]}";
static uint32_t looker, talker, asker;

static bool is_slow;			/* one of them did not read for a while */

/* What the first two have said since the scene was set. */
static struct mouth {
	size_t n;
	uint8_t bytes[STREAM_MAX];
} mouth[2];

/* ---- what is sent ---- */

static void
add_frame(struct mouth *m, unsigned opcode, bool fin, const uint8_t *p, size_t n)
{
	static const uint8_t mask[4] = { 1, 2, 4, 8 };
	uint8_t *at = m->bytes + m->n;
	size_t k;

	if (m->n + n + WS_HEAD_MAX + 4 > sizeof m->bytes)
		return;
	k = ws_frame_head(at, WS_TEXT, fin, false, n);
	at[0] = (uint8_t)((at[0] & 0xf0) | (opcode & 15));
	at[1] |= 0x80;
	memcpy(at + k, mask, 4);
	ws_unmask(at + k + 4, p, n, mask);
	m->n += k + 4 + n;
}

static void
add_line(struct mouth *m, const uint8_t *p, size_t n)
{
	if (n >= 2 && p[0] == '!')
		add_frame(m, p[1], true, p + 2, n - 2);
	else if (n >= 1 && p[0] == '>')
		add_frame(m, WS_TEXT, false, p + 1, n - 1);
	else if (n >= 1 && (p[0] == '+' || p[0] == '='))
		add_frame(m, WS_CONTINUATION, p[0] == '=', p + 1, n - 1);
	else
		add_frame(m, WS_TEXT, true, p, n);
}

static struct peer *
peer(uint32_t ci)
{
	return &world.peer[ci];
}

static void
give(uint32_t ci, size_t chunk)
{
	peer(ci)->in = mouth[ci].bytes;
	peer(ci)->n = mouth[ci].n;
	peer(ci)->chunk = chunk;
	slot_settle();
}

static void
say(uint32_t ci, const char *text)
{
	add_line(&mouth[ci], (const uint8_t *)text, strlen(text));
	give(ci, 0);
}

static void
set_scene(void)
{
	char name[16];
	uint32_t chan;
	unsigned i;

	slot_make();
	looker = slot_connect();
	talker = slot_connect();
	asker = slot_connect();
	assert(looker == 0 && talker == 1 && asker == 2);
	slot_give(looker, upgrade, sizeof upgrade - 1, 0);
	slot_give(talker, upgrade, sizeof upgrade - 1, 0);
	slot_settle();
	peer(looker)->at = peer(talker)->at = peer(talker)->n = 0;
	say(looker, "{\"type\":\"subscribe\",\"channel\":\"a\"}");
	for (i = 0; i < 5; i++)
		say(looker, event);
	peer(looker)->nout = peer(talker)->nout = 0;
	peer(looker)->at = peer(looker)->n = mouth[looker].n = 0;
	for (i = 0; i < SLOT_CHANNELS - 8; i++) {
		snprintf(name, sizeof name, "old-%u", i);
		assert(message_channel(&world.w, name, strlen(name), &chan) == 0);
	}
	slot_keep();
}

/* ---- what comes back ---- */

/* One frame of the server: its length, 0: it is cut; *text: its payload, if it is text. */
static size_t
read_frame(const uint8_t *p, size_t n, const uint8_t **text, size_t *len)
{
	size_t head = 2;

	if (n < 2)
		return 0;
	assert((p[0] & 0xf0) == 0x80 && (p[1] & 0x80) == 0);
	*len = p[1];
	if (*len == 126) {
		if (n < 4)
			return 0;
		*len = (size_t)p[2] << 8 | p[3];
		head = 4;
	} else if (*len == 127) {
		if (n < 10)
			return 0;
		assert(p[2] == 0 && p[3] == 0 && p[4] == 0 && p[5] == 0);
		*len = (size_t)p[6] << 24 | (size_t)p[7] << 16 | (size_t)p[8] << 8 | p[9];
		head = 10;
	}
	*text = (p[0] & 15) == WS_TEXT ? p + head : NULL;
	return *len <= n - head ? head + *len : 0;
}

static bool
is_event(const uint8_t *text, size_t n)
{
	return (n > 16 && memcmp(text, "{\"type\":\"event\",", 16) == 0) ||
	    (n > 14 && memcmp(text, "{\"type\":\"gap\",", 14) == 0);
}

/* All that a subscriber got is well formed; answers are copied to out, their length returned. */
static size_t
check_frames(const struct peer *s, uint8_t *out)
{
	struct json_member want[] = { { .name = "type" }, { .name = NULL } };
	const uint8_t *text;
	enum json_why why;
	size_t at = 0, len, n, k = 0;

	while (at < s->nout) {
		n = read_frame(s->out + at, s->nout - at, &text, &len);
		if (n == 0) {			/* it did not read, and was closed */
			assert(is_slow && !s->open);
			break;
		}
		if (text != NULL) {
			assert(utf8_valid(text, len));
			assert(json_scan_object((const char *)text, len, 64, want, &why) == 1);
			assert(want[0].seen && want[0].v.type == JSON_STRING);
		}
		if (text == NULL || !is_event(text, len)) {
			memcpy(out + k, s->out + at, n);
			k += n;
		}
		at += n;
	}
	return k;
}

static bool
begins(const struct peer *s, size_t at, const char *text)
{
	size_t n = strlen(text);

	return s->nout - at >= n && memcmp(s->out + at, text, n) == 0;
}

/*
 * Answers of HTTP, without what differs: interim ones, as it depends on the cut whether they are
 * asked for, and the names of requests.
 */
static size_t
copy_answers(const struct peer *s, uint8_t *out)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n", id[] = "X-Request-Id: ";
	size_t at = 0, k = 0;

	while (at < s->nout) {
		if (begins(s, at, interim)) {
			at += sizeof interim - 1;
			continue;
		}
		if (begins(s, at, id))
			while (at < s->nout && s->out[at] != '\r')
				at++;
		out[k++] = s->out[at++];
	}
	return k;
}

/* ---- what happens ---- */

static void
begin_again(void)
{
	slot_reset();
	slot_heir(false, false);
	slot_recover();
	mouth[0].n = mouth[1].n = 0;
	is_slow = false;
}

static void
die(bool faulted)
{
	slot_heir(false, faulted);
	slot_recover();
	slot_settle();
}

static void
happen(uint8_t what)
{
	unsigned i;

	switch (what) {
	case 't':
		world.now += 20000;
		say(looker, "{\"type\":\"ping\"}");
		for (i = 0; i < 3; i++)
			slot_tick();
		break;
	case 'b':
		peer(talker)->room = 10;
		is_slow = true;
		break;
	case 'u':
		peer(talker)->room = SIZE_MAX;
		break;
	case 'l':
		peer(looker)->room = 30;
		is_slow = true;
		break;
	case 'L':
		peer(looker)->room = SIZE_MAX;
		break;
	case 'd':
		die(false);
		break;
	case 'f':
		die(true);
		break;
	case 'm':
		for (i = 0; i < 20; i++)
			say(looker, event);
		break;
	case 'q':
		peer(talker)->fin = true;
		break;
	}
	slot_settle();
}

/* Says all lines; true if something happened between them. */
static bool
talk(const uint8_t *p, size_t n, size_t chunk)
{
	bool happened = false;
	const uint8_t *lf;
	size_t k;

	while (n > 0) {
		lf = memchr(p, '\n', n);
		k = lf == NULL ? n : (size_t)(lf - p);
		if (k >= 2 && p[0] == '~') {
			happened = true;
			give(talker, chunk);
			happen(p[1]);
		} else
			add_line(&mouth[talker], p, k);
		p += k < n ? k + 1 : k;
		n -= k < n ? k + 1 : k;
	}
	give(talker, chunk);
	return happened;
}

static void
fuzz_dialect(const uint8_t *p, size_t n, size_t chunk)
{
	static uint8_t whole[SLOT_OUT], parts[SLOT_OUT];
	size_t nwhole, nparts;
	bool happened;

	begin_again();
	happened = talk(p, n, 0);
	peer(talker)->room = peer(looker)->room = SIZE_MAX;
	slot_settle();
	assert(peer(looker)->open || is_slow);
	check_frames(peer(looker), whole);
	nwhole = check_frames(peer(talker), whole);
	if (happened)
		return;
	begin_again();
	talk(p, n, chunk);
	check_frames(peer(looker), parts);
	nparts = check_frames(peer(talker), parts);
	assert(nwhole == nparts && memcmp(whole, parts, nwhole) == 0);
}

static bool stopping;

static size_t
ask(const uint8_t *p, size_t n, size_t chunk, uint8_t *out, bool *upgraded)
{
	struct peer *s = peer(asker);

	begin_again();
	word32_set(&world.w.r->head->stopping, stopping);
	slot_give(asker, p, n, chunk);
	slot_settle();
	/* a stream is told of this, a request that is not complete is late */
	say(looker, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":[1,\n2]}");
	happen('t');
	happen('t');
	check_frames(peer(looker), out);
	*upgraded = memmem(s->out, s->nout, "HTTP/1.1 101", 12) != NULL;
	return copy_answers(s, out);
}

static void
fuzz_requests(const uint8_t *p, size_t n, size_t chunk)
{
	static uint8_t whole[SLOT_OUT], parts[SLOT_OUT];
	bool upgraded, again;
	size_t nwhole, nparts;

	nwhole = ask(p, n, 0, whole, &upgraded);
	nparts = ask(p, n, chunk, parts, &again);
	assert(upgraded == again);
	/* counters do depend on the cuts */
	if (!upgraded && memmem(whole, nwhole, "# HELP", 6) == NULL)
		assert(nwhole == nparts && memcmp(whole, parts, nwhole) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool made;
	size_t chunk;

	if (!made)
		set_scene();
	made = true;
	if (size < 1 || size > OWN_MAX)
		return 0;
	chunk = 1 + (data[0] >> 1) % 64;
	stopping = (data[0] & 128) != 0;
	if ((data[0] & 1) != 0)
		fuzz_dialect(data + 1, size - 1, chunk);
	else
		fuzz_requests(data + 1, size - 1, chunk);
	return 0;
}
