/* The process, its configuration and its control socket; what /proc says is in chaos_proc.c. */
#define _GNU_SOURCE
#include "t/tools/chaos_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "t/tools/scan.h"

enum { START_MS = 20000, STOP_MS = 10000, ANSWER_MAX = 128 * 1024, TRY_MS = 20 };

uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void
sleep_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* --- asking --- */

static int
open_control(const struct server *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = 5 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s/run/control.sock", s->dir);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The answer to a request, as a text; an empty slice if there is none. */
static struct slice
ask(const struct server *s, const char *request)
{
	static char text[ANSWER_MAX];
	size_t n = 0;
	ssize_t got = -1;
	int fd = open_control(s);

	if (fd < 0)
		return (struct slice){ NULL, 0 };
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request))
		while (n < sizeof text && (got = read(fd, text + n, sizeof text - n)) > 0)
			n += (size_t)got;
	close(fd);
	return got == 0 && n > 0 ? (struct slice){ text, n } : (struct slice){ NULL, 0 };
}

static uint64_t
number(const struct scan_member *m, int n, const char *key)
{
	uint64_t v = scan_number(scan_get(m, n, key));

	return v == UINT64_MAX ? 0 : v;
}

static bool
is_true(const struct scan_member *m, int n, const char *key)
{
	struct slice v = scan_get(m, n, key);

	return v.len == 4 && memcmp(v.p, "true", 4) == 0;
}

static void
read_deaths(struct server_slot *slot, struct slice deaths)
{
	struct scan_member m[SCAN_MEMBERS_MAX];
	int n = deaths.p == NULL ? -1 : scan_object(deaths, m);

	if (n < 0)
		return;
	slot->killed = number(m, n, "killed");
	slot->fault = number(m, n, "fault");
	slot->exit = number(m, n, "exit");
	slot->stuck = number(m, n, "stuck");
	slot->renewed = number(m, n, "renewed");
}

static bool
read_slot(struct server_state *st, struct slice row)
{
	struct scan_member m[SCAN_MEMBERS_MAX];
	int n = scan_object(row, m);
	struct server_slot *slot;
	uint64_t i;

	if (n < 0 || (i = number(m, n, "slot")) >= SERVER_SLOTS_MAX)
		return false;
	slot = &st->slot[i];
	slot->keeper = (pid_t)number(m, n, "keeper");
	slot->worker = (pid_t)number(m, n, "worker");
	slot->alive = is_true(m, n, "alive");
	slot->generation = number(m, n, "generation");
	slot->pause_us = number(m, n, "pause_us");
	slot->connections = number(m, n, "connections");
	slot->backoff_ms = number(m, n, "backoff_ms");
	slot->runs = scan_is_string(scan_get(m, n, "order"), "run") &&
	    number(m, n, "snapshot") == st->snapshot;
	read_deaths(slot, scan_get(m, n, "deaths"));
	if (i >= st->nslots)
		st->nslots = (unsigned)i + 1;
	return true;
}

bool
server_look(const struct server *s, struct server_state *st)
{
	struct scan_member m[SCAN_MEMBERS_MAX];
	struct slice answer = ask(s, "status\n"), rows, row;
	int n = answer.p == NULL ? -1 : scan_object(answer, m);
	size_t at = 0;

	memset(st, 0, sizeof *st);
	if (n < 0)
		return false;
	st->serving = scan_is_string(scan_get(m, n, "state"), "serving");
	st->master = (pid_t)number(m, n, "pid");
	st->snapshot = number(m, n, "snapshot");
	st->uptime_ms = number(m, n, "uptime_ms");
	st->connections = number(m, n, "connections");
	answer = ask(s, "show workers\n");
	n = answer.p == NULL ? -1 : scan_object(answer, m);
	if (n < 0)
		return false;
	st->logger = (pid_t)number(m, n, "logger");
	rows = scan_get(m, n, "workers");
	if (rows.p == NULL)
		return false;
	while (scan_element(rows, &at, &row) == 1)
		if (!read_slot(st, row))
			return false;
	return st->nslots > 0;
}

pid_t
server_pid(const struct server *s)
{
	char path[128];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof path, "%s/run/plenumd.pid", s->dir);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return (pid_t)pid;
}

unsigned
server_log_count(const struct server *s, const char *text)
{
	char path[128], line[2048];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof path, "%s/log", s->dir);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof line, f) != NULL)
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

/* --- beginning and end --- */

static uint16_t
free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		return 0;
	close(fd);
	return ntohs(a.sin_port);
}

bool
server_write_conf(struct server *s, unsigned workers)
{
	char path[128];
	unsigned i;
	FILE *f;

	snprintf(path, sizeof path, "%s/conf", s->dir);
	f = fopen(path, "w");
	if (f == NULL)
		return false;
	fprintf(f, "listen = 127.0.0.1:%u\nrun_dir = %s/run\nworkers = %u\n", s->port, s->dir,
	    workers);
	for (i = 0; i < s->nsettings; i++) {
		const char *eq = strchr(s->setting[i], '=');

		if (eq != NULL)
			fprintf(f, "%.*s = %s\n", (int)(eq - s->setting[i]), s->setting[i], eq + 1);
	}
	s->workers = workers;
	return fclose(f) == 0;
}

static _Noreturn void
exec_server(const struct server *s)
{
	char path[128];
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	snprintf(path, sizeof path, "%s/log", s->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		_exit(126);
	close(fd);
	snprintf(path, sizeof path, "%s/conf", s->dir);
	execl(s->program, s->program, "-f", "-c", path, (char *)NULL);
	_exit(127);
}

bool
server_start(struct server *s)
{
	struct server_state st;
	uint64_t end = now_ms() + START_MS;

	s->child = fork();
	if (s->child == 0)
		exec_server(s);
	while (s->child > 0 && now_ms() < end) {
		if (server_look(s, &st) && st.serving)
			return true;
		server_reap(s);
		sleep_ms(TRY_MS);
	}
	return false;
}

bool
server_new(struct server *s, const char *program, unsigned workers)
{
	char path[96];

	s->program = program;
	snprintf(s->dir, sizeof s->dir, "%.40s/plenum-chaos.XXXXXX",
	    getenv("TMPDIR") != NULL && strlen(getenv("TMPDIR")) <= 40 ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(s->dir) == NULL)
		return false;
	snprintf(path, sizeof path, "%s/run", s->dir);
	if (mkdir(path, 0700) != 0)
		return false;
	s->port = free_port();
	return s->port != 0 && server_write_conf(s, workers) && server_start(s);
}

static void
add_used(struct rusage *sum, const struct rusage *u)
{
	timeradd(&sum->ru_utime, &u->ru_utime, &sum->ru_utime);
	timeradd(&sum->ru_stime, &u->ru_stime, &sum->ru_stime);
}

void
server_reap(struct server *s)
{
	struct rusage u;

	if (s->child > 0 && wait4(s->child, NULL, WNOHANG, &u) == s->child) {
		add_used(&s->used, &u);
		s->child = 0;
	}
}

static void
remove_dir(const char *dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* After an upgrade the serving master need not be our child. */
static bool
end_process(struct server *s)
{
	pid_t pid = server_pid(s);
	uint64_t end = now_ms() + STOP_MS;
	struct rusage u;
	int status = 0;

	if (pid > 0)
		kill(pid, SIGTERM);
	if (s->child > 0 && s->child != pid)
		kill(s->child, SIGTERM);
	for (; now_ms() < end; sleep_ms(TRY_MS)) {
		if (s->child > 0 && wait4(s->child, &status, WNOHANG, &u) == s->child) {
			add_used(&s->used, &u);
			s->child = 0;
		}
		if (s->child <= 0 && (pid <= 0 || kill(pid, 0) != 0))
			return status == 0;
	}
	return false;
}

bool
server_stop(struct server *s, bool remove)
{
	bool good = end_process(s);

	if (!good && s->child > 0)
		kill(s->child, SIGKILL);
	if (remove)
		remove_dir(s->dir);
	return good;
}
