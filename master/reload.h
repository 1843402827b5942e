/* Reload: another configuration without a new start, one slot after the other. */
#ifndef PLENUM_MASTER_RELOAD_H
#define PLENUM_MASTER_RELOAD_H

#include <stddef.h>

struct master;
struct settings;

/*
 * Reads the configuration anew and begins to hand it on. 0; or -1 with what is wrong in err, which
 * was logged, and nothing is changed. While a reload is under way it is done once more afterwards.
 * Reads files.
 */
int reload_begin(struct master *m, char *err, size_t n);

/*
 * The same without any change: the settings that would be in force (valid until the next call of
 * either), or NULL with the reason in err.
 */
const struct settings *reload_try(struct master *m, char *err, size_t n);

/* Goes on with it; called often. */
/*
 * Behind a master that adopted its slots: what the last one had not finished, and what the file
 * says now.
 */
void reload_resume(struct master *m);

void reload_tick(struct master *m);

/* Gives up what is under way: plenumd stops. */
void reload_abandon(struct master *m);

#endif
