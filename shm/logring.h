/*
 * Log rings: one per writer, filled by it, emptied by the logger alone. A line is a record; a line
 * that does not fit is lost and counted. A dead writer's last lines are still there.
 */
#ifndef PLENUM_SHM_LOGRING_H
#define PLENUM_SHM_LOGRING_H

#include <stddef.h>
#include <stdint.h>

struct region;

enum { LOG_LINE_MAX = 1024 };

struct log_line {
	uint64_t time;		/* us since 1970 */
	uint32_t pid;
	uint16_t level;		/* enum settings_log_level */
	uint16_t len;
	char text[LOG_LINE_MAX];
};

/* Puts a line (text is cut at LOG_LINE_MAX) into the writer's ring. 0, or -1: full, counted. */
int logring_put(const struct region *r, unsigned writer, uint64_t time_us, uint32_t pid,
    unsigned level, const char *text, size_t n);

/* Takes the oldest line. 1, or 0 if there is none. Logger only. */
int logring_take(const struct region *r, unsigned writer, struct log_line *line);

/* Lines lost by this writer so far. */
uint64_t logring_lost(const struct region *r, unsigned writer);

#endif
