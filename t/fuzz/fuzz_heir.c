/*
 * An heir over what its predecessor scribbled. A worker with connections in all states dies in the
 * middle of a turn; the input overwrites words of the records, spans, blocks, of the slot and of
 * the tables; then a worker inherits that, serves for a while, dies, and another one does.
 *
 * Nobody may fault, abort or stay for ever, and a connection whose record and what it names are
 * whole is not closed.
 *
 *   byte 0    at which call the worker dies, and bits: faulted, suspect; f.: fresh
 *   then      four bytes (what, which, which word, how) and eight of a value for some, each
 */
#include <assert.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/idempotency_layout.h"
#include "t/fuzz/slot.h"
#include "worker/wsframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 7, TURNS = 40, WRITES_MAX = 64 };

enum { LOOKER, CUT, HALF, EVENTS, HISTORY, TALKER, SENDER };

static const char upgrade[] = "GET /ws/channels HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
static const char sse[] = "GET /api/channels/a/events HTTP/1.1\r\nHost: a\r\n"
    "Accept: text/event-stream\r\n\r\n";
static const char history[] = "GET /api/channels/a/events HTTP/1.1\r\nHost: a\r\n\r\n";
static const char half[] = "POST /api/channels/a/events HTTP/1.1\r\nHost: a\r\n"
    "Idempotency-Key: k\r\nContent-Length: 10\r\n\r\n123";
static bool faulted;
static uint8_t said[CLIENTS][4096];
static size_t nsaid[CLIENTS];

/* ---- the scene ---- */

static void
frame(uint32_t ci, unsigned opcode, bool fin, const char *text)
{
	static const uint8_t mask[4] = { 1, 2, 4, 8 };
	size_t n = strlen(text), k;
	uint8_t *p = said[ci] + nsaid[ci];

	assert(nsaid[ci] + n + 14 <= sizeof said[ci]);
	k = ws_frame_head(p, (uint8_t)opcode, fin, false, n);
	p[1] |= 0x80;
	memcpy(p + k, mask, 4);
	ws_unmask(p + k + 4, (const uint8_t *)text, n, mask);
	nsaid[ci] += k + 4 + n;
}

static void
raw(uint32_t ci, const char *text)
{
	memcpy(said[ci] + nsaid[ci], text, strlen(text));
	nsaid[ci] += strlen(text);
}

static void
give(uint32_t ci)
{
	world.peer[ci].in = said[ci];
	world.peer[ci].n = nsaid[ci];
}

static void
text(uint32_t ci, const char *s)
{
	frame(ci, WS_TEXT, true, s);
	give(ci);
	slot_settle();
}

static void
open_client(uint32_t ci, const char *request)
{
	assert(slot_connect() == ci);
	raw(ci, request);
	give(ci);
}

static void
subscribe_many(uint32_t ci)
{
	char s[80] = "{\"type\":\"subscribe\",\"channel\":\"a\"}";
	char *name = strrchr(s, 'a');
	unsigned i;

	for (i = 0; i < 12; i++, ++*name)
		text(ci, s);
}

/* All is said but for what the worker dies of. */
static void
set_scene(void)
{
	static const char *const first[CLIENTS] = { upgrade, upgrade, half, sse, "", upgrade,
		upgrade };
	uint32_t i;

	slot_make();
	for (i = 0; i < CLIENTS; i++)
		open_client(i, first[i]);
	slot_settle();
	subscribe_many(LOOKER);
	text(CUT, "{\"type\":\"subscribe\",\"channel\":\"a\"}");
	text(TALKER, "{\"type\":\"subscribe\",\"channel\":\"a\"}");
	for (i = 0; i < 8; i++)
		text(TALKER, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":\"0123456789\"}");
	frame(CUT, WS_TEXT, false, "{\"type\":");
	raw(CUT, "\x81\xa0xx");
	give(CUT);
	slot_settle();
	world.peer[CUT].room = 20;
	world.peer[HISTORY].room = 500;
	raw(HISTORY, history);
	give(HISTORY);
	text(TALKER, "{\"type\":\"publish\",\"channel\":\"b\",\"data\":1}");
	text(TALKER, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":2}");
	raw(HALF, "4567890");
	frame(TALKER, WS_TEXT, true, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}");
	frame(TALKER, WS_TEXT, true, "{\"type\":\"subscribe\",\"channel\":\"c\"}");
	frame(SENDER, WS_TEXT, true, "{\"type\":\"publish\",\"channel\":\"b\",\"data\":7}");
	frame(SENDER, WS_TEXT, false, "{\"type\":");
	frame(SENDER, WS_CONTINUATION, true, "\"ping\"}");
	frame(SENDER, WS_PING, true, "x");
	frame(SENDER, WS_TEXT, true, "{\"type\":\"subscribe\",\"channel\":\"new\"}");
	frame(SENDER, WS_TEXT, false, "{\"type\":\"server\"");
	slot_keep();
}

/* ---- scribbling ---- */

static struct slot_write writes[WRITES_MAX];

/* The words that a record's references lead to. */
static word64 *
span_word(const struct worker *w, const struct conn *c, unsigned word)
{
	uint64_t plan = c->plan, ref = (word & 128) != 0 || plan == 0 ? c->ctl : plan_ref(plan);

	if (ref == 0 || ref + 128 > w->frames_size / FRAME_UNIT || ref > UINT32_MAX)
		ref = 1;
	return (word64 *)(w->frames + (ref - 1) * FRAME_UNIT) + (word & 127);
}

static word64 *
slot_word(struct slot *s, unsigned word)
{
	word64 *const other[] = { &s->conns_used, &s->conns_open, &s->idempotency_used[0],
		&s->idempotency_used[1], &s->suspect_key, &s->suspect_in, &s->summary[0],
		&s->summary[1], &s->quiet, &s->requests, &s->arriving, &s->arriving_gen };

	if (word < 128)
		return (word64 *)s + word % 8;
	/* without a fault the number of records is believed */
	if (!faulted && word % (sizeof other / sizeof other[0]) == 0)
		word++;
	return other[word % (sizeof other / sizeof other[0])];
}

static word64 *
place(const struct slot_write *k)
{
	struct worker *w = &world.w;
	const struct region *r = w->r;
	unsigned n = k->which;
	struct conn *c = &w->conns[n % CLIENTS];

	switch (k->what % 14) {
	default:
		return (word64 *)c + k->word % (sizeof *c / 8);
	case 4:
	case 5:
		return span_word(w, c, k->word);
	case 6:
		return (word64 *)w->frames + (n << 8 | k->word);
	case 7:
		return (word64 *)region_block(r, 0, n % r->caps.blocks) + k->word % 8;
	case 8:
		return (word64 *)region_ext(r, 0, n % 2, n / 2 % 8) + k->word % 16;
	case 9:
		if (k->word >= 240)
			return region_moves(r, 0) + n % SLOT_CONNS;
		return slot_word(w->slot, k->word);
	case 10:
		return (word64 *)&r->channels[n % SLOT_CHANNELS] + k->word % 32;
	case 11:
		return region_ring(r, n % SLOT_CHANNELS) + k->word % r->caps.ring_cells;
	case 12:
		return (word64 *)w->pub.arena + (n << 8 | k->word);
	case 13:
		return region_idempotency(r, n & 1) + k->word % 32;
	}
}

/* True if it cannot hurt any connection but one whose bit is set in *hurt. */
static bool
scribble(const struct slot_write *k, unsigned *hurt)
{
	word64 *p = place(k);
	struct worker *w = &world.w;
	unsigned word = (unsigned)(p - (word64 *)w->conns) % (sizeof(struct conn) / 8);
	unsigned ci = (unsigned)(p - (word64 *)w->conns) / (sizeof(struct conn) / 8);

	*p = slot_changed(k, *p);
	if (k->what % 14 > 3)
		return false;
	*hurt |= 1u << ci;
	/* what it names may be another's */
	return word != 0 && p != &w->conns[ci].plan && p != &w->conns[ci].part &&
	    p != &w->conns[ci].ext && p != &w->conns[ci].assembly && p != &w->conns[ci].cookie;
}

/* ---- lives ---- */

static jmp_buf death;
static unsigned calls;		/* behind so many of them */

static void
on_call(void)
{
	if (calls > 0 && --calls == 0)
		longjmp(death, 1);
}

static void
live_and_die(unsigned when)
{
	slot_heir(false, false);
	slot_recover();
	give(HALF);
	give(TALKER);
	give(SENDER);
	calls = when + 1;
	world.on_call = on_call;
	if (setjmp(death) == 0) {
		slot_connect();
		slot_turn();
	}
	world.on_call = NULL;
}

/* The message in hand has ended a worker before: by a fault, it costs its sender the connection. */
static unsigned
suspect(void)
{
	struct slot *s = world.w.slot;
	int32_t ci = hdr_conn(word_get(&s->hdr));

	if (ci < 0 || ci >= SLOT_CONNS)
		return 0;
	word_set(&s->suspect_key, world.w.conns[ci].cookie);
	word_set(&s->suspect_in, world.w.conns[ci].in_done);
	word32_set(&s->suspect_count, 1);
	return 1u << ci;
}

static void
serve(void)
{
	unsigned i;

	for (i = 0; i < TURNS; i++) {
		if (i % 8 == 7) {
			world.now += 20000;
			slot_tick();
		}
		if (i == 20)
			slot_connect();
		if (i == 10)
			world.peer[CUT].room = world.peer[HISTORY].room = SIZE_MAX;
		slot_turn();
	}
}

static void
inherit(bool fresh, unsigned innocent)
{
	uint32_t ci;

	slot_heir(fresh, faulted);
	slot_recover();
	for (ci = 0; ci < CLIENTS; ci++)
		assert((innocent >> ci & 1) == 0 || fresh || world.peer[ci].open);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool made;
	unsigned n, i, hurt = 0;
	bool clean = true;

	if (!made)
		set_scene();
	made = true;
	if (size < 1)
		return 0;
	faulted = (data[0] & 16) != 0;
	slot_reset();
	live_and_die(data[0] & 15);
	if ((data[0] & 32) != 0)
		hurt = suspect();
	n = slot_read_writes(data + 1, size - 1, writes, WRITES_MAX);
	for (i = 0; i < n; i++)
		clean = scribble(&writes[i], &hurt) && clean;
	inherit((data[0] & 0xf0) == 0xf0, clean ? ~hurt : 0);
	serve();
	for (i = 0; i < n; i++)
		if ((writes[i].how & 16) != 0)
			scribble(&writes[i], &hurt);
	inherit(false, 0);
	serve();
	return 0;
}
