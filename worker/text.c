#include "worker/text.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

size_t
decimal_put(char *out, uint64_t v)
{
	char buf[20];
	size_t n = 0;

	do {
		buf[sizeof buf - ++n] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	memcpy(out, buf + sizeof buf - n, n);
	return n;
}

bool
decimal_parse(const char *p, size_t n, uint64_t *v)
{
	uint64_t x = 0;
	size_t i;

	if (n == 0 || n > 19)
		return false;
	for (i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		x = x * 10 + (uint64_t)(p[i] - '0');
	}
	*v = x;
	return true;
}

bool
epoch_parse(const char *p, size_t n, uint64_t *epoch)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t x = 0;
	size_t i;

	if (n != 16)
		return false;
	for (i = 0; i < n; i++) {
		const char *d = p[i] == '\0' ? NULL : strchr(digits, p[i]);

		if (d == NULL)
			return false;
		x = x << 4 | (uint64_t)(d - digits);
	}
	*epoch = x;
	return true;
}

/* 16 random bytes. Early at boot there may be none yet: then the time, which is unique enough. */
static void
take_random(uint8_t *out)
{
	static uint8_t pool[1024];
	static size_t left;
	struct timespec t;

	if (left == 0) {
		if (getrandom(pool, sizeof pool, GRND_NONBLOCK) != (ssize_t)sizeof pool) {
			clock_gettime(CLOCK_MONOTONIC, &t);
			memcpy(out, &t, 16);
			return;
		}
		left = sizeof pool;
	}
	left -= 16;
	memcpy(out, pool + left, 16);
}

void
uuid_put(char *out)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t b[16];
	unsigned i;

	take_random(b);
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	for (i = 0; i < sizeof b; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[b[i] >> 4];
		*out++ = digits[b[i] & 15];
	}
}
