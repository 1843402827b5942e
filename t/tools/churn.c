/*
 * A visitor connects, subscribes (every other time from where it was before), stays for a while
 * and leaves: with a closing handshake, after `unsubscribe`, or by cutting the line.  While it is
 * there it checks what every subscriber checks.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "t/tools/lost.h"
#include "t/tools/subscribers.h"

enum { STAY_MAX_MS = 300, AWAY_MAX_MS = 50, WATCH_MS = 200 };

enum visit { VISIT_AWAY, VISIT_ARRIVING, VISIT_THERE, VISIT_UNSUBSCRIBING, VISIT_CLOSING };

struct visitor {
	struct sub s;			/* first: a client's functions get it */
	enum visit visit;
	uint64_t until;
};

static struct visitor *visitors;
static uint64_t next_watch;

static uint64_t
in_ms(uint64_t now, uint32_t max)
{
	return now + (uint64_t)(1 + crowd_random(max)) * 1000000u;
}

static void
on_open(struct client *c)
{
	sub_subscribe_all((struct sub *)c);
}

static void
on_turn(struct client *c)
{
	struct visitor *v = (struct visitor *)c;

	v->s.progress++;
	if (v->s.waiting > 0)
		return;
	if (v->visit == VISIT_ARRIVING && v->s.ready) {
		v->visit = VISIT_THERE;
		v->until = in_ms(client_rx_time(), STAY_MAX_MS);
	} else if (v->visit == VISIT_UNSUBSCRIBING) {
		v->visit = VISIT_CLOSING;
		client_say_goodbye(c, 1000);
	}
}

static void
gone(struct visitor *v, uint64_t now)
{
	struct follower *f = &v->s.follow[0];

	v->s.has_since = f->next > 1 && crowd_random(2) == 0;
	f->live = false;
	v->s.waiting = 0;
	v->s.ready = false;
	v->visit = VISIT_AWAY;
	v->until = in_ms(now, AWAY_MAX_MS);
}

static void
on_close(struct client *c, int code, const char *why)
{
	struct visitor *v = (struct visitor *)c;

	if (!lost_take(c) && (v->visit != VISIT_CLOSING || code != 1000))
		crowd_closed("visitor", c->id, code, why);
	gone(v, client_now());
}

static const struct client_ops ops = {
	.on_open = on_open,
	.on_message = sub_on_message,
	.on_turn = on_turn,
	.on_close = on_close,
};

void
churn_new(void)
{
	visitors = calloc((size_t)opt.churn + 1, sizeof *visitors);
	assert(visitors != NULL);
	for (int i = 0; i < opt.churn; i++) {
		sub_init(&visitors[i].s, i, 1, &ops);
		visitors[i].s.follow[0].next = 1;
		visitors[i].s.follow[0].slow = true;	/* what it resumes is old */
	}
}

static void
leave(struct visitor *v, uint64_t now)
{
	switch (crowd_phase == CROWD_DRAIN ? 0 : crowd_random(3)) {
	case 0:
		v->visit = VISIT_CLOSING;
		client_say_goodbye(&v->s.c, 1000);
		break;
	case 1:
		v->visit = VISIT_UNSUBSCRIBING;
		v->s.waiting++;
		client_queue_textf(&v->s.c, "{\"type\":\"unsubscribe\",\"channel\":\"%s\"}",
		    oracle_channel_name(v->s.follow[0].channel));
		client_flush(&v->s.c);
		break;
	default:
		client_drop(&v->s.c);
		gone(v, now);
	}
}

void
churn_tick(uint64_t now)
{
	bool watch_turn = now >= next_watch;

	if (watch_turn)
		next_watch = now + WATCH_MS * 1000000u;
	for (int i = 0; i < opt.churn; i++) {
		struct visitor *v = &visitors[i];

		if (v->visit == VISIT_AWAY && now >= v->until && crowd_phase == CROWD_RUN) {
			v->visit = VISIT_ARRIVING;
			tally.visits++;
			client_open(&v->s.c);
		} else if (v->visit == VISIT_THERE &&
		    (now >= v->until || crowd_phase == CROWD_DRAIN) &&
		    (crowd_phase != CROWD_DRAIN || !oracle_is_owed(&v->s.follow[0]))) {
			leave(v, now);
		}
		if (watch_turn && watch_is_stalled(&v->s.watch, v->visit != VISIT_AWAY &&
		    (v->visit != VISIT_THERE || oracle_is_owed(&v->s.follow[0])),
		    v->s.progress, now))
			oracle_violation("visitor %d: stalled in step %d of its visit, state %d",
			    v->s.c.id, (int)v->visit, (int)v->s.c.state);
	}
}

bool
churn_is_settled(void)
{
	for (int i = 0; i < opt.churn; i++)
		if (visitors[i].visit != VISIT_AWAY)
			return false;
	return true;
}
