#include "master/confhelp.h"

#include <string.h>

#include "shm/settings.h"

/* How a section is headed, and what is said about it. */
struct section_help {
	const char *head;
	const char *arg;		/* of the header, for mdoc */
	const char *help;
};

static const struct section_help section_help[] = {
	{ "main section", "", "before the first section; also -D NAME=VALUE and PLENUM_NAME" },
	{ "[listen NAME]", "NAME", "more addresses, for all services or some" },
	{ "[channel PATTERN]", "PATTERN",
	    "channels whose name matches, * is any run of characters; the first match counts" },
};
_Static_assert(sizeof(section_help) / sizeof(section_help[0]) == SETTING_SECTION_COUNT,
    "sections");

static void
print_setting(FILE *f, const struct setting *st)
{
	char range[SETTINGS_TEXT_MAX];

	settings_format_range(st, range, sizeof(range));
	fprintf(f, "  %-20s %s\n", st->name, st->help);
	fprintf(f, "  %-20s %s: %s; default %s; %s%s\n", "", setting_kind_names[st->kind], range,
	    st->def[0] == '\0' ? "empty" : st->def, st->live ? "live" : "restart",
	    st->here ? "" : "; not available in this version");
	if (st->env != NULL)
		fprintf(f, "  %-20s environment %s\n", "", st->env);
}

void
confhelp_print(FILE *f)
{
	const struct setting *table;
	size_t n, j;
	int i;

	for (i = 0; i < SETTING_SECTION_COUNT; i++) {
		fprintf(f, "%s%s: %s\n\n", i == 0 ? "" : "\n", section_help[i].head,
		    section_help[i].help);
		table = settings_section_table((enum setting_section)i, &n);
		for (j = 0; j < n; j++)
			print_setting(f, &table[j]);
	}
	fputs("\nAny section: include = PATH or PATTERN reads other files, relative to this one.\n"
	    "live: changes on reload; restart: needs a new start.\n", f);
}

/*
 * Text in mdoc, in lines of less than 80 bytes. A backslash, and a dot or quote at the start of a
 * line, mean something there.
 */
static void
mdoc_text(FILE *f, const char *text)
{
	size_t n, column = 0;

	while (*text != '\0') {
		n = strcspn(text, " ");
		if (column > 0 && column + n > 60) {
			fputc('\n', f);
			column = 0;
		} else if (column > 0)
			fputc(' ', f);
		if (column == 0 && (*text == '.' || *text == '\''))
			fputs("\\&", f);
		column += n + 1;
		for (; n > 0; n--, text++) {
			if (*text == '\\')
				fputs("\\e", f);
			else if (*text == '-')
				fputs("\\-", f);
			else
				fputc(*text, f);
		}
		text += strspn(text, " ");
	}
}

static void
mdoc_setting(FILE *f, const struct setting *st)
{
	char range[SETTINGS_TEXT_MAX];

	settings_format_range(st, range, sizeof(range));
	fprintf(f, ".It Ic %s Ns = Ns Ar ", st->name);
	/* The argument is one word of mdoc. */
	fprintf(f, strchr(setting_kind_names[st->kind], ' ') != NULL ? "\"%s\"\n" : "%s\n",
	    setting_kind_names[st->kind]);
	mdoc_text(f, st->help);
	fputs(".\nAllowed: ", f);
	mdoc_text(f, range);
	fputs(".\nDefault: ", f);
	mdoc_text(f, st->def[0] == '\0' ? "empty" : st->def);
	fputs(".\n", f);
	fputs(st->live ? "Changes on reload.\n" : "Needs a restart.\n", f);
	if (!st->here)
		fputs("Not available in this version.\n", f);
	if (st->env != NULL)
		fprintf(f, "The environment variable\n.Ev %s\nis honoured too.\n", st->env);
}

void
confhelp_mdoc(FILE *f)
{
	const struct setting *table;
	size_t n, j;
	int i;

	for (i = 0; i < SETTING_SECTION_COUNT; i++) {
		if (i == SETTING_SECTION_MAIN)
			fputs(".Ss Main section\n", f);
		else
			fprintf(f, ".Ss The sections [%s %s] and their settings\n",
			    setting_section_names[i], section_help[i].arg);
		mdoc_text(f, section_help[i].help);
		fputs(".\n.Bl -tag -width Ds\n", f);
		table = settings_section_table((enum setting_section)i, &n);
		for (j = 0; j < n; j++)
			mdoc_setting(f, &table[j]);
		fputs(".El\n", f);
	}
}

/* The settings of one structure, beside one that holds the defaults. */
static void
dump_section(FILE *f, enum setting_section section, const void *base, const void *defaults,
    bool all)
{
	const struct setting *table;
	char text[SETTINGS_TEXT_MAX];
	size_t i, n;

	table = settings_section_table(section, &n);
	for (i = 0; i < n; i++) {
		if (!all && settings_equal_field(base, defaults, &table[i]))
			continue;
		settings_format_field(base, &table[i], text, sizeof(text));
		fprintf(f, "%s =%s%s\n", table[i].name, text[0] == '\0' ? "" : " ", text);
	}
}

void
confhelp_dump(FILE *f, const struct settings *s, bool all)
{
	struct settings defaults;
	uint32_t i;

	settings_defaults(&defaults);
	dump_section(f, SETTING_SECTION_MAIN, s, &defaults, all);
	for (i = 0; i < s->listen_count; i++) {
		fprintf(f, "\n[listen %s]\n", s->listens[i].name);
		dump_section(f, SETTING_SECTION_LISTEN, &s->listens[i], &s->listens[i], true);
	}
	for (i = 0; i < s->channel_count; i++) {
		fprintf(f, "\n[channel %s]\n", s->channels[i].pattern);
		dump_section(f, SETTING_SECTION_CHANNEL, &s->channels[i], &s->channel_default,
		    all);
	}
}
