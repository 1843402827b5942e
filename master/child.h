/*
 * A process that the master started, or found when it was started itself, with its line (see
 * ipc/line.h): a keeper, which stands for its slot, or the logger. Private memory of the master.
 */
#ifndef PLENUM_MASTER_CHILD_H
#define PLENUM_MASTER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/backoff.h"
#include "ipc/line.h"

struct event;
struct master;

struct child {
	pid_t pid;		/* for people; 0: none, or not yet known */
	int pidfd;		/* for signals; -1: none, or not yet known */
	int line;		/* hangs up when nobody is left at its other end; -1: none */
	int end[2];		/* its line and door, until it is forked; -1 */
	bool running;		/* until that was seen, and nobody of it is left */
	bool reaped;		/* status is its last one's */
	int status;
	uint64_t start_at;	/* ms, not before then */
	struct backoff backoff;
	struct event *event;	/* of the line */
};

void child_init(struct child *c);

/*
 * Begins a line and a door at the path. Their other ends' numbers are stored in *line and *door,
 * for the table of the process to be forked. 0, or -1 with errno.
 */
int child_open(struct child *c, const char *path, _Atomic int32_t *line, _Atomic int32_t *door);

/* It was forked, or, with pid -1, could not be. Its ends are closed here. */
void child_forked(struct child *c, pid_t pid);

/* It was there before this master; the line is owned from now on. */
void child_adopt(struct child *c, int line);

/* Takes note of a status. False: it is another's. */
bool child_reaped(struct child *c, pid_t pid, int status);

/*
 * Reads the line: a message that names a process is returned with its descriptor, which the caller
 * owns, others are done with. 0: there is nothing (more). Looks whether all of it have ended.
 */
int child_news(struct master *m, struct child *c, int32_t *pid, int *pidfd);

/* Whether it ended by SIGKILL, or nobody can tell how. */
bool child_was_killed(const struct child *c);

void child_signal(const struct child *c, int sig);

/* Whether the process of a pidfd has ended; of none, -1, it has. */
bool child_pidfd_gone(int pidfd);

/* Gives up what is open; what it stands for goes on. */
void child_close(struct child *c);

#endif
