/*
 * The region is made once. Its pages are mapped privately, so that what a run stores is dropped in
 * one call and the next begins with the bytes that slot_keep() wrote into the memfd. Pages that may
 * not be touched lie before and behind it.
 */
#include "t/fuzz/slot.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "ipc/witness.h"
#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/dirty.h"
#include "t/fuzz/slot_calls.h"

/* this file's own calls are real */
#undef close

enum { GUARD = 16 << 20, TURNS_MAX = 1 << 17, EPOLL_FD = 90, LISTEN_FD = 91 };

struct slot_world world;
static struct slot_world kept;
static uint8_t *kept_out[SLOT_CONNS];

static const struct region_caps caps = {
	.workers = 1,
	.channels = SLOT_CHANNELS,
	.ring_cells = 16,
	.conns = SLOT_CONNS,
	.blocks = 6,
	.idempotency = 16,
	.arena = 1 << 20,
	.frame_arena = 1 << 20,
};

/* ---- the kernel ---- */

static struct peer *
peer_of(int fd)
{
	if (fd < SLOT_FD || fd >= SLOT_FD + SLOT_CONNS || !world.peer[fd - SLOT_FD].open)
		return NULL;
	return &world.peer[fd - SLOT_FD];
}

static void
called(void)
{
	if (world.on_call != NULL)
		world.on_call();
}

ssize_t
slot_recv(int fd, void *p, size_t n, int flags)
{
	struct peer *s = peer_of(fd);
	size_t have;

	if (s == NULL) {
		errno = EBADF;
		return -1;
	}
	have = s->n - s->at;
	if (have == 0) {
		errno = EAGAIN;
		return s->fin ? 0 : -1;
	}
	if (have > n)
		have = n;
	if (s->chunk != 0 && have > s->chunk)
		have = s->chunk;
	/* all that the caller says it has room for is his */
	memset(p, 0xee, n);
	memcpy(p, s->in + s->at, have);
	s->at += have;
	s->consumed += have;
	called();
	return (ssize_t)have;
}

static size_t
take(struct peer *s, const void *p, size_t n)
{
	size_t k = n < s->room ? n : s->room, fits = SLOT_OUT - s->nout;
	volatile unsigned char look = 0;
	size_t i;

	for (i = 0; i < n; i += 512)		/* the kernel reads what it is told to */
		look = ((const unsigned char *)p)[i];
	(void)look;
	s->room -= k;
	s->written += k;
	if (fits > k)
		fits = k;
	memcpy(s->out + s->nout, p, fits);
	s->nout += fits;
	return k;
}

ssize_t
slot_send(int fd, const void *p, size_t n, int flags)
{
	struct peer *s = peer_of(fd);
	size_t k;

	if (s == NULL || s->shut) {
		errno = s == NULL ? EBADF : EPIPE;
		return -1;
	}
	k = take(s, p, n);
	called();
	errno = EAGAIN;
	return k == 0 && n > 0 ? -1 : (ssize_t)k;
}

ssize_t
slot_sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct peer *s = peer_of(fd);
	size_t sum = 0, want = 0, k, i;

	if (s == NULL || s->shut || m->msg_iovlen > 1024) {
		errno = s == NULL ? EBADF : EPIPE;
		return -1;
	}
	for (i = 0; i < m->msg_iovlen; i++) {
		want += m->msg_iov[i].iov_len;
		k = take(s, m->msg_iov[i].iov_base, m->msg_iov[i].iov_len);
		sum += k;
		if (k < m->msg_iov[i].iov_len)
			break;
	}
	called();
	errno = EAGAIN;
	return sum == 0 && want > 0 ? -1 : (ssize_t)sum;
}

int
slot_shutdown(int fd, int how)
{
	struct peer *s = peer_of(fd);

	if (s != NULL)
		s->shut = true;
	return 0;
}

int
slot_close(int fd)
{
	struct peer *s = peer_of(fd);

	if (s == NULL)
		return -1;
	s->open = false;
	return 0;
}

int
slot_setsockopt(int fd, int level, int name, const void *p, socklen_t n)
{
	return 0;
}

int
slot_epoll_ctl(int set, int op, int fd, struct epoll_event *e)
{
	if (peer_of(fd) != NULL)
		return 0;
	errno = EBADF;
	return -1;
}

ssize_t
slot_getrandom(void *p, size_t n, unsigned flags)
{
	memset(p, 0x5a, n);
	return (ssize_t)n;
}

/* Opens the first socket that is closed. */
int
slot_accept4(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
	struct peer *s;
	int i;

	for (i = 0; i < SLOT_CONNS && world.connecting; i++) {
		s = &world.peer[i];
		if (s->open)
			continue;
		world.connecting = false;
		*s = (struct peer){ .open = true, .room = SIZE_MAX, .out = s->out };
		called();
		return SLOT_FD + i;
	}
	errno = EAGAIN;
	return -1;
}

int
slot_getsockname(int fd, struct sockaddr *a, socklen_t *n)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = 80 };

	if (fd != LISTEN_FD && peer_of(fd) == NULL)
		return -1;
	memcpy(a, &in, sizeof in);
	return 0;
}

int
slot_getsockopt(int fd, int level, int name, void *p, socklen_t *n)
{
	assert(name == SO_ACCEPTCONN);
	*(int *)p = fd == LISTEN_FD;
	return fd == LISTEN_FD || peer_of(fd) != NULL ? 0 : -1;
}

uint64_t
witness_written(int fd)
{
	struct peer *s = peer_of(fd);

	return s == NULL ? 0 : s->written;
}

uint64_t
witness_consumed(int fd)
{
	struct peer *s = peer_of(fd);

	return s == NULL ? 0 : s->consumed;
}

uint64_t
witness_cookie(int fd)
{
	return peer_of(fd) == NULL ? 0 : 1000 + (uint64_t)fd;
}

void
process_close_others(int *keep, size_t n)
{
	int fd;
	size_t i;

	for (fd = SLOT_FD; fd < SLOT_FD + SLOT_CONNS; fd++) {
		for (i = 0; i < n && keep[i] != fd; i++)
			;
		if (i == n)
			slot_close(fd);
	}
}

uint64_t
clock_ms(void)
{
	return world.now;
}

uint64_t
clock_us(void)
{
	return world.now * 1000;
}

uint64_t
clock_real_ms(void)
{
	return 1700000000000 + world.now;
}

void
wake_flush(struct writer *w)
{
	w->wake = 0;
}

void
wake_all(struct writer *w)
{
	w->wake = 0;
}

/* ---- the region ---- */

static void
map_privately(struct region *r)
{
	unsigned char *p = mmap(NULL, r->size + 2 * (size_t)GUARD, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct region old = *r;

	assert(p != MAP_FAILED);
	p = mmap(p + GUARD, r->size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, r->fd, 0);
	assert(p != MAP_FAILED);
	assert(region_attach(r, old.fd) == 0);
	munmap(r->base, r->size);
	r->base = p;
	r->head = (struct region_head *)p;
	r->slots = (struct slot *)(p + r->map.slots);
	r->buckets = (word32 *)(p + r->map.buckets);
	r->channels = (struct channel *)(p + r->map.channels);
	munmap(old.base, old.size);
}

static void
fill_region(struct region *r)
{
	struct settings s;
	struct slot *slot = region_slot(r, 0);

	r->head->hash_key = 1;
	r->head->idempotency_key[0] = r->head->idempotency_key[1] = 1;
	settings_defaults(&s);
	s.debug_endpoints = true;
	s.message_rate = 50;
	s.subscriptions_max = 20;
	s.max_message = 8192;
	snprintf(s.origins, sizeof s.origins, "http://*.a https://b");
	snprintf(s.cors_origins, sizeof s.cors_origins, "http://*.a http://c");
	settings_add_channel(&s, "l*")->slow = SETTINGS_SLOW_LATEST;
	settings_add_channel(&s, "c*")->slow = SETTINGS_SLOW_CLOSE;
	settings_derive(&s);
	region_settings_put(r, &s);
	slot->client_epoll = EPOLL_FD;
	slot->event_fd = slot->inbox = slot->outbox = -1;
	slot->table_end = SLOT_FD + SLOT_CONNS + 50;
	slot->listener[0] = LISTEN_FD;
}

static void
begin(void)
{
	struct worker *w = &world.w;
	struct region *r = &world.h.region;

	memset(w, 0, sizeof *w);
	w->h = &world.h;
	w->r = r;
	writer_open(&w->pub, r, 0);
	w->slot = w->pub.slot;
	w->stats = &w->slot->stats;
	region_settings_get(r, &w->set);
	w->conns = region_conns(r, 0);
	w->conns_max = r->caps.conns;
	w->conns_limit = w->conns_max - 1;
	w->scratch = region_scratch(r, 0);
	w->frames = region_frames(r, 0);
	w->frames_size = r->caps.frame_arena;
	w->priv = calloc(w->conns_max, sizeof *w->priv);
	w->views = calloc(r->caps.channels, sizeof *w->views);
	assert(w->priv != NULL && w->views != NULL);
	w->now = clock_ms();
	w->now_real = clock_real_ms();
	w->turn = word_get(&w->slot->quiet) + 1;
	log_open(&w->pub, SETTINGS_LOG_ERROR);
}

static void
end(void)
{
	struct worker *w = &world.w;
	struct list32 *list[] = { &w->free_conns, &w->blocks.holes, &w->ext[0].holes,
		&w->ext[1].holes, &w->ext[2].holes, &w->touched, &w->touched_now, &w->resume,
		&w->resume_now, &w->dirty, &w->empty, &w->evicted, &w->unmoved, &w->moving };
	uint32_t i;

	if (w->priv == NULL)
		return;
	for (i = 0; i < sizeof list / sizeof list[0]; i++)
		free(list[i]->item);
	for (i = 0; i < w->conns_max; i++)
		free(w->priv[i].more);
	for (i = 0; i < SLOT_CHANNELS; i++)
		if (w->views[i] != NULL) {
			free(w->views[i]->subs);
			free(w->views[i]);
		}
	free(w->priv);
	free(w->views);
	memset(w, 0, sizeof *w);
}

void
slot_make(void)
{
	unsigned i;

	world.now = 1000000;
	world.h.keeper = true;
	world.h.version = "0";
	world.h.fresh = true;
	assert(region_create(&world.h.region, &caps) == 0);
	world.h.region.head->nlisteners = 1;
	world.h.region.head->listener[0].services = SETTINGS_SERVICE_ALL;
	fill_region(&world.h.region);
	map_privately(&world.h.region);
	for (i = 0; i < SLOT_CONNS; i++) {
		world.peer[i].out = malloc(SLOT_OUT);
		kept_out[i] = malloc(SLOT_OUT);
		assert(world.peer[i].out != NULL && kept_out[i] != NULL);
	}
	begin();
	slot_recover();
}

void
slot_keep(void)
{
	struct region *r = &world.h.region;
	unsigned i;

	assert(pwrite(r->fd, r->base, r->size, 0) == (ssize_t)r->size);
	end();
	kept = world;
	for (i = 0; i < SLOT_CONNS; i++)
		memcpy(kept_out[i], world.peer[i].out, world.peer[i].nout);
	slot_reset();
}

void
slot_reset(void)
{
	uint8_t *out;
	unsigned i;

	end();
	assert(madvise(world.h.region.base, world.h.region.size, MADV_DONTNEED) == 0);
	world.h = kept.h;
	world.now = kept.now;
	for (i = 0; i < SLOT_CONNS; i++) {
		out = world.peer[i].out;
		world.peer[i] = kept.peer[i];
		world.peer[i].out = out;
		memcpy(out, kept_out[i], kept.peer[i].nout);
	}
}

void
slot_heir(bool fresh, bool faulted)
{
	end();
	world.h.fresh = fresh;
	world.h.faulted = faulted;
	begin();
}

/* ---- scribbling ---- */

unsigned
slot_read_writes(const uint8_t *p, size_t n, struct slot_write *out, unsigned max)
{
	unsigned count;

	for (count = 0; n >= 4 && count < max; count++, out++) {
		memcpy(out, p, 4);
		out->value = 0;
		p += 4;
		n -= 4;
		if ((out->how & 7) >= 5 && n >= 8) {
			memcpy(&out->value, p, 8);
			p += 8;
			n -= 8;
		}
	}
	return count;
}

uint64_t
slot_changed(const struct slot_write *w, uint64_t was)
{
	switch (w->how & 7) {
	case 0:
		return was + (uint64_t)((int8_t)w->how / 8);
	case 1:
		return was ^ 1ull << (w->how >> 3);
	case 2:
		return was ^ 1ull << (32 + (w->how >> 3));
	case 3:
		return (w->how & 8) != 0 ? UINT64_MAX : 0;
	case 4:
		return was + ((uint64_t)((int8_t)w->how / 8) << 32);
	case 5:
		return w->value;
	case 6:
		return (was & 0xffffffff00000000) | (uint32_t)w->value;
	default:
		return (was & 0xffffffff) | w->value << 32;
	}
}

/* ---- a turn ---- */

static void
end_of_turn(struct worker *w)
{
	output_run(w);
	subs_sweep_empty(w);
	wake_flush(&w->pub);
}

void
slot_recover(void)
{
	recover_sweep(&world.w);
	recover_records(&world.w);
	end_of_turn(&world.w);
}

uint32_t
slot_connect(void)
{
	uint32_t ci;
	int fd = SLOT_FD;

	while (peer_of(fd) != NULL)
		fd++;
	world.connecting = true;
	conn_accept(&world.w, 0);
	world.connecting = false;
	for (ci = 0; ci < SLOT_CONNS; ci++)
		if (conn_life(conn_at(&world.w, ci)) == CONN_OPEN &&
		    conn_at(&world.w, ci)->fd == fd)
			return ci;
	return 0;
}

void
slot_give(uint32_t ci, const void *p, size_t n, size_t chunk)
{
	struct peer *s = peer_of(conn_at(&world.w, ci)->fd);

	if (s == NULL)
		return;
	s->in = p;
	s->n = n;
	s->at = 0;
	s->chunk = chunk;
}

static bool
look_at(struct worker *w, uint32_t ci)
{
	struct conn *c = conn_at(w, ci);
	struct peer *s = peer_of(c->fd);

	if (conn_life(c) != CONN_OPEN || s == NULL)
		return false;
	if (conn_has(c, CONN_BLOCKED)) {
		if (s->room == 0)
			return false;
		output_writable(w, ci);
		if (conn_life(c) == CONN_OPEN && !conn_has(c, CONN_BLOCKED))
			input_ready(w, ci);
		return true;
	}
	if (w->priv[ci].want == WANT_NONE) {
		if (s->fin)
			conn_close(w, ci, STAT_DISCONNECT_CLIENT);
		return false;
	}
	if (s->at == s->n && !s->fin)
		return false;
	input_ready(w, ci);
	return true;
}

static void
resume(struct worker *w)
{
	struct list32 t = w->resume;
	uint32_t i;

	w->resume = w->resume_now;
	w->resume.n = 0;
	w->resume_now = t;
	for (i = 0; i < t.n; i++) {
		w->priv[t.item[i]].resume = false;
		if (conn_life(conn_at(w, t.item[i])) == CONN_OPEN)
			input_resume(w, t.item[i]);
	}
}

bool
slot_turn(void)
{
	struct worker *w = &world.w;
	bool busy = w->more_output || w->touched.n > 0 || w->resume.n > 0;
	uint32_t ci;

	frames_reset(w);
	w->turn++;
	w->more_output = false;
	word_set(&w->slot->quiet, w->turn);
	w->now = clock_ms();
	w->now_real = clock_real_ms();
	for (ci = 0; ci < w->conns_max; ci++)
		busy |= look_at(w, ci);
	dirty_take_hints(&w->pub);
	resume(w);
	end_of_turn(w);
	return busy;
}

void
slot_tick(void)
{
	world.w.now = clock_ms();
	timeouts_tick(&world.w);
	subs_retry_moves(&world.w);
}

void
slot_settle(void)
{
	unsigned i;

	for (i = 0; i < TURNS_MAX && slot_turn(); i++)
		;
	assert(i < TURNS_MAX);			/* else it spins */
}
