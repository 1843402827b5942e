/* Those who send: WebSocket and HTTP publishers, and the loops that ask for /health. */
#ifndef PLENUM_TOOLS_PUBLISHERS_H
#define PLENUM_TOOLS_PUBLISHERS_H

#include <stdbool.h>
#include <stdint.h>

void publishers_new(void);
bool publishers_open_next(void);	/* false: all are open or on their way */
bool publishers_are_ready(void);
void publishers_start(uint64_t now);	/* the running phase begins */
void publishers_tick(uint64_t now);	/* sends what the rate allows; every millisecond */
bool publishers_are_settled(void);	/* every message and request is answered */
void publishers_finish(void);

void getters_new(void);
void getters_tick(uint64_t now);
bool getters_are_settled(void);
void getters_finish(void);

/*
 * Asks the server for each channel's newest seq and, where it is cheap, its history, and gives
 * both to the oracle.  To be called when all is settled; returns when done.
 */
void audit_channels(void);

#endif
