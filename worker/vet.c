/*
 * A fault may have scribbled over what its worker could write before it ended. So an heir believes
 * nothing that leads out of bounds: a record that names what cannot be is emptied, told and
 * counted, and the sweep closes its descriptor. Everybody else goes on.
 *
 * Pieces (blocks, extensions) belong to one record: who names one second loses. After a fault the
 * descriptors are compared with the cookies as well, and the records behind the last that was used
 * are looked at; that touches their pages and costs a call each, so not after every death.
 */
#include "worker/vet.h"

#include <stdlib.h>
#include <string.h>

#include "ipc/heritage.h"
#include "ipc/log.h"
#include "ipc/witness.h"
#include "worker/dialect.h"
#include "worker/wsframe.h"

enum { BLOCK_DATA = BLOCK_SIZE - offsetof(struct block, data) };

static void *
zeroed(size_t n)
{
	void *p = calloc(n, 1);

	if (p == NULL)
		fatal("out of memory");
	return p;
}

void
used_init(struct worker *w, struct used *u)
{
	unsigned k;

	u->block = zeroed(w->r->caps.blocks);
	for (k = 0; k < EXT_CLASSES; k++)
		u->ext[k] = zeroed(w->r->caps.conns);
	u->fd = w->slot->table_end > 0 ? zeroed((size_t)w->slot->table_end) : NULL;
	u->frames = 0;
}

void
used_fini(struct used *u)
{
	unsigned k;

	free(u->block);
	for (k = 0; k < EXT_CLASSES; k++)
		free(u->ext[k]);
	free(u->fd);
}

bool
used_take(unsigned char *piece, uint64_t n, uint64_t cap)
{
	if (n == 0)
		return true;
	if (n > cap || piece[n - 1] != 0)
		return false;
	piece[n - 1] = 1;
	return true;
}

static bool
cursor_ok(const struct worker *w, uint64_t cursor)
{
	return cursor_chan(cursor) < (int32_t)w->r->caps.channels;
}

/* The ends of the frames grow up to len, and the rest of any one fits a block. */
static bool
frames_ok(const struct worker *w, const struct span *s, uint32_t len)
{
	const uint32_t *ends = (const uint32_t *)(s->data + s->ends);
	uint32_t i, start = 0;

	for (i = 0; i < s->nframes; start = ends[i++])
		if (ends[i] < start || ends[i] - start > BLOCK_DATA)
			return false;
	return start == len && (s->kind == SPAN_STREAM || (s->chan < w->r->caps.channels &&
	    ((s->to | word_get(&s->from)) >> 44) == 0));
}

/* The span of a reference, or NULL if it cannot be one. */
static struct span *
span_at(const struct worker *w, struct used *u, uint64_t ref)
{
	uint64_t off = (ref - 1) * FRAME_UNIT, size;
	struct span *s;
	uint32_t len;

	if (ref == 0 || ref > w->frames_size / FRAME_UNIT || w->frames_size - off < sizeof *s)
		return NULL;
	s = (struct span *)(w->frames + off);
	len = commit_len(word_get(&s->commit));
	if (s->kind == SPAN_REPLY)
		size = SPAN_EFFECTS * sizeof(struct effect) + len;
	else
		size = s->ends + s->nframes * (uint64_t)sizeof(uint32_t);
	if (size > w->frames_size - off - sizeof *s || s->kind > SPAN_STREAM)
		return NULL;
	if (s->kind == SPAN_REPLY ? len > CTL_MAX : s->nframes == 0 || s->nframes > SPAN_FRAMES ||
	    s->ends % 4 != 0 || s->ends < len || !frames_ok(w, s, len))
		return NULL;
	if (u->frames < off + sizeof *s + size)
		u->frames = off + sizeof *s + size;
	return s;
}

static bool
list_ok(const struct worker *w, struct used *u, uint64_t ref)
{
	uint64_t off = (ref - 1) * FRAME_UNIT;
	const struct span_list *l;
	uint32_t i;

	if (ref == 0 || off >= w->frames_size || w->frames_size - off < sizeof *l)
		return false;
	l = (const struct span_list *)(w->frames + off);
	if (l->n > LIST_MAX)
		return false;
	if (u->frames < off + sizeof *l)
		u->frames = off + sizeof *l;
	for (i = 0; i < l->n; i++)
		if (span_at(w, u, l->item[i].ref) == NULL)
			return false;
	return true;
}

static bool
plan_ok(const struct worker *w, struct used *u, uint64_t plan)
{
	uint32_t ref = plan_ref(plan);

	switch (plan_kind(plan)) {
	case PLAN_NONE:
		return plan == 0;
	case PLAN_SPAN:
		return span_at(w, u, ref) != NULL;
	case PLAN_LIST:
		return list_ok(w, u, ref);
	case PLAN_CUT:
		return ref != 0 && used_take(u->block, ref, w->r->caps.blocks) &&
		    word_get(&block_at(w, ref)->len) <= BLOCK_DATA;
	}
	return false;
}

/* The replies of a record, and the effects of the last; *assembly: as they will make it. */
static bool
replies_ok(const struct worker *w, struct used *u, uint64_t ref, uint64_t *assembly)
{
	const struct span *s = ref == 0 ? NULL : span_at(w, u, ref);
	const struct effect *e;
	uint64_t i;

	if (s == NULL || s->kind != SPAN_REPLY)
		return ref == 0;
	if (word_get(&s->from) == 0 || word_get(&s->from) != word_get(&s->commit))
		return true;
	for (i = 0; i < s->to && i < SPAN_EFFECTS; i++) {
		e = (const struct effect *)s->data + i;
		if (e->word == EFFECT_CURSOR && !cursor_ok(w, e->value))
			return false;
		if (e->word == EFFECT_ASSEMBLY)
			*assembly = e->value;
	}
	return true;
}

static bool
ext_ok(const struct worker *w, struct used *u, uint64_t ext)
{
	uint64_t n = ext & 0xfffffff;
	enum ext_class k = (enum ext_class)(ext >> 28);
	const struct sub *s;
	uint32_t i;

	if (ext == 0)
		return true;
	if (ext >> 28 >= EXT_CLASSES || n == 0 || !used_take(u->ext[k], n, w->r->caps.conns))
		return false;
	s = region_ext(w->r, w->pub.index, k, (uint32_t)n - 1);
	for (i = 0; i < ext_subs(k); i++)
		if (!cursor_ok(w, word_get(&s[i].cursor)))
			return false;
	return true;
}

/* Its input and a message that is being put together. */
static bool
blocks_ok(const struct worker *w, struct used *u, uint64_t part, uint64_t assembly)
{
	const struct block *k;

	if (!used_take(u->block, part, w->r->caps.blocks) ||
	    !used_take(u->block, assembly, w->r->caps.blocks))
		return false;
	if (part != 0 && word_get(&block_at(w, (uint32_t)part)->len) > BLOCK_DATA)
		return false;
	if (assembly == 0)
		return true;
	k = block_at(w, (uint32_t)assembly);
	return commit_len(word_get(&k->commit)) <= BLOCK_DATA &&
	    (word_get(&k->tag) == WS_TEXT || word_get(&k->tag) == WS_BINARY);
}

/* Its descriptor is its own. Asked after a fault only. */
static bool
socket_ok(const struct worker *w, struct used *u, const struct conn *c)
{
	int fd = c->fd;

	return fd > 2 && used_take(u->fd, (uint64_t)fd, (uint64_t)w->slot->table_end) &&
	    witness_cookie(fd) == word_get(&c->cookie);
}

/* Only such are moved. */
static bool
at_rest(const struct conn *c)
{
	enum plan_kind k = plan_kind(word_get(&c->plan));

	return word_get(&c->ctl) == 0 && (k == PLAN_NONE || k == PLAN_CUT);
}

static bool
record_ok(const struct worker *w, struct used *u, uint32_t ci)
{
	const struct conn *c = conn_at(w, ci);
	uint64_t assembly = word_get(&c->assembly);
	uint32_t state = word32_get(&c->state);

	if (!plan_ok(w, u, word_get(&c->plan)) || !ext_ok(w, u, word_get(&c->ext)) ||
	    !cursor_ok(w, word_get(&c->cursor)))
		return false;
	if (conn_life(c) == CONN_OPEN && (!replies_ok(w, u, word_get(&c->ctl), &assembly) ||
	    (w->h->faulted && !socket_ok(w, u, c))))
		return false;
	return blocks_ok(w, u, word_get(&c->part), assembly) &&
	    (conn_life(c) != CONN_MOVING || at_rest(c)) &&
	    CONN_DIALECT(state) < DIALECT_COUNT && CONN_LISTENER(state) < LISTENERS_MAX;
}

/* A record in use is right or emptied, a free one is empty: it is filled only in part. */
static void
vet_record(struct worker *w, struct used *u, uint32_t ci)
{
	static const struct conn empty;
	struct conn *c = conn_at(w, ci);

	if (conn_life(c) != CONN_FREE && record_ok(w, u, ci))
		return;
	if (conn_life(c) != CONN_FREE) {
		stat_add(w->stats, STAT_DISCONNECT_HEIR, 1);
		log_error("a record was overwritten, its connection is closed conn=%u.%u",
		    w->pub.index, ci);
		if (hdr_conn(word_get(&w->slot->hdr)) == (int32_t)ci)
			word_set(&w->slot->hdr, 0);
		word32_set(&c->state, CONN_FREE);
	}
	if (memcmp((const void *)c, (const void *)&empty, sizeof *c) != 0)
		memset((void *)c, 0, sizeof *c);
}

/*
 * How many records may be in use, whatever the slot says. All are looked at after a fault only, as
 * that touches their pages.
 */
static uint32_t
vet_count(struct worker *w)
{
	uint64_t used = word_get(&w->slot->conns_used);
	uint32_t i;

	if (used > w->conns_max)
		used = w->conns_max;
	for (i = (uint32_t)used; w->h->faulted && i < w->conns_max; i++)
		if (word32_get(&conn_at(w, i)->state) != CONN_FREE)
			used = i + 1;
	if (used != word_get(&w->slot->conns_used))
		word_set(&w->slot->conns_used, used);
	return (uint32_t)used;
}

void
vet_records(struct worker *w)
{
	struct slot *s = w->slot;
	uint32_t used = vet_count(w), i;
	uint64_t head = word_get(&s->frame_head), accepting = (uint32_t)word_get(&s->accepting);
	struct used u;

	if (accepting == 0 ? word_get(&s->accepting) != 0 : accepting > used)
		word_set(&s->accepting, 0);
	if (word_get(&s->arriving) != 0 && (arriving_here(word_get(&s->arriving)) >= used ||
	    arriving_from(word_get(&s->arriving)) >= w->r->caps.workers ||
	    arriving_record(word_get(&s->arriving)) >= w->conns_max))
		word_set(&s->arriving, 0);
	used_init(w, &u);
	for (i = 0; i < (w->h->faulted ? w->conns_max : used); i++)
		vet_record(w, &u, i);
	/* an heir must not write over what is named, nor behind the end */
	if (head < u.frames)
		head = u.frames;
	head = (head + FRAME_UNIT - 1) & ~(uint64_t)(FRAME_UNIT - 1);
	if (head > w->frames_size || head < u.frames)
		head = w->frames_size;
	if (head != word_get(&s->frame_head))
		word_set(&s->frame_head, head);
	used_fini(&u);
}

bool
vet_conn(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	enum dialect_id id = conn_dialect(c);
	const struct dialect *d = dialect_get(id);
	uint64_t part = word_get(&c->part), off;
	bool ws = conn_has(c, CONN_WS), sse = conn_has(c, CONN_SSE);

	if ((ws && sse) || (sse != (id == DIALECT_SSE)) || ws != (d->message != NULL) ||
	    (d->event == NULL && subs_count(w, ci) > 0))
		return false;
	if (part == 0)
		return true;
	off = word_get(&block_at(w, (uint32_t)part)->off);
	return word_get(&c->in_done) - off <= word_get(&block_at(w, (uint32_t)part)->len);
}

uint64_t
vet_plan_len(const struct worker *w, uint64_t plan)
{
	enum plan_kind kind = plan_kind(plan);
	const struct span_list *l;
	uint64_t n = 0;
	uint32_t i;

	if (kind == PLAN_CUT)
		return word_get(&block_at(w, plan_ref(plan))->len);
	if (kind == PLAN_SPAN)
		return commit_len(word_get(&((struct span *)frames_at(w, plan_ref(plan)))->commit));
	l = frames_at(w, plan_ref(plan));
	for (i = 0; i < l->n; i++)
		n += commit_len(
		    word_get(&((struct span *)frames_at(w, l->item[i].ref))->commit));
	return n;
}
