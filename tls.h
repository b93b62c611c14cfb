/* TLS 1.2 by BearSSL 0.6, with a profile narrower than its defaults: ECDHE
 * with AES-GCM or ChaCha20-Poly1305, no SHA-1 and no MD5 anywhere, RSA of 256
 * bytes or more, a host name that is in the certificate's subjectAltName, no
 * renegotiation. The sockets are net's, which takes records to be sent and
 * decrypted bytes from BearSSL's engine as bearssl_ssl.h says. */
#ifndef TLS_H
#define TLS_H

#include <bearssl.h>
#include <stdbool.h>
#include <stdint.h>

#define TLS_1970 719528 /* days from the year 0, where BearSSL counts from */
#define TLS_SEED 32     /* bytes of entropy for one connection */
#define TLS_RSA_MIN 256 /* bytes of a modulus */
#define TLS_NAMES 128   /* dNSNames of a certificate that are looked at */
#define TLS_NAME 72     /* bytes of one of them, its NUL included */

enum tls_state {
	TLS_HANDSHAKE,
	TLS_OPEN,
	TLS_CLOSED, /* both sides said so */
	TLS_FAILED
};

struct tls {
	const br_x509_trust_anchor *anchors;
	size_t nanchors;
	br_ssl_client_context client;
	br_x509_minimal_context x509;
	br_name_element elements[TLS_NAMES];
	char names[TLS_NAMES][TLS_NAME];
	char host[254];
	size_t handshake; /* bytes received before it was over */
	bool open;
	int error; /* 0, a code of BearSSL, or one of tls.c's own */
	unsigned char buf[BR_SSL_BUFSIZE_BIDI];
};

/* Begin a connection to host, at most 253 bytes and not empty, from fresh
 * entropy; unix_time in seconds judges the certificates. anchors and nanchors
 * must be set. */
void tls_begin(struct tls *t, const char *host,
	       const unsigned char seed[TLS_SEED], uint64_t unix_time);

/* Where it stands. Until TLS_OPEN no request byte is taken. */
enum tls_state tls_state(struct tls *t);

/* Take bytes from the network. Returns how many, 0 while decrypted ones wait
 * to be acknowledged or there is output to be sent. */
size_t tls_feed(struct tls *t, const unsigned char *p, size_t n);

/* Are there bytes for the network? */
bool tls_has_output(const struct tls *t);

/* Encrypt bytes. Returns how many were taken. */
size_t tls_write(struct tls *t, const unsigned char *p, size_t n);

/* Say goodbye: what is unread is dropped, and output may follow. */
void tls_close(struct tls *t);

/* Has the other side said goodbye? */
bool tls_peer_closed(const struct tls *t);

/* What went wrong, for a person, and whether it was the certificate. */
const char *tls_error_text(int error);
bool tls_error_is_certificate(int error);

/* The negotiated cipher suite's name. */
const char *tls_suite(const struct tls *t);

/* Wipe all keys. */
void tls_wipe(struct tls *t);

#endif
