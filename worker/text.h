/* Small things about numbers and names as text. */
#ifndef PLENUM_WORKER_TEXT_H
#define PLENUM_WORKER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes v in decimal, without a NUL; at most 20 bytes. Returns their number. */
size_t decimal_put(char *out, uint64_t v);

/* Reads the n bytes as a decimal number and nothing else. */
bool decimal_parse(const char *p, size_t n, uint64_t *v);

/* Reads an epoch: 16 lower-case hex digits. */
bool epoch_parse(const char *p, size_t n, uint64_t *epoch);

enum { UUID_LEN = 36 };

/*
 * Writes a random UUID (RFC 9562, version 4) of UUID_LEN characters, without a NUL. One in 64 asks
 * the kernel for randomness; none waits for it.
 */
void uuid_put(char *out);

#endif
