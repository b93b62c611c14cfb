#include "json_scan.h"

#include "json_fast.h"

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
	s->tweet_key = tweet_key;
	s->place = JSON_BEFORE;
	s->error = JSON_OK;
	s->depth = 0;
	s->found = 0;
	s->key_n = 0;
	s->in_key = false;
	s->last = 0;
}

enum json_class json_class(const struct json_scan *s)
{
	int c = JSON_DISCONNECT;

	while (c < JSON_OTHER && (s->found >> c & 1) == 0)
		c++;
	return (enum json_class)c;
}

static int hex(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character that a valid escape stands for; *p is behind its \. */
static int unescape(const unsigned char **p)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *at;
	int c = *(*p)++, i;
	unsigned v = 0;

	if (c == 'u') {
		for (i = 0; i < 4; i++)
			v = v << 4 | ((unsigned)hex(*(*p)++) & 15);
		return (int)v;
	}
	at = strchr(from, c);
	return at == NULL ? c : to[at - from];
}

/* Is a valid string, as it stands between its quotes, this ASCII word? */
static bool key_is(const unsigned char *p, size_t n, const char *word)
{
	const unsigned char *end = p + n;
	int c;

	while (p < end && *word != '\0') {
		c = *p++;
		if (c == '\\')
			c = unescape(&p);
		if (c != *word++)
			return false;
	}
	return p == end && *word == '\0';
}

void json_classify(struct json_scan *s, const unsigned char *p, size_t n)
{
	static const char *const name[JSON_OTHER] = {
		[JSON_DISCONNECT] = "disconnect",
		[JSON_LIMIT] = "limit",
		[JSON_DELETE] = "delete",
		[JSON_WARNING] = "warning",
	};
	unsigned c;

	for (c = 0; c < JSON_OTHER; c++)
		if (key_is(p, n, c == JSON_TWEET ? s->tweet_key : name[c]))
			s->found |= 1u << c;
}

/* Keep a part of a key of the top level. One that is too long, and so none of
 * ours, sticks at a length that no longer grows. */
static void keep_key(struct json_scan *s, const unsigned char *p, size_t n)
{
	size_t room = sizeof s->key - s->key_n;

	if (n > room)
		n = room;
	memcpy(s->key + s->key_n, p, n);
	s->key_n += n;
}

/* The key's closing quote has come; p[0..n-1] is what was not kept. */
static void end_key(struct json_scan *s, const unsigned char *p, size_t n)
{
	if (s->key_n == 0) {
		json_classify(s, p, n);
		return;
	}
	keep_key(s, p, n);
	if (s->key_n < sizeof s->key)
		json_classify(s, s->key, s->key_n);
	s->key_n = 0;
}

static void fail(struct json_scan *s, enum json_error e)
{
	s->place = JSON_FAILED;
	s->error = e;
}

static void push(struct json_scan *s, bool object)
{
	if (s->depth == JSON_DEPTH) {
		fail(s, JSON_TOO_DEEP);
		return;
	}
	s->is_object[s->depth++] = object;
	s->place = object ? JSON_KEY_OR_END : JSON_VALUE_OR_END;
}

static void close(struct json_scan *s, bool object)
{
	if (json_in_object(s) != object) {
		fail(s, JSON_UNEXPECTED);
		return;
	}
	s->depth--;
	s->place = s->depth > 0 ? JSON_AFTER : JSON_DONE;
}

static void begin_string(struct json_scan *s, bool key)
{
	s->in_key = key;
	s->place = JSON_STRING;
}

static void begin_value(struct json_scan *s, int c)
{
	switch (c) {
	case '"':
		begin_string(s, false);
		break;
	case '{':
	case '[':
		push(s, c == '{');
		break;
	case 't':
	case 'f':
	case 'n':
		s->rest = c == 't' ? "rue" : c == 'f' ? "alse" : "ull";
		s->place = JSON_LITERAL;
		break;
	case '-':
		s->place = JSON_MINUS;
		break;
	case '0':
		s->place = JSON_ZERO;
		break;
	default:
		if (c >= '1' && c <= '9')
			s->place = JSON_INTEGER;
		else
			fail(s, JSON_UNEXPECTED);
	}
}

/* A byte between tokens that is not white space. */
static void structural(struct json_scan *s, int c)
{
	bool object = s->depth > 0 && json_in_object(s);

	if (s->place == JSON_BEFORE && c != '{')
		fail(s, JSON_NOT_OBJECT);
	else if (s->place == JSON_DONE)
		fail(s, JSON_TRAILING);
	else if (s->place == JSON_AFTER && c == ',')
		s->place = object ? JSON_KEY : JSON_VALUE;
	else if ((s->place == JSON_AFTER || s->place == JSON_KEY_OR_END ||
		  s->place == JSON_VALUE_OR_END) &&
		 (c == '}' || c == ']'))
		close(s, c == '}');
	else if (s->place == JSON_COLON && c == ':')
		s->place = JSON_VALUE;
	else if ((s->place == JSON_KEY || s->place == JSON_KEY_OR_END) &&
		 c == '"')
		begin_string(s, true);
	else if (s->place == JSON_BEFORE || s->place == JSON_VALUE ||
		 s->place == JSON_VALUE_OR_END)
		begin_value(s, c);
	else
		fail(s, JSON_UNEXPECTED);
}

/* A byte of a string that is not plain ASCII text. */
static void string_byte(struct json_scan *s, unsigned char c)
{
	s->low = 0x80;
	s->high = 0xbf;
	if (c == '"') {
		s->place = s->in_key ? JSON_COLON : JSON_AFTER;
	} else if (c == '\\') {
		s->place = JSON_ESCAPE;
	} else if (c < 0x20) {
		fail(s, JSON_CONTROL);
	} else if (c >= 0x80) {
		/* RFC 3629: no overlong form, no surrogate, at most U+10FFFF */
		s->left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		s->place = JSON_UTF8;
		if (c < 0xc2 || c > 0xf4)
			fail(s, JSON_BAD_UTF8);
		else if (c == 0xe0)
			s->low = 0xa0;
		else if (c == 0xed)
			s->high = 0x9f;
		else if (c == 0xf0)
			s->low = 0x90;
		else if (c == 0xf4)
			s->high = 0x8f;
	}
}

/* A byte inside an escape or a character of several bytes. */
static void inner_byte(struct json_scan *s, unsigned char c)
{
	if (s->place == JSON_ESCAPE) {
		s->left = 4;
		s->place = c == 'u' ? JSON_HEX : JSON_STRING;
		if (c == '\0' || strchr("\"\\/bfnrtu", c) == NULL)
			fail(s, JSON_BAD_ESCAPE);
		return;
	}
	if (s->place == JSON_HEX && hex(c) < 0) {
		fail(s, JSON_BAD_ESCAPE);
	} else if (s->place == JSON_UTF8 && (c < s->low || c > s->high)) {
		fail(s, JSON_BAD_UTF8);
	} else if (--s->left == 0) {
		s->place = JSON_STRING;
	}
	s->low = 0x80;
	s->high = 0xbf;
}

enum { ZERO, DIGIT, POINT, EXP, SIGN, KINDS };

/* What a byte is in a number; KINDS is none of it. */
static int number_kind(int c)
{
	if (c == '0')
		return ZERO;
	if (c >= '1' && c <= '9')
		return DIGIT;
	if (c == '.')
		return POINT;
	if (c == 'e' || c == 'E')
		return EXP;
	return c == '+' || c == '-' ? SIGN : KINDS;
}

/* A byte of a number (RFC 8259, section 6), or the first behind it: false says
 * that it is the latter and was not taken. */
static bool number_byte(struct json_scan *s, int c)
{
	static const unsigned char next[][KINDS] = {
#define NO JSON_FAILED
		{ JSON_ZERO, JSON_INTEGER, NO, NO, NO }, /* behind - */
		{ NO, NO, JSON_POINT, JSON_E, NO },
		{ JSON_INTEGER, JSON_INTEGER, JSON_POINT, JSON_E, NO },
		{ JSON_FRACTION, JSON_FRACTION, NO, NO, NO },
		{ JSON_FRACTION, JSON_FRACTION, NO, JSON_E, NO },
		{ JSON_EXPONENT, JSON_EXPONENT, NO, NO, JSON_E_SIGN },
		{ JSON_EXPONENT, JSON_EXPONENT, NO, NO, NO },
		{ JSON_EXPONENT, JSON_EXPONENT, NO, NO, NO },
#undef NO
	};
	bool complete = s->place == JSON_ZERO || s->place == JSON_INTEGER ||
			s->place == JSON_FRACTION || s->place == JSON_EXPONENT;
	int kind = number_kind(c);

	if (kind == KINDS && complete) {
		s->place = JSON_AFTER;
		return false;
	}
	s->place =
	    kind == KINDS ? JSON_FAILED : next[s->place - JSON_MINUS][kind];
	if (s->place == JSON_FAILED)
		s->error = JSON_BAD_NUMBER;
	return true;
}

static void literal_byte(struct json_scan *s, int c)
{
	if (c != *s->rest)
		fail(s, JSON_BAD_LITERAL);
	else if (*++s->rest == '\0')
		s->place = JSON_AFTER;
}

static bool is_space(unsigned char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* One byte; false says that it is to be seen again in the new place. */
static bool take(struct json_scan *s, unsigned char c)
{
	if (s->place == JSON_STRING)
		string_byte(s, c);
	else if (s->place >= JSON_ESCAPE && s->place <= JSON_UTF8)
		inner_byte(s, c);
	else if (s->place == JSON_LITERAL)
		literal_byte(s, c);
	else if (s->place >= JSON_MINUS && s->place <= JSON_EXPONENT)
		return number_byte(s, c);
	else if (!is_space(c))
		structural(s, c);
	return s->place != JSON_FAILED;
}

static bool in_key(const struct json_scan *s)
{
	return s->in_key && s->depth == 1 && s->place >= JSON_STRING &&
	       s->place <= JSON_UTF8;
}

/* The last bytes of the input by the short cut too: zeros behind a copy of them
 * are unusual everywhere, so it stops there. */
static size_t fast_end(struct json_scan *s, const unsigned char *in, size_t n)
{
	unsigned char padded[2 * JSON_FAST_MIN];

	memcpy(padded, in, n);
	memset(padded + n, 0, sizeof padded - n);
	return json_fast(s, padded, n + JSON_FAST_MIN);
}

/* By the short cut where that is possible. On the input's end it is tried once
 * in each place, of which *tried was the last. */
static size_t fast(struct json_scan *s, const unsigned char *in, size_t n,
		   enum json_place *tried)
{
	size_t k = 0;

	if (in_key(s) || s->place == JSON_BEFORE)
		return 0;
	if (s->place == JSON_KEY_OR_END && *in == '"')
		s->place = JSON_KEY;
	if (n >= JSON_FAST_MIN)
		k = json_fast(s, in, n);
	if (n - k >= JSON_FAST_MIN || n - k < JSON_FAST_LEAST ||
	    *tried == s->place)
		return k;
	*tried = s->place;
	return k + fast_end(s, in + k, n - k);
}

size_t json_scan(struct json_scan *s, const unsigned char *in, size_t n)
{
	size_t i = 0, key = 0;
	enum json_place tried = JSON_DONE;
	bool was_in_key;

	while (i < n && s->place != JSON_FAILED) {
		i += fast(s, in + i, n - i, &tried);
		if (i == n)
			break;
		was_in_key = in_key(s);
		if (!take(s, in[i]))
			continue;
		i++;
		if (in_key(s) && !was_in_key)
			key = i;
		else if (was_in_key && !in_key(s))
			end_key(s, in + key, i - 1 - key);
		else if (in[i - 1] == '\n')
			return i; /* valid, so between tokens */
	}
	if (in_key(s))
		keep_key(s, in + key, i - key);
	return i;
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

static const unsigned char *skip_value(const unsigned char *p)
{
	int depth = 0;

	do {
		if (*p == '"')
			p = string_end(p + 1);
		else if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		p++;
	} while (depth > 0 || (*p != ',' && *p != '}' && *p != ']'));
	return p;
}

/* The value of a key in the object that p is at, or NULL. */
static const unsigned char *member(const unsigned char *p, const char *key)
{
	const unsigned char *end;
	bool same;

	while (*p != '}') {
		p = skip_space(p + 1); /* behind { or , */
		if (*p == '}')
			break;
		end = string_end(++p);
		same = key_is(p, (size_t)(end - p), key);
		p = skip_space(skip_space(end + 1) + 1);
		if (same)
			return p;
		p = skip_value(p);
	}
	return NULL;
}

bool json_find(const char *object, const char *const *path,
	       struct json_value *v)
{
	const unsigned char *p = (const unsigned char *)object, *end;

	v->p = "";
	v->n = 0;
	for (p = skip_space(p); *path != NULL; path++) {
		while (*p == '[')
			p = skip_space(p + 1);
		p = *p == '{' ? member(p, *path) : NULL;
		if (p == NULL)
			return false;
	}
	end = *p == '"' ? string_end(++p) : skip_value(p);
	while (end > p && is_space(end[-1]))
		end--;
	v->p = (const char *)p;
	v->n = (size_t)(end - p);
	return true;
}
