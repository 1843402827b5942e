/*
 * Forced in front of the sources that speak to the kernel (t/Makefile.inc), so that a harness is
 * their kernel: what they call is t/fuzz/slot.c. Time and random numbers stand still there.
 */
#ifndef PLENUM_T_FUZZ_SLOT_CALLS_H
#define PLENUM_T_FUZZ_SLOT_CALLS_H

#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define recv slot_recv
#define send slot_send
#define sendmsg slot_sendmsg
#define shutdown slot_shutdown
#define close slot_close
#define setsockopt slot_setsockopt
#define epoll_ctl slot_epoll_ctl
#define getrandom slot_getrandom
#define accept4 slot_accept4
#define getsockname slot_getsockname
#define getsockopt slot_getsockopt

ssize_t slot_recv(int fd, void *p, size_t n, int flags);
ssize_t slot_send(int fd, const void *p, size_t n, int flags);
ssize_t slot_sendmsg(int fd, const struct msghdr *m, int flags);
int slot_shutdown(int fd, int how);
int slot_close(int fd);
int slot_setsockopt(int fd, int level, int name, const void *p, socklen_t n);
int slot_epoll_ctl(int set, int op, int fd, struct epoll_event *e);
ssize_t slot_getrandom(void *p, size_t n, unsigned flags);
int slot_accept4(int fd, struct sockaddr *a, socklen_t *n, int flags);
int slot_getsockname(int fd, struct sockaddr *a, socklen_t *n);
int slot_getsockopt(int fd, int level, int name, void *p, socklen_t *n);

#endif
