/* What must never be seen, and how foreign text is shown without it. Servers
 * repeat what they were sent: in plain words, in JSON, in URLs, and cut off. */
#ifndef SECRET_H
#define SECRET_H

#include "text.h"

/* Bytes of one at most: base64 of a user's name and a password of 1,023 bytes
 * each has 2,732. */
#define SECRET_MAX 2752

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
	/* escapes undone; behind all of them each in base64 */
	unsigned char value[2 * SECRETS][SECRET_MAX];
	size_t n[2 * SECRETS];    /* 0: there is none */
	size_t tail[2 * SECRETS]; /* bytes behind it, of an escape cut off */
};

/* Keep a copy of p[0..n-1], at most SECRET_MAX bytes, as this secret, and its
 * base64; what was kept before is wiped. n of 0: it is only wiped. */
void secret_set(struct secrets *s, enum secret which, const char *p, size_t n);

/* Append p[0..n-1] with each secret written as (secret). It is found in any
 * ASCII case, with + for a blank or a blank for +, in base64 for URLs, and with
 * JSON's escapes (RFC 8259, 7) and %XX (RFC 3986, 2.1), one in the other or
 * more than once. foreign: the text came from outside; it is made printable
 * (text_printable), and what its end cut off of a secret counts, once 8 bytes
 * are there. Else it stays as it is. A secret has at least 4 bytes in foreign
 * text, 8 in our own. Stops, without setting full, where there is no room. */
void secret_append(const struct secrets *s, struct text *t, const void *p,
		   size_t n, bool foreign);

#endif
