/* The watchdog: ends workers, and a logger, that have stopped to beat. */
#ifndef PLENUM_MASTER_WATCHDOG_H
#define PLENUM_MASTER_WATCHDOG_H

struct master;

/* Forgets what was seen, for the start. */
void watchdog_init(struct master *m);

/* Looks at every heartbeat; called ten times a second. */
void watchdog_tick(struct master *m);

#endif
