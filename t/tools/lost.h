/*
 * Connections that whoever drives the crowd is about to lose on purpose, because it kills all that
 * holds them: with --commands, stdin names them by their local ports, a line "lost PORT PORT ...",
 * which is answered by a line "noted N" on stdout. Such a close is counted apart. A line "end" ends
 * the publishing before its time.
 */
#ifndef PLENUM_TOOLS_LOST_H
#define PLENUM_TOOLS_LOST_H

#include <stdbool.h>
#include <stdint.h>

#include "t/tools/client.h"

/* Prepares stdin; call once if there are commands. */
void lost_begin(void);

/* Reads what was said; never waits. False when it is time to end. */
bool lost_tick(uint64_t now);

/*
 * True if the closed client's connection was named a short while ago, or with --resume: counts and
 * forgets it.
 */
bool lost_take(const struct client *c);

#endif
