/* The pure rooms at a pipe's end, so that an independent judge in Python can
 * compare them with its own answers. Requests are a letter, the payload's
 * length in 4 bytes, most significant first, and the payload; each answer is
 * one line. Built with AddressSanitizer and UndefinedBehaviorSanitizer. */
#include "../backoff.h"
#include "../http.h"
#include "../json_scan.h"
#include "../keys.h"
#include "../lines.h"
#include "../oauth1.h"
#include "../request.h"
#include "../resolve.h"
#include "../session.h"
#include "../withheld.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char payload[8 << 20];
static size_t size;

static void print_hex(const void *p, size_t n)
{
	const unsigned char *b = p;
	size_t i;

	for (i = 0; i < n; i++)
		printf("%02x", b[i]);
}

/* A piece of its own, so that reading beyond it is seen. */
static unsigned char *piece(const unsigned char *p, size_t n)
{
	unsigned char *copy = malloc(n > 0 ? n : 1);

	if (copy == NULL)
		abort();
	memcpy(copy, p, n);
	return copy;
}

static size_t number(size_t at)
{
	return (size_t)payload[at] << 24 | (size_t)payload[at + 1] << 16 |
	       (size_t)payload[at + 2] << 8 | payload[at + 3];
}

/* The next NUL-terminated field of the payload. */
static const char *field(size_t *at)
{
	const char *s = (const char *)payload + *at;

	*at += strlen(s) + 1;
	return s;
}

/* The same, with what may be read behind it, of which nothing may depend. */
static unsigned char *line_piece(const unsigned char *p, size_t n)
{
	static unsigned char behind;
	unsigned char *copy = malloc(n + JSON_SLACK);

	if (copy == NULL)
		abort();
	memcpy(copy, p, n);
	memset(copy + n, behind += 17, JSON_SLACK);
	return copy;
}

/* j: size of a piece in 4 bytes, a tweet key, a document: a message, whatever
 * was remembered of those before? */
static void probe_json(void)
{
	static struct lines l;
	static char key[64];
	size_t step = number(0), at = 4, n, used, messages = 0, bad = 0;
	enum json_class class = JSON_OTHER;
	struct line line, why = { 0 };
	const char *tweet_key = field(&at);
	unsigned char *p;
	enum lines_event e;

	if (strcmp(key, tweet_key) != 0)
		lines_init(&l, strcpy(key, tweet_key));
	memcpy(payload + size, "\r\n", 2);
	for (size += 2; at < size; at += n) {
		n = size - at < step ? size - at : step;
		p = line_piece(payload + at, n);
		for (size_t from = 0;; from += used) {
			e = lines_next(&l, p + from, n - from, &used, &line);
			if (e == LINES_MORE)
				break;
			messages += e == LINES_MESSAGE;
			class = e == LINES_MESSAGE ? line.class : class;
			if (e >= LINES_MALFORMED && bad++ == 0)
				why = line;
		}
		free(p);
	}
	if (messages == 1 && bad == 0)
		printf("ok %d\n", class);
	else
		printf("bad %s at %" PRIu64 "\n", json_error_text(why.error),
		       why.offset);
}

/* 8: a byte. For each two bytes behind it, is the three a part of a string?
 * Prints a bit each, the second byte's 256 in 64 hexadecimal digits. */
static void probe_utf8(void)
{
	static struct json_scan s;
	unsigned char text[16 + JSON_SLACK] = "{\"a\":\"...\"}\n", bits[32];
	unsigned b, c;

	json_init(&s, "text");
	text[6] = payload[0];
	for (b = 0; b < 256; b++) {
		memset(bits, 0, sizeof bits);
		for (c = 0; c < 256; c++) {
			text[7] = (unsigned char)b;
			text[8] = (unsigned char)c;
			json_begin(&s);
			json_scan(&s, text);
			if (s.place == JSON_DONE)
				bits[c / 8] |= (unsigned char)(1u << c % 8);
		}
		print_hex(bits, sizeof bits);
	}
	printf("\n");
}

/* f: path (fields, an empty one at its end), a valid document. */
static void probe_find(void)
{
	const char *path[8] = { NULL };
	struct piece v;
	size_t at = 0, n = 0;

	while (payload[at] != '\0')
		path[n++] = field(&at);
	payload[size] = '\0';
	if (json_find((const char *)payload + at + 1, path, &v)) {
		print_hex(v.p, v.n);
		printf("\n");
	} else {
		printf("none\n");
	}
}

/* l: size of a piece in 4 bytes, a body. Prints events, messages in hex. */
static void probe_lines(void)
{
	static struct lines l;
	static const char *const names[] = { "more", "message", "keepalive",
					     "malformed", "long" };
	size_t step = number(0), at = 4, n, used;
	enum lines_event e;
	struct line line;
	unsigned char *p;

	lines_init(&l, "text");
	for (; at < size; at += n) {
		const unsigned char *from;
		size_t left;

		n = size - at < step ? size - at : step;
		from = p = line_piece(payload + at, n);
		left = n;
		do {
			e = lines_next(&l, from, left, &used, &line);
			from += used;
			left -= used;
			if (e == LINES_MESSAGE) {
				printf("message:%d:", line.class);
				print_hex(line.p, line.n);
				printf(" ");
			} else if (e == LINES_KEEPALIVE) {
				printf("keepalive ");
			} else if (e != LINES_MORE) {
				printf("%s:%" PRIu64 " ", names[e], line.size);
			}
		} while (e != LINES_MORE);
		free(p);
	}
	e = lines_end(&l, &line);
	printf("end:%s:%zu\n", names[e], (size_t)line.size);
}

/* h: size of a piece in 4 bytes, a response. */
static void probe_http(void)
{
	static struct http_head h;
	struct http_body b;
	struct http_data d;
	const char *error = NULL;
	enum http_event e = HTTP_MORE;
	size_t step = number(0), at = 4, n, used, out = 0;
	static unsigned char body[8 << 20];
	bool in_body = false;
	unsigned char *p;

	http_head_init(&h);
	while (at < size && (in_body ? e != HTTP_DONE : true) &&
	       e != HTTP_ERROR) {
		n = size - at < step ? size - at : step;
		p = piece(payload + at, n);
		if (!in_body) {
			e = http_head_next(&h, p, n, &used, &error);
			if (e == HTTP_DONE) {
				in_body = true;
				http_body_init(&b, &h);
				e = HTTP_MORE;
				if (b.place == BODY_DONE)
					e = HTTP_DONE;
			}
		} else {
			e = http_body_next(&b, p, n, &used, &d);
			error = d.error;
			if (e == HTTP_DATA) {
				memcpy(body + out, d.p, d.n);
				out += d.n;
				http_body_take(&b, d.n);
				used += d.n;
			}
		}
		free(p);
		at += used;
	}
	if (e == HTTP_ERROR) {
		printf("bad %s\n", error);
	} else if (!in_body) {
		printf("cut head\n");
	} else {
		printf("%d %s %" PRIu64 " %" PRIu64 " ", h.status,
		       b.place == BODY_DONE || http_body_may_end(&b) ? "whole"
								     : "cut",
		       h.retry_at > h.date ? h.retry_at - h.date
					   : h.retry_after,
		       h.date);
		print_hex(body, out);
		printf("\n");
	}
}

/* b: records of an event byte and a time in 8 bytes; prints the waits. */
static void probe_backoff(void)
{
	struct backoff b;
	size_t at;

	memset(&b, 0, sizeof b);
	for (at = 0; at < size; at += 9)
		printf("%" PRIu64 " ",
		       backoff_next(&b, (enum backoff_event)payload[at],
				    (uint64_t)number(at + 1) << 32 |
					number(at + 5)));
	printf("\n");
}

/* c: kind (s: status, d: disconnect), code in 4 bytes. */
static void probe_code(void)
{
	printf("%d\n", payload[0] == 's' ? (int)backoff_status((int)number(1))
					 : (int)backoff_disconnect(number(1)));
}

/* s: bytes. m: key size in 4 bytes, key, bytes. */
static void probe_sha1(void)
{
	unsigned char digest[SHA1_SIZE], *p = piece(payload, size);

	sha1(p, size, digest);
	free(p);
	print_hex(digest, sizeof digest);
	printf("\n");
}

static void probe_hmac(void)
{
	unsigned char mac[SHA1_SIZE];
	size_t n = number(0);
	struct hmac_sha1 h;

	hmac_sha1_key(&h, payload + 4, n);
	hmac_sha1(&h, payload + 4 + n, size - 4 - n, mac);
	print_hex(mac, sizeof mac);
	printf("\n");
}

/* o: method, URL, consumer key and secret, token and secret, nonce, time, then
 * names and values. Prints the base string, the header, the head in hex. */
static void probe_oauth(void)
{
	static struct request r;
	size_t at = 0;
	uint64_t unix_time;
	const char *why, *nonce, *stamp;
	static struct keys k;
	struct text t;
	size_t i;

	memset(&r, 0, sizeof r);
	r.get = strcmp(field(&at), "GET") == 0;
	why = request_url(&r, field(&at));
	if (why != NULL) {
		printf("bad %s\n", why);
		return;
	}
	for (i = KEY_CONSUMER; i <= KEY_TOKEN_SECRET; i++) {
		t = text_in(k.value[i], KEY_SIZE);
		text_str(&t, field(&at));
	}
	request_keys(&r, &k);
	nonce = field(&at);
	stamp = field(&at);
	text_to_u64(stamp, strlen(stamp), UINT64_MAX, &unix_time);
	while (at < size) {
		const char *name = field(&at);

		request_param(&r, name, field(&at));
	}
	if (!request_build(&r, nonce, unix_time)) {
		printf("bad size\n");
		return;
	}
	printf("%s ", r.base);
	print_hex(r.head, r.head_n);
	printf(" ");
	print_hex(r.body, r.body_n);
	printf("\n");
}

/* x: p if foreign, else h; secrets as fields, an empty one at their end, bytes.
 * Prints what secret_append makes of them, in hex. */
static void probe_secret(void)
{
	static struct secrets s;
	static char out[sizeof payload * 4];
	size_t at = 1, n, i;
	unsigned char *p;
	struct text t = text_in(out, sizeof out);

	for (i = 0; payload[at] != '\0'; i++) {
		const char *value = field(&at);

		secret_set(&s, (enum secret)i, value, strlen(value));
	}
	for (; i < SECRETS; i++)
		secret_set(&s, (enum secret)i, "", 0);
	n = size - at - 1;
	p = piece(payload + at + 1, n);
	secret_append(&s, &t, p, n, payload[0] == 'p');
	free(p);
	print_hex(out, t.n);
	printf("\n");
}

/* t: bytes. Prints what text_printable makes of them, in hex. */
static void probe_printable(void)
{
	static char out[sizeof payload * 4];
	unsigned char *p = piece(payload, size);
	struct text t = text_in(out, sizeof out);

	text_printable(&t, p, size);
	free(p);
	print_hex(out, t.n);
	printf("\n");
}

/* w: values in 8 bytes, UINT64_MAX for a new connection. */
static void probe_withheld(void)
{
	struct withheld w;
	uint64_t v;
	size_t at;

	memset(&w, 0, sizeof w);
	for (at = 0; at < size; at += 8) {
		v = (uint64_t)number(at) << 32 | number(at + 4);
		if (v == UINT64_MAX)
			w.n = 0;
		else
			withheld_notice(&w, v);
	}
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", w.sum, w.min,
	       w.ambiguous);
}

/* u: a URL. */
static void probe_url(void)
{
	struct http_url u;
	char host[300];
	struct text t = text_in(host, sizeof host);
	const char *why;

	payload[size] = '\0';
	why = http_url_parse(&u, (const char *)payload);
	if (why != NULL) {
		printf("bad %s\n", why);
		return;
	}
	http_host(&t, &u);
	printf("%d %s %u %s %s %s %d %s\n", u.tls, u.host, u.port, u.base,
	       u.base + u.path, u.query[0] != '\0' ? u.query : "-",
	       u.is_address, host);
}

/* k: a keys file. */
static void probe_keys(void)
{
	static struct keys k;
	char why[256];
	struct text error = text_in(why, sizeof why);
	unsigned char *p;
	int i;

	payload[size] = '\0';
	p = piece(payload, size + 1);
	memset(&k, 0, sizeof k);
	if (keys_parse(&k, (char *)p, size, &error) &&
	    keys_complete(&k, KEYS_OAUTH1, "FILE", &error)) {
		for (i = 0; i <= KEY_TOKEN_SECRET; i++) {
			print_hex(k.value[i], strlen(k.value[i]));
			printf(" ");
		}
		printf("\n");
	} else {
		printf("bad %s\n", why);
	}
	free(p);
}

/* e: every enum that has a text, every text. */
static void probe_texts(void)
{
	int i;

	for (i = 0; i < CAUSES; i++)
		printf("%s|", cause_text((enum cause)i));
	for (i = 0; i < JSON_ERRORS; i++)
		printf("%s|", json_error_text((enum json_error)i));
	for (i = 0; i < RESOLVE_RESULTS; i++)
		printf("%s|", resolve_text((enum resolve_result)i));
	printf("\n");
}

int main(void)
{
	static const struct {
		char letter;
		void (*probe)(void);
	} probes[] = {
		{ 'j', probe_json },     { '8', probe_utf8 },
		{ 'f', probe_find },     { 'l', probe_lines },
		{ 'h', probe_http },     { 'b', probe_backoff },
		{ 'c', probe_code },     { 's', probe_sha1 },
		{ 'm', probe_hmac },     { 'o', probe_oauth },
		{ 'w', probe_withheld }, { 'u', probe_url },
		{ 'k', probe_keys },     { 'e', probe_texts },
		{ 'x', probe_secret },   { 't', probe_printable },
	};
	size_t i;
	int c;

	while ((c = getchar()) != EOF) {
		if (fread(payload, 1, 4, stdin) != 4)
			return 1;
		size = number(0);
		if (size >= sizeof payload ||
		    fread(payload, 1, size, stdin) != size)
			return 1;
		for (i = 0; i < sizeof probes / sizeof probes[0]; i++)
			if (probes[i].letter == c)
				probes[i].probe();
		fflush(stdout);
	}
	return 0;
}
