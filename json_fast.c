#include "json_fast.h"

#include <string.h>

#define REACH 64      /* bytes that a step may look ahead */
#define LITERAL_MAX 6 /* false, */
#define PROBES 8      /* places where a key may be */

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

static inline bool is_next(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Bytes of the character of several bytes at p, 0 if it is not valid UTF-8
 * (RFC 3629: no overlong form, no surrogate, at most U+10FFFF). */
static unsigned character(const unsigned char *p)
{
	uint32_t c = (uint32_t)p[0] << 8 | p[1];

	if (!is_next(p[1]) || c < 0xc200)
		return 0;
	if (c < 0xe000)
		return 2;
	if (c < 0xf000)
		return is_next(p[2]) && c >= 0xe0a0 &&
			       (c < 0xeda0 || c >= 0xee00)
			   ? 3
			   : 0;
	return c >= 0xf090 && c < 0xf490 && is_next(p[2]) && is_next(p[3]) ? 4
									   : 0;
}

unsigned json_text32_portable(const unsigned char *p)
{
	unsigned n = 0, k = 8;

	while (n < 32 && k > 0) {
		k = plain8(p + n);
		if (k > 32 - n)
			k = 32 - n;
		n += k;
		if (n < 32 && k < 8 && p[n] >= 0x80) {
			k = character(p + n);
			n += k;
		}
	}
	return n;
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

#define ON8 255, 255, 255, 255, 255, 255, 255, 255
/* A mask of n bytes begins at byte JSON_SEEN_MAX - n. */
static const unsigned char window[2 * JSON_SEEN_MAX] = { ON8, ON8, ON8,
							 ON8, ON8, ON8 };

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

/* A bit for each of the 32 bytes in a and b of which a comparison with c
 * holds; a macro, as the comparison is not a value. */
#define BITS32(compare, c)                                                     \
	((uint32_t)_mm_movemask_epi8(compare(a, _mm_set1_epi8((char)(c)))) |   \
	 (uint32_t)_mm_movemask_epi8(compare(b, _mm_set1_epi8((char)(c))))     \
	     << 16)

/* How many of p[0..n-1] are whole valid characters, n at most 32; all at once
 * by masks, in which non-ASCII bytes are negative and so ordered as below. */
static unsigned utf8_32(const unsigned char *p, unsigned n)
{
	__m128i a = load16(p), b = load16(p + 16);
	uint64_t in = ((uint64_t)1 << n) - 1;
	uint32_t next = BITS32(_mm_cmplt_epi8, 0xc0);
	uint32_t high = (uint32_t)_mm_movemask_epi8(a) |
			(uint32_t)_mm_movemask_epi8(b) << 16;
	uint64_t lead = high & ~next & in;
	uint64_t lead3 = BITS32(_mm_cmpgt_epi8, 0xdf) & lead;
	uint64_t lead4 = BITS32(_mm_cmpgt_epi8, 0xef) & lead;
	uint64_t bad = (BITS32(_mm_cmplt_epi8, 0xc2) & lead) |
		       (BITS32(_mm_cmpgt_epi8, 0xf4) & lead);
	uint64_t want = lead << 1 | lead3 << 2 | lead4 << 3;
	uint32_t low_a0 = BITS32(_mm_cmplt_epi8, 0xa0);
	uint32_t low_90 = BITS32(_mm_cmplt_epi8, 0x90);

	/* second bytes that make an overlong form, a surrogate, too much */
	bad |= (uint64_t)BITS32(_mm_cmpeq_epi8, 0xe0) << 1 & low_a0;
	bad |= (uint64_t)BITS32(_mm_cmpeq_epi8, 0xed) << 1 & next & ~low_a0;
	bad |= (uint64_t)BITS32(_mm_cmpeq_epi8, 0xf0) << 1 & low_90;
	bad |= (uint64_t)BITS32(_mm_cmpeq_epi8, 0xf4) << 1 & next & ~low_90;
	if (n == 32 && want >> 32 != 0) { /* the last one is cut */
		n = 31 - (unsigned)__builtin_clz((uint32_t)lead);
		in = ((uint64_t)1 << n) - 1;
		want = (lead & in) << 1 | (lead3 & in) << 2 | (lead4 & in) << 3;
	}
	bad |= want ^ next;
	return (bad & (in | want)) == 0 ? n : 0;
}

static inline unsigned text32(const unsigned char *p)
{
	uint32_t special =
	    special16(load16(p)) | (uint32_t)special16(load16(p + 16)) << 16;
	uint32_t high;
	unsigned n;

	if (special == 0)
		return 32;
	n = (unsigned)__builtin_ctz(special);
	if (p[n] < 0x80)
		return n;
	high = (uint32_t)_mm_movemask_epi8(load16(p)) |
	       (uint32_t)_mm_movemask_epi8(load16(p + 16)) << 16;
	special &= ~high;
	n = utf8_32(p, special == 0 ? 32 : (unsigned)__builtin_ctz(special));
	return n > 0 ? n : json_text32_portable(p);
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

/* Are p[0..n-1] and q[0..n-1] the same, n from 1 to 48? */
static inline bool is_same(const unsigned char *p, const unsigned char *q,
			   unsigned n)
{
	const unsigned char *mask = window + JSON_SEEN_MAX - n;
	__m128i d =
	    _mm_and_si128(_mm_xor_si128(load16(p), load16(q)), load16(mask));

	d = _mm_or_si128(
	    d, _mm_and_si128(_mm_xor_si128(load16(p + 16), load16(q + 16)),
			     load16(mask + 16)));
	d = _mm_or_si128(
	    d, _mm_and_si128(_mm_xor_si128(load16(p + 32), load16(q + 32)),
			     load16(mask + 32)));
	return _mm_movemask_epi8(_mm_cmpeq_epi8(d, _mm_setzero_si128())) ==
	       0xffff;
}
#else
static inline bool is_same(const unsigned char *p, const unsigned char *q,
			   unsigned n)
{
	return memcmp(p, q, n) == 0;
}

static inline unsigned text32(const unsigned char *p)
{
	return json_text32_portable(p);
}

static inline unsigned digits16(const unsigned char *p)
{
	return json_digits16_portable(p);
}
#endif

unsigned json_text32(const unsigned char *p)
{
	return text32(p);
}

unsigned json_digits16(const unsigned char *p)
{
	return digits16(p);
}

bool json_same(const unsigned char *p, const unsigned char *q, unsigned n)
{
	return is_same(p, q, n);
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

/* From inside a string to its closing quote, or to where it gets unusual. */
__attribute__((always_inline)) static inline const unsigned char *
string(const unsigned char *p, const unsigned char *safe)
{
	const unsigned char *from;

	do {
		from = p;
		p += text32(p);
		if (*p == '\\')
			p = escapes(p, safe);
	} while (p != from && *p != '"' && p <= safe);
	return p;
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

/* Behind the key at p and its colon, or p itself. */
static inline const unsigned char *key(const unsigned char *p,
				       const unsigned char *safe)
{
	const unsigned char *end = p + 1;
	unsigned n;

	if (*p != '"')
		return p;
	do {
		n = text32(end);
		end += n;
	} while (n >= 29 && end <= safe); /* or it ends in a cut character */
	if (end > safe || end[0] != '"' || end[1] != ':')
		return p;
	return end[2] == ' ' ? end + 3 : end + 2;
}

/* Bytes of the literal at p and its comma, 0 if it is no such thing. */
static unsigned literal(const unsigned char *p)
{
	if (is_word(p, "null") || is_word(p, "true"))
		return p[4] == ',' ? 5 : 0;
	return is_word(p, "fals") && p[4] == 'e' && p[5] == ',' ? 6 : 0;
}

/* The key of n bytes at p among those seen, after this last one; a new one if
 * it is not there, in place of an old one if there is no room. */
static struct json_seen *look_up(struct json_scan *s, struct json_seen *last,
				 const unsigned char *p, unsigned n)
{
	/* what follows depends on the last three keys or so */
	uint32_t hash = (p[1] | (uint32_t)p[n / 2] << 8 |
			 (uint32_t)p[n - 3] << 16 | n << 24) *
			    2654435761u >>
			23;
	unsigned found = s->found, i;
	struct json_seen *e = NULL;

	for (i = 0; i < PROBES; i++) {
		last->next = (uint16_t)(1 + (last->home + i) % (JSON_SEEN - 1));
		e = &s->seen[last->next];
		if (e->key_n == n && memcmp(e->text, p, n) == 0)
			return e;
		if (e->key_n == 0)
			break;
	}
	e->key_n = (unsigned char)n;
	e->home = (uint16_t)(((unsigned)last->home << 3 ^ hash) % JSON_SEEN);
	s->found = 0;
	json_classify(s, p + 1, n - 3 - (p[n - 1] == ' '));
	e->found = (unsigned char)s->found;
	s->found = found;
	return e;
}

/* Take the key at p, and a literal behind it if that is what followed it last
 * time. Most keys come in the order of the last message: such a one is found by
 * one comparison, and nothing waits for where it ends. */
static inline const unsigned char *
take_key(struct json_scan *s, const unsigned char *p, const unsigned char *safe,
	 enum json_place *place, struct json_seen **last)
{
	struct json_seen *e = &s->seen[(*last)->next];
	const unsigned char *end = p + e->all_n;
	unsigned n;

	if (is_same(p, e->text, e->all_n) && e->all_n > 0) {
		*place = e->all_n > e->key_n ? JSON_KEY : JSON_VALUE;
	} else {
		end = key(p, safe);
		n = (unsigned)(end - p);
		if (n == 0)
			return p;
		*place = JSON_VALUE;
		if (n > JSON_SEEN_MAX - LITERAL_MAX) {
			if (s->depth == 1)
				json_classify(s, p + 1,
					      n - 3 - (end[-1] == ' '));
			return end;
		}
		e = look_up(s, *last, p, n);
		memcpy(e->text, p, JSON_SEEN_MAX);
		e->all_n = (unsigned char)(n + literal(end));
	}
	if (s->depth == 1)
		s->found |= e->found;
	*last = e;
	return end;
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
	struct json_seen *last = &s->seen[s->last];

	if (place == JSON_STRING) {
		p = string(p, safe);
		if (*p != '"' || p > safe)
			return (size_t)(p - in);
		p++;
		place = s->in_key ? JSON_COLON : JSON_AFTER;
	}
	do {
		from = p;
		if (place == JSON_KEY && p <= safe)
			p = take_key(s, p, safe, &place, &last);
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
	s->last = (uint16_t)(last - s->seen);
	if (place == JSON_STRING)
		s->in_key = false;
	return (size_t)(p - in);
}
