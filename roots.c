#include "roots.h"

#include "roots_builtin.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void roots_builtin(struct roots *r, uint64_t unix_time)
{
	size_t i;

	r->anchors = r->list;
	r->n = 0;
	for (i = 0; i < TAs_NUM; i++)
		if (TAs_END[i] >= unix_time)
			r->list[r->n++] = TAs[i];
}

size_t roots_all(const char **from)
{
	*from = ROOTS_FROM;
	return TAs_NUM;
}

/* Room for n bytes that stay, or NULL. */
static unsigned char *keep(struct roots *r, const void *p, size_t n)
{
	unsigned char *to = r->bytes + r->used;

	if (n > sizeof r->bytes - r->used) {
		r->error = "it has more certificates than there is room for";
		return NULL;
	}
	memcpy(to, p, n);
	r->used += n;
	return to;
}

/* A part of the subject's name, kept where the anchor will have it. */
static void take_name(void *roots, const void *p, size_t n)
{
	struct roots *r = roots;

	if (keep(r, p, n) != NULL)
		r->list[r->n].dn.len += n;
}

/* The decoder must not be given more once it is done or has failed. */
static void take_bytes(void *roots, const void *p, size_t n)
{
	struct roots *r = roots;

	if (br_x509_decoder_last_error(&r->x509) == BR_ERR_X509_TRUNCATED)
		br_x509_decoder_push(&r->x509, p, n);
}

static void begin_certificate(struct roots *r)
{
	r->in_certificate = false;
	br_pem_decoder_setdest(&r->pem, NULL, NULL);
	if (strcmp(br_pem_decoder_name(&r->pem), "CERTIFICATE") != 0 &&
	    strcmp(br_pem_decoder_name(&r->pem), "X509 CERTIFICATE") != 0)
		return;
	if (r->n == ROOTS_MAX) {
		r->error = "it has more than 512 certificates";
		return;
	}
	r->in_certificate = true;
	memset(&r->list[r->n], 0, sizeof r->list[0]);
	r->list[r->n].dn.data = r->bytes + r->used;
	br_x509_decoder_init(&r->x509, take_name, r);
	br_pem_decoder_setdest(&r->pem, take_bytes, r);
}

static void take_key(struct roots *r, br_x509_trust_anchor *ta,
		     const br_x509_pkey *key)
{
	const br_rsa_public_key *rsa = &key->key.rsa;

	ta->pkey = *key;
	if (key->key_type == BR_KEYTYPE_RSA) {
		ta->pkey.key.rsa.n = keep(r, rsa->n, rsa->nlen);
		ta->pkey.key.rsa.e = keep(r, rsa->e, rsa->elen);
	} else {
		ta->pkey.key.ec.q = keep(r, key->key.ec.q, key->key.ec.qlen);
	}
}

static bool is_expired(const struct roots *r)
{
	uint64_t end =
	    (uint64_t)r->x509.notafter_days * 86400 + r->x509.notafter_seconds;

	return end < r->now + (uint64_t)TLS_1970 * 86400;
}

static void end_certificate(struct roots *r)
{
	const br_x509_pkey *key = br_x509_decoder_get_pkey(&r->x509);
	br_x509_trust_anchor *ta = &r->list[r->n];
	bool good = key != NULL && (key->key_type != BR_KEYTYPE_RSA ||
				    key->key.rsa.nlen >= TLS_RSA_MIN);

	if (!r->in_certificate)
		return;
	r->in_certificate = false;
	if (!good || is_expired(r)) {
		*(good ? &r->expired : &r->unusable) += 1;
		r->used -= ta->dn.len;
		return;
	}
	ta->flags = br_x509_decoder_isCA(&r->x509) ? BR_X509_TA_CA : 0;
	take_key(r, ta, key);
	r->n++;
}

void roots_begin(struct roots *r, uint64_t unix_time)
{
	r->anchors = r->list;
	r->n = r->expired = r->unusable = r->used = 0;
	r->now = unix_time;
	r->in_certificate = false;
	r->error = NULL;
	br_pem_decoder_init(&r->pem);
}

void roots_push(struct roots *r, const unsigned char *p, size_t n)
{
	const unsigned char *cr;
	size_t k;

	while (n > 0 && r->error == NULL) {
		cr = memchr(p, '\r', n); /* of CRLF: left out */
		k = cr == p
			? 1
			: br_pem_decoder_push(
			      &r->pem, p, cr != NULL ? (size_t)(cr - p) : n);
		p += k;
		n -= k;
		switch (br_pem_decoder_event(&r->pem)) {
		case BR_PEM_BEGIN_OBJ:
			begin_certificate(r);
			break;
		case BR_PEM_END_OBJ:
			end_certificate(r);
			break;
		case BR_PEM_ERROR:
			r->error = "it is not proper PEM";
			break;
		}
	}
}

const char *roots_end(struct roots *r)
{
	roots_push(r, (const unsigned char *)"\n", 1);
	if (r->error == NULL && r->in_certificate)
		r->error = "its last certificate is cut off";
	if (r->error == NULL && r->n == 0)
		r->error = "it has no certificate that is of use";
	return r->error;
}

const char *roots_read(struct roots *r, const char *file, uint64_t unix_time)
{
	unsigned char buf[4096];
	ssize_t n;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return strerror(errno);
	roots_begin(r, unix_time);
	do {
		n = read(fd, buf, sizeof buf);
		if (n > 0)
			roots_push(r, buf, (size_t)n);
	} while ((n > 0 && r->error == NULL) || (n < 0 && errno == EINTR));
	close(fd);
	return n < 0 ? strerror(errno) : roots_end(r);
}
