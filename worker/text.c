#include "worker/text.h"

#include <string.h>

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
