/*
 * The JSON scanner and UTF-8. The scan of an object and the scan of any value have loops of
 * their own and must agree; what is accepted must survive being walked, decoded and encoded
 * again.
 */
#include "worker/json.h"
#include "worker/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_string(const struct json_value *v)
{
	char *text = malloc(v->n), *coded = malloc(6 * v->n + 2), *back = malloc(v->n);
	struct json_value again;
	enum json_why why;
	ssize_t n;
	size_t need;

	assert(text != NULL && coded != NULL && back != NULL);
	n = json_string_decode(v, text, v->n);
	assert(n <= (ssize_t)v->n - 2);
	if (n >= 0) {
		if (utf8_valid((const uint8_t *)v->p, v->n))
			assert(utf8_valid((const uint8_t *)text, (size_t)n));
		need = json_string_encode(coded, 6 * v->n + 2, text, (size_t)n);
		assert(need <= 6 * v->n + 2);
		assert(json_scan_value(coded, need, 0, &again, &why) == 1);
		assert(again.n == need && json_string_decode(&again, back, v->n) == n);
		assert(memcmp(text, back, (size_t)n) == 0);
	}
	free(text);
	free(coded);
	free(back);
}

static void
check_value(const struct json_value *v, const char *p, size_t n)
{
	struct json_value name, item;
	size_t at = 0, count = 0;
	uint64_t u;
	int64_t i;

	assert(v->p >= p && v->n > 0 && v->n <= n - (size_t)(v->p - p));
	if (v->type == JSON_STRING)
		check_string(v);
	if (json_uint64(v, &u) && json_int64(v, &i))
		assert((uint64_t)i == u);
	while (json_next(v, &at, &name, &item)) {
		assert(item.p > v->p && item.p + item.n < v->p + v->n);
		if (v->type == JSON_OBJECT)
			check_string(&name);
		assert(++count <= v->n);
	}
}

static void
check_utf8(const uint8_t *p, size_t n)
{
	struct utf8_state st = { 0, 0, 0 };
	bool ok = true;
	size_t i;

	for (i = 0; i < n && ok; i++)
		ok = utf8_feed(&st, p + i, 1);
	assert((ok && utf8_done(&st)) == utf8_valid(p, n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_member want[] = { { .name = "type" }, { .name = "id" }, { .name = NULL } };
	struct json_value v;
	enum json_why why, object_why;
	int rc, object;
	char *p = malloc(size > 0 ? size : 1);

	assert(p != NULL);
	memcpy(p, data, size);
	rc = json_scan_value(p, size, DEPTH, &v, &why);
	assert((rc == 1) == (why == JSON_WHY_NONE));
	object = json_scan_object(p, size, DEPTH, want, &object_why);
	if (rc != 1)
		assert(object == -1);
	else if (object == -1)
		assert(object_why == (v.type == JSON_OBJECT ? JSON_WHY_DUPLICATE :
		    JSON_WHY_NOT_OBJECT));
	if (rc == 1)
		check_value(&v, p, size);
	if (object == 1 && want[0].seen)
		check_value(&want[0].v, p, size);
	check_utf8((const uint8_t *)p, size);
	free(p);
	return 0;
}
