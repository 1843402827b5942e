/*
 * plenumctl: asks plenumd on its control socket and shows the answer: tables for people, JSON as it
 * came for machines. The tables below say which members of the answer become which columns.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "master/rundir.h"

enum { COLUMNS_MAX = 16, CELL_MAX = 160, REQUEST_MAX = 512, TRIES = 10, TRY_US = 50000 };

static const char socket_leaf[] = "control.sock";

__attribute__((format(printf, 1, 2))) _Noreturn static void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "plenumctl: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

static void
usage(FILE *f)
{
	fputs("usage: plenumctl [-s SOCKET] [--json] COMMAND\n"
	    "\n"
	    "  status                 what runs, and how\n"
	    "  show workers           slots, their processes, deaths and pauses\n"
	    "  show channels [LIMIT]  channels, at most LIMIT (1000)\n"
	    "  show conns [LIMIT]     connections, at most LIMIT (1000)\n"
	    "  show conf              settings in force\n"
	    "  show counters          counters, summed over all processes\n"
	    "  reload [--dry-run]     read the configuration again; waits until it is in force;\n"
	    "                         --dry-run: print what would change, and change nothing\n"
	    "  drain [on|off]         tell balancers that this host is not ready, or is again\n"
	    "  stop [--now]           end, after clients were told; --now: at once\n"
	    "\n"
	    "Without -s the socket is searched where plenumd puts it.\n", f);
}

/* --- the connection --- */

/* A connected socket, or -1 with errno. */
static int
try_socket(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, e;

	if (strlen(path) >= sizeof un.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof un) != 0) {
		e = errno;
		close(fd);
		errno = e;
		fd = -1;
	}
	return fd;
}

/* Between two masters nobody listens for a moment. */
static int
wait_for_socket(const char *path)
{
	int fd = try_socket(path), i;

	for (i = 0; i < TRIES && fd < 0 && errno == ECONNREFUSED; i++) {
		usleep(TRY_US);
		fd = try_socket(path);
	}
	return fd;
}

static int
search_socket(void)
{
	char dir[RUNDIR_MAX], path[RUNDIR_MAX + 32], tried[1024] = "";
	unsigned i;
	int fd;

	for (i = 0; i < RUNDIR_CANDIDATES; i++) {
		if (rundir_candidate(i, dir, sizeof dir) != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, socket_leaf);
		fd = wait_for_socket(path);
		if (fd >= 0)
			return fd;
		if (errno == EACCES)
			die("%s: %s", path, strerror(errno));
		snprintf(tried + strlen(tried), sizeof tried - strlen(tried), "%s%s",
		    tried[0] != '\0' ? ", " : "", path);
	}
	die("plenumd is not running here (tried %s)", tried);
}

static int
open_socket(const char *path)
{
	int fd;

	if (path == NULL)
		return search_socket();
	fd = wait_for_socket(path);
	if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED))
		die("plenumd is not running at %s: %s", path, strerror(errno));
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

/* False: the peer has gone. */
static bool
send_request(int fd, const char *text)
{
	size_t n = strlen(text);
	ssize_t r;

	while (n > 0) {
		r = send(fd, text, n, MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		text += r;
		n -= (size_t)r;
	}
	return true;
}

static size_t
read_some(void *buffer, size_t n, void *arg)
{
	ssize_t r;

	do
		r = read(*(int *)arg, buffer, n);
	while (r < 0 && errno == EINTR);
	return r < 0 ? (size_t)-1 : (size_t)r;
}

/* --- tables --- */

/* A column: its head, and the member it shows; "a.b" is member b of member a. */
struct column {
	const char *head, *member;
};

struct table {
	const char *what;	/* the second word of the request, and the member with rows */
	struct column column[COLUMNS_MAX];
};

static const struct table tables[] = {
	{ "workers", {
		{ "SLOT", "slot" }, { "KEEPER", "keeper" }, { "WORKER", "worker" },
		{ "ALIVE", "alive" }, { "GEN", "generation" }, { "KILLED", "deaths.killed" },
		{ "FAULT", "deaths.fault" }, { "EXIT", "deaths.exit" },
		{ "STUCK", "deaths.stuck" }, { "RENEWED", "deaths.renewed" },
		{ "PAUSE US", "pause_us" }, { "CONNS", "connections" },
		{ "BEAT MS", "beat_age_ms" }, { "BACKOFF MS", "backoff_ms" },
		{ "CONF", "snapshot" }, { "POISON", "poisoned" },
	} },
	{ "channels", {
		{ "CHANNEL", "channel" }, { "EPOCH", "epoch" }, { "SEQ", "seq" },
		{ "HISTORY", "history" }, { "READERS", "readers" }, { "SLOW", "slow" },
	} },
	{ "conns", {
		{ "CONN", "conn" }, { "LISTENER", "listener" }, { "DIALECT", "dialect" },
		{ "MODE", "mode" }, { "STATE", "state" }, { "SUBS", "subscriptions" },
		{ "CHANNEL", "channel" }, { "SEQ", "seq" }, { "RECEIVED", "received" },
		{ "SEEN MS", "seen_age_ms" },
	} },
};

static json_t *
member(json_t *o, const char *name)
{
	const char *dot = strchr(name, '.');
	char first[64];

	if (dot == NULL)
		return json_object_get(o, name);
	snprintf(first, sizeof first, "%.*s", (int)(dot - name), name);
	return member(json_object_get(o, first), dot + 1);
}

static const char *
cell(const json_t *v, char *out)
{
	if (json_is_string(v))
		snprintf(out, CELL_MAX, "%s", json_string_value(v));
	else if (json_is_integer(v))
		snprintf(out, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_boolean(v))
		snprintf(out, CELL_MAX, "%s", json_is_true(v) ? "yes" : "no");
	else
		snprintf(out, CELL_MAX, "-");
	return out[0] != '\0' ? out : "-";
}

static int
width_of(const struct column *c, json_t *list)
{
	size_t i, width = strlen(c->head), n;
	char text[CELL_MAX];
	json_t *row;

	json_array_foreach(list, i, row) {
		n = strlen(cell(member(row, c->member), text));
		if (n > width)
			width = n;
	}
	return (int)width;
}

/* Numbers to the right, words to the left. */
static void
print_cell(const json_t *v, const char *text, int width, bool last)
{
	if (json_is_integer(v))
		printf("%*s", width, text);
	else if (last)
		printf("%s", text);
	else
		printf("%-*s", width, text);
	printf(last ? "\n" : "  ");
}

static void
print_table(const struct table *t, json_t *answer)
{
	json_t *list = json_object_get(answer, t->what), *first = json_array_get(list, 0), *row;
	int width[COLUMNS_MAX], i, n = 0;
	char text[CELL_MAX];
	size_t k;

	for (; n < COLUMNS_MAX && t->column[n].head != NULL; n++)
		width[n] = width_of(&t->column[n], list);
	for (i = 0; i < n; i++)
		print_cell(member(first, t->column[i].member), t->column[i].head, width[i],
		    i == n - 1);
	json_array_foreach(list, k, row) {
		for (i = 0; i < n; i++) {
			const json_t *v = member(row, t->column[i].member);

			print_cell(v, cell(v, text), width[i], i == n - 1);
		}
	}
	if ((json_int_t)json_array_size(list) <
	    json_integer_value(json_object_get(answer, "total")))
		printf("%zu of %" JSON_INTEGER_FORMAT " shown\n", json_array_size(list),
		    json_integer_value(json_object_get(answer, "total")));
}

/* --- lists --- */

static void
print_pairs(json_t *o, const char *between, int width)
{
	char text[CELL_MAX];
	const char *name;
	json_t *v, *item;
	size_t i;

	json_object_foreach(o, name, v) {
		if (json_is_array(v)) {
			json_array_foreach(v, i, item)
				printf("%-*s%s%s\n", width, name, between, cell(item, text));
		} else if (json_is_string(v)) {
			/* as long as it is */
			printf("%-*s%s%s\n", width, name, between, json_string_value(v));
		} else {
			printf("%-*s%s%s\n", width, name, between, cell(v, text));
		}
	}
}

/* A file that means the settings. */
static void
print_conf(json_t *answer)
{
	static const char *const sections[] = { "listen", "channel" };
	json_t *section;
	const char *name;
	size_t i, k;

	printf("# %s\n", json_string_value(json_object_get(answer, "file")));
	print_pairs(json_object_get(answer, "settings"), " = ", 0);
	for (i = 0; i < sizeof sections / sizeof sections[0]; i++)
		json_array_foreach(json_object_get(answer, sections[i]), k, section) {
			name = json_string_value(json_object_get(section, sections[i]));
			printf("\n[%s %s]\n", sections[i], name != NULL ? name : "?");
			json_object_del(section, sections[i]);
			print_pairs(section, " = ", 0);
		}
}

static void
print_counters(json_t *answer)
{
	print_pairs(json_object_get(answer, "counters"), "  ", 34);
	printf("\nanswers by status\n");
	print_pairs(json_object_get(answer, "http"), "  ", 6);
}

static void
print_answer(const char *const *words, int n, json_t *answer)
{
	size_t i;

	if (strcmp(words[0], "status") == 0) {
		print_pairs(answer, "  ", 26);
		return;
	}
	if (strcmp(words[0], "reload") == 0 && n > 1) {
		if (json_object_size(json_object_get(answer, "changes")) == 0)
			printf("nothing would change\n");
		print_pairs(json_object_get(answer, "changes"), ": ", 0);
	}
	if (strcmp(words[0], "show") != 0 || n < 2)
		return;
	for (i = 0; i < sizeof tables / sizeof tables[0]; i++)
		if (strcmp(words[1], tables[i].what) == 0)
			print_table(&tables[i], answer);
	if (strcmp(words[1], "conf") == 0)
		print_conf(answer);
	if (strcmp(words[1], "counters") == 0)
		print_counters(answer);
}

/* --- the request --- */

/* NULL: it went away without an answer. */
static json_t *
ask_once(const char *path, const char *request)
{
	int fd = open_socket(path);
	json_error_t error;
	json_t *answer = NULL;

	if (send_request(fd, request))
		answer = json_load_callback(read_some, &fd, JSON_DISABLE_EOF_CHECK, &error);
	close(fd);
	return answer;
}

static json_t *
ask(const char *path, const char *const *words, int n)
{
	char request[REQUEST_MAX];
	size_t at = 0;
	json_t *answer;
	int i;

	for (i = 0; i < n; i++) {
		/* a word with a blank or a line's end would be another request */
		if (words[i][0] == '\0' || strpbrk(words[i], " \t\r\n") != NULL)
			die("\"%s\" is not understood, see plenumctl --help", words[i]);
		at += (size_t)snprintf(request + at, sizeof request - at, "%s%s", i > 0 ? " " : "",
		    words[i]);
		if (at + 2 > sizeof request)
			die("the request is too long");
	}
	snprintf(request + at, sizeof request - at, "\n");
	answer = ask_once(path, request);
	/* a master that has just become another program; each request may be made again */
	for (i = 0; i < TRIES && answer == NULL; i++) {
		usleep(TRY_US);
		answer = ask_once(path, request);
	}
	if (!json_is_object(answer))
		die("plenumd gave no answer");
	return answer;
}

static int
run(const char *path, bool json, const char *const *words, int n)
{
	json_t *answer = ask(path, words, n);
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
	}
	if (error != NULL) {
		fprintf(stderr, "plenumctl: %s\n", error);
		json_decref(answer);
		return 1;
	}
	if (!json)
		print_answer(words, n, answer);
	json_decref(answer);
	if (fflush(stdout) != 0)
		die("cannot write: %s", strerror(errno));
	return 0;
}

int
main(int argc, char **argv)
{
	const char *path = NULL, *words[8];
	bool json = false;
	int i, n = 0;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-s") == 0) {
			if (++i == argc)
				die("option -s needs a socket");
			path = argv[i];
		} else if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
			usage(stdout);
			return 0;
		} else if (n == (int)(sizeof words / sizeof words[0])) {
			die("too many words, see plenumctl --help");
		} else if (strcmp(argv[i], "--now") == 0 || strcmp(argv[i], "--dry-run") == 0) {
			words[n++] = argv[i] + 2;
		} else if (argv[i][0] == '-') {
			die("unknown option %s, see plenumctl --help", argv[i]);
		} else {
			words[n++] = argv[i];
		}
	}
	if (n == 0) {
		usage(stderr);
		return 1;
	}
	return run(path, json, words, n);
}
