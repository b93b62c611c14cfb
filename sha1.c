#include "sha1.h"

#include <string.h>

static uint32_t rotate(uint32_t x, int by)
{
	return x << by | x >> (32 - by);
}

/* One of the 80 steps (FIPS 180-4, 6.1.2): f and k change every 20. */
static uint32_t step(const uint32_t v[5], int t, uint32_t w)
{
	static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc,
				       0xca62c1d6 };
	uint32_t b = v[1], c = v[2], d = v[3], f;

	if (t < 20)
		f = (b & c) | (~b & d);
	else if (t >= 40 && t < 60)
		f = (b & c) | (b & d) | (c & d);
	else
		f = b ^ c ^ d;
	return rotate(v[0], 5) + f + v[4] + w + k[t / 20];
}

static void compress(uint32_t h[5], const unsigned char *p)
{
	uint32_t w[80], v[5], a;
	int t;

	for (t = 0; t < 16; t++, p += 4)
		w[t] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		       (uint32_t)p[2] << 8 | p[3];
	for (; t < 80; t++)
		w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
	memcpy(v, h, sizeof v);
	for (t = 0; t < 80; t++) {
		a = step(v, t, w[t]);
		v[4] = v[3];
		v[3] = v[2];
		v[2] = rotate(v[1], 30);
		v[1] = v[0];
		v[0] = a;
	}
	for (t = 0; t < 5; t++)
		h[t] += v[t];
	explicit_bzero(w, sizeof w);
	explicit_bzero(v, sizeof v);
}

void sha1_init(struct sha1 *s)
{
	static const uint32_t start[5] = { 0x67452301, 0xefcdab89, 0x98badcfe,
					   0x10325476, 0xc3d2e1f0 };

	memcpy(s->h, start, sizeof start);
	s->n = 0;
}

void sha1_update(struct sha1 *s, const void *p, size_t n)
{
	const unsigned char *b = p;
	size_t i;

	for (i = 0; i < n; i++) {
		s->block[s->n++ % SHA1_BLOCK] = b[i];
		if (s->n % SHA1_BLOCK == 0)
			compress(s->h, s->block);
	}
}

void sha1_final(struct sha1 *s, unsigned char digest[SHA1_SIZE])
{
	static const unsigned char pad[SHA1_BLOCK] = { 0x80 };
	unsigned char bits[8];
	uint64_t n = s->n * 8;
	size_t used = s->n % SHA1_BLOCK, i;

	for (i = 0; i < sizeof bits; i++)
		bits[i] = (unsigned char)(n >> (56 - 8 * i));
	sha1_update(s, pad, (used < 56 ? 56 : 120) - used);
	sha1_update(s, bits, sizeof bits);
	for (i = 0; i < SHA1_SIZE; i++)
		digest[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
	explicit_bzero(s, sizeof *s);
}

void hmac_sha1_key(struct hmac_sha1 *h, const void *key, size_t n)
{
	unsigned char block[SHA1_BLOCK] = { 0 };
	size_t i;

	sha1_init(&h->inner);
	sha1_init(&h->outer);
	if (n > SHA1_BLOCK) {
		sha1_update(&h->inner, key, n);
		sha1_final(&h->inner, block);
		sha1_init(&h->inner);
	} else if (n > 0) {
		memcpy(block, key, n);
	}
	for (i = 0; i < SHA1_BLOCK; i++)
		block[i] ^= 0x36;
	sha1_update(&h->inner, block, sizeof block);
	for (i = 0; i < SHA1_BLOCK; i++)
		block[i] ^= 0x36 ^ 0x5c;
	sha1_update(&h->outer, block, sizeof block);
	/* The padded key must not stay behind in the states' buffers. */
	explicit_bzero(h->inner.block, SHA1_BLOCK);
	explicit_bzero(h->outer.block, SHA1_BLOCK);
	explicit_bzero(block, sizeof block);
}

void hmac_sha1(const struct hmac_sha1 *h, const void *p, size_t n,
	       unsigned char mac[SHA1_SIZE])
{
	struct sha1 s = h->inner;

	sha1_update(&s, p, n);
	sha1_final(&s, mac);
	s = h->outer;
	sha1_update(&s, mac, SHA1_SIZE);
	sha1_final(&s, mac);
}
