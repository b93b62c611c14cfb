/* libFuzzer on all that reads foreign bytes; the environment's TARGET picks
 * one. Each checks more than that nothing crashes: the same input, split
 * anywhere, gives the same output and verdict, and independent judges agree
 * with it. Pieces lie against a page that cannot be touched, behind them or
 * before. */
#include "../keys.h"
#include "../proxy.h"
#include "../resolve.h"
#include "../roots.h"
#include "../session.h"
#include "fuzz_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHECK(x) ((x) ? (void)0 : (fprintf(stderr, "%s\n", #x), abort()))
#define PAGE 4096u
#define ARENA (1u << 20)

static uint64_t digest;
static unsigned char *arena;
static bool at_end; /* pieces end at the guard page, else begin behind one */

/* FNV-1a over what a run put out, to compare two runs. */
static void put(const void *p, size_t n)
{
	const unsigned char *b = p;
	size_t i;

	for (i = 0; i < n; i++)
		digest = (digest ^ b[i]) * 1099511628211u;
	digest = (digest ^ n) * 1099511628211u;
}

static unsigned char *place(const uint8_t *p, size_t n)
{
	unsigned char *to = arena + (at_end ? ARENA - n : 0);

	CHECK(n <= ARENA);
	memcpy(to, p, n);
	return to;
}

/* A part of the stream, and what may be read behind it; nothing may depend on
 * that. */
static unsigned char *place_line(const uint8_t *p, size_t n)
{
	static unsigned char behind;
	unsigned char *to = arena + (at_end ? ARENA - n - JSON_SLACK : 0);

	CHECK(n + JSON_SLACK <= ARENA);
	memcpy(to, p, n);
	memset(to + n, ++behind, JSON_SLACK);
	return to;
}

static size_t piece(size_t left, size_t step)
{
	return left < step ? left : step;
}

/* With nothing remembered, and then with all. */
static void run_json(const uint8_t *p, size_t n, size_t step)
{
	static struct json_scan s;
	static uint8_t text[ARENA];
	int rounds = step < n ? 2 : 1, judge = oracle_json(p, n);
	unsigned char *b;

	memcpy(text, p, n);
	text[n] = '\n';
	b = place_line(text, n + 1);
	json_init(&s, "text");
	for (; rounds > 0; rounds--) {
		json_begin(&s);
		do {
			json_scan(&s, b);
			CHECK(s.at <= n + 1);
			CHECK(s.place == JSON_FAILED || b[s.at - 1] == '\n');
		} while (s.place != JSON_FAILED && s.at <= n);
	}
	put(&s.at, sizeof s.at);
	put(&s.place, sizeof s.place);
	put(&s.error, sizeof s.error);
	put(&s.found, sizeof s.found);
	if (judge == ORACLE_REFUSES)
		CHECK(s.place != JSON_DONE);
	else if (judge != ORACLE_SILENT)
		CHECK(s.place == JSON_DONE && (int)json_class(&s) == judge);
}

/* A line as it stands: what is delivered must be what was sent. */
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
		b = place_line(p + at, size);
		from = 0;
		do {
			e = lines_next(&l, b + from, size - from, &used, &line);
			from += used;
			if (e == LINES_MESSAGE) {
				int judge = oracle_json(line.p, line.n);

				CHECK(memchr(line.p, '\n', line.n) == NULL);
				CHECK(judge == ORACLE_SILENT ||
				      judge == (int)line.class);
				put(line.p, line.n);
				put(&line.class, sizeof line.class);
			} else if (e == LINES_MALFORMED) {
				put(&line.size, sizeof line.size);
				put(&line.error, sizeof line.error);
				put(&line.offset, sizeof line.offset);
				put(line.p, line.n);
			} else if (e != LINES_MORE) {
				put(&e, sizeof e);
			}
		} while (e != LINES_MORE);
		CHECK(from == size && !lines_pending(&l));
	}
	while ((e = lines_end(&l, &line)) != LINES_MORE) {
		put(&e, sizeof e);
		put(&line.size, sizeof line.size);
		put(line.p, line.n);
		CHECK(e != LINES_MESSAGE ||
		      oracle_json(line.p, line.n) != ORACLE_REFUSES);
		CHECK(!lines_pending(&l) ||
		      lines_next(&l, arena, 0, &used, &line) == LINES_MORE);
	}
	put(&line.size, sizeof line.size);
}

static void run_head(const uint8_t *p, size_t n, size_t step)
{
	static struct http_head h;
	enum http_event e = HTTP_MORE;
	const char *error = NULL;
	size_t at = 0, size, used, from;
	unsigned char *b;
	int status;

	http_head_init(&h);
	while (at < n && e == HTTP_MORE) {
		size = piece(n - at, step);
		b = place(p + at, size);
		for (from = 0; from < size && e == HTTP_MORE; from += used) {
			e = http_head_next(&h, b + from, size - from, &used,
					   &error);
			CHECK(used > 0 && from + used <= size);
		}
		at += from;
	}
	put(&e, sizeof e);
	put(&error, sizeof error);
	if (e != HTTP_DONE)
		return;
	put(&at, sizeof at);
	put(&h.status, sizeof h.status);
	if (h.field[HTTP_LOCATION].n > 0)
		put(h.field[HTTP_LOCATION].p, h.field[HTTP_LOCATION].n);
	CHECK(h.status >= 200 && h.status <= 999);
	if (h.interim == 0 && oracle_head(p, at, &status))
		CHECK(status == h.status);
}

/* A chunked body. The judge is not asked about trailers, which it parses and we
 * pass over, nor where padding is tabs, which it does not know. */
static void run_body(const uint8_t *p, size_t n, size_t step)
{
	static unsigned char ours[ARENA], theirs[ARENA];
	struct http_head h = { .chunked = true };
	struct http_body body;
	struct http_data d;
	enum http_event e = HTTP_MORE;
	size_t at = 0, size, used, from, k = 0, other;
	unsigned char *b;

	http_body_init(&body, &h);
	d.error = NULL;
	while (at < n && (e == HTTP_MORE || e == HTTP_DATA)) {
		size = piece(n - at, step);
		b = place(p + at, size);
		from = 0;
		do {
			e = http_body_next(&body, b + from, size - from, &used,
					   &d);
			from += used;
			CHECK(from <= size);
			if (e == HTTP_DATA) {
				CHECK(d.n > 0 && d.p == b + from &&
				      d.n <= size - from);
				memcpy(ours + k, d.p, d.n);
				k += d.n;
				from += d.n;
				http_body_take(&body, d.n);
			}
		} while (e == HTTP_DATA);
		at += from;
	}
	put(ours, k);
	put(&d.error, sizeof d.error);
	put(&body.place, sizeof body.place);
	if (body.place != BODY_DONE)
		return;
	put(&at, sizeof at);
	if (body.line > 2 || memchr(p, '\t', at) != NULL)
		return; /* trailers: more than the last CRLF */
	CHECK(oracle_chunks(p, at, theirs, &other));
	CHECK(k == other && memcmp(ours, theirs, k) == 0);
}

/* All that follows TLS: one connection's response. The first byte picks a head,
 * so that the body is reached soon. */
static void run_session(const uint8_t *p, size_t n, size_t step)
{
	static const char *const heads[] = {
		"", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	};
	static struct session s;
	struct session_config config = { "text", 90000, 0, 0, false, NULL };
	static uint8_t in[ARENA];
	size_t at = 0, size, used, from;
	enum session_event e = SESSION_MORE;
	unsigned char *b;
	int which = n > 0 ? p[0] % 3 : 0;
	size_t head = strlen(heads[which]);

	if (n == 0)
		return;
	memcpy(in, heads[which], head);
	memcpy(in + head, p + 1, n - 1);
	n += head - 1;
	config.v2 = (p[0] & 0x40) != 0;
	memset(&s, 0, offsetof(struct session, lines));
	memset(&s.line, 0, sizeof s - offsetof(struct session, line));
	session_init(&s, &config, (struct moment){ 1000, 1700000000000 });
	CHECK(session_tick(&s, (struct moment){ 1000, 1700000001000 }) ==
	      SESSION_DIAL);
	session_connected(&s, (struct moment){ 1000, 1700000001000 });
	while (e != SESSION_ENDED) {
		size = piece(n - at, step);
		b = place_line(in + at, size);
		if (size == 0)
			session_end(&s, CAUSE_EOF);
		from = 0;
		do {
			e = session_next(&s,
					 (struct moment){ 2000, 1700000001000 },
					 b + from, size - from, &used);
			from += used;
			CHECK(from <= size);
			if (e == SESSION_MESSAGE || e == SESSION_BAD_LINE) {
				put(s.line.p, s.line.n);
				put(&s.line.class, e == SESSION_MESSAGE
						       ? sizeof s.line.class
						       : 0);
			}
		} while (e != SESSION_ENDED &&
			 (e != SESSION_MORE || used > 0 || s.ending));
		CHECK(e == SESSION_ENDED || from == size);
		at += from;
	}
	put(&s.cause, sizeof s.cause);
	put(&s.verdict, sizeof s.verdict);
	put(&s.wait, sizeof s.wait);
	put(&s.http_error, sizeof s.http_error);
	put(s.excerpt, s.excerpt_n);
	put(&s.stats, sizeof s.stats);
}

static void run_keys(const uint8_t *p, size_t n, size_t step)
{
	static struct keys k;
	char why[256];
	struct text t = text_in(why, sizeof why);
	static uint8_t copy[65536];
	unsigned char *b;
	int i;

	(void)step;
	if (n >= sizeof copy)
		return;
	memcpy(copy, p, n);
	copy[n] = '\0';
	b = place(copy, n + 1);
	memset(&k, 0, sizeof k);
	keys_parse(&k, (char *)b, n, &t);
	keys_complete(&k, KEYS_OAUTH1, "FILE", &t);
	CHECK(!t.full);
	for (i = 0; i < KEYS; i++) {
		CHECK(strlen(k.value[i]) < KEY_SIZE);
		put(k.value[i], strlen(k.value[i]));
	}
}

static void run_url(const uint8_t *p, size_t n, size_t step)
{
	static struct request r;
	char *s;

	(void)step;
	if (n == 0 || memchr(p, '\0', n) != NULL)
		return;
	s = (char *)place(p, n);
	s[n - 1] = '\0';
	memset(&r.url, 0, sizeof r.url);
	if (request_url(&r, s) == NULL) {
		CHECK(r.url.host[0] != '\0' && r.url.port != 0);
		CHECK(strpbrk(r.url.base, " \r\n") == NULL);
		CHECK(strpbrk(r.url.query, " \r\n") == NULL);
		CHECK(request_build(&r, "0", 1));
		put(r.head, r.head_n);
	}
}

/* A proxy's URL, a list of exceptions and an answer, each with its NUL. */
static void run_proxy(const uint8_t *p, size_t n, size_t step)
{
	static const struct http_url there = { .host = "a.b.c", .port = 443 };
	static struct proxy proxy;
	static struct secrets secrets;
	static struct http_head head;
	static char text[2][4096];
	enum proxy_answer answer = PROXY_MORE;
	char why[256];
	struct text t = text_in(why, sizeof why);
	size_t i, size;
	bool known;

	for (i = 0; i < 2; i++) {
		size = strnlen((const char *)p, n);
		memcpy(text[i], p, size);
		text[i][size] = '\0';
		p += size + (size < n);
		n -= size + (size < n);
	}
	memset(&proxy, 0, sizeof proxy);
	known = proxy_url(&proxy, text[0], &there, &secrets) == NULL;
	if (known) {
		CHECK(proxy.url.host[0] != '\0' && proxy.url.port != 0);
		CHECK(strstr(proxy.connect, "\r\n\r\n") ==
		      proxy.connect + proxy.connect_n - 4);
		put(proxy.connect, proxy.connect_n);
	}
	known = proxy_excepts(text[1], there.host);
	put(&known, sizeof known);
	http_head_init(&head);
	for (i = 0; i < n && answer == PROXY_MORE; i += size) {
		size = piece(n - i, step);
		answer =
		    proxy_next(&proxy, &head, place(p + i, size), size, &t);
	}
	/* bytes behind the head depend on how it is split, no more */
	answer = head.status / 100 == 2 ? PROXY_MORE : answer;
	put(&answer, sizeof answer);
	CHECK(!t.full);
}

static void run_answer(const uint8_t *p, size_t n, size_t step)
{
	struct address list[ADDRESSES_MAX];
	size_t count, i;
	struct resolve_answer a;
	struct resolve state = { 0 };
	enum resolve_result r;

	memset(&a, 0, sizeof a);
	memcpy(&a, p, n < sizeof a ? n : sizeof a);
	r = resolve_judge(&state, &a, n, list, &count);

	(void)step;
	CHECK((r == RESOLVE_OK) == (count > 0) && count <= ADDRESSES_MAX);
	for (i = 0; i < count; i++)
		CHECK(list[i].family == 4 || list[i].family == 6);
	CHECK((r == RESOLVE_MORE) == (n == sizeof a && a.number != 0));
	CHECK(r < RESOLVE_RESULTS);
	put(&r, sizeof r);
}

/* Trusted certificates, PEM around DER. */
static void run_roots(const uint8_t *p, size_t n, size_t step)
{
	static struct roots r;
	const char *why;
	size_t at, size, i;

	roots_begin(&r, 1700000000);
	for (at = 0; at < n; at += size) {
		size = piece(n - at, step);
		roots_push(&r, place(p + at, size), size);
	}
	why = roots_end(&r);
	CHECK(r.n <= ROOTS_MAX && r.used <= sizeof r.bytes);
	put(&r.n, sizeof r.n);
	put(&r.expired, sizeof r.expired);
	put(&r.unusable, sizeof r.unusable);
	put(why == NULL ? "" : why, why == NULL ? 0 : strlen(why));
	for (i = 0; why == NULL && i < r.n; i++)
		put(r.list[i].dn.data, r.list[i].dn.len);
}

static const struct target {
	const char *name;
	void (*run)(const uint8_t *p, size_t n, size_t step);
} targets[] = {
	{ "json", run_json },       { "lines", run_lines },
	{ "head", run_head },       { "body", run_body },
	{ "session", run_session }, { "keys", run_keys },
	{ "url", run_url },         { "answer", run_answer },
	{ "roots", run_roots },     { "proxy", run_proxy },
};

static const struct target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("TARGET");
	size_t i;

	(void)argc;
	(void)argv;
	for (i = 0; i < sizeof targets / sizeof targets[0]; i++)
		if (name != NULL && strcmp(name, targets[i].name) == 0)
			target = &targets[i];
	CHECK(target != NULL);
	arena = mmap(NULL, ARENA + 2 * PAGE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(arena != MAP_FAILED);
	arena += PAGE;
	CHECK(mprotect(arena, ARENA, PROT_READ | PROT_WRITE) == 0);
	return 0;
}

static uint64_t run(const uint8_t *p, size_t n, size_t step, bool end)
{
	digest = 0;
	at_end = end;
	target->run(p, n, step);
	return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	size_t step = n > 0 ? 1 + p[n - 1] % 97 : 1;
	uint64_t whole = run(p, n, n > 0 ? n : 1, true);

	CHECK(run(p, n, step, true) == whole);
	CHECK(run(p, n, n > 0 ? n : 1, false) == whole);
	return 0;
}
