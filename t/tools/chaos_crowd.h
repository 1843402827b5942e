/* Crowds as child processes: the one that checks everything, and a storm now and then. */
#ifndef PLENUM_TOOLS_CHAOS_CROWD_H
#define PLENUM_TOOLS_CHAOS_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { CROWD_TEXT_MAX = 64 * 1024 };

struct crowd_child {
	pid_t pid;			/* 0: none */
	int to, from;			/* pipes: its stdin, its stdout and stderr; -1 */
	int status;			/* of waitpid(), when it has ended */
	struct rusage used;
	size_t len;			/* what it has said */
	char text[CROWD_TEXT_MAX];
};

/* Starts argv[0]; false if that is not possible. */
bool crowd_child_start(struct crowd_child *c, const char *const *argv);

/* Reads what it says until `word` stands at the begin of a line; false after that time, or if it
 * ended. */
bool crowd_child_expect(struct crowd_child *c, const char *word, unsigned ms);

/* Reads what there is. True as long as it runs. */
bool crowd_child_poll(struct crowd_child *c);

/* Waits for its end at most that long, then ends it. True if it exited with 0. */
bool crowd_child_end(struct crowd_child *c, unsigned ms);

/* Says that the crowd's connections with these ports will be lost, and waits until it knows. */
bool crowd_child_tell_lost(struct crowd_child *c, const uint16_t *port, size_t n);

/* A number of its last summary, `name=`; 0 if it is not there. */
uint64_t crowd_child_figure(const struct crowd_child *c, const char *name);

#endif
