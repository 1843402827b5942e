/*
 * Forced in front of master/conf.c (t/Makefile.inc), so that the files it reads are parts of an
 * input, and no path leads anywhere else: what it calls is in t/fuzz/fuzz_conf.c.
 */
#ifndef PLENUM_T_FUZZ_CONF_CALLS_H
#define PLENUM_T_FUZZ_CONF_CALLS_H

#define _GNU_SOURCE
#include <glob.h>
#include <stdio.h>

#define fopen conf_fopen
#define glob conf_glob

FILE *conf_fopen(const char *path, const char *mode);
int conf_glob(const char *pattern, int flags, int (*on_error)(const char *, int), glob_t *g);

#endif
