#include "text.h"

#include <string.h>

struct text text_in(char *p, size_t cap)
{
	p[0] = '\0';
	return (struct text){ .p = p, .cap = cap };
}

void text_mem(struct text *t, const void *p, size_t n)
{
	if (n >= t->cap - t->n) {
		t->full = true;
		return;
	}
	memcpy(t->p + t->n, p, n);
	t->n += n;
	t->p[t->n] = '\0';
}

void text_str(struct text *t, const char *s)
{
	text_mem(t, s, strlen(s));
}

void text_u64(struct text *t, uint64_t v)
{
	char digits[20];
	size_t i = sizeof digits;

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	text_mem(t, digits + i, sizeof digits - i);
}

static char hex_digit(int v, char ten)
{
	return (char)(v < 10 ? '0' + v : ten + v - 10);
}

void text_put_hex(struct text *t, const void *p, size_t n, char ten)
{
	const unsigned char *b = p;
	char digits[2];
	size_t i;

	for (i = 0; i < n; i++) {
		digits[0] = hex_digit(b[i] >> 4, ten);
		digits[1] = hex_digit(b[i] & 15, ten);
		text_mem(t, digits, sizeof digits);
	}
}

/* Is the character of size bytes at p safe to show? */
static bool is_shown(const unsigned char *p, size_t size)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = {
		{ 0x00, 0x1f },     { 0x7f, 0x9f },     { 0x61c, 0x61c },
		{ 0x200e, 0x200f }, { 0x2028, 0x202e }, { 0x2066, 0x2069 },
		{ 0xfdd0, 0xfdef }, { 0xfeff, 0xfeff },
	};
	uint32_t c = size == 1 ? p[0] : p[0] & (0x7fu >> size);
	size_t i;

	for (i = 1; i < size; i++)
		c = c << 6 | (p[i] & 0x3f);
	for (i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
		if (c >= hidden[i].first && c <= hidden[i].last)
			return false;
	return size > 0 && (c & 0xfffe) != 0xfffe;
}

void text_printable(struct text *t, const void *p, size_t n)
{
	const unsigned char *b = p;
	size_t i, size;

	for (i = 0; i < n && t->cap - t->n > 4; i += size) {
		size = text_utf8(b + i, n - i);
		if (is_shown(b + i, size)) {
			text_mem(t, b + i, size);
			continue;
		}
		text_str(t, "\\x");
		text_put_hex(t, b + i, 1, 'a');
		size = 1;
	}
}

bool text_to_u64(const char *p, size_t n, uint64_t max, uint64_t *v)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		uint64_t digit = (uint64_t)(p[i] - '0');

		if (!text_is_digit(p[i]) || digit > max ||
		    sum > (max - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*v = sum;
	return n > 0;
}

char text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool text_is_visible(int c)
{
	return c >= '!' && c <= '~';
}

bool text_is_word(const char *p, size_t n, const char *word)
{
	size_t i;

	for (i = 0; i < n && word[i] != '\0'; i++)
		if (text_lower(p[i]) != text_lower(word[i]))
			return false;
	return i == n && word[i] == '\0';
}

void text_base64(struct text *t, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char code[4];
	uint32_t v;
	size_t i, k;

	for (i = 0; i < n; i += 3) {
		v = (uint32_t)p[i] << 16;
		v |= n - i > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		v |= n - i > 2 ? p[i + 2] : 0;
		for (k = 0; k < 4; k++)
			code[k] =
			    k > n - i ? '=' : digits[v >> (18 - 6 * k) & 63];
		text_mem(t, code, sizeof code);
	}
}

void text_put_utf8(struct text *t, uint32_t c)
{
	int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	char byte =
	    (char)(more == 0 ? c : (0xf00 >> (more + 1)) | c >> 6 * more);

	for (text_mem(t, &byte, 1); more-- > 0; text_mem(t, &byte, 1))
		byte = (char)(0x80 | (c >> 6 * more & 0x3f));
}

/* The four digits behind \u at *p, which is moved behind them. */
static uint32_t hex4(const unsigned char **p)
{
	uint32_t v = 0;
	int i;

	for (i = 0; i < 4; i++)
		v = v << 4 | (uint32_t)text_hex(*(*p)++);
	return v;
}

uint32_t text_unescape(const unsigned char **p)
{
	static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
	const char *name = strchr(names, **p);
	uint32_t c = *(*p)++, low;

	if (c != 'u')
		return name != NULL ? (unsigned char)values[name - names] : c;
	c = hex4(p);
	if (c < 0xd800 || c > 0xdbff || (*p)[0] != '\\' || (*p)[1] != 'u')
		return c < 0xd800 || c > 0xdfff ? c : 0;
	*p += 2;
	low = hex4(p);
	return low < 0xdc00 || low > 0xdfff
		   ? 0
		   : 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

bool text_is_plain(const char *p, size_t n)
{
	size_t size;

	for (; n > 0; p += size, n -= size) {
		size = text_utf8((const unsigned char *)p, n);
		if (size == 0 || (unsigned char)*p < ' ' || *p == 127)
			return false;
	}
	return true;
}
