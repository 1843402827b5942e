/*
 * WebSocket frames: a stream of frames from a client, as long as it lasts. The first byte
 * picks whether compression was agreed and the limit. A head that is accepted must be refused
 * for no shorter prefix.
 */
#include "worker/wsframe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes the mask off twice: what comes out is what went in. */
static void
check_payload(const struct ws_frame *f, const uint8_t *src, size_t n)
{
	uint8_t *once = malloc(n + 1), *twice = malloc(n + 1);

	assert(once != NULL && twice != NULL);
	ws_unmask(once, src, n, f->mask);
	ws_unmask(twice, once, n, f->mask);
	assert(memcmp(twice, src, n) == 0);
	assert(n == 0 || once[n - 1] == (src[n - 1] ^ f->mask[(n - 1) % 4]));
	free(once);
	free(twice);
}

/* The server's head for the same frame is the client's without mask. */
static void
check_head(const struct ws_frame *f, const uint8_t *src)
{
	uint8_t out[WS_HEAD_MAX];
	size_t n = ws_frame_head(out, f->opcode, f->fin, f->rsv1, f->len);

	assert(n + 4 == f->head);
	out[1] |= 0x80;
	assert(memcmp(out, src, n) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_frame f, g;
	enum ws_why why;
	size_t i, at, n;
	bool deflate_ok;
	uint64_t max;
	uint8_t *p;
	ssize_t rc;

	if (size < 1)
		return 0;
	deflate_ok = (data[0] & 1) != 0;
	max = UINT64_C(1) << (data[0] >> 2);
	n = size - 1;
	p = malloc(n > 0 ? n : 1);
	assert(p != NULL);
	memcpy(p, data + 1, n);
	for (at = 0; (rc = ws_frame_parse(p + at, n - at, max, deflate_ok, &f, &why)) > 0;) {
		assert(rc == (ssize_t)f.head && f.head <= 14 && f.len <= (max < 125 ? 125 : max));
		for (i = 0; i < f.head; i++)
			assert(ws_frame_parse(p + at, i, max, deflate_ok, &g, &why) == 0);
		check_head(&f, p + at);
		at += f.head;
		if (f.len > n - at)
			break;
		check_payload(&f, p + at, f.len);
		if (f.opcode == WS_CLOSE && f.len >= 2)
			(void)ws_close_code_name((unsigned)p[at] << 8 | p[at + 1]);
		at += f.len;
	}
	assert(rc >= 0 || ws_why_code(why) == 1002 || ws_why_code(why) == 1009);
	if (ws_key_valid((const char *)p, n)) {
		char out[WS_ACCEPT_SIZE];

		ws_accept_key((const char *)p, n, out);
		assert(strlen(out) == WS_ACCEPT_SIZE - 1);
	}
	free(p);
	return 0;
}
