/*
 * The service manager's descriptor store (sd_notify(3), FDSTORE=1): it keeps the region, and all
 * that has a number in it, while no process of plenumd is there. Master, at the start.
 */
#ifndef PLENUM_MASTER_STORE_H
#define PLENUM_MASTER_STORE_H

#include <stdbool.h>

struct master;
struct region;

/*
 * Takes what the manager has handed over (LISTEN_FDS), and the variables out of the environment.
 * Before anything is opened.
 */
void store_receive(void);

/* Living slots were found, whose descriptors are these or better ones: closes those received. */
void store_let_go(void);

/*
 * Takes over the region that was received, under the numbers that stand in it (so nothing may be
 * open yet that must not move, but m->pid_fd), if it is what m->capacity asks for; then there is
 * nobody in it, and it is ready for new keepers. It has listeners, perhaps not the right ones.
 * False: there is none, or none that fits; then nothing is open, and no address is taken.
 */
bool store_take(struct master *m);

/* A descriptor was replaced by another one under its number, or closed. */
void store_replaced(int number);

/*
 * Brings what the manager keeps up to date, and says in the log what became of the region. Again
 * does no harm.
 */
void store_tell(struct master *m);

/* The manager is to forget a region: a program follows that cannot use it. */
void store_forget(const struct region *r);

#endif
