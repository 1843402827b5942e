/* What the kernel knows of the processes: their memory, their descriptors, their sockets. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t/tools/chaos_server.h"

enum { INODES_MAX = 1 << 16 };

bool
process_is_well(pid_t pid)
{
	char path[64], text[512], *p;
	size_t n;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (f == NULL)
		return false;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	p = strrchr(text, ')');
	return p != NULL && p[1] == ' ' && strchr("RSD", p[2]) != NULL;
}

static uint64_t
anonymous_kib(pid_t pid)
{
	char path[64], line[256];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof line, f) != NULL && sscanf(line, "Pss_Anon: %lu", &kib) != 1)
		;
	fclose(f);
	return kib;
}

/* Calls fn with each name of a process's table, until it says stop; returns how many there are. */
static uint64_t
each_descriptor(pid_t pid, bool (*fn)(const char *path, const char *what, void *arg), void *arg)
{
	char path[64 + 256], dir[64], what[128];
	struct dirent *e;
	uint64_t n = 0;
	ssize_t len;
	DIR *d;

	snprintf(dir, sizeof dir, "/proc/%d/fd", (int)pid);
	d = opendir(dir);
	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (fn == NULL)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		len = readlink(path, what, sizeof what - 1);
		what[len < 0 ? 0 : len] = '\0';
		if (!fn(path, what, arg))
			break;
	}
	closedir(d);
	return n;
}

/* The region is a file in memory: its blocks are the pages in use. */
static bool
find_region(const char *path, const char *what, void *arg)
{
	struct stat st;

	if (strncmp(what, "/memfd:", 7) != 0 || stat(path, &st) != 0)
		return true;
	*(uint64_t *)arg = (uint64_t)st.st_blocks / 2;
	return false;
}

bool
server_memory(const struct server_state *st, struct server_memory *m)
{
	unsigned i;

	memset(m, 0, sizeof *m);
	each_descriptor(st->master, find_region, &m->region_kib);
	m->private_kib = anonymous_kib(st->master) + anonymous_kib(st->logger);
	for (i = 0; i < st->nslots; i++)
		m->private_kib += anonymous_kib(st->slot[i].keeper) +
		    anonymous_kib(st->slot[i].worker);
	return m->region_kib > 0 && m->private_kib > 0;
}

void
server_tables(const struct server_state *st, struct server_tables *t)
{
	unsigned i;

	t->slots = 0;
	for (i = 0; i < st->nslots; i++)
		t->slots += each_descriptor(st->slot[i].keeper, NULL, NULL);
	t->master = each_descriptor(st->master, NULL, NULL);
	t->logger = each_descriptor(st->logger, NULL, NULL);
}

/* --- sockets --- */

struct inodes {
	uint64_t *inode;
	size_t n;
};

static bool
note_socket(const char *path, const char *what, void *arg)
{
	struct inodes *list = arg;
	uint64_t inode;

	(void)path;
	if (sscanf(what, "socket:[%" SCNu64 "]", &inode) == 1 && list->n < INODES_MAX)
		list->inode[list->n++] = inode;
	return true;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

size_t
server_ports(const struct server *s, pid_t pid, uint16_t *port, size_t max)
{
	struct inodes list = { calloc(INODES_MAX, sizeof(uint64_t)), 0 };
	FILE *f = fopen("/proc/net/tcp", "re");
	unsigned local, peer;
	char line[512];
	uint64_t inode;
	size_t n = 0;

	if (list.inode != NULL)
		each_descriptor(pid, note_socket, &list);
	if (list.n > 0)
		qsort(list.inode, list.n, sizeof list.inode[0], by_number);
	while (f != NULL && n < max && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, " %*d: %*x:%x %*x:%x %*x %*x:%*x %*x:%*x %*x %*u %*u %" SCNu64,
		    &local, &peer, &inode) == 3 && local == s->port &&
		    bsearch(&inode, list.inode, list.n, sizeof list.inode[0], by_number) != NULL)
			port[n++] = (uint16_t)peer;
	if (f != NULL)
		fclose(f);
	free(list.inode);
	return n;
}
