/* What must never be seen, and how foreign text is shown without it. Servers
 * repeat what they were sent: in plain words, in JSON, in URLs, and cut off. */
#ifndef SECRET_H
#define SECRET_H

#include "text.h"

/* Bytes of one at most: base64 of a user's name and a password of 1,023 bytes
 * each has 2,732. */
#define SECRET_MAX 2752
#define SECRET_NOTED 14 /* bits of a hash */

enum secret {
	SECRET_CONSUMER_KEY,
	SECRET_TOKEN, /* of OAuth, or the bearer token */
	SECRET_PASSWORD,
	SECRET_BASIC,     /* user:password in base64 */
	SECRET_SIGNATURE, /* of this attempt, in base64 */
	SECRET_PROXY_USER,
	SECRET_PROXY_PASSWORD,
	SECRET_PROXY_BASIC,
	SECRETS
};

/* All zeros: none. */
struct secrets {
	/* Of each: its bytes, escapes undone, and its base64 behind 0, 1 and 2
	 * other bytes, without what these, or those behind it, take part in.
	 * Letters are lower. */
	unsigned char value[4 * SECRETS][SECRET_MAX];
	size_t n[4 * SECRETS]; /* 0: there is none */
	/* that a value has 4 bytes in a row, by their hash */
	bool noted[1 << SECRET_NOTED];
};

/* Keep p[0..n-1], at most SECRET_MAX bytes, as this secret; what was kept
 * before is wiped. n of 0: it is only wiped. */
void secret_set(struct secrets *s, enum secret which, const char *p, size_t n);

/* Append p[0..n-1] with each secret, and each 8 bytes or more of one, written
 * as (secret). They are found in any ASCII case, with + for a blank or a blank
 * for +, in base64 of them and what stands around them, or that for URLs, and
 * with the escapes of JSON (RFC 8259, 7; and \xXX), of URLs (RFC 3986, 2.1) and
 * of HTML, one in the other or more than once. foreign: the text came from
 * outside; it is made printable (text_printable), and a secret of 4 to 7 bytes
 * counts, too. Else it stays as it is. Stops, without setting full, where there
 * is no room. */
void secret_append(const struct secrets *s, struct text *t, const void *p,
		   size_t n, bool foreign);

#endif
