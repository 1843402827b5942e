/*
 * Configuration: a file, then the environment, then -D, made into struct settings.
 *
 * The order of precedence is -D, PLENUM_NAME, the other names of the table (WORKERS, ...), file,
 * default. The first error ends the load and names its place:
 *
 *	FILE:LINE: NAME: what is wrong, what is allowed
 *	-D NAME: ...
 *	environment PLENUM_NAME: ...
 */
#ifndef PLENUM_MASTER_CONF_H
#define PLENUM_MASTER_CONF_H

#include <stddef.h>

#include "master/confcheck.h"
#include "master/confsource.h"
#include "shm/settings.h"

#define CONF_ERROR_MAX		2048	/* a buffer of this size holds every error */

/*
 * Load the settings: defaults, file, environment, -D, conf_check(), derived values. Returns 0 with
 * *out filled but for its number, or -1 with one line in err and *out undefined. Reads files, so it
 * is for the master, at start and on reload. Warnings go to src->warn.
 */
int conf_load(const struct conf_source *src, struct settings *out, char *err, size_t errlen);

#endif
