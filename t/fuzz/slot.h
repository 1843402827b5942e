/*
 * A worker without a process, a loop and sockets: its private memory, a small region, and a kernel
 * of this file's own (slot_calls.h) that counts what goes through each connection. What a worker
 * leaves when it dies can be kept as the state from which every input begins.
 */
#ifndef PLENUM_T_FUZZ_SLOT_H
#define PLENUM_T_FUZZ_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/heritage.h"
#include "shm/region.h"
#include "worker/priv.h"

enum { SLOT_CONNS = 8, SLOT_FD = 100, SLOT_OUT = 1 << 20, SLOT_CHANNELS = 64 };

/* The other end of a connection: socket SLOT_FD + i. */
struct peer {
	bool open, fin, shut;
	const uint8_t *in;		/* what it sends, and how much of it was read */
	size_t n, at, chunk;		/* chunk: bytes at most per recv(), 0: all */
	uint64_t consumed, written;
	size_t room;			/* bytes that its receive buffer takes */
	size_t nout;
	uint8_t *out;			/* the first SLOT_OUT bytes of what it got */
};

struct slot_world {
	struct heritage h;
	struct worker w;
	struct peer peer[SLOT_CONNS];
	uint64_t now;			/* ms, of both clocks */
	void (*on_call)(void);		/* behind every call but close; may leave by longjmp() */
	bool connecting;		/* somebody waits for accept4() */
};
extern struct slot_world world;

/* Makes the region (once) and a worker on it. */
void slot_make(void);
/* From here on slot_reset() comes back to this: the region's bytes and the peers. */
void slot_keep(void);
void slot_reset(void);
/* The worker's private memory is lost, and another worker of the slot begins. */
void slot_heir(bool fresh, bool faulted);
/* What recover.c does with it, and the end of the turn. */
void slot_recover(void);

/*
 * A word that somebody overwrites, as the input says it: what, which and which word of it, how, and
 * eight bytes more if that needs a value. Returns how many were read.
 */
struct slot_write {
	uint8_t what, which, word, how;
	uint64_t value;
};
unsigned slot_read_writes(const uint8_t *p, size_t n, struct slot_write *out, unsigned max);
uint64_t slot_changed(const struct slot_write *w, uint64_t was);

/* A connection by record number: opened, given bytes, and the turns until they are taken. */
uint32_t slot_connect(void);
void slot_give(uint32_t ci, const void *p, size_t n, size_t chunk);
/* One turn of the loop, as worker.c has it. True if anything moved. */
bool slot_turn(void);
/* What the loop does every TICK_MS. */
void slot_tick(void);
/* Turns until nothing moves. */
void slot_settle(void);

#endif
