#include "json_scan.h"

#include <string.h>

const char *json_error_text(enum json_error e)
{
	static const char *const text[JSON_ERRORS] = {
		[JSON_OK] = "no error",
		[JSON_NOT_OBJECT] = "not an object",
		[JSON_TRAILING] = "something follows the object",
		[JSON_UNEXPECTED] = "an unexpected character",
		[JSON_CONTROL] = "a control character in a string",
		[JSON_BAD_ESCAPE] = "an unknown escape in a string",
		[JSON_BAD_UTF8] = "not UTF-8",
		[JSON_BAD_NUMBER] = "not a number",
		[JSON_BAD_LITERAL] = "not true, false or null",
		[JSON_TOO_DEEP] = "nested more than 1,024 deep",
		[JSON_UNFINISHED] = "the object is not closed",
	};

	return text[e];
}

void json_init(struct json_scan *s, const char *tweet_key)
{
	memset(s, 0, sizeof *s);
	s->tweet_key = tweet_key;
	s->after[0] = JSON_DONE;
}

void json_begin(struct json_scan *s)
{
	s->place = JSON_BEFORE;
	s->error = JSON_OK;
	s->at = 0;
	s->found = s->depth = 0;
	s->last = s->seen;
}

enum json_class json_class(const struct json_scan *s)
{
	return (enum json_class)__builtin_ctz(s->found | 1u << JSON_OTHER);
}

/* Is a valid string, as it stands before its closing quote, this ASCII word? */
static bool key_is(const uint8_t *p, const char *word)
{
	uint32_t c;

	for (; *p != '"' && *word != '\0'; word++) {
		c = *p++;
		if (c == '\\')
			c = text_unescape(&p);
		if (c != (unsigned char)*word)
			return false;
	}
	return *p == '"' && *word == '\0';
}

/* A bit for each class that such a key at the top level stands for. */
static unsigned classify(const struct json_scan *s, const uint8_t *p)
{
	const char *const name[] = { "disconnect", s->tweet_key, "limit",
				     "delete", "warning" };
	bool twitter = strcmp(s->tweet_key, "text") == 0 ||
		       strcmp(s->tweet_key, "data") == 0;
	unsigned found = 0, c;

	for (c = 0; c < JSON_OTHER; c++)
		if ((twitter || c == JSON_TWEET) && key_is(p, name[c]))
			found |= 1u << c;
	return found;
}

#define AT(place) (1u << (place))
#define KEYS (AT(JSON_KEY) | AT(JSON_KEY_OR_END))
#define VALUE (AT(JSON_VALUE) | AT(JSON_VALUE_OR_END))
#define OBJECT (AT(JSON_BEFORE) | VALUE)
#define OBJECT_END (AT(JSON_KEY_OR_END) | AT(JSON_AFTER_MEMBER))
#define ARRAY_END (AT(JSON_VALUE_OR_END) | AT(JSON_AFTER_ELEMENT))
#define COMMA (AT(JSON_AFTER_MEMBER) | AT(JSON_AFTER_ELEMENT))
#define QUOTE (KEYS | VALUE | SHORT)
#define WORD (VALUE | SHORT)
#define DIGIT (VALUE | NUMBER | HEX)
#define NUMBER 0x1000u /* it may be a part of a number */
#define SPACE 0x2000u  /* white space */
#define SHORT 0x4000u  /* behind a backslash, an escape */
#define HEX 0x8000u    /* a hexadecimal digit */

/* The grammar: where a token may begin with this byte, and what else it is. */
static const uint16_t byte[256] = {
	[' '] = SPACE,      ['\t'] = SPACE,       ['\r'] = SPACE,
	['\n'] = SPACE,     ['{'] = OBJECT,       ['['] = VALUE,
	['}'] = OBJECT_END, [']'] = ARRAY_END,    [':'] = AT(JSON_COLON),
	[','] = COMMA,      ['"'] = QUOTE,        ['t'] = WORD,
	['n'] = WORD,       ['f'] = WORD | HEX,   ['-'] = VALUE | NUMBER,
	['0'] = DIGIT,      ['1'] = DIGIT,        ['2'] = DIGIT,
	['3'] = DIGIT,      ['4'] = DIGIT,        ['5'] = DIGIT,
	['6'] = DIGIT,      ['7'] = DIGIT,        ['8'] = DIGIT,
	['9'] = DIGIT,      ['e'] = HEX | NUMBER, ['E'] = HEX | NUMBER,
	['a'] = HEX,        ['b'] = HEX | SHORT,  ['c'] = HEX,
	['d'] = HEX,        ['A'] = HEX,          ['B'] = HEX,
	['C'] = HEX,        ['D'] = HEX,          ['F'] = HEX,
	['\\'] = SHORT,     ['/'] = SHORT,        ['r'] = SHORT,
	['.'] = NUMBER,     ['+'] = NUMBER,
};

#if defined(__SSE2__) && !defined(JSON_PORTABLE)
#include <emmintrin.h>

static inline __m128i load(const uint8_t *p)
{
	return _mm_loadu_si128((const void *)p);
}

/* Behind the plain text at p: at a quote, a backslash, a control character or
 * what is not ASCII. As signed bytes all of them but the backslash are below !
 * when quotes are made spaces. */
static inline const uint8_t *plain(const uint8_t *p)
{
	const __m128i slash = _mm_set1_epi8('\\'), bound = _mm_set1_epi8('!');
	const __m128i change = _mm_set1_epi8('"' ^ ' ');

	for (;; p += 16) {
		__m128i x = load(p), low = _mm_xor_si128(x, change);
		unsigned special = (unsigned)_mm_movemask_epi8(_mm_or_si128(
		    _mm_cmpeq_epi8(x, slash), _mm_cmplt_epi8(low, bound)));

		if (special != 0)
			return p + __builtin_ctz(special);
	}
}

/* A bit for each of p[0..15] that is the same in q. */
static inline uint64_t same(const uint8_t *p, const uint8_t *q)
{
	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(load(p), load(q)));
}

/* Does the text at p begin as what was seen? */
static inline bool is_seen(const struct json_seen *e, const uint8_t *p)
{
	return (same(p, e->text) | same(p + 16, e->text + 16) << 16 |
		same(p + 32, e->text + 32) << 32 | e->behind) == UINT64_MAX;
}
#else
static const uint8_t *plain(const uint8_t *p)
{
	while (*p != '"' && *p != '\\' && *p >= ' ' && *p < 0x80)
		p++;
	return p;
}

static bool is_seen(const struct json_seen *e, const uint8_t *p)
{
	return e->n > 0 && memcmp(p, e->text, e->n) == 0;
}
#endif

/* Where the key at p is if it was seen after the last one, or else is to be. It
 * is expected there next time. */
static struct json_seen *look_up(struct json_scan *s, const uint8_t *p)
{
	size_t n = (size_t)(plain(p + 1) + 1 - p);
	struct json_seen *e = s->last;
	uint32_t hash;
	unsigned i;

	if (n > JSON_SEEN_MAX)
		return e;
	hash = p[1] | (uint32_t)p[n / 2] << 8 | (uint32_t)p[n - 2] << 16 |
	       (uint32_t)n << 24;
	/* what follows depends on the last three keys or so */
	hash = hash * 2654435761u >> 23 ^ (uint32_t)(e - s->seen) << 3;
	for (i = 0; i < 4; i++) {
		e = &s->seen[(hash + i) % JSON_SEEN];
		if (e->n == 0 || memcmp(e->text, p, n) == 0)
			break;
	}
	s->last->next = (uint16_t)(e - s->seen);
	return e;
}

/* A scan under way. It lives in registers: all that takes one is inlined. */
struct cursor {
	const uint8_t *p;
	unsigned depth;
	enum json_place place;
	enum json_error error; /* of the byte at p */
};

/* Take keys that were seen, up to one that no literal follows. Most come in the
 * order of the last message, and are found by one comparison. */
static inline void take_seen(struct json_scan *s, struct cursor *c)
{
	struct json_seen *e;

	while ((KEYS >> c->place & 1) != 0) {
		e = &s->seen[s->last->next];
		if (!is_seen(e, c->p) &&
		    (*c->p != '"' || !is_seen(e = look_up(s, c->p), c->p)))
			break;
		if (c->depth == 1)
			s->found |= e->found;
		s->last = e;
		c->place = e->place;
		c->p += e->n;
	}
}

/* A value is over, or bad, at p: what may follow. A comma is taken at once. */
static inline void after_value(const struct json_scan *s, struct cursor *c,
			       const uint8_t *p, enum json_error error)
{
	c->p = p;
	c->error = error;
	c->place = s->after[c->depth];
	if (*p != ',' || c->place == JSON_DONE || error != JSON_OK)
		return;
	c->p++;
	c->place = c->place == JSON_AFTER_MEMBER ? JSON_KEY : JSON_VALUE;
}

/* One of three words. */
static inline void take_literal(const struct json_scan *s, struct cursor *c)
{
	const uint8_t *p = c->p;
	const char *word = *p == 't' ? "true" : *p == 'f' ? "false" : "null";

	for (; *word != '\0' && *p == (uint8_t)*word; word++)
		p++;
	after_value(s, c, p, *word == '\0' ? JSON_OK : JSON_BAD_LITERAL);
}

/* A key is over, at p: remember it with its colon and a literal. */
static inline void after_key(struct json_scan *s, struct cursor *c,
			     const uint8_t *p)
{
	const uint8_t *key = c->p;
	unsigned found = classify(s, key + 1);
	struct json_seen *e;

	if (c->depth == 1)
		s->found |= found;
	c->p = p;
	c->place = JSON_COLON;
	if (*p != ':')
		return;
	c->p++;
	c->place = JSON_VALUE;
	if (p[1] == 't' || p[1] == 'f' || p[1] == 'n')
		take_literal(s, c);
	if (c->p - key > JSON_SEEN_MAX || c->error != JSON_OK)
		return;
	e = look_up(s, key);
	e->n = (uint8_t)(c->p - key);
	memcpy(e->text, key, e->n);
	e->behind = UINT64_MAX << e->n;
	e->place = (uint8_t)c->place;
	e->found = (uint8_t)found;
	s->last = e;
}

/* Behind the escapes at p that are right. */
static inline const uint8_t *escapes(const uint8_t *p)
{
	while (*p == '\\') {
		if (p[1] == 'u' && (byte[p[2]] & byte[p[3]] & byte[p[4]] &
				    byte[p[5]] & HEX) != 0)
			p += 6;
		else if ((byte[p[1]] & SHORT) != 0)
			p += 2;
		else
			break;
	}
	return p;
}

/* What begins at p in a string is wrong: say why, and at which byte. */
static inline void take_wrong(struct cursor *c, const uint8_t *p)
{
	size_t size;

	c->error = *p < ' '     ? JSON_CONTROL
		   : *p >= 0x80 ? JSON_BAD_UTF8
				: JSON_BAD_ESCAPE;
	c->p = *p < ' ' ? p : p + 1;
	if (*p >= 0x80)
		c->p = p + text_utf8_begin(p, 4, &size);
	else if (*p == '\\' && p[1] == 'u')
		for (c->p++; (byte[*c->p] & HEX) != 0;)
			c->p++;
}

static inline void take_string(struct json_scan *s, struct cursor *c)
{
	const uint8_t *p = plain(c->p + 1), *from;
	size_t n;

	for (; *p != '"'; p = plain(p)) {
		from = p;
		p = escapes(p);
		while (*p >= 0x80 && (n = text_utf8_4(p)) > 0)
			p += n;
		if (p == from) {
			take_wrong(c, p);
			return;
		}
	}
	if ((KEYS >> c->place & 1) != 0)
		after_key(s, c, p + 1);
	else
		after_value(s, c, p + 1, JSON_OK);
}

static const uint8_t *digits(const uint8_t *p)
{
	while (text_is_digit(*p))
		p++;
	return p;
}

/* RFC 8259, section 6. */
static inline void take_number(const struct json_scan *s, struct cursor *c)
{
	const uint8_t *p = c->p + (*c->p == '-');

	p = *p == '0' ? p + 1 : digits(p);
	if (*p == '.' && text_is_digit(p[-1]))
		p = digits(p + 1);
	if ((*p | 32) == 'e' && text_is_digit(p[-1]))
		p = digits(p + 1 + (p[1] == '+' || p[1] == '-'));
	after_value(s, c, p,
		    text_is_digit(p[-1]) && (byte[*p] & NUMBER) == 0
			? JSON_OK
			: JSON_BAD_NUMBER);
}

static inline void take_token(struct json_scan *s, struct cursor *c, uint8_t b)
{
	if (b == '"') {
		take_string(s, c);
	} else if (b == ':') {
		c->p++;
		c->place = JSON_VALUE;
	} else if (b == ',') { /* behind white space */
		after_value(s, c, c->p, JSON_OK);
	} else if (b == '}' || b == ']') {
		c->depth--;
		after_value(s, c, c->p + 1, JSON_OK);
	} else if ((b == '{' || b == '[') && c->depth == JSON_DEPTH) {
		c->error = JSON_TOO_DEEP;
	} else if (b == '{' || b == '[') {
		c->p++;
		c->place = b == '{' ? JSON_KEY_OR_END : JSON_VALUE_OR_END;
		s->after[++c->depth] =
		    b == '{' ? JSON_AFTER_MEMBER : JSON_AFTER_ELEMENT;
	} else if (b >= 'f') {
		take_literal(s, c);
	} else {
		take_number(s, c);
	}
}

void json_scan(struct json_scan *s, const uint8_t *text)
{
	struct cursor c = { text + s->at, s->depth, s->place, JSON_OK };
	uint8_t b;

	do {
		take_seen(s, &c);
		b = *c.p;
		if ((byte[b] >> c.place & 1) != 0)
			take_token(s, &c, b);
		else if ((byte[b] & SPACE) != 0)
			c.p++;
		else
			c.error = c.place == JSON_BEFORE ? JSON_NOT_OBJECT
				  : c.place == JSON_DONE ? JSON_TRAILING
							 : JSON_UNEXPECTED;
	} while (c.error == JSON_OK && b != '\n');
	s->at = (size_t)(c.p - text);
	s->depth = c.depth;
	s->error = c.error;
	s->place = c.error == JSON_OK ? c.place : JSON_FAILED;
}

/* What follows walks text that is known to be valid, so every token ends
 * before the object does. */

static const uint8_t *skip_space(const uint8_t *p)
{
	while ((byte[*p] & SPACE) != 0)
		p++;
	return p;
}

/* From behind a string's opening quote to its closing one. */
static const uint8_t *string_end(const uint8_t *p)
{
	while (*p != '"')
		p += *p == '\\' ? 2 : 1;
	return p;
}

static const uint8_t *value_end(const uint8_t *p)
{
	int depth = 0;

	do {
		if (*p == '"')
			p = string_end(p + 1);
		depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
		p++;
	} while (depth > 0 || (byte[*p] & (SPACE | COMMA)) == 0);
	return p;
}

/* The value of a key in the object or the array of such that p is at, or NULL.
 */
static const uint8_t *member(const uint8_t *p, const char *key)
{
	const uint8_t *name;

	while (*p == '[')
		p = skip_space(p + 1);
	while (*p == '{' || *p == ',') {
		name = skip_space(p + 1);
		if (*name++ == '}')
			break;
		p = skip_space(skip_space(string_end(name) + 1) + 1);
		if (key_is(name, key))
			return p;
		p = skip_space(value_end(p));
	}
	return NULL;
}

bool json_find(const char *object, const char *const *path, struct piece *v)
{
	const uint8_t *p = skip_space((const uint8_t *)object), *end;

	v->p = "";
	v->n = 0;
	for (; p != NULL && *path != NULL; path++)
		p = member(p, *path);
	if (p == NULL)
		return false;
	end = *p == '"' ? string_end(++p) : value_end(p);
	v->p = (const char *)p;
	v->n = (size_t)(end - p);
	return true;
}
