/*
 * Every descriptor is stored under a name of its own, which says its number: plenum-17, and
 * plenum-region-3 for the region. A manager hands them over in any order, at any numbers. The set
 * is whole or worth nothing: the numbers in the region are compared with those that came.
 *
 * What fits is taken over with nobody in it. Somebody may still be there whose door is not found
 * (another run_dir, or one that was removed): his clients are told nothing, but two who run as the
 * same slot would be the end of everything. So whoever has the region mapped is ended first; the
 * slots name their processes, and the kernel's list of what a process has mapped says whether a
 * number is still that process's. ORDER_STOP keeps keeper and worker from replacing each other.
 *
 * Then the words that speak of processes are those of a new region, every slot's end is settled as
 * by an heir (leftover.c), and no channel has a subscriber. Channels, events, keys and epochs are
 * as they were, and all counters.
 *
 * What does not fit is given up as a whole. Its listening sockets are shut down, which takes them
 * from the kernel's tables though the manager still has them; else it would go on to receive
 * connections there, and nobody could listen. The manager is told to forget it when the new region
 * is there and everything else of the start has succeeded: one that fails for another reason, such
 * as an address that is taken, leaves the old one to the next.
 */
#define _GNU_SOURCE
#include "master/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ipc/inbox.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "master/chanscan.h"
#include "master/leftover.h"
#include "master/master_priv.h"
#include "master/notify.h"
#include "master/parts.h"
#include "shm/channel.h"
#include "shm/slot_layout.h"

enum { FIRST_FD = 3, NAME_MAX_HERE = 48, END_MS = 5000, LOOK_MS = 20 };

#define NAME_PREFIX "plenum-"
#define REGION_PREFIX NAME_PREFIX "region-"

/* What the manager keeps. */
struct kept {
	int number;
	bool is_region;
	bool right;			/* it is what stands under this number here */
};

static struct parts parts;
static struct kept kept[TABLE_COMMON_MAX];	/* beside parts, also when those are gone */
static size_t nkept;
static int region_at = -1;		/* index of the region in both */
static ino_t region_ino;
static const char *misfit;		/* why it is not taken over; NULL: nothing is wrong */
static bool taken;

/* ---- what came ---- */

static void
print_name(char *out, int number, bool is_region)
{
	snprintf(out, NAME_MAX_HERE, "%s%d", is_region ? REGION_PREFIX : NAME_PREFIX, number);
}

/* The number of a name of ours, -1: rubbish behind our prefix. */
static int
parse_name(const char *name, bool *is_region)
{
	char again[NAME_MAX_HERE];
	long number;

	*is_region = strncmp(name, REGION_PREFIX, strlen(REGION_PREFIX)) == 0;
	number = strtol(name + strlen(*is_region ? REGION_PREFIX : NAME_PREFIX), NULL, 10);
	if (number < FIRST_FD || number > 1 << 20)
		return -1;
	print_name(again, (int)number, *is_region);
	return strcmp(again, name) == 0 ? (int)number : -1;
}

static bool
is_kept(int number)
{
	size_t i;

	for (i = 0; i < nkept; i++)
		if (kept[i].number == number)
			return true;
	return false;
}

static void
receive(const char *name, int fd)
{
	struct stat st;
	bool is_region;
	int number;

	if (strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) != 0) {
		close(fd);			/* of a socket unit, or somebody's joke */
		return;
	}
	number = parse_name(name, &is_region);
	if (number < 0 || is_kept(number) || nkept == TABLE_COMMON_MAX) {
		misfit = "its descriptors are not a set";
		if (number < 0 || !is_kept(number))
			notify_unstore(name);
		close(fd);
		return;
	}
	if (is_region) {
		region_at = (int)nkept;
		region_ino = fstat(fd, &st) == 0 ? st.st_ino : 0;
	}
	parts_add(&parts, number, fd);
	kept[nkept++] = (struct kept) { number, is_region, false };
}

/* As sd_listen_fds(3) does. How many there are. */
static int
count_received(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	long n;

	if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	n = strtol(fds, NULL, 10);
	return n < 0 || n > 1 << 20 ? 0 : (int)n;
}

void
store_receive(void)
{
	const char *list = getenv("LISTEN_FDNAMES");
	char *names = strdup(list != NULL ? list : ""), *next = names, *name;
	int n = count_received(), i;

	for (i = 0; i < n; i++) {
		name = next != NULL ? strsep(&next, ":") : NULL;
		fcntl(FIRST_FD + i, F_SETFD, FD_CLOEXEC);
		receive(name != NULL ? name : "", FIRST_FD + i);
	}
	free(names);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

void
store_let_go(void)
{
	parts_drop(&parts);
}

/* ---- whether it fits ---- */

static bool
is_among(const int *list, size_t n, int number)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (list[i] == number)
			return true;
	return false;
}

/* The numbers that stand in the region are those that came. */
static bool
is_whole(const struct region *r)
{
	static int number[TABLE_COMMON_MAX];
	size_t n = table_common(r, number), i;

	number[0] = parts.number[region_at];	/* what this one was attached by is not its own */
	for (i = 0; i < n; i++)
		if (!is_among(parts.number, parts.n, number[i]) ||
		    is_among(number, i, number[i]))
			return false;
	return n == parts.n;
}

static int
where(int number)
{
	size_t i;

	for (i = 0; i < parts.n; i++)
		if (parts.number[i] == number)
			return parts.fd[i];
	return -1;
}

static bool
is_socket(int fd, int type)
{
	socklen_t n = sizeof(int);
	int is = -1;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &n) == 0 && is == type;
}

/* A name that leads to another kind of thing. Eventfds have no kind that can be asked for. */
static bool
are_kinds_right(const struct region *r)
{
	unsigned slot, i;
	struct stat st;

	for (i = 0; i < WRITERS_MAX; i++) {
		if (!region_has_writer(r, i))
			continue;
		if (fstat(where(region_slot(r, i)->event_fd), &st) != 0 ||
		    (st.st_mode & S_IFMT) != 0)
			return false;
	}
	for (slot = 0; slot < r->caps.workers; slot++) {
		if (!is_socket(where(region_slot(r, slot)->inbox), SOCK_SEQPACKET) ||
		    !is_socket(where(region_slot(r, slot)->outbox), SOCK_SEQPACKET))
			return false;
		for (i = 0; i < r->head->nlisteners && i < LISTENERS_MAX; i++)
			if (!is_socket(where(region_slot(r, slot)->listener[i]), SOCK_STREAM))
				return false;
	}
	return true;
}

static const char *
find_misfit(const struct master *m, const struct region *r)
{
	if (region_layout_id(&m->capacity.caps) != region_layout_id(&r->caps))
		return "the settings ask for other capacities";
	if (r->head->nlisteners > LISTENERS_MAX || !is_whole(r))
		return "its descriptors are not complete";
	return are_kinds_right(r) ? NULL : "its descriptors are not what they were";
}

/* ---- nobody in it ---- */

/* Whether the process has the region mapped. */
static bool
is_in(pid_t pid)
{
	char path[64], line[512];
	uint64_t ino;
	bool found = false;
	FILE *f;

	if (pid <= 0 || pid == getpid())
		return false;
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
		found = strstr(line, " /memfd:plenum") != NULL &&
		    sscanf(line, "%*s %*s %*s %*s %" SCNu64, &ino) == 1 && ino == region_ino;
	if (f != NULL)
		fclose(f);
	return found;
}

/* True: he was there. */
static bool
end_one(pid_t pid)
{
	int fd = is_in(pid) ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	bool was_there = fd >= 0 && is_in(pid);

	if (was_there)
		syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	if (fd >= 0)
		close(fd);
	return was_there;
}

static bool
end_each(const struct region *r)
{
	bool any = false;
	unsigned i;

	for (i = 0; i < WRITERS_MAX; i++) {
		struct slot *s = region_slot(r, i);

		if (i == HELPER_MASTER || !region_has_writer(r, i))
			continue;
		word32_set(&s->order, ORDER_STOP);
		any = end_one((pid_t)word32_get(&s->keeper)) || any;
		any = end_one((pid_t)word32_get(&s->pid)) || any;
	}
	return any;
}

/* False: somebody does not end. */
static bool
end_everybody(const struct region *r)
{
	static const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000 };
	uint64_t until = clock_ms() + END_MS;

	while (end_each(r)) {
		if (clock_ms() > until)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* ---- the words of a new region ---- */

static void
renew_slot(struct slot *s)
{
	word32_set(&s->sleeping, 0);
	word32_set(&s->hints, 0);
	word_set(&s->beat, 0);
	word32_set(&s->order, ORDER_RUN);
	word_set(&s->snapshot, 0);
	word32_set(&s->pid, 0);
	word32_set(&s->keeper, 0);
	word_set(&s->died_us, 0);
	word32_set(&s->signal, 0);
	word32_set(&s->stuck, 0);
	word32_set(&s->suspect_count, 0);
	word32_set(&s->left, 0);
	word_set(&s->orphaned, 0);
	word_set(&s->image, 0);
	word32_set(&s->upgrade, 0);
	word32_set(&s->upgrade_next, 0);
	word32_set(&s->upgrade_failed, 0);
	word32_set(&s->upgrade_trial, 0);
	word_set(&s->trial_until, 0);
	word_set(&s->backoff_until, 0);
	s->client_epoll = s->line = s->door = s->worker_pidfd = s->keeper_pidfd = -1;
	s->image_fd = s->old_fd = -1;
}

/* Connections lie in it that were on their way. */
static void
empty_inbox(const struct region *r, unsigned slot)
{
	struct inbox_message msg;
	int fd;

	while (inbox_receive(r, slot, &msg, &fd) > 0)
		if (fd >= 0)
			close(fd);
}

static void
renew_slots(struct master *m)
{
	struct region *r = &m->h.region;
	struct writer w;
	unsigned i;

	for (i = 0; i < WRITERS_MAX; i++)
		renew_slot(region_slot(r, i));
	writer_open(&w, r, HELPER_MASTER);
	for (i = 0; i < r->caps.workers; i++)
		leftover_arrival(r, i);
	for (i = 0; i < r->caps.workers; i++) {
		leftover_settle(&w, i);
		empty_inbox(r, i);
	}
}

static void
renew(struct master *m)
{
	struct region *r = &m->h.region;
	struct region_head *head = r->head;
	uint32_t i;

	head->owner = geteuid();
	head->started = clock_real_ms();
	head->keeper_why[0] = '\0';
	word32_set(&head->draining, 0);
	word32_set(&head->stopping, 0);
	word32_set(&head->upgrade, 0);
	word_set(&head->open_slots, (1ull << r->caps.workers) - 1);
	renew_slots(m);
	for (i = chanscan_next(r, 0); i < r->caps.channels; i = chanscan_next(r, i + 1))
		channel_disown(r, i, ~(uint64_t)0);
	region_settings_put(r, &m->settings);
}

/* ---- taken over, or not ---- */

/* Everything of a region that is not taken over: nothing listens any more. */
static void
discard(void)
{
	size_t i;

	for (i = 0; i < parts.n; i++)
		if (is_socket(parts.fd[i], SOCK_STREAM))
			shutdown(parts.fd[i], SHUT_RDWR);
	parts_drop(&parts);
}

static bool
fits(const struct master *m)
{
	struct region r;

	if (misfit != NULL)
		return false;
	if (region_at < 0)
		misfit = "its memory is missing";
	else if (region_attach(&r, parts.fd[region_at]) != 0)
		misfit = "its memory has a layout that this program does not know";
	else {
		misfit = find_misfit(m, &r);
		if (misfit == NULL && !end_everybody(&r))
			misfit = "somebody uses it who cannot be ended";
		region_detach(&r);
	}
	return misfit == NULL;
}

bool
store_take(struct master *m)
{
	int *others[] = { &m->pid_fd };
	size_t i;

	if (nkept == 0 && misfit == NULL)
		return false;
	if (!fits(m)) {
		discard();
		return false;
	}
	if (parts_place(&parts, others, 1) != 0 ||
	    region_attach(&m->h.region, parts.number[region_at]) != 0) {
		misfit = "its descriptors cannot be put in their places";
		discard();
		return false;
	}
	for (i = 0; i < nkept; i++)
		kept[i].right = true;
	parts.n = 0;			/* the region's from now on */
	renew(m);
	taken = true;
	return true;
}

/* ---- what the manager keeps ---- */

void
store_replaced(int number)
{
	size_t i;

	for (i = 0; i < nkept; i++)
		if (kept[i].number == number)
			kept[i].right = false;
}

/* Of living slots: if it is the same region, so is the rest. */
static void
compare_adopted(const struct region *r)
{
	struct stat st;
	size_t i;

	if (region_at < 0 || fstat(r->fd, &st) != 0 || st.st_ino != region_ino)
		return;
	for (i = 0; i < nkept; i++)
		kept[i].right = true;
}

static void
remove_wrong(void)
{
	char name[NAME_MAX_HERE];
	size_t i, n = 0;

	for (i = 0; i < nkept; i++)
		if (kept[i].right) {
			kept[n++] = kept[i];
		} else {
			print_name(name, kept[i].number, kept[i].is_region);
			notify_unstore(name);
		}
	nkept = n;
}

/* One that cannot be told stays away from all: half of a set is worth nothing. */
static void
add_missing(const struct region *r)
{
	static int fd[TABLE_COMMON_MAX];
	char name[NAME_MAX_HERE];
	size_t n = table_common(r, fd), i;

	for (i = 0; i < n; i++) {
		if (is_kept(fd[i]))
			continue;
		print_name(name, fd[i], i == 0);
		if (!notify_store(name, fd[i]))
			return;
		if (nkept < TABLE_COMMON_MAX)
			kept[nkept++] = (struct kept) { fd[i], i == 0, true };
	}
}

void
store_tell(struct master *m)
{
	struct region *r = &m->h.region;

	if (m->adopted)
		compare_adopted(r);
	else if (misfit != NULL)
		log_warning("the region of the run before is given up, a new epoch begins: %s",
		    misfit);
	else if (taken)
		log_notice("the region of the run before goes on channels=%u", chanscan_count(r));
	misfit = NULL;
	taken = false;
	remove_wrong();
	add_missing(r);
}

void
store_forget(const struct region *r)
{
	static int fd[TABLE_COMMON_MAX];
	char name[NAME_MAX_HERE];
	size_t n = table_common(r, fd), i;

	for (i = 0; i < n; i++) {
		print_name(name, fd[i], i == 0);
		if (!notify_unstore(name))
			return;
	}
}
