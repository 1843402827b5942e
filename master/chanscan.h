/* Walking over the channel table without touching pages of it that nobody has used. */
#ifndef PLENUM_MASTER_CHANSCAN_H
#define PLENUM_MASTER_CHANSCAN_H

#include <stdint.h>

struct region;

/* The first channel number >= at that may be in use; the number of channels if there is none. */
uint32_t chanscan_next(const struct region *r, uint32_t at);

/* How many channels are open. */
uint32_t chanscan_count(const struct region *r);

#endif
