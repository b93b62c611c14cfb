/* OAuth 1.0a request signing with HMAC-SHA1 (RFC 5849, section 3).
 *
 * Nothing here knows the time or draws a random number: both are arguments, so
 * that published examples can be reproduced to the byte. */
#ifndef OAUTH1_H
#define OAUTH1_H

#include "sha1.h"
#include "text.h"

#define PARAMS_MAX 64 /* parameters of one request, the query's included */
#define KEY_SIZE 1024 /* of a credential, its NUL included */

#define OAUTH1_SIGNATURE 28

/* One request parameter, decoded; both strings are the caller's. */
struct param {
	const char *name, *value;
};

/* What signs: two public names and the key's HMAC state. The two secrets are
 * not kept. */
struct oauth1 {
	char consumer_key[KEY_SIZE], token[KEY_SIZE];
	struct hmac_sha1 key;
};

/* One signature's inputs beside the credentials. The strings are the
 * caller's. */
struct oauth1_request {
	const char *method;         /* GET or POST */
	const char *url;            /* base string URI (3.4.1.2): no query */
	const struct param *params; /* body and query together */
	size_t nparams;             /* at most PARAMS_MAX */
	const char *nonce;          /* letters and digits */
	const char *timestamp;      /* seconds since 1970, in decimal */
};

/* Decode %XX from p[0..n-1]; plus is what + stands for: a space in a form
 * (application/x-www-form-urlencoded), elsewhere itself. Returns false if a %
 * is not followed by two hexadecimal digits, or if it stands for NUL. */
bool percent_decode(struct text *t, const char *p, size_t n, char plus);

/* Append name=value pairs, encoded and joined by & (RFC 5849, 3.4.1.3.1);
 * twice: and all of it encoded again. */
void form_encode(struct text *t, const struct param *p, size_t n, bool twice);

/* Make the signing key (3.4.2) from the two secrets, which stay the caller's
 * to wipe. */
void oauth1_key(struct oauth1 *o, const char *consumer_secret,
		const char *token_secret);

/* Append the signature base string (3.4.1) to base, its signature in base64
 * (3.4.2), of OAUTH1_SIGNATURE bytes, to signature, and the value of the
 * Authorization header (3.5.1) to header. What does not fit sets full: the
 * request must then not be sent. */
void oauth1_sign(const struct oauth1 *o, const struct oauth1_request *r,
		 struct text *base, struct text *signature,
		 struct text *header);

#endif
