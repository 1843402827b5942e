/* Retiring: channels that nobody reads or writes for channel_idle are forgotten. Master only. */
#ifndef PLENUM_MASTER_RETIRE_H
#define PLENUM_MASTER_RETIRE_H

struct master;
struct retire;

/* NULL when memory is short. */
struct retire *retire_new(unsigned channels);
void retire_free(struct retire **r);

/* Looks at a part of the table; called ten times a second. */
void retire_tick(struct master *m);

#endif
