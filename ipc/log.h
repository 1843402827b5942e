/*
 * Logging. In workers, keepers and helpers a line goes to the process's log ring and never blocks;
 * before log_open() (start-up, tests, plenumctl) it goes to stderr.
 */
#ifndef PLENUM_IPC_LOG_H
#define PLENUM_IPC_LOG_H

#include <stdarg.h>
#include <stddef.h>

#include "shm/settings.h"

struct writer;

/* From here on lines of this process go to the ring of w, if they are at least this level. */
void log_open(struct writer *w, enum settings_log_level level);

/* Back to stderr, for what happens after the region is gone. */
void log_close(void);

/* Changes the level. */
void log_set_level(enum settings_log_level level);

/*
 * One line, without a newline at its end. Write `what=value` pairs behind the sentence; bytes that
 * came from outside go through log_escape(). Lines are cut at LOG_LINE_MAX.
 */
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The environment failed at start-up: one clear line on stderr, exit 1. */
_Noreturn void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * For lines that a peer can provoke: true at most `per_second` times a second and counts the rest
 * in *suppressed, which the caller prints and clears with the next line.
 */
struct log_rate {
	unsigned long second;
	unsigned seen;
	unsigned suppressed;
};
_Bool log_rate_ok(struct log_rate *r, unsigned per_second);

/* Makes foreign bytes printable (\xNN), at most cap - 1 characters; returns out. */
const char *log_escape(char *out, size_t cap, const char *s, size_t n);

#endif
