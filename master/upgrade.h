/*
 * Upgrade: another program without a stop. Slot 0 becomes it first, after upgrade_grace the others
 * one by one, the master last; if the new one fails, all go back to the one before.
 */
#ifndef PLENUM_MASTER_UPGRADE_H
#define PLENUM_MASTER_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct master;

enum upgrade_state {
	UPGRADE_NONE,
	UPGRADE_WAIT,		/* for the end of a reload */
	UPGRADE_CHECK,		/* the new program looks at configuration and memory */
	UPGRADE_SLOT,		/* slot `slot` was told to become it */
	UPGRADE_GRACE,		/* slot 0 is it, and is watched */
	UPGRADE_MASTER,		/* all slots are it */
};

enum { UPGRADE_TEXT_MAX = 512 };

struct upgrade {
	enum upgrade_state state;
	bool back;		/* to this master's own program */
	bool catching_up;	/* slots only: they were another program's when they were adopted */
	uint32_t number;
	int image;		/* descriptor of the program; -1: none */
	unsigned slot;
	uint64_t ordered;	/* ms */
	uint64_t until;		/* ms */
	pid_t checker;
	int report;		/* what it prints; -1: none */
	bool reaped;
	int status;
	char text[UPGRADE_TEXT_MAX];
	size_t filled;
};

/* Finds the program that plenumd was called as. Before the working directory changes. */
void upgrade_init(struct master *m, const char *argv0);

/*
 * Begins. 0; or -1 with what is wrong in err, which was logged. Whoever asked for it on the control
 * socket is answered at the end.
 */
int upgrade_begin(struct master *m, char *err, size_t n);

/* Slots that run another program than this master become its own. */
void upgrade_catch_up(struct master *m);

/* Goes on with it; called often. Does not return when the master becomes the new program. */
void upgrade_tick(struct master *m);

/* Takes note of how `pid` ended. False: it is not the upgrade's. */
bool upgrade_reaped(struct master *m, pid_t pid, int status);

/* plenumd stops: nobody waits for it any more. */
void upgrade_abandon(struct master *m);

/*
 * Becomes the program whose memory is another, behind a stop that was for it. Returns if there was
 * no such stop, or it cannot be done.
 */
void upgrade_start_anew(struct master *m);

#endif
