/*
 * The line between the master and a slot (or the logger): a pair of unix(7) sockets of type
 * SOCK_SEQPACKET. The slot's end is in the slot's table and nowhere else, so the kernel tells the
 * master when nobody of the slot is left, and the slot when the master is gone. Over it the slot
 * names its processes, each by a pidfd, which cannot be mistaken for another's, whoever is the
 * parent of whom.
 *
 * A master that finds the processes of its predecessor knocks at each slot's door, a socket
 * run_dir/slot-N.sock that listens in the slot's table. Who answers looks at the peer's credentials
 * (SO_PEERCRED), hands over the descriptors that the master has to have, and keeps the connection
 * as its line. So there is one kind of line, however it came about.
 *
 * Nothing here waits.
 */
#ifndef PLENUM_IPC_LINE_H
#define PLENUM_IPC_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct region;
struct slot;

enum line_kind {
	LINE_KEEPER = 1,	/* slot -> master: value = its pid, descriptor = its pidfd */
	LINE_WORKER,		/* the same */
	LINE_PARTS,		/* values = numbers in the table, descriptors = what they are */
	LINE_PARTS_END,
	LINE_IMAGE,		/* master -> slot: value = number of the upgrade, the program */
	LINE_IMAGE_BACK,	/* the same, of one that is known to work: not on trial */
};

enum { LINE_VALUES_MAX = 128 };	/* below the kernel's 253 descriptors per message */

struct line_message {
	uint32_t kind;
	uint32_t n;
	int32_t value[LINE_VALUES_MAX];
};

/* A connected pair. 0, or -1 with errno. */
int line_pair(int fd[2]);

/*
 * A unix(7) socket that listens at the path, for its owner alone (mode 0600), in place of whatever
 * lies there: in one step, so that there always is one. A descriptor, or -1 with errno.
 */
int line_listen(const char *path, int type, int backlog);

/*
 * The path of a door, and a socket that listens there in place of whatever lies there, for its
 * owner alone; line_knock() connects to one. A descriptor, or -1 with errno.
 */
void line_path(char *out, size_t n, const char *run_dir, unsigned writer);
int line_door(const char *path);
int line_knock(const char *path);

/*
 * Accepts whoever knocks, if it is the user `owner` or root. A descriptor, or -1: nobody, or
 * somebody else, who is hung up on.
 */
int line_answer(int door, uint32_t owner);

/* One process, by its pidfd. False: it could not be sent now. */
bool line_tell(int line, enum line_kind kind, int32_t pid, int pidfd);

/* The caller itself, as a keeper. It takes a number for a moment. */
bool line_tell_self(int line);

/* What the master's table has to hold (ipc/table.h). False: it could not be sent. */
bool line_tell_parts(int line, const struct region *r);

/*
 * Takes one message, with as many descriptors in fd as *nfds says (LINE_VALUES_MAX at most), which
 * the caller owns. 1, 0: there is none now, -1: hung up, or no message of ours.
 */
int line_take(int line, struct line_message *m, int *fd, size_t *nfds);

#endif
