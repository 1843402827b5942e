/*
 * Private lists, and the pools of the slot. A piece of a pool is used if a word of a record names
 * it; the free lists are private and rebuilt by the heir from the records, so nothing is ever freed
 * by a store into the pool itself.
 *
 * The frame arena is used from its start again in each loop turn: what was framed is sent or put
 * into blocks in the same turn, so that nothing is left in it when the next begins. An heir goes on
 * behind what its predecessor used, until it has sent what is queued there.
 */
#include <assert.h>
#include <stdlib.h>

#include "ipc/log.h"
#include "worker/priv.h"

void
list_push(struct list32 *l, uint32_t v)
{
	if (l->n == l->cap) {
		uint32_t cap = l->cap == 0 ? 64 : l->cap * 2;
		uint32_t *p = realloc(l->item, cap * sizeof *p);

		if (p == NULL)
			fatal("out of memory");
		l->item = p;
		l->cap = cap;
	}
	l->item[l->n++] = v;
}

bool
list_pop(struct list32 *l, uint32_t *v)
{
	if (l->n == 0)
		return false;
	*v = l->item[--l->n];
	return true;
}

bool
pool_take(struct pool *p, uint32_t *index)
{
	if (list_pop(&p->holes, index))
		return true;
	if (p->used == p->cap)
		return false;
	*index = p->used++;
	return true;
}

void
pool_give(struct pool *p, uint32_t index)
{
	list_push(&p->holes, index);
}

void
pool_rebuild(struct pool *p, const unsigned char *used, uint32_t cap)
{
	uint32_t i;

	p->cap = cap;
	p->holes.n = 0;
	for (p->used = cap; p->used > 0 && !used[p->used - 1]; p->used--)
		;
	for (i = p->used; i-- > 0;)
		if (!used[i])
			list_push(&p->holes, i);
}

uint32_t
block_get(struct worker *w)
{
	uint32_t b;

	if (!pool_take(&w->blocks, &b)) {
		stat_add(w->stats, STAT_BLOCKS_EMPTY, 1);
		return 0;
	}
	return b + 1;
}

void
block_put(struct worker *w, uint32_t block)
{
	assert(block > 0);
	pool_give(&w->blocks, block - 1);
}

struct block *
block_at(const struct worker *w, uint32_t block)
{
	return region_block(w->r, w->pub.index, block - 1);
}

void *
frames_alloc(struct worker *w, uint32_t bytes)
{
	uint64_t head = word_get(&w->slot->frame_head);

	bytes = (bytes + FRAME_UNIT - 1) & ~(uint32_t)(FRAME_UNIT - 1);
	/* the last part is kept for an heir, who must be able to answer one message at once */
	if (head + bytes > w->frames_size - (w->in_doubt ? 0 : FRAMES_RESERVE))
		return NULL;
	/* before the bytes are used: an heir must not write over them */
	word_set(&w->slot->frame_head, head + bytes);
	return w->frames + head;
}

void
frames_trim(struct worker *w, void *p, uint32_t had, uint32_t used)
{
	uint64_t off = (uint64_t)((unsigned char *)p - w->frames);

	had = (had + FRAME_UNIT - 1) & ~(uint32_t)(FRAME_UNIT - 1);
	used = (used + FRAME_UNIT - 1) & ~(uint32_t)(FRAME_UNIT - 1);
	if (word_get(&w->slot->frame_head) == off + had)
		word_set(&w->slot->frame_head, off + used);
}

void *
frames_at(const struct worker *w, uint32_t ref)
{
	assert(ref != 0 && (uint64_t)(ref - 1) * FRAME_UNIT < w->frames_size);
	return w->frames + (uint64_t)(ref - 1) * FRAME_UNIT;
}

uint32_t
frames_ref(const struct worker *w, const void *p)
{
	return (uint32_t)(((const unsigned char *)p - w->frames) / FRAME_UNIT) + 1;
}

void
frames_reset(struct worker *w)
{
	word_set(&w->slot->frame_head, 0);
}

void
pools_free(struct worker *w)
{
	struct list32 *list[] = { &w->free_conns, &w->blocks.holes, &w->touched, &w->touched_now,
		&w->resume, &w->resume_now, &w->dirty, &w->empty, &w->evicted, &w->unmoved,
		&w->moving };
	size_t i;

	for (i = 0; i < sizeof list / sizeof list[0]; i++)
		free(list[i]->item);
	for (i = 0; i < EXT_CLASSES; i++)
		free(w->ext[i].holes.item);
}
