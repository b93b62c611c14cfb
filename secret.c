#include "secret.h"

#include <string.h>

#define LEAST 4 /* what is shorter would be told by what is left out */
#define PART 8  /* bytes that tell too much */

/* Escapes are undone so many times, those of URLs and HTML and those of JSON in
 * turn, both in a secret and in what is searched for it: so it does not matter
 * which were there. URLs in JSON, JSON in URLs and a bearer token of Twitter's,
 * which has %XX of its own, encoded twice more, come out the same. Of
 * %255Cu0041 layer 1 makes %5Cu0041, layer 3 \u0041, layer 4 A. */
#define LAYERS 6

enum { END = -1, BAD = -2 };

static const char hidden[] = "(secret)";

/* Text that is read with escapes undone. */
struct reader {
	const unsigned char *p;
	size_t n;
	char utf8[5];   /* a character that an escape stands for */
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

/* The first byte of a character in UTF-8; the others come next. */
static int put(struct reader *r, uint32_t c)
{
	struct text t = text_in(r->utf8, sizeof r->utf8);

	text_put_utf8(&t, c);
	r->at = 1;
	r->end = t.n;
	return (unsigned char)r->utf8[0];
}

/* What follows \u. A surrogate pair is one character. */
static int next_unicode(struct reader *r, int layer)
{
	int c = next_hex(r, layer, 4), low, i;

	if (c < 0)
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
	return put(r, (uint32_t)c);
}

/* What follows &, as HTML has it: #38; or #x26; or a name. */
static int next_reference(struct reader *r, int layer)
{
	static const char names[][8] = { "&amp;", "<lt;", ">gt;", "\"quot;",
					 "'apos;" };
	char word[10] = ""; /* #x10ffff; and a byte */
	size_t n = 0, i;
	uint32_t v = 0;
	int c, base;

	do {
		c = next(r, layer);
		if (c == END)
			return END;
		word[n++] = (char)c;
	} while (strchr(";&%\\", c) == NULL && n < sizeof word);
	for (i = 0; i < sizeof names / sizeof names[0]; i++)
		if (text_is_word(word, n, names[i] + 1))
			return names[i][0];
	base = (word[1] | 32) == 'x' ? 16 : 10;
	for (i = base == 16 ? 2 : 1;
	     i < n && text_hex(word[i]) >= 0 && text_hex(word[i]) < base; i++)
		v = v * (uint32_t)base + (uint32_t)text_hex(word[i]);
	return word[0] == '#' && c == ';' && i + 1 == n && v <= 0x10ffff
		   ? put(r, v)
		   : BAD;
}

/* The next byte of r, or END. What is no escape, or is cut off, stands for
 * itself. */
static int next(struct reader *r, int layer)
{
	struct reader before;
	int c, v = BAD;

	if (r->at < r->end)
		return (unsigned char)r->utf8[r->at++];
	if (r->n == 0)
		return END;
	/* what begins no escape is the same in all layers */
	if (layer == 0 || strchr("%&\\", *r->p) == NULL) {
		r->n--;
		return *r->p++;
	}
	c = next(r, layer - 1);
	if (c != '%' && c != '&' && c != '\\')
		return c;
	before = *r;
	if (layer % 2 == 1 && c == '%') {
		v = next_hex(r, layer - 1, 2);
	} else if (layer % 2 == 1 && c == '&') {
		v = next_reference(r, layer - 1);
	} else if (layer % 2 == 0 && c == '\\') {
		v = next(r, layer - 1);
		if (v == 'u')
			v = next_unicode(r, layer - 1);
		else if (v == 'x')
			v = next_hex(r, layer - 1, 2);
		else if (v != '/' && v != '"' && v != '\\' && v != END)
			v = BAD;
	}
	if (v >= 0)
		return v;
	*r = before;
	return c;
}

/* What is taken for the same: both cases of a letter, base64 and its form for
 * URLs (RFC 4648, 5), a blank and the + that stands for one. */
static unsigned char fold(int c)
{
	if (c == '-' || c == ' ')
		return '+';
	return c == '_' ? '/' : (unsigned char)text_lower((char)c);
}

/* Put p[0..n-1] in this slot. */
static void set_value(struct secrets *s, size_t which, const char *p, size_t n)
{
	struct reader r = { .p = (const void *)p, .n = n };
	unsigned char *to = s->value[which];
	size_t size = 0;
	int c;

	explicit_bzero(to, s->n[which]);
	for (; size < SECRET_MAX && (c = next(&r, LAYERS)) != END; size++)
		to[size] = fold(c);
	s->n[which] = size;
}

/* Where LEAST bytes are noted if a secret has them. */
static size_t slot(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v * 2654435761u >> (32 - SECRET_NOTED);
}

void secret_set(struct secrets *s, enum secret which, const char *p, size_t n)
{
	char bytes[SECRET_MAX + 2] = "", code[SECRET_MAX];
	size_t before, first, end, i, k;
	struct text t;

	set_value(s, which, p, n);
	for (before = 0; before < 3; before++) {
		memcpy(bytes + before, p, n);
		t = text_in(code, sizeof code);
		text_base64(&t, bytes, before + n);
		/* digits that are of the secret's bytes alone */
		first = (8 * before + 5) / 6;
		end = 8 * (before + n) / 6;
		end = end < t.n ? end : t.n;
		set_value(s, (before + 1) * SECRETS + which, code + first,
			  n > 0 ? end - first : 0);
	}
	explicit_bzero(bytes, sizeof bytes);
	explicit_bzero(code, sizeof code);
	memset(s->noted, 0, sizeof s->noted);
	for (i = 0; i < 4 * SECRETS; i++)
		for (k = 0; k + LEAST <= s->n[i]; k++)
			s->noted[slot(s->value[i] + k)] = true;
}

/* How many bytes from..end-1 and begin, of size bytes, have in common; 0 if
 * that is less than least. */
static size_t common(const unsigned char *from, const unsigned char *end,
		     const unsigned char *begin, size_t size, size_t least)
{
	size_t n = 0;

	while (n < size && from + n < end && from[n] == begin[n])
		n++;
	return n < least ? 0 : n;
}

/* How many bytes at p are PART bytes of a secret or some more, or all of one
 * that has fewer, but at least least, or the beginning of one that the end of
 * all n cuts off; 0 if there is none. What follows is found from the next
 * character on. */
static size_t match(const struct secrets *s, size_t least,
		    const unsigned char *p, size_t n)
{
	struct reader r = { .p = p, .n = n };
	unsigned char begin[PART + 3]; /* and the rest of a character */
	size_t left[PART + 3], size = 0, most = 0, want, same, i;
	const unsigned char *from, *end;
	int c;

	for (; size < sizeof begin && (c = next(&r, LAYERS)) != END; size++) {
		begin[size] = fold(c);
		left[size] = r.n;
	}
	if (size < LEAST || !s->noted[slot(begin)])
		return 0; /* nearly all places are done with here */
	for (i = 0; i < 4 * SECRETS; i++) {
		from = s->value[i];
		end = from + s->n[i];
		want = s->n[i];
		if (want > PART)
			want = PART;
		if (size < want && n >= PART) {
			want = size;
			end = from + size;
		}
		for (; want >= least && from + want <= end && most < size;
		     from++) {
			same = common(from, end, begin, size, want);
			most = same > most ? same : most;
		}
	}
	return most > 0 ? n - left[most - 1] : 0;
}

void secret_append(const struct secrets *s, struct text *t, const void *p,
		   size_t n, bool foreign)
{
	const unsigned char *b = p;
	size_t at, size, end = 0;

	for (at = 0; at < n && t->cap - t->n > sizeof hidden; at += size) {
		size = match(s, foreign ? LEAST : PART, b + at, n - at);
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
