/* libFuzzer on the rooms that read foreign bytes; -DTARGET=name picks one. Each
 * checks more than that nothing crashes: the same input, split anywhere, must
 * give the same output and verdict. Pieces are copied to memory of their exact
 * size, so that AddressSanitizer sees a step beyond. */
#include "../http.h"
#include "../json_fast.h"
#include "../keys.h"
#include "../lines.h"
#include "../request.h"
#include "../resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(x) ((x) ? (void)0 : (fprintf(stderr, "%s\n", #x), abort()))

static uint64_t digest;

/* FNV-1a over what a run put out, to compare two runs. */
static void put(const void *p, size_t n)
{
	const unsigned char *b = p;
	size_t i;

	for (i = 0; i < n; i++)
		digest = (digest ^ b[i]) * 1099511628211u;
	digest = (digest ^ n) * 1099511628211u;
}

static unsigned char *copy(const uint8_t *p, size_t n)
{
	unsigned char *to = malloc(n > 0 ? n : 1);

	CHECK(to != NULL);
	memcpy(to, p, n);
	return to;
}

/* The first piece's size comes from the data, the others follow. */
static size_t piece(size_t left, size_t step)
{
	return left < step ? left : step;
}

static void run_json(const uint8_t *p, size_t n, size_t step)
{
	static struct json_scan s;
	size_t at = 0, size, k;
	unsigned char *b;

	json_init(&s, "text");
	while (at < n && s.place != JSON_FAILED) {
		size = piece(n - at, step);
		b = copy(p + at, size);
		k = json_scan(&s, b, size);
		CHECK(k <= size && (k > 0 || s.place == JSON_FAILED));
		free(b);
		at += k;
	}
	put(&at, sizeof at);
	put(&s.place, sizeof s.place);
	put(&s.error, sizeof s.error);
	put(&s.found, sizeof s.found);
}

static void run_lines(const uint8_t *p, size_t n, size_t step)
{
	static struct lines l;
	struct line line;
	enum lines_event e;
	size_t at, size, used, from;
	unsigned char *b;

	lines_init(&l, "text");
	for (at = 0; at < n; at += size) {
		size = piece(n - at, step);
		b = copy(p + at, size);
		from = 0;
		do {
			e = lines_next(&l, b + from, size - from, &used, &line);
			from += used;
			if (e == LINES_MESSAGE) {
				CHECK(memchr(line.p, '\n', line.n) == NULL);
				put(line.p, line.n);
				put(&line.class, sizeof line.class);
			} else if (e != LINES_MORE) {
				put(&e, sizeof e);
			}
		} while (e != LINES_MORE);
		CHECK(from == size && !lines_pending(&l));
		free(b);
	}
}

static void run_http(const uint8_t *p, size_t n, size_t step)
{
	static struct http_head h;
	struct http_body body;
	struct http_data d;
	enum http_event e = HTTP_MORE;
	enum http_error error = HTTP_OK;
	bool in_body = false;
	size_t at = 0, size, used;
	unsigned char *b;

	http_head_init(&h);
	while (at < n && e != HTTP_ERROR && !(in_body && e == HTTP_DONE)) {
		size = piece(n - at, step);
		b = copy(p + at, size);
		if (in_body) {
			e = http_body_next(&body, b, size, &used, &d);
			error = d.error;
			if (e == HTTP_DATA) {
				size_t i;

				http_body_take(&body, d.n);
				used += d.n;
				for (i = 0; i < d.n; i++)
					put(d.p + i, 1);
			}
		} else {
			e = http_head_next(&h, b, size, &used, &error);
			in_body = e == HTTP_DONE;
			if (in_body)
				http_body_init(&body, &h);
			e = in_body ? HTTP_MORE : e;
		}
		CHECK(used <= size && (used > 0 || e != HTTP_MORE || in_body));
		free(b);
		at += used;
		if (used == 0)
			break;
	}
	put(&error, sizeof error);
	put(&in_body, sizeof in_body);
}

static void run_keys(const uint8_t *p, size_t n, size_t step)
{
	static struct keys k;
	char why[256];
	struct text t;
	unsigned char *b = copy(p, n);
	int i;

	(void)step;
	memset(&k, 0, sizeof k);
	text_init(&t, why, sizeof why);
	keys_parse(&k, (const char *)b, n, &t);
	keys_complete(&k, KEYS_OAUTH1, "FILE", &t);
	CHECK(!t.full);
	for (i = 0; i < KEYS; i++)
		CHECK(strlen(k.value[i]) < KEY_SIZE);
	free(b);
}

static void run_url(const uint8_t *p, size_t n, size_t step)
{
	static struct request r;
	char *s = malloc(n + 1);

	(void)step;
	CHECK(s != NULL);
	memcpy(s, p, n);
	s[n] = '\0';
	memset(&r.url, 0, sizeof r.url);
	if (request_url(&r, s) == NULL) {
		CHECK(r.url.host[0] != '\0' && r.url.port != 0);
		CHECK(strpbrk(r.url.base, " \r\n") == NULL);
		CHECK(strpbrk(r.url.query, " \r\n") == NULL);
		CHECK(request_build(&r, "0", 1));
	}
	free(s);
}

static void run_answer(const uint8_t *p, size_t n, size_t step)
{
	struct address list[ADDRESSES_MAX];
	size_t count, i;
	unsigned char *b = copy(p, n);
	enum resolve_result r = resolve_parse(b, n, list, &count);

	(void)step;
	CHECK((r == RESOLVE_OK) == (count > 0) && count <= ADDRESSES_MAX);
	for (i = 0; i < count; i++)
		CHECK(list[i].family == 4 || list[i].family == 6);
	CHECK(r != RESOLVE_MORE && r < RESOLVE_RESULTS);
	free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	size_t step = n > 0 ? 1 + p[n - 1] % 97 : 1;
	uint64_t whole;

	digest = 0;
	TARGET(p, n, n > 0 ? n : 1);
	whole = digest;
	digest = 0;
	TARGET(p, n, step);
	CHECK(digest == whole);
	return 0;
}
