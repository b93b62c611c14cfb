/* Which certificate authorities are trusted: those of a PEM file, or the
 * bundle that was compiled in. */
#ifndef ROOTS_H
#define ROOTS_H

#include "text.h"

#include <bearssl.h>

#define ROOTS_MAX 512            /* certificates of a file */
#define ROOTS_BYTES (256 * 1024) /* of all their names and keys */

struct roots {
	const br_x509_trust_anchor *anchors;
	size_t n;
	size_t expired;  /* left out, as are those of a kind or size of key */
	size_t unusable; /* that TLS does not take */
	/* Of a file: */
	uint64_t now; /* seconds since 1970 */
	br_x509_trust_anchor list[ROOTS_MAX];
	size_t used;
	unsigned char bytes[ROOTS_BYTES];
	br_pem_decoder_context pem;
	br_x509_decoder_context x509;
	bool in_certificate;
	const char *error;
};

/* Trust the compiled-in bundle, but for what is expired by unix_time. */
void roots_builtin(struct roots *r, uint64_t unix_time);

/* How many the bundle has, and where they are from. */
size_t roots_all(const char **from);

/* Trust the certificates of a PEM file (RFC 7468) and only these; unix_time
 * says which are expired. Returns NULL, or what is wrong. */
const char *roots_read(struct roots *r, const char *file, uint64_t unix_time);

/* The same in pieces: begin, push the file's bytes, end. */
void roots_begin(struct roots *r, uint64_t unix_time);
void roots_push(struct roots *r, const unsigned char *p, size_t n);
const char *roots_end(struct roots *r);

#endif
