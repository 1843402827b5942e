/*
 * The control socket: one request line, one answer of JSON, then the end. Requests are words; see
 * the table in control.c.
 */
#ifndef PLENUM_MASTER_CONTROL_H
#define PLENUM_MASTER_CONTROL_H

#include <stddef.h>

struct control;
struct master;

/* Opens run_dir/control.sock. A descriptor, or -1 with what is wrong in err. */
int control_open(const struct master *m, char *err, size_t n);

/* Serves it in the master's loop. NULL when memory is short. */
struct control *control_new(struct master *m, int fd);

/* Closes everything and removes the socket's file. */
void control_free(struct control **c);

/* Answers those who asked for a reload: it is done, or it is not, and why. */
void control_reloaded(struct control *c, const char *error);

/* The same for an upgrade. */
void control_upgraded(struct control *c, const char *error);

#endif
