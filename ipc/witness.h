/*
 * The kernel as witness: how far either stream of a TCP connection got, by its own counters. Exact
 * for sockets that were accepted (tcp(7): TCP_INFO, SIOCOUTQ, SIOCINQ; linux/tcp.h).
 */
#ifndef PLENUM_IPC_WITNESS_H
#define PLENUM_IPC_WITNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes handed to the kernel on this socket so far. */
uint64_t witness_written(int fd);

/* Bytes read from this socket so far; urgent bytes must be inline (SO_OOBINLINE). */
uint64_t witness_consumed(int fd);

/* SO_COOKIE: the identity of a socket while the host is up; 0 if fd is none. */
uint64_t witness_cookie(int fd);

/*
 * Checks on a pair of loopback sockets that the counters are exact here: partial writes, a half
 * read queue, a FIN. True, or false with the reason in why. Blocks for some milliseconds; for the
 * start of the daemon and tests.
 */
bool witness_selftest(char *why, size_t n);

#endif
