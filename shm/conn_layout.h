/*
 * A connection, 192 bytes, one writer: the worker of its slot, and after it the heir.
 *
 *   line 0, touched by a delivery
 *   0      4      8        16       24       32       40       48       56       64
 *   +------+------+--------+--------+--------+--------+--------+--------+--------+
 *   |state |fd    |plan    |ctl     |cursor  |info    |cookie  |in_done |part    |
 *   +------+------+--------+--------+--------+--------+--------+--------+--------+
 *   line 1, touched by input and by what lasts longer than a turn
 *   64       72       80       88       96       104      112      120      128
 *   +--------+--------+--------+--------+--------+--------+--------+--------+
 *   |ext     |wait    |asm     |seen    |stream  |next    |last    |deadline|
 *   +--------+--------+--------+--------+--------+--------+--------+--------+
 *   line 2, seldom
 *   128      136      144      152      160      168      176      184      192
 *   +--------+--------+--------+--------+--------+--------+--------+--------+
 *   |rate_at |rate 0-3|rate 4-7|rate 8- |opened  |pinged  |goodbye |first   |
 *   +--------+--------+--------+--------+--------+--------+--------+--------+
 *
 *   word      meaning                                           stored
 *   state     life, mode bits, dialect, listener                first and last of a life
 *   fd        number in the slot's table                        before state OPEN
 *   plan      0, or what is being written: kind, reference and  before the system call; cleared
 *             stream position of its first byte, in one word    (last) when the record is right
 *   ctl       span of replies not yet in the kernel, or 0       when its head is complete
 *   cursor    first subscription: channel + 1 << 44 | seq of    by settle, before plan is cleared;
 *             the last event in the kernel's hands or cut       by an effect
 *   info      first subscription: enum sub_flag                 by an effect
 *   cookie    SO_COOKIE: proves that fd is this socket          before state OPEN
 *   in_done   bytes of the peer's stream fully processed        last store of a message
 *   part      block + 1 of the input behind in_done, or 0       when the block is complete
 *   ext       class << 28 | index + 1 of further subscriptions  when it is complete
 *   wait      0, or what the request waits for
 *   asm       block + 1 of a fragmented message, or 0
 *   seen      ms (CLOCK_MONOTONIC) of the last input            at most ten times a second
 *   stream    0, or the generator of a long answer:             by an effect
 *             kind 8 | generation 24 | channel 32
 *   next,last its position, its end and, in line 2, its start   by settle, by an effect
 *   deadline  ms (CLOCK_MONOTONIC) at which it is closed, or 0
 *   rate*     message limit: tick and eleven counts             before the message is executed
 *   opened    ms since 1970
 *   pinged    ms (CLOCK_MONOTONIC) of the last ping of ours
 *   goodbye   close code that it will get while draining, or 0
 */
#ifndef PLENUM_SHM_CONN_LAYOUT_H
#define PLENUM_SHM_CONN_LAYOUT_H

#include "shm/layout.h"
#include "shm/limits.h"
#include "shm/word.h"

/* state. Numbers of the ABI: never reuse one. */
enum conn_life {
	CONN_FREE, CONN_OPEN, CONN_CLOSING,
	CONN_MOVING,			/* between two slots: shm/move_layout.h */
	CONN_LIFE_MASK = 3
};

enum conn_bit {
	CONN_BLOCKED = 1 << 2,		/* the socket is full: waits for EPOLLOUT */
	CONN_ODD = 1 << 3,		/* registered for something else than EPOLLIN */
	CONN_WS = 1 << 4,
	CONN_SSE = 1 << 5,
	CONN_CLOSE = 1 << 6,		/* close when everything queued is out */
	CONN_LINGER = 1 << 7,		/* we said FIN; input is discarded until theirs */
	CONN_CONTINUED = 1 << 8,	/* 100 Continue is said for the request in arrival */
	CONN_REFUSED = 1 << 9,		/* over the limit: 503 and close */
	CONN_UNIX = 1 << 10,		/* no witness: closed when its worker dies */
	CONN_WS_BYE = 1 << 11,		/* our close frame is queued */
	CONN_BIG = 1 << 12,		/* a message over 64K is in arrival, in private memory */
	CONN_USED = 1 << 13,		/* has carried a request: keep-alive deadlines hold */
	CONN_BODY = 1 << 14,		/* a body is in arrival: its deadline is request_timeout */
	CONN_MOVED = 1 << 15,		/* a copy of its descriptor may lie in some inbox */
	/* 16-20 dialect, 21-25 listener */
};
/* What an effect may change. */
#define CONN_EFFECT_BITS \
	(CONN_WS | CONN_SSE | CONN_CLOSE | CONN_CONTINUED | CONN_WS_BYE | CONN_USED | CONN_BIG | \
	0x1fu << 16)
#define CONN_DIALECT(state) ((state) >> 16 & 31)
#define CONN_LISTENER(state) ((state) >> 21 & 31)

/* How a connection is spoken to: name, and as what it is shown. Numbers of the ABI. */
#define DIALECTS(X) X(HTTP, "http") X(CHANNELS, "channels") X(ECHO, "echo") X(SSE, "sse")

enum dialect_id {
#define X(name, text) DIALECT_##name,
	DIALECTS(X)
#undef X
	DIALECT_COUNT
};

static inline const char *
dialect_name(uint32_t d)
{
	static const char *const names[] = {
#define X(name, text) text,
		DIALECTS(X)
#undef X
	};

	return d < DIALECT_COUNT ? names[d] : "?";
}

enum sub_flag { SUB_PRESENCE = 1 << 0 };

struct conn {
	word32 state;
	_Atomic int32_t fd;
	word64 plan;
	word64 ctl;
	word64 cursor;
	word64 info;
	word64 cookie;
	word64 in_done;
	word64 part;

	word64 ext;
	word64 wait;
	word64 assembly;
	word64 seen;
	word64 stream;
	word64 stream_next;
	word64 stream_last;
	word64 deadline;

	word64 rate_at;
	word64 rate[3];
	word64 opened;
	word64 pinged;
	word64 goodbye;
	word64 stream_first;
};
LAYOUT_AT(conn, state, 0);
LAYOUT_AT(conn, fd, 4);
LAYOUT_AT(conn, plan, 8);
LAYOUT_AT(conn, ctl, 16);
LAYOUT_AT(conn, cursor, 24);
LAYOUT_AT(conn, info, 32);
LAYOUT_AT(conn, cookie, 40);
LAYOUT_AT(conn, in_done, 48);
LAYOUT_AT(conn, part, 56);
LAYOUT_AT(conn, ext, 64);
LAYOUT_AT(conn, wait, 72);
LAYOUT_AT(conn, assembly, 80);
LAYOUT_AT(conn, seen, 88);
LAYOUT_AT(conn, stream, 96);
LAYOUT_AT(conn, stream_next, 104);
LAYOUT_AT(conn, stream_last, 112);
LAYOUT_AT(conn, deadline, 120);
LAYOUT_AT(conn, rate_at, 128);
LAYOUT_AT(conn, rate, 136);
LAYOUT_AT(conn, opened, 160);
LAYOUT_AT(conn, pinged, 168);
LAYOUT_AT(conn, goodbye, 176);
LAYOUT_AT(conn, stream_first, 184);
LAYOUT_SIZE(conn, 192);

/* A subscription beyond the first, in an extension block. */
struct sub {
	word64 cursor;
	word64 info;
};
LAYOUT_SIZE(sub, 16);

enum ext_class { EXT_8, EXT_32, EXT_128, EXT_CLASSES };

/* cursor: channel + 1 in the top 20 bits, seq in 44 */
static inline uint64_t
cursor_make(uint32_t chan, uint64_t seq)
{
	return (uint64_t)(chan + 1) << 44 | seq;
}

static inline int32_t
cursor_chan(uint64_t cursor)
{
	return (int32_t)(cursor >> 44) - 1;
}

static inline uint64_t
cursor_seq(uint64_t cursor)
{
	return cursor & ((1ull << 44) - 1);
}

/* plan: kind 2 | reference 30 | low half of the stream position of its first byte */
enum plan_kind { PLAN_NONE, PLAN_SPAN, PLAN_LIST, PLAN_CUT };

static inline uint64_t
plan_make(enum plan_kind kind, uint32_t ref, uint64_t base)
{
	return (uint64_t)kind << 62 | (uint64_t)ref << 32 | (uint32_t)base;
}

static inline enum plan_kind
plan_kind(uint64_t plan)
{
	return (enum plan_kind)(plan >> 62);
}

static inline uint32_t
plan_ref(uint64_t plan)
{
	return (uint32_t)(plan >> 32) & 0x3fffffff;
}

static inline uint32_t
plan_base(uint64_t plan)
{
	return (uint32_t)plan;
}

#endif
