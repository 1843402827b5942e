/*
 * The logger takes one line of each ring in advance and writes the oldest of them first, so that
 * lines of different processes come out in the order of their times as far as they are there.
 *
 * Lines are made into text in a buffer, and the buffer is written in pieces of at most PIPE_BUF
 * bytes, each after poll() has said that there is room: a pipe that nobody reads must not stop the
 * logger. What cannot be written (a full disk, a pipe without a reader) stays in the buffer and is
 * tried again; meanwhile the rings fill up, their writers lose lines and count them.
 *
 * A reader of a ring is its only one: a logger that was killed loses at most the lines it had in
 * hand, and the next one goes on at the rings' tails.
 */
#define _GNU_SOURCE
#include "ipc/logger.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "ipc/heritage.h"
#include "ipc/line.h"
#include "ipc/log.h"
#include "ipc/process.h"
#include "ipc/wake.h"
#include "shm/dirty.h"
#include "shm/logring.h"
#include "shm/settings.h"
#include "shm/slot_layout.h"
#include "shm/writer.h"

enum {
	LINE_BYTES = 6 * LOG_LINE_MAX + 256,	/* the longest line of text, all of it escaped */
	BUFFER_BYTES = 4 * LINE_BYTES,
	IDLE_MS = 500,			/* a beat at least so often */
	RETRY_MS = 100,			/* when nothing could be written */
	LOST_EVERY_MS = 1000,
	LAST_MS = 1000,			/* that a stopping logger goes on trying */
	ALONE_MS = 2000,
};

static struct heritage *heir;
static struct writer w;
static uint32_t format;

static struct log_line held[WRITERS_MAX];
static bool has[WRITERS_MAX];

static char buffer[BUFFER_BYTES];
static size_t filled;
static uint64_t failing_since;		/* ms, 0: writing works */
static int failing_errno;

static const char *const helper_names[] = {
	"master", "logger", "relay", "journal", "feed", "test", "spare"
};
_Static_assert(sizeof helper_names / sizeof helper_names[0] == HELPERS_MAX, "a name per helper");

static void
name_process(unsigned writer, uint32_t pid, char *out, size_t n)
{
	if (writer >= WORKERS_MAX)
		snprintf(out, n, "%s", helper_names[writer - WORKERS_MAX]);
	else if (pid == word32_get(&region_slot(&heir->region, writer)->keeper))
		snprintf(out, n, "keeper[%u]", writer);
	else
		snprintf(out, n, "worker[%u]", writer);
}

static const char *
name_level(unsigned level)
{
	return level < SETTINGS_LOG_LEVEL_COUNT ? settings_log_level_names[level] : "?";
}

static void
format_time(uint64_t us, char *out, size_t n)
{
	static time_t second = -1;
	static char text[32];
	time_t t = (time_t)(us / 1000000);
	struct tm tm;

	if (t != second) {
		if (gmtime_r(&t, &tm) == NULL)
			memset(&tm, 0, sizeof tm);
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
		second = t;
	}
	snprintf(out, n, "%s.%06uZ", text, (unsigned)(us % 1000000));
}

static void
put_char(char c)
{
	if (filled < sizeof buffer)
		buffer[filled++] = c;
}

static void
put_text(const char *s)
{
	while (*s != '\0')
		put_char(*s++);
}

/* Writers escape what is foreign; this only keeps a line a line. */
static void
put_message(const struct log_line *l, bool json)
{
	char hex[8];
	size_t i;

	for (i = 0; i < l->len; i++) {
		unsigned char c = (unsigned char)l->text[i];

		if (json && (c == '"' || c == '\\')) {
			put_char('\\');
			put_char((char)c);
		} else if (c >= 0x20 && c < 0x7f) {
			put_char((char)c);
		} else {
			snprintf(hex, sizeof hex, json ? "\\u%04x" : "\\x%02x", c);
			put_text(hex);
		}
	}
}

static void
put_line(unsigned writer, const struct log_line *l)
{
	char time[48], who[32], head[160];
	bool json = format == SETTINGS_FORMAT_JSON;

	format_time(l->time, time, sizeof time);
	name_process(writer, l->pid, who, sizeof who);
	snprintf(head, sizeof head, json ?
	    "{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\",\"pid\":%u,\"message\":\"" :
	    "%s %s %s %u: ", time, name_level(l->level), who, l->pid);
	put_text(head);
	put_message(l, json);
	put_text(json ? "\"}\n" : "\n");
}

static void
put_syslog(unsigned writer, const struct log_line *l)
{
	static const int priority[] = { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ERR };
	char who[32];

	_Static_assert(sizeof priority / sizeof priority[0] == SETTINGS_LOG_LEVEL_COUNT,
	    "a priority per level");
	name_process(writer, l->pid, who, sizeof who);
	syslog(l->level < SETTINGS_LOG_LEVEL_COUNT ? priority[l->level] : LOG_ERR, "%s %u: %.*s",
	    who, l->pid, (int)l->len, l->text);
}

/* Looks into all rings; the writer whose line is the oldest, or -1. */
static int
oldest(void)
{
	int best = -1;
	unsigned i;

	for (i = 0; i < WRITERS_MAX; i++) {
		if (!region_has_writer(&heir->region, i))
			continue;
		if (!has[i])
			has[i] = logring_take(&heir->region, i, &held[i]) == 1;
		if (has[i] && (best < 0 || held[i].time < held[best].time))
			best = (int)i;
	}
	return best;
}

/* False: nothing more can be written now. */
static bool
write_piece(size_t *done)
{
	struct pollfd p = { .fd = heir->log_fd, .events = POLLOUT };
	size_t n = filled - *done < PIPE_BUF ? filled - *done : PIPE_BUF;
	ssize_t r;

	if (poll(&p, 1, 0) <= 0)
		return false;
	r = write(heir->log_fd, buffer + *done, n);
	if (r < 0 && errno == EINTR)
		return true;
	if (r <= 0) {
		if (failing_since == 0)
			failing_errno = errno;
		return false;
	}
	*done += (size_t)r;
	return true;
}

static bool
write_buffer(void)
{
	size_t done = 0;

	while (done < filled && write_piece(&done))
		;
	memmove(buffer, buffer + done, filled - done);
	filled -= done;
	if (filled > 0) {
		if (failing_since == 0)
			failing_since = clock_ms();
		return false;
	}
	if (failing_since != 0) {
		log_warning("log could not be written for ms=%llu: %s",
		    (unsigned long long)(clock_ms() - failing_since),
		    failing_errno != 0 ? strerror(failing_errno) : "nobody reads it");
		failing_since = 0;
		failing_errno = 0;
	}
	return true;
}

/* Writes what is there. False: something is left, because it cannot be written now. */
static bool
pump(void)
{
	int i;

	while ((i = oldest()) >= 0) {
		if (heir->log_fd < 0) {
			put_syslog((unsigned)i, &held[i]);
		} else {
			if (filled + LINE_BYTES > sizeof buffer && !write_buffer())
				return false;
			put_line((unsigned)i, &held[i]);
		}
		has[i] = false;
	}
	return heir->log_fd < 0 || write_buffer();
}

static void
report_lost(uint64_t now)
{
	static uint64_t told[WRITERS_MAX], last;
	uint64_t lost;
	unsigned i;
	char who[32];

	if (now - last < LOST_EVERY_MS)
		return;
	last = now;
	for (i = 0; i < WRITERS_MAX; i++) {
		if (!region_has_writer(&heir->region, i))
			continue;
		lost = logring_lost(&heir->region, i);
		if (lost == told[i])
			continue;
		name_process(i, word32_get(&region_slot(&heir->region, i)->pid), who, sizeof who);
		log_warning("log lines were lost, the ring was full process=%s in_all=%llu", who,
		    (unsigned long long)lost);
		told[i] = lost;
	}
}

/* --- the master --- */

static void
lose_master(void)
{
	if (w.slot->line >= 0)
		close(w.slot->line);
	w.slot->line = -1;
	word_set(&w.slot->orphaned, clock_ms());
}

static void
answer_door(void)
{
	int fd = line_answer(w.slot->door, heir->region.head->owner);

	if (fd < 0)
		return;
	if (w.slot->line >= 0)
		close(w.slot->line);
	w.slot->line = fd;
	word_set(&w.slot->orphaned, 0);
	line_tell_self(fd);
}

/* Without a master it goes on as long as there is somebody to write for. */
static bool
is_alone(uint64_t now)
{
	static struct settings s;
	uint64_t since = word_get(&w.slot->orphaned);
	unsigned i;

	if (since == 0 || now - since < ALONE_MS)
		return false;
	region_settings_get(&heir->region, &s);
	if (now - since < s.orphan_timeout)
		return false;
	for (i = 0; i < heir->region.caps.workers; i++)
		if (word32_get(&region_slot(&heir->region, i)->keeper) != 0)
			return now - since > s.orphan_timeout + s.graceful_timeout + ALONE_MS;
	return true;
}

static void
wait_for_lines(bool blocked)
{
	struct pollfd p[] = {
		{ .fd = w.slot->line, .events = POLLIN },
		{ .fd = w.slot->door, .events = POLLIN },
		{ .fd = blocked ? -1 : w.slot->event_fd, .events = POLLIN },
	};
	int ms = blocked ? RETRY_MS : IDLE_MS;

	if (!blocked && !sleep_begin(&w))
		ms = 0;
	if (poll(p, 3, ms) > 0) {
		if (p[0].revents != 0)
			lose_master();
		if (p[1].revents != 0)
			answer_door();
	}
	if (blocked)
		return;
	sleep_end(&w);
	wake_drain(&w);
}

static void
begin(struct heritage *h)
{
	static struct settings s;
	struct slot *slot = region_slot(&h->region, h->slot);
	int keep[5];

	heir = h;
	process_signals();
	process_title("logger");
	process_drop(h);
	keep[0] = h->region.fd;
	keep[1] = slot->event_fd;
	keep[2] = h->log_fd;
	keep[3] = slot->line;
	keep[4] = slot->door;
	process_close_others(keep, 5);
	region_settings_get(&h->region, &s);
	format = s.log_format;
	writer_open(&w, &h->region, h->slot);
	log_open(&w, (enum settings_log_level)s.log_level);
	word32_set(&w.slot->pid, (uint32_t)getpid());
	if (h->log_fd < 0)
		openlog("plenumd", LOG_NDELAY, LOG_DAEMON);
}

void
logger_run(struct heritage *h)
{
	uint64_t now, last_try = 0;
	bool all;

	begin(h);
	line_tell_self(w.slot->line);
	for (;;) {
		now = clock_ms();
		word_set(&w.slot->beat, now);
		dirty_take_hints(&w);
		if (last_try == 0 &&
		    (word32_get(&w.slot->order) == ORDER_STOP || is_alone(now)))
			last_try = now + LAST_MS;
		report_lost(now);
		all = pump();
		if (last_try != 0 && (all || now >= last_try))
			break;
		wait_for_lines(!all);
	}
	word32_set(&w.slot->pid, 0);
	_exit(0);
}
