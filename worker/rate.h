/* message_rate: a limit on the messages of one connection. */
#ifndef PLENUM_WORKER_RATE_H
#define PLENUM_WORKER_RATE_H

#include <stdbool.h>

struct message;

/*
 * Counts this message against its connection's message_rate. False: it is one too many in this
 * second, refuse it (refused ones are not counted).
 */
bool rate_take(struct message *m);

#endif
