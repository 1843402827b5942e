/*
 * Words of shared memory.
 *
 * A record with one writer is brought up by stores that its heir must see in program order. The
 * stores of a killed process retire in order, and the heir runs after the kernel has seen it exit,
 * so only the compiler has to be held: word_set() is the one place where that is done. On the
 * machines plenum runs on it is a plain store.
 *
 * Words that several processes change at once are _Atomic fields with explicit orders, beside the
 * code that changes them.
 */
#ifndef PLENUM_SHM_WORD_H
#define PLENUM_SHM_WORD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef _Atomic uint64_t word64;
typedef _Atomic uint32_t word32;

/* Store in program order. Only the owner of the word. */
static inline void
word_set(word64 *w, uint64_t v)
{
	atomic_signal_fence(memory_order_seq_cst);
	/* release: pairs with word_get() of the heir and of inspectors */
	atomic_store_explicit(w, v, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

static inline uint64_t
word_get(const word64 *w)
{
	/* acquire: pairs with word_set() */
	return atomic_load_explicit((word64 *)w, memory_order_acquire);
}

static inline void
word32_set(word32 *w, uint32_t v)
{
	atomic_signal_fence(memory_order_seq_cst);
	/* release: pairs with word32_get() */
	atomic_store_explicit(w, v, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

static inline uint32_t
word32_get(const word32 *w)
{
	/* acquire: pairs with word32_set() */
	return atomic_load_explicit((word32 *)w, memory_order_acquire);
}

/*
 * Copy n bytes of private memory into shared words, the last one padded with zeros; dst has room
 * for n rounded up to 8. Readers may look on: each store is a release, so whoever sees a new word
 * also sees what the writer stored before it (the arena's low-water mark).
 */
static inline void
words_publish(word64 *dst, const void *src, size_t n)
{
	const unsigned char *s = src;
	uint64_t v;

	for (; n >= 8; n -= 8, s += 8) {
		memcpy(&v, s, 8);
		atomic_store_explicit(dst++, v, memory_order_release);
	}
	if (n > 0) {
		v = 0;
		memcpy(&v, s, n);
		atomic_store_explicit(dst, v, memory_order_release);
	}
}

/* The other direction: acquire loads, so that a check made afterwards is not made too early. */
static inline void
words_fetch(void *dst, const word64 *src, size_t n)
{
	unsigned char *d = dst;
	uint64_t v;

	for (; n >= 8; n -= 8, d += 8) {
		v = atomic_load_explicit((word64 *)src++, memory_order_acquire);
		memcpy(d, &v, 8);
	}
	if (n > 0) {
		v = atomic_load_explicit((word64 *)src, memory_order_acquire);
		memcpy(d, &v, n);
	}
}

#endif
