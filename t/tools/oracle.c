/*
 * For each channel there is a table seq -> (publisher, number).  Whoever first shows an event with
 * a seq, be it the publisher's answer or any subscriber, fills the cell; everybody after must show
 * the same.  So "the same order for all" needs no comparison between subscribers, and what is left
 * for each of them is that seqs come one after the other, told gaps aside.  When all is over, a
 * walk over the table finds holes and publishers out of order.
 *
 * Payloads are a function of publisher and number, so that each can be checked byte for byte
 * without being kept: a slice of one long random text behind the two numbers.
 *
 * The same frame reaches thousands of subscribers.  The last few checked frames of each channel
 * are kept raw; a frame that equals the one for the awaited seq needs no second look.
 */
#include "t/tools/oracle.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "t/tools/latency.h"

enum {
	TEXT_OFFSETS = 1 << 16,
	TEXT_LEN = TEXT_OFFSETS + (1 << 20),
	KNOWN_FRAMES = 32,		/* per channel */
	KNOWN_FRAME_MAX = 4096,
	TOLD_MAX = 40			/* violations printed */
};

struct cell {
	uint32_t p, n;			/* p == 0: nobody has shown it */
};

struct known {
	uint64_t seq;
	uint32_t p, n;
	size_t len, cap;
	char *bytes;
};

struct channel {
	char name[64];
	char epoch[EPOCH_LEN + 1];
	struct cell *cells;		/* by seq */
	size_t cells_cap;
	uint64_t newest;
	uint64_t sent, answered, unsure;
	struct known known[KNOWN_FRAMES];
};

struct range {
	uint32_t from, to;
};

struct publisher {
	uint64_t *sent_at;		/* by number, ns */
	size_t cap;
	uint32_t sent, answered;
	uint64_t last_seq;
	struct range *unsure;		/* numbers that were lost with a slot */
	size_t nunsure;
};

struct oracle_tally tally;

static struct {
	struct oracle_setup setup;
	struct channel *channels;
	struct publisher *publishers;	/* by id; [0] is nobody */
	char *text;
	char *payload;
	struct latency deliveries, answers;
	uint64_t pause_max;		/* us */
	unsigned told;
} o;

void
oracle_violation(const char *fmt, ...)
{
	va_list ap;

	tally.violations++;
	if (o.told++ >= TOLD_MAX)
		return;
	fputs("crowd: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(o.told == TOLD_MAX ? "\ncrowd: (no more of these are printed)\n" : "\n", stderr);
}

static void *
grow(void *p, size_t *cap, size_t need, size_t size)
{
	size_t n = *cap;
	char *q;

	if (need < n)
		return p;
	n = need * 3 / 2 + 64;
	q = realloc(p, n * size);
	assert(q != NULL);
	memset(q + *cap * size, 0, (n - *cap) * size);
	*cap = n;
	return q;
}

static uint64_t
mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdu;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53u;
	return x ^ x >> 33;
}

void
oracle_setup(const struct oracle_setup *setup)
{
	uint64_t nonce = mix((uint64_t)time(NULL) << 24 ^ (uint64_t)getpid());

	o.setup = *setup;
	o.channels = calloc((size_t)setup->channels, sizeof *o.channels);
	o.publishers = calloc((size_t)setup->publishers + 1, sizeof *o.publishers);
	o.text = malloc(TEXT_LEN);
	o.payload = malloc(setup->size_max + 128);
	assert(o.channels && o.publishers && o.text && o.payload);
	for (size_t i = 0; i < TEXT_LEN; i++) {
		char c = (char)(' ' + mix(setup->seed + i) % 95);

		o.text[i] = c == '"' || c == '\\' ? '~' : c;
	}
	/* names are new in every run, whatever the seed: a channel must begin at 1 */
	for (int i = 0; i < setup->channels; i++)
		snprintf(o.channels[i].name, sizeof o.channels[i].name, "crowd-%08" PRIx32 ".%d",
		    (uint32_t)nonce, i);
}

const char *
oracle_channel_name(int channel)
{
	return o.channels[channel].name;
}

/* --- payloads --- */

struct slice
oracle_payload(uint32_t p, uint32_t n)
{
	uint64_t h = mix((uint64_t)p << 32 | n);
	size_t size = o.setup.size_min, len;

	if (o.setup.size_max > size)
		size += (size_t)(h >> 20) % (o.setup.size_max - size + 1);
	len =
	    (size_t)snprintf(o.payload, 64, "{\"p\":%" PRIu32 ",\"n\":%" PRIu32 ",\"x\":\"", p, n);
	if (size > len + 2) {
		memcpy(o.payload + len, o.text + h % TEXT_OFFSETS, size - len - 2);
		len = size - 2;
	}
	memcpy(o.payload + len, "\"}", 2);
	return (struct slice){ o.payload, len + 2 };
}

/* Whose event is it?  False if it is not one of ours, byte for byte. */
static bool
read_payload(struct slice data, uint32_t *p, uint32_t *n)
{
	struct scan_member m[SCAN_MEMBERS_MAX];
	struct slice expected;
	uint64_t who, no;

	if (scan_object(data, m) != 3)
		return false;
	who = scan_number(m[0].value);
	no = scan_number(m[1].value);
	if (who < 1 || who > (uint64_t)o.setup.publishers || no < 1 ||
	    no > o.publishers[who].sent)
		return false;
	*p = (uint32_t)who;
	*n = (uint32_t)no;
	expected = oracle_payload(*p, *n);
	return expected.len == data.len && memcmp(expected.p, data.p, data.len) == 0;
}

/* --- latencies --- */

/* How long a client that was owed something got nothing at all. */
static void
note_pause(uint64_t sent, uint64_t rx, uint64_t last_rx)
{
	uint64_t since = last_rx > sent ? last_rx : sent;

	if (rx > since && (rx - since) / 1000 > o.pause_max)
		o.pause_max = (rx - since) / 1000;
}

static void
note_delivery(const struct follower *f, uint32_t p, uint32_t n, uint64_t rx, uint64_t last_rx)
{
	uint64_t sent = o.publishers[p].sent_at[n];

	tally.deliveries++;
	if (f->slow)
		return;
	latency_add(&o.deliveries, sent, rx);
	note_pause(sent, rx, last_rx);
}

/* --- the table --- */

static void
bind(int channel, uint64_t seq, uint32_t p, uint32_t n, int who)
{
	struct channel *ch = &o.channels[channel];
	struct cell *cell;

	if (seq == 0 || seq > ch->sent) {
		oracle_violation("client %d: %s: seq %" PRIu64 ", but only %" PRIu64
		    " were published", who, ch->name, seq, ch->sent);
		return;
	}
	ch->cells = grow(ch->cells, &ch->cells_cap, (size_t)seq, sizeof *ch->cells);
	cell = &ch->cells[seq];
	if (cell->p == 0) {
		*cell = (struct cell){ p, n };
	} else if (cell->p != p || cell->n != n) {
		tally.reordered++;
		oracle_violation("client %d: %s: seq %" PRIu64 " is %" PRIu32 "/%" PRIu32
		    " here, %" PRIu32 "/%" PRIu32 " elsewhere", who, ch->name, seq, p, n, cell->p,
		    cell->n);
	}
	if (seq > ch->newest)
		ch->newest = seq;
}

uint32_t
oracle_send(uint32_t p, int channel)
{
	struct publisher *pub = &o.publishers[p];
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	pub->sent++;
	pub->sent_at = grow(pub->sent_at, &pub->cap, pub->sent, sizeof *pub->sent_at);
	pub->sent_at[pub->sent] = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	o.channels[channel].sent++;
	tally.published++;
	return pub->sent;
}

void
oracle_reply(uint32_t p, uint32_t n, int channel, uint64_t seq, struct slice epoch, uint64_t now)
{
	struct publisher *pub = &o.publishers[p];

	tally.replies++;
	if (n != pub->answered + 1 || n > pub->sent) {
		tally.reordered++;
		oracle_violation("publisher %" PRIu32 ": answer to %" PRIu32 " after that to %"
		    PRIu32, p, n, pub->answered);
		return;
	}
	pub->answered = n;
	o.channels[channel].answered++;
	if (seq <= pub->last_seq)
		oracle_violation("publisher %" PRIu32 ": seq %" PRIu64 " after %" PRIu64, p, seq,
		    pub->last_seq);
	pub->last_seq = seq;
	if (epoch.p != NULL)
		oracle_epoch(channel, epoch);
	bind(channel, seq, p, n, (int)p);
	latency_add(&o.answers, pub->sent_at[n], now);
}

void
oracle_refused(uint32_t p, uint32_t n, int channel, struct slice error)
{
	oracle_violation("publisher %" PRIu32 ": message %" PRIu32 " was refused: %.*s", p, n,
	    error.len > 200 ? 200 : (int)error.len, error.p);
	o.publishers[p].answered = n;
	o.channels[channel].sent--;
}

uint32_t
oracle_unsure(uint32_t p, int channel)
{
	struct publisher *pub = &o.publishers[p];
	uint32_t n = pub->sent - pub->answered;

	if (n == 0)
		return pub->sent;
	pub->unsure = realloc(pub->unsure, (pub->nunsure + 1) * sizeof *pub->unsure);
	assert(pub->unsure != NULL);
	pub->unsure[pub->nunsure++] = (struct range){ pub->answered + 1, pub->sent };
	pub->answered = pub->sent;
	o.channels[channel].unsure += n;
	tally.unsure += n;
	return pub->sent;
}

static bool
is_unsure(const struct cell *cell)
{
	const struct publisher *pub = &o.publishers[cell->p];

	for (size_t i = 0; i < pub->nunsure; i++)
		if (cell->n >= pub->unsure[i].from && cell->n <= pub->unsure[i].to)
			return true;
	return false;
}

void
oracle_epoch(int channel, struct slice epoch)
{
	struct channel *ch = &o.channels[channel];

	epoch = scan_unquote(epoch);
	if (epoch.len != EPOCH_LEN) {
		oracle_violation("%s: not an epoch: %.*s", ch->name, (int)epoch.len, epoch.p);
	} else if (ch->epoch[0] == '\0') {
		memcpy(ch->epoch, epoch.p, EPOCH_LEN);
	} else if (memcmp(ch->epoch, epoch.p, EPOCH_LEN) != 0) {
		oracle_violation("%s: two epochs: %s and %.*s", ch->name, ch->epoch, EPOCH_LEN,
		    epoch.p);
		memcpy(ch->epoch, epoch.p, EPOCH_LEN);
	}
}

const char *
oracle_epoch_of(int channel)
{
	return o.channels[channel].epoch;
}

/* --- followers --- */

bool
oracle_is_known_frame(struct follower *f, struct slice frame, uint64_t rx, uint64_t last_rx)
{
	const struct known *k = &o.channels[f->channel].known[f->next % KNOWN_FRAMES];

	if (!f->live || k->seq != f->next || k->len != frame.len ||
	    memcmp(k->bytes, frame.p, frame.len) != 0)
		return false;
	note_delivery(f, k->p, k->n, rx, last_rx);
	f->next++;
	return true;
}

void
oracle_remember_frame(int channel, uint64_t seq, struct slice frame)
{
	struct channel *ch = &o.channels[channel];
	struct known *k = &ch->known[seq % KNOWN_FRAMES];

	if (frame.len > KNOWN_FRAME_MAX || seq <= k->seq || seq > ch->newest ||
	    ch->cells[seq].p == 0)
		return;
	if (k->cap < frame.len) {
		k->cap = frame.len + 32;
		free(k->bytes);
		k->bytes = malloc(k->cap);
		assert(k->bytes != NULL);
	}
	memcpy(k->bytes, frame.p, frame.len);
	k->len = frame.len;
	k->seq = seq;
	k->p = ch->cells[seq].p;
	k->n = ch->cells[seq].n;
}

/* Moves the follower behind seq; false if it has had that one. */
static bool
step(struct follower *f, uint64_t seq)
{
	const char *name = o.channels[f->channel].name;

	if (!f->live) {
		oracle_violation("client %d: %s: event %" PRIu64 " without a subscription",
		    f->who, name, seq);
		return false;
	}
	if (seq == f->next) {
		f->next++;
		return true;
	}
	if (seq > f->next) {
		tally.lost += seq - f->next;
		oracle_violation("client %d: %s: %" PRIu64 " where %" PRIu64 " was due", f->who,
		    name, seq, f->next);
		f->missing_from = f->next;
		f->missing_to = seq - 1;
		f->next = seq + 1;
		return true;
	}
	if (seq >= f->missing_from && seq <= f->missing_to) {
		tally.lost--;
		tally.reordered++;
		oracle_violation("client %d: %s: %" PRIu64 " comes late", f->who, name, seq);
	} else {
		tally.doubled++;
		oracle_violation("client %d: %s: %" PRIu64 " again, %" PRIu64 " was due", f->who,
		    name, seq, f->next);
	}
	return false;
}

void
oracle_event(struct follower *f, uint64_t seq, struct slice data, uint64_t rx, uint64_t last_rx)
{
	uint32_t p, n;

	if (seq == UINT64_MAX || data.p == NULL) {
		tally.torn++;
		oracle_violation("client %d: an event without seq or data", f->who);
		return;
	}
	if (!read_payload(data, &p, &n)) {
		tally.torn++;
		oracle_violation("client %d: %s: seq %" PRIu64 ": not what was published: %.*s",
		    f->who, o.channels[f->channel].name, seq, data.len > 80 ? 80 : (int)data.len,
		    data.p);
		step(f, seq);
		return;
	}
	bind(f->channel, seq, p, n, f->who);
	if (step(f, seq))
		note_delivery(f, p, n, rx, last_rx);
}

void
oracle_gap(struct follower *f, uint64_t from, uint64_t to)
{
	const char *name = o.channels[f->channel].name;

	if (!f->live || from != f->next || to < from || to == UINT64_MAX) {
		oracle_violation("client %d: %s: gap %" PRIu64 "-%" PRIu64 " where %" PRIu64
		    " was due", f->who, name, from, to, f->next);
		if (to < from || to == UINT64_MAX)
			return;
	} else if (o.setup.strict_gap) {
		oracle_violation("client %d: %s: gap %" PRIu64 "-%" PRIu64, f->who, name, from,
		    to);
	}
	if (to > o.channels[f->channel].sent)
		oracle_violation("client %d: %s: gap %" PRIu64 "-%" PRIu64 ", published %" PRIu64,
		    f->who, name, from, to, o.channels[f->channel].sent);
	tally.gaps++;
	tally.gap_events += to - from + 1;
	f->next = to + 1;
}

void
oracle_past_event(int channel, uint64_t seq, struct slice data)
{
	uint32_t p, n;

	if (data.p == NULL || !read_payload(data, &p, &n)) {
		tally.torn++;
		oracle_violation("history of %s: seq %" PRIu64 " is not what was published",
		    o.channels[channel].name, seq);
		return;
	}
	bind(channel, seq, p, n, -1);
}

uint64_t
oracle_newest(int channel)
{
	return o.channels[channel].newest;
}

uint64_t
oracle_answered(int channel)
{
	return o.channels[channel].answered;
}

bool
oracle_is_owed(const struct follower *f)
{
	return f->live && f->next <= o.channels[f->channel].newest;
}

/* --- the end --- */

void
oracle_final_seq(int channel, uint64_t seq)
{
	const struct channel *ch = &o.channels[channel];

	/* what was never answered may have been published or not */
	if (seq < ch->answered || seq > ch->sent)
		oracle_violation("%s: the server is at seq %" PRIu64 ", answered %" PRIu64
		    " of %" PRIu64 " published", ch->name, seq, ch->answered, ch->sent);
}

static void
walk_channel(const struct channel *ch, uint32_t *last)
{
	uint64_t holes = 0, came = 0;	/* of those that are unsure */

	for (uint64_t seq = 1; seq <= ch->newest; seq++) {
		const struct cell *cell = &ch->cells[seq];

		if (cell->p == 0) {
			holes++;
			continue;
		}
		if (cell->n <= last[cell->p]) {
			tally.reordered++;
			oracle_violation("%s: seq %" PRIu64 " is %" PRIu32 "/%" PRIu32
			    ", which stands behind its number %" PRIu32, ch->name, seq, cell->p,
			    cell->n, last[cell->p]);
		}
		last[cell->p] = cell->n;
		came += is_unsure(cell);
	}
	if (ch->sent == ch->answered + ch->unsure && (holes > ch->unsure - came ||
	    ch->newest != ch->answered + came + holes))
		oracle_violation("%s: %" PRIu64 " answered, newest seq %" PRIu64 ", %" PRIu64
		    " seqs that nobody published", ch->name, ch->answered, ch->newest, holes);
}

void
oracle_final_walk(void)
{
	uint32_t *last = calloc((size_t)o.setup.publishers + 1, sizeof *last);

	assert(last != NULL);
	for (int i = 0; i < o.setup.channels; i++)
		walk_channel(&o.channels[i], last);	/* a publisher has one channel */
	free(last);
	for (int p = 1; p <= o.setup.publishers; p++) {
		const struct publisher *pub = &o.publishers[p];

		if (pub->answered < pub->sent)
			oracle_violation("publisher %d: %" PRIu32 " of %" PRIu32
			    " messages were answered", p, pub->answered, pub->sent);
	}
}

void
oracle_final_follower(const struct follower *f)
{
	const struct channel *ch = &o.channels[f->channel];

	if (!f->live || f->next > ch->newest)
		return;
	tally.lost += ch->newest - f->next + 1;
	oracle_violation("client %d: %s: ends before %" PRIu64 ", newest is %" PRIu64, f->who,
	    ch->name, f->next, ch->newest);
}

int
oracle_summary(uint64_t connections)
{
	printf("connections=%" PRIu64, connections);
#define X(name) printf(" " #name "=%" PRIu64, tally.name);
	ORACLE_COUNTERS(X)
#undef X
	latency_print("", &o.deliveries);
	latency_print("reply_", &o.answers);
	printf(" pause_max_us=%" PRIu64 "\n", o.pause_max);
	fflush(stdout);
	return tally.violations == 0 ? 0 : 1;
}
