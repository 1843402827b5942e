/*
 * WebSocket frames
 *
 * A frame is two bytes (flags and opcode; mask bit and a seven bit length), up to eight more
 * of length, four of mask, and the payload. The head is judged byte by byte in that order, so
 * that a peer that breaks the rules is told so with the first byte that shows it, and never by
 * a time-out.
 *
 * The mask has a period of four bytes; taken twice it covers a 64-bit word, and the payload is
 * copied a word at a time. Source bytes are never written: they may lie in memory that others
 * read.
 */
#include "worker/wsframe.h"

#include <endian.h>

#include <assert.h>
#include <string.h>

#include <openssl/evp.h>

static const struct {
	uint16_t code;
	const char *text;
} ws_whys[] = {
#define X(name, code, text) { code, text },
	WS_WHYS(X)
#undef X
};
_Static_assert(sizeof ws_whys / sizeof *ws_whys == WS_WHY_MAX, "websocket reasons");
#define X(name, code, text) _Static_assert(sizeof text <= WS_CONTROL_MAX - 1, "fits a close frame");
WS_WHYS(X)
#undef X

const char *
ws_opcode_name(unsigned opcode)
{
	switch (opcode) {
#define X(name, number, text) case number: return text;
	WS_OPCODES(X)
#undef X
	default:
		return "reserved";
	}
}

uint16_t
ws_why_code(enum ws_why why)
{
	return (unsigned)why < WS_WHY_MAX ? ws_whys[why].code : WS_CLOSE_PROTOCOL;
}

const char *
ws_why_name(enum ws_why why)
{
	return (unsigned)why < WS_WHY_MAX ? ws_whys[why].text : "unknown";
}

const char *
ws_close_code_name(unsigned code)
{
	switch (code) {
#define X(name, number, text) case number: return text;
	WS_CLOSE_CODES(X)
#undef X
	default:
		return code >= 3000 && code <= 4999 ? "private use" : "unknown";
	}
}

bool
ws_close_code_valid(uint16_t code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	    (code >= 3000 && code <= 4999);
}

/* Flags and opcode. */
static enum ws_why
judge_first(uint8_t b, bool deflate_ok)
{
	uint8_t opcode = b & 0x0f;
	bool first = opcode == WS_TEXT || opcode == WS_BINARY;

	if ((b & 0x30) != 0 || ((b & 0x40) != 0 && !(deflate_ok && first)))
		return WS_WHY_RSV;
	if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
		return WS_WHY_OPCODE;
	if (opcode >= WS_CLOSE && (b & 0x80) == 0)
		return WS_WHY_CONTROL_FRAGMENTED;
	return WS_WHY_NONE;
}

/* Mask bit and length of a frame with this opcode. */
static enum ws_why
judge_second(uint8_t b, uint8_t opcode)
{
	if ((b & 0x80) == 0)
		return WS_WHY_UNMASKED;
	if (opcode >= WS_CLOSE && (b & 0x7f) > WS_CONTROL_MAX)
		return WS_WHY_CONTROL_LONG;
	return WS_WHY_NONE;
}

/* A long length: of size 2 or 8 bytes at p. */
static enum ws_why
judge_length(const uint8_t *p, unsigned size, uint64_t *len)
{
	uint16_t be16;
	uint64_t be64;

	if (size == 2) {
		memcpy(&be16, p, sizeof be16);
		*len = be16toh(be16);
		return *len < 126 ? WS_WHY_LENGTH_FORM : WS_WHY_NONE;
	}
	memcpy(&be64, p, sizeof be64);
	*len = be64toh(be64);
	if (*len >> 63 != 0)
		return WS_WHY_LENGTH_SIGN;
	return *len <= UINT16_MAX ? WS_WHY_LENGTH_FORM : WS_WHY_NONE;
}

ssize_t
ws_frame_parse(const uint8_t *p, size_t n, uint64_t max_len, bool deflate_ok, struct ws_frame *f,
    enum ws_why *why)
{
	unsigned size;

	*why = WS_WHY_NONE;
	if (n < 1)
		return 0;
	if ((*why = judge_first(p[0], deflate_ok)) != WS_WHY_NONE)
		return -1;
	if (n < 2)
		return 0;
	f->opcode = p[0] & 0x0f;
	f->fin = (p[0] & 0x80) != 0;
	f->rsv1 = (p[0] & 0x40) != 0;
	if ((*why = judge_second(p[1], f->opcode)) != WS_WHY_NONE)
		return -1;
	f->len = p[1] & 0x7f;
	size = f->len < 126 ? 0 : f->len == 126 ? 2 : 8;
	if (n < 2 + size)
		return 0;
	if (size > 0 && (*why = judge_length(p + 2, size, &f->len)) != WS_WHY_NONE)
		return -1;
	if (f->opcode < WS_CLOSE && f->len > max_len) {
		*why = WS_WHY_TOO_BIG;
		return -1;
	}
	f->head = 2 + size + 4;
	if (n < f->head)
		return 0;
	memcpy(f->mask, p + 2 + size, 4);
	return (ssize_t)f->head;
}

void
ws_unmask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4])
{
	uint8_t twice[8];
	uint64_t m, w;
	size_t i;

	memcpy(twice, mask, 4);
	memcpy(twice + 4, mask, 4);
	memcpy(&m, twice, sizeof m);
	for (i = 0; n - i >= 8; i += 8) {
		memcpy(&w, src + i, sizeof w);
		w ^= m;
		memcpy(dst + i, &w, sizeof w);
	}
	for (; i < n; i++)
		dst[i] = src[i] ^ mask[i % 4];
}

size_t
ws_frame_head(uint8_t *dst, uint8_t opcode, bool fin, bool rsv1, uint64_t len)
{
	uint16_t be16;
	uint64_t be64;

	assert(opcode <= WS_PONG && (opcode < WS_CLOSE || (fin && !rsv1 && len <= WS_CONTROL_MAX)));
	dst[0] = (uint8_t)((fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode);
	if (len < 126) {
		dst[1] = (uint8_t)len;
		return 2;
	}
	if (len <= UINT16_MAX) {
		dst[1] = 126;
		be16 = htobe16((uint16_t)len);
		memcpy(dst + 2, &be16, sizeof be16);
		return 4;
	}
	dst[1] = 127;
	be64 = htobe64(len);
	memcpy(dst + 2, &be64, sizeof be64);
	return 10;
}

bool
ws_key_valid(const char *key, size_t n)
{
	size_t i;

	if (n != WS_KEY_LEN || key[22] != '=' || key[23] != '=')
		return false;
	for (i = 0; i < 22; i++) {
		if (!((key[i] >= 'A' && key[i] <= 'Z') || (key[i] >= 'a' && key[i] <= 'z') ||
		    (key[i] >= '0' && key[i] <= '9') || key[i] == '+' || key[i] == '/'))
			return false;
	}
	return true;
}

void
ws_accept_key(const char *key, size_t n, char out[WS_ACCEPT_SIZE])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	/* Looking an algorithm up by name costs more than the digest itself. */
	static EVP_MD *sha1;
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[WS_KEY_LEN + sizeof guid - 1];
	unsigned len = 0;
	int ok;

	assert(n == WS_KEY_LEN);
	if (sha1 == NULL)
		sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	assert(sha1 != NULL);
	memcpy(text, key, WS_KEY_LEN);
	memcpy(text + WS_KEY_LEN, guid, sizeof guid - 1);
	ok = EVP_Digest(text, sizeof text, digest, &len, sha1, NULL);
	assert(ok == 1 && len == 20);
	EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
}
