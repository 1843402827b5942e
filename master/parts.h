/*
 * Parts: descriptors that came from elsewhere, each with the number under which the region knows
 * it. Private memory of the master, at the start.
 */
#ifndef PLENUM_MASTER_PARTS_H
#define PLENUM_MASTER_PARTS_H

#include <stddef.h>

#include "ipc/table.h"

struct parts {
	int number[TABLE_COMMON_MAX];	/* as the region knows it */
	int fd[TABLE_COMMON_MAX];	/* where it is here */
	size_t n;
};

/* Takes the descriptor; 0. It is closed if there is no room or the number cannot be: -1. */
int parts_add(struct parts *p, int number, int fd);

/* Closes all. */
void parts_drop(struct parts *p);

/*
 * Puts each part under its number. Whatever else is open there is closed, but what `others` points
 * to (-1: nothing), which is moved away; it is one of the program's own that would be in the way.
 * 0, or -1 with errno: then some are where they were.
 */
int parts_place(struct parts *p, int *const *others, size_t n);

#endif
