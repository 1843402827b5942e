#define _GNU_SOURCE
#include "t/20-stress/step_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shm/channel.h"
#include "shm/settings.h"
#include "shm/slot_layout.h"
#include "t/20-stress/step_oracle.h"
#include "t/20-stress/step_server.h"

#define FIN_S 1.5			/* less than a worker waits for the peer's */

static const char *const wrongs[] = { "lost", "doubled", "torn", "closed", "other" };
_Static_assert(sizeof wrongs / sizeof wrongs[0] == WRONG_COUNT, "a name each");

const char *
wrong_name(enum wrong w)
{
	return w < WRONG_COUNT ? wrongs[w] : "?";
}

void
went_wrong(struct oracle *o, enum wrong w, const char *fmt, ...)
{
	va_list ap;

	if (o->why[0] != '\0')
		return;
	o->wrong = w;
	va_start(ap, fmt);
	vsnprintf(o->why, sizeof o->why, fmt, ap);
	va_end(ap);
}

/* A full one's acknowledgements do not wait for a timer: a turn is the same at any speed. */
static void
acknowledge(const struct client *k)
{
	int one = 1;

	if (k->small)
		setsockopt(k->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

size_t
client_read(struct oracle *o, unsigned i, size_t max)
{
	struct client *k = &o->client[i];
	size_t room = INPUT - 1 - k->n;
	ssize_t r;

	if (k->fd < 0 || o->why[0] != '\0')
		return 0;
	r = recv(k->fd, k->in + k->n, room < max ? room : max, MSG_DONTWAIT);
	acknowledge(k);
	if (r < 0 && errno == EAGAIN)
		return 0;
	if (r <= 0) {
		if (k->fallen_at > 0 && server_now() - k->fallen_at > FIN_S)
			went_wrong(o, WRONG_OTHER, "client %u has to wait for the end", i);
		if (k->fallen && k->n == 0)
			client_close(o, i);
		else
			went_wrong(
			    o, WRONG_CLOSED, "client %u is %s", i, r == 0 ? "closed" : "reset");
		return 0;
	}
	k->n += (size_t)r;
	k->in[k->n] = '\0';
	oracle_take(o, k);
	return (size_t)r;
}

bool
client_is_done(struct oracle *o, unsigned i)
{
	struct client *k = &o->client[i];
	unsigned c;

	if (k->fd < 0)
		return true;
	if (k->must_fall)
		return false;
	if (k->n > 0 || k->raw_at < k->raw_n || k->reply_first != k->reply_end)
		return false;
	for (c = 0; c < CHANS; c++) {
		oracle_pass_own(o, k, c);
		if (k->next[c] != 0 && k->next[c] != o->chan[c].count + 1)
			return false;
	}
	return true;
}

/* ---- connections ---- */

/* Makes the server's send buffer small: the descriptor is shared, and so is what is set on it. */
static void
shrink_sender(struct oracle *o, int fd, int size)
{
	const struct conn *c = region_conns(&o->s->r, 0);
	uint64_t used = word_get(&o->s->slot->conns_used), i;
	struct sockaddr_in us, them;
	socklen_t n = sizeof us;

	getsockname(fd, (struct sockaddr *)&us, &n);
	for (i = 0; i < used; i++) {
		int dup =
		    word32_get(&c[i].state) == CONN_FREE ? -1 : server_descriptor(o->s, c[i].fd);

		n = sizeof them;
		if (dup >= 0 && getpeername(dup, (struct sockaddr *)&them, &n) == 0 &&
		    them.sin_port == us.sin_port)
			setsockopt(dup, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
		if (dup >= 0)
			close(dup);
	}
}

static int
connect_to(unsigned port, int rcvbuf)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (rcvbuf != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
		perror("step_worker: connect");
		exit(EXIT_FAILURE);
	}
	return fd;
}

static uint64_t
accepts_of(const struct oracle *o, unsigned slot)
{
	return stat_get(&region_slot(&o->s->r, slot)->stats, STAT_ACCEPTS);
}

/* The system chooses whose listener gets a connection: again, until it is the right one. */
static int
connect_to_slot(struct oracle *o, int rcvbuf, unsigned slot)
{
	double until = server_now() + 3;

	while (server_now() < until) {
		uint64_t right = accepts_of(o, slot), wrong = accepts_of(o, !slot);
		int fd = connect_to(o->s->port, rcvbuf);

		while (server_now() < until && accepts_of(o, slot) == right &&
		    accepts_of(o, !slot) == wrong)
			usleep(100);
		if (accepts_of(o, slot) != right)
			return fd;
		close(fd);
	}
	fprintf(stderr, "step_worker: no connection to slot %u\n", slot);
	exit(EXIT_FAILURE);
}

void
client_open(struct oracle *o, unsigned i, enum client_kind kind, int rcvbuf)
{
	struct client *k = &o->client[i];
	double until = server_now() + 3;
	unsigned char *in = k->in;
	char *raw = k->raw;
	uint64_t accepts = accepts_of(o, 0);

	memset(k, 0, sizeof *k);
	k->in = in != NULL ? in : malloc(INPUT);
	k->raw = raw != NULL ? raw : malloc(RAW);
	k->kind = kind;
	k->small = rcvbuf != 0;
	k->slot = o->open_slot;
	k->number = ++o->opened;
	if (o->s->r.caps.workers > 1)
		k->fd = connect_to_slot(o, rcvbuf, k->slot);
	else
		k->fd = connect_to(o->s->port, rcvbuf);
	while (rcvbuf != 0 && server_now() < until && accepts_of(o, 0) == accepts)
		usleep(1000);
	if (rcvbuf != 0)
		shrink_sender(o, k->fd, rcvbuf);
}

void
client_close(struct oracle *o, unsigned i)
{
	if (o->client[i].fd >= 0)
		close(o->client[i].fd);
	o->client[i].fd = -1;
}

void
client_send(struct oracle *o, unsigned i, const void *p, size_t n)
{
	if (send(o->client[i].fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
		went_wrong(o, WRONG_CLOSED, "client %u cannot send: %s", i, strerror(errno));
}

/* ---- the whole ---- */

void
oracle_reset(struct oracle *o, struct server *s)
{
	struct client keep[CLIENTS];
	unsigned i;

	for (i = 0; i < CLIENTS; i++)
		if (o->s != NULL)
			client_close(o, i);
	memcpy(keep, o->client, sizeof keep);
	memset(o, 0, sizeof *o);
	for (i = 0; i < CLIENTS; i++) {
		o->client[i].in = keep[i].in;
		o->client[i].raw = keep[i].raw;
		o->client[i].fd = -1;
	}
	o->s = s;
	o->open_from = 1;
}

static void
name_channel(struct oracle *o, unsigned i, const char *name, unsigned slow, bool later)
{
	const struct channel_rule_values v = { .history = STEP_HISTORY, .slow = (uint8_t)slow };
	uint32_t number;

	memset(&o->chan[i], 0, sizeof o->chan[i]);
	snprintf(o->chan[i].name, sizeof o->chan[i].name, "%s", name);
	o->chan[i].first = o->npubs + 1;
	o->chan[i].latest = slow == SETTINGS_SLOW_LATEST;
	if (later || channel_get(&o->s->writer, name, strlen(name), &v, &number) != 0)
		return;
	o->s->chan[o->s->nchans++] = number;
}

void
oracle_channel(struct oracle *o, unsigned i, const char *name, bool later)
{
	name_channel(o, i, name, SETTINGS_SLOW_GAP, later);
}

void
oracle_channel_slow(struct oracle *o, unsigned i, const char *name, unsigned slow)
{
	name_channel(o, i, name, slow, false);
}

/* What is still missing, for people. */
static void
tell_missing(struct oracle *o)
{
	unsigned i, c;

	for (i = 0; i < CLIENTS; i++) {
		const struct client *k = &o->client[i];

		if (client_is_done(o, i))
			continue;
		for (c = 0; c < CHANS; c++)
			if (k->next[c] != 0 && k->next[c] != o->chan[c].count + 1)
				went_wrong(o, WRONG_LOST,
				    "client %u waits for event %" PRIu64 " of %" PRIu64 " of %s", i,
				    k->next[c], o->chan[c].count, o->chan[c].name);
		went_wrong(o, WRONG_LOST,
		    "client %u waits for %u answers and %zu bytes; %zu are incomplete", i,
		    k->reply_end - k->reply_first, k->raw_n - k->raw_at, k->n);
	}
}

/* The region agrees: as many events as messages, and as many connections as clients. */
static bool
region_agrees(struct oracle *o, bool tell)
{
	uint64_t open = 0, tail;
	uint32_t number;
	unsigned i;

	for (i = 0; i < CHANS; i++) {
		const struct chan *c = &o->chan[i];

		if (c->name[0] == '\0')
			continue;
		tail = channel_find(&o->s->r, c->name, strlen(c->name), &number) != 0 ? 0 :
		    channel_tail(&o->s->r, number);
		if (tail > c->count)
			went_wrong(o, WRONG_DOUBLED, "%s has %" PRIu64 " events of %" PRIu64,
			    c->name, tail, c->count);
		else if (tail < c->count && tell)
			went_wrong(o, WRONG_LOST, "%s has %" PRIu64 " events of %" PRIu64, c->name,
			    tail, c->count);
		if (tail != c->count)
			return false;
	}
	for (i = 0; i < CLIENTS; i++)
		open += o->client[i].fd >= 0 && o->client[i].slot == 0;
	if (word_get(&o->s->slot->conns_open) == open &&
	    server_descriptors(o->s) == o->s->descriptors + open)
		return true;
	if (tell)
		went_wrong(o, WRONG_OTHER, "%" PRIu64 " connections and %u descriptors for %" PRIu64
		    " clients", word_get(&o->s->slot->conns_open),
		    server_descriptors(o->s) - o->s->descriptors, open);
	return false;
}

static bool
all_done(struct oracle *o)
{
	uint32_t id;
	unsigned i;

	for (i = 0; i < CLIENTS; i++)
		if (!client_is_done(o, i))
			return false;
	for (id = o->open_from; id <= o->npubs; id++)
		if (o->pub[id % LOG].seq == 0)
			return false;
	return true;
}

/* A fallen client's message was published, or not. */
static void
forgive(struct oracle *o)
{
	struct publish *p = &o->pub[o->npubs % LOG];
	uint32_t number;
	struct chan *c;

	if (o->npubs == 0 || p->client < 0 || !o->client[p->client].fallen || p->seq != 0 ||
	    o->client[p->client].kind != CLIENT_WS)
		return;
	c = &o->chan[p->chan];
	if (channel_find(&o->s->r, c->name, strlen(c->name), &number) == 0 &&
	    channel_tail(&o->s->r, number) + 1 == c->count) {
		c->count--;
		o->npubs--;
	}
}

bool
oracle_drain(struct oracle *o, double seconds)
{
	double until = server_now() + seconds;
	unsigned i, got;

	while (o->why[0] == '\0') {
		for (got = i = 0; i < CLIENTS; i++)
			got += client_read(o, i, INPUT) > 0;
		if (got > 0)
			continue;
		forgive(o);
		if (all_done(o) && region_agrees(o, false))
			break;
		if (server_now() > until) {
			tell_missing(o);
			region_agrees(o, true);
			went_wrong(o, WRONG_OTHER, "a message was never seen");
		}
		usleep(100);
	}
	o->open_from = o->npubs + 1;
	return o->why[0] == '\0';
}
