/* The short cut of json_scan through what messages are mostly made of. */
#ifndef JSON_FAST_H
#define JSON_FAST_H

#include "json_scan.h"

#define JSON_FAST_LEAST 16 /* bytes for which a padded copy is worth it */
#define JSON_FAST_MIN 64   /* bytes of input it needs: it looks ahead */

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
	return s->is_object[s->depth - 1];
}

/* What follows comes in two forms, of which the portable one says what the
 * other equals.
 *
 * A bit for each of p[0..31] that is not plain text of a string: quotes,
 * backslashes, control characters, non-ASCII; the lowest bit alone is sure. */
uint32_t json_special32(const unsigned char *p);
uint32_t json_special32_portable(const unsigned char *p);

/* How many bytes at the start of p[0..31] are text of a string: whole valid
 * characters other than quote, backslash and control characters; p[0..38] must
 * be readable. A last character that goes beyond may be counted or not. */
unsigned json_text32(const unsigned char *p);
unsigned json_text32_portable(const unsigned char *p);

/* Are p[0..29] five escapes, each \u and four digits? p[0..31] must be
 * readable. */
bool json_unicode30(const unsigned char *p);
bool json_unicode30_portable(const unsigned char *p);

/* How many of p[0..15] are digits before the first that is none. */
unsigned json_digits16(const unsigned char *p);
unsigned json_digits16_portable(const unsigned char *p);

/* Let e have p[0..n-1], n from 1 to JSON_SEEN_MAX; and does p begin with what e
 * has? Of p JSON_SEEN_MAX bytes must be readable. memcmp is the portable form.
 */
void json_remember(struct json_seen *e, const unsigned char *p, unsigned n);
bool json_is_seen(const unsigned char *p, const struct json_seen *e);

#endif
