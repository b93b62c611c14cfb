#include "json_scan.h"

#include "text.h"

#include <string.h>

#if defined(__SSE2__) && !defined(JSON_PORTABLE)
#include <emmintrin.h>
#define HAS_SSE2 1
#else
#define HAS_SSE2 0
#endif

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
	s->tweet_key = tweet_key;
	s->only_tweets =
	    strcmp(tweet_key, "text") != 0 && strcmp(tweet_key, "data") != 0;
	s->place = JSON_BEFORE;
	s->error = JSON_OK;
	s->at = 0;
	s->depth = 0;
	s->found = 0;
}

enum json_class json_class(const struct json_scan *s)
{
	int c = JSON_DISCONNECT;

	while (c < JSON_OTHER && (s->found >> c & 1) == 0)
		c++;
	return (enum json_class)c;
}

/* The character that a valid escape stands for, or 0 for one that no key of
 * ours has; *p is behind its backslash. */
static unsigned unescape(const unsigned char **p)
{
	unsigned c = *(*p)++, i;

	if (c != 'u')
		return strchr("bfnrt", (int)c) != NULL ? 0 : c;
	for (c = 0, i = 0; i < 4; i++)
		c = c << 4 | (unsigned)text_hex(*(*p)++);
	return c;
}

/* Is a valid string, as it stands between its quotes, this ASCII word? */
static bool key_is(const unsigned char *p, size_t n, const char *word)
{
	const unsigned char *end = p + n;
	unsigned c;

	for (; p < end && *word != '\0'; word++) {
		c = *p++;
		if (c == '\\')
			c = unescape(&p);
		if (c != (unsigned char)*word)
			return false;
	}
	return p == end && *word == '\0';
}

/* Note the class of a top-level key, p[0..n-1] as it stands in its quotes. */
static void classify(struct json_scan *s, const unsigned char *p, size_t n)
{
	static const char *const name[JSON_OTHER] = {
		[JSON_DISCONNECT] = "disconnect",
		[JSON_LIMIT] = "limit",
		[JSON_DELETE] = "delete",
		[JSON_WARNING] = "warning",
	};
	unsigned c;

	if (key_is(p, n, s->tweet_key))
		s->found |= 1u << JSON_TWEET;
	for (c = 0; c < JSON_OTHER && !s->only_tweets; c++)
		if (c != JSON_TWEET && key_is(p, n, name[c]))
			s->found |= 1u << c;
}

/* The byte at at is wrong. */
static void fail(struct json_scan *s, enum json_error e)
{
	s->place = JSON_FAILED;
	s->error = e;
}

static bool is_space(unsigned char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

#define AT(place) (1u << (place))
#define VALUES (AT(JSON_VALUE) | AT(JSON_VALUE_OR_END))

#define HEX 0x8000u /* a hexadecimal digit */

/* The grammar: the places in which a token may begin with this byte. */
static const uint16_t allowed[256] = {
	['{'] = AT(JSON_BEFORE) | VALUES,
	['['] = VALUES,
	['}'] = AT(JSON_KEY_OR_END) | AT(JSON_AFTER_MEMBER),
	[']'] = AT(JSON_VALUE_OR_END) | AT(JSON_AFTER_ELEMENT),
	[':'] = AT(JSON_COLON),
	[','] = AT(JSON_AFTER_MEMBER) | AT(JSON_AFTER_ELEMENT),
	['"'] = AT(JSON_KEY) | AT(JSON_KEY_OR_END) | VALUES,
	['t'] = VALUES,
	['f'] = VALUES | HEX,
	['n'] = VALUES,
	['-'] = VALUES,
	['0'] = VALUES | HEX,
	['1'] = VALUES | HEX,
	['2'] = VALUES | HEX,
	['3'] = VALUES | HEX,
	['4'] = VALUES | HEX,
	['5'] = VALUES | HEX,
	['6'] = VALUES | HEX,
	['7'] = VALUES | HEX,
	['8'] = VALUES | HEX,
	['9'] = VALUES | HEX,
	['a'] = HEX,
	['b'] = HEX,
	['c'] = HEX,
	['d'] = HEX,
	['e'] = HEX,
	['A'] = HEX,
	['B'] = HEX,
	['C'] = HEX,
	['D'] = HEX,
	['E'] = HEX,
	['F'] = HEX,
};

static void after_value(struct json_scan *s)
{
	if (s->depth == 0)
		s->place = JSON_DONE;
	else
		s->place = s->is_object[s->depth - 1] ? JSON_AFTER_MEMBER
						      : JSON_AFTER_ELEMENT;
}

/* How many of p[0..n-1] are plain text of a string: neither quote, backslash
 * nor control character, and ASCII. */
static size_t plain(const unsigned char *p, size_t n)
{
	size_t i = 0;

#if HAS_SSE2
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(' ');

	for (; n - i >= 16; i += 16) {
		__m128i x = _mm_loadu_si128((const void *)(p + i));
		/* bytes of 128 and more are negative */
		unsigned special = (unsigned)_mm_movemask_epi8(
		    _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, quote),
					      _mm_cmpeq_epi8(x, slash)),
				 _mm_cmpgt_epi8(space, x)));

		if (special != 0)
			return i + (unsigned)__builtin_ctz(special);
	}
#endif
	while (i < n && p[i] != '"' && p[i] != '\\' && p[i] >= ' ' &&
	       p[i] < 0x80)
		i++;
	return i;
}

/* How many of p[0..n-1], n at least 1, begin an escape; *size: of the bytes
 * that it has in all. */
static size_t escape(const unsigned char *p, size_t n, size_t *size)
{
	size_t i;

	*size = n > 1 && p[1] == 'u' ? 6 : 2;
	if (n > 1 && *size == 2 && (p[1] == 0 || !strchr("\"\\/bfnrt", p[1])))
		return 1;
	for (i = 2; i < *size && i < n && text_hex(p[i]) >= 0; i++)
		;
	return i < n ? i : n;
}

/* How many of p[0..n-1] are whole escapes of characters by their number, one
 * behind the other: most of many a tweet. */
static size_t unicode(const unsigned char *p, size_t n)
{
	size_t i = 0;

	while (n - i >= 6 && p[i] == '\\' && p[i + 1] == 'u' &&
	       (allowed[p[i + 2]] & allowed[p[i + 3]] & allowed[p[i + 4]] &
		allowed[p[i + 5]] & HEX) != 0)
		i += 6;
	return i;
}

/* On in a string. False: it is not over. */
static bool take_string(struct json_scan *s, const unsigned char *p, size_t n)
{
	size_t size, good;
	bool slash;

	for (;; s->at += size) {
		s->at += unicode(p + s->at, n - s->at);
		s->at += plain(p + s->at, n - s->at);
		if (s->at == n || p[s->at] == '"')
			return s->at < n;
		slash = p[s->at] == '\\';
		good = slash ? escape(p + s->at, n - s->at, &size)
			     : text_utf8_begin(p + s->at, n - s->at, &size);
		if (p[s->at] < ' ' || good < size || size == 0)
			break;
	}
	if (s->at + good == n && good < size)
		return false; /* the input's end cuts it */
	fail(s, p[s->at] < ' ' ? JSON_CONTROL
		: slash        ? JSON_BAD_ESCAPE
			       : JSON_BAD_UTF8);
	s->at += p[s->at] < ' ' ? 0 : good;
	return false;
}

/* Its closing quote is at at. */
static void end_string(struct json_scan *s, const unsigned char *p, size_t n)
{
	if (s->place == JSON_IN_KEY && s->depth == 1)
		classify(s, p + s->token + 1, s->at - s->token - 1);
	s->at++;
	if (s->place == JSON_IN_STRING) {
		after_value(s);
		return;
	}
	s->place = JSON_COLON;
	if (s->at < n && p[s->at] == ':') { /* most often: no turn for it */
		s->place = JSON_VALUE;
		s->at++;
	}
}

static const unsigned char *digits(const unsigned char *p, bool *bad)
{
	const unsigned char *from = p;

	while (text_is_digit(*p))
		p++;
	*bad = p == from;
	return p;
}

/* RFC 8259, section 6, on text that ends in a byte that no number has. Returns
 * the byte behind the number or, with *bad, the one that is wrong. */
static const unsigned char *number_end(const unsigned char *p, bool *bad)
{
	*bad = false;
	p += *p == '-';
	p = *p == '0' ? p + 1 : digits(p, bad);
	if (!*bad && *p == '.')
		p = digits(p + 1, bad);
	if (!*bad && (*p | 32) == 'e')
		p = digits(p + 1 + (p[1] == '+' || p[1] == '-'), bad);
	return p;
}

/* On in a number, which is judged when its end has come. False: it has not. */
static bool take_number(struct json_scan *s, const unsigned char *p, size_t n)
{
	const unsigned char *end;
	bool bad;

	while (s->at < n &&
	       (text_is_digit(p[s->at]) || p[s->at] == '.' || p[s->at] == '+' ||
		p[s->at] == '-' || (p[s->at] | 32) == 'e'))
		s->at++;
	if (s->at == n)
		return false;
	end = number_end(p + s->token, &bad);
	after_value(s);
	if (bad || end != p + s->at) {
		s->at = (size_t)(end - p);
		fail(s, JSON_BAD_NUMBER);
	}
	return true;
}

/* One of three words; false if it is cut. */
static bool take_literal(struct json_scan *s, const unsigned char *p, size_t n)
{
	const char *word = p[s->at] == 't'   ? "true"
			   : p[s->at] == 'f' ? "false"
					     : "null";
	size_t i = 0;

	while (word[i] != '\0' && s->at + i < n &&
	       p[s->at + i] == (unsigned char)word[i])
		i++;
	if (word[i] != '\0' && s->at + i == n)
		return false;
	s->at += i;
	after_value(s);
	if (word[i] != '\0')
		fail(s, JSON_BAD_LITERAL);
	return true;
}

/* A token begins at at. False: it is cut. */
static bool take_token(struct json_scan *s, const unsigned char *p, size_t n)
{
	const unsigned char c = p[s->at];
	const bool value = (VALUES >> s->place & 1) != 0;

	if ((allowed[c] >> s->place & 1) == 0)
		fail(s, s->place == JSON_BEFORE ? JSON_NOT_OBJECT
			: s->place == JSON_DONE ? JSON_TRAILING
						: JSON_UNEXPECTED);
	else if ((c == '{' || c == '[') && s->depth == JSON_DEPTH)
		fail(s, JSON_TOO_DEEP);
	else if (c == 't' || c == 'f' || c == 'n')
		return take_literal(s, p, n);
	if (s->place == JSON_FAILED)
		return true;
	s->token = s->at++;
	if (c == '"') {
		s->place = value ? JSON_IN_STRING : JSON_IN_KEY;
	} else if (c == ':' || c == ',') {
		s->place =
		    s->place == JSON_AFTER_MEMBER ? JSON_KEY : JSON_VALUE;
		if (s->place == JSON_KEY && s->at < n && p[s->at] == '"') {
			s->place = JSON_IN_KEY;
			s->token = s->at++;
		}
	} else if (c == '{' || c == '[') {
		s->is_object[s->depth++] = c == '{';
		s->place = c == '{' ? JSON_KEY_OR_END : JSON_VALUE_OR_END;
	} else if (c == '}' || c == ']') {
		s->depth--;
		after_value(s);
	} else {
		s->place = JSON_IN_NUMBER;
	}
	return true;
}

bool json_scan(struct json_scan *s, const unsigned char *p, size_t n)
{
	while (s->at < n && s->place != JSON_FAILED) {
		if (s->place == JSON_IN_KEY || s->place == JSON_IN_STRING) {
			if (!take_string(s, p, n))
				return false;
			end_string(s, p, n);
		} else if (s->place == JSON_IN_NUMBER) {
			if (!take_number(s, p, n))
				return false;
		} else if (is_space(p[s->at])) {
			if (p[s->at++] == '\n')
				return true;
		} else if (!take_token(s, p, n)) {
			return false;
		}
	}
	return false;
}

/* What follows walks text that is known to be valid, so every token ends
 * before the object does. */

static const unsigned char *skip_space(const unsigned char *p)
{
	while (is_space(*p))
		p++;
	return p;
}

/* From behind a string's opening quote to its closing one. */
static const unsigned char *string_end(const unsigned char *p)
{
	while (*p != '"')
		p += *p == '\\' ? 2 : 1;
	return p;
}

static const unsigned char *value_end(const unsigned char *p)
{
	int depth = 0;

	do {
		if (*p == '"')
			p = string_end(p + 1);
		depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
		p++;
	} while (depth > 0 || (*p != ',' && *p != '}' && *p != ']'));
	return p;
}

/* The value of a key in the object or the array of such that p is at, or NULL.
 */
static const unsigned char *member(const unsigned char *p, const char *key)
{
	const unsigned char *end;
	bool found = false;

	while (*p == '[')
		p = skip_space(p + 1);
	if (*p != '{')
		return NULL;
	while (!found && *p != '}') {
		p = skip_space(p + 1); /* behind { or , */
		if (*p == '}')
			break;
		end = string_end(++p);
		found = key_is(p, (size_t)(end - p), key);
		p = skip_space(skip_space(end + 1) + 1);
		if (!found)
			p = value_end(p);
	}
	return found ? p : NULL;
}

bool json_find(const char *object, const char *const *path,
	       struct json_value *v)
{
	const unsigned char *p = skip_space((const unsigned char *)object);
	const unsigned char *end;

	v->p = "";
	v->n = 0;
	for (; *path != NULL; path++) {
		p = member(p, *path);
		if (p == NULL)
			return false;
	}
	end = *p == '"' ? string_end(++p) : value_end(p);
	while (end > p && is_space(end[-1]))
		end--;
	v->p = (const char *)p;
	v->n = (size_t)(end - p);
	return true;
}
