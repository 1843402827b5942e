/*
 * The command line of plenumd. Parsing only: what the options mean is main.c's.
 */
#ifndef PLENUM_MASTER_OPTIONS_H
#define PLENUM_MASTER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define OPTIONS_DEFINES_MAX 128

/* What plenumd is asked to do. */
enum options_action {
	OPTIONS_RUN,
	OPTIONS_TEST,			/* -t */
	OPTIONS_VERSION,		/* -V */
	OPTIONS_HELP,			/* -h, --help */
	OPTIONS_HELP_CONFIG,		/* --help-config */
	OPTIONS_KEEPER,			/* --keeper=SLOT: what a keeper becomes by an upgrade */
	OPTIONS_HELP_MDOC,		/* --help-config=mdoc: entries of the manual page */
	OPTIONS_ACTION_COUNT
};
extern const char *const options_action_names[OPTIONS_ACTION_COUNT];

/* Strings are those of argv. */
struct options {
	enum options_action action;
	bool foreground;		/* -f */
	const char *file;		/* -c, or NULL */
	const char *defines[OPTIONS_DEFINES_MAX];	/* -D, in order */
	size_t define_count;
	/* between programs, see master/upgrade.c */
	const char *program;		/* argv[0] */
	int region;			/* --region=FD; -1 */
	int keeper;			/* --keeper=SLOT */
	bool is_successor;		/* --successor=FD: by an upgrade */
	int pid_fd;			/* that one, of the locked pid file; -1 */
};

/*
 * Parse argv. Returns 0, or -1 with one line, without a newline, in err. When several actions are
 * asked for, the last counts. Pure; does not use getopt's state.
 */
int options_parse(int argc, char *const *argv, struct options *out, char *err, size_t errlen);

/* Print what the options are. */
void options_usage(FILE *f);

#endif
