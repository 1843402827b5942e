/*
 * Readers of a region that somebody has overwritten. The input changes words of the tables, rings,
 * arenas and slots, and between that says what is asked of the region. Whatever stands there, no
 * byte outside is touched, no result is out of its range, and every call ends.
 *
 * Four bytes each (what, which, which word, how), and eight of a value for some; the upper half of
 * `what` is a question. A process that publishes is an heir: its predecessor's words are untrusted.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/arena.h"
#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/dirty.h"
#include "shm/event.h"
#include "shm/idempotency.h"
#include "shm/idempotency_layout.h"
#include "shm/logring.h"
#include "shm/slot_layout.h"
#include "t/fuzz/slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WRITES_MAX = 256, LINES = 20 };

static const struct channel_rule_values rule = { .history = 16 };
static const char *const names[] = { "a", "b", "gone", "room-1", "new" };
static struct region *r;
static struct writer wa, test, master;
static unsigned char bytes[EVENT_MAX];

/* ---- the scene ---- */

static uint32_t
make(const char *name, unsigned events)
{
	uint32_t chan;
	uint64_t seq;
	unsigned i;

	assert(channel_get(&wa, name, strlen(name), &rule, &chan) == 0);
	for (i = 0; i < events; i++) {
		struct event_head h = { .len = 100 * i, .cookie = i };

		assert(event_publish(i % 3 == 0 ? &test : &wa, chan, &h, bytes, &seq) == 0);
	}
	return chan;
}

static enum idempotency_result
ask(const char *key, uint64_t off)
{
	struct idempotency q = { .channel = "a", .channel_len = 1, .key = key,
		.key_len = strlen(key), .cookie = 7, .in_off = off };
	enum idempotency_result result = idempotency_get(&wa, &q);

	if (result == IDEMPOTENCY_OWNER && off % 3 == 0)
		idempotency_finish(&q, 1, off + 1);
	else if (result == IDEMPOTENCY_OWNER && off % 3 == 1)
		idempotency_give_up(&q);
	return result;
}

static void
set_scene(void)
{
	char name[16];
	uint32_t chan;
	unsigned i;

	slot_make();
	r = &world.h.region;
	writer_open(&wa, r, 0);
	writer_open(&test, r, HELPER_TEST);
	writer_open(&master, r, HELPER_MASTER);
	chan = make("a", 40);
	channel_join(&wa, chan, &(uint64_t){ 0 });
	make("b", 5);
	make("room-1", 1);
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "more-%u", i);
		make(name, 0);
	}
	chan = make("gone", 3);
	assert(channel_retire(&master, chan, 3));
	for (i = 0; i < 10; i++) {
		ask((const char *[]){ "k", "key-1", "x" }[i % 3], i);
		logring_put(r, 0, i, 1, 0, "a line of the log", 17);
	}
	idempotency_turn(r);
	ask("next", 5);
	slot_keep();
}

/* ---- scribbling ---- */

static word64 *
place(const struct slot_write *k)
{
	unsigned n = k->which, writer = (n & 1) != 0 ? HELPER_TEST : 0;
	struct slot *s = region_slot(r, writer);
	uint64_t low = word_get(&s->arena_low) & (r->caps.arena - 1) & ~511ull;

	switch (k->what % 12) {
	case 0:
	case 1:
		return (word64 *)&r->channels[n % SLOT_CHANNELS] + k->word % 9;
	case 2:
	case 3:
		return region_ring(r, n % SLOT_CHANNELS) + k->word % r->caps.ring_cells;
	case 4:
		return (word64 *)r->buckets + k->word % (SLOT_CHANNELS / 2);
	case 5:
		return (word64 *)region_arena(r, writer) + ((unsigned)(n >> 1) << 8 | k->word);
	case 6:
		return (word64 *)(region_arena(r, writer) + low) + k->word % 64;
	case 7:
		return (word64 *)s + k->word % 40;
	case 8:
		return region_idempotency(r, n) + k->word % 32;
	case 9:
		return (word64 *)region_idempotency_record(r, 0, n, n / 2 % 16) + k->word % 8;
	case 10:
		return (k->word & 1) != 0 ? &s->log_head : (k->word & 2) != 0 ? &s->log_tail :
		    (word64 *)region_log(r, writer) + k->word / 4;
	default:
		return region_dirty(r, writer) + k->word;
	}
}

/* ---- questions ---- */

static void
read_some(uint32_t chan, uint64_t from, unsigned n)
{
	struct event e;
	uint64_t seq;

	for (seq = from; n > 0; n--, seq++) {
		if (event_peek(r, chan, seq, &e) != EVENT_OK)
			continue;
		assert(e.head.len <= EVENT_MAX && e.head.seq == seq && e.head.chan == chan);
		(void)event_copy(r, chan, seq, &e, bytes);
	}
}

static void
read_channel(uint32_t chan, const struct slot_write *k)
{
	uint64_t tail = channel_tail(r, chan), at = slot_changed(k, tail), first;

	assert(tail <= CHANNEL_SEQ_MAX);
	(void)channel_is_closed(r, chan);
	read_some(chan, tail - 20, 24);
	read_some(chan, at, 4);
	(void)channel_covers(r, chan, at, tail);
	(void)channel_covers(r, chan, 0, tail);
	first = channel_first_after(r, chan, at, tail);
	assert(first <= tail + 1 && (at >= tail || first > at));
	first = channel_first_after(r, chan, 0, tail);
	assert(first <= tail + 1);
}

static void
find_names(unsigned writer, bool get, unsigned word)
{
	struct writer w;
	uint32_t chan;
	uint64_t tail;
	char name[16];
	size_t i;

	writer_open(&w, r, writer);
	channel_repair(&w);
	snprintf(name, sizeof name, "own-%u", word);
	if (get && channel_get(&w, name, strlen(name), &rule, &chan) == 0)
		assert(chan < SLOT_CHANNELS);
	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		if ((get ? channel_get(&w, names[i], strlen(names[i]), &rule, &chan) :
		    channel_find(r, names[i], strlen(names[i]), &chan)) != 0)
			continue;
		assert(chan < SLOT_CHANNELS);
		if (get && channel_join(&w, chan, &tail))
			channel_leave(&w, chan);
	}
}

static void
publish_some(unsigned writer, uint32_t chan, uint32_t len)
{
	struct event_head h = { .len = len };
	struct doubt d;
	struct writer w;
	uint64_t seq;
	unsigned i;

	writer_open(&w, r, writer);
	event_recover(&w, &d);
	assert(!d.on || (d.head.chan < SLOT_CHANNELS && d.head.len <= EVENT_MAX));
	channel_repair(&w);
	if (writer == 0)
		idempotency_settle(&w, &d);
	for (i = 0; i < 4 && event_publish(&w, chan, &h, bytes, &seq) == 0; i++)
		assert(seq > 0 && seq <= CHANNEL_SEQ_MAX);
	(void)sleepers_take(r, w.wake);
}

static void
retire(uint32_t chan)
{
	writer_open(&master, r, HELPER_MASTER);
	if (channel_retire(&master, chan, channel_tail(r, chan)) &&
	    word_get(&r->channels[chan].claim) == CHANNEL_RETIRED)
		channel_recycle(&master, chan);
}

static void
on_dirty(void *arg, uint32_t chan)
{
	assert(chan < SLOT_CHANNELS);
}

static void
take_lines(unsigned writer)
{
	struct log_line l;
	unsigned i;

	for (i = 0; i < LINES && logring_take(r, writer, &l) == 1; i++)
		assert(l.len <= LOG_LINE_MAX);
	(void)logring_put(r, writer, 1, 1, 1, "x", 1);
	(void)logring_lost(r, writer);
}

static void
take_marks(unsigned writer)
{
	struct writer w;

	writer_open(&w, r, writer);
	dirty_take(&w, on_dirty, NULL);
	(void)dirty_take_hints(&w);
	(void)sleep_begin(&w);
	sleep_end(&w);
}

static void
ask_keys(const struct slot_write *k)
{
	static const char *const keys[] = { "k", "key-1", "x", "next", "other" };
	char more[16];

	snprintf(more, sizeof more, "%u", k->which);
	writer_open(&wa, r, 0);
	ask(k->which < 32 ? keys[k->which % 5] : more, k->word % 8);
	if ((k->word & 64) != 0)
		idempotency_turn(r);
	(void)idempotency_tick(r, k->word + 1);
}

static void
question(const struct slot_write *k)
{
	unsigned writer = (k->which & 1) != 0 ? HELPER_TEST : 0;
	uint32_t chan = k->which % SLOT_CHANNELS;
	static struct settings s;

	switch (k->what >> 4 & 7) {
	case 0:
		read_channel(chan, k);
		break;
	case 1:
		find_names(writer, (k->which & 2) != 0, k->word);
		break;
	case 2:
		publish_some(writer, chan, k->word * 257u % (EVENT_MAX + 1));
		break;
	case 3:
		take_lines(writer);
		break;
	case 4:
		take_marks(writer);
		break;
	case 5:
		ask_keys(k);
		break;
	case 6:
		retire(chan);
		break;
	default:
		region_settings_get(r, &s);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct slot_write writes[WRITES_MAX];
	static bool made;
	unsigned n, i;
	word64 *p;

	if (!made)
		set_scene();
	made = true;
	slot_reset();
	n = slot_read_writes(data, size, writes, WRITES_MAX);
	for (i = 0; i < n; i++) {
		if ((writes[i].what & 128) != 0) {
			question(&writes[i]);
			continue;
		}
		p = place(&writes[i]);
		*p = slot_changed(&writes[i], *p);
	}
	for (i = 0; i < 8; i++)
		question(&(struct slot_write){ .what = (uint8_t)(i << 4), .which = (uint8_t)i });
	return 0;
}
