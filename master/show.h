/*
 * What the region says, as JSON for the control socket. Reads only. Nothing that is read is
 * trusted: numbers are bounded before they lead anywhere, names are copied and checked.
 */
#ifndef PLENUM_MASTER_SHOW_H
#define PLENUM_MASTER_SHOW_H

#include <jansson.h>

struct master;
struct settings;

enum { SHOW_LIMIT = 1000, SHOW_LIMIT_MAX = 100000 };

/* A new object each, which the caller owns. limit: rows at most; 0 and too many: SHOW_LIMIT_MAX. */
json_t *show_status(const struct master *m);
json_t *show_workers(const struct master *m);
json_t *show_channels(const struct master *m, unsigned long limit);
json_t *show_conns(const struct master *m, unsigned long limit);
json_t *show_conf(const struct master *m);
/* What differs and is live, as "from -> to" by name. */
json_t *show_changes(const struct settings *from, const struct settings *to);
json_t *show_counters(const struct master *m);

#endif
