/*
 * A mark per port, which is the time until it is believed: the port may belong to another
 * connection later.
 */
#include "t/tools/lost.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "t/tools/crowd.h"
#include "t/tools/oracle.h"

#define BELIEVED_NS	5000000000u

static uint64_t until[1 << 16];
static char line[1 << 18];
static size_t have;
static bool ended;

void
lost_begin(void)
{
	int flags = fcntl(STDIN_FILENO, F_GETFL);

	if (flags < 0 || fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK) != 0) {
		fprintf(stderr, "crowd: no stdin for --commands\n");
		exit(2);
	}
}

static void
on_line(char *text, uint64_t now)
{
	char *save = NULL, *word = strtok_r(text, " ", &save);
	unsigned n = 0;

	if (word != NULL && strcmp(word, "end") == 0) {
		ended = true;
		return;
	}
	if (word == NULL || strcmp(word, "lost") != 0) {
		oracle_violation("not a command: %s", text);
		return;
	}
	while ((word = strtok_r(NULL, " ", &save)) != NULL) {
		until[(uint16_t)atoi(word)] = now + BELIEVED_NS;
		n++;
	}
	printf("noted %u\n", n);
	fflush(stdout);
}

bool
lost_tick(uint64_t now)
{
	ssize_t n = read(STDIN_FILENO, line + have, sizeof line - 1 - have);
	char *eol;

	if (n <= 0)
		return !ended;
	have += (size_t)n;
	line[have] = '\0';
	while ((eol = strchr(line, '\n')) != NULL) {
		size_t len = (size_t)(eol - line) + 1;

		*eol = '\0';
		on_line(line, now);
		memmove(line, line + len, have - len + 1);
		have -= len;
	}
	return !ended;
}

bool
lost_take(const struct client *c)
{
	if (!opt.resume && until[c->port] <= client_now())
		return false;
	until[c->port] = 0;
	tally.slot_lost++;
	return true;
}
