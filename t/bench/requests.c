/*
 * Requests and handshakes: CPU of the server alone, since the load's is the same. Every connection
 * has one request in flight; nginx is a third server where it is installed.
 */
#include "t/bench/bench.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/bench/floor.h"
#include "t/bench/load.h"

enum { CONNECTIONS = 16, REQUESTS = 200, HANDSHAKES = 300 };

static void
open_all(int *fd, const struct server *s)
{
	unsigned i;

	for (i = 0; i < CONNECTIONS; i++)
		fd[i] = server_connect(s, i);
}

static void
close_all(int *fd)
{
	unsigned i;

	for (i = 0; i < CONNECTIONS; i++)
		close(fd[i]);
}

static void
read_answer(int fd, const char *name)
{
	char in[4096];
	ssize_t n = recv(fd, in, sizeof in - 1, 0);

	if (n <= 0)
		err(1, "%s: no answer", name);
	in[n] = '\0';
	if (strncmp(in, "HTTP/1.1 200", 12) != 0 || strstr(in, "\r\n\r\n") == NULL)
		errx(1, "%s: %.60s", name, in);
}

/* µs of the server per request. */
static double
ask(const struct server *s, int *fd)
{
	static const char get[] = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
	uint64_t cpu = server_cpu(s);
	unsigned i, k;

	for (k = 0; k < REQUESTS; k++) {
		for (i = 0; i < CONNECTIONS; i++)
			if (send(fd[i], get, sizeof get - 1, MSG_NOSIGNAL) != sizeof get - 1)
				err(1, "%s: send", s->name);
		for (i = 0; i < CONNECTIONS; i++)
			read_answer(fd[i], s->name);
	}
	return (double)(server_cpu(s) - cpu) / (CONNECTIONS * REQUESTS) / 1000;
}

static double
shake(const struct server *s)
{
	uint64_t cpu = server_cpu(s);
	unsigned i;

	for (i = 0; i < HANDSHAKES; i++)
		close(load_websocket(s, i));
	return (double)(server_cpu(s) - cpu) / HANDSHAKES / 1000;
}

/* ---- nginx ---- */

static const char nginx_conf[] =
    "daemon off; master_process off; pid %s/pid; error_log stderr crit;\n"
    "events { worker_connections 1024; }\n"
    "http { access_log off; keepalive_requests 100000000; server { listen 127.0.0.1:%u;\n"
    "location / { return 200 '{\"status\":\"healthy\",\"service\":\"plenum\"}'; } } }\n";

static void
exec_nginx(const struct server *s)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof path, "%s/conf", s->dir);
	f = fopen(path, "w");
	if (f == NULL)
		err(1, "%s", path);
	fprintf(f, nginx_conf, s->dir, s->port);
	fclose(f);
	execlp("nginx", "nginx", "-c", path, "-p", s->dir, (char *)NULL);
}

static bool
has_nginx(void)
{
	return system("command -v nginx >/dev/null") == 0;
}

/* ---- */

static void
run_http(void)
{
	static struct samples mine, bare, ratio, peer, peer_ratio;
	struct server plenum, floor, nginx;
	int a[CONNECTIONS], b[CONNECTIONS], c[CONNECTIONS];
	bool third = has_nginx();
	unsigned i;

	server_start_plenum(&plenum, 1, bench_plenum_options);
	server_start_bare(&floor, "floor", floor_send);
	open_all(a, &plenum);
	open_all(b, &floor);
	if (third) {
		server_start_program(&nginx, "nginx", exec_nginx);
		open_all(c, &nginx);
	}
	for (i = 0; i <= bench_options.rounds; i++) {
		double x = ask(&plenum, a), y = ask(&floor, b), z = third ? ask(&nginx, c) : 0;

		if (i == 0)
			continue;
		samples_add(&mine, x);
		samples_add(&bare, y);
		samples_add(&ratio, x / y);
		samples_add(&peer, z);
		samples_add(&peer_ratio, x / z);
	}
	bench_row("HTTP 200 of 16 keep-alive connections, server", "µs", &mine, &bare, &ratio,
	    "ratio ≤ 1.2");
	if (third)
		bench_row("the same, nginx as floor", "µs", &mine, &peer, &peer_ratio, "");
	close_all(a);
	close_all(b);
	server_stop(&plenum);
	server_stop(&floor);
	if (third) {
		close_all(c);
		server_stop(&nginx);
	}
}

static void
run_handshake(void)
{
	static struct samples mine, bare, ratio;
	struct server plenum, floor;
	unsigned i;

	server_start_plenum(&plenum, 1, bench_plenum_options);
	server_start_bare(&floor, "floor", floor_send);
	for (i = 0; i <= bench_options.rounds; i++) {
		double x = shake(&plenum), y = shake(&floor);

		if (i == 0)
			continue;
		samples_add(&mine, x);
		samples_add(&bare, y);
		samples_add(&ratio, x / y);
	}
	bench_row("connect, WebSocket handshake, close, server", "µs", &mine, &bare, &ratio,
	    "plenum ≤ 20");
	server_stop(&plenum);
	server_stop(&floor);
}

void
bench_requests(void)
{
	if (bench_wants("requests-http"))
		run_http();
	if (bench_wants("requests-handshake"))
		run_handshake();
}
