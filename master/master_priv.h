/*
 * The master's state, shared by the files of this folder. Private memory of one process and one
 * thread; every function that takes it is called from the master's loop or before it.
 */
#ifndef PLENUM_MASTER_MASTER_PRIV_H
#define PLENUM_MASTER_MASTER_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/heritage.h"
#include "master/child.h"
#include "master/capacity.h"
#include "master/conf.h"
#include "master/rundir.h"
#include "master/upgrade.h"
#include "shm/settings.h"
#include "shm/writer.h"

struct control;
struct event;
struct event_base;
struct retire;

enum phase {
	PHASE_START,		/* until every worker has begun to beat */
	PHASE_SERVE,
	PHASE_DRAIN,		/* QUIT: workers say goodbye and end one by one */
	PHASE_STOP,		/* TERM: they end now */
	PHASE_LAST,		/* the logger writes what is left */
	PHASE_OVER,
	PHASE_COUNT
};

struct slot_state {
	struct child keeper;
	int worker;		/* its pidfd, or -1 */
	pid_t worker_pid;	/* to know it again */
	uint64_t started_at;	/* ms, when its keeper was forked; 0: it was there */
	bool over;		/* nobody of the slot is left, and nobody follows */
	bool settled;		/* nobody is left, and what he left is settled */
	/* the watchdog's */
	uint32_t seen_pid;
	uint64_t seen_at;	/* ms, when that worker was first seen */
	uint64_t missing_at;	/* ms, since when there is no worker; 0 */
	bool ending;		/* that worker was told to end */
	uint64_t kill_at;
};

enum reload_state { RELOAD_NONE, RELOAD_SLOTS };

struct reload {
	enum reload_state state;
	bool again;		/* asked for once more meanwhile */
	unsigned slot;		/* that is being renewed */
	uint64_t ordered;	/* ms */
	uint64_t number;	/* of the snapshot that they are to have */
};

struct master {
	struct heritage h;
	struct conf_source source;
	struct settings at_start;	/* what needs a restart is compared with these */
	struct settings settings;	/* in force */
	struct settings next;		/* being loaded */
	struct capacity capacity;
	struct writer w;
	char run_dir[RUNDIR_MAX];
	int pid_fd;
	bool adopted;			/* the slots of a master before this one were found */

	struct event_base *base;
	struct event *tick;
	struct control *control;
	struct retire *retire;

	enum phase phase;
	uint64_t phase_at;		/* ms, when it began */
	bool killed;			/* what did not stop in time */
	int status;			/* to exit with */

	struct slot_state slot[WORKERS_MAX];
	uint64_t watched_at;		/* ms, the watchdog's last look */
	struct child logger;
	bool logger_restarts;		/* it was told to end, another one follows */
	uint64_t logger_told;		/* ms */
	struct reload reload;
	struct upgrade upgrade;
	int successor;			/* program to become behind the stop; -1: none */
};

/* Begins a phase; PHASE_STOP from anywhere, otherwise only forward. */
void master_enter(struct master *m, enum phase phase);

#endif
