#include "json_fast.h"

#include <string.h>

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

uint32_t json_special32_portable(const unsigned char *p)
{
	unsigned n = 0, k = 8;

	while (n < 32 && k == 8) {
		k = plain8(p + n);
		n += k;
	}
	return n < 32 ? (uint32_t)1 << n : 0;
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

bool json_unicode30_portable(const unsigned char *p)
{
	unsigned n = 0;

	while (n < 30 && p[n] == '\\' && p[n + 1] == 'u' && is_hex4(p + n + 2))
		n += 6;
	return n == 30;
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
 * non-ASCII are negative, so below 0x20 too; a quote becomes 0x20. */
static inline unsigned special16(__m128i x)
{
	return (unsigned)_mm_movemask_epi8(
	    _mm_or_si128(_mm_cmplt_epi8(_mm_xor_si128(x, _mm_set1_epi8(2)),
					_mm_set1_epi8(0x21)),
			 _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'))));
}

static inline uint32_t special32(const unsigned char *p)
{
	return special16(load16(p)) | (uint32_t)special16(load16(p + 16)) << 16;
}

/* A bit for each of the 32 bytes in a and b of which a comparison with c
 * holds; a macro, as the comparison is not a value. */
#define BITS32(compare, c)                                                     \
	((uint32_t)_mm_movemask_epi8(compare(a, _mm_set1_epi8((char)(c)))) |   \
	 (uint32_t)_mm_movemask_epi8(compare(b, _mm_set1_epi8((char)(c))))     \
	     << 16)

static inline __m128i is16(__m128i x, int c)
{
	return _mm_cmpeq_epi8(x, _mm_set1_epi8((char)c));
}

static inline __m128i below16(__m128i x, int c)
{
	return _mm_cmplt_epi8(x, _mm_set1_epi8((char)c));
}

/* A bit for each of p[0..15] that, if it is a lead, stands for no character: an
 * overlong form, a surrogate, too much. As signed bytes all that are not ASCII
 * are ordered as below. */
static inline unsigned bad16(const unsigned char *p)
{
	__m128i x = load16(p), second = load16(p + 1);
	__m128i low = below16(second, 0xa0), lower = below16(second, 0x90);
	__m128i two = is16(_mm_and_si128(x, _mm_set1_epi8((char)0xfe)), 0xc0);
	__m128i three = _mm_or_si128(_mm_and_si128(is16(x, 0xe0), low),
				     _mm_andnot_si128(low, is16(x, 0xed)));
	__m128i four = _mm_or_si128(_mm_and_si128(is16(x, 0xf0), lower),
				    _mm_andnot_si128(lower, is16(x, 0xf4)));
	__m128i more = _mm_cmpgt_epi8(x, _mm_set1_epi8((char)0xf4));

	return (unsigned)_mm_movemask_epi8(
	    _mm_or_si128(_mm_or_si128(two, three), _mm_or_si128(four, more)));
}

/* How many of p[0..n-1] are whole valid characters, n at most 32; all at once
 * by masks. */
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
	uint64_t bad = (bad16(p) | (uint32_t)bad16(p + 16) << 16) & lead;
	uint64_t want = lead << 1 | lead3 << 2 | lead4 << 3;

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
	uint32_t special = special32(p), high;
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

/* A bit for each of p[0..15] that is the same in q, which is aligned. */
static inline uint64_t same16(const unsigned char *p, const unsigned char *q)
{
	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(
	    load16(p), _mm_load_si128((const __m128i *)(const void *)q)));
}

/* A bit for each byte that is a hexadecimal digit. */
static inline unsigned hex16(__m128i x)
{
	__m128i digit = _mm_sub_epi8(x, _mm_set1_epi8('0'));
	__m128i letter = _mm_sub_epi8(_mm_or_si128(x, _mm_set1_epi8(0x20)),
				      _mm_set1_epi8('a'));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(
	    _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit),
	    _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(5)), letter)));
}

static inline bool unicode30(const unsigned char *p)
{
	static const unsigned char frame[32] __attribute__((aligned(16))) =
	    "\\u....\\u....\\u....\\u....\\u....";
	/* a bit for each byte of a \u, and of the digits behind it */
	const uint32_t framed = 0x030c30c3, digits = 0x3cf3cf3c;
	uint32_t hex = hex16(load16(p)) | (uint32_t)hex16(load16(p + 16)) << 16;
	uint64_t same = same16(p, frame) | same16(p + 16, frame + 16) << 16;

	return (same & framed) == framed && (hex & digits) == digits;
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

/* An empty e ignores nothing, not even the bits above its text's, which are
 * never set: so it is never seen. */
static inline bool is_seen(const unsigned char *p, const struct json_seen *e)
{
	return (same16(p, e->text) | same16(p + 16, e->text + 16) << 16 |
		same16(p + 32, e->text + 32) << 32 | e->ignored) == UINT64_MAX;
}
#else
static inline bool is_seen(const unsigned char *p, const struct json_seen *e)
{
	return e->all_n > 0 && memcmp(p, e->text, e->all_n) == 0;
}

static inline bool unicode30(const unsigned char *p)
{
	return json_unicode30_portable(p);
}

static inline uint32_t special32(const unsigned char *p)
{
	return json_special32_portable(p);
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

uint32_t json_special32(const unsigned char *p)
{
	return special32(p);
}

unsigned json_text32(const unsigned char *p)
{
	return text32(p);
}

unsigned json_digits16(const unsigned char *p)
{
	return digits16(p);
}

bool json_unicode30(const unsigned char *p)
{
	return unicode30(p);
}

void json_remember(struct json_seen *e, const unsigned char *p, unsigned n)
{
	memcpy(e->text, p, JSON_SEEN_MAX);
	e->ignored = UINT64_MAX << n;
	e->all_n = (unsigned char)n;
}

bool json_is_seen(const unsigned char *p, const struct json_seen *e)
{
	return is_seen(p, e);
}

/* Bytes of the escape at p, and of four more if they follow; 0 if it is not
 * valid. Runs are long where a script is not Latin. */
static inline unsigned escape(const unsigned char *p)
{
	if (p[1] != 'u')
		return kind[p[1]] & 2;
	if (p[24] == '\\' && unicode30(p))
		return 30;
	return is_hex4(p + 2) ? 6 : 0;
}

/* Behind the escapes at p, one or many, up to one that is not valid. */
static inline const unsigned char *escapes(const unsigned char *p,
					   const unsigned char *safe)
{
	unsigned n;

	do {
		n = escape(p);
		p += n;
	} while (n > 0 && *p == '\\' && p <= safe);
	return p;
}

/* Behind the characters of several bytes at p, and plain text between them, up
 * to one that is not valid. Of scripts with three bytes a character 30 of 32
 * are whole: not to add what was found is as in string(). */
static inline const unsigned char *characters(const unsigned char *p,
					      const unsigned char *safe)
{
	unsigned n;

	while (p <= safe && *p >= 0x80) {
		n = text32(p);
		if (n != 30)
			return p + n;
		p += 30;
	}
	return p;
}

/* From inside a string to its closing quote, or to where it gets unusual. Most
 * values of a key are as long as the last one: to compare with that length, and
 * not to add what was found, lets a processor go on before it is found. */
__attribute__((always_inline)) static inline const unsigned char *
string(const unsigned char *p, const unsigned char *safe, struct json_seen *e)
{
	const unsigned char *from;
	uint32_t special;

	do {
		from = p;
		special = special32(p);
		if (special == 0) {
			p += 32;
			continue;
		}
		if (special << (31 - e->tail) == 1u << 31) {
			p += e->tail;
			if (*p == '"')
				return p;
		} else {
			p += (unsigned)__builtin_ctz(special);
			if (*p == '"') {
				e->tail = (unsigned char)(p - from);
				return p;
			}
		}
		if (*p == '\\' && p <= safe)
			p = escapes(p, safe);
		else if (*p >= 0x80)
			p = characters(p, safe);
	} while (p != from && p <= safe);
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

/* Behind the key at p and its colon, with a space before and behind or not; or
 * p itself. */
static inline const unsigned char *key(const unsigned char *p,
				       const unsigned char *safe)
{
	const unsigned char *end = p + 1 + (*p == ' ');
	unsigned n;

	if (end[-1] != '"')
		return p;
	do {
		n = text32(end);
		end += n;
	} while (n >= 29 && end <= safe); /* or it ends in a cut character */
	if (end > safe || end[0] != '"' || end[1] != ':')
		return p;
	return end[2] == ' ' ? end + 3 : end + 2;
}

/* The class of a key that key() found to be n bytes. */
static void classify(struct json_scan *s, const unsigned char *p, size_t n)
{
	size_t front = *p == ' ' ? 2 : 1, back = p[n - 1] == ' ' ? 3 : 2;

	json_classify(s, p + front, n - front - back);
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
	classify(s, p, n);
	e->found = (unsigned char)s->found;
	s->found = found;
	return e;
}

/* Judge the key at p and expect it next time. Returns what is behind it, or p
 * itself; s->last is it, if it is not too long. */
__attribute__((noinline)) static const unsigned char *
new_key(struct json_scan *s, struct json_seen *last, const unsigned char *p,
	const unsigned char *safe)
{
	const unsigned char *end = key(p, safe);
	unsigned n = (unsigned)(end - p);
	struct json_seen *e;

	s->last = (uint16_t)(last - s->seen);
	if (n > JSON_SEEN_MAX - LITERAL_MAX) {
		if (s->depth == 1)
			classify(s, p, n);
	} else if (n > 0) {
		e = look_up(s, last, p, n);
		json_remember(e, p, n + literal(end));
		if (s->depth == 1)
			s->found |= e->found;
		s->last = (uint16_t)(e - s->seen);
	}
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

/* Where it is: in registers, as what takes one is inlined. From up to safe on
 * JSON_FAST_MIN bytes can be read, more than any step looks ahead. */
struct cursor {
	const unsigned char *p, *safe;
	struct json_seen *last; /* the key before */
	bool object;            /* is what is innermost open one? */
};

/* Take keys up to one that no literal follows. Most keys come in the order of
 * the last message: such a one is found by one comparison, and nothing waits
 * for where it ends. Returns the new place. */
static inline enum json_place keys(struct json_scan *s, struct cursor *c)
{
	const unsigned char *from;
	struct json_seen *e;
	bool pair;

	do {
		e = &s->seen[c->last->next];
		if (!is_seen(c->p, e)) {
			from = c->p;
			c->p = new_key(s, c->last, from, c->safe);
			c->last = &s->seen[s->last];
			return c->p == from ? JSON_KEY : JSON_VALUE;
		}
		c->p += e->all_n;
		c->last = e;
		if (s->depth == 1)
			s->found |= e->found;
		pair = e->all_n > e->key_n;
	} while (pair && c->p <= c->safe);
	return pair ? JSON_KEY : JSON_VALUE;
}

/* Open the object or array at p; an empty one is closed again at once. */
static inline enum json_place open_inner(struct json_scan *s, struct cursor *c)
{
	if (s->depth == JSON_DEPTH)
		return JSON_VALUE;
	if (c->p[1] == c->p[0] + 2) { /* {} or [] */
		c->p += 2;
		return JSON_AFTER;
	}
	c->object = *c->p++ == '{';
	s->is_object[s->depth++] = c->object;
	if (c->object)
		return *c->p == '"' ? JSON_KEY : JSON_KEY_OR_END;
	return *c->p > ' ' ? JSON_VALUE : JSON_VALUE_OR_END;
}

/* Take a value, of an object or array the beginning. One that is unusual stays
 * where it is, or is left inside its string. */
static inline enum json_place value(struct json_scan *s, struct cursor *c)
{
	const unsigned char *end;

	if (*c->p == '"') {
		c->p = string(c->p + 1, c->safe, c->last);
		if (*c->p != '"') {
			s->in_key = false;
			return JSON_STRING;
		}
		c->p++;
		return JSON_AFTER;
	}
	if (*c->p == '{' || *c->p == '[')
		return open_inner(s, c);
	end = scalar(c->p);
	if (end == c->p)
		return JSON_VALUE;
	c->p = end;
	return JSON_AFTER;
}

/* What follows a value: a comma, perhaps behind the ends of inner objects and
 * arrays. */
static inline enum json_place after(struct json_scan *s, struct cursor *c)
{
	while (*c->p == (c->object ? '}' : ']') && s->depth > 1 &&
	       c->p <= c->safe) {
		s->depth--;
		c->object = json_in_object(s);
		c->p++;
	}
	if (*c->p != ',')
		return JSON_AFTER;
	c->p++;
	return c->object ? JSON_KEY : JSON_VALUE;
}

size_t json_fast(struct json_scan *s, const unsigned char *in, size_t n)
{
	struct cursor c = { in, in + n - JSON_FAST_MIN, &s->seen[s->last],
			    s->depth > 0 && json_in_object(s) };
	enum json_place place = s->place;
	const unsigned char *from;

	if (place == JSON_STRING) {
		c.p = string(in, c.safe, c.last);
		if (*c.p != '"')
			return (size_t)(c.p - in);
		c.p++;
		place = s->in_key ? JSON_COLON : JSON_AFTER;
	}
	while (c.p <= c.safe) {
		if (place == JSON_KEY) {
			place = keys(s, &c);
			if (place == JSON_KEY || c.p > c.safe)
				break;
		}
		if (place == JSON_VALUE) {
			from = c.p;
			place = value(s, &c);
			if (c.p == from || place == JSON_STRING)
				break;
			if (place != JSON_AFTER)
				continue; /* it was opened */
		}
		if (place != JSON_AFTER)
			break;
		place = after(s, &c);
		if (place == JSON_AFTER)
			break;
	}
	s->place = place;
	s->last = (uint16_t)(c.last - s->seen);
	return (size_t)(c.p - in);
}
