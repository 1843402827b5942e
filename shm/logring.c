/*
 * Single producer, single consumer, over a byte ring of LOG_RING_SIZE. Positions run free. The
 * producer writes a line behind head and then stores head; the consumer copies it and then stores
 * tail. A death in between loses the line that was being written, or shows one line twice.
 */
#include "shm/logring.h"

#include <string.h>

#include "shm/region.h"
#include "shm/slot_layout.h"

enum { HEAD_BYTES = offsetof(struct log_line, text) };

static void
ring_write(unsigned char *ring, uint64_t at, const void *src, size_t n)
{
	size_t off = at % LOG_RING_SIZE, first = LOG_RING_SIZE - off;

	if (first > n)
		first = n;
	memcpy(ring + off, src, first);
	memcpy(ring, (const char *)src + first, n - first);
}

static void
ring_read(const unsigned char *ring, uint64_t at, void *dst, size_t n)
{
	size_t off = at % LOG_RING_SIZE, first = LOG_RING_SIZE - off;

	if (first > n)
		first = n;
	memcpy(dst, ring + off, first);
	memcpy((char *)dst + first, ring, n - first);
}

int
logring_put(const struct region *r, unsigned writer, uint64_t time_us, uint32_t pid,
    unsigned level, const char *text, size_t n)
{
	struct slot *s = region_slot(r, writer);
	unsigned char *ring = region_log(r, writer);
	uint64_t head = word_get(&s->log_head);
	struct log_line l = { .time = time_us, .pid = pid, .level = (uint16_t)level };

	if (n > LOG_LINE_MAX)
		n = LOG_LINE_MAX;
	l.len = (uint16_t)n;
	/* acquire (word_get): pairs with logring_take(); the bytes are free */
	if (head + HEAD_BYTES + n - word_get(&s->log_tail) > LOG_RING_SIZE) {
		word_set(&s->log_lost, word_get(&s->log_lost) + 1);
		return -1;
	}
	ring_write(ring, head, &l, HEAD_BYTES);
	ring_write(ring, head + HEAD_BYTES, text, n);
	/* release (word_set): publishes the line */
	word_set(&s->log_head, head + HEAD_BYTES + n);
	return 0;
}

int
logring_take(const struct region *r, unsigned writer, struct log_line *line)
{
	struct slot *s = region_slot(r, writer);
	const unsigned char *ring = region_log(r, writer);
	uint64_t tail = word_get(&s->log_tail), head = word_get(&s->log_head);

	if (head - tail < HEAD_BYTES || head - tail > LOG_RING_SIZE) {
		if (head != tail)			/* rubbish: begin anew */
			word_set(&s->log_tail, head);
		return 0;
	}
	ring_read(ring, tail, line, HEAD_BYTES);
	if (line->len > LOG_LINE_MAX || (uint64_t)HEAD_BYTES + line->len > head - tail) {
		word_set(&s->log_tail, head);
		return 0;
	}
	ring_read(ring, tail + HEAD_BYTES, line->text, line->len);
	word_set(&s->log_tail, tail + HEAD_BYTES + line->len);
	return 1;
}

uint64_t
logring_lost(const struct region *r, unsigned writer)
{
	return word_get(&region_slot(r, writer)->log_lost);
}
