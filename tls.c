#include "tls.h"

#include <string.h>
#include <strings.h>

#define HANDSHAKE_MAX (128u * 1024) /* bytes; a chain is some 5,000 */
/* Without any of these nothing will ever happen again. */
#define ALIVE (BR_SSL_CLOSED | BR_SSL_SENDREC | BR_SSL_RECVREC | BR_SSL_RECVAPP)

/* Beyond BearSSL's codes, which end below 1,024. */
enum { TLS_NO_SAN = 1024, TLS_WILDCARD, TLS_TOO_LONG, TLS_STUCK };

/* In order of preference where the processor does AES itself; elsewhere the
 * last two come first. */
#define AES_SUITES 4
static const struct {
	uint16_t suite;
	const char *name;
} suites[] = {
	{ BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	  "ECDHE-ECDSA-AES128-GCM" },
	{ BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM" },
	{ BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	  "ECDHE-ECDSA-AES256-GCM" },
	{ BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM" },
	{ BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	  "ECDHE-ECDSA-CHACHA20-POLY1305" },
	{ BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	  "ECDHE-RSA-CHACHA20-POLY1305" },
};
#define SUITES (sizeof suites / sizeof suites[0])

/* With AES and GHASH in the processor AES-GCM is several times as fast as
 * ChaCha20, else much slower. */
static void set_suites(br_ssl_engine_context *eng)
{
	bool aes =
	    (br_aes_x86ni_ctr_get_vtable() != NULL &&
	     br_ghash_pclmul_get() != 0) ||
	    (br_aes_pwr8_ctr_get_vtable() != NULL && br_ghash_pwr8_get() != 0);
	size_t first = aes ? 0 : AES_SUITES, i;
	uint16_t order[SUITES];

	for (i = 0; i < SUITES; i++)
		order[i] = suites[(first + i) % SUITES].suite;
	br_ssl_engine_set_suites(eng, order, SUITES);
}

const char *tls_suite(const struct tls *t)
{
	size_t i;

	for (i = 0; i < SUITES; i++)
		if (suites[i].suite == t->client.eng.session.cipher_suite)
			return suites[i].name;
	return "an unknown cipher suite";
}

static const struct {
	int error;
	const char *text;
} error_texts[] = {
	{ BR_ERR_UNSUPPORTED_VERSION,
	  "protocol mismatch: the server does not speak TLS 1.2" },
	{ BR_ERR_BAD_VERSION, "what came is not TLS" },
	{ BR_ERR_BAD_LENGTH, "a TLS record of a wrong length" },
	{ BR_ERR_TOO_LARGE, "a TLS record that is too large" },
	{ BR_ERR_BAD_MAC, "a TLS record was damaged on its way" },
	{ BR_ERR_BAD_SIGNATURE, "the server's handshake signature is wrong" },
	{ BR_ERR_X509_UNSUPPORTED,
	  "the certificate has a key or signature that is not supported "
	  "(SHA-1, MD5, RSA-PSS, Ed25519)" },
	{ BR_ERR_X509_LIMIT_EXCEEDED,
	  "the certificate has a key of more than 4,096 bits" },
	{ BR_ERR_X509_BAD_SIGNATURE, "the certificate's signature is wrong" },
	{ BR_ERR_X509_EXPIRED, "the certificate is expired or not yet valid" },
	{ BR_ERR_X509_DN_MISMATCH,
	  "the certificate chain is incomplete or out of order" },
	{ BR_ERR_X509_BAD_SERVER_NAME,
	  "the certificate is for another host name" },
	{ BR_ERR_X509_CRITICAL_EXTENSION,
	  "the certificate has a critical extension that is not supported" },
	{ BR_ERR_X509_NOT_CA, "the issuer is no certificate authority" },
	{ BR_ERR_X509_FORBIDDEN_KEY_USAGE,
	  "the certificate's key is not meant for this" },
	{ BR_ERR_X509_WEAK_PUBLIC_KEY,
	  "the certificate has an RSA key of less than 2,048 bits" },
	{ BR_ERR_X509_NOT_TRUSTED,
	  "the certificate's issuer is not trusted (or it is self-signed)" },
	{ TLS_NO_SAN,
	  "the certificate has no subjectAltName with a host name" },
	{ TLS_WILDCARD,
	  "the certificate names the host only by a wildcard for a whole "
	  "top-level domain" },
	{ TLS_TOO_LONG, "a TLS handshake of more than 128 KiB" },
	{ TLS_STUCK, "the TLS engine came to a halt" },
	{ BR_ERR_RECV_FATAL_ALERT + 40,
	  "protocol mismatch: the server accepts none of our ciphers or keys "
	  "(alert 40)" },
	{ BR_ERR_RECV_FATAL_ALERT + 70,
	  "protocol mismatch: the server does not speak TLS 1.2 (alert 70)" },
};

const char *tls_error_text(int error)
{
	size_t i;

	for (i = 0; i < sizeof error_texts / sizeof error_texts[0]; i++)
		if (error_texts[i].error == error)
			return error_texts[i].text;
	if (error >= BR_ERR_RECV_FATAL_ALERT && error < BR_ERR_SEND_FATAL_ALERT)
		return "the server broke the TLS session off with an alert";
	return tls_error_is_certificate(error) ? "the certificate is malformed"
					       : "a breach of the TLS protocol";
}

bool tls_error_is_certificate(int error)
{
	return (error > BR_ERR_X509_OK && error <= BR_ERR_X509_NOT_TRUSTED) ||
	       error == TLS_NO_SAN || error == TLS_WILDCARD;
}

/* The implementations, each the fastest that runs in constant time. */
static void set_algorithms(struct tls *t)
{
	br_ssl_engine_context *eng = &t->client.eng;
	static const br_hash_class *const hashes[] = {
		[br_sha256_ID] = &br_sha256_vtable,
		[br_sha384_ID] = &br_sha384_vtable,
		[br_sha512_ID] = &br_sha512_vtable,
	};
	int id;

	br_ssl_engine_set_default_rsavrfy(eng);
	br_ssl_engine_set_default_ecdsa(eng);
	br_ssl_engine_set_default_aes_gcm(eng);
	br_ssl_engine_set_default_chapol(eng);
	br_ssl_engine_set_prf_sha256(eng, &br_tls12_sha256_prf);
	br_ssl_engine_set_prf_sha384(eng, &br_tls12_sha384_prf);
	br_x509_minimal_set_rsa(&t->x509, br_ssl_engine_get_rsavrfy(eng));
	br_x509_minimal_set_ecdsa(&t->x509, br_ssl_engine_get_ec(eng),
				  br_ssl_engine_get_ecdsa(eng));
	for (id = br_sha256_ID; id <= br_sha512_ID; id++) {
		br_ssl_engine_set_hash(eng, id, hashes[id]);
		br_x509_minimal_set_hash(&t->x509, id, hashes[id]);
	}
}

/* Have the certificate's dNSNames copied, each into the next element. */
static void set_names(struct tls *t)
{
	static const unsigned char dns_name[] = { 0, 2 };
	size_t i;

	for (i = 0; i < TLS_NAMES; i++) {
		t->elements[i].oid = dns_name;
		t->elements[i].buf = t->names[i];
		t->elements[i].len = TLS_NAME;
	}
	br_x509_minimal_set_name_elements(&t->x509, t->elements, TLS_NAMES);
}

void tls_begin(struct tls *t, const char *host,
	       const unsigned char seed[TLS_SEED], uint64_t unix_time)
{
	br_ssl_engine_context *eng = &t->client.eng;

	t->handshake = 0;
	t->open = false;
	t->error = 0;
	strncpy(t->host, host, sizeof t->host - 1);
	br_ssl_client_zero(&t->client);
	br_ssl_engine_set_versions(eng, BR_TLS12, BR_TLS12);
	set_suites(eng);
	br_x509_minimal_init(&t->x509, &br_sha256_vtable, t->anchors,
			     t->nanchors);
	set_algorithms(t);
	set_names(t);
	br_x509_minimal_set_minrsa(&t->x509, TLS_RSA_MIN);
	br_x509_minimal_set_time(&t->x509,
				 (uint32_t)(unix_time / 86400) + TLS_1970,
				 (uint32_t)(unix_time % 86400));
	br_ssl_engine_set_x509(eng, &t->x509.vtable);
	br_ssl_engine_add_flags(eng, BR_OPT_NO_RENEGOTIATION);
	br_ssl_engine_set_buffer(eng, t->buf, sizeof t->buf, 1);
	br_ssl_engine_inject_entropy(eng, seed, TLS_SEED);
	if (!br_ssl_client_reset(&t->client, t->host, 0))
		t->error = br_ssl_engine_last_error(eng);
}

/* BearSSL takes the subject's CN where there is no subjectAltName, and *.com
 * for example.com. Of a host of two labels the exact name must be there. */
static int judge_names(const struct tls *t)
{
	const char *dot = strchr(t->host, '.');
	size_t i;

	if (t->elements[0].status == 0)
		return TLS_NO_SAN;
	if (dot == NULL || strchr(dot + 1, '.') != NULL)
		return 0;
	for (i = 0; i < TLS_NAMES && t->elements[i].status != 0; i++)
		if (t->elements[i].status == 1 &&
		    strcasecmp(t->names[i], t->host) == 0)
			return 0;
	return TLS_WILDCARD;
}

enum tls_state tls_state(struct tls *t)
{
	unsigned state = br_ssl_engine_current_state(&t->client.eng);

	if (t->error == 0 && (state & BR_SSL_CLOSED) != 0)
		t->error = br_ssl_engine_last_error(&t->client.eng);
	else if (t->error == 0 && (state & ALIVE) == 0)
		t->error = TLS_STUCK;
	else if (t->error == 0 && !t->open && t->handshake > HANDSHAKE_MAX)
		t->error = TLS_TOO_LONG;
	if (t->error == 0 && !t->open && (state & BR_SSL_SENDAPP) != 0) {
		t->error = judge_names(t);
		t->open = t->error == 0;
	}
	if (t->error != 0)
		return TLS_FAILED;
	if ((state & BR_SSL_CLOSED) != 0)
		return TLS_CLOSED;
	return t->open ? TLS_OPEN : TLS_HANDSHAKE;
}

/* With output waiting, a HelloRequest would halt the engine for good: it asks
 * for its own reply to be sent first, and is not told when it was. */
size_t tls_feed(struct tls *t, const unsigned char *p, size_t n)
{
	size_t room, fed = 0;
	unsigned char *buf;

	while (fed < n && !tls_has_output(t)) {
		buf = br_ssl_engine_recvrec_buf(&t->client.eng, &room);
		if (buf == NULL)
			break;
		if (room > n - fed)
			room = n - fed;
		memcpy(buf, p + fed, room);
		br_ssl_engine_recvrec_ack(&t->client.eng, room);
		fed += room;
	}
	t->handshake += t->open ? 0 : fed;
	return fed;
}

bool tls_has_output(const struct tls *t)
{
	return (br_ssl_engine_current_state(&t->client.eng) & BR_SSL_SENDREC) !=
	       0;
}

size_t tls_write(struct tls *t, const unsigned char *p, size_t n)
{
	size_t room;
	unsigned char *buf = br_ssl_engine_sendapp_buf(&t->client.eng, &room);

	if (buf == NULL || n == 0)
		return 0;
	if (room > n)
		room = n;
	memcpy(buf, p, room);
	br_ssl_engine_sendapp_ack(&t->client.eng, room);
	br_ssl_engine_flush(&t->client.eng, 0);
	return room;
}

void tls_close(struct tls *t)
{
	br_ssl_engine_context *eng = &t->client.eng;
	size_t n;

	/* Unread data would leave the engine without a next step. */
	while (br_ssl_engine_recvapp_buf(eng, &n) != NULL)
		br_ssl_engine_recvapp_ack(eng, n);
	br_ssl_engine_close(eng);
}

bool tls_peer_closed(const struct tls *t)
{
	return t->client.eng.shutdown_recv != 0;
}

void tls_wipe(struct tls *t)
{
	explicit_bzero(&t->client, sizeof t->client);
	explicit_bzero(t->buf, sizeof t->buf);
}
