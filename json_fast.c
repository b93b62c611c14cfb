#include "json_fast.h"

#include <string.h>

#define REACH 32 /* bytes that a step may look ahead */

static uint64_t load(const unsigned char *p)
{
	uint64_t x = 0;
	int i;

	for (i = 7; i >= 0; i--) /* compilers make it one instruction */
		x = x << 8 | p[i];
	return x;
}

/* Bytes of a word, from the lowest on, before the first whose top bit is set
 * in mask. */
static unsigned before(uint64_t mask)
{
	return mask == 0 ? 8 : (unsigned)__builtin_ctzll(mask) / 8;
}

/* A subtraction's borrow spoils only bytes above the first that matters. */
static unsigned plain8(const unsigned char *p)
{
	const uint64_t ones = UINT64_MAX / 255, tops = ones * 0x80;
	uint64_t x = load(p), quote = x ^ ones * '"', slash = x ^ ones * '\\';

	return before((((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) |
		       ((slash - ones) & ~slash) | x) &
		      tops);
}

unsigned json_plain16_portable(const unsigned char *p)
{
	unsigned n = plain8(p);

	return n < 8 ? n : 8 + plain8(p + 8);
}

unsigned json_digits16_portable(const unsigned char *p)
{
	unsigned n = 0;

	while (n < 16 && p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

#if defined(__SSE2__) && !defined(JSON_PORTABLE)
#include <emmintrin.h>

static inline __m128i load16(const unsigned char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline unsigned before16(__m128i mask)
{
	return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(mask) |
				       1u << 16);
}

/* As signed bytes, those of non-ASCII are negative, so below 0x20 too. */
static inline unsigned plain16(const unsigned char *p)
{
	__m128i x = load16(p);

	return before16(
	    _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x20)),
			 _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')),
				      _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')))));
}

static inline unsigned digits16(const unsigned char *p)
{
	__m128i x = load16(p);

	return before16(_mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8('0')),
				     _mm_cmpgt_epi8(x, _mm_set1_epi8('9'))));
}
#else
static inline unsigned plain16(const unsigned char *p)
{
	return json_plain16_portable(p);
}

static inline unsigned digits16(const unsigned char *p)
{
	return json_digits16_portable(p);
}
#endif

unsigned json_plain16(const unsigned char *p)
{
	return plain16(p);
}

unsigned json_digits16(const unsigned char *p)
{
	return digits16(p);
}

/* Where plain text ends; beyond safe it may only seem to. */
static inline const unsigned char *plain(const unsigned char *p,
					 const unsigned char *safe)
{
	unsigned n;

	do {
		n = plain16(p);
		p += n;
	} while (n == 16 && p <= safe);
	return p;
}

static inline bool is_hex4(const unsigned char *p)
{
	/* 1 for a hexadecimal digit */
	static const unsigned char hex[256] = {
		['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1,
		['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
		['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,
		['f'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1,
		['E'] = 1, ['F'] = 1,
	};

	return (hex[p[0]] & hex[p[1]] & hex[p[2]] & hex[p[3]]) != 0;
}

/* Behind the escape at p, or p itself if it is not a valid one. */
static inline const unsigned char *escape(const unsigned char *p)
{
	if (p[1] == 'u')
		return is_hex4(p + 2) ? p + 6 : p;
	return p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL ? p + 2 : p;
}

static inline bool is_next(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Behind the character of several bytes at p, or p itself if it is not valid
 * UTF-8 (RFC 3629: no overlong form, no surrogate, at most U+10FFFF). */
static inline const unsigned char *character(const unsigned char *p)
{
	uint32_t c = p[0];

	if (c < 0xe0)
		return c >= 0xc2 && is_next(p[1]) ? p + 2 : p;
	c = c << 8 | p[1];
	if (c < 0xf000)
		return is_next(p[1]) && is_next(p[2]) && c >= 0xe0a0 &&
			       (c < 0xeda0 || c >= 0xee00)
			   ? p + 3
			   : p;
	return is_next(p[1]) && is_next(p[2]) && is_next(p[3]) && c >= 0xf090 &&
		       c < 0xf490
		   ? p + 4
		   : p;
}

/* From inside a string to its closing quote, or to where it gets unusual. */
static inline const unsigned char *string(const unsigned char *p,
					  const unsigned char *safe)
{
	const unsigned char *from;

	while (p <= safe) {
		p = plain(p, safe);
		if (*p == '"' || p > safe)
			break;
		from = p;
		p = *p == '\\' ? escape(p) : *p >= 0x80 ? character(p) : p;
		if (p == from)
			break;
	}
	return p;
}

/* Behind the key at p and its colon, or p itself. */
static inline const unsigned char *
key(struct json_scan *s, const unsigned char *p, const unsigned char *safe)
{
	const unsigned char *end;

	if (*p != '"')
		return p;
	end = plain(p + 1, safe);
	if (end > safe || end[0] != '"' || end[1] != ':')
		return p;
	if (s->depth == 1)
		json_classify(s, p + 1, (size_t)(end - p - 1));
	return end[2] == ' ' ? end + 3 : end + 2;
}

/* Behind the integer or literal at p, or p itself; a fraction, an exponent and
 * anything wrong are left to the byte-wise way. */
static inline const unsigned char *scalar(const unsigned char *p)
{
	const unsigned char *q = p + (*p == '-');
	unsigned n;

	if (memcmp(p, "null", 4) == 0 || memcmp(p, "true", 4) == 0)
		return p + 4;
	if (memcmp(p, "false", 5) == 0)
		return p + 5;
	n = digits16(q);
	if (n == 0 || (*q == '0' && n > 1))
		return p;
	q += n;
	if (n == 16)
		q += json_digits16_portable(q) % 16;
	return *q == ',' || *q == '}' || *q == ']' ? q : p;
}

/* A value at p: to behind it, or p itself. */
static inline const unsigned char *
value(struct json_scan *s, const unsigned char *p, const unsigned char *safe)
{
	const unsigned char *end;

	if (*p == '"') {
		end = string(p + 1, safe);
		s->in_key = false;
		s->place =
		    *end == '"' && end <= safe ? JSON_AFTER : JSON_STRING;
		return s->place == JSON_AFTER ? end + 1 : end;
	}
	if (*p == '{' || *p == '[') {
		if (s->depth == JSON_DEPTH)
			return p;
		json_push(s, *p == '{');
		p++;
		if (*p == '"' && s->place == JSON_KEY_OR_END)
			s->place = JSON_KEY;
		return p;
	}
	end = scalar(p);
	if (end != p)
		s->place = JSON_AFTER;
	return end;
}

/* The end of an object or array that is not the outermost. */
static inline const unsigned char *close_inner(struct json_scan *s,
					       const unsigned char *p)
{
	if (s->depth == 1)
		return p;
	s->depth--;
	s->place = JSON_AFTER;
	return p + 1;
}

/* What follows a value: a comma, or the ends of inner objects and arrays. */
static inline const unsigned char *after(struct json_scan *s,
					 const unsigned char *p)
{
	bool object = json_in_object(s);

	if (*p == ',') {
		s->place = object ? JSON_KEY : JSON_VALUE;
		return p[1] == ' ' ? p + 2 : p + 1;
	}
	return *p == (object ? '}' : ']') ? close_inner(s, p) : p;
}

size_t json_fast(struct json_scan *s, const unsigned char *in, size_t n)
{
	const unsigned char *p = in, *from, *safe = in + n - REACH;
	const unsigned char *last = NULL; /* where after() found nothing */

	if (s->place == JSON_STRING) {
		p = string(p, safe);
		if (*p != '"' || p > safe)
			return (size_t)(p - in);
		p++;
		s->place = s->in_key ? JSON_COLON : JSON_AFTER;
	}
	do {
		from = p;
		if (s->place == JSON_KEY && p <= safe) {
			p = key(s, p, safe);
			if (p != from)
				s->place = JSON_VALUE;
		}
		if ((s->place == JSON_VALUE ||
		     (s->place == JSON_VALUE_OR_END && *p != ']')) &&
		    p <= safe)
			p = value(s, p, safe);
		if (s->place == JSON_VALUE_OR_END && *p == ']' && p <= safe)
			p = close_inner(s, p);
		while (s->place == JSON_AFTER && p <= safe && p != last)
			p = after(s, last = p);
	} while (p != from);
	return (size_t)(p - in);
}
