#define _GNU_SOURCE
#include "t/tools/chaos_crowd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/tools/chaos_server.h"

bool
crowd_child_start(struct crowd_child *c, const char *const *argv)
{
	int to[2], from[2];

	memset(c, 0, sizeof *c);
	c->to = c->from = -1;
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
		return false;
	c->pid = fork();
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		dup2(from[1], STDERR_FILENO);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->from = from[0];
	fcntl(c->from, F_SETFL, O_NONBLOCK);
	return c->pid > 0;
}

static void
read_all(struct crowd_child *c)
{
	char more[4096];
	ssize_t n;

	while ((n = read(c->from, more, sizeof more)) > 0) {
		if (c->len + (size_t)n >= sizeof c->text) {	/* the newest half is kept */
			c->len /= 2;
			memmove(c->text, c->text + c->len, c->len);
		}
		memcpy(c->text + c->len, more, (size_t)n);
		c->len += (size_t)n;
		c->text[c->len] = '\0';
	}
}

bool
crowd_child_poll(struct crowd_child *c)
{
	if (c->pid <= 0)
		return false;
	read_all(c);
	if (wait4(c->pid, &c->status, WNOHANG, &c->used) != c->pid)
		return true;
	read_all(c);
	close(c->to);
	close(c->from);
	c->pid = 0;
	return false;
}

/* Where a line begins with the word, at or behind `from`. */
static const char *
find_line(const struct crowd_child *c, const char *word, size_t from)
{
	const char *p = c->text + (from < c->len ? from : c->len);

	while ((p = strstr(p, word)) != NULL) {
		if (p == c->text || p[-1] == '\n')
			return p;
		p++;
	}
	return NULL;
}

static bool
expect_behind(struct crowd_child *c, const char *word, size_t from, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	struct pollfd p = { .fd = c->from, .events = POLLIN };
	bool runs;

	do {
		runs = crowd_child_poll(c);
		if (find_line(c, word, from) != NULL)
			return true;
		if (runs)
			poll(&p, 1, 10);
	} while (runs && now_ms() < end);
	return false;
}

bool
crowd_child_expect(struct crowd_child *c, const char *word, unsigned ms)
{
	return expect_behind(c, word, 0, ms);
}

bool
crowd_child_end(struct crowd_child *c, unsigned ms)
{
	uint64_t end = now_ms() + ms;

	while (crowd_child_poll(c)) {
		if (now_ms() >= end) {
			kill(c->pid, SIGKILL);
			end += 1000;
		}
		sleep_ms(10);
	}
	return WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0;
}

bool
crowd_child_tell_lost(struct crowd_child *c, const uint16_t *port, size_t n)
{
	size_t from = c->len, at = 4, i;
	char *text = malloc(n * 6 + 8);
	bool good;

	if (text == NULL)
		return false;
	memcpy(text, "lost", 4);
	for (i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, 7, " %u", port[i]);
	text[at++] = '\n';
	good = write(c->to, text, at) == (ssize_t)at;
	free(text);
	return good && expect_behind(c, "noted", from, 500);
}

uint64_t
crowd_child_figure(const struct crowd_child *c, const char *name)
{
	const char *p = c->text, *last = NULL;
	size_t n = strlen(name);

	while ((p = strstr(p, name)) != NULL) {
		if (p[n] == '=' && (p == c->text || p[-1] == ' ' || p[-1] == '\n'))
			last = p + n + 1;
		p += n;
	}
	return last == NULL ? 0 : strtoull(last, NULL, 10);
}
