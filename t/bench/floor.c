#define _GNU_SOURCE
#include "t/bench/floor.h"

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "t/bench/load.h"

enum { READ_SIZE = 64 * 1024, EVENTS = 512, PENDING = 128 * 1024 };

struct room {
	int *fd;
	unsigned n, cap;
	uint64_t seq;
	unsigned char *pending;		/* of floor_join */
	size_t len;
};

static struct room rooms[LOAD_ROOMS_MAX];
static unsigned char *upgraded;		/* by descriptor */
static bool joins;

static void
put(int fd, const void *p, size_t n)
{
	if (send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n && errno == EAGAIN)
		errx(1, "floor: a socket is full");
}

static void
subscribe(int fd, unsigned room)
{
	static const unsigned char reply[] = "\x81\x15{\"type\":\"subscribed\"}";
	struct room *r = &rooms[room];

	if (r->n == r->cap) {
		r->cap = r->cap == 0 ? 16 : r->cap * 2;
		r->fd = realloc(r->fd, r->cap * sizeof *r->fd);
	}
	if (r->fd == NULL)
		errx(1, "out of memory");
	r->fd[r->n++] = fd;
	put(fd, reply, sizeof reply - 1);
}

static size_t
make_frame(unsigned char *out, unsigned room, uint64_t seq, const unsigned char *data, size_t n)
{
	char head[96];
	size_t k = (size_t)snprintf(head, sizeof head,
	    "{\"type\":\"event\",\"channel\":\"" LOAD_ROOM "\",\"seq\":%llu,\"data\":", room,
	    (unsigned long long)seq), len = k + n + 1, at = 2;

	out[0] = 0x81;
	if (len < 126) {
		out[1] = (unsigned char)len;
	} else {
		out[1] = 126;
		out[2] = (unsigned char)(len >> 8);
		out[3] = (unsigned char)len;
		at = 4;
	}
	memcpy(out + at, head, k);
	memcpy(out + at + k, data, n);
	out[at + k + n] = '}';
	return at + len;
}

static void
send_room(struct room *r, const unsigned char *p, size_t n)
{
	unsigned i;

	for (i = 0; i < r->n; i++)
		put(r->fd[i], p, n);
}

static void
publish(unsigned room, const unsigned char *data, size_t n)
{
	struct room *r = &rooms[room];
	unsigned char frame[4096];
	size_t len = make_frame(frame, room, ++r->seq, data, n);

	if (!joins) {
		send_room(r, frame, len);
		return;
	}
	if (r->pending == NULL)
		r->pending = malloc(PENDING);
	if (r->pending == NULL || r->len + len > PENDING)
		errx(1, "floor: no room for what is pending");
	memcpy(r->pending + r->len, frame, len);
	r->len += len;
}

/* One message of load.c, unmasked: its kind is its ninth byte, its room stands at a fixed place. */
static void
message(int fd, unsigned char *p, size_t n)
{
	unsigned char *room = memmem(p, n, LOAD_ROOM_PREFIX, strlen(LOAD_ROOM_PREFIX)), *data;
	unsigned r;

	if (room == NULL || p[8] != '"')
		return;
	r = (unsigned)strtoul((char *)room + strlen(LOAD_ROOM_PREFIX), NULL, 10);
	if (p[9] == 's') {
		subscribe(fd, r);
		return;
	}
	data = memmem(room, n - (size_t)(room - p), "\"data\":", 7);
	if (data != NULL)
		publish(r, data + 7, n - (size_t)(data + 7 - p) - 1);
}

static void
flush(void)
{
	unsigned i;

	for (i = 0; i < LOAD_ROOMS_MAX; i++)
		if (rooms[i].len > 0) {
			send_room(&rooms[i], rooms[i].pending, rooms[i].len);
			rooms[i].len = 0;
		}
}

/* Masked frames of up to 64K; load.c sends none in two parts. */
static void
frames(int fd, unsigned char *p, size_t n)
{
	while (n >= 6) {
		size_t len = p[1] & 127, at = 2, i;
		unsigned char *mask;

		if (len == 126) {
			len = (size_t)p[2] << 8 | p[3];
			at = 4;
		}
		mask = p + at;
		at += 4;
		if (n < at + len)
			errx(1, "floor: a message in two parts");
		for (i = 0; i < len; i++)
			p[at + i] ^= mask[i & 3];
		if ((p[0] & 15) == 1)
			message(fd, p + at, len);
		p += at + len;
		n -= at + len;
	}
}

static void
greet(int fd, const unsigned char *p, size_t n)
{
	static const char yes[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: " LOAD_ACCEPT "\r\n\r\n";
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	    "Content-Length: 39\r\n\r\n{\"status\":\"healthy\",\"service\":\"plenum\"}";

	if (memmem(p, n, "Sec-WebSocket-Key", 17) != NULL) {
		upgraded[fd] = 1;
		put(fd, yes, sizeof yes - 1);
	} else
		put(fd, ok, sizeof ok - 1);
}

static void
ready(int fd, int set, int listener)
{
	static unsigned char in[READ_SIZE];
	struct epoll_event e = { .events = EPOLLIN };
	ssize_t n;
	int one = 1;

	if (fd == listener) {
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		upgraded[fd] = 0;
		e.data.fd = fd;
		epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
		return;
	}
	n = recv(fd, in, sizeof in, MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			close(fd);
	} else if (upgraded[fd])
		frames(fd, in, (size_t)n);
	else
		greet(fd, in, (size_t)n);
	if (joins)
		flush();
}

static void
run(int listener)
{
	struct epoll_event ev[EVENTS], e = { .events = EPOLLIN, .data.fd = listener };
	struct rlimit l;
	int set = epoll_create1(0), n, i;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		err(1, "getrlimit");
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	upgraded = calloc(l.rlim_max, 1);
	if (set < 0 || upgraded == NULL || epoll_ctl(set, EPOLL_CTL_ADD, listener, &e) != 0)
		err(1, "floor");
	for (;;) {
		n = epoll_wait(set, ev, EVENTS, -1);
		for (i = 0; i < n; i++)
			ready(ev[i].data.fd, set, listener);
	}
}

void
floor_send(int listener)
{
	joins = false;
	run(listener);
}

void
floor_join(int listener)
{
	joins = true;
	run(listener);
}
