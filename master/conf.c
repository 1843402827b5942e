/*
 * A loader keeps, beside the settings, the place where each of them was given, so that a duplicate
 * names both lines and a check over several settings names the line that broke it. Files are read
 * line by line; a line is a blank, a comment, a [section] header, an include or a setting.
 *
 * Every file begins in the main section. An include leaves the section of the including file as it
 * was. A header opens a section with its defaults, and the settings below it go there.
 *
 * Overrides are for the main section only. Of the names that one setting has in the environment
 * only the one that counts is looked at.
 */
#include "master/conf.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/address.h"

#define INCLUDE_DEPTH_MAX	8
#define FILES_MAX		256
#define LINE_MAX_BYTES		4096

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#define ONE(...) + 1
enum {
	MAIN_COUNT = 0 SETTINGS(ONE),
	LISTEN_COUNT = 0 SETTINGS_LISTEN(ONE),
	CHANNEL_COUNT = 0 SETTINGS_CHANNEL(ONE),
};
#undef ONE

/* Where a setting was given. */
enum place_kind {
	PLACE_DEFAULT,
	PLACE_FILE,
	PLACE_ENV,
	PLACE_DEFINE,
};

struct place {
	enum place_kind kind;
	const char *text;		/* the file, or the environment's NAME=VALUE */
	unsigned line;			/* of a file */
};

struct loader {
	const struct conf_source *src;
	struct settings *s;
	char *err;
	size_t errlen;

	char *files[FILES_MAX];		/* names, for the places */
	size_t file_count;
	unsigned depth;

	/* Where the settings of the current section go, and their places. */
	enum setting_section section;
	void *base;
	struct place *places;

	struct place main[MAIN_COUNT];
	struct place listen[SETTINGS_LISTEN_MAX][LISTEN_COUNT];
	struct place channel[SETTINGS_CHANNEL_MAX][CHANNEL_COUNT];
	struct place listen_at[SETTINGS_LISTEN_MAX];
	struct place channel_at[SETTINGS_CHANNEL_MAX];
};

/* Sections that belong to features this version has not got. */
static const char *const later_sections[] = { "limit", "gate", "route", "rfq", "feed" };

static int read_file(struct loader *ld, const char *path, const char *shown,
    const struct place *from);

/* --- errors --- */

/* Write where a setting of that name was given, as messages begin. */
static void
place_format(const struct place *at, const char *name, char *out, size_t n)
{
	switch (at->kind) {
	case PLACE_FILE:
		snprintf(out, n, "%s:%u: %s", at->text, at->line, name);
		return;
	case PLACE_ENV:
		snprintf(out, n, "environment %.*s", (int)strcspn(at->text, "="), at->text);
		return;
	case PLACE_DEFINE:
		snprintf(out, n, "-D %s", name);
		return;
	case PLACE_DEFAULT:
		break;
	}
	snprintf(out, n, "%s", name);
}

/* Leave the one error of a load; always -1. */
__attribute__((format(printf, 4, 5))) static int
fail_at(struct loader *ld, const struct place *at, const char *name, const char *fmt, ...)
{
	char where[512], what[1024];
	va_list ap;

	place_format(at, name, where, sizeof(where));
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(ld->err, ld->errlen, "%s: %s", where, what);
	return -1;
}

__attribute__((format(printf, 2, 3))) static void
warn(const struct loader *ld, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (ld->src->warn == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ld->src->warn(ld->src->warn_arg, text);
}

/*
 * Edit distance (insert, delete, replace), row by row. Names longer than a row are as far away as
 * can be.
 */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[48], diagonal, above, best;
	size_t i, j, n = strlen(b);

	if (n + 1 > COUNT_OF(row))
		return UINT_MAX;
	for (j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (i = 1; a[i - 1] != '\0'; i++) {
		diagonal = row[0];
		row[0] = (unsigned)i;
		for (j = 1; j <= n; j++) {
			above = row[j];
			best = diagonal + (tolower((unsigned char)a[i - 1]) != b[j - 1]);
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[n];
}

/* The name of the section that is nearest, or NULL when none is near. */
static const char *
nearest(enum setting_section section, const char *name)
{
	const struct setting *table;
	const char *found = NULL;
	unsigned d, best;
	size_t i, n;

	best = strlen(name) < 6 ? 3 : 4;	/* one more than what is near */
	table = settings_section_table(section, &n);
	for (i = 0; i < n; i++) {
		d = distance(name, table[i].name);
		if (d < best && d < strlen(table[i].name)) {
			best = d;
			found = table[i].name;
		}
	}
	return found;
}

/* Refuse a name that no setting of the section has; say which may be meant. Always -1. */
static int
fail_unknown(struct loader *ld, const struct place *at, const char *name)
{
	const char *near;
	int i;

	for (i = 0; i < SETTING_SECTION_COUNT; i++) {
		if (settings_find_in((enum setting_section)i, name) == NULL)
			continue;
		if (i == SETTING_SECTION_MAIN)
			return fail_at(ld, at, name,
			    "belongs to the main section, before the first [section]");
		return fail_at(ld, at, name, "belongs to a section [%s %s]",
		    setting_section_names[i],
		    i == SETTING_SECTION_CHANNEL ? "PATTERN" : "NAME");
	}
	near = nearest(ld->section, name);
	if (near != NULL)
		return fail_at(ld, at, name, "unknown setting, did you mean \"%s\"?", near);
	return fail_at(ld, at, name,
	    "unknown setting, plenumd --help-config lists those that are allowed");
}

/* --- lines --- */

/* Cut blanks off both ends, in place. */
static char *
trim(char *text)
{
	char *end;

	text += strspn(text, " \t\r\n");
	end = text + strlen(text);
	while (end > text && strchr(" \t\r\n", end[-1]) != NULL)
		end--;
	*end = '\0';
	return text;
}

/* Cut a comment off: a # at the start of a line or behind a blank. */
static void
cut_comment(char *line)
{
	char *p;

	for (p = line; (p = strchr(p, '#')) != NULL; p++)
		if (p == line || p[-1] == ' ' || p[-1] == '\t') {
			*p = '\0';
			return;
		}
}

/* Store one setting in the current section. */
static int
take_setting(struct loader *ld, const struct place *at, const char *name, const char *value)
{
	const struct setting *st, *table;
	struct place *before;
	char err[512], where[512];
	size_t n;

	st = settings_find_in(ld->section, name);
	if (st == NULL)
		return fail_unknown(ld, at, name);
	table = settings_section_table(ld->section, &n);
	before = &ld->places[st - table];
	if (at->kind == PLACE_FILE && before->kind == PLACE_FILE) {
		snprintf(where, sizeof(where), "%s:%u", before->text, before->line);
		return fail_at(
		    ld, at, name, "given twice, allowed is once; the first is %s", where);
	}
	if (settings_set_field(ld->base, st, value, err, sizeof(err)) == -1)
		return fail_at(ld, at, name, "%s", err);
	*before = *at;
	return 0;
}

static void
enter_main(struct loader *ld)
{
	ld->section = SETTING_SECTION_MAIN;
	ld->base = ld->s;
	ld->places = ld->main;
}

static int
enter_listen(struct loader *ld, const struct place *at, const char *head, const char *name)
{
	struct listen_section *l;
	uint32_t i;
	size_t ok;

	ok = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
	if (name[0] == '\0' || name[ok] != '\0' || strlen(name) >= SETTINGS_NAME_MAX)
		return fail_at(ld, at, head, "needs a name, allowed are 1 to %d letters, digits "
		    "and _ - . as in [listen inside]", SETTINGS_NAME_MAX - 1);
	for (i = 0; i < ld->s->listen_count; i++)
		if (strcmp(ld->s->listens[i].name, name) == 0)
			return fail_at(ld, at, head,
			    "given twice, allowed is once; the first is %s:%u",
			    ld->listen_at[i].text, ld->listen_at[i].line);
	l = settings_add_listen(ld->s, name);
	if (l == NULL)
		return fail_at(ld, at, head, "too many [listen] sections, allowed are %d",
		    SETTINGS_LISTEN_MAX);
	ld->listen_at[i] = *at;
	ld->section = SETTING_SECTION_LISTEN;
	ld->base = l;
	ld->places = ld->listen[i];
	return 0;
}

static int
enter_channel(struct loader *ld, const struct place *at, const char *head, const char *pattern)
{
	struct channel_rule *r;
	uint32_t i;
	size_t ok;

	ok = strspn(pattern,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/@$*");
	if (pattern[0] == '\0' || pattern[ok] != '\0' || strlen(pattern) > CHANNEL_NAME_MAX)
		return fail_at(ld, at, head, "needs a pattern, allowed are 1 to %d letters, digits "
		    "and _ - . : / @ $ with * for any run, as in [channel room-*]",
		    CHANNEL_NAME_MAX);
	for (i = 0; i < ld->s->channel_count; i++)
		if (strcmp(ld->s->channels[i].pattern, pattern) == 0)
			return fail_at(ld, at, head,
			    "given twice, allowed is once; the first is %s:%u",
			    ld->channel_at[i].text, ld->channel_at[i].line);
	r = settings_add_channel(ld->s, pattern);
	if (r == NULL)
		return fail_at(ld, at, head, "too many [channel] sections, allowed are %d",
		    SETTINGS_CHANNEL_MAX);
	ld->channel_at[i] = *at;
	ld->section = SETTING_SECTION_CHANNEL;
	ld->base = r;
	ld->places = ld->channel[i];
	return 0;
}

/* A line that begins with a bracket; it ends in one. */
static int
take_header(struct loader *ld, const struct place *at, char *line)
{
	char head[256], *kind, *name;
	size_t i, len = strlen(line);

	snprintf(head, sizeof(head), "%.200s", line);
	if (line[len - 1] != ']')
		return fail_at(ld, at, head, "has no closing bracket, allowed is [SECTION NAME]");
	line[len - 1] = '\0';
	kind = trim(line + 1);
	name = kind + strcspn(kind, " \t");
	if (*name != '\0')
		*name++ = '\0';
	name = trim(name);
	if (strcmp(kind, setting_section_names[SETTING_SECTION_LISTEN]) == 0)
		return enter_listen(ld, at, head, name);
	if (strcmp(kind, setting_section_names[SETTING_SECTION_CHANNEL]) == 0)
		return enter_channel(ld, at, head, name);
	for (i = 0; i < COUNT_OF(later_sections); i++)
		if (strcmp(kind, later_sections[i]) == 0)
			return fail_at(ld, at, head, "section [%s] is not known to this version, "
			    "allowed are [listen NAME] and [channel PATTERN]", kind);
	return fail_at(ld, at, head,
	    "unknown section, allowed are [listen NAME] and [channel PATTERN]");
}

/* Read what an include names; path is absolute and may be a pattern. */
static int
include_glob(struct loader *ld, const struct place *at, const char *path, const char *value)
{
	glob_t g;
	size_t i;
	int rc, ret = 0;

	if (strpbrk(path, "*?[") == NULL)
		return read_file(ld, path, path, at);
	rc = glob(path, 0, NULL, &g);
	if (rc == GLOB_NOMATCH)
		return 0;
	if (rc != 0)
		return fail_at(ld, at, "include", "\"%s\" cannot be searched, allowed is a path or "
		    "a pattern of paths that can be read", value);
	for (i = 0; i < g.gl_pathc && ret == 0; i++)
		ret = read_file(ld, g.gl_pathv[i], g.gl_pathv[i], at);
	globfree(&g);
	return ret;
}

static int
take_include(struct loader *ld, const struct place *at, const char *dir, const char *value)
{
	enum setting_section section = ld->section;
	struct place *places = ld->places;
	void *base = ld->base;
	char *path;
	int ret;

	if (value[0] == '\0')
		return fail_at(ld, at, "include", "needs a value, a path or a pattern of paths");
	if (ld->depth >= INCLUDE_DEPTH_MAX)
		return fail_at(ld, at, "include", "nested too deep, allowed are %d files within "
		    "one another", INCLUDE_DEPTH_MAX);
	path = conf_path_join(dir, value);
	if (path == NULL)
		return fail_at(ld, at, "include", "out of memory");
	ret = include_glob(ld, at, path, value);
	free(path);
	ld->section = section;
	ld->places = places;
	ld->base = base;
	return ret;
}

static int
take_line(struct loader *ld, const struct place *at, const char *dir, char *line)
{
	char *name, *value;

	cut_comment(line);
	line = trim(line);
	if (line[0] == '\0')
		return 0;
	if (line[0] == '[')
		return take_header(ld, at, line);
	value = strchr(line, '=');
	if (value == NULL || value == line) {
		line[strcspn(line, " \t")] = '\0';
		return fail_at(ld, at, line,
		    "not a setting, allowed are NAME = VALUE, [SECTION NAME] and # COMMENT");
	}
	*value++ = '\0';
	name = trim(line);
	value = trim(value);
	if (strcmp(name, "include") == 0)
		return take_include(ld, at, dir, value);
	return take_setting(ld, at, name, value);
}

/* --- files --- */

/* All lines of an open file. */
static int
read_lines(struct loader *ld, FILE *f, const char *dir, const char *shown)
{
	struct place at = { .kind = PLACE_FILE, .text = shown };
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	int ret = 0;

	while (ret == 0 && (errno = 0, len = getline(&line, &size, f)) != -1) {
		at.line++;
		if (memchr(line, '\0', (size_t)len) != NULL || len > LINE_MAX_BYTES)
			ret = fail_at(ld, &at, "line",
			    "not text, allowed are lines of up to %d bytes without NUL",
			    LINE_MAX_BYTES);
		else
			ret = take_line(ld, &at, dir, line);
	}
	if (ret == 0 && ferror(f)) {
		snprintf(ld->err, ld->errlen, "%s: cannot be read: %s", shown, strerror(errno));
		ret = -1;
	}
	free(line);
	return ret;
}

/* A file that cannot be opened is the fault of the include that names it, or of -c. Always -1. */
static int
fail_open(struct loader *ld, const char *shown, const struct place *from, int error)
{
	if (from != NULL)
		return fail_at(ld, from, "include",
		    "\"%s\": %s, allowed is a file that can be read or a pattern", shown,
		    strerror(error));
	snprintf(ld->err, ld->errlen, "%s: cannot be read: %s", shown, strerror(error));
	return -1;
}

/* Read one file, whose name in messages is shown; from is the include that named it, or NULL. */
static int
read_file(struct loader *ld, const char *path, const char *shown, const struct place *from)
{
	char *dir, *name, *slash;
	FILE *f;
	int ret;

	if (ld->file_count == FILES_MAX)
		return fail_at(ld, from, "include", "too many files, allowed are %d", FILES_MAX);
	f = fopen(path, "re");
	if (f == NULL)
		return fail_open(ld, shown, from, errno);
	dir = strdup(path);
	name = strdup(shown);
	if (dir == NULL || name == NULL) {
		snprintf(ld->err, ld->errlen, "%s: out of memory", shown);
		free(dir);
		free(name);
		fclose(f);
		return -1;
	}
	slash = strrchr(dir, '/');
	if (slash != NULL)
		*slash = '\0';
	ld->files[ld->file_count++] = name;
	ld->depth++;
	enter_main(ld);
	ret = read_lines(ld, f, dir, name);
	ld->depth--;
	free(dir);
	fclose(f);
	return ret;
}

/* --- overrides --- */

/* PLENUM_NAME of a setting. */
static void
env_name(const struct setting *st, char *out, size_t n)
{
	size_t i;

	snprintf(out, n, "PLENUM_%s", st->name);
	for (i = strlen("PLENUM_"); out[i] != '\0'; i++)
		out[i] = (char)toupper((unsigned char)out[i]);
}

static int
take_variable(struct loader *ld, const struct setting *st)
{
	struct place at = { .kind = PLACE_ENV };
	const char *value;
	char name[64], *copy;
	int ret;

	env_name(st, name, sizeof(name));
	value = conf_source_getenv(ld->src, name, &at.text);
	if (value == NULL && st->env != NULL) {
		value = conf_source_getenv(ld->src, st->env, &at.text);
		/* Names that others share are often passed on empty. */
		if (value == NULL || *value == '\0')
			return 0;
		if (!st->here) {
			warn(ld, "environment %s: %s is not available in this version, "
			    "it has no effect", st->env, st->name);
			return 0;
		}
	}
	if (value == NULL)
		return 0;
	copy = strdup(value);
	if (copy == NULL)
		return fail_at(ld, &at, st->name, "out of memory");
	ret = take_setting(ld, &at, st->name, trim(copy));
	free(copy);
	return ret;
}

/* Whether an entry of the environment is PLENUM_NAME of a setting. */
static bool
is_setting(const char *entry)
{
	char name[64];
	size_t i, n;

	for (i = 0; i < settings_count; i++) {
		env_name(&settings_table[i], name, sizeof(name));
		n = strlen(name);
		if (strncmp(entry, name, n) == 0 && entry[n] == '=')
			return true;
	}
	return false;
}

/* Variables that look like ours and are not are told of; others may have set them. */
static void
warn_environment(const struct loader *ld)
{
	const char *entry;
	size_t i, n;

	for (i = 0; i < ld->src->env_count; i++) {
		entry = ld->src->env[i];
		n = strcspn(entry, "=");
		if (conf_source_is_later(entry))
			warn(ld, "environment %.*s: gates are not available in this version, "
			    "it has no effect", (int)n, entry);
		else if (strncmp(entry, "PLENUM_", 7) == 0 && !is_setting(entry))
			warn(ld, "environment %.*s: unknown setting, it has no effect", (int)n,
			    entry);
	}
}

static int
take_environment(struct loader *ld)
{
	size_t i;

	for (i = 0; i < settings_count; i++)
		if (take_variable(ld, &settings_table[i]) == -1)
			return -1;
	warn_environment(ld);
	return 0;
}

static int
take_define(struct loader *ld, const char *define)
{
	struct place at = { .kind = PLACE_DEFINE };
	char *copy, *value, *name;
	int ret;

	copy = strdup(define);
	if (copy == NULL) {
		snprintf(ld->err, ld->errlen, "-D %s: out of memory", define);
		return -1;
	}
	value = strchr(copy, '=');
	if (value == NULL || value == copy) {
		ret = fail_at(ld, &at, copy, "not a setting, allowed is -D NAME=VALUE");
	} else {
		*value++ = '\0';
		name = trim(copy);
		ret = take_setting(ld, &at, name, trim(value));
	}
	free(copy);
	return ret;
}

/* --- load --- */

/* Where the setting of a fault was given. */
static const struct place *
find_place(const struct loader *ld, const struct setting *st, uint32_t index)
{
	static const struct place nowhere = { .kind = PLACE_DEFAULT };
	const struct place *at;

	switch (st->section) {
	case SETTING_SECTION_LISTEN:
		at = &ld->listen[index][st - settings_listen_table];
		/* Not given at all: the header is to blame. */
		return at->kind == PLACE_DEFAULT ? &ld->listen_at[index] : at;
	case SETTING_SECTION_CHANNEL:
		at = &ld->channel[index][st - settings_channel_table];
		return at->kind == PLACE_DEFAULT ? &ld->channel_at[index] : at;
	case SETTING_SECTION_MAIN:
		return &ld->main[st - settings_table];
	case SETTING_SECTION_COUNT:
		break;
	}
	return &nowhere;
}

static int
check_all(struct loader *ld)
{
	struct conf_fault fault;
	const struct place *at, *beside;

	if (conf_check(ld->s, &fault) == 0)
		return 0;
	at = find_place(ld, fault.st, fault.index);
	if (at->kind == PLACE_DEFAULT && fault.other != NULL) {
		/* The default is not to blame, but what was set beside it. */
		beside = find_place(ld, fault.other, 0);
		return fail_at(ld, beside, fault.other->name, "%s", fault.text);
	}
	return fail_at(ld, at, fault.st->name, "%s", fault.text);
}

static int
load(struct loader *ld)
{
	size_t i;

	if (ld->src->file != NULL &&
	    read_file(ld, ld->src->path, ld->src->file, NULL) == -1)
		return -1;
	enter_main(ld);
	if (take_environment(ld) == -1)
		return -1;
	for (i = 0; i < ld->src->define_count; i++)
		if (take_define(ld, ld->src->defines[i]) == -1)
			return -1;
	return check_all(ld);
}

/* Whether every address is of this host. */
static bool
is_loopback(const struct settings *s)
{
	struct address list[LISTENERS_MAX];
	size_t i, n;

	n = address_list(s, list, LISTENERS_MAX);
	for (i = 0; i < n; i++)
		if (!list[i].loopback)
			return false;
	return true;
}

int
conf_load(const struct conf_source *src, struct settings *out, char *err, size_t errlen)
{
	struct loader *ld;
	size_t i;
	int ret;

	assert(errlen > 0);
	err[0] = '\0';
	ld = calloc(1, sizeof(*ld));
	if (ld == NULL) {
		snprintf(err, errlen, "%s: out of memory", conf_source_name(src));
		return -1;
	}
	settings_defaults(out);
	ld->src = src;
	ld->s = out;
	ld->err = err;
	ld->errlen = errlen;
	ret = load(ld);
	if (ret == 0) {
		settings_derive(out);
		out->loopback = is_loopback(out);
	}
	for (i = 0; i < ld->file_count; i++)
		free(ld->files[i]);
	free(ld);
	return ret;
}
