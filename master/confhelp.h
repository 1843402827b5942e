/*
 * The table of settings, for people: --help-config, the manual page, and the dump of -t.
 */
#ifndef PLENUM_MASTER_CONFHELP_H
#define PLENUM_MASTER_CONFHELP_H

#include <stdbool.h>
#include <stdio.h>

struct settings;

/* Print every setting: name, default, range, live or restart, environment, help. */
void confhelp_print(FILE *f);

/* Print the same as a list of mdoc(7) entries for plenum.conf(5), sections included. */
void confhelp_mdoc(FILE *f);

/*
 * Print settings as a file that means them: those that are not at their default, or all. For -t and
 * for plenumctl show conf.
 */
void confhelp_dump(FILE *f, const struct settings *s, bool all);

#endif
