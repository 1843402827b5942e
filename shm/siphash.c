/*
 * Four words of state are keyed, then each word of eight bytes is mixed in by two rounds, the last
 * one holding what is left over and the length; four more rounds give each half of the result. The
 * constants are the paper's ("somepseudorandomlygeneratedbytes"); the marks 0xee and 0xdd set the
 * long result apart from the short one.
 */
#include "shm/siphash.h"

#include <string.h>

struct sip {
	uint64_t a, b, c, d;
};

static uint64_t
rotate(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static void
rounds(struct sip *s, unsigned n)
{
	for (; n > 0; n--) {
		s->a += s->b;
		s->c += s->d;
		s->b = rotate(s->b, 13) ^ s->a;
		s->d = rotate(s->d, 16) ^ s->c;
		s->a = rotate(s->a, 32) + s->d;
		s->c += s->b;
		s->d = rotate(s->d, 21) ^ s->a;
		s->b = rotate(s->b, 17) ^ s->c;
		s->c = rotate(s->c, 32);
	}
}

static void
absorb(struct sip *s, uint64_t word)
{
	s->d ^= word;
	rounds(s, 2);
	s->a ^= word;
}

void
siphash_128(const uint64_t key[2], const void *p, size_t n, uint64_t out[2])
{
	const unsigned char *at = p;
	uint64_t word, last = (uint64_t)n << 56;
	struct sip s = {
		key[0] ^ 0x736f6d6570736575ull, key[1] ^ 0x646f72616e646f6dull ^ 0xee,
		key[0] ^ 0x6c7967656e657261ull, key[1] ^ 0x7465646279746573ull,
	};

	for (; n >= 8; n -= 8, at += 8) {
		memcpy(&word, at, 8);
		absorb(&s, word);
	}
	word = 0;
	if (n > 0)
		memcpy(&word, at, n);
	absorb(&s, last | word);
	s.c ^= 0xee;
	rounds(&s, 4);
	out[0] = s.a ^ s.b ^ s.c ^ s.d;
	s.b ^= 0xdd;
	rounds(&s, 4);
	out[1] = s.a ^ s.b ^ s.c ^ s.d;
}
