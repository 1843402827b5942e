/*
 * flock() belongs to the open file, so it survives the forks of a daemon. A file that was removed
 * between open() and flock() would be a lock on nothing: it is opened again until the name and the
 * descriptor are one file.
 */
#define _GNU_SOURCE
#include "master/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void
print_path(char *out, size_t n, const char *dir)
{
	snprintf(out, n, "%s/plenumd.pid", dir);
}

static bool
is_same(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
	    a.st_dev == b.st_dev;
}

/* Who holds it: its number, if it is written already. */
static void
say_taken(int fd, const char *path, char *err, size_t n)
{
	char text[32] = "";
	ssize_t len = pread(fd, text, sizeof text - 1, 0);
	long pid = len > 0 ? strtol(text, NULL, 10) : 0;

	if (pid > 0)
		snprintf(err, n, "plenumd runs already as pid %ld (%s)", pid, path);
	else
		snprintf(err, n, "plenumd runs already (%s is locked)", path);
}

int
pidfile_take(const char *dir, char *err, size_t n)
{
	char path[512];
	int fd, tries;

	print_path(path, sizeof path, dir);
	for (tries = 0; tries < 100; tries++) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd < 0)
			break;
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			if (errno == EWOULDBLOCK)
				say_taken(fd, path, err, n);
			else
				snprintf(err, n, "cannot lock %s: %s", path, strerror(errno));
			close(fd);
			return -1;
		}
		if (is_same(fd, path) && ftruncate(fd, 0) == 0)
			return fd;
		close(fd);
	}
	snprintf(err, n, "cannot open %s: %s", path, strerror(errno));
	return -1;
}

int
pidfile_store(int fd)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%d\n", (int)getpid());

	if (ftruncate(fd, 0) != 0)
		return -1;
	return pwrite(fd, text, (size_t)len, 0) == len ? 0 : -1;
}

void
pidfile_drop(const char *dir, int fd)
{
	char path[512];

	print_path(path, sizeof path, dir);
	if (is_same(fd, path))
		unlink(path);
	close(fd);
}
