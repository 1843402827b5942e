#include "master/confcheck.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "master/address.h"

/* Fill *fault; always -1. */
__attribute__((format(printf, 5, 6))) static int
blame(struct conf_fault *fault, const struct setting *st, uint32_t index,
    const struct setting *other, const char *fmt, ...)
{
	va_list ap;

	assert(st != NULL);
	fault->st = st;
	fault->other = other;
	fault->index = index;
	va_start(ap, fmt);
	vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
	va_end(ap);
	return -1;
}

/* Addresses seen so far. */
struct seen {
	struct address list[LISTENERS_MAX];
	size_t count;
};

static int
check_address(const struct settings *s, const struct setting *st, uint32_t index, const char *word,
    size_t len, struct seen *seen, struct conf_fault *fault)
{
	struct address a;
	char err[400];
	size_t i;

	if (address_parse(word, len, &a, err, sizeof(err)) == -1)
		return blame(fault, st, index, NULL, "%s", err);
	for (i = 0; i < seen->count; i++)
		if (address_equal(&seen->list[i], &a))
			return blame(fault, st, index, NULL,
			    "\"%.*s\" is given twice, allowed is once", (int)len, word);
	if (seen->count == LISTENERS_MAX)
		return blame(fault, st, index, NULL,
		    "more than %d addresses in all, allowed are %d", LISTENERS_MAX, LISTENERS_MAX);
	if (!a.loopback && s->auth == SETTINGS_AUTH_NONE && !s->insecure)
		return blame(fault, st, index, NULL,
		    "\"%.*s\" is not loopback and auth = none lets anybody in; "
		    "listen on 127.0.0.1, or set insecure = yes to serve it all the same",
		    (int)len, word);
	seen->list[seen->count++] = a;
	return 0;
}

static int
check_list(const struct settings *s, const struct setting *st, uint32_t index, const char *list,
    struct seen *seen, struct conf_fault *fault)
{
	const char *word;
	size_t len;

	if (list[0] == '\0')
		return blame(fault, st, index, NULL, "needs a value, %s", st->help);
	while ((word = address_next(&list, &len)) != NULL)
		if (check_address(s, st, index, word, len, seen, fault) == -1)
			return -1;
	return 0;
}

static int
check_listeners(const struct settings *s, struct conf_fault *fault)
{
	const struct setting *st = settings_find_in(SETTING_SECTION_LISTEN, "address");
	struct seen seen = { .count = 0 };
	uint32_t i;

	if (check_list(s, settings_find("listen"), 0, s->listen, &seen, fault) == -1)
		return -1;
	for (i = 0; i < s->listen_count; i++)
		if (check_list(s, st, i, s->listens[i].address, &seen, fault) == -1)
			return -1;
	return 0;
}

static int
check_paths(const struct settings *s, struct conf_fault *fault)
{
	if (s->run_dir[0] != '/')
		return blame(fault, settings_find("run_dir"), 0, NULL,
		    "\"%s\" is relative, allowed is an absolute path", s->run_dir);
	if (s->state_dir[0] != '/')
		return blame(fault, settings_find("state_dir"), 0, NULL,
		    "\"%s\" is relative, allowed is an absolute path", s->state_dir);
	if (s->log_file[0] != '/' && strcmp(s->log_file, "stderr") != 0)
		return blame(fault, settings_find("log_file"), 0, NULL,
		    "\"%s\" is relative, allowed is stderr or an absolute path", s->log_file);
	return 0;
}

int
conf_check(const struct settings *s, struct conf_fault *fault)
{
	const struct setting *interval = settings_find("ping_interval");
	const struct setting *timeout = settings_find("ping_timeout");
	char is[32], floor[32];

	if (check_listeners(s, fault) == -1 || check_paths(s, fault) == -1)
		return -1;
	if (s->ping_timeout <= s->ping_interval) {
		settings_format(s, timeout, is, sizeof(is));
		settings_format(s, interval, floor, sizeof(floor));
		return blame(fault, timeout, 0, interval,
		    "ping_timeout %s is not longer than ping_interval %s, "
		    "allowed is a longer ping_timeout", is, floor);
	}
	return 0;
}

/* A list of names that is being written. */
struct names {
	char *out;
	size_t size, at;
	size_t count;
};

__attribute__((format(printf, 2, 3))) static void
add_name(struct names *names, const char *fmt, ...)
{
	va_list ap;
	int len;

	names->count++;
	if (names->at + 2 >= names->size)
		return;
	if (names->at > 0)
		names->out[names->at++] = ' ';
	va_start(ap, fmt);
	len = vsnprintf(names->out + names->at, names->size - names->at, fmt, ap);
	va_end(ap);
	if (len > 0)
		names->at += (size_t)len < names->size - names->at ? (size_t)len :
		    names->size - names->at - 1;
}

/* Whether all settings of a section's two structures are equal. */
static bool
section_equal(enum setting_section section, const void *a, const void *b)
{
	const struct setting *table;
	size_t i, n;

	table = settings_section_table(section, &n);
	for (i = 0; i < n; i++)
		if (!settings_equal_field(a, b, &table[i]))
			return false;
	return true;
}

static const struct listen_section *
find_listen(const struct settings *s, const char *name)
{
	uint32_t i;

	for (i = 0; i < s->listen_count; i++)
		if (strcmp(s->listens[i].name, name) == 0)
			return &s->listens[i];
	return NULL;
}

/* The order of [listen] sections means nothing. */
static void
diff_listens(const struct settings *old, const struct settings *new, struct names *names)
{
	const struct listen_section *l, *twin;
	uint32_t i;

	for (i = 0; i < old->listen_count; i++) {
		l = &old->listens[i];
		twin = find_listen(new, l->name);
		if (twin == NULL || !section_equal(SETTING_SECTION_LISTEN, l, twin))
			add_name(names, "[listen %s]", l->name);
	}
	for (i = 0; i < new->listen_count; i++)
		if (find_listen(old, new->listens[i].name) == NULL)
			add_name(names, "[listen %s]", new->listens[i].name);
}

static const struct channel_rule *
find_rule(const struct settings *s, const char *pattern, uint32_t *index)
{
	for (*index = 0; *index < s->channel_count; ++*index)
		if (strcmp(s->channels[*index].pattern, pattern) == 0)
			return &s->channels[*index];
	return NULL;
}

/* The order of [channel] sections decides which matches first, so a place is part of a rule. */
static void
diff_rules(const struct settings *old, const struct settings *new, struct names *names)
{
	const struct channel_rule *r, *twin;
	uint32_t i, j;

	for (i = 0; i < old->channel_count; i++) {
		r = &old->channels[i];
		twin = find_rule(new, r->pattern, &j);
		if (twin == NULL || j != i || !section_equal(SETTING_SECTION_CHANNEL, r, twin))
			add_name(names, "[channel %s]", r->pattern);
	}
	for (i = 0; i < new->channel_count; i++)
		if (find_rule(old, new->channels[i].pattern, &j) == NULL)
			add_name(names, "[channel %s]", new->channels[i].pattern);
}

/* Cells of a ring that holds so many events. */
static uint32_t
ring_cells(uint32_t history)
{
	uint32_t cells = 2;

	while (cells < history)
		cells *= 2;
	return cells;
}

size_t
conf_diff_rules(const struct settings *old, const struct settings *new, char *names, size_t n)
{
	struct names list = { .out = names, .size = n };

	assert(n > 0);
	names[0] = '\0';
	diff_rules(old, new, &list);
	return list.count;
}

size_t
conf_diff(const struct settings *old, const struct settings *new, bool live, char *names, size_t n)
{
	struct names list = { .out = names, .size = n };
	size_t i;

	assert(n > 0);
	names[0] = '\0';
	for (i = 0; i < settings_count; i++)
		if (settings_table[i].live == live &&
		    !settings_equal(old, new, &settings_table[i]))
			add_name(&list, "%s", settings_table[i].name);
	/* Listeners are opened once; rules are read when a channel is used. */
	if (live) {
		diff_rules(old, new, &list);
		return list.count;
	}
	diff_listens(old, new, &list);
	/* A history is live within the rings, which have one size for good. */
	if (ring_cells(settings_history_max(new)) > ring_cells(settings_history_max(old)))
		add_name(&list, "history");
	return list.count;
}
