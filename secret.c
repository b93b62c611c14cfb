#include "secret.h"

#include <string.h>

#define LEAST 4 /* what is shorter would be told by what is left out */
#define CUT 8   /* bytes that tell too much */

static const char hidden[] = "(secret)";

enum { END = -1, BAD = -2 };

/* Text that is read with escapes undone. */
struct reader {
	const unsigned char *p;
	size_t n;
	unsigned char
	    more[3]; /* bytes of a \u that come next, the last first */
	size_t more_n;
};

/* What was done to a text, the last first: j is JSON's escapes, % is %XX. */
static const char *const orders[] = { "", "j", "%", "%%", "j%", "%j" };

static int next(struct reader *r, const char *order, size_t depth);

static int next_hex(struct reader *r, const char *order, size_t depth,
		    int digits)
{
	int v = 0, c;

	for (; digits > 0; digits--) {
		c = next(r, order, depth);
		if (c == END)
			return END;
		if (text_hex(c) < 0)
			return BAD;
		v = v << 4 | text_hex(c);
	}
	return v;
}

/* What follows \u, as UTF-8. A surrogate pair is one character. */
static int next_unicode(struct reader *r, const char *order, size_t depth)
{
	int c = next_hex(r, order, depth, 4), low, size;

	if (c < 0x80)
		return c;
	if (c >= 0xd800 && c < 0xdc00) {
		if (next(r, order, depth) != '\\' ||
		    next(r, order, depth) != 'u')
			return r->n == 0 ? END : BAD;
		low = next_hex(r, order, depth, 4);
		if (low < 0)
			return low;
		c = 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff);
	}
	size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (r->more_n = 0; (int)r->more_n < size - 1; c >>= 6)
		r->more[r->more_n++] = (unsigned char)(0x80 | (c & 0x3f));
	return (0xf00 >> size & 0xff) | c;
}

/* The next byte of r, or END, also in an escape that is cut off. Undone are the
 * first depth steps of order; what is no escape stands for itself. */
static int next(struct reader *r, const char *order, size_t depth)
{
	bool json = depth > 0 && order[depth - 1] == 'j';
	struct reader before;
	int c, v = BAD;

	if (json && r->more_n > 0)
		return r->more[--r->more_n];
	if (depth == 0) {
		if (r->n == 0)
			return END;
		r->n--;
		return *r->p++;
	}
	c = next(r, order, depth - 1);
	before = *r;
	if (json && c == '\\') {
		v = next(r, order, depth - 1);
		if (v == 'u')
			v = next_unicode(r, order, depth - 1);
		else if (v != '/' && v != '"' && v != '\\' && v != END)
			v = BAD;
	} else if (!json && c == '%') {
		v = next_hex(r, order, depth - 1, 2);
	}
	if (v != BAD)
		return v;
	*r = before;
	return c;
}

void secret_set(struct secrets *s, enum secret which, const char *p, size_t n)
{
	struct reader r = { (const unsigned char *)p, n, { 0 }, 0 };
	size_t size = 0;
	int c;

	secret_wipe(s, which);
	while (n > 0 && p[n - 1] == '=')
		n--; /* padding, which not everybody writes */
	for (r.n = n; size < SECRET_MAX && r.n > 0;) {
		c = next(&r, "%", 1);
		s->value[which][size++] = (unsigned char)(c == END ? '%' : c);
	}
	s->n[which] = size;
}

void secret_wipe(struct secrets *s, enum secret which)
{
	explicit_bzero(s->value[which], s->n[which]);
	s->n[which] = 0;
}

static int lower(int c)
{
	return c >= 0 ? text_lower((char)c) : c;
}

/* How many of p[0..n-1] are this secret, escaped in this order: 0 if it does
 * not begin there, all if they end within it, behind its first cut bytes. */
static size_t match(const unsigned char *secret, size_t size, size_t cut,
		    const char *order, struct reader r)
{
	size_t depth = strlen(order), n = r.n, i;
	int c;

	for (i = 0; i < size; i++) {
		c = next(&r, order, depth);
		if (c == END)
			return i >= cut ? n : 0;
		if (lower(c) != lower(secret[i]) &&
		    !(c == '+' && secret[i] == ' '))
			return 0;
	}
	return n - r.n;
}

/* How many of p[0..n-1] are secret, of those that have at least least bytes. */
static size_t longest(const struct secrets *s, size_t least, size_t cut,
		      const unsigned char *p, size_t n)
{
	const struct reader r = { p, n, { 0 }, 0 };
	size_t most = 0, size, i, k;

	for (i = 0; i < SECRETS; i++) {
		const unsigned char *value = s->value[i];

		/* Nearly all places are done with here. */
		if (s->n[i] < least || (*p != '\\' && *p != '%' && *p != '+' &&
					lower(*p) != lower(*value)))
			continue;
		for (k = 0; k < sizeof orders / sizeof orders[0]; k++) {
			size = match(value, s->n[i], cut, orders[k], r);
			most = size > most ? size : most;
		}
	}
	return most;
}

static void put(const struct secrets *s, struct text *t, const unsigned char *p,
		size_t n, bool foreign)
{
	size_t least = foreign ? LEAST : CUT, cut = foreign ? CUT : SIZE_MAX;
	size_t at, size, end = 0;

	for (at = 0; at < n && t->cap - t->n > sizeof hidden; at += size) {
		size = longest(s, least, cut, p + at, n - at);
		if (size > 0 && at >= end)
			text_str(t, hidden);
		end = at + size > end ? at + size : end;
		size = text_utf8(p + at, n - at);
		size += size == 0 ? 1 : 0;
		if (at >= end && foreign)
			text_printable(t, p + at, size);
		else if (at >= end)
			text_mem(t, p + at, size);
	}
}

void secret_printable(const struct secrets *s, struct text *t, const void *p,
		      size_t n)
{
	put(s, t, p, n, true);
}

void secret_hide(const struct secrets *s, struct text *t, const void *p,
		 size_t n)
{
	put(s, t, p, n, false);
}
