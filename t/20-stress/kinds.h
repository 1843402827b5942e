/*
 * What the parts of stress_shm share: the kinds of messages, the book that outlives the killed, and
 * a process.
 */
#ifndef PLENUM_T_KINDS_H
#define PLENUM_T_KINDS_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/event.h"
#include "shm/limits.h"
#include "shm/region.h"
#include "shm/stats.h"
#include "shm/writer.h"

/* Message n of a sender is of kind n % KINDS. */
enum {
	STEADY = 7, FLEETING = STEADY, KEYED, QUIET, HOT, KINDS,
	ROOMS = KINDS - 1,		/* that stay: one of each kind but FLEETING */
};

enum {
	PUBLISHERS = 3, PROCS = PUBLISHERS + 1, SENDERS = 4, NSENDERS = PUBLISHERS * SENDERS,
	RING = 128, WINDOW = 64, KEYS = 256, KEYS_MAX = 1 << 24,
};

/* Shared, and kept by nobody but its owner; a sender's owner is the process it belongs to. */
struct book {
	word64 stop, violations, kills, stops, taken, doubts, joins, moved_on, stale, full, slept;
	word64 done[NSENDERS];
	word64 room[KINDS];			/* number + 1 */
	word64 cursor[PROCS][STEADY];
	word64 expect[PROCS][STEADY][NSENDERS];	/* the sender's last message there */

	word64 hand[PROCS];			/* sender + 1 of the keyed message at hand */
	word64 life[NSENDERS];			/* connections that it has lost */
	word64 begun[NSENDERS];			/* keys that it has asked for */
	word64 checked[KINDS];			/* how far the master has read KEYED and QUIET */
	word64 owned, answered, unfinished, given_up, lost;
	word64 gaps, histories;
};

struct proc {
	struct writer w;
	unsigned index;
	bool dead;		/* in threads: what it does is over */
	bool fresh[STEADY];	/* an heir may see the last event again */
	uint32_t room;		/* a fleeting channel it reads, or UINT32_MAX */
	uint64_t room_seq;
	uint64_t hot_seq, hot_last[NSENDERS];
	uint64_t rnd;
	struct doubt doubt;	/* of the keyed message that is executed again */
	uint64_t data[EVENT_MAX / 8];
};

extern struct region region;
extern struct book *book;

/* Counts a violation and says it, the first twenty. */
void violation(const char *what, uint64_t a, uint64_t b, uint64_t c);

uint64_t mix(uint64_t h);
uint64_t rnd(struct proc *p, uint64_t n);
void tell(word64 *counter);
uint64_t stat_sum(enum counter i);

/* A place to die in. Processes let others run, who may kill them; a thread may be told to go. */
bool dies_here(struct proc *p);

/* The data of message n, and its length. */
uint32_t make_data(uint64_t *data, uint64_t sender, uint64_t n);

/* Reads seq of a channel and checks that its bytes are what its sender sent. */
enum event_result read_checked(uint32_t chan, uint64_t seq, struct event *e, uint64_t *buf);

/* The channel of a kind that stays. */
uint32_t room_of(unsigned kind);

/* How many of the sender's messages of a kind are processed. */
uint64_t done_of_kind(unsigned sender, unsigned kind);

/* ---- stress_kinds.c ---- */

/* The sender's message n of that kind. False: not now. */
bool keyed_publish(struct proc *p, unsigned sender, uint64_t n);
bool quiet_publish(struct proc *p, unsigned sender, uint64_t n);
bool hot_publish(struct proc *p, unsigned sender, uint64_t n);

/* An heir: the keyed message at hand again, and what it leaves settled. */
void keyed_inherit(struct proc *p, const struct doubt *d);

/* Readers. */
void hot_read(struct proc *p);
void quiet_read(uint64_t *buf);

/* The master: makes the channels, audits what is new, turns the period; at the end all of it. */
void kinds_open(struct writer *master);
void kinds_audit(void);
void kinds_check(void);
void kinds_print(void);

#endif
