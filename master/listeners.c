/*
 * SO_REUSEPORT lets a second plenumd of the same user bind the same address without an error, and
 * the two would share the clients. So an address is first bound without that option, which fails
 * when anybody listens there, and given back.
 */
#define _GNU_SOURCE
#include "master/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/heritage.h"
#include "ipc/log.h"
#include "master/address.h"
#include "master/store.h"
#include "shm/settings.h"
#include "shm/slot_layout.h"

enum { BACKLOG = 4096 };

union any_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static socklen_t
fill(const struct address *a, union any_address *u)
{
	memset(u, 0, sizeof *u);
	switch (a->family) {
	case ADDRESS_INET:
		u->in.sin_family = AF_INET;
		u->in.sin_port = htons(a->port);
		inet_pton(AF_INET, a->host, &u->in.sin_addr);
		return sizeof u->in;
	case ADDRESS_INET6:
		u->in6.sin6_family = AF_INET6;
		u->in6.sin6_port = htons(a->port);
		inet_pton(AF_INET6, a->host, &u->in6.sin6_addr);
		return sizeof u->in6;
	default:
		u->un.sun_family = AF_UNIX;
		memcpy(u->un.sun_path, a->path, sizeof u->un.sun_path);
		return sizeof u->un;
	}
}

static uint16_t
port_of(int fd)
{
	union any_address u;
	socklen_t n = sizeof u;

	memset(&u, 0, sizeof u);
	if (getsockname(fd, &u.any, &n) != 0)
		return 0;
	return ntohs(u.any.sa_family == AF_INET6 ? u.in6.sin6_port : u.in.sin_port);
}

/* A bound socket, or -1 with errno. */
static int
bind_inet(const struct address *a, int shared)
{
	union any_address u;
	socklen_t n = fill(a, &u);
	int one = 1, fd, e;

	fd = socket(u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	/* what accept() gives has these, too */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	/* an urgent byte would shift the kernel's count of what was read */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
	if (a->family == ADDRESS_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if ((shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) ||
	    bind(fd, &u.any, n) != 0) {
		e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

static int
open_inet_for_all(struct heritage *h, unsigned i, struct address *a)
{
	unsigned slot;
	int fd;

	if (a->port != 0) {
		fd = bind_inet(a, 0);
		if (fd < 0)
			return -1;
		close(fd);
	}
	for (slot = 0; slot < h->region.caps.workers; slot++) {
		fd = bind_inet(a, 1);
		if (fd < 0)
			return -1;
		if (a->port == 0)
			a->port = port_of(fd);
		region_slot(&h->region, slot)->listener[i] = fd;
	}
	return 0;
}

/* A socket's file that nobody listens on any more is removed. -1 with errno: somebody does. */
static int
remove_stale(const struct address *a)
{
	union any_address u;
	socklen_t n = fill(a, &u);
	struct stat st;
	int fd, e;

	if (lstat(a->path, &st) != 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	e = connect(fd, &u.any, n) == 0 ? 0 : errno;
	close(fd);
	if (e == ECONNREFUSED)
		return unlink(a->path);
	errno = e == 0 || e == EAGAIN ? EADDRINUSE : e;
	return -1;
}

static int
open_unix(const struct heritage *h, const struct address *a)
{
	union any_address u;
	socklen_t n = fill(a, &u);
	mode_t mask;
	int fd, r, e;

	if (remove_stale(a) != 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	mask = umask(0117);
	r = bind(fd, &u.any, n);
	umask(mask);
	if (r == 0 && h->uid != 0 && geteuid() == 0)
		r = chown(a->path, h->uid, h->gid);
	if (r == 0)
		r = listen(fd, BACKLOG);
	if (r != 0) {
		e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

static int
open_unix_for_all(struct heritage *h, unsigned i, const struct address *a)
{
	int fd = open_unix(h, a);
	unsigned slot;

	if (fd < 0)
		return -1;
	for (slot = 0; slot < h->region.caps.workers; slot++)
		region_slot(&h->region, slot)->listener[i] = fd;
	return 0;
}

static void
describe(struct region_listener *l, const struct address *a, const struct settings *s)
{
	const struct listen_section *section;

	address_format(a, l->address, sizeof l->address);
	l->is_unix = a->family == ADDRESS_UNIX;
	l->is_loopback = a->loopback;
	l->services = SETTINGS_SERVICE_ALL;
	if (a->listener > 0) {
		section = &s->listens[a->listener - 1];
		l->services = section->services_mask;
		l->dedicated = l->services != SETTINGS_SERVICE_ALL;
	}
}

int
listeners_open(struct heritage *h, const struct settings *s, char *err, size_t n)
{
	struct address list[LISTENERS_MAX];
	char text[256];
	unsigned slot, i, count = (unsigned)address_list(s, list, LISTENERS_MAX);
	int r;

	for (slot = 0; slot < WRITERS_MAX; slot++)
		for (i = 0; i < LISTENERS_MAX; i++)
			region_slot(&h->region, slot)->listener[i] = -1;
	h->region.head->nlisteners = 0;
	for (i = 0; i < count; i++) {
		r = list[i].family == ADDRESS_UNIX ? open_unix_for_all(h, i, &list[i]) :
		    open_inet_for_all(h, i, &list[i]);
		if (r != 0) {
			address_format(&list[i], text, sizeof text);
			snprintf(err, n, "cannot listen on %s: %s", text, strerror(errno));
			listeners_remove(h);
			return -1;
		}
		describe(&h->region.head->listener[i], &list[i], s);
		h->region.head->nlisteners = i + 1;
	}
	return 0;
}

/* ---- those of a region that was taken over ---- */

static bool
is_same(const struct address *a, const struct region_listener *l)
{
	struct address was;
	char err[256];

	if (address_parse(l->address, strnlen(l->address, sizeof l->address), &was, err,
	    sizeof err) != 0 || was.family != a->family)
		return false;
	if (a->family == ADDRESS_UNIX)
		return strcmp(was.path, a->path) == 0;
	return strcmp(was.host, a->host) == 0 && (a->port == 0 || a->port == was.port);
}

/* Whether all are; the port that was got for port 0 stays. */
static bool
are_same(const struct heritage *h, struct address *list, unsigned count)
{
	unsigned i;

	if (count != h->region.head->nlisteners)
		return false;
	for (i = 0; i < count; i++)
		if (!is_same(&list[i], &h->region.head->listener[i]))
			return false;
	for (i = 0; i < count; i++)
		if (list[i].family != ADDRESS_UNIX)
			list[i].port = port_of(region_slot(&h->region, 0)->listener[i]);
	return true;
}

/* Whoever else has the socket, nothing arrives there any more. */
static void
shut(int fd)
{
	shutdown(fd, SHUT_RDWR);
	store_replaced(fd);
}

static void
close_all(const struct heritage *h)
{
	unsigned slot, i;
	int fd;

	for (i = 0; i < h->region.head->nlisteners; i++)
		for (slot = 0; slot < h->region.caps.workers; slot++) {
			fd = region_slot(&h->region, slot)->listener[i];
			if (slot > 0 && fd == region_slot(&h->region, 0)->listener[i])
				continue;
			shut(fd);
			close(fd);
		}
	for (slot = 0; slot < h->region.caps.workers; slot++)
		word32_set(&region_slot(&h->region, slot)->served_by, 0);
}

static int
replace_unix(const struct heritage *h, unsigned i, const struct address *a)
{
	int was = region_slot(&h->region, 0)->listener[i], fd, r;

	shut(was);
	fd = open_unix(h, a);
	if (fd < 0)
		return -1;
	r = dup3(fd, was, O_CLOEXEC);
	close(fd);
	return r < 0 ? -1 : 0;
}

static bool
listens(const struct heritage *h, unsigned slot)
{
	unsigned i;

	for (i = 0; i < h->region.head->nlisteners; i++) {
		int fd = region_slot(&h->region, slot)->listener[i], yes = 0;
		socklen_t n = sizeof yes;

		if (!h->region.head->listener[i].is_unix &&
		    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &n) == 0 && yes)
			return true;
	}
	return false;
}

/*
 * What stands in the region is what the service manager keeps: if they cannot be opened, the next
 * start is to find it so again. A socket that was shut down is still bound, and can listen again.
 */
static int
open_others(struct heritage *h, const struct settings *s, char *err, size_t n)
{
	static struct region_listener listener[LISTENERS_MAX];
	static int32_t number[WORKERS_MAX][LISTENERS_MAX];
	struct region_head *head = h->region.head;
	uint32_t count = head->nlisteners;
	unsigned slot, i;

	memcpy(listener, head->listener, sizeof listener);
	for (slot = 0; slot < h->region.caps.workers; slot++)
		for (i = 0; i < LISTENERS_MAX; i++)
			number[slot][i] = region_slot(&h->region, slot)->listener[i];
	close_all(h);
	if (listeners_open(h, s, err, n) == 0)
		return 0;
	memcpy(head->listener, listener, sizeof listener);
	for (slot = 0; slot < h->region.caps.workers; slot++)
		for (i = 0; i < LISTENERS_MAX; i++)
			region_slot(&h->region, slot)->listener[i] = number[slot][i];
	head->nlisteners = count;
	return -1;
}

int
listeners_take(struct heritage *h, const struct settings *s, char *err, size_t n)
{
	struct address list[LISTENERS_MAX];
	unsigned i, count = (unsigned)address_list(s, list, LISTENERS_MAX);

	if (!are_same(h, list, count))
		return open_others(h, s, err, n);
	for (i = 0; i < count; i++) {
		memset(&h->region.head->listener[i], 0, sizeof h->region.head->listener[i]);
		describe(&h->region.head->listener[i], &list[i], s);
		if (list[i].family == ADDRESS_UNIX && replace_unix(h, i, &list[i]) != 0) {
			snprintf(err, n, "cannot listen on %s: %s",
			    h->region.head->listener[i].address, strerror(errno));
			/* what lies there is another's: not to be removed */
			h->region.head->listener[i].is_unix = false;
			return -1;
		}
	}
	for (i = 0; i < h->region.caps.workers; i++)
		word32_set(&region_slot(&h->region, i)->served_by, listens(h, i) ? i + 1 : 0);
	return 0;
}

int
listeners_begin(const struct region *r, unsigned slot)
{
	unsigned i;
	int r0 = 0;

	for (i = 0; i < r->head->nlisteners; i++)
		if (listen(region_slot(r, slot)->listener[i], BACKLOG) != 0)
			r0 = -1;
	return r0;
}

void
listeners_log(const struct heritage *h)
{
	unsigned i;

	for (i = 0; i < h->region.head->nlisteners; i++)
		if (h->region.head->listener[i].is_unix)
			log_notice("listening on %s", h->region.head->listener[i].address);
		else
			log_notice("listening on http://%s/", h->region.head->listener[i].address);
}

void
listeners_remove(const struct heritage *h)
{
	unsigned i;

	for (i = 0; i < h->region.head->nlisteners; i++)
		if (h->region.head->listener[i].is_unix)
			unlink(h->region.head->listener[i].address + strlen("unix:"));
}
