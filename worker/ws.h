/* WebSocket connections (RFC 6455): messages out of frames, control frames, closing. */
#ifndef PLENUM_WORKER_WS_H
#define PLENUM_WORKER_WS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct message;
struct worker;

/* Takes one frame. >0: bytes processed, 0: more is needed, -1: no room to answer now. */
ssize_t ws_take(struct worker *w, uint32_t ci, uint64_t off, const unsigned char *p, size_t n);

/* Adds a text frame of n bytes to the reply. */
void ws_reply_text(struct message *m, const void *p, size_t n);

/* Adds a frame of any opcode. */
void ws_reply(struct message *m, unsigned opcode, const void *p, size_t n);

/* Adds a close frame, once, and names the effect that ends the connection when it is out. */
void ws_reply_close(struct message *m, unsigned code, const char *reason);

/* For a dialect's table: the server's ping, and its goodbye. */
void ws_ping(struct message *m);

#endif
