#ifndef PLENUM_WORKER_UTF8_H
#define PLENUM_WORKER_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * UTF-8 as Unicode (chapter 3, table 3-7) and RFC 3629 define it: no overlong form, no
 * surrogate, nothing above U+10FFFF. Pure functions: any process may call them, none blocks or
 * allocates.
 */

/* Where a text that arrives in pieces stands. All zero is the start; the caller owns it. */
struct utf8_state {
	uint8_t need;	/* continuation bytes still missing; UTF8_DEAD after an error */
	uint8_t low;	/* the next byte must lie in low..high; read only while need is not 0 */
	uint8_t high;
};

#define UTF8_DEAD 0xff

/* True if the n bytes are whole, valid UTF-8. n may be 0. */
bool utf8_valid(const uint8_t *p, size_t n);

/*
 * The next n bytes of a text. False as soon as no continuation could make it valid (RFC 6455,
 * 8.1: fail fast); the state is dead then and every later call returns false.
 */
bool utf8_feed(struct utf8_state *st, const uint8_t *p, size_t n);

/* True if what was fed so far is valid and ends between two characters. */
bool utf8_done(const struct utf8_state *st);

#endif
