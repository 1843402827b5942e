#define _GNU_SOURCE
#include "ipc/process.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bsd/unistd.h>

#include "ipc/heritage.h"
#include "ipc/log.h"

static uint64_t
clock_read(clockid_t id, uint64_t per_second)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * per_second + (uint64_t)t.tv_nsec / (1000000000 / per_second);
}

uint64_t
clock_ms(void)
{
	return clock_read(CLOCK_MONOTONIC, 1000);
}

uint64_t
clock_us(void)
{
	return clock_read(CLOCK_MONOTONIC, 1000000);
}

uint64_t
clock_real_ms(void)
{
	return clock_read(CLOCK_REALTIME, 1000);
}

/* The bytes of argv, as the kernel shows them: fields 48 and 49 of proc(5)'s stat. */
static int
find_arguments(char **start, char **end)
{
	unsigned long a = 0, b = 0;
	char text[2048], *p;
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n;
	int field;

	if (f == NULL)
		return -1;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	p = strrchr(text, ')');			/* field 2 may hold anything */
	for (field = 2; p != NULL && field < 48; field++)
		p = strchr(p + 1, ' ');
	if (p == NULL || sscanf(p, "%lu %lu", &a, &b) != 2 || a == 0 || b <= a)
		return -1;
	*start = (char *)a;
	*end = (char *)b;
	return 0;
}

/*
 * A title that is shorter than argv is shown with what is left of argv, unless argv does not end in
 * NUL: then the kernel shows what is before the first one. The place is found once, by the master.
 */
static void
end_title(void)
{
	static char *start, *end;

	if (start == NULL && find_arguments(&start, &end) != 0)
		return;
	if (start + strlen(start) + 1 < end && end[-1] == '\0')
		end[-1] = '.';
}

void
process_title(const char *fmt, ...)
{
	char name[64], comm[16];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof name, fmt, ap);
	va_end(ap);
	setproctitle("-plenumd: %s", name);
	end_title();
	snprintf(comm, sizeof comm, "plenumd:%.7s", name);
	prctl(PR_SET_NAME, comm);
}

void
process_drop(const struct heritage *h)
{
	if (geteuid() != 0 || h->uid == 0)
		return;
	if (setgroups(0, NULL) != 0 || setgid(h->gid) != 0 || setuid(h->uid) != 0)
		fatal("cannot drop privileges: %s", strerror(errno));
	/* a changed uid makes a process undumpable, which would hide /proc/self/fd from it */
	prctl(PR_SET_DUMPABLE, 1);
}

static int
by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void
process_close_others(int *keep, size_t n)
{
	unsigned from = 3;
	size_t i;

	qsort(keep, n, sizeof *keep, by_number);
	for (i = 0; i < n; i++) {
		if (keep[i] < 3)
			continue;
		if ((unsigned)keep[i] > from)
			syscall(SYS_close_range, from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	syscall(SYS_close_range, from, ~0u, 0);
}

void
process_signals(void)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2,
		SIGPIPE };
	sigset_t none;
	size_t i;
	int s;

	for (s = 1; s < SIGRTMIN; s++)
		signal(s, SIG_DFL);
	for (i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void
process_die_with_parent(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
}
