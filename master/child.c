#define _GNU_SOURCE
#include "master/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "master/master_priv.h"

void
child_init(struct child *c)
{
	*c = (struct child) { .pidfd = -1, .line = -1, .end = { -1, -1 } };
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int
child_open(struct child *c, const char *path, _Atomic int32_t *line, _Atomic int32_t *door)
{
	int pair[2], listening, e;

	listening = line_door(path);
	if (listening < 0)
		return -1;
	if (line_pair(pair) != 0) {
		e = errno;
		close(listening);
		errno = e;
		return -1;
	}
	c->line = pair[0];
	/* the words are its own from the fork on */
	*line = c->end[0] = pair[1];
	*door = c->end[1] = listening;
	return 0;
}

void
child_forked(struct child *c, pid_t pid)
{
	close_fd(&c->end[0]);
	close_fd(&c->end[1]);
	if (pid < 0) {
		close_fd(&c->line);
		return;
	}
	close_fd(&c->pidfd);
	c->pid = pid;
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	c->running = true;
	c->reaped = false;
}

void
child_adopt(struct child *c, int line)
{
	c->line = line;
	c->running = true;
}

bool
child_reaped(struct child *c, pid_t pid, int status)
{
	if (c->pid != pid || !c->running)
		return false;
	c->reaped = true;
	c->status = status;
	return true;
}

bool
child_pidfd_gone(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd < 0 || poll(&p, 1, 0) > 0;
}

void
child_close(struct child *c)
{
	if (c->event != NULL)
		event_free(c->event);
	c->event = NULL;
	close_fd(&c->line);
	close_fd(&c->pidfd);
}

/* The line has hung up. Its process may need a moment more until it is gone. */
static void
look_for_end(struct child *c)
{
	int status;

	if (c->line >= 0 || (c->pidfd >= 0 && !child_pidfd_gone(c->pidfd)))
		return;
	if (c->pid > 0 && !c->reaped && waitpid(c->pid, &status, WNOHANG) == c->pid) {
		c->reaped = true;
		c->status = status;
	}
	close_fd(&c->pidfd);
	c->pid = 0;
	c->running = false;
}

static void
on_line(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;

	event_active(m->tick, EV_TIMEOUT, 0);
}

static void
hang_up(struct child *c)
{
	if (c->event != NULL)
		event_free(c->event);
	c->event = NULL;
	close_fd(&c->line);
}

int
child_news(struct master *m, struct child *c, int32_t *pid, int *pidfd)
{
	struct line_message msg;
	int fd[LINE_VALUES_MAX], r;
	size_t n, i;

	if (c->line >= 0 && c->event == NULL && m->base != NULL) {
		c->event = event_new(m->base, c->line, EV_READ | EV_PERSIST, on_line, m);
		if (c->event != NULL)
			event_add(c->event, NULL);
	}
	while (c->line >= 0 && (r = line_take(c->line, &msg, fd, &n)) != 0) {
		if (r < 0) {
			hang_up(c);
			break;
		}
		if (n == 1 && (msg.kind == LINE_KEEPER || msg.kind == LINE_WORKER)) {
			*pid = msg.value[0];
			*pidfd = fd[0];
			return (int)msg.kind;
		}
		for (i = 0; i < n; i++)		/* parts: they are here already */
			close(fd[i]);
	}
	if (c->running)
		look_for_end(c);
	return 0;
}

bool
child_was_killed(const struct child *c)
{
	return !c->reaped || (WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGKILL);
}

void
child_signal(const struct child *c, int sig)
{
	if (c->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0);
}
