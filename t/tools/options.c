/* The command line of crowd: one table, from which the parser and the help text come. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/tools/crowd.h"

enum { CREATE_SIZE_MAX = 512 };		/* of a payload in that mode */

enum kind { KIND_TEXT, KIND_INT, KIND_NUMBER, KIND_SIZES, KIND_FLAG, KIND_HEADER };

struct crowd_options opt = {
	.host = "127.0.0.1", .channels = 1, .per_client = 1, .rounds = 1, .get_rate = 50,
	.window = 16, .seconds = 5, .drain = 15, .stall = 5, .connect = 60,
	.size_min = 128, .size_max = 128, .history = 1000, .seed = 1,
};

static const struct row {
	const char *name;
	enum kind kind;
	void *where;
	const char *help;
} rows[] = {
	{ "host", KIND_TEXT, &opt.host, "A: the server's IPv4 address (127.0.0.1)" },
	{ "port", KIND_INT, &opt.port, "N: its port" },
	{ "subscribers", KIND_INT, &opt.subscribers, "N: WebSocket subscribers" },
	{ "channels", KIND_INT, &opt.channels, "N: channels, spread over everybody (1)" },
	{ "per-client", KIND_INT, &opt.per_client, "N: channels a subscriber follows (1)" },
	{ "ws-publishers", KIND_INT, &opt.ws_publishers, "N: publishers by WebSocket" },
	{ "http-publishers", KIND_INT, &opt.http_publishers,
	    "N: publishers by POST, every fourth chunked" },
	{ "rate", KIND_NUMBER, &opt.rate, "N: events a second of all; 0: as answers come (0)" },
	{ "window", KIND_INT, &opt.window, "N: messages sent ahead of their answers (16)" },
	{ "seconds", KIND_NUMBER, &opt.seconds, "N: how long to publish or to hold (5)" },
	{ "size", KIND_SIZES, NULL, "N or N-M: bytes of a payload (128)" },
	{ "sse", KIND_INT, &opt.sse, "N: SSE subscribers" },
	{ "slow", KIND_INT, &opt.slow, "N: further subscribers that read slowly" },
	{ "churn", KIND_INT, &opt.churn, "N: connections that come, subscribe and leave" },
	{ "http-get", KIND_INT, &opt.http_get,
	    "N: keep-alive loops on GET /health, every second pipelined" },
	{ "get-rate", KIND_NUMBER, &opt.get_rate,
	    "N: requests a second of each loop; 0: as answers come (50)" },
	{ "ping-ms", KIND_INT, &opt.ping_ms, "N: every subscriber says ping every N ms" },
	{ "echo", KIND_FLAG, &opt.echo, "WebSocket publishers subscribe to their own channel" },
	{ "resume", KIND_FLAG, &opt.resume, "who is cut off comes again, from where it was" },
	{ "history", KIND_INT, &opt.history, "N: events per channel the server keeps (1000)" },
	{ "header", KIND_HEADER, NULL, "'Name: value': goes into every request" },
	{ "seed", KIND_INT, &opt.seed, "N: of the payloads and of the churn (1)" },
	{ "commands", KIND_FLAG, &opt.commands, "stdin tells which connections will be lost" },
	{ "strict-gap", KIND_FLAG, &opt.strict_gap, "a gap is a violation" },
	{ "stall", KIND_NUMBER, &opt.stall, "N: seconds to wait for what is owed (5)" },
	{ "drain", KIND_NUMBER, &opt.drain, "N: seconds to wait at the end (15)" },
	{ "connect", KIND_NUMBER, &opt.connect, "N: seconds for all to be connected (60)" },
	{ "storm", KIND_INT, &opt.storm,
	    "N: mode: N connections at once, one GET /health each" },
	{ "idle", KIND_INT, &opt.idle,
	    "N: mode: N idle connections; --channels 0: without subscription" },
	{ "create", KIND_INT, &opt.create,
	    "N: mode: N clients publish at once to one new channel" },
	{ "rounds", KIND_INT, &opt.rounds, "N: how often --create is done (1)" },
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static void
usage(int status)
{
	FILE *f = status == 0 ? stdout : stderr;

	fprintf(f, "usage: crowd --port N [OPTION]...\n");
	for (int i = 0; i < ROWS; i++)
		fprintf(f, "  --%s%s%s\n", rows[i].name,
		    rows[i].kind == KIND_FLAG ? ": " : " ", rows[i].help);
	exit(status);
}

static void
refuse(const char *name, const char *arg)
{
	fprintf(stderr, "crowd: --%s: not a good value: %s\n", name, arg);
	exit(2);
}

static double
number_of(const char *name, const char *arg)
{
	char *end;
	double d = strtod(arg, &end);

	if (end == arg || *end != '\0' || d < 0 || d > 1e9)
		refuse(name, arg);
	return d;
}

static void
set_sizes(const char *arg)
{
	char *end;

	opt.size_min = opt.size_max = strtoul(arg, &end, 10);
	if (*end == '-')
		opt.size_max = strtoul(end + 1, &end, 10);
	if (*end != '\0' || opt.size_min > opt.size_max || opt.size_max > 1 << 20)
		refuse("size", arg);
}

static void
add_header(const char *arg)
{
	size_t at = strlen(opt.headers);

	if (at + strlen(arg) + 3 > sizeof opt.headers)
		refuse("header", arg);
	snprintf(opt.headers + at, sizeof opt.headers - at, "%s\r\n", arg);
}

static void
set_option(const struct row *row, const char *arg)
{
	switch (row->kind) {
	case KIND_TEXT:
		*(const char **)row->where = arg;
		break;
	case KIND_INT:
		*(int *)row->where = (int)number_of(row->name, arg);
		break;
	case KIND_NUMBER:
		*(double *)row->where = number_of(row->name, arg);
		break;
	case KIND_SIZES:
		set_sizes(arg);
		break;
	case KIND_FLAG:
		*(bool *)row->where = true;
		break;
	case KIND_HEADER:
		add_header(arg);
		break;
	}
}

void
crowd_read_options(int argc, char **argv)
{
	struct option options[ROWS + 2] = { 0 };
	int i;

	for (i = 0; i < ROWS; i++)
		options[i] = (struct option){ rows[i].name,
		    rows[i].kind == KIND_FLAG ? no_argument : required_argument, NULL, i };
	options[ROWS] = (struct option){ "help", no_argument, NULL, ROWS };
	while ((i = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (i < 0 || i >= ROWS)
			usage(i == ROWS ? 0 : 2);
		set_option(&rows[i], optarg);
	}
	if (optind != argc || opt.port < 1 || opt.port > 65535 || opt.window < 1)
		usage(2);
	if (opt.channels == 0 && opt.idle == 0)
		usage(2);
	if (opt.create > 0 && opt.size_max > CREATE_SIZE_MAX)
		usage(2);
	if (opt.per_client > opt.channels)
		opt.per_client = opt.channels;
}
