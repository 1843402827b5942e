#include "master/confsource.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/settings.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* Names in the environment that belong to features this version has not got. */
static const char *const later_environment[] = {
	"MAX_CONCURRENT_LLM_REQUESTS",
	"MAX_CONCURRENT_BATCH_REQUESTS",
	"MAX_CONCURRENT_FILE_OPERATIONS",
};

/* Copy n strings; NULL with errno when memory is short. */
static char **
copy_strings(const char *const *list, size_t n)
{
	char **copy;
	size_t i;

	copy = calloc(n + 1, sizeof(*copy));
	if (copy == NULL)
		return NULL;
	for (i = 0; i < n; i++) {
		copy[i] = strdup(list[i]);
		if (copy[i] == NULL) {
			while (i > 0)
				free(copy[--i]);
			free(copy);
			return NULL;
		}
	}
	return copy;
}

static void
free_strings(char ***list, size_t *n)
{
	size_t i;

	for (i = 0; *list != NULL && i < *n; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
	*n = 0;
}

/* NAME=VALUE is the variable of that name. */
static bool
is_variable(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

bool
conf_source_is_later(const char *entry)
{
	size_t i;

	for (i = 0; i < COUNT_OF(later_environment); i++)
		if (is_variable(entry, later_environment[i]))
			return true;
	return false;
}

/* Whether an entry of the environment may mean plenumd. */
static bool
is_ours(const char *entry)
{
	size_t i;

	if (strncmp(entry, "PLENUM_", 7) == 0 && strchr(entry, '=') != NULL)
		return true;
	for (i = 0; i < settings_count; i++)
		if (settings_table[i].env != NULL && is_variable(entry, settings_table[i].env))
			return true;
	return conf_source_is_later(entry);
}

static int
copy_environment(struct conf_source *src, char *const *environment)
{
	const char **ours;
	size_t i, n;

	for (n = 0; environment != NULL && environment[n] != NULL; n++)
		;
	ours = calloc(n + 1, sizeof(*ours));
	if (ours == NULL)
		return -1;
	for (i = 0; i < n; i++)
		if (is_ours(environment[i]))
			ours[src->env_count++] = environment[i];
	src->env = copy_strings(ours, src->env_count);
	free(ours);
	return src->env == NULL ? -1 : 0;
}

char *
conf_path_join(const char *dir, const char *path)
{
	size_t n = strlen(dir), len = strlen(path);
	char *out;

	if (path[0] == '/')
		return strdup(path);
	out = malloc(n + 1 + len + 1);
	if (out == NULL)
		return NULL;
	memcpy(out, dir, n);
	out[n] = '/';
	memcpy(out + n + 1, path, len + 1);
	return out;
}

int
conf_source_init(struct conf_source *src, const char *file, const char *const *defines,
    size_t define_count, char *const *environment)
{
	char cwd[PATH_MAX];

	memset(src, 0, sizeof(*src));
	if (file != NULL) {
		if (getcwd(cwd, sizeof(cwd)) == NULL)
			goto fail;
		src->file = strdup(file);
		src->path = conf_path_join(cwd, file);
		if (src->file == NULL || src->path == NULL)
			goto fail;
	}
	src->defines = copy_strings(defines, define_count);
	if (src->defines == NULL)
		goto fail;
	src->define_count = define_count;
	if (copy_environment(src, environment) == -1)
		goto fail;
	return 0;
fail:
	conf_source_fini(src);
	return -1;
}

void
conf_source_fini(struct conf_source *src)
{
	free_strings(&src->defines, &src->define_count);
	free_strings(&src->env, &src->env_count);
	free(src->file);
	free(src->path);
	memset(src, 0, sizeof(*src));
}

const char *
conf_source_name(const struct conf_source *src)
{
	return src->file != NULL ? src->file : "defaults";
}

const char *
conf_default_file(void)
{
	return access(CONF_DEFAULT_FILE, F_OK) == 0 ? CONF_DEFAULT_FILE : NULL;
}

const char *
conf_source_getenv(const struct conf_source *src, const char *name, const char **entry)
{
	size_t i;

	for (i = 0; i < src->env_count; i++)
		if (is_variable(src->env[i], name)) {
			*entry = src->env[i];
			return src->env[i] + strlen(name) + 1;
		}
	return NULL;
}
