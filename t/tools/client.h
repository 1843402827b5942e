/*
 * A connection of the crowd: a TCP socket that speaks HTTP/1.1 or, after the upgrade, WebSocket as
 * a client does.  It assembles frames and answers however they are cut, hands whole ones to its
 * role's functions, and never waits: everything hangs on one epoll set.
 */
#ifndef PLENUM_TOOLS_CLIENT_H
#define PLENUM_TOOLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "t/tools/scan.h"

enum client_state {
	CLIENT_CLOSED,
	CLIENT_CONNECTING,
	CLIENT_UPGRADING,
	CLIENT_HTTP,			/* between answers, or within one */
	CLIENT_STREAM,			/* within an answer whose body does not end (SSE) */
	CLIENT_WS,
	CLIENT_CLOSING			/* WebSocket: our close frame is out */
};

enum {
	CLOSE_NONE = 1006,		/* what RFC 6455 calls an end without a close frame */
	CLIENT_FRAME_MAX = 16 << 20
};

struct client;

struct response {
	int status;
	bool chunked, close, sized;
	size_t length;			/* of the body, if sized */
	struct slice head, body;
};

/* All are called from client_on_event(); each may close the client. NULL: does not happen here. */
struct client_ops {
	void (*on_open)(struct client *);			/* connected or upgraded */
	void (*on_message)(struct client *, struct slice);	/* one text message */
	void (*on_response)(struct client *, const struct response *);
	bool (*on_stream_head)(struct client *, const struct response *);
	void (*on_stream)(struct client *, struct slice);	/* some bytes of the body */
	void (*on_turn)(struct client *);			/* after all of one read() */
	/* The socket is gone already; code is WebSocket's, why says it in words. */
	void (*on_close)(struct client *, int code, const char *why);
};

struct client_buf {
	char *p;
	size_t head, len, cap;		/* the bytes are [head, len) */
};

/* Belongs to its role, which embeds it first; never moves while it is open. */
struct client {
	const struct client_ops *ops;
	int fd;
	int id;
	uint16_t port;			/* ours, of the last connection */
	enum client_state state;
	bool websocket;			/* upgrade at once */
	bool unread;			/* do not read on EPOLLIN, the role calls client_read() */
	bool want_out;
	bool got_close;
	int close_code;
	size_t chunk_left;
	int chunk_phase;
	bool in_chunked;
	uint64_t last_rx;		/* ns, CLOCK_MONOTONIC */
	struct response response;	/* of a chunked answer in arrival */
	struct client_buf in, out, msg;
};

/* Prepares the epoll set and the address; fatal if that fails.  Call once. */
void client_setup(const char *host, int port, const char *extra_header);

/* Nanoseconds of CLOCK_MONOTONIC, read now. */
uint64_t client_now(void);

/* The time of the read() whose bytes are being handled. */
uint64_t client_rx_time(void);

/* Begins to connect; ops, id, websocket and unread must be set.  Failure is told by on_close. */
void client_open(struct client *c);

/* Waits up to `ms` for events and handles them. */
void client_poll(int ms);

/* Reads once, at most `limit` bytes: for clients with `unread` set. */
void client_read(struct client *c, size_t limit);

/* Sets or clears `unread` on an open client. */
void client_set_unread(struct client *c, bool unread);

/* Queues bytes as they are; client_flush() sends them. */
void client_queue(struct client *c, const void *p, size_t len);
__attribute__((format(printf, 2, 3)))
void client_queuef(struct client *c, const char *fmt, ...);

/* Queues one masked text frame. */
void client_queue_text(struct client *c, const void *p, size_t len);
__attribute__((format(printf, 2, 3)))
void client_queue_textf(struct client *c, const char *fmt, ...);

/* Writes what is queued as far as the kernel takes it, and asks for EPOLLOUT for the rest. */
void client_flush(struct client *c);

/* Sends a close frame with `code`; on_close follows when the server has answered and closed. */
void client_say_goodbye(struct client *c, int code);

/* Closes the socket now, without a word; on_close is not called. */
void client_drop(struct client *c);

bool client_is_open(const struct client *c);

/* Connections that are being opened now, and those opened in total. */
int client_pending(void);
uint64_t client_opened(void);

#endif
