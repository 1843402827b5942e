/* JSON: what the grammar allows and what it does not, wanted members, strings, numbers. */
#include "worker/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct json_value v;
static enum json_why why;

/* Scans a copy without a byte to spare; v.p then points into text. */
static int
scan_n(const char *text, size_t n, unsigned depth)
{
	char *copy = malloc(n > 0 ? n : 1);
	int rc;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, n);
	rc = json_scan_value(copy, n, depth, &v, &why);
	if (rc == 1)
		v.p = text + (v.p - copy);
	free(copy);
	return rc;
}

static int
scan(const char *text)
{
	return scan_n(text, strlen(text), 32);
}

static void
expect_text(const struct json_value *got, const char *want)
{
	ck_assert_msg(got->n == strlen(want) && memcmp(got->p, want, got->n) == 0,
	    "got '%.*s', want '%s'", (int)got->n, got->p, want);
}

static const struct {
	const char *text;
	enum json_type type;
} accepted[] = {
	{ "null", JSON_NULL }, { "true", JSON_BOOL }, { " false\n", JSON_BOOL },
	{ "0", JSON_NUMBER }, { "-0", JSON_NUMBER }, { "10", JSON_NUMBER }, { "-1.5", JSON_NUMBER },
	{ "1e5", JSON_NUMBER }, { "1E+5", JSON_NUMBER }, { "0e-0", JSON_NUMBER },
	{ "0.0e1", JSON_NUMBER }, { "1e400", JSON_NUMBER },
	{ "123456789012345678901234567890", JSON_NUMBER },
	{ "\"\"", JSON_STRING }, { "\"a\"", JSON_STRING }, { "\"\x7f\"", JSON_STRING },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uFFFF\"", JSON_STRING },
	{ "\"\\ud800\"", JSON_STRING }, { "\"\\u0000\"", JSON_STRING },
	{ "\"a long string with \\\" in it and 'more' behind\"", JSON_STRING },
	{ "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", JSON_STRING },
	{ "[]", JSON_ARRAY }, { "[ ]", JSON_ARRAY }, { "[1]", JSON_ARRAY },
	{ "[1,2 , 3]", JSON_ARRAY }, { "[[],[[]],{}]", JSON_ARRAY },
	{ "[null,1,\"1\",{}]", JSON_ARRAY },
	{ "{}", JSON_OBJECT }, { "{ }", JSON_OBJECT }, { "{\"\":0}", JSON_OBJECT },
	{ "{\"a\":1,\"a\":2}", JSON_OBJECT }, { "{\"a\":{\"b\":[{\"c\":[]}]}}", JSON_OBJECT },
	{ "\t\r\n { \"a\" : [ 1 , { } ] , \"b\" : null } \t", JSON_OBJECT },
};

START_TEST(text_is_accepted)
{
	const char *text = accepted[_i].text;
	size_t end, i;

	ck_assert_msg(scan(text) == 1, "%s: %s", text, json_why_name(why));
	ck_assert_str_eq(json_type_name(v.type), json_type_name(accepted[_i].type));
	end = (size_t)(v.p - text) + v.n;
	ck_assert_uint_eq(strspn(text + end, " \t\r\n"), strlen(text + end));
	/* No beginning of a text is a text by itself, but for numbers. */
	for (i = 0; i < end && accepted[_i].type != JSON_NUMBER; i++)
		ck_assert_msg(scan_n(text, i, 32) == -1, "%.*s", (int)i, text);
}
END_TEST

static const struct {
	const char *text;
	enum json_why why;
} refused[] = {
	{ "", JSON_WHY_EMPTY }, { " \n", JSON_WHY_EMPTY },
	{ "nul", JSON_WHY_LITERAL }, { "nulL", JSON_WHY_LITERAL }, { "True", JSON_WHY_VALUE },
	{ "NaN", JSON_WHY_VALUE }, { "Infinity", JSON_WHY_VALUE }, { "-Infinity", JSON_WHY_NUMBER },
	{ "truee", JSON_WHY_TRAILING }, { "\xef\xbb\xbf{}", JSON_WHY_VALUE },
	{ "01", JSON_WHY_NUMBER }, { "-01", JSON_WHY_NUMBER }, { "-", JSON_WHY_NUMBER },
	{ "+1", JSON_WHY_VALUE }, { ".5", JSON_WHY_VALUE }, { "1.", JSON_WHY_NUMBER },
	{ "1.e5", JSON_WHY_NUMBER }, { "1e", JSON_WHY_NUMBER }, { "1e+", JSON_WHY_NUMBER },
	{ "0x1", JSON_WHY_TRAILING }, { "1 2", JSON_WHY_TRAILING }, { "1a", JSON_WHY_TRAILING },
	{ "--1", JSON_WHY_NUMBER }, { "1.5.5", JSON_WHY_TRAILING }, { "1e5.5", JSON_WHY_TRAILING },
	{ "\"", JSON_WHY_TRUNCATED }, { "\"a", JSON_WHY_TRUNCATED }, { "'a'", JSON_WHY_VALUE },
	{ "\"\\", JSON_WHY_TRUNCATED }, { "\"\\\"", JSON_WHY_TRUNCATED },
	{ "\"\\a\"", JSON_WHY_ESCAPE }, { "\"\\x41\"", JSON_WHY_ESCAPE },
	{ "\"\\U0041\"", JSON_WHY_ESCAPE }, { "\"\\u004g\"", JSON_WHY_ESCAPE },
	{ "\"\\u004", JSON_WHY_TRUNCATED }, { "\"\\u004\"", JSON_WHY_ESCAPE },
	{ "\"\n\"", JSON_WHY_CONTROL }, { "\"1234567\t90\"", JSON_WHY_CONTROL },
	{ "\"\x1f\"", JSON_WHY_CONTROL }, { "\"12345678\x01\"", JSON_WHY_CONTROL },
	{ "[", JSON_WHY_TRUNCATED }, { "]", JSON_WHY_VALUE }, { "[1", JSON_WHY_TRUNCATED },
	{ "[1,", JSON_WHY_TRUNCATED }, { "[1,]", JSON_WHY_VALUE }, { "[,1]", JSON_WHY_VALUE },
	{ "[1 2]", JSON_WHY_COMMA }, { "[1}", JSON_WHY_COMMA }, { "[1]]", JSON_WHY_TRAILING },
	{ "[1:2]", JSON_WHY_COMMA }, { "[1;2]", JSON_WHY_COMMA }, { "[,]", JSON_WHY_VALUE },
	{ "{", JSON_WHY_TRUNCATED }, { "}", JSON_WHY_VALUE }, { "{]", JSON_WHY_KEY },
	{ "{a:1}", JSON_WHY_KEY }, { "{1:1}", JSON_WHY_KEY }, { "{null:1}", JSON_WHY_KEY },
	{ "{'a':1}", JSON_WHY_KEY }, { "{\"a\"}", JSON_WHY_COLON }, { "{\"a\",1}", JSON_WHY_COLON },
	{ "{\"a\":}", JSON_WHY_VALUE }, { "{\"a\":1,}", JSON_WHY_KEY },
	{ "{\"a\":1", JSON_WHY_TRUNCATED }, { "{\"a\":1]", JSON_WHY_COMMA },
	{ "{\"a\":1 \"b\":2}", JSON_WHY_COMMA }, { "{,}", JSON_WHY_KEY },
	{ "{\"a\"", JSON_WHY_TRUNCATED }, { "{\"a\":", JSON_WHY_TRUNCATED },
	{ "{\"a\":1,,\"b\":2}", JSON_WHY_KEY }, { "{}{}", JSON_WHY_TRAILING },
	{ "{\"a\":[1,{\"b\":2]}", JSON_WHY_COMMA }, { "/**/1", JSON_WHY_VALUE },
	{ "1//", JSON_WHY_TRAILING }, { "\f1", JSON_WHY_VALUE }, { "1\v", JSON_WHY_TRAILING },
	{ "[1\xc2\xa0]", JSON_WHY_COMMA },
};

START_TEST(text_is_refused)
{
	const char *text = refused[_i].text;
	struct json_member none[] = { { .name = NULL } };

	ck_assert_msg(scan(text) == -1, "accepted: %s", text);
	ck_assert_msg(why == refused[_i].why, "%s: %s", text, json_why_name(why));
	/* The walk over the outermost object has a loop of its own: it must see the same. */
	ck_assert_int_eq(json_scan_object(text, strlen(text), 32, none, &why), -1);
	ck_assert_msg(why == refused[_i].why, "%s: %s", text, json_why_name(why));
}
END_TEST

START_TEST(zero_byte_is_refused_outside_and_inside_of_strings)
{
	ck_assert_int_eq(scan_n("1\0", 2, 1), -1);
	ck_assert_int_eq(why, JSON_WHY_TRAILING);
	ck_assert_int_eq(scan_n("\0", 1, 1), -1);
	ck_assert_int_eq(scan_n("\"a\0b\"", 5, 1), -1);
	ck_assert_int_eq(why, JSON_WHY_CONTROL);
	ck_assert_int_eq(scan_n("[1,\0 2]", 7, 1), -1);
}
END_TEST

START_TEST(special_byte_in_a_string_is_found_at_every_position)
{
	char text[40];
	unsigned c, i;

	for (c = 0; c < 256; c++) {
		for (i = 1; i < sizeof text - 1; i++) {
			memset(text, 'x', sizeof text);
			text[0] = text[sizeof text - 1] = '"';
			text[i] = (char)c;
			ck_assert_int_eq(scan_n(text, sizeof text, 0),
			    c < 0x20 || c == '"' || c == '\\' ? -1 : 1);
		}
	}
}
END_TEST

START_TEST(depth_is_bounded)
{
	char text[2 * JSON_DEPTH_LIMIT + 2];
	struct json_member none[] = { { .name = NULL } };

	ck_assert_int_eq(scan_n("1", 1, 0), 1);
	ck_assert_int_eq(scan_n("[]", 2, 0), -1);
	ck_assert_int_eq(why, JSON_WHY_DEPTH);
	ck_assert_int_eq(scan_n("[{}]", 4, 2), 1);
	ck_assert_int_eq(scan_n("[{}]", 4, 1), -1);
	ck_assert_int_eq(why, JSON_WHY_DEPTH);
	/* Siblings do not add up. */
	ck_assert_int_eq(scan_n("[[],[],[]]", 10, 2), 1);
	memset(text, '[', JSON_DEPTH_LIMIT);
	memset(text + JSON_DEPTH_LIMIT, ']', JSON_DEPTH_LIMIT);
	ck_assert_int_eq(scan_n(text, 2 * JSON_DEPTH_LIMIT, JSON_DEPTH_LIMIT), 1);
	ck_assert_int_eq(scan_n(text, 2 * JSON_DEPTH_LIMIT, JSON_DEPTH_LIMIT - 1), -1);
	ck_assert_int_eq(json_scan_object("{}", 2, 0, none, &why), -1);
	ck_assert_int_eq(why, JSON_WHY_DEPTH);
	ck_assert_int_eq(json_scan_object("{\"a\":[]}", 8, 1, none, &why), -1);
	ck_assert_int_eq(why, JSON_WHY_DEPTH);
	ck_assert_int_eq(json_scan_object("{\"a\":[]}", 8, 2, none, &why), 1);
}
END_TEST

START_TEST(mixed_nesting_is_remembered_beyond_one_word)
{
	char text[2048];
	size_t n = 0, i;

	/* 200 levels, every third an object, closed in the right order, then in a wrong one. */
	for (i = 0; i < 200; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, i % 3 == 0 ? "{\"k\":" : "[");
	text[n++] = '0';
	for (i = 200; i-- > 0;)
		text[n++] = i % 3 == 0 ? '}' : ']';
	ck_assert_int_eq(scan_n(text, n, 200), 1);
	for (i = n - 200; i < n; i++) {
		text[i] ^= '}' ^ ']';
		ck_assert_int_eq(scan_n(text, n, 200), -1);
		text[i] ^= '}' ^ ']';
	}
}
END_TEST

static struct json_member want[] = {
	{ .name = "type" }, { .name = "id" }, { .name = "data" }, { .name = "" }, { .name = NULL },
};

static int
scan_object(const char *text)
{
	return json_scan_object(text, strlen(text), 32, want, &why);
}

START_TEST(wanted_members_are_found_at_the_top_only)
{
	ck_assert_int_eq(scan_object(" {\"x\":{\"id\":1,\"id\":2}, \"type\" : \"pub\" ,"
	    "\"data\":[{\"type\":1}, 2 ]  ,\"typ\":0,\"types\":0} "), 1);
	ck_assert(want[0].seen && !want[1].seen && want[2].seen && !want[3].seen);
	expect_text(&want[0].v, "\"pub\"");
	ck_assert_int_eq(want[0].v.type, JSON_STRING);
	expect_text(&want[2].v, "[{\"type\":1}, 2 ]");
	ck_assert_int_eq(want[2].v.type, JSON_ARRAY);
	ck_assert_int_eq(scan_object("{\"\":null}"), 1);
	ck_assert(!want[0].seen && want[3].seen);
	ck_assert_int_eq(want[3].v.type, JSON_NULL);
}
END_TEST

START_TEST(escaped_name_is_the_same_name)
{
	ck_assert_int_eq(scan_object("{\"ty\\u0070e\":1,\"\\u0069\\u0064\":-2.5}"), 1);
	ck_assert(want[0].seen && want[1].seen);
	expect_text(&want[1].v, "-2.5");
	ck_assert_int_eq(scan_object("{\"type\\u0000\":1,\"\\ud800id\":2}"), 1);
	ck_assert(!want[0].seen && !want[1].seen);
}
END_TEST

START_TEST(wanted_name_twice_is_refused)
{
	ck_assert_int_eq(scan_object("{\"id\":1,\"id\":1}"), -1);
	ck_assert_int_eq(why, JSON_WHY_DUPLICATE);
	ck_assert_int_eq(scan_object("{\"id\":1,\"i\\u0064\":1}"), -1);
	ck_assert_int_eq(why, JSON_WHY_DUPLICATE);
	ck_assert_int_eq(scan_object("{\"other\":1,\"other\":1}"), 1);
}
END_TEST

START_TEST(valid_text_that_is_no_object_is_told_apart)
{
	ck_assert_int_eq(scan_object("[1]"), -1);
	ck_assert_int_eq(why, JSON_WHY_NOT_OBJECT);
	ck_assert_int_eq(scan_object("[1"), -1);
	ck_assert_int_eq(why, JSON_WHY_TRUNCATED);
	ck_assert_int_eq(scan_object("  "), -1);
	ck_assert_int_eq(why, JSON_WHY_EMPTY);
}
END_TEST

START_TEST(lists_are_walked)
{
	struct json_value name, item;
	size_t at = 0;

	ck_assert_int_eq(scan(" [ 1 ,\"a\", [2,3] ] "), 1);
	ck_assert(json_next(&v, &at, NULL, &item));
	expect_text(&item, "1");
	ck_assert(json_next(&v, &at, NULL, &item));
	expect_text(&item, "\"a\"");
	ck_assert(json_next(&v, &at, NULL, &item));
	expect_text(&item, "[2,3]");
	ck_assert(!json_next(&v, &at, NULL, &item));
	at = 0;
	ck_assert_int_eq(scan("{\"a\":1, \"b\\n\":{} }"), 1);
	ck_assert(json_next(&v, &at, &name, &item));
	ck_assert(json_string_is(&name, "a"));
	ck_assert(json_next(&v, &at, &name, &item));
	ck_assert(json_string_is(&name, "b\n"));
	ck_assert(!json_string_is(&name, "b"));
	expect_text(&item, "{}");
	ck_assert(!json_next(&v, &at, &name, &item));
	at = 0;
	ck_assert_int_eq(scan("[ ]"), 1);
	ck_assert(!json_next(&v, &at, NULL, &item));
	ck_assert_int_eq(scan("{}"), 1);
	ck_assert(!json_next(&v, &at, &name, &item));
	ck_assert_int_eq(scan("\"no list\""), 1);
	ck_assert(!json_next(&v, &at, NULL, &item));
}
END_TEST

static const struct {
	const char *text, *want;	/* NULL: cannot be decoded */
} strings[] = {
	{ "\"\"", "" }, { "\"plain\"", "plain" },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
	{ "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00!\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!" },
	{ "\"\\uD800\\uDC00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
	{ "\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
	    "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf" },
	{ "\"\\u0000\"", NULL }, { "\"\\ud800\"", NULL }, { "\"\\udc00\"", NULL },
	{ "\"\\ud800x\"", NULL }, { "\"\\ud800\\n\"", NULL }, { "\"\\ud800\\u0041\"", NULL },
	{ "\"\\ud800\\ud800\"", NULL }, { "\"\\udc00\\ud800\"", NULL },
	{ "\"\\udc00\\udc00\"", NULL }, { "\"\\ud800\\ue000\"", NULL },
	{ "\"\\ud800\\\\u\"", NULL },
	{ "17", NULL }, { "[\"a\"]", NULL },
};

START_TEST(string_is_decoded)
{
	char out[32];
	size_t n;

	ck_assert_int_eq(scan(strings[_i].text), 1);
	if (strings[_i].want == NULL) {
		ck_assert_int_eq(json_string_decode(&v, out, sizeof out), -1);
		return;
	}
	n = strlen(strings[_i].want);
	ck_assert_int_eq(json_string_decode(&v, out, sizeof out), n);
	ck_assert_mem_eq(out, strings[_i].want, n);
	ck_assert_int_eq(json_string_decode(&v, out, n), n);
	if (n > 0)
		ck_assert_int_eq(json_string_decode(&v, out, n - 1), -1);
	ck_assert(json_string_is(&v, strings[_i].want));
}
END_TEST

START_TEST(string_is_encoded_only_if_it_fits)
{
	static const char text[] = "a\"b\\c\b\f\n\r\t\x01\x1f/\x7f\xc3\xa9";
	static const char coded[] =
	    "\"a\\\"b\\\\c\\b\\f\\n\\r\\t\\u0001\\u001f/\x7f\xc3\xa9\"";
	size_t n = sizeof coded - 1;
	char out[64];

	memset(out, 'x', sizeof out);
	ck_assert_uint_eq(json_string_encode(out, n - 1, text, sizeof text - 1), n);
	ck_assert_int_eq(out[0], 'x');
	ck_assert_uint_eq(json_string_encode(out, n, text, sizeof text - 1), n);
	ck_assert_mem_eq(out, coded, n);
	ck_assert_int_eq(out[n], 'x');
	ck_assert_uint_eq(json_string_encode(out, 2, "", 0), 2);
	ck_assert_mem_eq(out, "\"\"", 2);
	ck_assert_uint_eq(json_string_encode(NULL, 0, "0123456789\n", 11), 14);
}
END_TEST

START_TEST(every_byte_survives_encoding_and_decoding)
{
	char text[300], coded[2048], back[300];
	size_t i, n;

	for (i = 0; i < sizeof text; i++)
		text[i] = (char)(i % 255 + 1);
	n = json_string_encode(coded, sizeof coded, text, sizeof text);
	ck_assert_uint_le(n, sizeof coded);
	ck_assert_int_eq(scan_n(coded, n, 0), 1);
	ck_assert_int_eq(json_string_decode(&v, back, sizeof back), sizeof text);
	ck_assert_mem_eq(back, text, sizeof text);
}
END_TEST

static const struct {
	const char *text;
	bool is_u, is_i;
	uint64_t u;
	int64_t i;
} numbers[] = {
	{ "0", true, true, 0, 0 },
	{ "-0", false, true, 0, 0 },
	{ "42", true, true, 42, 42 },
	{ "-42", false, true, 0, -42 },
	{ "9007199254740993", true, true, 9007199254740993, 9007199254740993 },
	{ "9223372036854775807", true, true, INT64_MAX, INT64_MAX },
	{ "9223372036854775808", true, false, UINT64_C(9223372036854775808), 0 },
	{ "-9223372036854775808", false, true, 0, INT64_MIN },
	{ "-9223372036854775809", false, false, 0, 0 },
	{ "18446744073709551615", true, false, UINT64_MAX, 0 },
	{ "18446744073709551616", false, false, 0, 0 },
	{ "99999999999999999999999", false, false, 0, 0 },
	{ "1.0", false, false, 0, 0 }, { "1e2", false, false, 0, 0 },
	{ "\"1\"", false, false, 0, 0 }, { "true", false, false, 0, 0 },
};

START_TEST(number_is_converted_exactly_or_not_at_all)
{
	uint64_t u = 7;
	int64_t i = 7;

	ck_assert_int_eq(scan(numbers[_i].text), 1);
	ck_assert_int_eq(json_uint64(&v, &u), numbers[_i].is_u);
	ck_assert_uint_eq(u, numbers[_i].is_u ? numbers[_i].u : 7);
	ck_assert_int_eq(json_int64(&v, &i), numbers[_i].is_i);
	ck_assert_int_eq(i, numbers[_i].is_i ? numbers[_i].i : 7);
}
END_TEST

START_TEST(boolean_is_converted)
{
	bool b = false;

	ck_assert_int_eq(scan("true"), 1);
	ck_assert(json_bool(&v, &b) && b);
	ck_assert_int_eq(scan("false"), 1);
	ck_assert(json_bool(&v, &b) && !b);
	ck_assert_int_eq(scan("null"), 1);
	ck_assert(!json_bool(&v, &b));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("worker/json");
	TCase *tc = tcase_create("json");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_loop_test(tc, text_is_accepted, 0, (int)COUNT(accepted));
	tcase_add_loop_test(tc, text_is_refused, 0, (int)COUNT(refused));
	tcase_add_test(tc, zero_byte_is_refused_outside_and_inside_of_strings);
	tcase_add_test(tc, special_byte_in_a_string_is_found_at_every_position);
	tcase_add_test(tc, depth_is_bounded);
	tcase_add_test(tc, mixed_nesting_is_remembered_beyond_one_word);
	tcase_add_test(tc, wanted_members_are_found_at_the_top_only);
	tcase_add_test(tc, escaped_name_is_the_same_name);
	tcase_add_test(tc, wanted_name_twice_is_refused);
	tcase_add_test(tc, valid_text_that_is_no_object_is_told_apart);
	tcase_add_test(tc, lists_are_walked);
	tcase_add_loop_test(tc, string_is_decoded, 0, (int)COUNT(strings));
	tcase_add_test(tc, string_is_encoded_only_if_it_fits);
	tcase_add_test(tc, every_byte_survives_encoding_and_decoding);
	tcase_add_loop_test(tc, number_is_converted_exactly_or_not_at_all, 0,
	    (int)COUNT(numbers));
	tcase_add_test(tc, boolean_is_converted);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
