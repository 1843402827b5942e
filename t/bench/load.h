/*
 * The load: subscribers in rooms and one publisher, in one process, on connections of its own. Each
 * event carries its number; each subscriber checks that it gets its room's events, all of them, in
 * order. What is wrong is fatal: a figure of a server that loses events is none.
 *
 * It speaks plenum's channel dialect in the fixed form that floor.c understands, too.
 */
#ifndef PLENUM_BENCH_LOAD_H
#define PLENUM_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "t/bench/server.h"

/* RFC 6455, section 1.3: the sample key and what answers it. */
#define LOAD_KEY	"dGhlIHNhbXBsZSBub25jZQ=="
#define LOAD_ACCEPT	"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define LOAD_ROOM_PREFIX "bench:"
#define LOAD_ROOM	"bench:%05u"

enum { LOAD_ROOMS_MAX = 65536, LOAD_DATA = 100 };

struct load_subscriber {
	int fd;
	uint32_t room;
	uint64_t last;			/* number of the last event */
	unsigned char *part;		/* of a frame that is not complete */
	uint32_t len;
};

struct load {
	const struct server *server;
	int set;			/* epoll */
	unsigned nsubs, nrooms;
	unsigned first_room;
	struct load_subscriber *sub;	/* nsubs, and the publisher */
	uint64_t number;		/* of the last event that was sent */
	uint64_t due, got;		/* deliveries, and answers of a server that answers */
};

/* Opens all connections and subscribes subscriber i to room i % rooms. Fatal if one is refused. */
void load_open(struct load *l, const struct server *s, unsigned subscribers, unsigned rooms);
/* Subscribers of one room alone, for what others publish; the first is server_connect()'s nth. */
void load_listen(struct load *l, const struct server *s, unsigned subscribers, unsigned room,
    unsigned nth);
void load_close(struct load *l);

/* Publishes n events, room after room, each as the channel's next, and waits for nothing. */
void load_publish(struct load *l, unsigned n);
/* Takes what has arrived, waiting up to ms for the first. */
void load_receive(struct load *l, int ms);
/* Until all deliveries are there; fatal after ten seconds without one. */
void load_wait(struct load *l);

/* A WebSocket of the channel dialect, blocking, upgraded; nth as in server_connect(). */
int load_websocket(const struct server *s, unsigned nth);
/* Sends one masked text frame. */
void load_say(int fd, const char *text);
/* Subscribes and waits for the answer. */
void load_join(int fd, unsigned room);

#endif
