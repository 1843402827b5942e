/*
 * Options are read by hand: getopt() would print on its own, and keeps state between calls. Letters
 * may be joined (-ft), a value may follow its letter at once (-cFILE) or as the next word, and --
 * ends the options. There are no other words.
 */
#include "master/options.h"

#include <stdlib.h>
#include <string.h>

const char *const options_action_names[] = {
	"run", "test", "version", "help", "help-config", "keeper", "help-config=mdoc",
};
_Static_assert(sizeof(options_action_names) / sizeof(options_action_names[0]) ==
    OPTIONS_ACTION_COUNT, "actions");

struct long_option {
	const char *name;
	enum options_action action;
};

static const struct long_option long_options[] = {
	{ "--help", OPTIONS_HELP },
	{ "--version", OPTIONS_VERSION },
	{ "--help-config", OPTIONS_HELP_CONFIG },
	{ "--help-config=mdoc", OPTIONS_HELP_MDOC },
};

/* --NAME=NUMBER, for which NAME= is given. */
static bool
take_number(const char *word, const char *name, int *out)
{
	size_t n = strlen(name);
	char *end;
	long v;

	if (strncmp(word, name, n) != 0)
		return false;
	v = strtol(word + n, &end, 10);
	if (end == word + n || *end != '\0' || v < -1 || v > 1 << 20)
		return false;
	*out = (int)v;
	return true;
}

/* What one program says to the next. */
static bool
parse_internal(const char *word, struct options *out)
{
	if (take_number(word, "--region=", &out->region))
		return true;
	if (take_number(word, "--keeper=", &out->keeper)) {
		out->action = OPTIONS_KEEPER;
		return true;
	}
	if (take_number(word, "--successor=", &out->pid_fd)) {
		out->is_successor = true;
		return true;
	}
	return false;
}

static int
parse_long(const char *word, struct options *out, char *err, size_t errlen)
{
	size_t i;

	if (parse_internal(word, out))
		return 0;
	for (i = 0; i < sizeof(long_options) / sizeof(long_options[0]); i++)
		if (strcmp(word, long_options[i].name) == 0) {
			out->action = long_options[i].action;
			return 0;
		}
	snprintf(err, errlen, "unknown option %s, see plenumd --help", word);
	return -1;
}

/* Take the value of -c or -D. */
static int
take_value(char letter, const char *value, struct options *out, char *err, size_t errlen)
{
	if (letter == 'c') {
		if (value[0] == '\0') {
			snprintf(err, errlen, "option -c needs a file");
			return -1;
		}
		out->file = value;
		return 0;
	}
	if (strchr(value, '=') == NULL || value[0] == '=') {
		snprintf(err, errlen, "-D %s: not a setting, allowed is -D NAME=VALUE", value);
		return -1;
	}
	if (out->define_count == OPTIONS_DEFINES_MAX) {
		snprintf(err, errlen, "too many options -D, allowed are %d", OPTIONS_DEFINES_MAX);
		return -1;
	}
	out->defines[out->define_count++] = value;
	return 0;
}

/* Take one letter without a value. */
static int
take_flag(char letter, struct options *out, char *err, size_t errlen)
{
	switch (letter) {
	case 'f':
		out->foreground = true;
		return 0;
	case 't':
		out->action = OPTIONS_TEST;
		return 0;
	case 'V':
		out->action = OPTIONS_VERSION;
		return 0;
	case 'h':
		out->action = OPTIONS_HELP;
		return 0;
	default:
		snprintf(err, errlen, "unknown option -%c, see plenumd --help", letter);
		return -1;
	}
}

/*
 * Take a word of letters; *i is its place in argv and moves on when the next word is the value of
 * its last letter.
 */
static int
parse_letters(int argc, char *const *argv, int *i, struct options *out, char *err, size_t errlen)
{
	const char *word = argv[*i], *value;

	while (*++word != '\0') {
		if (*word != 'c' && *word != 'D') {
			if (take_flag(*word, out, err, errlen) == -1)
				return -1;
			continue;
		}
		if (word[1] != '\0')
			value = word + 1;
		else if (*i + 1 < argc)
			value = argv[++*i];
		else {
			snprintf(err, errlen, "option -%c needs %s", *word,
			    *word == 'c' ? "a file" : "NAME=VALUE");
			return -1;
		}
		return take_value(*word, value, out, err, errlen);
	}
	return 0;
}

int
options_parse(int argc, char *const *argv, struct options *out, char *err, size_t errlen)
{
	int i, ret;

	memset(out, 0, sizeof(*out));
	out->region = out->keeper = out->pid_fd = -1;
	out->program = argc > 0 ? argv[0] : "plenumd";
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (argv[i][0] != '-' || argv[i][1] == '\0')
			break;
		if (argv[i][1] == '-')
			ret = parse_long(argv[i], out, err, errlen);
		else
			ret = parse_letters(argc, argv, &i, out, err, errlen);
		if (ret == -1)
			return -1;
	}
	if (i < argc) {
		snprintf(err, errlen, "unexpected argument %s, see plenumd --help", argv[i]);
		return -1;
	}
	return 0;
}

void
options_usage(FILE *f)
{
	fputs("usage: plenumd [-c FILE] [-f] [-t] [-D NAME=VALUE]... [-V] [--help-config]\n"
	    "\n"
	    "  -c FILE         read the configuration from FILE\n"
	    "                  (else /etc/plenum/plenum.conf if it is there, else defaults)\n"
	    "  -f              stay in the foreground and log to stderr\n"
	    "  -t              check the configuration, print the memory it needs, and exit\n"
	    "  -D NAME=VALUE   set NAME, whatever the file and the environment say\n"
	    "  -V              print the version and exit\n"
	    "  -h, --help      print this and exit\n"
	    "  --help-config   print every setting and exit\n", f);
}
