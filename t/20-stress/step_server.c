#define _GNU_SOURCE
#include "t/20-stress/step_server.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/dirty.h"
#include "shm/slot_layout.h"

enum { START_MS = 10000, STOP_MS = 5000 };

double
server_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
sleep_us(unsigned us)
{
	struct timespec t = { 0, (long)us * 1000 };

	nanosleep(&t, NULL);
}

static void
run_plenumd(const struct server *s, const char *plenumd, int cpu, unsigned workers)
{
	static const char *const fixed[] = {
		"listen=127.0.0.1:0",
		"debug_endpoints=yes",
		"arena=1M",
		"frame_arena=4M",
		"blocks=16",
		"channels_max=1024",
		"history=64",
		"max_connections=16",
		"idempotency_max=4096",
		"ping_interval=1h",
		"ping_timeout=2h",
		"keepalive_timeout=1h",
		"header_timeout=1h",
		"request_timeout=1h",
		"channel_idle=1h",
		"log_level=warning",
	};
	const char *argv[2 * sizeof fixed / sizeof fixed[0] + 14];
	char run_dir[128], log[128], conf[128], count[32], most[32];
	struct rlimit no_core = { 0, 0 };
	cpu_set_t set;
	size_t n = 0, i;
	int fd;

	_Static_assert(STEP_HISTORY == 64, "as set above");
	snprintf(run_dir, sizeof run_dir, "run_dir=%s", s->dir);
	snprintf(log, sizeof log, "%s/log", s->dir);
	argv[n++] = plenumd;
	argv[n++] = "-f";
	for (i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
		argv[n++] = "-D";
		argv[n++] = fixed[i];
	}
	snprintf(count, sizeof count, "workers=%u", workers);
	snprintf(most, sizeof most, "workers_max=%u", workers);
	argv[n++] = "-D";
	argv[n++] = count;
	argv[n++] = "-D";
	argv[n++] = most;
	argv[n++] = "-D";
	argv[n++] = run_dir;
	snprintf(conf, sizeof conf, "%s/conf", s->dir);
	argv[n++] = "-c";
	argv[n++] = conf;
	argv[n] = NULL;
	/* a point is found again in another process */
	personality(ADDR_NO_RANDOMIZE);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	/* fewer instructions: no lazy binding in each heir, no copies that trap at each byte */
	setenv("LD_BIND_NOW", "1", 1);
	setenv("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=16777216:"
	    "glibc.cpu.x86_rep_stosb_threshold=16777216", 1);
	unsetenv("NOTIFY_SOCKET");
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	execv(plenumd, (char *const *)argv);
	_exit(127);
}

/* The memfd of the region, opened through the master's table; -1: not yet there. */
static int
open_region(const struct server *s)
{
	char path[64], name[320], to[64];
	struct dirent *e;
	int fd = -1;
	ssize_t n;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)s->master);
	d = opendir(path);
	while (d != NULL && fd < 0 && (e = readdir(d)) != NULL) {
		snprintf(name, sizeof name, "%s/%s", path, e->d_name);
		n = readlink(name, to, sizeof to - 1);
		to[n < 0 ? 0 : n] = '\0';
		if (strncmp(to, "/memfd:plenum ", 14) == 0)
			fd = open(name, O_RDWR | O_CLOEXEC);
	}
	if (d != NULL)
		closedir(d);
	return fd;
}

static bool
attach(struct server *s, double until)
{
	int fd;

	while (server_now() < until && waitpid(s->master, NULL, WNOHANG) == 0) {
		fd = open_region(s);
		if (fd >= 0 && region_attach(&s->r, fd) == 0)
			return true;
		if (fd >= 0)
			close(fd);
		sleep_us(1000);
	}
	return false;
}

static bool
find_port(struct server *s)
{
	struct sockaddr_in a;
	socklen_t n = sizeof a;
	int fd = server_descriptor(s, s->slot->listener[0]);

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		return false;
	s->port = ntohs(a.sin_port);
	close(fd);
	return true;
}

/* What is not said otherwise never comes. */
static void
write_conf(const struct server *s, const char *conf)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/conf", s->dir);
	f = fopen(path, "w");
	if (f == NULL)
		return;
	if (strstr(conf, "stuck_timeout") == NULL)
		fprintf(f, "stuck_timeout = 1h\n");
	if (strstr(conf, "message_rate") == NULL)
		fprintf(f, "message_rate = 65535/s\n");
	fprintf(f, "%s", conf);
	fclose(f);
}

void
server_reload(struct server *s, const char *conf)
{
	uint64_t before = word_get(&s->r.head->snapshot);
	double until = server_now() + START_MS / 1000.0;

	write_conf(s, conf);
	kill(s->master, SIGHUP);
	while (server_now() < until && (word_get(&s->r.head->snapshot) == before ||
	    word32_get(&s->slot->order) != ORDER_RENEW))
		sleep_us(50);
}

/* Whoever is the keeper now: its table is the slot's. */
static void
look_at_keeper(struct server *s)
{
	if (s->keeper_pidfd >= 0)
		close(s->keeper_pidfd);
	s->keeper = (pid_t)word32_get(&s->slot->keeper);
	s->keeper_pidfd = (int)syscall(SYS_pidfd_open, s->keeper, 0);
}

/* Both must be there: one of them keeps what is open. */
static bool
has_worker(const struct server *s)
{
	int fd = (int)syscall(SYS_pidfd_open, server_worker(s), 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool lives = fd >= 0 && poll(&p, 1, 0) == 0;

	if (fd >= 0)
		close(fd);
	return lives;
}

bool
server_kill_keeper(struct server *s)
{
	double until = server_now() + START_MS / 1000.0;
	pid_t old = s->keeper;

	while (!has_worker(s) && server_now() < until)
		sleep_us(200);
	kill(old, SIGKILL);
	while (((pid_t)word32_get(&s->slot->keeper) == old || word32_get(&s->slot->keeper) == 0) &&
	    server_now() < until)
		sleep_us(200);
	look_at_keeper(s);
	return s->keeper != old && s->keeper_pidfd >= 0;
}

void
server_wake(struct server *s)
{
	uint64_t mask = sleepers_take(&s->r, s->writer.wake), one = 1;
	unsigned i;

	s->writer.wake = 0;
	for (i = 0; i < s->r.caps.workers; i++) {
		int fd = -1;

		if ((mask & 1ull << i) != 0)
			fd = server_descriptor(s, region_slot(&s->r, i)->event_fd);
		if (fd >= 0 && write(fd, &one, sizeof one) == sizeof one)
			close(fd);
	}
}

int
server_start(struct server *s, const char *plenumd, int cpu, unsigned workers, const char *conf)
{
	double until = server_now() + START_MS / 1000.0;
	const char *tmp = getenv("TMPDIR");

	memset(s, 0, sizeof *s);
	s->keeper_pidfd = -1;
	snprintf(s->dir, sizeof s->dir, "%s/step.XXXXXX",
	    tmp != NULL && strlen(tmp) < 60 ? tmp : "/tmp");
	if (mkdtemp(s->dir) == NULL)
		return -1;
	write_conf(s, conf);
	s->master = fork();
	if (s->master == 0)
		run_plenumd(s, plenumd, cpu, workers);
	if (s->master < 0 || !attach(s, until)) {
		fprintf(stderr, "step_worker: %s does not start, see %s/log\n", plenumd, s->dir);
		return -1;
	}
	s->slot = region_slot(&s->r, 0);
	while (word32_get(&s->slot->keeper) == 0 && server_now() < until)
		sleep_us(1000);
	if (!server_wait_idle(s, 0, START_MS)) {
		fprintf(stderr, "step_worker: no worker serves, see %s/log\n", s->dir);
		return -1;
	}
	if (s->r.head->keeper == 0)
		return 1;
	look_at_keeper(s);
	if (s->keeper_pidfd < 0 || !find_port(s)) {
		fprintf(stderr, "step_worker: the slot's descriptors cannot be had\n");
		return 1;
	}
	writer_open(&s->writer, &s->r, HELPER_TEST);
	s->descriptors = server_descriptors(s);
	return 0;
}

static void
remove_dir(const char *dir)
{
	static const char *const files[] = { "log", "conf", "plenumd.pid", "control.sock" };
	char path[400];
	struct dirent *e;
	DIR *d = opendir(dir);
	size_t i;

	for (i = 0; i < sizeof files / sizeof files[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		unlink(path);
	}
	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' && unlink(path) != 0)
			rmdir(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

void
server_stop(struct server *s, bool keep)
{
	double until = server_now() + STOP_MS / 1000.0;

	kill(s->master, SIGTERM);
	while (waitpid(s->master, NULL, WNOHANG) == 0 && server_now() < until)
		sleep_us(1000);
	if (server_now() >= until) {
		kill(s->master, SIGKILL);
		waitpid(s->master, NULL, 0);
	}
	if (s->keeper_pidfd >= 0)
		close(s->keeper_pidfd);
	if (s->r.base != NULL) {
		close(s->r.fd);
		region_detach(&s->r);
	}
	if (!keep)
		remove_dir(s->dir);
}

pid_t
server_worker(const struct server *s)
{
	return (pid_t)word32_get(&s->slot->pid);
}

int
server_descriptor(const struct server *s, int fd)
{
	return (int)syscall(SYS_pidfd_getfd, s->keeper_pidfd, fd, 0);
}

unsigned
server_descriptors(const struct server *s)
{
	char path[64];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)s->keeper);
	d = opendir(path);
	while (d != NULL && (e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	if (d != NULL)
		closedir(d);
	return n;
}

bool
server_wait_idle(const struct server *s, pid_t not_this, unsigned ms)
{
	double until = server_now() + ms / 1000.0;

	while (server_now() < until) {
		pid_t pid = server_worker(s);

		if (pid != 0 && pid != not_this && word32_get(&s->slot->sleeping) != 0)
			return true;
		sleep_us(50);
	}
	return false;
}
