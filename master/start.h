/* The start: everything that can fail, before plenumd becomes a daemon and starts anybody. */
#ifndef PLENUM_MASTER_START_H
#define PLENUM_MASTER_START_H

struct heritage;
struct master;
struct options;

/*
 * Loads the settings, takes the run_dir, makes the region, opens listeners, control socket and log.
 * What fails is one line on stderr and exit 1. Returns the descriptor of the control socket.
 */
int start_prepare(struct master *m, const struct options *o);

/* Undoes what lies in the file system: for the end, and for a start that failed. */
void start_undo(struct master *m);

/* Exit status of -t for a region (--region=FD) whose layout this program does not know. */
enum { START_OTHER_LAYOUT = 3 };

/* -t: checks the settings and prints what they need. Returns the exit status. */
int start_test(const struct options *o);

/* --keeper=SLOT: goes on as the keeper of a slot, in its table. Never returns. */
int start_keeper(const struct options *o, struct heritage *h);

/* -V: prints version and layout of the default settings. Returns the exit status. */
int start_version(const char *version);

#endif
