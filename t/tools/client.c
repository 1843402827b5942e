/*
 * All clients share one scratch buffer.  A read() lands there and is digested in place; only what
 * is left of an incomplete frame or answer is copied to the client, so that ten thousand
 * subscribers cost no memory and little time.
 */
#define _GNU_SOURCE
#include "t/tools/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "t/tools/client_priv.h"

enum {
	SCRATCH = 256 * 1024,
	EVENTS = 512,
	PORTS_PER_ADDRESS = 8000	/* of the 28 000 ephemeral ones; others use them, too */
};

static struct {
	int epoll;
	struct sockaddr_in to;
	char host[64];
	const char *extra;
	int pending;
	uint64_t opened;
	uint64_t rx_time;
	uint32_t mask;
	char scratch[SCRATCH];
} net;

uint64_t
client_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
client_rx_time(void)
{
	return net.rx_time;
}

int
client_pending(void)
{
	return net.pending;
}

void
client_arrived(void)
{
	net.pending--;
}

uint64_t
client_opened(void)
{
	return net.opened;
}

bool
client_is_open(const struct client *c)
{
	return c->state != CLIENT_CLOSED;
}

void
client_setup(const char *host, int port, const char *extra_header)
{
	net.epoll = epoll_create1(EPOLL_CLOEXEC);
	net.to.sin_family = AF_INET;
	net.to.sin_port = htons((uint16_t)port);
	net.extra = extra_header;
	net.mask = 0x9e3779b9u;
	if (net.epoll < 0 || inet_pton(AF_INET, host, &net.to.sin_addr) != 1) {
		fprintf(stderr, "crowd: %s: not an IPv4 address\n", host);
		exit(2);
	}
	snprintf(net.host, sizeof net.host, "%s:%d", host, port);
}

/* --- opening and closing --- */

static void
set_epoll(struct client *c, int op)
{
	struct epoll_event ev = {
		.events = (c->unread ? 0u : (uint32_t)EPOLLIN) |
		    (c->want_out ? (uint32_t)EPOLLOUT : 0u),
		.data = { .ptr = c },
	};

	if (epoll_ctl(net.epoll, op, c->fd, &ev) != 0)
		abort();
}

static void
forget(struct client *c)
{
	if (c->state == CLIENT_CONNECTING || c->state == CLIENT_UPGRADING)
		net.pending--;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = CLIENT_CLOSED;
	client_buf_free(&c->in);
	client_buf_free(&c->out);
	client_buf_free(&c->msg);
}

void
client_finish(struct client *c, int code, const char *why)
{
	forget(c);
	c->ops->on_close(c, code, why);
}

void
client_drop(struct client *c)
{
	if (c->state != CLIENT_CLOSED)
		forget(c);
}

static void
bind_source(int fd, int id)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int one = 1;

	/* one address has too few ports for a big crowd; all of 127/8 is this host */
	if (ntohl(net.to.sin_addr.s_addr) >> 24 != 127 || id < PORTS_PER_ADDRESS)
		return;
	from.sin_addr.s_addr = htonl(0x7f000001u + (uint32_t)(id / PORTS_PER_ADDRESS));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	(void)bind(fd, (struct sockaddr *)&from, sizeof from);
}

static void
note_port(struct client *c)
{
	struct sockaddr_in a;
	socklen_t n = sizeof a;

	if (getsockname(c->fd, (struct sockaddr *)&a, &n) == 0)
		c->port = ntohs(a.sin_port);
}

void
client_open(struct client *c)
{
	int one = 1, small = 4096;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->state = CLIENT_CONNECTING;
	c->want_out = true;
	c->got_close = false;
	c->close_code = CLOSE_NONE;
	c->in_chunked = false;
	c->port = 0;
	c->last_rx = client_now();
	net.pending++;
	net.opened++;
	if (c->fd < 0) {
		client_finish(c, CLOSE_NONE, strerror(errno));
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (c->unread)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	bind_source(c->fd, c->id);
	if (connect(c->fd, (struct sockaddr *)&net.to, sizeof net.to) != 0 &&
	    errno != EINPROGRESS) {
		client_finish(c, CLOSE_NONE, strerror(errno));
		return;
	}
	note_port(c);
	set_epoll(c, EPOLL_CTL_ADD);
}

void
client_set_unread(struct client *c, bool unread)
{
	if (c->unread == unread)
		return;
	c->unread = unread;
	if (c->state != CLIENT_CLOSED)
		set_epoll(c, EPOLL_CTL_MOD);
}

static void
on_connected(struct client *c)
{
	int error = 0;
	socklen_t len = sizeof error;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0) {
		client_finish(c, CLOSE_NONE, strerror(error));
		return;
	}
	c->want_out = false;
	set_epoll(c, EPOLL_CTL_MOD);
	if (!c->websocket) {
		net.pending--;
		c->state = CLIENT_HTTP;
		c->ops->on_open(c);
		return;
	}
	c->state = CLIENT_UPGRADING;
	client_queuef(c, "GET /ws/channels HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: " CLIENT_SAMPLE_KEY "\r\n%s\r\n", net.host, net.extra);
	client_flush(c);
}

/* --- writing --- */

void
client_queue(struct client *c, const void *p, size_t len)
{
	client_buf_add(&c->out, p, len);
}

void
client_queuef(struct client *c, const char *fmt, ...)
{
	char line[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof line)
		abort();
	client_buf_add(&c->out, line, (size_t)n);
}

void
client_queue_frame(struct client *c, int op, const void *p, size_t len)
{
	uint8_t head[14], key[4];
	size_t n = 2, at;

	head[0] = (uint8_t)(0x80 | op);
	if (len < 126) {
		head[1] = (uint8_t)(0x80 | len);
	} else if (len < 65536) {
		head[1] = 0x80 | 126;
		head[n++] = (uint8_t)(len >> 8);
		head[n++] = (uint8_t)len;
	} else {
		head[1] = 0x80 | 127;
		for (int shift = 56; shift >= 0; shift -= 8)
			head[n++] = (uint8_t)((uint64_t)len >> shift);
	}
	net.mask = net.mask * 1664525u + 1013904223u;
	memcpy(key, &net.mask, 4);
	memcpy(head + n, key, 4);
	client_buf_add(&c->out, head, n + 4);
	client_buf_add(&c->out, p, len);
	at = c->out.len - len;
	for (size_t i = 0; i < len; i++)
		c->out.p[at + i] ^= (char)key[i & 3];
}

void
client_queue_text(struct client *c, const void *p, size_t len)
{
	client_queue_frame(c, CLIENT_OP_TEXT, p, len);
}

void
client_queue_textf(struct client *c, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof line)
		abort();
	client_queue_frame(c, CLIENT_OP_TEXT, line, (size_t)n);
}

void
client_flush(struct client *c)
{
	bool want;

	if (c->state == CLIENT_CLOSED || c->state == CLIENT_CONNECTING)
		return;
	while (c->out.head < c->out.len) {
		ssize_t n = send(c->fd, c->out.p + c->out.head, c->out.len - c->out.head,
		    MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;		/* an error shows itself again when reading */
		c->out.head += (size_t)n;
	}
	if (c->out.head == c->out.len)
		client_buf_reset(&c->out);
	want = c->out.len > 0;
	if (want != c->want_out) {
		c->want_out = want;
		set_epoll(c, EPOLL_CTL_MOD);
	}
}

void
client_say_goodbye(struct client *c, int code)
{
	uint8_t body[2] = { (uint8_t)(code >> 8), (uint8_t)code };

	client_queue_frame(c, CLIENT_OP_CLOSE, body, sizeof body);
	c->state = CLIENT_CLOSING;
	client_flush(c);
}

/* --- the turn --- */

void
client_read(struct client *c, size_t limit)
{
	ssize_t n = read(c->fd, net.scratch, limit < SCRATCH ? limit : SCRATCH);
	size_t used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_finish(c, c->close_code, n == 0 ? "end of file" : strerror(errno));
		return;
	}
	net.rx_time = client_now();
	if (c->in.len > 0) {
		client_buf_add(&c->in, net.scratch, (size_t)n);
		used = client_digest(c, client_buf_slice(&c->in));
		if (c->state == CLIENT_CLOSED)
			return;
		c->in.head += used;
		if (c->in.head == c->in.len)
			client_buf_reset(&c->in);
	} else {
		used = client_digest(c, (struct slice){ net.scratch, (size_t)n });
		if (c->state == CLIENT_CLOSED)
			return;
		if (used < (size_t)n)
			client_buf_add(&c->in, net.scratch + used, (size_t)n - used);
	}
	c->last_rx = net.rx_time;
	if (c->ops->on_turn != NULL)
		c->ops->on_turn(c);
	if (c->state != CLIENT_CLOSED && c->out.len > 0)
		client_flush(c);
}

void
client_poll(int ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(net.epoll, events, EVENTS, ms);

	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;

		if (c->state == CLIENT_CONNECTING) {
			on_connected(c);
			continue;
		}
		if ((events[i].events & EPOLLOUT) != 0)
			client_flush(c);
		if (c->state != CLIENT_CLOSED &&
		    (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
			client_read(c, SCRATCH);
	}
}
