/*
 * Written = acknowledged + still queued; the two are read apart, so the first is read again until
 * it stands still. Consumed = received - still queued - the peer's FIN, which counts as a byte.
 */
#define _GNU_SOURCE
#include "ipc/witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STATE_CLOSE_WAIT = 8, STATE_LAST_ACK = 9, STATE_CLOSING = 11, LOOKS_MAX = 1000 };

static void
tcp_info(int fd, struct tcp_info *t)
{
	socklen_t n = sizeof *t;

	memset(t, 0, sizeof *t);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, t, &n);
}

uint64_t
witness_written(int fd)
{
	struct tcp_info a, b;
	int queued, i;

	for (i = 0; i < LOOKS_MAX; i++) {
		tcp_info(fd, &a);
		queued = 0;
		ioctl(fd, SIOCOUTQ, &queued);
		tcp_info(fd, &b);
		if (a.tcpi_bytes_acked == b.tcpi_bytes_acked)
			break;
	}
	return a.tcpi_bytes_acked + (uint64_t)queued;
}

uint64_t
witness_consumed(int fd)
{
	struct tcp_info a, b;
	int queued, i;
	bool fin;

	for (i = 0; i < LOOKS_MAX; i++) {
		tcp_info(fd, &a);
		queued = 0;
		ioctl(fd, FIONREAD, &queued);
		tcp_info(fd, &b);
		if (a.tcpi_bytes_received == b.tcpi_bytes_received && a.tcpi_state == b.tcpi_state)
			break;
	}
	fin = a.tcpi_state == STATE_CLOSE_WAIT || a.tcpi_state == STATE_LAST_ACK ||
	    a.tcpi_state == STATE_CLOSING;
	return a.tcpi_bytes_received - (uint64_t)queued - (fin ? 1 : 0);
}

uint64_t
witness_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t n = sizeof cookie;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) != 0)
		return 0;
	return cookie;
}

/* A connected pair: pair[0] was accepted, pair[1] connected. */
static int
open_pair(int pair[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 8192;

	pair[0] = pair[1] = -1;
	if (l < 0)
		return -1;
	setsockopt(l, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	if (bind(l, (struct sockaddr *)&a, sizeof a) == 0 && listen(l, 1) == 0 &&
	    getsockname(l, (struct sockaddr *)&a, &n) == 0) {
		pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(pair[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
		if (pair[1] >= 0 && connect(pair[1], (struct sockaddr *)&a, sizeof a) == 0)
			pair[0] = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	close(l);
	return pair[0] < 0 ? -1 : 0;
}

static bool
writes_are_exact(int pair[2], char *why, size_t n)
{
	static const char bytes[20000];
	uint64_t sent = 0;
	char sink[3000];
	ssize_t r;
	int i;

	for (i = 0; i < 40; i++) {
		r = send(pair[0], bytes, sizeof bytes - (size_t)i * 7, MSG_NOSIGNAL);
		if (r > 0)
			sent += (uint64_t)r;
		if (witness_written(pair[0]) != sent) {
			snprintf(why, n, "the kernel counts %lld bytes written instead of %lld",
			    (long long)witness_written(pair[0]), (long long)sent);
			return false;
		}
		if (recv(pair[1], sink, sizeof sink, MSG_DONTWAIT) < 0 && errno != EAGAIN)
			break;
	}
	return true;
}

static bool
reads_are_exact(int pair[2], char *why, size_t n)
{
	static const char bytes[5000];
	uint64_t got = 0;
	char sink[700];
	ssize_t r;
	int i;

	if (send(pair[1], bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT) <= 0) {
		snprintf(why, n, "cannot send to a loopback socket: %s", strerror(errno));
		return false;
	}
	shutdown(pair[1], SHUT_WR);
	for (i = 0; i < 20; i++) {
		r = recv(pair[0], sink, sizeof sink, MSG_DONTWAIT);
		if (r > 0)
			got += (uint64_t)r;
		if (witness_consumed(pair[0]) != got) {
			snprintf(why, n, "the kernel counts %lld bytes read instead of %lld",
			    (long long)witness_consumed(pair[0]), (long long)got);
			return false;
		}
	}
	return true;
}

bool
witness_selftest(char *why, size_t n)
{
	int pair[2];
	bool ok;

	if (open_pair(pair) != 0) {
		snprintf(why, n, "no pair of loopback sockets: %s", strerror(errno));
		ok = false;
	} else
		ok = witness_cookie(pair[0]) != 0 && reads_are_exact(pair, why, n) &&
		    writes_are_exact(pair, why, n);
	if (ok)
		why[0] = '\0';
	else if (why[0] == '\0')
		snprintf(why, n, "SO_COOKIE is not there");
	if (pair[0] >= 0)
		close(pair[0]);
	if (pair[1] >= 0)
		close(pair[1]);
	return ok;
}
