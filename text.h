/* Append to a bounded piece of memory: how the pure rooms write text. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *p;    /* the caller's memory */
	size_t cap; /* its size in bytes */
	size_t n;   /* bytes written, never more than cap - 1 */
	bool full;  /* something did not fit and was left out */
};

/* Start an empty text in p[0..cap-1], cap at least 1; it is always
 * NUL-terminated. */
void text_init(struct text *t, char *p, size_t cap);

/* Append n bytes, a string, a number in decimal. What does not fit whole is
 * left out and sets full. */
void text_mem(struct text *t, const void *p, size_t n);
void text_str(struct text *t, const char *s);
void text_u64(struct text *t, uint64_t v);

/* Append n bytes as two hexadecimal digits each; ten is 'a' or 'A'. */
void text_put_hex(struct text *t, const void *p, size_t n, char ten);

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
bool text_is_digit(int c);
int text_hex(int c); /* the value of a hexadecimal digit, or -1 */

/* Is p[0..n-1] the word, ASCII case ignored? */
bool text_is_word(const char *p, size_t n, const char *word);

/* Bytes of the UTF-8 character that p[0..n-1] begins with (RFC 3629: no
 * overlong form, no surrogate, at most U+10FFFF); 0 if it is none, or is cut
 * off. */
static inline size_t text_utf8(const unsigned char *p, size_t n)
{
	unsigned c;
	size_t size, i;

	if (n == 0 || p[0] < 0x80)
		return n == 0 ? 0 : 1;
	size = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < size)
		return 0;
	for (i = 1; i < size; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	c = (unsigned)p[0] << 8 | p[1];
	if (c < 0xc280 || (c >= 0xe000 && c < 0xe0a0) ||
	    (c >= 0xeda0 && c < 0xee00) || (c >= 0xf000 && c < 0xf090) ||
	    c >= 0xf490)
		return 0;
	return size;
}

/* Is p[0..n-1] UTF-8 without control characters? */
bool text_is_plain(const char *p, size_t n);

#endif
