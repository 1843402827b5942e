/* The master's side of the logger: its file, its starts and its end. */
#ifndef PLENUM_MASTER_LOGGING_H
#define PLENUM_MASTER_LOGGING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct master;
struct settings;

/*
 * Opens what these settings log to: *fd becomes a descriptor of its own, or -1 for syslog (stderr
 * of a daemon). 0, or -1 with what is wrong in err. Does not wait for a reader of a pipe.
 */
int logging_open(const struct settings *s, bool foreground, int *fd, char *err, size_t n);

/* Starts the logger if there is none and it is due; ends one that should have ended. */
void logging_tick(struct master *m);

/* Takes note that `pid` ended. False: it was not the logger. */
bool logging_reaped(struct master *m, pid_t pid, int status);

/*
 * Another logger with the settings in force and this descriptor, which becomes the master's. The
 * one before writes what it has in hand to the old file.
 */
void logging_switch(struct master *m, int fd);

/* Another logger, with the file that is open, behind one that a master before this one started. */
void logging_restart(struct master *m);

/* Opens the same file again and switches to it. On failure, which is logged, nothing changes. */
void logging_reopen(struct master *m);

/* Removes its door from the run_dir. For the end. */
void logging_remove_door(const struct master *m);

/* Has a logger write what is left and end, or ends it at once. */
void logging_stop(struct master *m, bool now);

#endif
