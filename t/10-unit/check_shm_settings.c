/*
 * Settings: the table, the conversions between text and value, and the rules of channels.
 */
#include "shm/settings.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct settings s;

static void
set(const char *name, const char *text)
{
	char err[512] = "";

	ck_assert_msg(settings_set(&s, settings_find(name), text, err, sizeof(err)) == 0,
	    "%s = %s: %s", name, text, err);
}

/* The canonical text of a setting. */
static const char *
get(const char *name)
{
	static char text[SETTINGS_TEXT_MAX];

	ck_assert_int_ge(settings_format(&s, settings_find(name), text, sizeof(text)), 0);
	return text;
}

START_TEST(every_default_is_what_the_table_says)
{
	size_t i;

	settings_defaults(&s);
	for (i = 0; i < settings_count; i++) {
		ck_assert_msg(settings_is_default(&s, &settings_table[i]), "%s",
		    settings_table[i].name);
		/* The table has them in the form that people use; both mean the same. */
		if (strcmp(settings_table[i].def, "120s") != 0 &&
		    strcmp(settings_table[i].def, "60s") != 0)
			ck_assert_str_eq(get(settings_table[i].name), settings_table[i].def);
	}
	ck_assert_uint_eq(s.ping_interval, 25000);
	ck_assert_uint_eq(s.request_timeout, 120000);
	ck_assert_uint_eq(s.arena, 64 << 20);
	ck_assert_uint_eq(s.message_rate, 1000);
	ck_assert_uint_eq(s.log_level, SETTINGS_LOG_INFO);
	ck_assert_str_eq(s.listen, "127.0.0.1:8080");
	ck_assert_uint_eq(s.number, 0);
	ck_assert(s.loopback);
}
END_TEST

START_TEST(names_of_the_table_are_unique_and_found)
{
	size_t i, j;

	for (i = 0; i < settings_count; i++) {
		ck_assert_ptr_eq(settings_find(settings_table[i].name), &settings_table[i]);
		for (j = 0; j < i; j++)
			ck_assert_str_ne(settings_table[i].name, settings_table[j].name);
	}
	ck_assert_ptr_null(settings_find("worker"));
	ck_assert_ptr_null(settings_find("address"));
	ck_assert_ptr_nonnull(settings_find_in(SETTING_SECTION_LISTEN, "address"));
	ck_assert_ptr_nonnull(settings_find_in(SETTING_SECTION_CHANNEL, "slow"));
	ck_assert_ptr_null(settings_find_in(SETTING_SECTION_CHANNEL, "address"));
}
END_TEST

/* Store text, format it, store that in another place: both must be equal. */
static void
round_trip(const struct setting *st, const char *text)
{
	union {
		struct settings main;
		struct listen_section listen;
		struct channel_rule channel;
	} a, b;
	char out[SETTINGS_TEXT_MAX], again[SETTINGS_TEXT_MAX], err[512] = "";

	memset(&a, 0, sizeof(a));
	memset(&b, 0xff, sizeof(b));
	ck_assert_msg(settings_set_field(&a, st, text, err, sizeof(err)) == 0, "%s = %s: %s",
	    st->name, text, err);
	ck_assert_int_ge(settings_format_field(&a, st, out, sizeof(out)), 0);
	ck_assert_msg(settings_set_field(&b, st, out, err, sizeof(err)) == 0, "%s = %s: %s",
	    st->name, out, err);
	ck_assert_msg(settings_equal_field(&a, &b, st), "%s = %s", st->name, out);
	ck_assert_int_ge(settings_format_field(&b, st, again, sizeof(again)), 0);
	ck_assert_str_eq(out, again);
}

/* A number of the setting's kind, as text of the smallest unit. */
static void
number_text(const struct setting *st, uint64_t value, char *out, size_t n)
{
	snprintf(out, n, "%llu%s", (unsigned long long)value,
	    st->kind == SETTING_TIME ? "ms" : st->kind == SETTING_RATE ? "/s" : "");
}

static void
round_trip_all(const struct setting *st)
{
	char text[SETTINGS_TEXT_MAX];
	uint64_t i;

	if (st->def[0] != '\0' || st->min == 0)
		round_trip(st, st->def);
	if (!st->here)
		return;
	switch (st->kind) {
	case SETTING_STRING:
	case SETTING_LIST:
		if (strcmp(st->name, "services") == 0) {
			round_trip(st, "channels metrics");
			return;
		}
		memset(text, 'x', st->max);
		text[st->max] = '\0';
		round_trip(st, text);
		return;
	case SETTING_ENUM:
		for (i = 0; i <= st->max; i++)
			round_trip(st, st->words[i]);
		return;
	case SETTING_BOOL:
		round_trip(st, "yes");
		round_trip(st, "no");
		return;
	default:
		number_text(st, st->min, text, sizeof(text));
		round_trip(st, text);
		number_text(st, st->max, text, sizeof(text));
		round_trip(st, text);
		number_text(st, st->max - 1, text, sizeof(text));
		round_trip(st, text);
	}
}

START_TEST(every_setting_round_trips_through_its_text)
{
	const struct setting *table;
	size_t i, n;
	int section;

	for (section = 0; section < SETTING_SECTION_COUNT; section++) {
		table = settings_section_table((enum setting_section)section, &n);
		ck_assert_uint_gt(n, 0);
		for (i = 0; i < n; i++)
			round_trip_all(&table[i]);
	}
}
END_TEST

START_TEST(no_number_beyond_its_range_is_stored)
{
	const struct setting *st;
	char text[64], err[512];
	size_t i;

	for (i = 0; i < settings_count; i++) {
		st = &settings_table[i];
		if (st->kind == SETTING_STRING || st->kind == SETTING_LIST ||
		    st->kind == SETTING_ENUM || st->kind == SETTING_BOOL)
			continue;
		settings_defaults(&s);
		number_text(st, st->max + 1, text, sizeof(text));
		ck_assert_msg(settings_set(&s, st, text, err, sizeof(err)) == -1, "%s = %s",
		    st->name, text);
		ck_assert_msg(strstr(err, "out of range, allowed is ") != NULL, "%s", err);
		if (st->min > 0) {
			number_text(st, st->min - 1, text, sizeof(text));
			ck_assert_msg(settings_set(&s, st, text, err, sizeof(err)) == -1,
			    "%s = %s", st->name, text);
		}
		ck_assert_msg(settings_is_default(&s, st), "%s", st->name);
	}
}
END_TEST

static const struct {
	const char *name, *text, *canonical;
} accepted[] = {
	{ "arena", "1M", "1M" }, { "arena", "2048k", "2M" }, { "arena", "1048577", "1048577" },
	{ "arena", "1G", "1G" }, { "max_body", "1025K", "1025K" },
	{ "ping_interval", "30", "30s" }, { "ping_interval", "1500ms", "1500ms" },
	{ "ping_interval", "2m", "2m" }, { "ping_interval", "120s", "2m" },
	{ "ping_interval", "1H", "1h" }, { "graceful_timeout", "0", "0" },
	{ "message_rate", "20/s", "20/s" }, { "message_rate", "20", "20/s" },
	{ "workers", "auto", "auto" }, { "workers", "7", "7" }, { "workers", "007", "7" },
	{ "insecure", "on", "yes" }, { "insecure", "False", "no" }, { "insecure", "1", "yes" },
	{ "keeper", "no", "no" }, { "log_level", "warning", "warning" },
	{ "listen", "  a:1 \t b:2 ", "a:1 b:2" }, { "user", "", "" },
	{ "redis", "", "" }, { "auth", "none", "none" }, { "rate_limit", "0", "0" },
	{ "connection_rate", "0/s", "0" }, { "database", "sqlite:STATE_DIR/plenum.db",
	    "sqlite:STATE_DIR/plenum.db" },
};

START_TEST(text_is_understood)
{
	settings_defaults(&s);
	set(accepted[_i].name, accepted[_i].text);
	ck_assert_str_eq(get(accepted[_i].name), accepted[_i].canonical);
}
END_TEST

static const struct {
	const char *name, *text, *err;
} refused[] = {
	{ "workers", "0", "\"0\" is out of range, allowed is auto or 1 to 56" },
	{ "workers", "57", "\"57\" is out of range, allowed is auto or 1 to 56" },
	{ "workers", "four", "\"four\" is not a number, allowed is auto or 1 to 56" },
	{ "workers", "", "\"\" is not a number, allowed is auto or 1 to 56" },
	{ "workers", "-1", "\"-1\" is not a number, allowed is auto or 1 to 56" },
	{ "workers", "4 5", "\"4 5\" is not a number, allowed is auto or 1 to 56" },
	{ "history", "auto", "\"auto\" is not a number, allowed is 1 to 8192" },
	{ "history", "8193", "\"8193\" is out of range, allowed is 1 to 8192" },
	{ "history", "99999999999999999999999",
	    "\"99999999999999999999999\" is not a number, allowed is 1 to 8192" },
	{ "max_header", "16KB",
	    "\"16KB\" is not a size such as 4096, 64K, 10M or 2G, "
	    "allowed is 1K to 24K" },
	{ "max_header", "17179869185G", "\"17179869185G\" is out of range, allowed is 1K to 24K" },
	{ "ping_interval", "5d",
	    "\"5d\" is not a time such as 500ms, 10s, 5m or 1h, "
	    "allowed is 100ms to 1h" },
	{ "ping_interval", "1.5s",
	    "\"1.5s\" is not a time such as 500ms, 10s, 5m or 1h, "
	    "allowed is 100ms to 1h" },
	{ "message_rate", "10/m",
	    "\"10/m\" is not a rate such as 100/s, allowed is 1/s to "
	    "65535/s" },
	{ "log_level", "loud",
	    "\"loud\" is not known, allowed is debug, info, notice, warning or "
	    "error" },
	{ "insecure", "maybe", "\"maybe\" is not known, allowed is yes or no" },
	{ "run_dir", "",
	    "needs a value, folder of plenumd.pid, control.sock and what must survive "
	    "an upgrade" },
	{ "run_dir", "/a\001", "has control characters, allowed is printable text" },
	{ "auth", "jwt", "not available in this version, allowed is none" },
	{ "redis", "redis://localhost:6379/0",
	    "not available in this version, allowed is no value" },
	{ "database", "postgresql://db",
	    "not available in this version, allowed is "
	    "sqlite:STATE_DIR/plenum.db" },
	{ "rate_limit", "60", "not available in this version, allowed is 0" },
	{ "connection_rate", "5/s", "not available in this version, allowed is 0" },
	{ "proxy_protocol", "yes", "not available in this version, allowed is no" },
	{ "trusted_proxies", "10.0.0.1", "not available in this version, allowed is no value" },
	{ "jwt_secret_file", "/k", "not available in this version, allowed is no value" },
	{ "jwt_public_key_file", "/k", "not available in this version, allowed is no value" },
	{ "api_key_file", "/k", "not available in this version, allowed is no value" },
};

START_TEST(text_is_refused_with_what_is_allowed)
{
	char err[512] = "";
	const struct setting *st = settings_find(refused[_i].name);

	settings_defaults(&s);
	ck_assert_int_eq(settings_set(&s, st, refused[_i].text, err, sizeof(err)), -1);
	ck_assert_str_eq(err, refused[_i].err);
	ck_assert(settings_is_default(&s, st));
}
END_TEST

START_TEST(text_that_is_too_long_is_refused)
{
	char text[3000], err[512];
	const struct setting *st;
	size_t i;

	for (i = 0; i < settings_count; i++) {
		st = &settings_table[i];
		if (st->kind != SETTING_STRING && st->kind != SETTING_LIST)
			continue;
		settings_defaults(&s);
		memset(text, 'x', sizeof(text));
		text[st->max + 1] = '\0';
		ck_assert_int_eq(settings_set(&s, st, text, err, sizeof(err)), -1);
		ck_assert_msg(strstr(err, "is too long, allowed is ") != NULL, "%s", err);
		text[st->max + 1] = 'x';
		text[sizeof(text) - 1] = '\0';
		ck_assert_int_eq(settings_set(&s, st, text, err, sizeof(err)), -1);
		ck_assert(settings_is_default(&s, st));
	}
}
END_TEST

START_TEST(a_service_that_is_not_known_is_refused)
{
	const struct setting *st = settings_find_in(SETTING_SECTION_LISTEN, "services");
	struct listen_section *l;
	char err[512];

	settings_defaults(&s);
	l = settings_add_listen(&s, "inside");
	ck_assert_int_eq(settings_set_field(l, st, "rfq chess", err, sizeof(err)), -1);
	ck_assert_str_eq(err, "\"chess\" is not a service, what it serves: all, or words of "
	    "channels collab rfq feed api health metrics console echo routes");
	ck_assert_int_eq(settings_set_field(l, st, "rfq  metrics", err, sizeof(err)), 0);
	settings_derive(&s);
	ck_assert_uint_eq(l->services_mask, SETTINGS_SERVICE_RFQ | SETTINGS_SERVICE_METRICS);
	ck_assert_int_eq(settings_set_field(l, st, "all", err, sizeof(err)), 0);
	settings_derive(&s);
	ck_assert_uint_eq(l->services_mask, SETTINGS_SERVICE_ALL);
}
END_TEST

START_TEST(auto_becomes_the_processors_of_the_host)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	settings_defaults(&s);
	ck_assert_uint_eq(s.workers, 0);
	ck_assert_uint_eq(s.worker_count, n > WORKERS_MAX ? WORKERS_MAX : (uint32_t)n);
	set("workers", "3");
	settings_derive(&s);
	ck_assert_uint_eq(s.worker_count, 3);
}
END_TEST

static const struct {
	const char *pattern, *name;
	bool matches;
} patterns[] = {
	{ "room", "room", true }, { "room", "room1", false }, { "room", "roo", false },
	{ "*", "", true }, { "*", "anything", true }, { "", "", true }, { "", "a", false },
	{ "room-*", "room-", true }, { "room-*", "room-1", true }, { "room-*", "room", false },
	{ "*:42", "project:42", true }, { "*:42", "project:421", false },
	{ "a*b*c", "abc", true }, { "a*b*c", "aXbYbZc", true }, { "a*b*c", "aXbYbZ", false },
	{ "**", "x", true }, { "*a*", "bab", true }, { "*a*", "bbb", false },
	{ "*ab", "aab", true }, { "a*a", "a", false },
};

START_TEST(star_matches_any_run)
{
	ck_assert_int_eq(pattern_match(patterns[_i].pattern, patterns[_i].name,
	    strlen(patterns[_i].name)), patterns[_i].matches);
}
END_TEST

START_TEST(matching_looks_at_n_bytes_only)
{
	ck_assert(pattern_match("room", "room-1", 4));
	ck_assert(!pattern_match("room-1", "room-1", 4));
	ck_assert(!pattern_match("a", "a\0b", 3));
}
END_TEST

START_TEST(first_matching_pattern_rules_a_channel)
{
	const struct channel_rule *r;
	struct channel_rule *first, *second;

	settings_defaults(&s);
	set("history", "77");
	first = settings_add_channel(&s, "room-*");
	first->slow = SETTINGS_SLOW_LATEST;
	second = settings_add_channel(&s, "*");
	second->history = 5;
	second->order = SETTINGS_ORDER_CLUSTER;
	settings_derive(&s);
	r = settings_channel_rule(&s, "room-1", 6);
	ck_assert_ptr_eq(r, first);
	ck_assert_uint_eq(r->history, 77);
	ck_assert_uint_eq(r->slow, SETTINGS_SLOW_LATEST);
	r = settings_channel_rule(&s, "hall", 4);
	ck_assert_ptr_eq(r, second);
	ck_assert_uint_eq(r->history, 5);
	ck_assert_uint_eq(settings_history_max(&s), 77);
	second->history = 8000;
	ck_assert_uint_eq(settings_history_max(&s), 8000);
}
END_TEST

START_TEST(a_channel_without_a_pattern_has_the_main_history)
{
	const struct channel_rule *r;

	settings_defaults(&s);
	set("history", "12");
	settings_add_channel(&s, "room-*");
	settings_derive(&s);
	r = settings_channel_rule(&s, "hall", 4);
	ck_assert_uint_eq(r->history, 12);
	ck_assert_uint_eq(r->slow, SETTINGS_SLOW_GAP);
	ck_assert_uint_eq(r->order, SETTINGS_ORDER_HOST);
	ck_assert(!r->durable);
}
END_TEST

START_TEST(sections_are_bounded)
{
	char name[16], longer[SETTINGS_PATTERN_MAX + 1];
	int i;

	settings_defaults(&s);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_ptr_null(settings_add_listen(&s, longer));
	ck_assert_ptr_null(settings_add_channel(&s, longer));
	for (i = 0; i < SETTINGS_LISTEN_MAX; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		ck_assert_ptr_nonnull(settings_add_listen(&s, name));
	}
	ck_assert_ptr_null(settings_add_listen(&s, "more"));
	for (i = 0; i < SETTINGS_CHANNEL_MAX; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		ck_assert_ptr_nonnull(settings_add_channel(&s, name));
	}
	ck_assert_ptr_null(settings_add_channel(&s, "more"));
}
END_TEST

START_TEST(a_copy_is_equal_until_it_differs)
{
	static struct settings copy;
	size_t i;

	settings_defaults(&s);
	memcpy(&copy, &s, sizeof(copy));
	for (i = 0; i < settings_count; i++)
		ck_assert(settings_equal(&s, &copy, &settings_table[i]));
	set("log_file", "/var/log/plenum");
	set("arena", "128M");
	set("debug_endpoints", "yes");
	for (i = 0; i < settings_count; i++)
		ck_assert_int_eq(settings_equal(&s, &copy, &settings_table[i]),
		    settings_is_default(&s, &settings_table[i]));
	ck_assert(!settings_equal(&s, &copy, settings_find("arena")));
}
END_TEST

START_TEST(a_small_buffer_is_told)
{
	char small[4];

	settings_defaults(&s);
	ck_assert_int_eq(settings_format(&s, settings_find("listen"), small, sizeof(small)), -1);
	ck_assert_int_eq(settings_format(&s, settings_find("arena"), small, sizeof(small)), 3);
	ck_assert_int_eq(settings_format(&s, settings_find("arena"), small, 3), -1);
}
END_TEST

#define COUNT_OF(a) (int)(sizeof(a) / sizeof((a)[0]))

int
main(void)
{
	Suite *suite = suite_create("shm/settings");
	TCase *tc = tcase_create("settings");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_default_is_what_the_table_says);
	tcase_add_test(tc, names_of_the_table_are_unique_and_found);
	tcase_add_test(tc, every_setting_round_trips_through_its_text);
	tcase_add_test(tc, no_number_beyond_its_range_is_stored);
	tcase_add_loop_test(tc, text_is_understood, 0, COUNT_OF(accepted));
	tcase_add_loop_test(tc, text_is_refused_with_what_is_allowed, 0, COUNT_OF(refused));
	tcase_add_test(tc, text_that_is_too_long_is_refused);
	tcase_add_test(tc, a_service_that_is_not_known_is_refused);
	tcase_add_test(tc, auto_becomes_the_processors_of_the_host);
	tcase_add_loop_test(tc, star_matches_any_run, 0, COUNT_OF(patterns));
	tcase_add_test(tc, matching_looks_at_n_bytes_only);
	tcase_add_test(tc, first_matching_pattern_rules_a_channel);
	tcase_add_test(tc, a_channel_without_a_pattern_has_the_main_history);
	tcase_add_test(tc, sections_are_bounded);
	tcase_add_test(tc, a_copy_is_equal_until_it_differs);
	tcase_add_test(tc, a_small_buffer_is_told);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
