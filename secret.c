#include "secret.h"

#include <string.h>

#define LEAST 4 /* what is shorter would be told by what is left out */
#define CUT 8   /* bytes that tell too much */

/* Escapes are undone so many times, those of URLs and of JSON in turn, both in
 * a secret and in what is searched for it: so it does not matter which were
 * there. URLs in JSON, JSON in URLs and a bearer token of Twitter's, which has
 * %XX of its own, encoded twice more, come out the same. */
#define LAYERS 6

enum { END = -1, BAD = -2 };

static const char hidden[] = "(secret)";

/* Text that is read with escapes undone. */
struct reader {
	const unsigned char *p;
	size_t n;
	char utf8[5];   /* what \u stands for */
	size_t at, end; /* of it: utf8[at..end-1] comes next */
};

static int next(struct reader *r, int layer);

static int next_hex(struct reader *r, int layer, int digits)
{
	int v = 0, c;

	for (; digits > 0; digits--) {
		c = next(r, layer);
		if (c == END)
			return END;
		if (text_hex(c) < 0)
			return BAD;
		v = v << 4 | text_hex(c);
	}
	return v;
}

/* What follows \u, as UTF-8. A surrogate pair is one character. */
static int next_unicode(struct reader *r, int layer)
{
	int c = next_hex(r, layer, 4), low, i;
	struct text t;

	if (c < 0x80)
		return c;
	if (c >= 0xd800 && c < 0xdc00) {
		for (i = 0; i < 2; i++) {
			low = next(r, layer);
			if (low != "\\u"[i])
				return low == END ? END : BAD;
		}
		low = next_hex(r, layer, 4);
		if (low < 0)
			return low;
		c = 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff);
	}
	t = text_in(r->utf8, sizeof r->utf8);
	text_put_utf8(&t, (uint32_t)c);
	r->at = 1;
	r->end = t.n;
	return (unsigned char)r->utf8[0];
}

/* The next byte of r, or END, also in an escape that is cut off. What is no
 * escape stands for itself. */
static int next(struct reader *r, int layer)
{
	struct reader before;
	int c, v = BAD;

	if (r->at < r->end)
		return (unsigned char)r->utf8[r->at++];
	if (layer == 0) {
		if (r->n == 0)
			return END;
		r->n--;
		return *r->p++;
	}
	c = next(r, layer - 1);
	if (c != '%' && c != '\\')
		return c;
	before = *r;
	if (layer % 2 == 1 && c == '%') {
		v = next_hex(r, layer - 1, 2);
	} else if (layer % 2 == 0 && c == '\\') {
		v = next(r, layer - 1);
		if (v == 'u')
			v = next_unicode(r, layer - 1);
		else if (v != '/' && v != '"' && v != '\\' && v != END)
			v = BAD;
	}
	if (v != BAD)
		return v;
	*r = before;
	return c;
}

/* Put p[0..n-1] in this slot, as far as its escapes can be undone. */
static void set_value(struct secrets *s, size_t which, const char *p, size_t n)
{
	struct reader r = { .p = (const void *)p, .n = n };
	size_t size = 0;
	int c;

	explicit_bzero(s->value[which], s->n[which]);
	do {
		s->tail[which] = r.n;
		c = next(&r, LAYERS);
		if (c != END)
			s->value[which][size++] = (unsigned char)c;
	} while (c != END && size < SECRET_MAX);
	s->n[which] = size;
}

void secret_set(struct secrets *s, enum secret which, const char *p, size_t n)
{
	char code[SECRET_MAX];
	struct text t = text_in(code, sizeof code);

	text_base64(&t, p, n);
	while (n > 0 && p[n - 1] == '=')
		n--; /* padding, which not everybody writes */
	while (t.n > 0 && code[t.n - 1] == '=')
		t.n--;
	set_value(s, which, p, n);
	set_value(s, SECRETS + which, code, t.n);
	explicit_bzero(code, sizeof code);
}

/* What is taken for the same: both cases of a letter, base64 and its form for
 * URLs (RFC 4648, 5), a blank and the + that stands for one. */
static int fold(int c)
{
	if (c == '-' || c == ' ')
		return '+';
	return c < 0 ? c : c == '_' ? '/' : text_lower((char)c);
}

/* How many bytes are this secret, from where r stands: 0 if it does not begin
 * there, all if they end within it and are at least cut. */
static size_t match(const unsigned char *secret, size_t size, size_t cut,
		    struct reader r)
{
	size_t n = r.n, i;
	int c;

	for (i = 0; i < size; i++) {
		c = next(&r, LAYERS);
		if (c == END)
			return i >= LEAST && n >= cut ? n : 0;
		if (fold(c) != fold(secret[i]))
			return 0;
	}
	return n - r.n;
}

/* A secret that ends inside an escape may make another one of what follows it.
 * How many of p[0..n-1] could be that end, of tail bytes, itself escaped. */
static size_t match_tail(const unsigned char *p, size_t n, size_t tail)
{
	size_t i = 0;

	n = n < 4 * tail ? n : 4 * tail;
	while (i < n && (p[i] == '\\' || p[i] == '%' || p[i] == 'u' ||
			 text_hex(p[i]) >= 0))
		i++;
	return i;
}

/* How many of p[0..n-1] are secret, of those that have at least least bytes. */
static size_t longest(const struct secrets *s, size_t least, size_t cut,
		      const unsigned char *p, size_t n)
{
	const struct reader r = { .p = p, .n = n };
	size_t most = 0, size, i;

	for (i = 0; i < 2 * SECRETS; i++) {
		const unsigned char *value = s->value[i];

		/* Nearly all places are done with here. */
		if (s->n[i] < least ||
		    (*p != '\\' && *p != '%' && fold(*p) != fold(*value)))
			continue;
		size = match(value, s->n[i], cut, r);
		if (size > 0)
			size += match_tail(p + size, n - size, s->tail[i]);
		most = size > most ? size : most;
	}
	return most;
}

void secret_append(const struct secrets *s, struct text *t, const void *p,
		   size_t n, bool foreign)
{
	size_t least = foreign ? LEAST : CUT, cut = foreign ? CUT : SIZE_MAX;
	const unsigned char *b = p;
	size_t at, size, end = 0;

	for (at = 0; at < n && t->cap - t->n > sizeof hidden; at += size) {
		size = longest(s, least, cut, b + at, n - at);
		if (size > 0 && at >= end)
			text_str(t, hidden);
		end = at + size > end ? at + size : end;
		size = text_utf8(b + at, n - at);
		size += size == 0 ? 1 : 0;
		if (at >= end && foreign)
			text_printable(t, b + at, size);
		else if (at >= end)
			text_mem(t, b + at, size);
	}
}
