/* step_worker: what the files of the oracle share. */
#ifndef PLENUM_T_STEP_ORACLE_H
#define PLENUM_T_STEP_ORACLE_H

#include "t/20-stress/step_client.h"

/* A message that will be published, by a client or by the test itself (-1). */
struct publish *oracle_publish(struct oracle *o, unsigned chan, int client, uint32_t len);

/* Its data, at least p->len bytes of JSON. Returns how many. */
size_t oracle_data(char *out, const struct publish *p);

/* The message is seen at this place: it must be its only one, and nobody else's. False: wrong. */
bool oracle_place(struct oracle *o, struct publish *p, uint64_t seq);

/* What the client does not want back counts as come. */
void oracle_pass_own(const struct oracle *o, struct client *k, unsigned chan);

/* The channel's epoch, 0 if it is not there. */
uint64_t oracle_epoch(const struct oracle *o, unsigned chan);

/* Takes what is complete of the client's input. */
void oracle_take(struct oracle *o, struct client *k);

#endif
