/*
 * Wake-ups: an eventfd per process, written only when that process sleeps, at most once per turn of
 * the writer's loop.
 */
#ifndef PLENUM_IPC_WAKE_H
#define PLENUM_IPC_WAKE_H

#include <stdint.h>

struct writer;

/* Wakes whoever in w->wake sleeps, and forgets the set. Never blocks. */
void wake_flush(struct writer *w);

/* Wakes everybody: an heir does not know whom its predecessor still owed a wake-up. */
void wake_all(struct writer *w);

/* Empties one's own eventfd. */
void wake_drain(struct writer *w);

#endif
