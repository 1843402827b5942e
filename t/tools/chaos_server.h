/*
 * The plenumd under test: started as a child in a folder of its own, asked over its control socket,
 * looked at in /proc. All functions that "wait" give up after some seconds and say so by false.
 */
#ifndef PLENUM_TOOLS_CHAOS_SERVER_H
#define PLENUM_TOOLS_CHAOS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { SERVER_SLOTS_MAX = 64, SERVER_SETTINGS_MAX = 32 };

struct server_slot {
	pid_t keeper, worker;
	bool alive;			/* it beats */
	bool runs;			/* no order is pending, and its settings are the newest */
	uint64_t generation, pause_us, connections, backoff_ms;
	uint64_t killed, fault, exit, stuck, renewed;
};

/* What `show workers` and `status` say. */
struct server_state {
	unsigned nslots;
	pid_t master, logger;
	uint64_t snapshot, uptime_ms, connections;
	bool serving;
	struct server_slot slot[SERVER_SLOTS_MAX];
};

struct server_memory {
	uint64_t private_kib;		/* anonymous, of all processes, proportional */
	uint64_t region_kib;		/* pages of the shared memory that are in use */
};

struct server_tables {
	uint64_t slots, master, logger;	/* numbers of open descriptors */
};

struct server {
	const char *program;
	const char *setting[SERVER_SETTINGS_MAX];	/* NAME=VALUE, for the file */
	unsigned nsettings;
	char dir[64];
	unsigned workers;
	uint16_t port;
	pid_t child;			/* that was started here; 0: none is left */
	struct rusage used;		/* of those that ended */
};

/* Makes the folder, chooses a port, writes the file and starts; false if it does not serve. */
bool server_new(struct server *s, const char *program, unsigned workers);

/* Writes the configuration file again with another number of workers. */
bool server_write_conf(struct server *s, unsigned workers);

/* Starts it (again) the same way; waits until it serves. */
bool server_start(struct server *s);

/* TERM, and waits; false if it did not end with 0. Removes the folder if `remove`. */
bool server_stop(struct server *s, bool remove);

/* Waits for the child if it has ended. */
void server_reap(struct server *s);

/* Asks for everything; false if there is no answer. */
bool server_look(const struct server *s, struct server_state *st);

/* The process that the pid file names, or 0. */
pid_t server_pid(const struct server *s);

/* How often a text stands in the log. */
unsigned server_log_count(const struct server *s, const char *text);

bool server_memory(const struct server_state *st, struct server_memory *m);
void server_tables(const struct server_state *st, struct server_tables *t);

/* The peers' ports of the sockets in that process's table; returns how many. */
size_t server_ports(const struct server *s, pid_t pid, uint16_t *port, size_t max);

/* A process that runs or sleeps: not gone, not stopped, no zombie. */
bool process_is_well(pid_t pid);

void sleep_ms(unsigned ms);
uint64_t now_ms(void);

#endif
