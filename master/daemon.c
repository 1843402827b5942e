#define _GNU_SOURCE
#include "master/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/log.h"

static int report = -1;		/* where the first process listens */

/* Reads what the daemon has to say: a line that is empty means that it serves. */
_Noreturn static void
wait_for_report(int fd, pid_t child)
{
	char text[2048];
	size_t n = 0;
	ssize_t r;

	waitpid(child, NULL, 0);
	while (n < sizeof text - 1) {
		r = read(fd, text + n, sizeof text - 1 - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		n += (size_t)r;
		if (text[0] == '\n')
			_exit(0);
	}
	text[n] = '\0';
	fprintf(stderr, "plenumd: %s\n", n > 0 ? text : "it ended before it served, see its log");
	fflush(stderr);
	_exit(1);
}

static void
let_go_of_terminal(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fatal("/dev/null: %s", strerror(errno));
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	if (fd > 2)
		close(fd);
}

void
daemon_begin(void)
{
	int p[2];
	pid_t pid;

	fflush(NULL);
	if (pipe2(p, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		fatal("cannot become a daemon: %s", strerror(errno));
	if (pid > 0) {
		close(p[1]);
		wait_for_report(p[0], pid);
	}
	close(p[0]);
	report = p[1];
	setsid();
	pid = fork();
	if (pid < 0)
		daemon_failed("cannot become a daemon");
	if (pid != 0)
		_exit(0);
	umask(022);
	if (chdir("/") != 0)
		fatal("/: %s", strerror(errno));
	let_go_of_terminal();
}

static void
tell(const char *text, size_t n)
{
	if (write(report, text, n) != (ssize_t)n)
		log_warning("nobody waits for the start any more");
	close(report);
	report = -1;
}

void
daemon_ready(void)
{
	if (report >= 0)
		tell("\n", 1);
}

void
daemon_failed(const char *why)
{
	if (report >= 0)
		tell(why, strlen(why));
	else
		fprintf(stderr, "plenumd: %s\n", why);
}
