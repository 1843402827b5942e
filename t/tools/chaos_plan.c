/*
 * Each action has random numbers of its own, so that leaving one out moves no other. Its steps lie
 * `every` ms apart, each moved by up to a quarter of that; in a run that is too short for two of
 * them they come closer, so that each is done at least once. Who is the victim is a number below
 * the count of workers at that time, which the plan itself changes.
 */
#include "t/tools/chaos_plan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_LEAST = 2, WORKERS_MOST = 6 };

static const struct {
	const char *name;
	uint32_t every;
	const char *one, *many;
} table[] = {
#define X(name, word, every, one, many) { word, every, one, many },
	CHAOS_ACTIONS(X)
#undef X
};
_Static_assert(sizeof table / sizeof table[0] == CHAOS_ACTION_COUNT, "a row per action");

/* splitmix64 */
static uint32_t
draw(uint64_t *state, uint32_t below)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

static uint32_t
every_of(const struct chaos_plan_options *o, enum chaos_action a)
{
	uint32_t every = a == CHAOS_WORKER ? o->kill_ms : table[a].every;

	return every > o->ms * 2 / 3 ? o->ms * 2 / 3 : every;
}

static size_t
add_steps(const struct chaos_plan_options *o, enum chaos_action a, struct chaos_step *out)
{
	uint64_t state = o->seed * CHAOS_ACTION_COUNT + (uint64_t)a;
	uint32_t every = every_of(o, a), at;
	size_t n = 0;

	for (at = every / 2; at + every / 4 < o->ms; at += every) {
		struct chaos_step *s = &out[n++];

		s->ms = at + draw(&state, every / 4 + 1);
		s->action = a == CHAOS_WORKER && draw(&state, 2) == 0 ? CHAOS_KEEPER : a;
		s->arg = draw(&state, 1u << 30);
	}
	return n;
}

static int
by_time(const void *a, const void *b)
{
	const struct chaos_step *x = a, *y = b;

	if (x->ms != y->ms)
		return x->ms < y->ms ? -1 : 1;
	return (int)x->action - (int)y->action;
}

/* A number of workers other than the present one. */
static unsigned
other_count(unsigned now, unsigned random)
{
	unsigned n = WORKERS_LEAST + random % (WORKERS_MOST - WORKERS_LEAST);

	return n >= now ? n + 1 : n;
}

/* Random numbers become slots, connections and counts. */
static void
choose(const struct chaos_plan_options *o, struct chaos_step *s, unsigned *workers)
{
	switch (s->action) {
	case CHAOS_STORM:
		s->arg = o->storm;
		break;
	case CHAOS_WORKERS:
		*workers = s->arg = other_count(*workers, s->arg);
		break;
	default:
		s->arg %= *workers;
	}
}

struct chaos_step *
chaos_plan_new(const struct chaos_plan_options *o, size_t *n)
{
	struct chaos_step *steps;
	unsigned workers = o->workers;
	size_t most = 0, i;
	int a;

	assert(o->ms >= 1000 && o->kill_ms >= 10 && o->workers > 0);
	for (a = 0; a < CHAOS_ACTION_COUNT; a++)
		most += o->ms / every_of(o, (enum chaos_action)a) + 2;
	steps = calloc(most, sizeof *steps);
	assert(steps != NULL);
	*n = 0;
	for (a = 0; a < CHAOS_ACTION_COUNT; a++)
		if (a != CHAOS_KEEPER && o->with[a])
			*n += add_steps(o, (enum chaos_action)a, steps + *n);
	qsort(steps, *n, sizeof *steps, by_time);
	for (i = 0; i < *n; i++)
		choose(o, &steps[i], &workers);
	if (workers != o->workers)	/* what is left over is counted with as many as before */
		steps[(*n)++] = (struct chaos_step){ o->ms, CHAOS_WORKERS, o->workers };
	return steps;
}

void
chaos_plan_print(const struct chaos_step *s, char *out, size_t size)
{
	const char *text = table[s->action].one, *hole = strstr(text, "%u");

	if (hole == NULL)
		snprintf(out, size, "%s", text);
	else
		snprintf(out, size, "%.*s%u%s", (int)(hole - text), text, s->arg, hole + 2);
}

int
chaos_action_of(const char *name)
{
	for (int a = 0; a < CHAOS_ACTION_COUNT; a++)
		if (strcmp(table[a].name, name) == 0)
			return a;
	return -1;
}

const char *
chaos_action_words(enum chaos_action a)
{
	return table[a].many;
}
