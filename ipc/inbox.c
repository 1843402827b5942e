#define _GNU_SOURCE
#include "ipc/inbox.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shm/region.h"
#include "shm/slot_layout.h"

int
inbox_open_all(const struct region *r)
{
	unsigned i;
	int fd[2];

	for (i = 0; i < WRITERS_MAX; i++)
		region_slot(r, i)->inbox = region_slot(r, i)->outbox = -1;
	for (i = 0; i < r->caps.workers; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) != 0)
			return -1;
		region_slot(r, i)->inbox = fd[0];
		region_slot(r, i)->outbox = fd[1];
	}
	return 0;
}

/* Room for one descriptor beside a message. */
union ancillary {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int
inbox_send(const struct region *r, unsigned slot, const struct inbox_message *m, int fd)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)m, .iov_len = sizeof *m };
	union ancillary a;
	struct msghdr h = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &a,
		.msg_controllen = sizeof a };
	struct cmsghdr *c;

	memset(&a, 0, sizeof a);
	c = CMSG_FIRSTHDR(&h);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	return sendmsg(region_slot(r, slot)->outbox, &h, MSG_NOSIGNAL | MSG_DONTWAIT) ==
	    (ssize_t)sizeof *m ? 0 : -1;
}

int
inbox_receive(const struct region *r, unsigned slot, struct inbox_message *m, int *fd)
{
	struct iovec v = { .iov_base = m, .iov_len = sizeof *m };
	union ancillary a;
	struct msghdr h = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &a,
		.msg_controllen = sizeof a };
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	n = recvmsg(region_slot(r, slot)->inbox, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return 0;
	c = CMSG_FIRSTHDR(&h);
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof *fd))
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	if (n != (ssize_t)sizeof *m)
		memset(m, 0xff, sizeof *m);	/* an offer of nobody */
	return 1;
}
