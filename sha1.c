#include "sha1.h"

#include <string.h>

#define BLOCK 64 /* bytes hashed at a time */

static const uint32_t start[5] = { 0x67452301, 0xefcdab89, 0x98badcfe,
				   0x10325476, 0xc3d2e1f0 };

static uint32_t rotate(uint32_t x, int by)
{
	return x << by | x >> (32 - by);
}

/* The function of the step t (FIPS 180-4, 4.1.1), and its constant. */
static uint32_t mix(int t, uint32_t b, uint32_t c, uint32_t d)
{
	if (t < 20)
		return ((b & c) | (~b & d)) + 0x5a827999;
	if (t < 40)
		return (b ^ c ^ d) + 0x6ed9eba1;
	if (t < 60)
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
	return (b ^ c ^ d) + 0xca62c1d6;
}

/* Hash one block (6.1.2). */
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
		a = rotate(v[0], 5) + mix(t, v[1], v[2], v[3]) + v[4] + w[t];
		memmove(v + 1, v, 4 * sizeof v[0]);
		v[0] = a;
		v[2] = rotate(v[2], 30);
	}
	for (t = 0; t < 5; t++)
		h[t] += v[t];
	explicit_bzero(w, sizeof w);
	explicit_bzero(v, sizeof v);
}

/* The digest of p[0..n-1] behind so many bytes, whole blocks, that led from the
 * start to this state. */
static void finish(const uint32_t state[5], size_t before,
		   const unsigned char *p, size_t n,
		   unsigned char digest[SHA1_SIZE])
{
	const uint64_t bits = ((uint64_t)before + n) * 8;
	unsigned char last[2 * BLOCK] = { 0 };
	uint32_t h[5];
	size_t size, i;

	memcpy(h, state, sizeof h);
	for (; n >= BLOCK; p += BLOCK, n -= BLOCK)
		compress(h, p);
	memcpy(last, p, n);
	last[n] = 0x80;
	size = n + 9 <= BLOCK ? BLOCK : 2 * BLOCK;
	for (i = 0; i < 8; i++)
		last[size - 1 - i] = (unsigned char)(bits >> 8 * i);
	for (i = 0; i < size; i += BLOCK)
		compress(h, last + i);
	for (i = 0; i < SHA1_SIZE; i++)
		digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
	explicit_bzero(last, sizeof last);
	explicit_bzero(h, sizeof h);
}

void sha1(const void *p, size_t n, unsigned char digest[SHA1_SIZE])
{
	finish(start, 0, p, n, digest);
}

void hmac_sha1_key(struct hmac_sha1 *h, const void *key, size_t n)
{
	unsigned char block[BLOCK] = { 0 };
	size_t i;

	if (n > BLOCK)
		sha1(key, n, block);
	else
		memcpy(block, key, n);
	for (i = 0; i < BLOCK; i++)
		block[i] ^= 0x36;
	memcpy(h->inner, start, sizeof start);
	compress(h->inner, block);
	for (i = 0; i < BLOCK; i++)
		block[i] ^= 0x36 ^ 0x5c;
	memcpy(h->outer, start, sizeof start);
	compress(h->outer, block);
	explicit_bzero(block, sizeof block);
}

void hmac_sha1(const struct hmac_sha1 *h, const void *p, size_t n,
	       unsigned char mac[SHA1_SIZE])
{
	finish(h->inner, BLOCK, p, n, mac);
	finish(h->outer, BLOCK, mac, SHA1_SIZE, mac);
}
