#define _GNU_SOURCE
#include "master/rundir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int
print_path(char *out, size_t n, const char *dir, const char *leaf)
{
	if (dir == NULL || dir[0] != '/')
		return -1;
	return (size_t)snprintf(out, n, "%s/%s", dir, leaf) < n ? 0 : -1;
}

int
rundir_candidate(unsigned i, char *out, size_t n)
{
	char leaf[32];

	snprintf(leaf, sizeof leaf, "plenum-%u", (unsigned)geteuid());
	switch (i) {
	case 0:
		return print_path(out, n, "/run", "plenum");
	case 1:
		return print_path(out, n, getenv("XDG_RUNTIME_DIR"), "plenum");
	case 2:
		return print_path(out, n, getenv("TMPDIR"), leaf);
	case 3:
		return print_path(out, n, "/tmp", leaf);
	default:
		return -1;
	}
}

/* Whether this is a folder that we may write to; made if it is not there. errno says why not. */
static int
try_dir(const char *path, mode_t mode, bool must_own)
{
	struct stat st;

	if (mkdir(path, mode) != 0 && errno != EEXIST)
		return -1;
	if (lstat(path, &st) != 0)
		return -1;
	if (S_ISLNK(st.st_mode) && !must_own && stat(path, &st) != 0)
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	if (must_own && (st.st_uid != geteuid() || (st.st_mode & 022) != 0)) {
		errno = EPERM;
		return -1;
	}
	return access(path, W_OK | X_OK);
}

int
rundir_open(const char *wanted, bool is_default, char *out, size_t n, char *err, size_t errlen)
{
	unsigned i;
	int e;

	snprintf(out, n, "%s", wanted);
	if (try_dir(out, 0755, false) == 0)
		return 0;
	e = errno;
	if (is_default && geteuid() != 0)
		for (i = 1; i < RUNDIR_CANDIDATES; i++)
			if (rundir_candidate(i, out, n) == 0 && try_dir(out, 0700, true) == 0)
				return 0;
	snprintf(err, errlen, "cannot use run_dir %s: %s", wanted, strerror(e));
	return -1;
}
