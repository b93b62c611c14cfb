/* The short cut of json_scan through what messages are mostly made of. */
#ifndef JSON_FAST_H
#define JSON_FAST_H

#include "json_scan.h"

#define JSON_FAST_LEAST 16 /* bytes for which a padded copy is worth it */
#define JSON_FAST_MIN 64   /* bytes of input below which it is not worth it */

/* Scan some of in[0..n-1], n at least JSON_FAST_MIN, to the same state that
 * json_scan reaches there byte by byte. Stops early wherever anything is
 * unusual or wrong: what that is, is for json_scan to say. Must not be called
 * inside a key of the top level. Returns the bytes scanned, less than n; none
 * from a zero byte on. */
size_t json_fast(struct json_scan *s, const unsigned char *in, size_t n);

/* What json_scan and json_fast share. */

/* Note the class of a top-level key, p[0..n-1] as it stands between quotes. */
void json_classify(struct json_scan *s, const unsigned char *p, size_t n);

/* Is what is innermost open an object? At a depth of 1 or more. */
static inline bool json_in_object(const struct json_scan *s)
{
	unsigned top = s->depth - 1;

	return (s->is_object[top >> 3] >> (top & 7) & 1) != 0;
}

/* Open an object or array; s fails if it is too deep. */
void json_push(struct json_scan *s, bool object);

/* How many bytes at the start of p[0..31] are text of a string: whole valid
 * characters other than quote, backslash and control characters; p[0..38] must
 * be readable. A last character that goes beyond may be counted or not. And how
 * many of p[0..15] are digits. The portable forms say what the others equal. */
unsigned json_text32(const unsigned char *p);
unsigned json_text32_portable(const unsigned char *p);
unsigned json_digits16(const unsigned char *p);
unsigned json_digits16_portable(const unsigned char *p);

/* Are p[0..n-1] and q[0..n-1] the same, n from 1 to JSON_SEEN_MAX? Of both
 * that many bytes must be readable. */
bool json_same(const unsigned char *p, const unsigned char *q, unsigned n);

#endif
