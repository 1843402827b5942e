/* A keeper becomes another program. Keeper only, while its slot has no worker. */
#ifndef PLENUM_IPC_BECOME_H
#define PLENUM_IPC_BECOME_H

#include "shm/slot_layout.h"

struct keeper;
struct settings;

/* By ORDER_EXEC: the one that the master sent. Returns if there is none, or it cannot be done. */
void become_ordered(struct keeper *k, const struct settings *s);

/*
 * A worker has ended like this: if it was one of a program on trial, the one before. Returns if
 * not, or if it cannot be done.
 */
void become_back(struct keeper *k, enum slot_death d);

#endif
