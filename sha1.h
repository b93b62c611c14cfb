/* SHA-1 (FIPS 180-4) and HMAC-SHA1 (RFC 2104), for OAuth signatures alone. */
#ifndef SHA1_H
#define SHA1_H

#include <stddef.h>
#include <stdint.h>

#define SHA1_SIZE 20 /* bytes of a digest */

/* Write the digest of p[0..n-1]. */
void sha1(const void *p, size_t n, unsigned char digest[SHA1_SIZE]);

/* A key made ready: the two hash states that follow its padded forms. The key
 * itself cannot be read back from them. */
struct hmac_sha1 {
	uint32_t inner[5], outer[5];
};

/* Make a key of n bytes ready. */
void hmac_sha1_key(struct hmac_sha1 *h, const void *key, size_t n);

/* Write the MAC of p[0..n-1] under the key. */
void hmac_sha1(const struct hmac_sha1 *h, const void *p, size_t n,
	       unsigned char mac[SHA1_SIZE]);

#endif
