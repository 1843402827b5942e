/*
 * The keeper and the master: the line, the door, and what a slot does without a master. Keeper
 * only.
 */
#ifndef PLENUM_IPC_LIAISON_H
#define PLENUM_IPC_LIAISON_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/word.h"

struct keeper;

/*
 * Waits at most `ms` (-1: for ever) for the end of the worker, whose pidfd this is (-1: there is
 * none), and attends to the master. True: it has ended.
 */
bool liaison_attend(struct keeper *k, int worker, int ms);

/* Names keeper and worker to the master, as far as that has not been done. */
void liaison_tell(struct keeper *k);

/* Takes what the master has sent. */
void liaison_read(struct keeper *k);

/* Stores a descriptor in a word of the slot, and closes what was there. */
void liaison_replace(_Atomic int32_t *word, int fd);

#endif
