/*
 * Configuration: files, environment and -D, each refusal with its place, what a reload may change.
 */
#include "master/conf.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/address.h"
#include "master/confhelp.h"
#include "master/options.h"

#define COUNT_OF(a) (int)(sizeof(a) / sizeof((a)[0]))

static char dir[64];
static char top[PATH_MAX];		/* of the source tree, absolute */
static struct settings s;
static char err[CONF_ERROR_MAX];
static char warnings[4096];

static void
make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/check_conf.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	warnings[0] = '\0';
}

static void
remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(system(command), 0);
}

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void
on_warn(void *arg, const char *text)
{
	size_t n = strlen(warnings);

	snprintf(warnings + n, sizeof(warnings) - n, "%s\n", text);
}

/* Load from a file (or NULL), one -D (or NULL) and an environment (or NULL). */
static int
load(const char *file, const char *define, char *const *environment)
{
	struct conf_source src;
	int ret;

	ck_assert_int_eq(conf_source_init(&src, file, &define, define != NULL, environment), 0);
	src.warn = on_warn;
	ret = conf_load(&src, &s, err, sizeof(err));
	conf_source_fini(&src);
	return ret;
}

static void
load_text(const char *text)
{
	write_file("a.conf", text);
	ck_assert_msg(load("a.conf", NULL, NULL) == 0, "%s", err);
}

START_TEST(nothing_given_is_the_defaults)
{
	struct settings defaults;

	ck_assert_msg(load(NULL, NULL, NULL) == 0, "%s", err);
	settings_defaults(&defaults);
	ck_assert_mem_eq(&s, &defaults, sizeof(s));
}
END_TEST

START_TEST(lines_comments_and_sections_are_read)
{
	load_text("# comment\r\n"
	    "   workers=3\r\n"
	    "\tlog_file = /var/log/a#b.log # behind a blank\n"
	    "user =\t# nothing\n"
	    "\n"
	    "[ listen  inside ]\n"
	    "address = 127.0.0.1:9000 unix:/tmp/s\n"
	    "services = metrics health\n"
	    "[channel room-*] # all rooms\n"
	    "history = 20\n"
	    "slow = latest\n"
	    "[channel $feed:*]\n"
	    "slow = close");
	ck_assert_uint_eq(s.workers, 3);
	ck_assert_uint_eq(s.worker_count, 3);
	ck_assert_str_eq(s.log_file, "/var/log/a#b.log");
	ck_assert_str_eq(s.user, "");
	ck_assert_uint_eq(s.listen_count, 1);
	ck_assert_str_eq(s.listens[0].name, "inside");
	ck_assert_str_eq(s.listens[0].address, "127.0.0.1:9000 unix:/tmp/s");
	ck_assert_uint_eq(s.listens[0].services_mask,
	    SETTINGS_SERVICE_METRICS | SETTINGS_SERVICE_HEALTH);
	ck_assert_uint_eq(s.channel_count, 2);
	ck_assert_str_eq(s.channels[0].pattern, "room-*");
	ck_assert_uint_eq(s.channels[0].history, 20);
	ck_assert_uint_eq(s.channels[0].slow, SETTINGS_SLOW_LATEST);
	ck_assert_uint_eq(s.channels[1].history, 1000);
	ck_assert_uint_eq(s.channels[1].slow, SETTINGS_SLOW_CLOSE);
	ck_assert(s.loopback);
}
END_TEST

static const struct {
	const char *text, *err;
} refused[] = {
	{ "\nworker = 3\n", "a.conf:2: worker: unknown setting, did you mean \"workers\"?" },
	{ "ping_intervall = 3s",
	    "a.conf:1: ping_intervall: unknown setting, did you mean "
	    "\"ping_interval\"?" },
	{ "Workers = 3", "a.conf:1: Workers: unknown setting, did you mean \"workers\"?" },
	{ "colour = red",
	    "a.conf:1: colour: unknown setting, plenumd --help-config lists those "
	    "that are allowed" },
	{ "slow = gap", "a.conf:1: slow: belongs to a section [channel PATTERN]" },
	{ "[channel x]\nworkers = 1",
	    "a.conf:2: workers: belongs to the main section, before the "
	    "first [section]" },
	{ "[channel x]\nhistori = 1",
	    "a.conf:2: histori: unknown setting, did you mean "
	    "\"history\"?" },
	{ "workers = 99", "a.conf:1: workers: \"99\" is out of range, allowed is auto or 1 to 56" },
	{ "workers = 1\n#\nworkers = 1",
	    "a.conf:3: workers: given twice, allowed is once; the "
	    "first is a.conf:1" },
	{ "[channel x]\nslow = gap\nslow = close",
	    "a.conf:3: slow: given twice, allowed is once; "
	    "the first is a.conf:2" },
	{ "[channel x]\n[channel y]\n[channel x]",
	    "a.conf:3: [channel x]: given twice, allowed is "
	    "once; the first is a.conf:1" },
	{ "[listen x]\n[listen x]",
	    "a.conf:2: [listen x]: given twice, allowed is once; the first "
	    "is a.conf:1" },
	{ "[gate llm]\n",
	    "a.conf:1: [gate llm]: section [gate] is not known to this version, "
	    "allowed are [listen NAME] and [channel PATTERN]" },
	{ "[limit x]\n",
	    "a.conf:1: [limit x]: section [limit] is not known to this version, "
	    "allowed are [listen NAME] and [channel PATTERN]" },
	{ "[route GET /x]\n",
	    "a.conf:1: [route GET /x]: section [route] is not known to this "
	    "version, allowed are [listen NAME] and [channel PATTERN]" },
	{ "[rfq]\n",
	    "a.conf:1: [rfq]: section [rfq] is not known to this version, allowed are "
	    "[listen NAME] and [channel PATTERN]" },
	{ "[feed x]\n",
	    "a.conf:1: [feed x]: section [feed] is not known to this version, allowed "
	    "are [listen NAME] and [channel PATTERN]" },
	{ "[chanel x]\n",
	    "a.conf:1: [chanel x]: unknown section, allowed are [listen NAME] and "
	    "[channel PATTERN]" },
	{ "[]", "a.conf:1: []: unknown section, allowed are [listen NAME] and [channel PATTERN]" },
	{ "[", "a.conf:1: [: has no closing bracket, allowed is [SECTION NAME]" },
	{ "[listen]",
	    "a.conf:1: [listen]: needs a name, allowed are 1 to 31 letters, digits and "
	    "_ - . as in [listen inside]" },
	{ "[listen a b]",
	    "a.conf:1: [listen a b]: needs a name, allowed are 1 to 31 letters, "
	    "digits and _ - . as in [listen inside]" },
	{ "[channel a b]",
	    "a.conf:1: [channel a b]: needs a pattern, allowed are 1 to 128 letters, "
	    "digits and _ - . : / @ $ with * for any run, as in [channel room-*]" },
	{ "[listen a]\n\n",
	    "a.conf:1: address: needs a value, addresses of this listener, written "
	    "as in listen" },
	{ "workers 3",
	    "a.conf:1: workers: not a setting, allowed are NAME = VALUE, [SECTION NAME] "
	    "and # COMMENT" },
	{ "= 3",
	    "a.conf:1: =: not a setting, allowed are NAME = VALUE, [SECTION NAME] and "
	    "# COMMENT" },
	{ "auth = jwt", "a.conf:1: auth: not available in this version, allowed is none" },
	{ "[channel x]\ndurable = yes",
	    "a.conf:2: durable: not available in this version, allowed "
	    "is no" },
	{ "listen =",
	    "a.conf:1: listen: needs a value, addresses to serve: 127.0.0.1:8080, "
	    "[::1]:8080 or unix:/path, separated by blanks" },
	{ "listen = 0.0.0.0:80",
	    "a.conf:1: listen: \"0.0.0.0:80\" is not loopback and auth = none "
	    "lets anybody in; listen on 127.0.0.1, or set insecure = yes to serve it all the "
	    "same" },
	{ "listen = [::]:80",
	    "a.conf:1: listen: \"[::]:80\" is not loopback and auth = none lets "
	    "anybody in; listen on 127.0.0.1, or set insecure = yes to serve it all the same" },
	{ "[listen x]\n\naddress = 127.0.0.1:1 10.0.0.1:80",
	    "a.conf:3: address: \"10.0.0.1:80\" is "
	    "not loopback and auth = none lets anybody in; listen on 127.0.0.1, or set "
	    "insecure = yes to serve it all the same" },
	{ "listen = host:80",
	    "a.conf:1: listen: \"host:80\" has no numeric address, allowed are "
	    "127.0.0.1:8080, [::1]:8080, localhost:8080 and unix:/path" },
	{ "listen = 127.0.0.1:1 127.0.0.1:1",
	    "a.conf:1: listen: \"127.0.0.1:1\" is given twice, "
	    "allowed is once" },
	{ "[listen x]\naddress = 127.0.0.1:8080",
	    "a.conf:2: address: \"127.0.0.1:8080\" is given "
	    "twice, allowed is once" },
	{ "ping_timeout = 25s",
	    "a.conf:1: ping_timeout: ping_timeout 25s is not longer than "
	    "ping_interval 25s, allowed is a longer ping_timeout" },
	{ "ping_interval = 2m",
	    "a.conf:1: ping_interval: ping_timeout 1m is not longer than "
	    "ping_interval 2m, allowed is a longer ping_timeout" },
	{ "run_dir = run", "a.conf:1: run_dir: \"run\" is relative, allowed is an absolute path" },
	{ "state_dir = s", "a.conf:1: state_dir: \"s\" is relative, allowed is an absolute path" },
	{ "log_file = l",
	    "a.conf:1: log_file: \"l\" is relative, allowed is stderr or an absolute "
	    "path" },
	{ "include =", "a.conf:1: include: needs a value, a path or a pattern of paths" },
	{ "\ninclude = /nowhere/x",
	    "a.conf:2: include: \"/nowhere/x\": No such file or directory, "
	    "allowed is a file that can be read or a pattern" },
};

START_TEST(a_fault_is_told_with_its_place)
{
	write_file("a.conf", refused[_i].text);
	ck_assert_int_eq(load("a.conf", NULL, NULL), -1);
	ck_assert_str_eq(err, refused[_i].err);
}
END_TEST

START_TEST(a_missing_file_is_told)
{
	ck_assert_int_eq(load("none.conf", NULL, NULL), -1);
	ck_assert_str_eq(err, "none.conf: cannot be read: No such file or directory");
	ck_assert_int_eq(load("/tmp", NULL, NULL), -1);
	ck_assert_str_eq(err, "/tmp: cannot be read: Is a directory");
}
END_TEST

START_TEST(bytes_that_are_not_text_are_told)
{
	FILE *f = fopen("a.conf", "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite("\nwork\0ers = 1\n", 1, 14, f), 14);
	fclose(f);
	ck_assert_int_eq(load("a.conf", NULL, NULL), -1);
	ck_assert_str_eq(err,
	    "a.conf:2: line: not text, allowed are lines of up to 4096 bytes without NUL");
}
END_TEST

START_TEST(insecure_opens_other_addresses)
{
	load_text("listen = 127.0.0.1:8080 0.0.0.0:80\ninsecure = yes\n");
	ck_assert(!s.loopback);
}
END_TEST

START_TEST(includes_are_relative_to_the_file)
{
	ck_assert_int_eq(mkdir("sub", 0755), 0);
	ck_assert_int_eq(mkdir("sub/d", 0755), 0);
	write_file("sub/b.conf", "history = 5\ninclude = d/*.conf\n");
	write_file("sub/d/1.conf", "json_depth = 7\n[channel x]\n");
	write_file("sub/d/2.conf", "blocks = 99\n");
	write_file("sub/d/3.other", "nonsense\n");
	load_text("[channel room]\ninclude = sub/b.conf\nslow = close\ninclude = none/*.conf\n");
	ck_assert_uint_eq(s.history, 5);
	ck_assert_uint_eq(s.json_depth, 7);
	ck_assert_uint_eq(s.blocks, 99);
	ck_assert_uint_eq(s.channel_count, 2);
	ck_assert_uint_eq(s.channels[0].slow, SETTINGS_SLOW_CLOSE);
	ck_assert_uint_eq(s.channels[1].slow, SETTINGS_SLOW_GAP);
}
END_TEST

START_TEST(a_fault_in_an_include_names_that_file)
{
	char want[256];

	write_file("b.conf", "\nworkers = many\n");
	write_file("a.conf", "include = b.conf\n");
	ck_assert_int_eq(load("a.conf", NULL, NULL), -1);
	snprintf(want, sizeof(want), "%s/b.conf:2: workers: \"many\" is not a number, allowed is "
	    "auto or 1 to 56", dir);
	ck_assert_str_eq(err, want);
}
END_TEST

START_TEST(a_duplicate_over_two_files_names_both)
{
	char want[256];

	write_file("b.conf", "workers = 2\n");
	write_file("a.conf", "\nworkers = 1\ninclude = b.conf\n");
	ck_assert_int_eq(load("a.conf", NULL, NULL), -1);
	snprintf(want, sizeof(want),
	    "%s/b.conf:1: workers: given twice, allowed is once; the first "
	    "is a.conf:2",
	    dir);
	ck_assert_str_eq(err, want);
}
END_TEST

START_TEST(a_file_that_includes_itself_is_told)
{
	char want[256];

	write_file("a.conf", "include = a.conf\n");
	ck_assert_int_eq(load("a.conf", NULL, NULL), -1);
	snprintf(want, sizeof(want), "%s/a.conf:1: include: nested too deep, allowed are 8 files "
	    "within one another", dir);
	ck_assert_str_eq(err, want);
}
END_TEST

START_TEST(overrides_have_their_order)
{
	char *bracketed[] = { "WORKERS=3", "PATH=/bin", NULL };
	char *both[] = { "WORKERS=3", "PLENUM_WORKERS=4", NULL };

	write_file("a.conf", "workers = 2\n");
	ck_assert_int_eq(load("a.conf", NULL, NULL), 0);
	ck_assert_uint_eq(s.worker_count, 2);
	ck_assert_int_eq(load("a.conf", NULL, bracketed), 0);
	ck_assert_uint_eq(s.worker_count, 3);
	ck_assert_int_eq(load("a.conf", NULL, both), 0);
	ck_assert_uint_eq(s.worker_count, 4);
	ck_assert_int_eq(load("a.conf", " workers = 5 ", both), 0);
	ck_assert_uint_eq(s.worker_count, 5);
	ck_assert_str_eq(warnings, "");
}
END_TEST

START_TEST(the_last_define_of_a_name_counts)
{
	const char *defines[] = { "workers=2", "history=3", "workers=6" };
	struct conf_source src;

	ck_assert_int_eq(conf_source_init(&src, NULL, defines, 3, NULL), 0);
	ck_assert_str_eq(conf_source_name(&src), "defaults");
	ck_assert_int_eq(conf_load(&src, &s, err, sizeof(err)), 0);
	ck_assert_uint_eq(s.workers, 6);
	ck_assert_uint_eq(s.history, 3);
	conf_source_fini(&src);
}
END_TEST

START_TEST(every_setting_can_be_given_in_the_environment)
{
	char entry[64 + SETTINGS_TEXT_MAX], *environment[] = { entry, NULL };
	size_t i, j;

	for (i = 0; i < settings_count; i++) {
		snprintf(entry, sizeof(entry), "PLENUM_%s=%s", settings_table[i].name,
		    settings_table[i].def);
		for (j = 0; entry[j] != '='; j++)
			if (entry[j] >= 'a' && entry[j] <= 'z')
				entry[j] = (char)(entry[j] - 'a' + 'A');
		ck_assert_msg(load(NULL, NULL, environment) == 0, "%s", err);
		*strchr(entry, '=') = '\0';
		strncat(entry, "=\x7f", 3);
		ck_assert_int_eq(load(NULL, NULL, environment), -1);
		ck_assert_msg(strncmp(err, "environment PLENUM_", 19) == 0, "%s", err);
	}
	ck_assert_str_eq(warnings, "");
}
END_TEST

START_TEST(the_bracketed_names_are_honoured)
{
	char *environment[] = { "WORKERS=2", "MAX_CONCURRENT_CONNECTIONS=500",
	    "MAX_REQUESTS_PER_WORKER=9", NULL };
	char *empty[] = { "WORKERS=", NULL };
	char *bad[] = { "WORKERS=x", NULL };

	ck_assert_int_eq(load(NULL, NULL, environment), 0);
	ck_assert_uint_eq(s.workers, 2);
	ck_assert_uint_eq(s.max_connections, 500);
	ck_assert_uint_eq(s.max_requests, 9);
	ck_assert_int_eq(load(NULL, NULL, empty), 0);
	ck_assert_uint_eq(s.workers, 0);
	ck_assert_int_eq(load(NULL, NULL, bad), -1);
	ck_assert_str_eq(err,
	    "environment WORKERS: \"x\" is not a number, allowed is auto or 1 to 56");
}
END_TEST

START_TEST(names_of_later_features_and_of_others_are_warned_about)
{
	char *environment[] = { "RATE_LIMIT_REQUESTS_PER_MINUTE=60",
	    "MAX_CONCURRENT_LLM_REQUESTS=5", "MAX_CONCURRENT_BATCH_REQUESTS=5",
	    "MAX_CONCURRENT_FILE_OPERATIONS=5", "PLENUM_PORT=tcp://10.0.0.1:80", NULL };

	ck_assert_msg(load(NULL, NULL, environment) == 0, "%s", err);
	ck_assert_uint_eq(s.rate_limit, 0);
	ck_assert_str_eq(warnings,
	    "environment RATE_LIMIT_REQUESTS_PER_MINUTE: rate_limit is not available in this "
	    "version, it has no effect\n"
	    "environment MAX_CONCURRENT_LLM_REQUESTS: gates are not available in this version, "
	    "it has no effect\n"
	    "environment MAX_CONCURRENT_BATCH_REQUESTS: gates are not available in this version, "
	    "it has no effect\n"
	    "environment MAX_CONCURRENT_FILE_OPERATIONS: gates are not available in this version, "
	    "it has no effect\n"
	    "environment PLENUM_PORT: unknown setting, it has no effect\n");
}
END_TEST

static const struct {
	const char *define, *err;
} bad_defines[] = {
	{ "workers=0", "-D workers: \"0\" is out of range, allowed is auto or 1 to 56" },
	{ "worker=1", "-D worker: unknown setting, did you mean \"workers\"?" },
	{ "address=1", "-D address: belongs to a section [listen NAME]" },
	{ "workers", "-D workers: not a setting, allowed is -D NAME=VALUE" },
	{ "redis=redis://h:1/0", "-D redis: not available in this version, allowed is no value" },
	{ "listen=0.0.0.0:1", "-D listen: \"0.0.0.0:1\" is not loopback and auth = none lets "
	    "anybody in; listen on 127.0.0.1, or set insecure = yes to serve it all the same" },
	{ "ping_interval=60s", "-D ping_interval: ping_timeout 1m is not longer than "
	    "ping_interval 1m, allowed is a longer ping_timeout" },
};

START_TEST(a_bad_define_is_told)
{
	ck_assert_int_eq(load(NULL, bad_defines[_i].define, NULL), -1);
	ck_assert_str_eq(err, bad_defines[_i].err);
}
END_TEST

START_TEST(a_source_can_be_loaded_again_from_elsewhere)
{
	char define[] = "history=4", *environment[] = { strdup("PLENUM_BLOCKS=50"), NULL };
	const char *defines[] = { define };
	struct conf_source src;

	write_file("a.conf", "workers = 2\n");
	ck_assert_int_eq(conf_source_init(&src, "a.conf", defines, 1, environment), 0);
	ck_assert_str_eq(conf_source_name(&src), "a.conf");
	define[0] = 'X';
	free(environment[0]);
	write_file("a.conf", "workers = 3\n");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_msg(conf_load(&src, &s, err, sizeof(err)) == 0, "%s", err);
	ck_assert_uint_eq(s.workers, 3);
	ck_assert_uint_eq(s.history, 4);
	ck_assert_uint_eq(s.blocks, 50);
	conf_source_fini(&src);
}
END_TEST

/* --- differences --- */

static const struct {
	const char *old, *new, *live, *restart;
} diffs[] = {
	{ "", "", "", "" },
	{ "log_level = debug", "log_level = error", "log_level", "" },
	{ "", "workers = 9\narena = 1M\nlog_level = debug", "workers log_level", "arena" },
	{ "[listen a]\naddress = 127.0.0.1:1", "", "", "[listen a]" },
	{ "", "[listen a]\naddress = 127.0.0.1:1", "", "[listen a]" },
	{ "[listen a]\naddress = 127.0.0.1:1", "[listen a]\naddress = 127.0.0.1:2", "",
	    "[listen a]" },
	{ "[listen a]\naddress = 127.0.0.1:1\n[listen b]\naddress = 127.0.0.1:2",
	    "[listen b]\naddress = 127.0.0.1:2\n[listen a]\naddress = 127.0.0.1:1", "", "" },
	{ "", "[channel x]\nslow = close", "[channel x]", "" },
	{ "[channel x]\nslow = close", "[channel x]\nslow = gap", "[channel x]", "" },
	{ "[channel x]\n[channel y]", "[channel y]\n[channel x]", "[channel x] [channel y]", "" },
	{ "[channel x]\nhistory = 5", "[channel x]\nhistory = 1024", "[channel x]", "" },
	{ "[channel x]\nhistory = 5", "[channel x]\nhistory = 1025", "[channel x]", "history" },
	{ "", "history = 10", "history", "" },
	{ "", "history = 2000", "history", "history" },
};

START_TEST(a_reload_knows_what_changed)
{
	static struct settings old;
	char names[256];

	load_text(diffs[_i].old);
	old = s;
	load_text(diffs[_i].new);
	ck_assert_int_eq(conf_diff(&old, &s, true, names, sizeof(names)) == 0,
	    diffs[_i].live[0] == '\0');
	ck_assert_str_eq(names, diffs[_i].live);
	ck_assert_int_eq(conf_diff(&old, &s, false, names, sizeof(names)) == 0,
	    diffs[_i].restart[0] == '\0');
	ck_assert_str_eq(names, diffs[_i].restart);
}
END_TEST

START_TEST(a_long_list_of_changes_is_cut)
{
	static struct settings old;
	char names[8];

	settings_defaults(&old);
	load_text("workers_max = 20\narena = 1M\nframe_arena = 8M\n");
	ck_assert_uint_eq(conf_diff(&old, &s, false, names, sizeof(names)), 3);
	ck_assert_uint_lt(strlen(names), sizeof(names));
	ck_assert_uint_eq(conf_diff(&old, &s, false, names, 1), 3);
	ck_assert_str_eq(names, "");
}
END_TEST

/* --- addresses --- */

static const struct {
	const char *text, *canonical;		/* NULL: refused */
	bool loopback;
} addresses[] = {
	{ "127.0.0.1:8080", "127.0.0.1:8080", true }, { "127.9.9.9:1", "127.9.9.9:1", true },
	{ "localhost:80", "127.0.0.1:80", true }, { "0.0.0.0:65535", "0.0.0.0:65535", false },
	{ "[::1]:8080", "[::1]:8080", true }, { "[0:0::1]:8080", "[::1]:8080", true },
	{ "[::]:1", "[::]:1", false }, { "[2001:db8::1]:443", "[2001:db8::1]:443", false },
	{ "[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", true },
	{ "unix:/run/x.sock", "unix:/run/x.sock", true },
	{ "unix:x.sock", NULL, false }, { "127.0.0.1", NULL, false }, { "8080", NULL, false },
	{ ":8080", NULL, false }, { "*:8080", NULL, false }, { "127.0.0.1:0", "127.0.0.1:0", true },
	{ "127.0.0.1:65536", NULL, false }, { "127.0.0.1:", NULL, false },
	{ "127.0.0.1:+80", NULL, false }, { "::1:80", NULL, false }, { "[::1]", NULL, false },
	{ "[::1]80", NULL, false }, { "[::1:80", NULL, false }, { "[127.0.0.1]:80", NULL, false },
	{ "example.com:80", NULL, false }, { "1.2.3:80", NULL, false }, { "", NULL, false },
	{ "unix:/0123456789012345678901234567890123456789012345678901234567890123456789012345678901"
	    "2345678901234567890123456", NULL, false },
};

START_TEST(addresses_are_understood_or_refused)
{
	struct address a;
	char out[128];
	int ret;

	ret = address_parse(addresses[_i].text, strlen(addresses[_i].text), &a, err, sizeof(err));
	ck_assert_int_eq(ret, addresses[_i].canonical == NULL ? -1 : 0);
	if (ret == -1) {
		ck_assert_ptr_nonnull(strstr(err, "allowed are 127.0.0.1:8080, [::1]:8080, "));
		return;
	}
	address_format(&a, out, sizeof(out));
	ck_assert_str_eq(out, addresses[_i].canonical);
	ck_assert_int_eq(a.loopback, addresses[_i].loopback);
}
END_TEST

START_TEST(all_addresses_are_listed_with_their_listener)
{
	struct address list[LISTENERS_MAX];
	char text[2048];
	size_t i, n;

	load_text("listen = 127.0.0.1:1 [::1]:2\n[listen a]\naddress = unix:/x\n"
	    "[listen b]\naddress = 127.0.0.1:3 127.0.0.1:4\n");
	ck_assert_uint_eq(address_list(&s, list, LISTENERS_MAX), 5);
	ck_assert_uint_eq(list[0].listener, 0);
	ck_assert_uint_eq(list[1].listener, 0);
	ck_assert_int_eq(list[1].family, ADDRESS_INET6);
	ck_assert_uint_eq(list[2].listener, 1);
	ck_assert_str_eq(list[2].path, "/x");
	ck_assert_uint_eq(list[4].listener, 2);
	ck_assert_uint_eq(list[4].port, 4);
	n = (size_t)snprintf(text, sizeof(text), "listen =");
	for (i = 0; i <= LISTENERS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " 127.0.0.1:%zu", i + 1);
	write_file("a.conf", text);
	ck_assert_int_eq(load("a.conf", NULL, NULL), -1);
	ck_assert_str_eq(err, "a.conf:1: listen: more than 24 addresses in all, allowed are 24");
}
END_TEST

/* --- the example --- */

/* The text of the example, from the source tree. */
static char *
read_example(void)
{
	char path[PATH_MAX + 32], *text;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/etc/plenum.conf", top);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	text = calloc(1, 65536);
	n = fread(text, 1, 65535, f);
	ck_assert_uint_gt(n, 0);
	fclose(f);
	return text;
}

/* Where an uncommented setting of that name stands, or NULL. */
static const char *
find_line(const char *text, const char *name)
{
	char want[64];

	snprintf(want, sizeof(want), "\n%s =", name);
	return strstr(text, want);
}

START_TEST(the_example_is_the_defaults)
{
	struct settings defaults;
	char *text = read_example();

	load_text(text);
	free(text);
	settings_defaults(&defaults);
	ck_assert_mem_eq(&s, &defaults, sizeof(s));
}
END_TEST

/* The comment above a setting says what the table says. */
static void
check_comment(const char *text, const struct setting *st)
{
	char want[512], range[256], comment[512] = "", *p;
	const char *at, *from;

	snprintf(want, sizeof(want), "\n#%s =", st->name);
	at = strstr(text, want);
	ck_assert_msg(at != NULL, "%s", st->name);
	for (from = at; from > text && strncmp(from, "\n\n", 2) != 0; from--)
		;
	snprintf(comment, sizeof(comment), "%.*s", (int)(at - from), from);
	p = strstr(comment, "Allowed: ");
	if (st->kind != SETTING_STRING && st->kind != SETTING_LIST) {
		settings_format_range(st, range, sizeof(range));
		snprintf(want, sizeof(want), "Allowed: %s.", range);
		ck_assert_msg(p != NULL && strncmp(p, want, strlen(want)) == 0, "%s: %s",
		    st->name, want);
	}
	ck_assert_msg((strstr(comment, "Needs a restart.") == NULL) == st->live, "%s", st->name);
	ck_assert_msg((strstr(comment, "Not available") == NULL) == st->here, "%s", st->name);
}

START_TEST(the_example_says_what_is_allowed)
{
	char *text = read_example();
	size_t i;

	for (i = 0; i < settings_count; i++)
		check_comment(text, &settings_table[i]);
	free(text);
}
END_TEST

START_TEST(the_example_lists_every_setting_at_its_default)
{
	struct settings defaults;
	char *text = read_example(), *p;
	const struct setting *table;
	size_t i, n;
	int section;

	/* Uncomment what has no blank behind its #. */
	for (p = text; (p = strstr(p, "\n#")) != NULL; p++)
		if (p[2] != ' ' && p[2] != '\n')
			memmove(p + 1, p + 2, strlen(p + 2) + 1);
	load_text(text);
	for (section = 0; section < SETTING_SECTION_COUNT; section++) {
		table = settings_section_table((enum setting_section)section, &n);
		for (i = 0; i < n; i++)
			ck_assert_msg(find_line(text, table[i].name) != NULL, "%s", table[i].name);
	}
	free(text);
	settings_defaults(&defaults);
	for (i = 0; i < settings_count; i++)
		ck_assert_msg(settings_equal(&s, &defaults, &settings_table[i]), "%s",
		    settings_table[i].name);
	ck_assert_uint_eq(s.listen_count, 1);
	ck_assert_uint_eq(s.channel_count, 1);
	ck_assert_uint_eq(s.channels[0].history, s.history);
}
END_TEST

/* --- help --- */

START_TEST(help_and_manual_have_every_setting)
{
	const struct setting *table;
	char *text, want[128];
	size_t size, i, j, n;
	int section;
	FILE *f;

	for (j = 0; j < 2; j++) {
		f = open_memstream(&text, &size);
		if (j == 0)
			confhelp_print(f);
		else
			confhelp_mdoc(f);
		fclose(f);
		for (section = 0; section < SETTING_SECTION_COUNT; section++) {
			table = settings_section_table((enum setting_section)section, &n);
			for (i = 0; i < n; i++) {
				snprintf(want, sizeof(want), j == 0 ? "\n  %s " :
				    "\n.It Ic %s Ns = Ns Ar ", table[i].name);
				ck_assert_msg(strstr(text, want) != NULL, "%s", want);
			}
		}
		free(text);
	}
}
END_TEST

START_TEST(a_dump_loads_as_the_same_settings)
{
	static struct settings before;
	char *text;
	size_t size;
	FILE *f;
	int all;

	for (all = 0; all < 2; all++) {
		load_text("workers = 2\nuser = nobody\norigins = https://a https://*.b\n"
		    "[listen a]\naddress = 127.0.0.1:1\nservices = metrics\n"
		    "[channel x]\nhistory = 9\n[channel y]\nslow = latest\n");
		before = s;
		f = open_memstream(&text, &size);
		confhelp_dump(f, &s, all == 1);
		fclose(f);
		load_text(text);
		free(text);
		ck_assert_mem_eq(&s, &before, sizeof(s));
	}
}
END_TEST

/* --- options --- */

static struct options opt;

/* Parse words separated by blanks. */
static int
parse(const char *line)
{
	static char copy[4096];
	char *argv[200], *word;
	int argc = 0;

	snprintf(copy, sizeof(copy), "plenumd %s", line);
	for (word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	return options_parse(argc, argv, &opt, err, sizeof(err));
}

START_TEST(options_are_understood)
{
	ck_assert_int_eq(parse(""), 0);
	ck_assert_int_eq(opt.action, OPTIONS_RUN);
	ck_assert(!opt.foreground);
	ck_assert_ptr_null(opt.file);
	ck_assert_int_eq(parse("-c a.conf -f -D a=1 -Db=2 -D c="), 0);
	ck_assert(opt.foreground);
	ck_assert_str_eq(opt.file, "a.conf");
	ck_assert_uint_eq(opt.define_count, 3);
	ck_assert_str_eq(opt.defines[0], "a=1");
	ck_assert_str_eq(opt.defines[1], "b=2");
	ck_assert_str_eq(opt.defines[2], "c=");
	ck_assert_int_eq(parse("-tfca.conf --"), 0);
	ck_assert_int_eq(opt.action, OPTIONS_TEST);
	ck_assert_str_eq(opt.file, "a.conf");
	ck_assert_int_eq(parse("-V"), 0);
	ck_assert_int_eq(opt.action, OPTIONS_VERSION);
	ck_assert_int_eq(parse("-h"), 0);
	ck_assert_int_eq(opt.action, OPTIONS_HELP);
	ck_assert_int_eq(parse("--help"), 0);
	ck_assert_int_eq(opt.action, OPTIONS_HELP);
	ck_assert_int_eq(parse("--help-config"), 0);
	ck_assert_int_eq(opt.action, OPTIONS_HELP_CONFIG);
	ck_assert_int_eq(parse("--help-config=mdoc"), 0);
	ck_assert_int_eq(opt.action, OPTIONS_HELP_MDOC);
}
END_TEST

static const struct {
	const char *line, *err;
} bad_options[] = {
	{ "-x", "unknown option -x, see plenumd --help" },
	{ "-fx", "unknown option -x, see plenumd --help" },
	{ "--helpme", "unknown option --helpme, see plenumd --help" },
	{ "a.conf", "unexpected argument a.conf, see plenumd --help" },
	{ "-f -- -t", "unexpected argument -t, see plenumd --help" },
	{ "-", "unexpected argument -, see plenumd --help" },
	{ "-c", "option -c needs a file" },
	{ "-f -D", "option -D needs NAME=VALUE" },
	{ "-D workers", "-D workers: not a setting, allowed is -D NAME=VALUE" },
	{ "-D =1", "-D =1: not a setting, allowed is -D NAME=VALUE" },
};

START_TEST(bad_options_are_told)
{
	ck_assert_int_eq(parse(bad_options[_i].line), -1);
	ck_assert_str_eq(err, bad_options[_i].err);
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_test(tc, nothing_given_is_the_defaults);
	tcase_add_test(tc, lines_comments_and_sections_are_read);
	tcase_add_loop_test(tc, a_fault_is_told_with_its_place, 0, COUNT_OF(refused));
	tcase_add_test(tc, a_missing_file_is_told);
	tcase_add_test(tc, bytes_that_are_not_text_are_told);
	tcase_add_test(tc, insecure_opens_other_addresses);
	tcase_add_test(tc, includes_are_relative_to_the_file);
	tcase_add_test(tc, a_fault_in_an_include_names_that_file);
	tcase_add_test(tc, a_duplicate_over_two_files_names_both);
	tcase_add_test(tc, a_file_that_includes_itself_is_told);
	tcase_add_test(tc, overrides_have_their_order);
	tcase_add_test(tc, the_last_define_of_a_name_counts);
	tcase_add_test(tc, every_setting_can_be_given_in_the_environment);
	tcase_add_test(tc, the_bracketed_names_are_honoured);
	tcase_add_test(tc, names_of_later_features_and_of_others_are_warned_about);
	tcase_add_loop_test(tc, a_bad_define_is_told, 0, COUNT_OF(bad_defines));
	tcase_add_test(tc, a_source_can_be_loaded_again_from_elsewhere);
	tcase_add_loop_test(tc, a_reload_knows_what_changed, 0, COUNT_OF(diffs));
	tcase_add_test(tc, a_long_list_of_changes_is_cut);
	tcase_add_loop_test(tc, addresses_are_understood_or_refused, 0, COUNT_OF(addresses));
	tcase_add_test(tc, all_addresses_are_listed_with_their_listener);
	tcase_add_test(tc, the_example_is_the_defaults);
	tcase_add_test(tc, the_example_says_what_is_allowed);
	tcase_add_test(tc, the_example_lists_every_setting_at_its_default);
	tcase_add_test(tc, help_and_manual_have_every_setting);
	tcase_add_test(tc, a_dump_loads_as_the_same_settings);
	tcase_add_test(tc, options_are_understood);
	tcase_add_loop_test(tc, bad_options_are_told, 0, COUNT_OF(bad_options));
}

int
main(void)
{
	Suite *suite = suite_create("master/conf");
	TCase *tc = tcase_create("conf");
	char path[PATH_MAX];
	SRunner *runner;
	int failed;

	/* Automake names the source tree, relative to where the test is started. */
	if (realpath(getenv("srcdir") != NULL ? getenv("srcdir") : ".", path) == NULL)
		return EXIT_FAILURE;
	snprintf(top, sizeof(top), "%s", path);
	tcase_add_checked_fixture(tc, make_dir, remove_dir);
	add_tests(tc);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
