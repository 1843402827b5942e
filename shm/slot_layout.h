/*
 * A slot: the words of one writer (a worker and its keeper, or a helper).
 *
 *   field          writer                    readers          order     reset by
 *   intent         owner; who laps its       owner's heir     seq_cst   next publish
 *                  event testifies (CAS)
 *   arena_reserved owner                     readers          release   never
 *   arena_head     owner                     heir             word_set  never
 *   arena_low      owner                     heir             word_set  never
 *   frame_head     owner                     heir             word_set  each turn
 *   hdr            owner                     heir             word_set  close of what it names
 *   accepting      owner                     heir             word_set  owner
 *   claiming       owner                     heir             word_set  owner
 *   arriving*      owner                     heir             word_set  owner
 *   conns_used     owner                     heir, inspectors word_set  never
 *   idempotency*   owner                     heir             word_set  next period
 *   sleeping       owner; wakers (xchg)      wakers           seq_cst   both
 *   hints          anybody (fetch_or)        owner (xchg)     seq_cst   owner
 *   beat           owner's loop only         master           word_set  never
 *   quiet          owner's loop              master           seq_cst   never
 *   order          master                    owner, keeper    word_set  master
 *   snapshot       owner                     master           word_set  owner
 *   keeper, pid    keeper, owner             master           word_set  keeper
 *   gen, deaths*   keeper                    everybody        word_set  never
 *   signal         owner's fault handler     keeper           relaxed   keeper
 *   stuck          master                    keeper           word_set  keeper
 *   suspect*       heir                      heir             word_set  heir
 *   pause_us       heir                      inspectors       word_set  heir
 *   left           owner                     keeper           word_set  keeper
 *   served_by      master                    owners           word_set  never
 *   settled        owner                     keeper           word_set  owner
 *   image, upgrade*, trial_until
 *                  keeper                    master           word_set  keeper
 *   orphaned       keeper; the new master    owner, helpers   word_set  keeper
 *   inbox, outbox  master before the fork    everybody        (fork)    never
 *   fds            master before the fork;   slot             word_set  never
 *                  keeper_pidfd: owner,
 *                  worker_pidfd, line: keeper
 *   log_head       owner                     logger           release   never
 *   log_tail       logger                    owner            release   never
 *   stats          owner                     everybody        relaxed   never
 */
#ifndef PLENUM_SHM_SLOT_LAYOUT_H
#define PLENUM_SHM_SLOT_LAYOUT_H

#include "shm/layout.h"
#include "shm/limits.h"
#include "shm/stats.h"
#include "shm/word.h"

/* Bits of intent beside the position (a multiple of EVENT_ALIGN, modulo 2^47). */
enum { INTENT_PENDING = 1, INTENT_SEEN = 2, INTENT_FLAGS = 3 };

enum slot_order {
	ORDER_RUN,
	ORDER_RENEW,		/* end at the top of the loop; an heir follows */
	ORDER_EXEC,		/* the same; before it the keeper becomes another program */
	ORDER_CLOSE,		/* move everybody to other slots, end when nobody is left */
	ORDER_DRAIN,		/* say goodbye, end when nobody is left */
	ORDER_STOP,		/* end now; nobody follows */
	ORDER_COUNT
};

/* Why the last worker of a slot ended. */
enum slot_death {
	DEATH_NONE,
	DEATH_KILLED,		/* SIGKILL and other signals from outside */
	DEATH_FAULT,		/* a signal of its own making */
	DEATH_EXIT,		/* left early by itself */
	DEATH_RENEWED,		/* reload, recycling: planned */
	DEATH_STUCK,		/* ended by the watchdog */
	DEATH_COUNT
};

/* hdr: in-block bit, record + 1, low 40 bits of the stream offset of the first byte */
#define HDR_BLOCK (1ull << 63)
#define HDR_OFF_MASK ((1ull << 40) - 1)

static inline uint64_t
hdr_make(uint32_t conn, uint64_t off, int in_block)
{
	return (uint64_t)(conn + 1) << 40 | (off & HDR_OFF_MASK) | (in_block ? HDR_BLOCK : 0);
}

static inline int32_t
hdr_conn(uint64_t hdr)
{
	return (int32_t)((hdr & ~HDR_BLOCK) >> 40) - 1;
}

/* arriving: source's slot << 40 | its record << 20 | record + 1 here */
static inline uint64_t
arriving_make(unsigned from, uint32_t record, uint32_t here)
{
	return (uint64_t)from << 40 | (uint64_t)record << 20 | (here + 1);
}

static inline unsigned
arriving_from(uint64_t arriving)
{
	return (unsigned)(arriving >> 40);
}

static inline uint32_t
arriving_record(uint64_t arriving)
{
	return (uint32_t)(arriving >> 20) & 0xfffff;
}

static inline uint32_t
arriving_here(uint64_t arriving)
{
	return ((uint32_t)arriving & 0xfffff) - 1;
}

struct slot {
	/* line 0: the owner's */
	word64 intent;
	word64 arena_reserved;
	word64 arena_head;
	word64 arena_low;
	word64 frame_head;
	word64 hdr;
	word64 accepting;	/* listener << 32 | record + 1 */
	word64 claiming;	/* channel + 1 that is being prepared */

	/* line 1: anybody's */
	_Alignas(64) word32 sleeping;
	word32 hints;
	word64 summary[SUMMARY_WORDS];	/* a bit per word of dirty that is not 0 */

	/* line 4: supervision */
	_Alignas(64) word64 beat;
	word64 quiet;
	word32 order;
	word32 gen;
	word64 snapshot;
	word32 pid;
	word32 keeper;
	word64 deaths[DEATH_COUNT];
	word64 died_us;		/* CLOCK_MONOTONIC, when the keeper saw the last death */
	word64 pause_us;	/* from there to the heir's first turn */
	word64 recover_us;
	word64 started;		/* ms since 1970 */
	word32 signal;		/* that the worker's fault handler saw */
	word32 stuck;		/* the watchdog ended it */
	word32 suspect_count;
	word32 left;		/* the worker ended by itself, as it was told to */
	word32 served_by;	/* whose worker takes what arrives at its listeners, + 1; 0: none */
	word32 spare;
	word32 settled;		/* gen of the worker that has swept the table */
	word64 orphaned;	/* ms CLOCK_MONOTONIC, since when there is no master; 0 */
	word64 image;		/* which program the keeper is (ipc/image.h) */
	word32 upgrade;		/* the last upgrade it was part of, by number */
	word32 upgrade_next;	/* the one that image_fd is for */
	word32 upgrade_failed;	/* the last one that it went back from */
	word32 upgrade_trial;	/* what image_fd is, is on trial */
	word64 trial_until;	/* ms CLOCK_MONOTONIC: until then it goes back if a worker fails */
	word64 suspect_key;
	word64 suspect_in;
	word64 backoff_until;	/* ms CLOCK_MONOTONIC, 0: running */
	word64 requests;	/* since the worker started: for max_requests */
	word64 conns_used;	/* records ever used: the scan's end */
	word64 conns_open;
	word64 conns_dialect[8];		/* by enum dialect_id */
	word64 idempotency_used[2];	/* by parity: period 32 | records used 32 */
	word64 arriving;	/* the connection that is being taken over, or 0 */
	word64 arriving_gen;	/* generation of its move: stored before */

	/* descriptors in the slot's table */
	_Alignas(64) _Atomic int32_t client_epoll;
	_Atomic int32_t event_fd;
	_Atomic int32_t table_end;	/* numbers from here on are not used */
	_Atomic int32_t line;		/* to the master (ipc/line.h); -1: it is gone */
	_Atomic int32_t door;		/* where a new master knocks */
	_Atomic int32_t worker_pidfd;	/* -1: none */
	_Atomic int32_t keeper_pidfd;	/* -1: none */
	_Atomic int32_t image_fd;	/* a program to become; -1: none */
	_Atomic int32_t old_fd;		/* the one it was before; -1: none */
	_Atomic int32_t inbox;		/* where connections for the slot arrive */
	_Atomic int32_t outbox;		/* the end of it that is sent to */
	_Atomic int32_t listener[LISTENERS_MAX];

	_Alignas(64) word64 log_head;
	word64 log_lost;
	_Alignas(64) word64 log_tail;

	_Alignas(64) struct stats stats;
};
LAYOUT_AT(slot, intent, 0);
LAYOUT_AT(slot, arena_reserved, 8);
LAYOUT_AT(slot, arena_head, 16);
LAYOUT_AT(slot, arena_low, 24);
LAYOUT_AT(slot, frame_head, 32);
LAYOUT_AT(slot, hdr, 40);
LAYOUT_AT(slot, accepting, 48);
LAYOUT_AT(slot, claiming, 56);
LAYOUT_AT(slot, sleeping, 64);
LAYOUT_AT(slot, hints, 68);
LAYOUT_AT(slot, summary, 72);
LAYOUT_AT(slot, beat, 256);

/* Names, for people; asserted length in shm/stats.c. */
const char *slot_death_name(enum slot_death d);
const char *slot_order_name(enum slot_order o);

#endif
