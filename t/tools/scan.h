/*
 * Slices of JSON: the members of one object, the elements of one array.  Nothing is copied or
 * converted; a value is the bytes as they stand, which is what a test of "byte for byte" needs.
 */
#ifndef PLENUM_TOOLS_SCAN_H
#define PLENUM_TOOLS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
	const char *p;
	size_t len;
};

struct scan_member {
	struct slice key;		/* without its quotes */
	struct slice value;		/* with them, if it is a string */
};

enum { SCAN_MEMBERS_MAX = 48 };

/*
 * Splits the object in `text` into its members.  Returns their number, at most SCAN_MEMBERS_MAX,
 * or -1 if the text is not one object with nothing behind it.
 */
int scan_object(struct slice text, struct scan_member members[SCAN_MEMBERS_MAX]);

/*
 * Takes the next element off the array whose rest begins at *at (the first call: at its bracket).
 * Returns 1 and the element, 0 at the closing bracket, -1 if it is not an array.
 */
int scan_element(struct slice array, size_t *at, struct slice *element);

/* Borrows the value of a key; an empty slice (p == NULL) if it is not there. */
struct slice scan_get(const struct scan_member *members, int n, const char *key);

/* True if the slice is the string `s` in quotes. */
bool scan_is_string(struct slice value, const char *s);

/* Takes the quotes off a string; other values stay as they are. */
struct slice scan_unquote(struct slice value);

/* The slice as a decimal number without sign; UINT64_MAX if it is none. */
uint64_t scan_number(struct slice value);

#endif
