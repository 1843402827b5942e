/*
 * Becoming a daemon. The process that was started waits until the daemon serves, so that its exit
 * status says whether it does.
 */
#ifndef PLENUM_MASTER_DAEMON_H
#define PLENUM_MASTER_DAEMON_H

/*
 * Forks twice and goes on in a process of its own session, with / as its folder and /dev/null as
 * 0, 1 and 2. The process that called waits for daemon_ready() or daemon_failed() and exits.
 * fatal() on failure.
 */
void daemon_begin(void);

/* The daemon serves: the one who waits exits 0. Nothing if there is none. */
void daemon_ready(void);

/* It does not: the one who waits prints `why` and exits 1. Without one it is printed here. */
void daemon_failed(const char *why);

#endif
