#include "json_fast.h"

#include <string.h>

#define REACH 40 /* bytes that a step may look ahead */

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

/* A bit for each byte that is not plain text. As signed bytes, those of
 * non-ASCII are negative, so below 0x20 too. */
static inline unsigned special16(__m128i x)
{
	return (unsigned)_mm_movemask_epi8(
	    _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x20)),
			 _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')),
				      _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')))));
}

static inline unsigned plain16(const unsigned char *p)
{
	return (unsigned)__builtin_ctz(special16(load16(p)) | 1u << 16);
}

static inline unsigned plain32(const unsigned char *p)
{
	uint64_t special =
	    special16(load16(p)) | (uint64_t)special16(load16(p + 16)) << 16;

	return (unsigned)__builtin_ctzll(special | (uint64_t)1 << 32);
}

static inline unsigned digits16(const unsigned char *p)
{
	__m128i x = load16(p);

	return (unsigned)__builtin_ctz(
	    (unsigned)_mm_movemask_epi8(
		_mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8('0')),
			     _mm_cmpgt_epi8(x, _mm_set1_epi8('9')))) |
	    1u << 16);
}
#else
static inline unsigned plain16(const unsigned char *p)
{
	return json_plain16_portable(p);
}

static inline unsigned plain32(const unsigned char *p)
{
	unsigned n = plain16(p);

	return n < 16 ? n : 16 + plain16(p + 16);
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

/* 1 for a hexadecimal digit, 2 for what may follow a backslash but u. */
static const unsigned char kind[256] = {
	['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1,
	['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['a'] = 1, ['b'] = 3,
	['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 3, ['A'] = 1, ['B'] = 1,
	['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['"'] = 2, ['\\'] = 2,
	['/'] = 2, ['n'] = 2, ['r'] = 2, ['t'] = 2,
};

static inline bool is_hex4(const unsigned char *p)
{
	return (kind[p[0]] & kind[p[1]] & kind[p[2]] & kind[p[3]] & 1) != 0;
}

/* Behind the escapes at p, one or many, up to one that is not valid. */
static inline const unsigned char *escapes(const unsigned char *p,
					   const unsigned char *safe)
{
	while (*p == '\\' && p <= safe) {
		if (p[1] == 'u' && is_hex4(p + 2))
			p += 6;
		else if ((kind[p[1]] & 2) != 0)
			p += 2;
		else
			break;
	}
	return p;
}

static inline bool is_next(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Behind the characters of several bytes at p, one or many, up to one that is
 * not valid UTF-8 (RFC 3629: no overlong form, no surrogate, at most
 * U+10FFFF). */
static inline const unsigned char *characters(const unsigned char *p,
					      const unsigned char *safe)
{
	while (*p >= 0x80 && p <= safe) {
		uint32_t c = (uint32_t)p[0] << 8 | p[1];

		if (!is_next(p[1]) || c < 0xc200)
			break;
		if (c < 0xe000)
			p += 2;
		else if (c < 0xf000 && is_next(p[2]) && c >= 0xe0a0 &&
			 (c < 0xeda0 || c >= 0xee00))
			p += 3;
		else if (c >= 0xf090 && c < 0xf490 && is_next(p[2]) &&
			 is_next(p[3]))
			p += 4;
		else
			break;
	}
	return p;
}

/* From inside a string to its closing quote, or to where it gets unusual. */
__attribute__((always_inline)) static inline const unsigned char *
string(const unsigned char *p, const unsigned char *safe)
{
	const unsigned char *from;
	unsigned n;

	while (p <= safe) {
		n = plain32(p);
		p += n;
		if (n == 32)
			continue;
		if (*p == '"')
			break;
		from = p;
		p = *p == '\\' ? escapes(p, safe) : characters(p, safe);
		if (p == from)
			break;
	}
	return p;
}

/* Behind the key at p and its colon, or p itself. */
static inline const unsigned char *
key(struct json_scan *s, const unsigned char *p, const unsigned char *safe)
{
	const unsigned char *end = p + 1;
	unsigned n;

	if (*p != '"')
		return p;
	do {
		n = plain32(end);
		end += n;
	} while (n == 32 && end <= safe);
	if (end > safe || end[0] != '"' || end[1] != ':')
		return p;
	if (s->depth == 1 && (s->first >> (p[1] & 31) & 1) != 0)
		json_classify(s, p + 1, (size_t)(end - p - 1));
	return end[2] == ' ' ? end + 3 : end + 2;
}

static inline uint32_t load4(const unsigned char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

static inline bool is_word(const unsigned char *p, const char *word)
{
	return load4(p) == load4((const unsigned char *)word);
}

/* Behind the integer or literal at p, or p itself; a fraction, an exponent and
 * anything wrong are left to the byte-wise way. */
static inline const unsigned char *scalar(const unsigned char *p)
{
	const unsigned char *q = p + (*p == '-');
	unsigned n;

	if (*p >= 'f') {
		if (is_word(p, "null") || is_word(p, "true"))
			return p + 4;
		return is_word(p, "fals") && p[4] == 'e' ? p + 5 : p;
	}
	n = digits16(q);
	if (n == 0 || (*q == '0' && n > 1))
		return p;
	q += n;
	if (n == 16)
		q += digits16(q) % 16;
	return *q == ',' || *q == '}' || *q == ']' ? q : p;
}

/* A string, number or literal at p: to behind it, with place JSON_AFTER, or to
 * where it gets unusual. */
static inline const unsigned char *
value(const unsigned char *p, const unsigned char *safe, enum json_place *place)
{
	const unsigned char *end;

	if (*p == '"') {
		end = string(p + 1, safe);
		*place = *end == '"' && end <= safe ? JSON_AFTER : JSON_STRING;
		return *place == JSON_AFTER ? end + 1 : end;
	}
	end = scalar(p);
	if (end != p)
		*place = JSON_AFTER;
	return end;
}

/* What follows a value: a comma, perhaps behind the ends of inner objects and
 * arrays. */
static inline const unsigned char *after(struct json_scan *s,
					 const unsigned char *p,
					 const unsigned char *safe,
					 enum json_place *place)
{
	bool object = json_in_object(s);

	while (*p == (object ? '}' : ']') && s->depth > 1 && p <= safe) {
		s->depth--;
		object = json_in_object(s);
		p++;
	}
	if (*p != ',' || p > safe)
		return p;
	*place = object ? JSON_KEY : JSON_VALUE;
	return p[1] == ' ' ? p + 2 : p + 1;
}

/* Open the object or array at p; an empty array is closed again at once. */
static inline const unsigned char *
open_inner(struct json_scan *s, const unsigned char *p, enum json_place *place)
{
	if (*p == '[' && p[1] == ']') {
		*place = JSON_AFTER;
		return p + 2;
	}
	if (s->depth == JSON_DEPTH)
		return p;
	json_push(s, *p == '{');
	*place = s->place;
	if (*place == JSON_KEY_OR_END && p[1] == '"')
		*place = JSON_KEY;
	if (*place == JSON_VALUE_OR_END && p[1] != ']' && p[1] > ' ')
		*place = JSON_VALUE;
	return p + 1;
}

size_t json_fast(struct json_scan *s, const unsigned char *in, size_t n)
{
	const unsigned char *p = in, *from, *safe = in + n - REACH;
	enum json_place place = s->place;

	if (place == JSON_STRING) {
		p = string(p, safe);
		if (*p != '"' || p > safe)
			return (size_t)(p - in);
		p++;
		place = s->in_key ? JSON_COLON : JSON_AFTER;
	}
	do {
		from = p;
		if (place == JSON_KEY && p <= safe) {
			p = key(s, p, safe);
			if (p != from)
				place = JSON_VALUE;
		}
		if (place == JSON_VALUE && p <= safe) {
			if (*p == '{' || *p == '[')
				p = open_inner(s, p, &place);
			else
				p = value(p, safe, &place);
		}
		if (place == JSON_AFTER && p <= safe)
			p = after(s, p, safe, &place);
	} while (p != from && place != JSON_STRING);
	s->place = place;
	if (place == JSON_STRING)
		s->in_key = false;
	return (size_t)(p - in);
}
