#include "master/show.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/process.h"
#include "master/chanscan.h"
#include "master/master_priv.h"
#include "master/serve.h"
#include "shm/channel.h"
#include "shm/channel_layout.h"
#include "shm/slot_layout.h"

static const char *const phase_names[] = {
	"starting", "serving", "stopping, clients are told", "stopping", "stopping", "stopped"
};
_Static_assert(sizeof phase_names / sizeof phase_names[0] == PHASE_COUNT, "a name per phase");

static struct slot *
slot_of(const struct master *m, unsigned i)
{
	return region_slot(&m->h.region, i);
}

static void
set_u64(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static void
set_text(json_t *o, const char *name, const char *text)
{
	json_object_set_new(o, name, json_string(text));
}

/* ms since a time of CLOCK_MONOTONIC; null if it never was. */
static void
set_age(json_t *o, const char *name, uint64_t then, uint64_t now)
{
	if (then == 0)
		json_object_set_new(o, name, json_null());
	else
		set_u64(o, name, now > then ? now - then : 0);
}

static uint64_t
rows(unsigned long limit)
{
	return limit == 0 || limit > SHOW_LIMIT_MAX ? SHOW_LIMIT_MAX : limit;
}

static bool
is_alive(const struct master *m, unsigned i, uint64_t now)
{
	const struct slot *s = slot_of(m, i);
	uint64_t beat = word_get(&s->beat);

	return word32_get(&s->pid) != 0 && beat != 0 && word_get(&s->backoff_until) == 0 &&
	    (now <= beat || now - beat <= m->settings.stuck_timeout);
}

/* --- status --- */

static json_t *
listeners(const struct master *m)
{
	const struct region_head *head = m->h.region.head;
	json_t *list = json_array();
	char text[300];
	unsigned i;

	for (i = 0; i < head->nlisteners; i++) {
		snprintf(text, sizeof text, head->listener[i].is_unix ? "%s" : "http://%s/",
		    head->listener[i].address);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static void
add_region(json_t *o, const struct master *m)
{
	const struct region_head *head = m->h.region.head;
	char why[sizeof head->keeper_why + 1];

	memcpy(why, head->keeper_why, sizeof head->keeper_why);
	why[sizeof why - 1] = '\0';
	json_object_set_new(o, "draining", json_boolean(word32_get(&head->draining) != 0));
	json_object_set_new(o, "keeper", json_boolean(word32_get(&head->keeper) != 0));
	set_text(o, "keeper_why", why);
	set_u64(o, "snapshot", word_get(&head->snapshot));
	set_u64(o, "reloads", word_get(&head->reloads));
	set_u64(o, "reloads_refused", word_get(&head->reload_failed));
	set_u64(o, "shared_memory_max", m->h.region.map.size);
	set_u64(o, "uptime_ms", clock_real_ms() - head->started);
}

static void
add_sums(json_t *o, const struct master *m)
{
	uint64_t now = clock_ms(), conns = 0, deaths = 0;
	unsigned i, d, alive = 0;

	for (i = 0; i < serve_end(m); i++) {
		const struct slot *s = slot_of(m, i);

		alive += is_alive(m, i, now);
		conns += word_get(&s->conns_open);
		for (d = DEATH_NONE + 1; d < DEATH_COUNT; d++)
			deaths += d == DEATH_RENEWED ? 0 : word_get(&s->deaths[d]);
	}
	set_u64(o, "workers", serve_count(m));
	set_u64(o, "workers_max", m->h.region.caps.workers);
	set_u64(o, "workers_alive", alive);
	set_u64(o, "worker_deaths", deaths);
	set_u64(o, "connections", conns);
	set_u64(o, "connections_max_per_worker", m->capacity.connections);
	set_u64(o, "channels", chanscan_count(&m->h.region));
	set_u64(o, "channels_max", m->h.region.caps.channels);
}

json_t *
show_status(const struct master *m)
{
	json_t *o = json_object();

	set_text(o, "version", m->h.version);
	set_u64(o, "pid", (uint64_t)getpid());
	set_text(o, "state", phase_names[m->phase]);
	set_text(o, "configuration", conf_source_name(&m->source));
	set_text(o, "run_dir", m->run_dir);
	json_object_set_new(o, "listeners", listeners(m));
	add_sums(o, m);
	add_region(o, m);
	return o;
}

/* --- workers --- */

static json_t *
deaths_of(const struct slot *s)
{
	json_t *o = json_object();
	unsigned d;

	for (d = DEATH_NONE + 1; d < DEATH_COUNT; d++)
		set_u64(o, slot_death_name((enum slot_death)d), word_get(&s->deaths[d]));
	return o;
}

static json_t *
worker_row(const struct master *m, unsigned i, uint64_t now)
{
	const struct slot *s = slot_of(m, i);
	uint64_t until = word_get(&s->backoff_until);
	json_t *o = json_object();

	set_u64(o, "slot", i);
	set_u64(o, "keeper", word32_get(&s->keeper));
	set_u64(o, "worker", word32_get(&s->pid));
	json_object_set_new(o, "alive", json_boolean(is_alive(m, i, now)));
	set_u64(o, "generation", word32_get(&s->gen));
	json_object_set_new(o, "deaths", deaths_of(s));
	set_u64(o, "pause_us", word_get(&s->pause_us));
	set_u64(o, "recover_us", word_get(&s->recover_us));
	set_u64(o, "connections", word_get(&s->conns_open));
	set_u64(o, "requests", word_get(&s->requests));
	set_age(o, "beat_age_ms", word_get(&s->beat), now);
	set_u64(o, "backoff_ms", until > now ? until - now : 0);
	set_text(o, "order", slot_order_name((enum slot_order)word32_get(&s->order)));
	set_u64(o, "snapshot", word_get(&s->snapshot));
	json_object_set_new(o, "program_is_master_s",
	    json_boolean(word_get(&s->image) == m->h.image));
	set_u64(o, "poisoned", stat_get(&s->stats, STAT_POISONED));
	return o;
}

json_t *
show_workers(const struct master *m)
{
	json_t *list = json_array();
	uint64_t now = clock_ms();
	unsigned i;

	for (i = 0; i < serve_end(m); i++)
		json_array_append_new(list, worker_row(m, i, now));
	return json_pack("{s:i,s:i,s:o}", "total", (int)serve_end(m), "logger",
	    (int)m->logger.pid, "workers", list);
}

/* --- channels --- */

/* A copy of a channel's name: empty if the record's length is rubbish or the bytes are no name. */
static void
copy_name(const struct region *r, uint32_t i, char *out)
{
	size_t n = r->channels[i].name_len;

	if (n > CHANNEL_NAME_MAX)
		n = 0;
	memcpy(out, r->channels[i].name, n);
	out[n] = '\0';
	if (!channel_name_valid(out, n))
		out[0] = '\0';
}

static json_t *
channel_row(const struct region *r, uint32_t i)
{
	const struct channel *c = &r->channels[i];
	char name[CHANNEL_NAME_MAX + 1], epoch[32];
	uint32_t slow = c->slow;
	json_t *o = json_object();

	copy_name(r, i, name);
	snprintf(epoch, sizeof epoch, "%016llx", (unsigned long long)c->epoch);
	set_text(o, "channel", name);
	set_text(o, "epoch", epoch);
	set_u64(o, "seq", word_get(&c->tail));
	set_u64(o, "history", c->history);
	set_u64(o, "readers", (uint64_t)__builtin_popcountll(word_get(&c->interest)));
	set_text(o, "slow", slow < SETTINGS_SLOW_COUNT ? settings_slow_names[slow] : "?");
	set_u64(o, "created", c->created);
	return o;
}

json_t *
show_channels(const struct master *m, unsigned long limit)
{
	const struct region *r = &m->h.region;
	json_t *list = json_array();
	uint64_t total = 0, most = rows(limit);
	uint32_t i;

	for (i = chanscan_next(r, 0); i < r->caps.channels; i = chanscan_next(r, i + 1)) {
		if (!claim_is_open(word_get(&r->channels[i].claim)))
			continue;
		if (total++ < most)
			json_array_append_new(list, channel_row(r, i));
	}
	return json_pack("{s:I,s:o}", "total", (json_int_t)total, "channels", list);
}

/* --- connections --- */

static const char *
mode_of(uint32_t state)
{
	if (state & CONN_WS)
		return "websocket";
	return state & CONN_SSE ? "stream" : "http";
}

static const char *
life_of(uint32_t state)
{
	if ((state & CONN_LIFE_MASK) == CONN_CLOSING || (state & (CONN_CLOSE | CONN_LINGER)) != 0)
		return "closing";
	if ((state & CONN_LIFE_MASK) == CONN_MOVING)
		return "moving";
	if (state & CONN_REFUSED)
		return "refused";
	return state & CONN_BLOCKED ? "blocked" : "open";
}

static unsigned
subscriptions_of(const struct region *r, unsigned slot, const struct conn *c)
{
	uint64_t ext = word_get(&c->ext), k = ext >> 28, index = (ext & 0xfffffff) - 1;
	unsigned n = word_get(&c->cursor) != 0, i;
	const struct sub *s;

	if (ext == 0 || k >= EXT_CLASSES || index >= r->caps.conns)
		return n;
	s = region_ext(r, slot, (enum ext_class)k, (uint32_t)index);
	for (i = 0; i < ext_subs((enum ext_class)k); i++)
		n += word_get(&s[i].cursor) != 0;
	return n;
}

static void
add_first_cursor(json_t *o, const struct region *r, uint64_t cursor)
{
	int32_t chan = cursor_chan(cursor);
	char name[CHANNEL_NAME_MAX + 1];

	if (cursor == 0 || chan < 0 || (uint32_t)chan >= r->caps.channels) {
		json_object_set_new(o, "channel", json_null());
		json_object_set_new(o, "seq", json_null());
		return;
	}
	copy_name(r, (uint32_t)chan, name);
	set_text(o, "channel", name);
	set_u64(o, "seq", cursor_seq(cursor));
}

static json_t *
conn_row(const struct master *m, unsigned slot, uint32_t i, const struct conn *c, uint64_t now)
{
	const struct region_head *head = m->h.region.head;
	uint32_t state = word32_get(&c->state), listener = CONN_LISTENER(state);
	uint32_t d = CONN_DIALECT(state);
	json_t *o = json_object();
	char id[32];

	snprintf(id, sizeof id, "%u.%u", slot, i);
	set_text(o, "conn", id);
	set_text(o, "listener", listener < head->nlisteners ?
	    head->listener[listener].address : "?");
	set_text(o, "dialect", dialect_name(d));
	set_text(o, "mode", mode_of(state));
	set_text(o, "state", life_of(state));
	set_u64(o, "subscriptions", subscriptions_of(&m->h.region, slot, c));
	add_first_cursor(o, &m->h.region, word_get(&c->cursor));
	set_u64(o, "received", word_get(&c->in_done));
	set_age(o, "seen_age_ms", word_get(&c->seen), now);
	set_u64(o, "opened", word_get(&c->opened));
	return o;
}

json_t *
show_conns(const struct master *m, unsigned long limit)
{
	const struct region *r = &m->h.region;
	uint64_t total = 0, most = rows(limit), used, now = clock_ms();
	json_t *list = json_array();
	unsigned slot;
	uint32_t i;

	for (slot = 0; slot < r->caps.workers; slot++) {
		const struct conn *c = region_conns(r, slot);

		used = word_get(&slot_of(m, slot)->conns_used);
		if (used > r->caps.conns)
			used = r->caps.conns;
		for (i = 0; i < used; i++) {
			if ((word32_get(&c[i].state) & CONN_LIFE_MASK) == CONN_FREE)
				continue;
			if (total++ < most)
				json_array_append_new(list, conn_row(m, slot, i, &c[i], now));
		}
	}
	return json_pack("{s:I,s:o}", "total", (json_int_t)total, "conns", list);
}

/* --- settings and counters --- */

static json_t *
section(enum setting_section kind, const void *base, const char *head, const char *name)
{
	const struct setting *table;
	char text[SETTINGS_TEXT_MAX];
	json_t *o = json_object();
	size_t i, n;

	if (head != NULL)
		set_text(o, head, name);
	table = settings_section_table(kind, &n);
	for (i = 0; i < n; i++) {
		settings_format_field(base, &table[i], text, sizeof text);
		set_text(o, table[i].name, text);
	}
	return o;
}

json_t *
show_conf(const struct master *m)
{
	const struct settings *s = &m->settings;
	json_t *listen = json_array(), *channel = json_array();
	uint32_t i;

	for (i = 0; i < s->listen_count; i++)
		json_array_append_new(listen, section(SETTING_SECTION_LISTEN, &s->listens[i],
		    "listen", s->listens[i].name));
	for (i = 0; i < s->channel_count; i++)
		json_array_append_new(channel, section(SETTING_SECTION_CHANNEL, &s->channels[i],
		    "channel", s->channels[i].pattern));
	return json_pack("{s:s,s:o,s:o,s:o}", "file", conf_source_name(&m->source), "settings",
	    section(SETTING_SECTION_MAIN, s, NULL, NULL), "listen", listen, "channel", channel);
}

json_t *
show_changes(const struct settings *from, const struct settings *to)
{
	char a[SETTINGS_TEXT_MAX], b[SETTINGS_TEXT_MAX], text[2 * SETTINGS_TEXT_MAX + 8];
	json_t *changes = json_object();
	size_t i;

	for (i = 0; i < settings_count; i++) {
		const struct setting *st = &settings_table[i];

		if (!st->live || settings_equal(from, to, st))
			continue;
		settings_format(from, st, a, sizeof a);
		settings_format(to, st, b, sizeof b);
		snprintf(text, sizeof text, "%s -> %s", a, b);
		set_text(changes, st->name, text);
	}
	if (conf_diff_rules(from, to, text, sizeof text) > 0)
		set_text(changes, "sections", text);
	return json_pack("{s:o}", "changes", changes);
}

json_t *
show_counters(const struct master *m)
{
	json_t *counters = json_object(), *answers = json_object();
	unsigned i, w;
	char code[16];
	uint64_t sum;

	for (i = 0; i < STAT_COUNT; i++) {
		for (w = 0, sum = 0; w < WRITERS_MAX; w++)
			sum += stat_get(&slot_of(m, w)->stats, (enum counter)i);
		set_u64(counters, stat_metric((enum counter)i), sum);
	}
	for (i = 0; i < HTTP_CODE_COUNT; i++) {
		for (w = 0, sum = 0; w < WRITERS_MAX; w++)
			sum += word_get(&slot_of(m, w)->stats.http[i]);
		snprintf(code, sizeof code, "%u", stat_http_code(i));
		if (sum > 0)
			set_u64(answers, stat_http_code(i) != 0 ? code : "other", sum);
	}
	return json_pack("{s:o,s:o}", "counters", counters, "http", answers);
}
