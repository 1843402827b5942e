/*
 * Numbers of descriptors stand in the region and mean the same in every table, so this process must
 * have the same. What has come is first moved above all of them, and then to its own.
 */
#define _GNU_SOURCE
#include "master/parts.h"

#include <fcntl.h>
#include <unistd.h>

int
parts_add(struct parts *p, int number, int fd)
{
	if (p->n == TABLE_COMMON_MAX || number < 3) {
		close(fd);
		return -1;
	}
	p->number[p->n] = number;
	p->fd[p->n++] = fd;
	return 0;
}

void
parts_drop(struct parts *p)
{
	while (p->n > 0)
		close(p->fd[--p->n]);
}

/* Moves a descriptor above `top`. */
static int
lift(int *fd, int top)
{
	int higher;

	if (*fd < 0 || *fd > top)
		return 0;
	higher = fcntl(*fd, F_DUPFD_CLOEXEC, top + 1);
	if (higher < 0)
		return -1;
	close(*fd);
	*fd = higher;
	return 0;
}

int
parts_place(struct parts *p, int *const *others, size_t n)
{
	int top = 0;
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->number[i] > top)
			top = p->number[i];
	for (i = 0; i < n; i++)
		if (lift(others[i], top) != 0)
			return -1;
	for (i = 0; i < p->n; i++)
		if (lift(&p->fd[i], top) != 0)
			return -1;
	for (i = 0; i < p->n; i++) {
		if (dup3(p->fd[i], p->number[i], O_CLOEXEC) < 0)
			return -1;
		close(p->fd[i]);
		p->fd[i] = p->number[i];
	}
	return 0;
}
