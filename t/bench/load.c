#define _GNU_SOURCE
#include "t/bench/load.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "t/bench/clock.h"

enum {
	READ_SIZE = 256 * 1024,
	EVENTS = 512,
	BATCH_MAX = 64,
	MESSAGE_MAX = 256,
	NUMBER = 16,			/* digits at the start of an event's data */
	PATIENCE_MS = 10000,
};

/* ---- one connection ---- */

static void
send_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t r = send(fd, at, n, MSG_NOSIGNAL);

		if (r < 0 && errno != EINTR)
			err(1, "send");
		if (r > 0) {
			at += r;
			n -= (size_t)r;
		}
	}
}

/* Reads until `end` stands at the end of what came. */
static void
expect(int fd, const char *begin, const char *end)
{
	char in[4096];
	size_t n = 0, e = strlen(end);

	while (n < e || memcmp(in + n - e, end, e) != 0) {
		ssize_t r = recv(fd, in + n, sizeof in - 1 - n, 0);

		if (r <= 0)
			err(1, "no answer of the server");
		n += (size_t)r;
	}
	in[n] = '\0';
	if (strstr(in, begin) == NULL)
		errx(1, "unexpected answer: %s", in);
}

int
load_websocket(const struct server *s, unsigned nth)
{
	static const char get[] = "GET /ws/channels HTTP/1.1\r\nHost: localhost\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: " LOAD_KEY "\r\n\r\n";
	int fd = server_connect(s, nth);

	send_all(fd, get, sizeof get - 1);
	expect(fd, "101 Switching", "\r\n\r\n");
	return fd;
}

/* A masked text frame; the mask is 0, as it does not matter what it is. */
static size_t
frame(unsigned char *out, const char *text, size_t n)
{
	size_t at = 2;

	out[0] = 0x81;
	if (n < 126) {
		out[1] = (unsigned char)(0x80 | n);
	} else {
		out[1] = 0x80 | 126;
		out[2] = (unsigned char)(n >> 8);
		out[3] = (unsigned char)n;
		at = 4;
	}
	memcpy(out + at, "\x5a\xa5\x3c\xc3", 4);
	at += 4;
	for (size_t i = 0; i < n; i++)
		out[at + i] = (unsigned char)text[i] ^ (unsigned char)"\x5a\xa5\x3c\xc3"[i & 3];
	return at + n;
}

void
load_say(int fd, const char *text)
{
	unsigned char out[MESSAGE_MAX + 16];
	size_t n = strlen(text);

	if (n > MESSAGE_MAX)
		errx(1, "a message of %zu bytes", n);
	send_all(fd, out, frame(out, text, n));
}

void
load_join(int fd, unsigned room)
{
	char text[MESSAGE_MAX];

	snprintf(text, sizeof text, "{\"type\":\"subscribe\",\"channel\":\"" LOAD_ROOM "\"}", room);
	load_say(fd, text);
	expect(fd, "\"subscribed\"", "}");
}

/* ---- all of them ---- */

static void
watch(struct load *l, int fd, uint32_t index)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = index };

	if (epoll_ctl(l->set, EPOLL_CTL_ADD, fd, &e) != 0)
		err(1, "epoll_ctl");
}

static void
begin(struct load *l, const struct server *s, unsigned subscribers, unsigned nrooms)
{
	memset(l, 0, sizeof *l);
	l->server = s;
	l->set = epoll_create1(EPOLL_CLOEXEC);
	l->nsubs = subscribers;
	l->nrooms = nrooms;
	l->sub = calloc(subscribers + 1, sizeof *l->sub);
	if (l->set < 0 || l->sub == NULL)
		err(1, "load");
	l->sub[subscribers].fd = -1;
}

static void
open_one(struct load *l, unsigned i, unsigned room, unsigned nth)
{
	l->sub[i].fd = load_websocket(l->server, nth);
	l->sub[i].room = i % l->nrooms;
	load_join(l->sub[i].fd, room);
	watch(l, l->sub[i].fd, i);
}

void
load_listen(struct load *l, const struct server *s, unsigned subscribers, unsigned room,
    unsigned nth)
{
	unsigned i;

	begin(l, s, subscribers, 1);
	for (i = 0; i < subscribers; i++)
		open_one(l, i, room, nth + i);
}

void
load_open(struct load *l, const struct server *s, unsigned subscribers, unsigned nrooms)
{
	unsigned i;

	begin(l, s, subscribers, nrooms);
	for (i = 0; i < subscribers; i++)
		open_one(l, i, i % nrooms, i);
	l->sub[subscribers].fd = load_websocket(s, subscribers);
	watch(l, l->sub[subscribers].fd, subscribers);
}

void
load_close(struct load *l)
{
	unsigned i;

	for (i = 0; i <= l->nsubs; i++) {
		close(l->sub[i].fd);
		free(l->sub[i].part);
	}
	close(l->set);
	free(l->sub);
}

static unsigned
room_size(const struct load *l, unsigned room)
{
	return l->nsubs / l->nrooms + (room < l->nsubs % l->nrooms);
}

static size_t
publication(struct load *l, unsigned char *out)
{
	static const char pad[LOAD_DATA + 1] = "##################################################"
	    "##################################################";
	char text[MESSAGE_MAX];
	unsigned room = (unsigned)(l->number % l->nrooms);
	int n;

	l->number++;
	n = snprintf(text, sizeof text, "{\"type\":\"publish\",\"channel\":\"" LOAD_ROOM
	    "\",\"data\":\"%016" PRIx64 "%.*s\"}", l->first_room + room, l->number,
	    LOAD_DATA - NUMBER - 2, pad);
	l->due += room_size(l, room) + l->server->answers;
	return frame(out, text, (size_t)n);
}

void
load_publish(struct load *l, unsigned n)
{
	unsigned char out[BATCH_MAX * (MESSAGE_MAX + 16)];
	size_t len = 0;
	unsigned i;

	if (n > BATCH_MAX)
		errx(1, "more than %d at once", BATCH_MAX);
	for (i = 0; i < n; i++)
		len += publication(l, out + len);
	send_all(l->sub[l->nsubs].fd, out, len);
}

static uint64_t
number_of(const unsigned char *p)
{
	uint64_t v = 0;
	unsigned i;

	for (i = 0; i < NUMBER; i++)
		v = v << 4 | (unsigned)(p[i] <= '9' ? p[i] - '0' : p[i] - 'a' + 10);
	return v;
}

/* The publisher's answers: of each event, that it was published. */
static void
take_answer(struct load *l, const unsigned char *p, size_t len)
{
	if (memmem(p, len, "\"published\"", 11) == NULL)
		errx(1, "%s refused: %.*s", l->server->name, (int)len, p);
	l->got++;
}

/* A frame of len bytes: its number is the one after the last of its room. */
static void
take_event(struct load *l, struct load_subscriber *s, const unsigned char *p, size_t len)
{
	uint64_t want = s->last == 0 ? s->room + 1 : s->last + l->nrooms, is;

	if (len < LOAD_DATA)
		errx(1, "%s: unexpected frame: %.*s", l->server->name, (int)len, p);
	is = number_of(p + len - LOAD_DATA);
	if (is != want)
		errx(1, "%s: event %" PRIu64 " instead of %" PRIu64, l->server->name, is, want);
	s->last = is;
	l->got++;
}

/* Whole frames; returns how many bytes they were. */
static size_t
take_frames(struct load *l, struct load_subscriber *s, const unsigned char *p, size_t n)
{
	size_t at = 0;

	while (n - at >= 4) {
		size_t len = p[at + 1], head = 2;

		if (p[at] != 0x81)
			errx(1, "%s: unexpected frame %02x", l->server->name, p[at]);
		if (len == 126) {
			len = (size_t)p[at + 2] << 8 | p[at + 3];
			head = 4;
		}
		if (n - at < head + len)
			break;
		if (s == &l->sub[l->nsubs])
			take_answer(l, p + at, head + len);
		else
			take_event(l, s, p + at, head + len);
		at += head + len;
	}
	return at;
}

static void
receive_one(struct load *l, uint32_t index)
{
	static unsigned char in[READ_SIZE + 4096];
	struct load_subscriber *s = &l->sub[index];
	size_t n = s->len, used;
	ssize_t r;

	if (n > 0)
		memcpy(in, s->part, n);
	r = recv(s->fd, in + n, READ_SIZE, MSG_DONTWAIT);
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0)
		err(1, "%s closed a connection", l->server->name);
	n += (size_t)r;
	used = take_frames(l, s, in, n);
	s->len = (uint32_t)(n - used);
	if (s->len == 0)
		return;
	if (s->part == NULL && (s->part = malloc(4096)) == NULL)
		errx(1, "out of memory");
	if (s->len > 4096)
		errx(1, "%s: a frame that is too long", l->server->name);
	memcpy(s->part, in + used, s->len);
}

void
load_receive(struct load *l, int ms)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(l->set, ev, EVENTS, ms), i;

	if (n < 0 && errno != EINTR)
		err(1, "epoll_wait");
	for (i = 0; i < n; i++)
		receive_one(l, ev[i].data.u32);
}

void
load_wait(struct load *l)
{
	uint64_t got = l->got, since = clock_wall();

	while (l->got < l->due) {
		load_receive(l, 1000);
		if (l->got != got) {
			got = l->got;
			since = clock_wall();
		} else if (clock_wall() - since > PATIENCE_MS * 1000000ull)
			errx(1, "%s: %" PRIu64 " of %" PRIu64 " deliveries", l->server->name, got,
			    l->due);
	}
}
