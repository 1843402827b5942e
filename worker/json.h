#ifndef PLENUM_WORKER_JSON_H
#define PLENUM_WORKER_JSON_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A strict RFC 8259 scanner that validates a text and hands out the raw spans of the members
 * the caller asked for. No allocation, no recursion, no copy. The bytes of strings above 0x7f
 * are not looked at: whoever needs UTF-8 calls utf8_valid() as well. Pure functions: any
 * process may call them, none blocks.
 */

#define JSON_TYPES(X) \
	X(NULL, "null") \
	X(BOOL, "boolean") \
	X(NUMBER, "number") \
	X(STRING, "string") \
	X(ARRAY, "array") \
	X(OBJECT, "object")

enum json_type {
#define X(name, text) JSON_##name,
	JSON_TYPES(X)
#undef X
	JSON_TYPE_MAX
};

#define JSON_WHYS(X) \
	X(NONE, "no error") \
	X(EMPTY, "there is no value") \
	X(TRUNCATED, "the text ends inside a value") \
	X(VALUE, "a value was expected") \
	X(LITERAL, "a word is not true, false or null") \
	X(NUMBER, "a number is malformed") \
	X(CONTROL, "a string contains a control character") \
	X(ESCAPE, "a string contains an invalid escape") \
	X(KEY, "a member name was expected") \
	X(COLON, "a colon was expected") \
	X(COMMA, "a comma or the end of the list was expected") \
	X(DEPTH, "arrays and objects are nested too deeply") \
	X(TRAILING, "there is text behind the value") \
	X(NOT_OBJECT, "the value is not an object") \
	X(DUPLICATE, "a member name occurs twice")

enum json_why {
#define X(name, text) JSON_WHY_##name,
	JSON_WHYS(X)
#undef X
	JSON_WHY_MAX
};

/* The deepest max_depth a caller may ask for. */
#define JSON_DEPTH_LIMIT 1024
/* Names in a table of wanted members are at most this long. */
#define JSON_NAME_MAX 63

/* A value as it stands in the text: strings with their quotes, no space around it. Borrowed. */
struct json_value {
	enum json_type type;
	const char *p;
	size_t n;
};

/* One wanted member. The caller's table ends with a NULL name; v is defined while seen is true. */
struct json_member {
	const char *name;
	struct json_value v;
	bool seen;
};

/* "array", and for a reason a human sentence; never NULL. */
const char *json_type_name(enum json_type type);
const char *json_why_name(enum json_why why);

/*
 * Validates the n bytes as one object with optional whitespace around it, and fills the
 * members of want that occur at its top level (the others are set to not seen). Names are
 * compared decoded. max_depth counts arrays and objects, the outermost included; it is at most
 * JSON_DEPTH_LIMIT. A wanted name that occurs twice is an error, an unwanted one is not.
 * Returns 1, or -1 with *why set.
 */
int json_scan_object(const char *p, size_t n, unsigned max_depth, struct json_member *want,
    enum json_why *why);

/* The same for any one value; max_depth 0 allows scalars only. Returns 1, or -1 with *why set. */
int json_scan_value(const char *p, size_t n, unsigned max_depth, struct json_value *out,
    enum json_why *why);

/*
 * Walk the elements of an array or the members of an object that a scan accepted. *at starts
 * as 0. True: the next element is in *v (and its name, a string, in *name, which may be NULL
 * for arrays); false: no more. The walk does not validate again.
 */
bool json_next(const struct json_value *list, size_t *at, struct json_value *name,
    struct json_value *v);

/*
 * The text of a string that a scan accepted, unescaped, without a terminating zero. Returns
 * its length; -1 if it is no string, is longer than cap, or contains \u0000 or half of a
 * surrogate pair.
 */
ssize_t json_string_decode(const struct json_value *v, char *out, size_t cap);

/* True if v is a string whose text is exactly s. */
bool json_string_is(const struct json_value *v, const char *s);

/*
 * Writes the n bytes of s as a JSON string with its quotes; controls, quote and backslash are
 * escaped, the rest passes as it is. Returns the length needed; nothing is written if that is
 * over cap.
 */
size_t json_string_encode(char *out, size_t cap, const char *s, size_t n);

/* True if v is an integer without fraction or exponent in range, or a boolean; then *out is set. */
bool json_uint64(const struct json_value *v, uint64_t *out);
bool json_int64(const struct json_value *v, int64_t *out);
bool json_bool(const struct json_value *v, bool *out);

#endif
