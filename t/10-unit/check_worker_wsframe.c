/* WebSocket frames: every refusal with its code, every split, lengths and masks. */
#include "worker/wsframe.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct ws_frame f;
static enum ws_why why;

static ssize_t
parse(const uint8_t *p, size_t n, uint64_t max, bool deflate_ok)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);
	ssize_t rc;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p, n);
	rc = ws_frame_parse(copy, n, max, deflate_ok, &f, &why);
	free(copy);
	return rc;
}

START_TEST(masked_text_of_the_rfc_is_read)
{
	/* RFC 6455, 5.7 */
	static const uint8_t hello[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d,
	    0x51, 0x58 };
	uint8_t out[5];

	ck_assert_int_eq(parse(hello, sizeof hello, 100, false), 6);
	ck_assert_uint_eq(f.opcode, WS_TEXT);
	ck_assert(f.fin && !f.rsv1);
	ck_assert_uint_eq(f.head, 6);
	ck_assert_uint_eq(f.len, 5);
	ws_unmask(out, hello + f.head, 5, f.mask);
	ck_assert_mem_eq(out, "Hello", 5);
}
END_TEST

static const struct {
	uint8_t head[14];
	size_t n;
	uint64_t len;
} accepted[] = {
	{ { 0x81, 0x80, 1, 2, 3, 4 }, 6, 0 },
	{ { 0x01, 0x80, 1, 2, 3, 4 }, 6, 0 },
	{ { 0x00, 0x81, 1, 2, 3, 4 }, 6, 1 },
	{ { 0x82, 0xfd, 1, 2, 3, 4 }, 6, 125 },
	{ { 0x82, 0xfe, 0, 126, 1, 2, 3, 4 }, 8, 126 },
	{ { 0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4 }, 8, 65535 },
	{ { 0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4 }, 14, 65536 },
	{ { 0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4 }, 14,
	    INT64_MAX },
	{ { 0x88, 0x82, 1, 2, 3, 4 }, 6, 2 },
	{ { 0x89, 0xfd, 1, 2, 3, 4 }, 6, 125 },
	{ { 0x8a, 0x80, 1, 2, 3, 4 }, 6, 0 },
};

START_TEST(head_is_accepted_and_may_be_split_anywhere)
{
	const uint8_t *p = accepted[_i].head;
	size_t i, n = accepted[_i].n;

	for (i = 0; i < n; i++)
		ck_assert_int_eq(parse(p, i, UINT64_MAX, false), 0);
	ck_assert_int_eq(parse(p, n, UINT64_MAX, false), n);
	ck_assert_uint_eq(f.len, accepted[_i].len);
	ck_assert_uint_eq(f.head, n);
	ck_assert_uint_eq(f.opcode, p[0] & 15);
	ck_assert_mem_eq(f.mask, "\1\2\3\4", 4);
}
END_TEST

static const struct {
	uint8_t head[14];
	size_t n;		/* the first so many bytes must be enough to refuse */
	bool deflate_ok;
	enum ws_why why;
	unsigned code;
} refused[] = {
	{ { 0x91 }, 1, true, WS_WHY_RSV, 1002 },
	{ { 0xa1 }, 1, true, WS_WHY_RSV, 1002 },
	{ { 0xc1 }, 1, false, WS_WHY_RSV, 1002 },
	{ { 0xc0 }, 1, true, WS_WHY_RSV, 1002 },
	{ { 0xc9 }, 1, true, WS_WHY_RSV, 1002 },
	{ { 0x83 }, 1, false, WS_WHY_OPCODE, 1002 },
	{ { 0x87 }, 1, false, WS_WHY_OPCODE, 1002 },
	{ { 0x8b }, 1, false, WS_WHY_OPCODE, 1002 },
	{ { 0x8f }, 1, false, WS_WHY_OPCODE, 1002 },
	{ { 0x08 }, 1, false, WS_WHY_CONTROL_FRAGMENTED, 1002 },
	{ { 0x09 }, 1, false, WS_WHY_CONTROL_FRAGMENTED, 1002 },
	{ { 0x0a }, 1, false, WS_WHY_CONTROL_FRAGMENTED, 1002 },
	{ { 0x81, 0x00 }, 2, false, WS_WHY_UNMASKED, 1002 },
	{ { 0x81, 0x7f }, 2, false, WS_WHY_UNMASKED, 1002 },
	{ { 0x88, 0xfe }, 2, false, WS_WHY_CONTROL_LONG, 1002 },
	{ { 0x89, 0xff }, 2, false, WS_WHY_CONTROL_LONG, 1002 },
	{ { 0x82, 0xfe, 0, 125 }, 4, false, WS_WHY_LENGTH_FORM, 1002 },
	{ { 0x82, 0xfe, 0, 0 }, 4, false, WS_WHY_LENGTH_FORM, 1002 },
	{ { 0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 10, false, WS_WHY_LENGTH_FORM, 1002 },
	{ { 0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0 }, 10, false, WS_WHY_LENGTH_SIGN, 1002 },
	{ { 0x82, 0xfe, 0x10, 0x01 }, 4, false, WS_WHY_TOO_BIG, 1009 },
	{ { 0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0 }, 10, false, WS_WHY_TOO_BIG, 1009 },
	{ { 0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 10, false,
	    WS_WHY_TOO_BIG, 1009 },
};

START_TEST(head_is_refused_with_the_first_byte_that_shows_it)
{
	const uint8_t *p = refused[_i].head;

	ck_assert_int_eq(parse(p, refused[_i].n - 1, 4096, refused[_i].deflate_ok), 0);
	ck_assert_int_eq(parse(p, refused[_i].n, 4096, refused[_i].deflate_ok), -1);
	ck_assert_msg(why == refused[_i].why, "%s", ws_why_name(why));
	ck_assert_uint_eq(ws_why_code(why), refused[_i].code);
}
END_TEST

START_TEST(limit_counts_the_payload_and_spares_control_frames)
{
	static const uint8_t text[] = { 0x81, 0xfe, 0x10, 0x00, 1, 2, 3, 4 };
	static const uint8_t ping[] = { 0x89, 0xfd, 1, 2, 3, 4 };

	ck_assert_int_eq(parse(text, sizeof text, 4096, false), 8);
	ck_assert_int_eq(parse(text, sizeof text, 4095, false), -1);
	ck_assert_int_eq(parse(ping, sizeof ping, 10, false), 6);
}
END_TEST

START_TEST(compressed_frame_needs_the_agreement)
{
	static const uint8_t text[] = { 0xc1, 0x80, 1, 2, 3, 4 };
	static const uint8_t part[] = { 0x42, 0x80, 1, 2, 3, 4 };

	ck_assert_int_eq(parse(text, sizeof text, 10, true), 6);
	ck_assert(f.rsv1 && f.fin);
	ck_assert_int_eq(parse(part, sizeof part, 10, true), 6);
	ck_assert(f.rsv1 && !f.fin);
}
END_TEST

START_TEST(mask_is_taken_off_at_every_length_and_alignment)
{
	static const uint8_t mask[4] = { 0xde, 0xad, 0xbe, 0xef };
	uint8_t src[64], kept[64], dst[64];
	size_t n, shift, i;

	for (i = 0; i < sizeof src; i++)
		src[i] = (uint8_t)(i * 37 + 11);
	memcpy(kept, src, sizeof src);
	for (shift = 0; shift < 8; shift++) {
		for (n = 0; n + shift <= 40; n++) {
			memset(dst, 0x55, sizeof dst);
			ws_unmask(dst + 8, src + shift, n, mask);
			for (i = 0; i < n; i++)
				ck_assert_uint_eq(dst[8 + i], src[shift + i] ^ mask[i % 4]);
			ck_assert_uint_eq(dst[7], 0x55);
			ck_assert_uint_eq(dst[8 + n], 0x55);
		}
	}
	ck_assert_mem_eq(src, kept, sizeof src);
}
END_TEST

START_TEST(server_head_has_the_shortest_length)
{
	static const struct {
		uint64_t len;
		size_t head;
		uint8_t bytes[10];
	} want[] = {
		{ 0, 2, { 0x81, 0 } },
		{ 125, 2, { 0x81, 125 } },
		{ 126, 4, { 0x81, 126, 0, 126 } },
		{ 65535, 4, { 0x81, 126, 0xff, 0xff } },
		{ 65536, 10, { 0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0 } },
		{ UINT64_C(0x0102030405060708), 10, { 0x81, 127, 1, 2, 3, 4, 5, 6, 7, 8 } },
	};
	uint8_t out[WS_HEAD_MAX];
	size_t i;

	for (i = 0; i < COUNT(want); i++) {
		ck_assert_uint_eq(ws_frame_head(out, WS_TEXT, true, false, want[i].len),
		    want[i].head);
		ck_assert_mem_eq(out, want[i].bytes, want[i].head);
	}
	ck_assert_uint_eq(ws_frame_head(out, WS_BINARY, false, true, 1), 2);
	ck_assert_uint_eq(out[0], 0x42);
	ck_assert_uint_eq(ws_frame_head(out, WS_CLOSE, true, false, 2), 2);
	ck_assert_uint_eq(out[0], 0x88);
}
END_TEST

START_TEST(close_codes_a_peer_may_send)
{
	unsigned code;
	bool want;

	for (code = 0; code <= UINT16_MAX; code++) {
		want = (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
		    (code >= 3000 && code < 5000);
		ck_assert_msg(ws_close_code_valid((uint16_t)code) == want, "%u", code);
	}
	ck_assert_str_eq(ws_close_code_name(WS_CLOSE_POLICY), "policy violation");
	ck_assert_str_eq(ws_close_code_name(4001), "private use");
	ck_assert_str_eq(ws_close_code_name(2000), "unknown");
	ck_assert_str_eq(ws_opcode_name(WS_PING), "ping");
	ck_assert_str_eq(ws_opcode_name(3), "reserved");
}
END_TEST

START_TEST(accept_key_of_the_rfc)
{
	static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
	char out[WS_ACCEPT_SIZE];
	int i;

	for (i = 0; i < 2; i++) {
		memset(out, 'x', sizeof out);
		ws_accept_key(key, strlen(key), out);
		ck_assert_str_eq(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	}
}
END_TEST

START_TEST(key_must_be_base64_of_sixteen_bytes)
{
	ck_assert(ws_key_valid("dGhlIHNhbXBsZSBub25jZQ==", 24));
	ck_assert(ws_key_valid("++//++//++//++//++//AA==", 24));
	ck_assert(!ws_key_valid("dGhlIHNhbXBsZSBub25jZQ==", 23));
	ck_assert(!ws_key_valid("dGhlIHNhbXBsZSBub25jZQ===", 25));
	ck_assert(!ws_key_valid("dGhlIHNhbXBsZSBub25jZQA=", 24));
	ck_assert(!ws_key_valid("dGhlIHNhbXBsZSBub25jZ===", 24));
	ck_assert(!ws_key_valid("dGhlIHNhbXBsZSBub25j-Q==", 24));
	ck_assert(!ws_key_valid("", 0));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("worker/wsframe");
	TCase *tc = tcase_create("frames");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_test(tc, masked_text_of_the_rfc_is_read);
	tcase_add_loop_test(tc, head_is_accepted_and_may_be_split_anywhere, 0,
	    (int)COUNT(accepted));
	tcase_add_loop_test(tc, head_is_refused_with_the_first_byte_that_shows_it, 0,
	    (int)COUNT(refused));
	tcase_add_test(tc, limit_counts_the_payload_and_spares_control_frames);
	tcase_add_test(tc, compressed_frame_needs_the_agreement);
	tcase_add_test(tc, mask_is_taken_off_at_every_length_and_alignment);
	tcase_add_test(tc, server_head_has_the_shortest_length);
	tcase_add_test(tc, close_codes_a_peer_may_send);
	tcase_add_test(tc, accept_key_of_the_rfc);
	tcase_add_test(tc, key_must_be_base64_of_sixteen_bytes);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
