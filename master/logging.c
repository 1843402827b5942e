/*
 * A logger has one file and one format for life. To reopen, the master opens the file, as the user
 * it was started as, and starts another logger with it; the lines that come between the two wait in
 * the rings. So a logger needs no right to the folder, and a file that cannot be opened leaves the
 * old one in use.
 */
#define _GNU_SOURCE
#include "master/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/logger.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "master/master_priv.h"
#include "shm/dirty.h"
#include "shm/slot_layout.h"

enum { END_MS = 2000 };

int
logging_open(const struct settings *s, bool foreground, int *fd, char *err, size_t n)
{
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	*fd = -1;
	if (strcmp(s->log_file, "stderr") == 0) {
		if (!foreground)
			return 0;
		*fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
	} else {
		*fd = open(s->log_file, flags, 0640);
	}
	if (*fd >= 0)
		return 0;
	snprintf(err, n, "cannot open log_file %s: %s", s->log_file, strerror(errno));
	return -1;
}

static struct slot *
logger_slot(const struct master *m)
{
	return region_slot(&m->h.region, HELPER_LOGGER);
}

static void
start_logger(struct master *m)
{
	struct child *c = &m->logger;
	struct slot *slot = logger_slot(m);
	char path[RUNDIR_MAX + 32];
	sigset_t all, old;
	pid_t pid;

	word32_set(&slot->order, ORDER_RUN);
	word_set(&slot->orphaned, 0);
	c->start_at = clock_ms() + 1000;
	line_path(path, sizeof path, m->run_dir, HELPER_LOGGER);
	if (child_open(c, path, &slot->line, &slot->door) != 0)
		return;
	fflush(NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0) {
		m->h.slot = HELPER_LOGGER;
		log_close();
		logger_run(&m->h);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	child_forked(c, pid);
	if (pid > 0)
		c->start_at = clock_ms();
}

static void
tell_to_stop(struct master *m)
{
	word32_set(&logger_slot(m)->order, ORDER_STOP);
	dirty_hint(&m->w, HELPER_LOGGER, HINT_ORDER);
	wake_flush(&m->w);
	m->logger_told = clock_ms();
}

static void
lose_logger(struct master *m, pid_t pid)
{
	struct child *c = &m->logger;
	uint64_t now = clock_ms();
	bool once_more = m->logger_restarts && m->phase == PHASE_LAST;

	c->start_at = now;
	if (!m->logger_restarts && m->phase < PHASE_LAST) {
		if (!child_was_killed(c))
			c->start_at += backoff_next(&c->backoff, now);
		log_warning("logger died pid=%d %s=%d", (int)pid,
		    WIFSIGNALED(c->status) ? "signal" : "status",
		    WIFSIGNALED(c->status) ? WTERMSIG(c->status) : WEXITSTATUS(c->status));
	}
	if (m->logger_restarts)		/* not before: the old file would get the line */
		log_info("log reopened file=%s", m->settings.log_file);
	m->logger_restarts = false;
	if (once_more)
		logging_stop(m, false);
}

/* Whether it just ended. */
static void
listen_to_logger(struct master *m)
{
	struct child *c = &m->logger;
	bool was_running = c->running;
	pid_t was = c->pid;
	int32_t pid;
	int pidfd;

	while (child_news(m, c, &pid, &pidfd) != 0) {
		if (c->pidfd >= 0)
			close(c->pidfd);
		c->pidfd = pidfd;
		c->pid = was = pid;
	}
	if (was_running && !c->running)
		lose_logger(m, was);
}

void
logging_tick(struct master *m)
{
	uint64_t now = clock_ms();

	listen_to_logger(m);
	if (m->logger.running) {
		if (m->logger_restarts && now - m->logger_told > END_MS)
			child_signal(&m->logger, SIGKILL);
	} else if (m->phase < PHASE_LAST && now >= m->logger.start_at) {
		start_logger(m);
	}
}

bool
logging_reaped(struct master *m, pid_t pid, int status)
{
	return child_reaped(&m->logger, pid, status);
}

void
logging_restart(struct master *m)
{
	if (!m->logger.running)
		return;
	m->logger_restarts = true;
	tell_to_stop(m);
}

void
logging_switch(struct master *m, int fd)
{
	if (m->h.log_fd >= 0)
		close(m->h.log_fd);
	m->h.log_fd = fd;
	logging_restart(m);
}

void
logging_reopen(struct master *m)
{
	char err[512];
	int fd;

	if (logging_open(&m->settings, m->h.foreground, &fd, err, sizeof err) != 0) {
		log_error("log is not reopened: %s", err);
		return;
	}
	logging_switch(m, fd);
}

void
logging_stop(struct master *m, bool now)
{
	if (now) {
		child_signal(&m->logger, SIGKILL);
		return;
	}
	if (!m->logger.running)
		start_logger(m);
	tell_to_stop(m);
}

void
logging_remove_door(const struct master *m)
{
	char path[RUNDIR_MAX + 32];

	line_path(path, sizeof path, m->run_dir, HELPER_LOGGER);
	unlink(path);
}
