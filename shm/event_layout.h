/*
 * An event, as it lies in the arena of the writer that published it.
 *
 *   0        8        16       24       32       40     44     48     52    54 55 56    60     64
 *   +--------+--------+--------+--------+--------+------+------+------+-----+--+--+-----+------+---
 *   |seq     |time    |key     |cookie  |in_off  |chan  |len   |conn  |index|k |f |host |aux   |dat
 *   +--------+--------+--------+--------+--------+------+------+------+-----+--+--+-----+------+---
 *
 * Records begin at multiples of EVENT_ALIGN and never straddle the arena's end; what is left over
 * there, or was reserved by a writer that died before it had filled it, is a record of kind
 * EVENT_PAD. Everything is written by the arena's owner, before the CAS that makes it an event, and
 * never changed afterwards; a reader copies it and validates seq and the arena's low water behind
 * the copy.
 *
 *   field   unit                            written        read by
 *   seq     place in the channel, from 1    before the CAS readers (validation), the heir
 *   time    ms since 1970                   "              history
 *   key     latest-wins key, 0 none         "              framing
 *   cookie  SO_COOKIE of the sender         "              the heir, no-echo
 *   in_off  offset of the message in the    "              the heir: the message in doubt
 *           sender's input stream
 *   chan    channel number                  "              the heir, the cleaner
 *   len     bytes of data                   "              readers
 *   conn    slot << 24 | record of sender   "              the heir
 *   index   which publish of the message    "              the heir
 *   kind    enum event_kind                 "              framing
 *   flags   enum event_flag                 "              framing
 *   host    0 this host                     "              relay
 *   aux     small number of the publisher   "              the heir
 */
#ifndef PLENUM_SHM_EVENT_LAYOUT_H
#define PLENUM_SHM_EVENT_LAYOUT_H

#include "shm/layout.h"
#include "shm/word.h"

enum { EVENT_ALIGN = 64, EVENT_HEAD = 64 };

enum event_kind { EVENT_DATA, EVENT_PAD, EVENT_KIND_COUNT };

enum event_flag {
	EVENT_NO_ECHO = 1 << 0,		/* not to the connection that published it */
	EVENT_TEXT = 1 << 1,		/* data is text, not JSON */
	EVENT_COMPRESSED = 1 << 2,
};

struct event_head {
	uint64_t seq;
	uint64_t time;
	uint64_t key;
	uint64_t cookie;
	uint64_t in_off;
	uint32_t chan;
	uint32_t len;
	uint32_t conn;
	uint16_t index;
	uint8_t kind;
	uint8_t flags;
	uint32_t host;
	uint32_t aux;
};
LAYOUT_AT(event_head, seq, 0);
LAYOUT_AT(event_head, time, 8);
LAYOUT_AT(event_head, key, 16);
LAYOUT_AT(event_head, cookie, 24);
LAYOUT_AT(event_head, in_off, 32);
LAYOUT_AT(event_head, chan, 40);
LAYOUT_AT(event_head, len, 44);
LAYOUT_AT(event_head, conn, 48);
LAYOUT_AT(event_head, index, 52);
LAYOUT_AT(event_head, kind, 54);
LAYOUT_AT(event_head, flags, 55);
LAYOUT_AT(event_head, host, 56);
LAYOUT_AT(event_head, aux, 60);
LAYOUT_SIZE(event_head, EVENT_HEAD);

#endif
