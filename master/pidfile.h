/*
 * The pid file: a lock that says that this run_dir is taken, and the number of the process that
 * serves. The lock goes when the last process that has the descriptor ends, so children close it.
 */
#ifndef PLENUM_MASTER_PIDFILE_H
#define PLENUM_MASTER_PIDFILE_H

#include <stddef.h>

/*
 * Takes the lock of dir/plenumd.pid, which is made if it is not there. A descriptor, or -1 with
 * what is wrong in err. Does not wait.
 */
int pidfile_take(const char *dir, char *err, size_t n);

/* Writes this process's number. 0 or -1 with errno. */
int pidfile_store(int fd);

/* Removes the file and gives the lock back. */
void pidfile_drop(const char *dir, int fd);

#endif
