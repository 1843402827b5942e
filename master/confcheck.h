/*
 * What the settings say together: checks over several of them, and the difference between two sets.
 * Pure functions over struct settings.
 */
#ifndef PLENUM_MASTER_CONFCHECK_H
#define PLENUM_MASTER_CONFCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/settings.h"

/* What a check found wrong. */
struct conf_fault {
	const struct setting *st;	/* the setting at fault */
	const struct setting *other;	/* one that it disagrees with, or NULL */
	uint32_t index;			/* of the section, unless it is the main one */
	char text[512];			/* what is wrong, what is allowed */
};

/* Returns 0, or -1 with the first fault in *fault. */
int conf_check(const struct settings *s, struct conf_fault *fault);

/*
 * List the settings that differ and are live, or that differ and need a restart: "workers arena
 * [listen in]", cut to n bytes. Returns how many. A reload is refused as a whole, and nothing is
 * taken over, unless conf_diff(old, new, false, ...) is 0. worker_count is not compared: with
 * workers = auto whoever reloads goes on with the count it started with. history is live up to the
 * power of two that holds settings_history_max(old), and needs a restart beyond it.
 */
size_t conf_diff(const struct settings *old, const struct settings *new, bool live, char *names,
    size_t n);

/* The same of [channel] sections alone. */
size_t conf_diff_rules(const struct settings *old, const struct settings *new, char *names,
    size_t n);

#endif
