/*
 * What is measured: a server in processes of its own, plenumd or the bare loop of floor.c, on a
 * free port of the loopback interface. Whoever started it stops it.
 */
#ifndef PLENUM_BENCH_SERVER_H
#define PLENUM_BENCH_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESSES_MAX = 160 };

struct server {
	const char *name;
	uint16_t port;
	bool answers;			/* each publication */
	pid_t pid;			/* of the process that was started */
	char dir[64];			/* its files, "" if it has none */
	unsigned n;			/* it and its descendants */
	pid_t process[PROCESSES_MAX];
};

/*
 * Starts the plenumd of $PLENUMD (./plenumd) and waits until it serves. options: further words of
 * its command line, NULL at the end. Fatal if it does not come up.
 */
void server_start_plenum(struct server *s, unsigned workers, const char *const *options);

/* Runs fn(listening socket) in a child. */
void server_start_bare(struct server *s, const char *name, void (*fn)(int listener));

/* Runs fn, which executes another program that listens on s->port, in a child; waits for it. */
void server_start_program(struct server *s, const char *name, void (*fn)(const struct server *s));

/* Looks again which processes there are: after a death. */
void server_look(struct server *s);

void server_stop(struct server *s);

/* Of all its processes, ns. */
uint64_t server_cpu(const struct server *s);
/* The same in clock ticks, by mode. */
void server_modes(const struct server *s, uint64_t *user, uint64_t *system);
/* Bytes: what its processes occupy, what they share counted once (PSS). */
uint64_t server_memory(const struct server *s);
/* Sum of a metric's lines on /metrics; 0 if it has none. */
double server_metric(const struct server *s, const char *name);
/* The worker of a slot, 0 if there is none at the moment. */
pid_t server_worker(const struct server *s, unsigned slot);

/* A blocking connection from 127.0.0.(1 + nth / 20000), so that ports do not run out. */
int server_connect(const struct server *s, unsigned nth);

#endif
