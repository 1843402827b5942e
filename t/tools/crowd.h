/* What the roles of the crowd share: the options, the phase, and the watch for those who wait. */
#ifndef PLENUM_TOOLS_CROWD_H
#define PLENUM_TOOLS_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crowd_options {
	const char *host;
	int port;
	int subscribers, channels, per_client, ws_publishers, http_publishers;
	int sse, slow, churn, http_get;
	int storm, idle, create, rounds;
	double rate, get_rate;
	int window;
	double seconds, drain, stall, connect;
	size_t size_min, size_max;
	int history;
	int ping_ms;
	int seed;
	bool strict_gap, echo, commands, resume;
	char headers[1024];
};

enum crowd_phase { CROWD_CONNECT, CROWD_RUN, CROWD_DRAIN };

extern struct crowd_options opt;
extern enum crowd_phase crowd_phase;

/* Who waits for something and since when; zeroed at first. */
struct watch {
	uint64_t since, progress;
};

/* Fills opt; ends the process if the command line is wrong. */
void crowd_read_options(int argc, char **argv);

/*
 * True once for every `stall` seconds in which something was owed and `progress` stood still.
 * To be asked several times a second.
 */
bool watch_is_stalled(struct watch *w, bool owed, uint64_t progress, uint64_t now);

/* A connection ended that nobody wanted to end. */
void crowd_closed(const char *role, int id, int code, const char *why);

/*
 * Was that close fair?  A keep-alive connection without a request in flight may be closed by the
 * server, but only when it has been idle for nearly the default keepalive_timeout.
 */
bool crowd_is_idle_close(uint64_t last_rx, const char *why);

/* A random number below n, the same sequence for the same seed. */
uint32_t crowd_random(uint32_t n);

/* The next client number: it chooses the source address. */
int crowd_next_id(void);

/* Special runs in place of the usual one; each returns the exit status. */
int mode_storm(void);
int mode_idle(void);
int mode_create(void);

#endif
