#define _GNU_SOURCE
#include "ipc/line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/table.h"
#include "shm/limits.h"
#include "shm/region.h"
#include "shm/slot_layout.h"

enum { BACKLOG = 4 };

static const int kind_of_socket = SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC;

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(LINE_VALUES_MAX * sizeof(int))];
};

int
line_pair(int fd[2])
{
	return socketpair(AF_UNIX, kind_of_socket, 0, fd);
}

void
line_path(char *out, size_t n, const char *run_dir, unsigned writer)
{
	if (writer == HELPER_LOGGER)
		snprintf(out, n, "%s/logger.sock", run_dir);
	else
		snprintf(out, n, "%s/slot-%u.sock", run_dir, writer);
}

static int
fill(struct sockaddr_un *un, const char *path)
{
	memset(un, 0, sizeof *un);
	un->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof un->sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un->sun_path, path, strlen(path) + 1);
	return 0;
}

static int
close_with_errno(int fd)
{
	int e = errno;

	close(fd);
	errno = e;
	return -1;
}

int
line_listen(const char *path, int type, int backlog)
{
	struct sockaddr_un un;
	char name[sizeof un.sun_path];
	mode_t mask;
	int fd, r;

	if (snprintf(name, sizeof name, "%s.new", path) >= (int)sizeof name) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (fill(&un, name) != 0)
		return -1;
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	unlink(name);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&un, sizeof un);
	umask(mask);
	if (r != 0 || listen(fd, backlog) != 0 || rename(name, path) != 0)
		return close_with_errno(fd);
	return fd;
}

int
line_door(const char *path)
{
	return line_listen(path, SOCK_SEQPACKET, BACKLOG);
}

int
line_knock(const char *path)
{
	struct sockaddr_un un;
	int fd;

	if (fill(&un, path) != 0)
		return -1;
	fd = socket(AF_UNIX, kind_of_socket, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof un) != 0)
		return close_with_errno(fd);
	return fd;
}

int
line_answer(int door, uint32_t owner)
{
	struct ucred peer;
	socklen_t n = sizeof peer;
	int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0 ||
	    (peer.uid != 0 && peer.uid != owner))
		return close_with_errno(fd);
	return fd;
}

static bool
tell(int line, const struct line_message *m, const int *fd, size_t n)
{
	struct iovec iov = { (void *)m, offsetof(struct line_message, value) +
	    m->n * sizeof m->value[0] };
	union control c;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n > 0) {
		memset(&c, 0, sizeof c);
		msg.msg_control = &c;
		msg.msg_controllen = CMSG_SPACE(n * sizeof *fd);
		c.head.cmsg_level = SOL_SOCKET;
		c.head.cmsg_type = SCM_RIGHTS;
		c.head.cmsg_len = CMSG_LEN(n * sizeof *fd);
		memcpy(CMSG_DATA(&c.head), fd, n * sizeof *fd);
	}
	return sendmsg(line, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

bool
line_tell(int line, enum line_kind kind, int32_t pid, int pidfd)
{
	struct line_message m = { .kind = kind, .n = 1, .value = { pid } };

	return tell(line, &m, &pidfd, 1);
}

bool
line_tell_self(int line)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	bool ok = fd >= 0 && line_tell(line, LINE_KEEPER, getpid(), fd);

	if (fd >= 0)
		close(fd);
	return ok;
}

bool
line_tell_parts(int line, const struct region *r)
{
	int fd[TABLE_COMMON_MAX];
	struct line_message m = { .kind = LINE_PARTS };
	size_t n = table_common(r, fd), at, k;

	for (at = 0; at < n; at += k) {
		k = n - at < LINE_VALUES_MAX ? n - at : LINE_VALUES_MAX;
		m.n = (uint32_t)k;
		memcpy(m.value, fd + at, k * sizeof *fd);
		if (!tell(line, &m, fd + at, k))
			return false;
	}
	m.kind = LINE_PARTS_END;
	m.n = 0;
	return tell(line, &m, NULL, 0);
}

/* Descriptors that came, whatever else is wrong with the message. */
static size_t
descriptors(struct msghdr *msg, int *fd)
{
	struct cmsghdr *c;
	size_t n = 0;

	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			n = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fd;
			memcpy(fd, CMSG_DATA(c), n * sizeof *fd);
		}
	return n;
}

int
line_take(int line, struct line_message *m, int *fd, size_t *nfds)
{
	struct iovec iov = { m, sizeof *m };
	union control c;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c,
		.msg_controllen = sizeof c };
	ssize_t r = recvmsg(line, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	size_t i, head = offsetof(struct line_message, value);

	*nfds = 0;
	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	*nfds = descriptors(&msg, fd);
	if ((size_t)r >= head && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
	    m->n <= LINE_VALUES_MAX && (size_t)r == head + m->n * sizeof m->value[0] &&
	    (*nfds == m->n || *nfds == 0))
		return 1;
	for (i = 0; i < *nfds; i++)
		close(fd[i]);
	*nfds = 0;
	return -1;
}
