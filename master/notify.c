#define _GNU_SOURCE
#include "master/notify.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/process.h"

static struct sockaddr_un to = { .sun_family = AF_UNIX };
static socklen_t to_len;

void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n;

	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	n = strlen(path);
	if (n < 2 || n >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	unsetenv("NOTIFY_SOCKET");
}

void
notify_export(void)
{
	if (to_len == 0)
		return;
	if (to.sun_path[0] == '\0')
		to.sun_path[0] = '@';
	setenv("NOTIFY_SOCKET", to.sun_path, 1);
}

static void
tell(const char *text)
{
	int fd;

	if (to_len == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, to_len);
	close(fd);
}

/* Room for one descriptor beside a message. */
union ancillary {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/*
 * Many in a row: unlike the others these must not be lost when the manager has much to read. One
 * that does not read at all is waited for once.
 */
static bool
tell_patiently(const char *text, int fd)
{
	struct timeval most = { .tv_sec = 1 };
	struct iovec v = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
	struct msghdr h = { .msg_name = &to, .msg_namelen = to_len, .msg_iov = &v,
		.msg_iovlen = 1 };
	static bool is_deaf;
	union ancillary a;
	int s;

	s = to_len == 0 || is_deaf ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return false;
	if (fd >= 0) {
		memset(&a, 0, sizeof a);
		h.msg_control = &a;
		h.msg_controllen = sizeof a;
		a.head.cmsg_level = SOL_SOCKET;
		a.head.cmsg_type = SCM_RIGHTS;
		a.head.cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(&a.head), &fd, sizeof fd);
	}
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
	is_deaf = sendmsg(s, &h, MSG_NOSIGNAL) < 0;
	close(s);
	return !is_deaf;
}

bool
notify_store(const char *name, int fd)
{
	char text[320];

	/* FDPOLL=0: an end of a pair that has hung up is none the less kept */
	snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	return tell_patiently(text, fd);
}

bool
notify_unstore(const char *name)
{
	char text[320];

	snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return tell_patiently(text, -1);
}

void
notify_ready(void)
{
	char text[64];

	snprintf(text, sizeof text, "READY=1\nMAINPID=%d", (int)getpid());
	tell(text);
}

void
notify_reloading(void)
{
	char text[64];

	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
	    (unsigned long long)clock_us());
	tell(text);
}

void
notify_stopping(void)
{
	tell("STOPPING=1");
}
