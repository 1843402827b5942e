/* Those who listen: WebSocket subscribers (fast, slow, coming and going) and SSE streams. */
#ifndef PLENUM_TOOLS_SUBSCRIBERS_H
#define PLENUM_TOOLS_SUBSCRIBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "t/tools/client.h"
#include "t/tools/crowd.h"
#include "t/tools/oracle.h"

/* A WebSocket client that follows some channels.  Belongs to whoever embeds it. */
struct sub {
	struct client c;
	struct watch watch;
	struct follower *follow;
	int nfollow;
	int waiting;			/* answers to subscribe and unsubscribe that are due */
	int pings_due;			/* answers to ping that are due */
	bool slow;
	bool ready;			/* all subscriptions were answered once */
	uint64_t progress;
	uint64_t next_ping;
	bool has_since;			/* it was there before: it goes on where it was */
	bool resumes;			/* its slot was lost, not all is subscribed again yet */
};

/* Prepares a sub for channels first, first + 1, …; ops may be NULL for the plain ones. */
void sub_init(struct sub *s, int first, int nfollow, const struct client_ops *ops);

/* To be called by ops of somebody who embeds a sub. */
void sub_subscribe_all(struct sub *s);
void sub_on_message(struct client *c, struct slice text);

/* The usual life: prepare all, open one after the other, work, look whether all is delivered. */
void subscribers_new(void);
bool subscribers_open_next(void);	/* false: all are open or on their way */
bool subscribers_are_ready(void);
void subscribers_tick(uint64_t now);	/* every few milliseconds */
bool subscribers_are_settled(void);	/* nobody is owed anything */
void subscribers_finish(void);		/* tells the oracle what never came */

/* Connections that come, subscribe, and leave in one of three ways. */
void churn_new(void);
void churn_tick(uint64_t now);
bool churn_is_settled(void);		/* in the last phase: all have left */

/* SSE streams. */
void sse_new(void);
bool sse_open_next(void);
bool sse_are_ready(void);
void sse_tick(uint64_t now);
bool sse_are_settled(void);
void sse_finish(void);

#endif
