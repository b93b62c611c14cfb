/* Append to a bounded piece of memory: how the pure rooms write text. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that lie elsewhere, and may be anything; p is NULL: there are none. */
struct piece {
	const char *p;
	size_t n;
};

struct text {
	char *p;    /* the caller's memory */
	size_t cap; /* its size in bytes */
	size_t n;   /* bytes written, never more than cap - 1 */
	bool full;  /* something did not fit and was left out */
};

/* An empty text in p[0..cap-1], cap at least 1; it is always NUL-terminated. */
struct text text_in(char *p, size_t cap);

/* Append n bytes, a string, a number in decimal. What does not fit whole is
 * left out and sets full. */
void text_mem(struct text *t, const void *p, size_t n);
void text_str(struct text *t, const char *s);
void text_u64(struct text *t, uint64_t v);

/* Append n bytes as two hexadecimal digits each; ten is 'a' or 'A'. */
void text_put_hex(struct text *t, const void *p, size_t n, char ten);

/* Append standard base64 with padding (RFC 4648, section 4). */
void text_base64(struct text *t, const void *p, size_t n);

/* Append foreign bytes for a person to read: UTF-8 as it is, but what could
 * steer a terminal or reorder a line as \xNN for each byte: controls, marks of
 * direction (Unicode's Bidi_Control), separators of lines and paragraphs,
 * U+FEFF, noncharacters and what is not UTF-8. Stops, without setting full,
 * where the next one has no room. */
void text_printable(struct text *t, const void *p, size_t n);

/* Read an unsigned decimal number that fills p[0..n-1] whole: digits alone,
 * no sign, no white space. Returns false if it is not one or is above max. */
bool text_to_u64(const char *p, size_t n, uint64_t max, uint64_t *v);

/* ASCII alone, whatever the locale. */
char text_lower(char c);
static inline bool text_is_digit(int c)
{
	return c >= '0' && c <= '9';
}
bool text_is_visible(int c); /* ! to ~ */

/* The value of a hexadecimal digit, or -1. */
static inline int text_hex(int c)
{
	int letter = c | 32;

	if (c >= '0' && c <= '9')
		return c - '0';
	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Is p[0..n-1] the word, ASCII case ignored? */
bool text_is_word(const char *p, size_t n, const char *word);

/* How many of p[0..n-1] begin a UTF-8 character (RFC 3629: no overlong form, no
 * surrogate, at most U+10FFFF); *size: the bytes that it has in all, or 0 if no
 * character begins with p[0]. */
static inline size_t text_utf8_begin(const unsigned char *p, size_t n,
				     size_t *size)
{
	unsigned char c = n > 0 ? p[0] : 0xff;
	unsigned char low = 0x80, high = 0xbf;
	size_t i;

	*size = c < 0x80               ? 1
		: c < 0xc2 || c > 0xf4 ? 0
		: c < 0xe0             ? 2
		: c < 0xf0             ? 3
				       : 4;
	if (c == 0xe0 || c == 0xf0)
		low = c == 0xe0 ? 0xa0 : 0x90;
	else if (c == 0xed || c == 0xf4)
		high = c == 0xed ? 0x9f : 0x8f;
	for (i = *size > 0; i < *size && i < n; i++) {
		if (p[i] < low || p[i] > high)
			break;
		low = 0x80;
		high = 0xbf;
	}
	return i;
}

/* Bytes of the UTF-8 character that p[0..n-1] begins with; 0 if it is none, or
 * is cut off. */
static inline size_t text_utf8(const unsigned char *p, size_t n)
{
	size_t size;

	return text_utf8_begin(p, n, &size) == size ? size : 0;
}

/* The same of four bytes that can be read, the first not ASCII; faster. */
static inline size_t text_utf8_4(const unsigned char *p)
{
	uint32_t c = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		     (uint32_t)p[2] << 8 | p[3];

	if ((c & 0xf0c0c000) == 0xe0808000 && (c & 0x0f200000) != 0 &&
	    (c & 0x0f200000) != 0x0d200000)
		return 3;
	if ((c & 0xe0c00000) == 0xc0800000 && c >= 0xc2000000)
		return 2;
	return (c & 0xf8c0c0c0) == 0xf0808080 && c >= 0xf0900000 &&
		       c < 0xf4900000
		   ? 4
		   : 0;
}

/* Append a character as UTF-8. */
void text_put_utf8(struct text *t, uint32_t c);

/* The character of a valid escape of JSON (RFC 8259, 7); *p is behind its
 * backslash, and moved behind it, or behind both of a surrogate pair. 0 stands
 * for NUL, and for half of a pair. */
uint32_t text_unescape(const unsigned char **p);

/* Is p[0..n-1] UTF-8 without control characters? */
bool text_is_plain(const char *p, size_t n);

#endif
