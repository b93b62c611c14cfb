#include "text.h"

#include <string.h>

void text_init(struct text *t, char *p, size_t cap)
{
	t->p = p;
	t->cap = cap;
	t->n = 0;
	t->full = false;
	p[0] = '\0';
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

void text_printable(struct text *t, const void *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *b = p;
	char code[4] = { '\\', 'x', 0, 0 };
	size_t i;

	for (i = 0; i < n && t->cap - t->n > sizeof code; i++) {
		if (b[i] >= 0x20 && b[i] < 0x7f && b[i] != '\\') {
			text_mem(t, b + i, 1);
			continue;
		}
		code[2] = hex[b[i] >> 4];
		code[3] = hex[b[i] & 15];
		text_mem(t, code, sizeof code);
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

bool text_is_digit(int c)
{
	return c >= '0' && c <= '9';
}

bool text_is_word(const char *p, size_t n, const char *word)
{
	size_t i;

	for (i = 0; i < n && word[i] != '\0'; i++)
		if (text_lower(p[i]) != text_lower(word[i]))
			return false;
	return i == n && word[i] == '\0';
}
