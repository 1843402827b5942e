/*
 * SipHash-2-4 with 128 bits of result (Aumasson and Bernstein, 2012): a fingerprint of bytes that
 * nobody can make collide who does not have the key. Pure.
 */
#ifndef PLENUM_SHM_SIPHASH_H
#define PLENUM_SHM_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

void siphash_128(const uint64_t key[2], const void *p, size_t n, uint64_t out[2]);

#endif
