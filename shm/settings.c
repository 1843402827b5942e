/*
 * Settings: the table made real, and the conversions between text and value.
 *
 * Every conversion goes by the kind of the setting. The text of a value is parsed into a number (or
 * checked as a string) and only then stored, so that a refused text leaves the field as it was.
 * Numbers are formatted in the largest unit that divides them, which makes the result of
 * settings_format() a text that settings_set() turns into the same value.
 */
#include "shm/settings.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#define X(constant, word) word,
const char *const settings_log_level_names[] = { SETTINGS_LOG_LEVELS(X) };
const char *const settings_log_format_names[] = { SETTINGS_LOG_FORMATS(X) };
const char *const settings_auth_names[] = { SETTINGS_AUTHS(X) };
const char *const settings_keeper_names[] = { SETTINGS_KEEPERS(X) };
const char *const settings_cluster_outage_names[] = { SETTINGS_OUTAGES(X) };
const char *const settings_slow_names[] = { SETTINGS_SLOWS(X) };
const char *const settings_order_names[] = { SETTINGS_ORDERS(X) };
const char *const settings_service_names[] = { SETTINGS_SERVICES(X) };
const char *const setting_kind_names[] = { SETTING_KINDS(X) };
#undef X
const char *const setting_section_names[] = { "", "listen", "channel" };

_Static_assert(COUNT_OF(settings_log_level_names) == SETTINGS_LOG_LEVEL_COUNT, "log levels");
_Static_assert(COUNT_OF(settings_log_format_names) == SETTINGS_LOG_FORMAT_COUNT, "log formats");
_Static_assert(COUNT_OF(settings_auth_names) == SETTINGS_AUTH_COUNT, "auths");
_Static_assert(COUNT_OF(settings_keeper_names) == SETTINGS_KEEPER_COUNT, "keepers");
_Static_assert(COUNT_OF(settings_cluster_outage_names) == SETTINGS_CLUSTER_OUTAGE_COUNT,
    "cluster outages");
_Static_assert(COUNT_OF(settings_slow_names) == SETTINGS_SLOW_COUNT, "slows");
_Static_assert(COUNT_OF(settings_order_names) == SETTINGS_ORDER_COUNT, "orders");
_Static_assert(COUNT_OF(settings_service_names) == SETTINGS_SERVICE_COUNT, "services");
_Static_assert(COUNT_OF(setting_kind_names) == SETTING_KIND_COUNT, "kinds");
_Static_assert(COUNT_OF(setting_section_names) == SETTING_SECTION_COUNT, "sections");

/* The words of an ENUM and the greatest of its values; for the other kinds nothing and max. */
#define WORDS_ENUM(arg)		settings_##arg##_names
#define MAX_ENUM(arg, max)	COUNT_OF(settings_##arg##_names) - 1
#define WORDS_BOOL(arg)		NULL
#define MAX_BOOL(arg, max)	max
#define WORDS_INT(arg)		NULL
#define MAX_INT(arg, max)	max
#define WORDS_AUTO(arg)		NULL
#define MAX_AUTO(arg, max)	max
#define WORDS_SIZE(arg)		NULL
#define MAX_SIZE(arg, max)	max
#define WORDS_TIME(arg)		NULL
#define MAX_TIME(arg, max)	max
#define WORDS_RATE(arg)		NULL
#define MAX_RATE(arg, max)	max
#define WORDS_STRING(arg)	NULL
#define MAX_STRING(arg, max)	max
#define WORDS_LIST(arg)		NULL
#define MAX_LIST(arg, max)	max

#define LIVE	true
#define RESTART	false
#define HERE	true
#define LATER	false

#define ROW(type, sect, n, k, arg, d, lo, hi, l, h, e, text) { \
	.name = #n, .def = d, .env = e, .help = text, .words = WORDS_##k(arg), \
	.min = lo, .max = MAX_##k(arg, hi), \
	.offset = offsetof(struct type, n), .size = sizeof(((struct type *)0)->n), \
	.kind = SETTING_##k, .section = sect, .live = l, .here = h },
#define MAIN_ROW(...)		ROW(settings, SETTING_SECTION_MAIN, __VA_ARGS__)
#define LISTEN_ROW(...)		ROW(listen_section, SETTING_SECTION_LISTEN, __VA_ARGS__)
#define CHANNEL_ROW(...)	ROW(channel_rule, SETTING_SECTION_CHANNEL, __VA_ARGS__)

const struct setting settings_table[] = { SETTINGS(MAIN_ROW) };
const struct setting settings_listen_table[] = { SETTINGS_LISTEN(LISTEN_ROW) };
const struct setting settings_channel_table[] = { SETTINGS_CHANNEL(CHANNEL_ROW) };
const size_t settings_count = COUNT_OF(settings_table);
const size_t settings_listen_count = COUNT_OF(settings_listen_table);
const size_t settings_channel_count = COUNT_OF(settings_channel_table);

/* A unit of sizes or times, the largest first. */
struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "G", SETTINGS_G }, { "M", SETTINGS_M }, { "K", SETTINGS_K }, { "", 1 },
};
static const struct unit time_units[] = {
	{ "h", SETTINGS_H }, { "m", SETTINGS_MIN }, { "s", SETTINGS_S }, { "ms", 1 },
	{ "", SETTINGS_S },	/* a bare number; never reached when formatting */
};

const struct setting *
settings_section_table(enum setting_section section, size_t *count)
{
	switch (section) {
	case SETTING_SECTION_MAIN:
		*count = settings_count;
		return settings_table;
	case SETTING_SECTION_LISTEN:
		*count = settings_listen_count;
		return settings_listen_table;
	case SETTING_SECTION_CHANNEL:
		*count = settings_channel_count;
		return settings_channel_table;
	case SETTING_SECTION_COUNT:
		break;
	}
	assert(!"a section");
	return NULL;
}

const struct setting *
settings_find_in(enum setting_section section, const char *name)
{
	const struct setting *table;
	size_t i, n;

	table = settings_section_table(section, &n);
	for (i = 0; i < n; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

const struct setting *
settings_find(const char *name)
{
	return settings_find_in(SETTING_SECTION_MAIN, name);
}

/* Fill a structure with the defaults of its section. */
static void
set_defaults(void *base, enum setting_section section)
{
	const struct setting *table;
	char err[256];
	size_t i, n;

	table = settings_section_table(section, &n);
	for (i = 0; i < n; i++) {
		/* A value that must be given has an empty default, which is below its min. */
		if (table[i].def[0] == '\0')
			memset((char *)base + table[i].offset, 0, table[i].size);
		else if (settings_set_field(base, &table[i], table[i].def, err, sizeof(err)) == -1)
			assert(!"every default is allowed");
	}
}

void
settings_defaults(struct settings *s)
{
	memset(s, 0, sizeof(*s));
	set_defaults(s, SETTING_SECTION_MAIN);
	s->loopback = true;
	settings_derive(s);
}

struct listen_section *
settings_add_listen(struct settings *s, const char *name)
{
	struct listen_section *l;

	if (s->listen_count == SETTINGS_LISTEN_MAX || strlen(name) >= sizeof(l->name))
		return NULL;
	l = &s->listens[s->listen_count++];
	memset(l, 0, sizeof(*l));
	set_defaults(l, SETTING_SECTION_LISTEN);
	snprintf(l->name, sizeof(l->name), "%s", name);
	return l;
}

struct channel_rule *
settings_add_channel(struct settings *s, const char *pattern)
{
	struct channel_rule *r;

	if (s->channel_count == SETTINGS_CHANNEL_MAX || strlen(pattern) >= sizeof(r->pattern))
		return NULL;
	r = &s->channels[s->channel_count++];
	memset(r, 0, sizeof(*r));
	set_defaults(r, SETTING_SECTION_CHANNEL);
	snprintf(r->pattern, sizeof(r->pattern), "%s", pattern);
	return r;
}

/* The bit of one word of services, or 0. */
static uint32_t
service_bit(const char *word, size_t n)
{
	size_t i;

	if (n == 3 && memcmp(word, "all", 3) == 0)
		return SETTINGS_SERVICE_ALL;
	for (i = 0; i < SETTINGS_SERVICE_COUNT; i++)
		if (strlen(settings_service_names[i]) == n &&
		    memcmp(settings_service_names[i], word, n) == 0)
			return 1U << i;
	return 0;
}

/* The bits of all words; words that are not known count for nothing, *bad is the first of them. */
static uint32_t
services_mask(const char *words, const char **bad, size_t *badlen)
{
	uint32_t bit, mask = 0;
	size_t n;

	*bad = NULL;
	*badlen = 0;
	for (; *words != '\0'; words += n) {
		words += strspn(words, " ");
		n = strcspn(words, " ");
		bit = service_bit(words, n);
		mask |= bit;
		if (bit == 0 && n > 0 && *bad == NULL) {
			*bad = words;
			*badlen = n;
		}
	}
	return mask;
}

enum { SLOTS_AUTO = 16 };

void
settings_derive(struct settings *s)
{
	const char *bad;
	size_t badlen;
	uint32_t i;
	long n;

	s->worker_count = s->workers;
	if (s->workers == 0) {
		n = sysconf(_SC_NPROCESSORS_ONLN);
		s->worker_count = n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (uint32_t)n;
	}
	s->slot_count = s->workers_max != 0 ? s->workers_max : SLOTS_AUTO;
	if (s->slot_count < s->worker_count)
		s->slot_count = s->worker_count;
	memset(&s->channel_default, 0, sizeof(s->channel_default));
	set_defaults(&s->channel_default, SETTING_SECTION_CHANNEL);
	s->channel_default.pattern[0] = '*';
	s->channel_default.history = s->history;
	for (i = 0; i < s->channel_count; i++)
		if (s->channels[i].history == 0)
			s->channels[i].history = s->history;
	for (i = 0; i < s->listen_count; i++)
		s->listens[i].services_mask = services_mask(s->listens[i].services, &bad, &badlen);
}

/*
 * Glob with * alone. After a mismatch it goes back to the last * and lets that take one byte more;
 * earlier ones need not be tried again, so the time is bounded by the product of the lengths.
 */
bool
pattern_match(const char *pat, const char *s, size_t n)
{
	const char *star = NULL;
	size_t i = 0, mark = 0;

	while (i < n) {
		if (*pat == '*') {
			star = ++pat;
			mark = i;
		} else if (*pat != '\0' && *pat == s[i]) {
			pat++;
			i++;
		} else if (star != NULL) {
			pat = star;
			i = ++mark;
		} else
			return false;
	}
	while (*pat == '*')
		pat++;
	return *pat == '\0';
}

const struct channel_rule *
settings_channel_rule(const struct settings *s, const char *channel, size_t n)
{
	uint32_t i;

	for (i = 0; i < s->channel_count && i < SETTINGS_CHANNEL_MAX; i++)
		if (pattern_match(s->channels[i].pattern, channel, n))
			return &s->channels[i];
	return &s->channel_default;
}

uint32_t
settings_history_max(const struct settings *s)
{
	uint32_t i, max = s->history;

	for (i = 0; i < s->channel_count && i < SETTINGS_CHANNEL_MAX; i++)
		if (s->channels[i].history > max)
			max = s->channels[i].history;
	return max;
}

/* snprintf() that reports a cut as -1. */
__attribute__((format(printf, 3, 4))) static int
put(char *out, size_t n, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(out, n, fmt, ap);
	va_end(ap);
	return len < 0 || (size_t)len >= n ? -1 : len;
}

static int
put_units(uint64_t value, const struct unit *unit, char *out, size_t n)
{
	if (value == 0)
		return put(out, n, "0");
	while (value % unit->factor != 0)
		unit++;
	return put(out, n, "%" PRIu64 "%s", value / unit->factor, unit->suffix);
}

/* Write a number of the setting's kind. */
static int
put_value(const struct setting *st, uint64_t value, char *out, size_t n)
{
	switch (st->kind) {
	case SETTING_BOOL:
		return put(out, n, "%s", value != 0 ? "yes" : "no");
	case SETTING_AUTO:
		if (value == 0)
			return put(out, n, "auto");
		/* FALLTHROUGH */
	case SETTING_INT:
		return put(out, n, "%" PRIu64, value);
	case SETTING_SIZE:
		return put_units(value, size_units, out, n);
	case SETTING_TIME:
		return put_units(value, time_units, out, n);
	case SETTING_RATE:
		return put(out, n, value == 0 ? "0" : "%" PRIu64 "/s", value);
	case SETTING_ENUM:
		return put(out, n, "%s", value <= st->max ? st->words[value] : "?");
	case SETTING_STRING:
	case SETTING_LIST:
	case SETTING_KIND_COUNT:
		break;
	}
	assert(!"a kind with numbers");
	return -1;
}

/* Read the number in a field of any kind but STRING and LIST. */
static uint64_t
get_value(const void *base, const struct setting *st)
{
	const char *field = (const char *)base + st->offset;
	uint64_t u64;
	uint32_t u32;

	if (st->kind == SETTING_BOOL)
		return *(const bool *)(const void *)field ? 1 : 0;
	if (st->size == sizeof(u64)) {
		memcpy(&u64, field, sizeof(u64));
		return u64;
	}
	assert(st->size == sizeof(u32));
	memcpy(&u32, field, sizeof(u32));
	return u32;
}

static void
set_value(void *base, const struct setting *st, uint64_t value)
{
	char *field = (char *)base + st->offset;
	uint32_t u32 = (uint32_t)value;
	bool b = value != 0;

	if (st->kind == SETTING_BOOL)
		memcpy(field, &b, sizeof(b));
	else if (st->size == sizeof(value))
		memcpy(field, &value, sizeof(value));
	else {
		assert(st->size == sizeof(u32));
		memcpy(field, &u32, sizeof(u32));
	}
}

static bool
is_text(const struct setting *st)
{
	return st->kind == SETTING_STRING || st->kind == SETTING_LIST;
}

int
settings_format_field(const void *base, const struct setting *st, char *out, size_t n)
{
	if (is_text(st))
		return put(out, n, "%s", (const char *)base + st->offset);
	return put_value(st, get_value(base, st), out, n);
}

int
settings_format(const struct settings *s, const struct setting *st, char *out, size_t n)
{
	assert(st->section == SETTING_SECTION_MAIN);
	return settings_format_field(s, st, out, n);
}

static int
put_words(const struct setting *st, char *out, size_t n)
{
	size_t i, at = 0;
	int len;

	for (i = 0; i <= st->max; i++) {
		len = put(out + at, n - at, "%s%s", i == 0 ? "" : i == st->max ? " or " : ", ",
		    st->words[i]);
		if (len == -1)
			return -1;
		at += (size_t)len;
	}
	return (int)at;
}

int
settings_format_range(const struct setting *st, char *out, size_t n)
{
	char lo[32], hi[32];

	if (st->kind == SETTING_BOOL)
		return put(out, n, "yes or no");
	if (st->kind == SETTING_ENUM)
		return put_words(st, out, n);
	if (is_text(st))
		return put(out, n, "%s%" PRIu64 " bytes%s", st->min > 0 ? "1 to " : "up to ",
		    st->max, st->kind == SETTING_LIST ? " of words separated by blanks" : "");
	put_value(st, st->min, lo, sizeof(lo));
	put_value(st, st->max, hi, sizeof(hi));
	return put(out, n, "%s%s to %s", st->kind == SETTING_AUTO ? "auto or " : "",
	    lo, hi);
}

/* Say what is wrong with a text, and what is allowed. Always -1. */
static int
refuse(const struct setting *st, const char *text, const char *what, char *err, size_t errlen)
{
	char range[256];

	settings_format_range(st, range, sizeof(range));
	snprintf(err, errlen, "\"%.80s\" is %s, allowed is %s", text, what, range);
	return -1;
}

/*
 * Digits at the start of *text; *text moves behind them. Returns 0, or -1 when there are none or
 * the number is not one of 64 bits.
 */
static int
parse_digits(const char **text, uint64_t *value)
{
	const char *p = *text;
	uint64_t v = 0;

	if (!isdigit((unsigned char)*p))
		return -1;
	for (; isdigit((unsigned char)*p); p++) {
		if (v > (UINT64_MAX - 9) / 10)
			return -1;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*text = p;
	*value = v;
	return 0;
}

static int
parse_units(const char *text, const struct unit *units, size_t n, uint64_t *value)
{
	uint64_t v;
	size_t i;

	if (parse_digits(&text, &v) == -1)
		return -1;
	for (i = 0; i < n; i++)
		if (strcasecmp(text, units[i].suffix) == 0) {
			/* What would overflow is out of any range. */
			*value = v > UINT64_MAX / units[i].factor ? UINT64_MAX :
			    v * units[i].factor;
			return 0;
		}
	return -1;
}

static int
parse_bool(const char *text, uint64_t *value)
{
	static const char *const yes[] = { "yes", "on", "true", "1" };
	static const char *const no[] = { "no", "off", "false", "0" };
	size_t i;

	for (i = 0; i < COUNT_OF(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*value = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -1;
}

static int
parse_word(const struct setting *st, const char *text, uint64_t *value)
{
	uint64_t i;

	for (i = 0; i <= st->max; i++)
		if (strcmp(text, st->words[i]) == 0) {
			*value = i;
			return 0;
		}
	return -1;
}

/* Text to number by kind: 0, or -1 when it is not written as the kind wants it. */
static int
parse_value(const struct setting *st, const char *text, uint64_t *value)
{
	switch (st->kind) {
	case SETTING_BOOL:
		return parse_bool(text, value);
	case SETTING_INT:
	case SETTING_AUTO:
		if (parse_digits(&text, value) == -1)
			return -1;
		return *text == '\0' ? 0 : -1;
	case SETTING_SIZE:
		return parse_units(text, size_units, COUNT_OF(size_units), value);
	case SETTING_TIME:
		return parse_units(text, time_units, COUNT_OF(time_units), value);
	case SETTING_RATE:
		if (parse_digits(&text, value) == -1)
			return -1;
		return *text == '\0' || strcmp(text, "/s") == 0 ? 0 : -1;
	case SETTING_ENUM:
		return parse_word(st, text, value);
	case SETTING_STRING:
	case SETTING_LIST:
	case SETTING_KIND_COUNT:
		break;
	}
	assert(!"a kind with numbers");
	return -1;
}

/* Refuse a value of a feature that is not in this version, unless it is the default. */
static int
check_here(const struct setting *st, bool is_default, char *err, size_t errlen)
{
	if (st->here || is_default)
		return 0;
	if (st->def[0] == '\0')
		snprintf(err, errlen, "not available in this version, allowed is no value");
	else
		snprintf(err, errlen, "not available in this version, allowed is %s", st->def);
	return -1;
}

/* How a number of the kind is written, for those who wrote it otherwise. */
static const char *
kind_hint(const struct setting *st)
{
	switch (st->kind) {
	case SETTING_SIZE:
		return "not a size such as 4096, 64K, 10M or 2G";
	case SETTING_TIME:
		return "not a time such as 500ms, 10s, 5m or 1h";
	case SETTING_RATE:
		return "not a rate such as 100/s";
	case SETTING_INT:
	case SETTING_AUTO:
		return "not a number";
	case SETTING_BOOL:
	case SETTING_ENUM:
	case SETTING_STRING:
	case SETTING_LIST:
	case SETTING_KIND_COUNT:
		break;
	}
	return "not known";
}

static int
set_number(void *base, const struct setting *st, const char *text, char *err, size_t errlen)
{
	uint64_t value = 0, def;

	if (st->kind != SETTING_AUTO || strcmp(text, "auto") != 0) {
		if (parse_value(st, text, &value) == -1)
			return refuse(st, text, kind_hint(st), err, errlen);
		if (value < st->min || value > st->max)
			return refuse(st, text, "out of range", err, errlen);
	}
	if (!st->here) {
		if (parse_value(st, st->def, &def) == -1)
			assert(!"every default is well written");
		if (check_here(st, value == def, err, errlen) == -1)
			return -1;
	}
	set_value(base, st, value);
	return 0;
}

/* Copy words with one blank between them: the length, or -1 when they do not fit. */
static int
copy_words(const char *text, char *out, size_t n)
{
	size_t at = 0, len;

	for (;;) {
		text += strspn(text, " \t");
		len = strcspn(text, " \t");
		if (len == 0)
			break;
		if (at + len + 2 > n)
			return -1;
		if (at > 0)
			out[at++] = ' ';
		memcpy(out + at, text, len);
		at += len;
		text += len;
	}
	out[at] = '\0';
	return (int)at;
}

/* What a text may not contain, whatever it means. */
static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if (iscntrl((unsigned char)*text) && *text != '\t')
			return true;
	return false;
}

static int
set_text(void *base, const struct setting *st, const char *text, char *err, size_t errlen)
{
	char buf[SETTINGS_TEXT_MAX];
	const char *bad;
	size_t badlen;
	int len;

	assert(st->size <= sizeof(buf) && st->max < st->size);
	if (st->kind == SETTING_LIST)
		len = copy_words(text, buf, sizeof(buf));
	else
		len = put(buf, sizeof(buf), "%s", text);
	if (len == -1 || (uint64_t)len > st->max)
		return refuse(st, text, "too long", err, errlen);
	if ((uint64_t)len < st->min) {
		snprintf(err, errlen, "needs a value, %s", st->help);
		return -1;
	}
	if (has_control(buf)) {
		snprintf(err, errlen, "has control characters, allowed is printable text");
		return -1;
	}
	if (check_here(st, strcmp(buf, st->def) == 0, err, errlen) == -1)
		return -1;
	if (st->section == SETTING_SECTION_LISTEN && strcmp(st->name, "services") == 0) {
		services_mask(buf, &bad, &badlen);
		if (bad != NULL) {
			snprintf(err, errlen, "\"%.*s\" is not a service, %s", (int)badlen, bad,
			    st->help);
			return -1;
		}
	}
	memset((char *)base + st->offset, 0, st->size);
	memcpy((char *)base + st->offset, buf, (size_t)len);
	return 0;
}

int
settings_set_field(void *base, const struct setting *st, const char *text, char *err,
    size_t errlen)
{
	if (is_text(st))
		return set_text(base, st, text, err, errlen);
	return set_number(base, st, text, err, errlen);
}

int
settings_set(struct settings *s, const struct setting *st, const char *text, char *err,
    size_t errlen)
{
	assert(st->section == SETTING_SECTION_MAIN);
	return settings_set_field(s, st, text, err, errlen);
}

bool
settings_equal_field(const void *a, const void *b, const struct setting *st)
{
	if (is_text(st))
		return strcmp((const char *)a + st->offset, (const char *)b + st->offset) == 0;
	return get_value(a, st) == get_value(b, st);
}

bool
settings_equal(const struct settings *a, const struct settings *b, const struct setting *st)
{
	assert(st->section == SETTING_SECTION_MAIN);
	return settings_equal_field(a, b, st);
}

bool
settings_is_default(const struct settings *s, const struct setting *st)
{
	char text[SETTINGS_TEXT_MAX];
	uint64_t def = 0;

	assert(st->section == SETTING_SECTION_MAIN);
	if (is_text(st)) {
		settings_format(s, st, text, sizeof(text));
		return strcmp(text, st->def) == 0;
	}
	if (strcmp(st->def, "auto") != 0 || st->kind != SETTING_AUTO)
		parse_value(st, st->def, &def);
	return get_value(s, st) == def;
}
