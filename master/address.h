/*
 * Listen addresses: text to parts. Numeric hosts and localhost only, so that nothing here asks a
 * name server and what is loopback is known before anything is bound. Pure functions.
 */
#ifndef PLENUM_MASTER_ADDRESS_H
#define PLENUM_MASTER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings;

#define ADDRESS_PATH_MAX 108	/* sun_path, with its NUL */

enum address_family {
	ADDRESS_INET,
	ADDRESS_INET6,
	ADDRESS_UNIX,
	ADDRESS_FAMILY_COUNT
};
extern const char *const address_family_names[ADDRESS_FAMILY_COUNT];

struct address {
	enum address_family family;
	uint16_t port;			/* host byte order; 0 for ADDRESS_UNIX */
	bool loopback;			/* reachable from this host only */
	uint32_t listener;		/* 0: listen of the main section, i + 1: listens[i] */
	char host[64];			/* canonical numeric form; empty for ADDRESS_UNIX */
	char path[ADDRESS_PATH_MAX];	/* of ADDRESS_UNIX, else empty */
};

/*
 * Parse the n bytes at text: host:port, [v6]:port or unix:/path. Returns 0, or -1 with what is
 * wrong and what is allowed in err.
 */
int address_parse(const char *text, size_t n, struct address *out, char *err, size_t errlen);

/* Write the address as it is written in a file; out of 128 bytes is always enough. */
void address_format(const struct address *a, char *out, size_t n);

/* Whether both name the same place. */
bool address_equal(const struct address *a, const struct address *b);

/*
 * The next word of a list whose words are separated by blanks, or NULL at its end. *list moves
 * behind it, *n becomes its length.
 */
const char *address_next(const char **list, size_t *n);

/*
 * All addresses of settings that conf_check() accepted: the main section's, then those of the
 * [listen] sections. Returns how many; at most LISTENERS_MAX.
 */
size_t address_list(const struct settings *s, struct address *out, size_t max);

#endif
