/*
 * The floor: what the kernel alone costs. A loop over one epoll set that takes messages of the
 * benchmark's own fixed form, copies their data into a frame of the same form and length as
 * plenum's, and sends it to every subscriber of the room by one send(): no history, no check, no
 * resume, no second process.
 */
#ifndef PLENUM_BENCH_FLOOR_H
#define PLENUM_BENCH_FLOOR_H

/* Each runs for ever on a listening socket. */
void floor_send(int listener);		/* a send() per event and subscriber */
void floor_join(int listener);		/* all events of one read() in one send() */

#endif
