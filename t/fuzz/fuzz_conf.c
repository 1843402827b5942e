/*
 * The configuration: command line, environment and files. The input's parts are separated by the
 * byte 0x1e, words within the first two by 0x1f:
 *
 *   words of the command line ^ NAME=VALUE of the environment ^ plenum.conf ^ b ^ c
 *
 * The files lie in a folder of their own, where includes find them. What is refused is refused in
 * one line; what is accepted is within its ranges, and written and read again it is the same.
 */
#define _GNU_SOURCE
#include "master/conf.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "master/address.h"
#include "master/options.h"
#include "t/fuzz/conf_calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES = 3, WORDS_MAX = 40, INPUT_MAX = 1 << 16 };

static const char *const paths[FILES] = { "/etc/plenum.conf", "/etc/b", "/etc/c" };
static struct part {
	char *text;
	size_t n;
} files[FILES];

/* ---- the folder ---- */

FILE *
conf_fopen(const char *path, const char *mode)
{
	FILE *f;
	int i;

	for (i = 0; i < FILES; i++)
		if (strcmp(path, paths[i]) == 0 && files[i].text != NULL) {
			f = fmemopen(files[i].n > 0 ? files[i].text : "\n",
			    files[i].n > 0 ? files[i].n : 1, "r");
			assert(f != NULL);
			return f;
		}
	errno = ENOENT;
	return NULL;
}

int
conf_glob(const char *pattern, int flags, int (*on_error)(const char *, int), glob_t *g)
{
	int i;

	memset(g, 0, sizeof *g);
	g->gl_pathv = calloc(FILES + 1, sizeof *g->gl_pathv);
	assert(g->gl_pathv != NULL);
	for (i = 0; i < FILES; i++)
		if (fnmatch(pattern, paths[i], FNM_PATHNAME) == 0)
			assert((g->gl_pathv[g->gl_pathc++] = strdup(paths[i])) != NULL);
	if (g->gl_pathc > 0)
		return 0;
	free(g->gl_pathv);
	return GLOB_NOMATCH;
}

/* ---- the input ---- */

/* Cuts the part before the next 0x1e off: *text moves behind it, NULL when there is none. */
static struct part
next_part(char **text, char *end)
{
	struct part p = { *text, 0 };
	char *stop;

	if (*text == NULL)
		return p;
	stop = memchr(*text, 0x1e, (size_t)(end - *text));
	p.n = (size_t)((stop != NULL ? stop : end) - *text);
	*text = stop != NULL ? stop + 1 : NULL;
	return p;
}

/* Copies of the words of a part, NULL behind the last. Words of one line: they are quoted so. */
static size_t
words_of(struct part p, char **out)
{
	size_t n = 0, len;
	char *stop, *lf;

	while (p.text != NULL && p.n > 0 && n < WORDS_MAX) {
		stop = memchr(p.text, 0x1f, p.n);
		len = stop != NULL ? (size_t)(stop - p.text) : p.n;
		out[n] = strndup(p.text, len);
		assert(out[n] != NULL);
		while ((lf = strchr(out[n], '\n')) != NULL)
			*lf = ' ';
		n++;
		p.text += stop != NULL ? len + 1 : len;
		p.n -= stop != NULL ? len + 1 : len;
	}
	out[n] = NULL;
	return n;
}

static void
free_words(char **words)
{
	for (; *words != NULL; words++)
		free(*words);
}

/* ---- what must hold ---- */

static void
check_line(const char *err)
{
	assert(err[0] != '\0' && strlen(err) < CONF_ERROR_MAX && strchr(err, '\n') == NULL);
}

static void
on_warn(void *arg, const char *text)
{
	check_line(text);
}

static void
check_addresses(const struct settings *s)
{
	struct address list[LISTENERS_MAX], again;
	char text[128], err[400];
	size_t i, n = address_list(s, list, LISTENERS_MAX);

	assert(n > 0 && n <= LISTENERS_MAX);
	for (i = 0; i < n; i++) {
		address_format(&list[i], text, sizeof text);
		assert(address_parse(text, strlen(text), &again, err, sizeof err) == 0);
		assert(address_equal(&list[i], &again));
		assert(list[i].loopback || s->insecure || s->auth != SETTINGS_AUTH_NONE);
	}
}

static void
check_settings(const struct settings *s)
{
	static struct settings again, fresh;
	char text[SETTINGS_TEXT_MAX], err[512], names[1024];
	struct conf_fault fault;
	size_t i;

	assert(conf_check(s, &fault) == 0);
	assert(s->listen_count <= SETTINGS_LISTEN_MAX && s->channel_count <= SETTINGS_CHANNEL_MAX);
	again = *s;
	for (i = 0; i < settings_count; i++) {
		assert(settings_format(s, &settings_table[i], text, sizeof text) >= 0);
		assert(settings_set(&again, &settings_table[i], text, err, sizeof err) == 0);
		assert(settings_equal(s, &again, &settings_table[i]));
	}
	assert(conf_diff(s, &again, true, names, sizeof names) == 0);
	assert(conf_diff(s, &again, false, names, 1) == 0);
	settings_defaults(&fresh);
	for (i = 0; i < settings_count; i++)
		if (settings_is_default(s, &settings_table[i]))
			assert(settings_equal(s, &fresh, &settings_table[i]));
	(void)conf_diff(&fresh, s, true, names, sizeof names);
	(void)conf_diff(s, &fresh, false, names, 20);
	(void)settings_channel_rule(s, "room-1", 6);
	check_addresses(s);
}

static void
load(const struct options *o, char **env, bool with_file)
{
	static struct settings s;
	struct conf_source src;
	char err[CONF_ERROR_MAX];

	assert(conf_source_init(&src, with_file ? paths[0] : NULL, o->defines, o->define_count,
	    env) == 0);
	src.warn = on_warn;
	if (conf_load(&src, &s, err, sizeof err) == 0)
		check_settings(&s);
	else
		check_line(err);
	conf_source_fini(&src);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS_MAX + 2] = { (char[]){ "plenumd" } }, *env[WORDS_MAX + 1];
	char *copy, *at, *end;
	struct options o;
	char err[512];
	size_t argc;
	int i;

	if (size > INPUT_MAX || (copy = malloc(size + 1)) == NULL)
		return 0;
	memcpy(copy, data, size);
	at = copy;
	end = copy + size;
	argc = 1 + words_of(next_part(&at, end), argv + 1);
	words_of(next_part(&at, end), env);
	for (i = 0; i < FILES; i++)
		files[i] = next_part(&at, end);
	if (options_parse((int)argc, argv, &o, err, sizeof err) == 0)
		load(&o, env, files[0].text != NULL);
	else
		check_line(err);
	free_words(argv + 1);
	free_words(env);
	free(copy);
	return 0;
}
