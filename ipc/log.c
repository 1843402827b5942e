#include "ipc/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/dirty.h"
#include "shm/limits.h"
#include "shm/logring.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

static struct writer *ring;			/* NULL: stderr */
static enum settings_log_level least = SETTINGS_LOG_INFO;

void
log_open(struct writer *w, enum settings_log_level level)
{
	ring = w;
	least = level;
}

void
log_close(void)
{
	ring = NULL;
}

void
log_set_level(enum settings_log_level level)
{
	least = level;
}

static void
put(enum settings_log_level level, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	struct timespec t;
	int n;

	if (level < least)
		return;
	n = vsnprintf(line, sizeof line, fmt, ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof line)
		n = sizeof line - 1;
	if (ring == NULL) {
		fprintf(stderr, "plenumd: %s\n", line);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &t);
	if (logring_put(ring->r, ring->index,
		(uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000, (uint32_t)getpid(),
		level, line, (size_t)n) != 0)
		stat_add(&ring->slot->stats, STAT_LOG_LOST, 1);
	else
		stat_add(&ring->slot->stats, STAT_LOG_LINES, 1);
	dirty_hint(ring, HELPER_LOGGER, HINT_LOG);
}

#define LOG_FUNCTION(name, level) \
	void \
	name(const char *fmt, ...) \
	{ \
		va_list ap; \
\
		va_start(ap, fmt); \
		put(level, fmt, ap); \
		va_end(ap); \
	}
LOG_FUNCTION(log_debug, SETTINGS_LOG_DEBUG)
LOG_FUNCTION(log_info, SETTINGS_LOG_INFO)
LOG_FUNCTION(log_notice, SETTINGS_LOG_NOTICE)
LOG_FUNCTION(log_warning, SETTINGS_LOG_WARNING)
LOG_FUNCTION(log_error, SETTINGS_LOG_ERROR)

void
fatal(const char *fmt, ...)
{
	char text[2048], line[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* one line, whatever was in an argument or a file */
	fprintf(stderr, "plenumd: %s\n", log_escape(line, sizeof line, text, strlen(text)));
	exit(1);
}

_Bool
log_rate_ok(struct log_rate *r, unsigned per_second)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	if (r->second != (unsigned long)t.tv_sec) {
		r->second = (unsigned long)t.tv_sec;
		r->seen = 0;
	}
	if (r->seen < per_second) {
		r->seen++;
		return 1;
	}
	r->suppressed++;
	return 0;
}

const char *
log_escape(char *out, size_t cap, const char *s, size_t n)
{
	size_t at = 0, i;

	for (i = 0; i < n && at + 5 < cap; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x20 && c < 0x7f && c != '\\')
			out[at++] = (char)c;
		else
			at += (size_t)snprintf(out + at, cap - at, "\\x%02x", c);
	}
	out[at] = '\0';
	return out;
}
