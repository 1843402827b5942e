/* Between client.c, which has the sockets, and wire.c, which takes their bytes apart. */
#ifndef PLENUM_TOOLS_CLIENT_PRIV_H
#define PLENUM_TOOLS_CLIENT_PRIV_H

#include "t/tools/client.h"

/* RFC 6455, section 1.3 */
#define CLIENT_SAMPLE_KEY	"dGhlIHNhbXBsZSBub25jZQ=="
#define CLIENT_SAMPLE_ACCEPT	"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

enum {					/* RFC 6455, section 5.2 */
	CLIENT_OP_CONTINUATION = 0,
	CLIENT_OP_TEXT = 1,
	CLIENT_OP_BINARY = 2,
	CLIENT_OP_CLOSE = 8,
	CLIENT_OP_PING = 9,
	CLIENT_OP_PONG = 10
};

void client_buf_add(struct client_buf *b, const void *p, size_t len);
void client_buf_reset(struct client_buf *b);	/* empties it, keeps a small one */
void client_buf_free(struct client_buf *b);
struct slice client_buf_slice(const struct client_buf *b);

/* Digests what is complete; returns how many bytes that was.  May close the client. */
size_t client_digest(struct client *c, struct slice in);

/* Closes the socket and tells the role. */
void client_finish(struct client *c, int code, const char *why);

/* One connection less on its way. */
void client_arrived(void);

/* Queues one masked frame. */
void client_queue_frame(struct client *c, int op, const void *p, size_t len);

#endif
