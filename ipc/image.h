/*
 * The program that a process runs, as an open file: a path may lead to another one tomorrow.
 */
#ifndef PLENUM_IPC_IMAGE_H
#define PLENUM_IPC_IMAGE_H

#include <stdint.h>

/* This process's program, for image_exec(). Close-on-exec; -1 with errno. */
int image_self(void);

/* Which one that is, as image_id() tells. */
uint64_t image_own(void);

/* Tells files apart, by device, inode, size and time of change. 0 on failure. */
uint64_t image_id(int fd);

/*
 * execveat(2) of the file with these arguments and the environment, all signals blocked, so that
 * none ends the new program before it has said what it does with them. Returns only on failure,
 * with errno and the mask as it was.
 */
void image_exec(int fd, char *const *argv);

#endif
