/*
 * manager: plays the service manager for one program.
 *
 *	manager SOCKET PROGRAM [ARGUMENT]...
 *
 * It listens at SOCKET as $NOTIFY_SOCKET, keeps the descriptors that come with FDSTORE=1 under
 * their names (the same file once, as systemd does) and gives them up on FDSTOREREMOVE=1. What it
 * is to do comes as lines on standard input, what happens goes as lines to standard output:
 *
 *	start [ARGUMENT]...	start PID, then ready when that is told, ended STATUS at its end
 *	held			held N: descriptors
 *	names			name NAME, for each
 *	swap			the region becomes an empty file of the same name
 *	tear			a descriptor that is not the region is lost
 *	limit N			no more are kept than N
 *
 * It ends with its input, and the program with it.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD_MAX = 2048, ARGS_MAX = 64, NAME_BYTES = 256, ABOVE = 3 + HELD_MAX };

struct held {
	char name[NAME_BYTES];
	int fd;
};

static struct held held[HELD_MAX];
static int nheld, limit = HELD_MAX;
static char *args[ARGS_MAX + 1];
static int nargs;
static pid_t child;
static int pidfd = -1;

static void
say(const char *what, const char *text)
{
	printf("%s%s%s\n", what, *text != '\0' ? " " : "", text);
	fflush(stdout);
}

static void
say_number(const char *what, int n)
{
	char text[32];

	snprintf(text, sizeof text, "%d", n);
	say(what, text);
}

/* ---- the store ---- */

static bool
is_same(int a, int b)
{
	enum { KCMP_FILE_KIND = 0 };

	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE_KIND, a, b) == 0;
}

static void
keep(const char *name, int fd)
{
	int i;

	for (i = 0; i < nheld; i++)
		if (is_same(held[i].fd, fd)) {
			close(fd);
			return;
		}
	if (nheld >= limit) {
		close(fd);
		return;
	}
	snprintf(held[nheld].name, sizeof held[nheld].name, "%s", name);
	held[nheld].fd = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE);
	if (held[nheld++].fd < 0)
		err(1, "cannot keep %s", name);
	close(fd);
}

static void
give_up(int i)
{
	close(held[i].fd);
	held[i] = held[--nheld];
}

static void
give_up_name(const char *name)
{
	int i;

	for (i = nheld; i-- > 0;)
		if (strcmp(held[i].name, name) == 0)
			give_up(i);
}

static bool
is_region(int i)
{
	return strstr(held[i].name, "region") != NULL;
}

static void
swap(void)
{
	int i, fd = memfd_create("rubbish", MFD_CLOEXEC);

	for (i = 0; i < nheld; i++)
		if (is_region(i) && dup3(fd, held[i].fd, O_CLOEXEC) < 0)
			err(1, "dup");
	close(fd);
}

static void
tear(void)
{
	int i;

	for (i = 0; i < nheld; i++)
		if (!is_region(i)) {
			give_up(i);
			return;
		}
}

/* ---- what the program tells ---- */

static bool
has_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);
	size_t n = strlen(line);

	return at != NULL && (at == text || at[-1] == '\n') && (at[n] == '\n' || at[n] == '\0');
}

static void
name_of(const char *text, char *name)
{
	const char *at = strstr(text, "FDNAME=");

	snprintf(name, NAME_BYTES, "%.*s", at != NULL ? (int)strcspn(at + 7, "\n") : 6,
	    at != NULL ? at + 7 : "stored");
}

static void
take_message(int sock)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} a;
	char text[4096], name[NAME_BYTES];
	struct iovec v = { text, sizeof text - 1 };
	struct msghdr h = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &a,
		.msg_controllen = sizeof a };
	ssize_t n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	size_t i, nfd = 0;
	int fd[253];

	if (n < 0)
		return;
	text[n] = '\0';
	for (c = CMSG_FIRSTHDR(&h); c != NULL; c = CMSG_NXTHDR(&h, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			nfd = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fd;
			memcpy(fd, CMSG_DATA(c), nfd * sizeof *fd);
		}
	name_of(text, name);
	for (i = 0; i < nfd; i++)
		if (has_line(text, "FDSTORE=1") && has_line(text, "FDPOLL=0"))
			keep(name, fd[i]);
		else
			close(fd[i]);
	if (has_line(text, "FDSTOREREMOVE=1"))
		give_up_name(name);
	if (has_line(text, "READY=1"))
		say("ready", "");
}

/* ---- the program ---- */

static void
hand_over(const char *socket_path)
{
	static char names[HELD_MAX * 32], text[32];
	size_t used = 0;
	int i;

	for (i = 0; i < nheld; i++) {
		if (dup2(held[i].fd, 3 + i) < 0)
			err(127, "cannot hand over %s", held[i].name);
		used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
		    i > 0 ? ":" : "", held[i].name);
	}
	setenv("NOTIFY_SOCKET", socket_path, 1);
	if (nheld == 0)
		return;
	snprintf(text, sizeof text, "%d", nheld);
	setenv("LISTEN_FDS", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(text, sizeof text, "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
}

static void
start(const char *socket_path, char *more)
{
	int n = nargs;
	char *word;

	if (child > 0) {
		say("runs", "");
		return;
	}
	for (; (word = strsep(&more, " ")) != NULL && n < ARGS_MAX;)
		if (*word != '\0')
			args[n++] = word;
	args[n] = NULL;
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(2, 1);			/* what it says is no report of ours */
		syscall(SYS_close_range, 3, ABOVE - 1, 0);
		hand_over(socket_path);
		execvp(args[0], args);
		err(127, "%s", args[0]);
	}
	pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	say_number("start", child);
}

static void
bury(void)
{
	int status = 0;

	if (waitpid(child, &status, 0) != child)
		return;
	close(pidfd);
	pidfd = -1;
	child = 0;
	say_number("ended", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* ---- orders ---- */

static void
obey(char *line, const char *socket_path)
{
	int i;

	if (strncmp(line, "start", 5) == 0) {
		start(socket_path, line + 5);
	} else if (strcmp(line, "held") == 0) {
		say_number("held", nheld);
	} else if (strcmp(line, "names") == 0) {
		for (i = 0; i < nheld; i++)
			say("name", held[i].name);
	} else if (strcmp(line, "swap") == 0) {
		swap();
	} else if (strcmp(line, "tear") == 0) {
		tear();
	} else if (strncmp(line, "limit ", 6) == 0) {
		limit = atoi(line + 6);
	} else {
		errx(1, "no order: %s", line);
	}
}

/* False: the input has ended. What was told before an order is heard before it. */
static bool
read_orders(int sock, const char *socket_path)
{
	static char text[4096];
	static size_t n;
	struct pollfd p = { .fd = sock, .events = POLLIN };
	char *nl;
	ssize_t r = read(0, text + n, sizeof text - 1 - n);

	if (r <= 0)
		return false;
	n += (size_t)r;
	text[n] = '\0';
	while ((nl = strchr(text, '\n')) != NULL) {
		*nl = '\0';
		while (poll(&p, 1, 0) > 0)
			take_message(sock);
		obey(text, socket_path);
		n -= (size_t)(nl + 1 - text);
		memmove(text, nl + 1, n + 1);
	}
	return true;
}

static int
listen_at(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), high;

	if (strlen(path) >= sizeof un.sun_path)
		errx(1, "%s: too long", path);
	memcpy(un.sun_path, path, strlen(path) + 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un) != 0)
		err(1, "%s", path);
	high = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE);
	close(fd);
	return high;
}

int
main(int argc, char **argv)
{
	struct pollfd p[3] = { { .fd = 0, .events = POLLIN }, { .events = POLLIN },
		{ .events = POLLIN } };
	struct rlimit l;
	int sock, i;

	if (argc < 3 || argc - 2 > ARGS_MAX / 2)
		errx(2, "usage: manager SOCKET PROGRAM [ARGUMENT]...");
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;	/* to keep things far above what is handed over */
		setrlimit(RLIMIT_NOFILE, &l);
	}
	for (i = 2; i < argc; i++)
		args[nargs++] = argv[i];
	sock = listen_at(argv[1]);
	for (;;) {
		p[1].fd = sock;
		p[2].fd = pidfd;
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			err(1, "poll");
		if (p[1].revents != 0)
			take_message(sock);
		else if (p[2].revents != 0 && pidfd >= 0)
			bury();
		if (p[0].revents != 0 && !read_orders(sock, argv[1]))
			break;
	}
	if (child > 0) {
		kill(child, SIGTERM);
		bury();
	}
	return 0;
}
