/* What every process of plenumd does when it begins. */
#ifndef PLENUM_IPC_PROCESS_H
#define PLENUM_IPC_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct heritage;

/* ms and us of CLOCK_MONOTONIC; ms since 1970. */
uint64_t clock_ms(void);
uint64_t clock_us(void);
uint64_t clock_real_ms(void);

/* Title "plenumd: NAME" in /proc, and the short name of the thread. */
void process_title(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Drops to h->uid, h->gid; fatal() if that fails. Does nothing unless root. */
void process_drop(const struct heritage *h);

/*
 * Closes every descriptor that is not in keep[] (n numbers, any order, -1 are ignored); 0, 1 and 2
 * stay.
 */
void process_close_others(int *keep, size_t n);

/* Ignores the signals that only the master takes, resets the others, unblocks all. */
void process_signals(void);

/* The process ends when its parent does, at once if that is no longer `parent`. */
void process_die_with_parent(pid_t parent);

#endif
