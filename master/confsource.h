/*
 * Where the settings come from, kept so that a reload can ask again: a file, the environment as it
 * was at the start, and -D.
 */
#ifndef PLENUM_MASTER_CONFSOURCE_H
#define PLENUM_MASTER_CONFSOURCE_H

#include <stdbool.h>
#include <stddef.h>

#define CONF_DEFAULT_FILE	"/etc/plenum/plenum.conf"

/*
 * A source owns copies of everything, so that a reload can repeat -D and the environment whatever
 * became of argv and environ, and finds the file from another folder.
 */
struct conf_source {
	char *file;		/* as it was given, for messages; NULL: defaults */
	char *path;		/* the same, absolute */
	char **defines;		/* NAME=VALUE of -D, in order; the last of a name counts */
	size_t define_count;
	char **env;		/* NAME=VALUE that may mean us */
	size_t env_count;
	void (*warn)(void *arg, const char *text);	/* may be NULL */
	void *warn_arg;
};

/*
 * Copy file (NULL: none), defines and environ (NULL: none) into *src; warn is NULL. Returns 0, or
 * -1 with errno.
 */
int conf_source_init(struct conf_source *src, const char *file, const char *const *defines,
    size_t define_count, char *const *environment);
void conf_source_fini(struct conf_source *src);

/* The name for messages: the file's, or "defaults". */
const char *conf_source_name(const struct conf_source *src);

/* CONF_DEFAULT_FILE when it is there, else NULL: what to load when there is no -c. */
const char *conf_default_file(void);

/*
 * The value of a variable, or NULL; *entry becomes its NAME=VALUE. Both belong to the source.
 */
const char *conf_source_getenv(const struct conf_source *src, const char *name,
    const char **entry);

/* dir/path, or path alone when it is absolute; from malloc(), NULL when memory is short. */
char *conf_path_join(const char *dir, const char *path);

/* Whether NAME=VALUE is a variable of a feature that this version has not got. */
bool conf_source_is_later(const char *entry);

#endif
