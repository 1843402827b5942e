#ifndef PLENUM_WORKER_WSFRAME_H
#define PLENUM_WORKER_WSFRAME_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * WebSocket frames (RFC 6455, section 5) as a server reads and writes them, close codes (7.4)
 * and the answer to the opening handshake (4.2.2). Pure functions: none blocks; only
 * ws_accept_key() allocates, once per process.
 */

#define WS_OPCODES(X) \
	X(CONTINUATION, 0x0, "continuation") \
	X(TEXT, 0x1, "text") \
	X(BINARY, 0x2, "binary") \
	X(CLOSE, 0x8, "close") \
	X(PING, 0x9, "ping") \
	X(PONG, 0xa, "pong")

enum ws_opcode {
#define X(name, number, text) WS_##name = number,
	WS_OPCODES(X)
#undef X
};

/* RFC 6455, 7.4.1 and the registry of IANA. */
#define WS_CLOSE_CODES(X) \
	X(NORMAL, 1000, "normal closure") \
	X(GOING_AWAY, 1001, "going away") \
	X(PROTOCOL, 1002, "protocol error") \
	X(UNSUPPORTED, 1003, "unsupported data") \
	X(NO_STATUS, 1005, "no status received") \
	X(ABNORMAL, 1006, "abnormal closure") \
	X(BAD_DATA, 1007, "invalid payload data") \
	X(POLICY, 1008, "policy violation") \
	X(TOO_BIG, 1009, "message too big") \
	X(EXTENSION, 1010, "extension missing") \
	X(INTERNAL, 1011, "internal error") \
	X(RESTART, 1012, "service restart") \
	X(TRY_LATER, 1013, "try again later") \
	X(BAD_GATEWAY, 1014, "bad gateway") \
	X(TLS, 1015, "TLS handshake failed")

enum ws_close_code {
#define X(name, number, text) WS_CLOSE_##name = number,
	WS_CLOSE_CODES(X)
#undef X
};

/* Why a frame is refused: name, close code of the answer, reason (fits a close frame). */
#define WS_WHYS(X) \
	X(NONE, 1000, "no error") \
	X(RSV, 1002, "reserved bit set") \
	X(OPCODE, 1002, "reserved opcode") \
	X(CONTROL_FRAGMENTED, 1002, "fragmented control frame") \
	X(UNMASKED, 1002, "frame is not masked") \
	X(CONTROL_LONG, 1002, "control frame over 125 bytes") \
	X(LENGTH_FORM, 1002, "length is not in its shortest form") \
	X(LENGTH_SIGN, 1002, "high bit of the length is set") \
	X(TOO_BIG, 1009, "frame is too big")

enum ws_why {
#define X(name, code, text) WS_WHY_##name,
	WS_WHYS(X)
#undef X
	WS_WHY_MAX
};

#define WS_CONTROL_MAX 125	/* payload of a control frame */
#define WS_HEAD_MAX 10		/* head of a frame from the server */
#define WS_KEY_LEN 24
#define WS_ACCEPT_SIZE 29	/* with the terminating zero */

struct ws_frame {
	uint8_t opcode;		/* enum ws_opcode */
	bool fin;
	bool rsv1;		/* compressed (RFC 7692) */
	uint8_t mask[4];
	uint32_t head;		/* bytes before the payload */
	uint64_t len;		/* bytes of payload */
};

const char *ws_opcode_name(unsigned opcode);
uint16_t ws_why_code(enum ws_why why);
const char *ws_why_name(enum ws_why why);
/* "policy violation"; "private use" for 3000..4999, "unknown" for what has no name. */
const char *ws_close_code_name(unsigned code);

/*
 * Reads the head of a frame from a client. >0: its length, *f is filled; the payload may not
 * be there yet (the caller checks n >= head + len). 0: the head is not complete. -1: refused,
 * *why set; refused as early as the bytes allow. max_len bounds the payload of data frames;
 * deflate_ok: permessage-deflate was agreed, so RSV1 may be set on the first frame of a
 * message. Whether a continuation is in place, and the size of the whole message, is the
 * caller's to check.
 */
ssize_t ws_frame_parse(const uint8_t *p, size_t n, uint64_t max_len, bool deflate_ok,
    struct ws_frame *f, enum ws_why *why);

/*
 * Copies n payload bytes from src to dst with the mask taken off; they must not overlap. A
 * payload that is taken in pieces must be cut at multiples of 4.
 */
void ws_unmask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4]);

/* Writes the head of a server's frame to dst, which has WS_HEAD_MAX bytes; returns its length. */
size_t ws_frame_head(uint8_t *dst, uint8_t opcode, bool fin, bool rsv1, uint64_t len);

/* True if a peer may send this code in a close frame: 1000-1003, 1007-1014, 3000-4999. */
bool ws_close_code_valid(uint16_t code);

/* True if key is 24 characters of base64 that encode 16 bytes (RFC 6455, 4.2.1). */
bool ws_key_valid(const char *key, size_t n);

/*
 * The value of Sec-WebSocket-Accept for a key that ws_key_valid() accepted, zero terminated.
 * The digest is looked up at the first call and kept for the life of the process.
 */
void ws_accept_key(const char *key, size_t n, char out[WS_ACCEPT_SIZE]);

#endif
