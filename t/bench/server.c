#define _GNU_SOURCE
#include "t/bench/server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/bench/clock.h"

enum { START_MS = 30000, OPTIONS_MAX = 64, PER_ADDRESS = 20000 };

/* ---- sockets ---- */

static int
listen_anywhere(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 4096) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		err(1, "listen");
	*port = ntohs(a.sin_port);
	return fd;
}

static int
try_connect(const struct server *s, unsigned nth)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (nth >= PER_ADDRESS) {
		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + nth / PER_ADDRESS);
		/* the port is chosen when it is known where to */
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0)
			err(1, "bind");
	}
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons(s->port);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

int
server_connect(const struct server *s, unsigned nth)
{
	int fd = try_connect(s, nth);

	if (fd < 0)
		err(1, "connect to %s", s->name);
	return fd;
}

/* ---- processes ---- */

static pid_t
parent_of(pid_t pid)
{
	char path[64], line[512], *p;
	FILE *f;
	int parent = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fgets(line, sizeof line, f) != NULL && (p = strrchr(line, ')')) != NULL)
		sscanf(p + 1, " %*c %d", &parent);
	fclose(f);
	return parent;
}

static bool
is_known(const struct server *s, pid_t pid)
{
	unsigned i;

	for (i = 0; i < s->n; i++)
		if (s->process[i] == pid)
			return true;
	return false;
}

/* Adds the children of those that are known. True if there were new ones. */
static bool
look_once(struct server *s)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	bool found = false;

	if (d == NULL)
		err(1, "/proc");
	while ((e = readdir(d)) != NULL) {
		pid_t pid = (pid_t)atoi(e->d_name);

		if (pid <= 0 || is_known(s, pid) || !is_known(s, parent_of(pid)))
			continue;
		if (s->n == PROCESSES_MAX)
			errx(1, "%s: too many processes", s->name);
		s->process[s->n++] = pid;
		found = true;
	}
	closedir(d);
	return found;
}

void
server_look(struct server *s)
{
	s->n = 1;
	s->process[0] = s->pid;
	while (look_once(s))
		;
}

static void
wait_ready(struct server *s)
{
	unsigned ms;
	int fd, status;

	for (ms = 0; ms < START_MS; ms += 10) {
		if (waitpid(s->pid, &status, WNOHANG) == s->pid)
			errx(1, "%s ended at its start: see %s/log", s->name, s->dir);
		fd = try_connect(s, 0);
		if (fd >= 0) {
			close(fd);
			return;
		}
		usleep(10000);
	}
	errx(1, "%s does not serve", s->name);
}

static void
exec_plenum(const struct server *s, unsigned workers, const char *const *options)
{
	const char *program = getenv("PLENUMD"), *argv[OPTIONS_MAX];
	char listen[64], run[96], count[32], log[96];
	unsigned n = 0;

	snprintf(listen, sizeof listen, "listen=127.0.0.1:%u", s->port);
	snprintf(run, sizeof run, "run_dir=%s", s->dir);
	snprintf(count, sizeof count, "workers=%u", workers);
	snprintf(log, sizeof log, "%s/log", s->dir);
	if (freopen(log, "w", stderr) == NULL)
		err(1, "%s", log);
	program = program == NULL ? "./plenumd" : program;
	argv[n++] = program;
	argv[n++] = "-f";
	argv[n++] = "-D";
	argv[n++] = listen;
	argv[n++] = "-D";
	argv[n++] = run;
	argv[n++] = "-D";
	argv[n++] = count;
	while (*options != NULL && n < OPTIONS_MAX - 1)
		argv[n++] = *options++;
	argv[n] = NULL;
	execv(program, (char *const *)argv);
	err(1, "%s", program);
}

static pid_t
start_child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	return pid;
}

/* A free port, which the server takes next. */
static void
prepare(struct server *s, const char *name)
{
	s->name = name;
	s->answers = false;
	snprintf(s->dir, sizeof s->dir, "/tmp/plenum-bench.XXXXXX");
	if (mkdtemp(s->dir) == NULL)
		err(1, "%s", s->dir);
	close(listen_anywhere(&s->port));
}

void
server_start_plenum(struct server *s, unsigned workers, const char *const *options)
{
	prepare(s, "plenumd");
	s->answers = true;
	s->pid = start_child();
	if (s->pid == 0)
		exec_plenum(s, workers, options);
	wait_ready(s);
	while (server_metric(s, "plenum_connections") == 0)
		usleep(1000);
	server_look(s);
}

void
server_start_program(struct server *s, const char *name, void (*fn)(const struct server *))
{
	prepare(s, name);
	s->pid = start_child();
	if (s->pid == 0) {
		fn(s);
		_exit(1);
	}
	wait_ready(s);
	server_look(s);
}

void
server_start_bare(struct server *s, const char *name, void (*fn)(int))
{
	int fd = listen_anywhere(&s->port);

	s->name = name;
	s->answers = false;
	s->dir[0] = '\0';
	s->pid = start_child();
	if (s->pid == 0) {
		fn(fd);
		_exit(1);
	}
	close(fd);
	server_look(s);
}

static void
remove_dir(const char *dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

void
server_stop(struct server *s)
{
	kill(s->pid, SIGTERM);
	waitpid(s->pid, NULL, 0);
	if (s->dir[0] != '\0')
		remove_dir(s->dir);
}

/* ---- figures ---- */

uint64_t
server_cpu(const struct server *s)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < s->n; i++)
		sum += clock_cpu(s->process[i]);
	return sum;
}

void
server_modes(const struct server *s, uint64_t *user, uint64_t *system)
{
	uint64_t u, k;
	unsigned i;

	*user = *system = 0;
	for (i = 0; i < s->n; i++) {
		clock_modes(s->process[i], &u, &k);
		*user += u;
		*system += k;
	}
}

uint64_t
server_memory(const struct server *s)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < s->n; i++) {
		char path[64], line[256];
		unsigned long kib;
		FILE *f;

		snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)s->process[i]);
		f = fopen(path, "r");
		if (f == NULL)
			err(1, "%s", path);
		while (fgets(line, sizeof line, f) != NULL)
			if (sscanf(line, "Pss: %lu kB", &kib) == 1)
				sum += (uint64_t)kib * 1024;
		fclose(f);
	}
	return sum;
}

/* The page, in memory of the callee's. */
static const char *
metrics_page(const struct server *s)
{
	static const char get[] =
	    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	static char page[256 * 1024];
	size_t n = 0;
	ssize_t r;
	int fd = try_connect(s, 0);

	page[0] = '\0';
	if (fd < 0)
		return page;
	if (write(fd, get, sizeof get - 1) == sizeof get - 1)
		while ((r = read(fd, page + n, sizeof page - 1 - n)) > 0)
			n += (size_t)r;
	page[n] = '\0';
	close(fd);
	return page;
}

double
server_metric(const struct server *s, const char *name)
{
	const char *p = metrics_page(s), *value;
	size_t n = strlen(name);
	double sum = 0;

	for (; p != NULL; p = strchr(p, '\n'), p += p != NULL)
		if (strncmp(p, name, n) == 0 && (p[n] == ' ' || p[n] == '{')) {
			value = strchr(p, ' ');
			if (value != NULL)
				sum += strtod(value, NULL);
		}
	return sum;
}

pid_t
server_worker(const struct server *s, unsigned slot)
{
	char want[64], path[64], title[128];
	unsigned i;

	snprintf(want, sizeof want, "plenumd: worker %u", slot);
	for (i = 0; i < s->n; i++) {
		ssize_t n;
		int fd;

		snprintf(path, sizeof path, "/proc/%d/cmdline", (int)s->process[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, title, sizeof title - 1);
		close(fd);
		title[n < 0 ? 0 : n] = '\0';
		if (strcmp(title, want) == 0)
			return s->process[i];
	}
	return 0;
}
