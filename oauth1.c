#include "oauth1.h"

#include <string.h>

/* The parameters that oauth1_sign adds, in the order of 3.4.1.3.2; the
 * signature itself is not signed. */
#define OAUTH_PARAMS 6

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       text_is_digit(c) || (c != '\0' && strchr("-._~", c) != NULL);
}

/* Append a string percent-encoded (RFC 3986, 2.1; RFC 5849, 3.6). percent is
 * what stands for %: "%25" encodes twice, since all else stays as it is. */
static void encode(struct text *t, const char *s, const char *percent)
{
	for (; *s != '\0'; s++) {
		if (is_unreserved(*s)) {
			text_mem(t, s, 1);
		} else {
			text_str(t, percent);
			text_put_hex(t, s, 1, 'A');
		}
	}
}

bool percent_decode(struct text *t, const char *p, size_t n, char plus)
{
	int high, low;
	size_t i;
	char c;

	for (i = 0; i < n; i++) {
		c = p[i] == '+' ? plus : p[i];
		if (c == '%') {
			high = n - i > 2 ? text_hex(p[i + 1]) : -1;
			low = high < 0 ? -1 : text_hex(p[i + 2]);
			if (low < 0 || (high | low) == 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		text_mem(t, &c, 1);
	}
	return true;
}

void form_encode(struct text *t, const struct param *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		text_str(t, i > 0 ? "&" : "");
		encode(t, p[i].name, "%");
		text_str(t, "=");
		encode(t, p[i].value, "%");
	}
}

void oauth1_key(struct oauth1 *o, const char *consumer_secret,
		const char *token_secret)
{
	char key[2 * 3 * KEY_SIZE];
	struct text t;

	text_init(&t, key, sizeof key);
	encode(&t, consumer_secret, "%");
	text_str(&t, "&");
	encode(&t, token_secret, "%");
	hmac_sha1_key(&o->key, key, t.n);
	explicit_bzero(key, sizeof key);
}

/* The order of two strings once percent-encoded: an encoded byte begins with
 * %, which comes before every unreserved one. */
static int compare_encoded(const char *a, const char *b)
{
	int x, y;

	for (; *a != '\0' && *a == *b; a++)
		b++;
	x = (unsigned char)*a;
	y = (unsigned char)*b;
	return (is_unreserved(*a) ? x + 256 : x) -
	       (is_unreserved(*b) ? y + 256 : y);
}

static int compare_params(const struct param *a, const struct param *b)
{
	int order = compare_encoded(a->name, b->name);

	return order != 0 ? order : compare_encoded(a->value, b->value);
}

/* Insertion sort: a request has a handful of parameters. */
static void sort(struct param *p, size_t n)
{
	struct param x;
	size_t i, j;

	for (i = 1; i < n; i++) {
		x = p[i];
		for (j = i; j > 0 && compare_params(&x, &p[j - 1]) < 0; j--)
			p[j] = p[j - 1];
		p[j] = x;
	}
}

/* RFC 5849, 3.4.1.1. */
static void base_string(struct text *t, const struct oauth1_request *r,
			const struct param *p, size_t n)
{
	size_t i;

	text_str(t, r->method);
	text_str(t, "&");
	encode(t, r->url, "%");
	for (i = 0; i < n; i++) {
		text_str(t, i > 0 ? "%26" : "&");
		encode(t, p[i].name, "%25");
		text_str(t, "%3D");
		encode(t, p[i].value, "%25");
	}
}

void base64(struct text *t, const unsigned char *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char code[4];
	uint32_t v;
	size_t i, left;

	for (i = 0; i < n; i += 3) {
		left = n - i;
		v = (uint32_t)p[i] << 16;
		v |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		v |= left > 2 ? p[i + 2] : 0;
		code[0] = digits[v >> 18];
		code[1] = digits[v >> 12 & 63];
		code[2] = left > 1 ? digits[v >> 6 & 63] : '=';
		code[3] = left > 2 ? digits[v & 63] : '=';
		text_mem(t, code, sizeof code);
	}
}

void oauth1_sign(const struct oauth1 *o, const struct oauth1_request *r,
		 struct text *base, struct text *signature, struct text *header)
{
	const struct param oauth[OAUTH_PARAMS] = {
		{ "oauth_consumer_key", o->consumer_key },
		{ "oauth_nonce", r->nonce },
		{ "oauth_signature_method", "HMAC-SHA1" },
		{ "oauth_timestamp", r->timestamp },
		{ "oauth_token", o->token },
		{ "oauth_version", "1.0" },
	};
	struct param all[OAUTH_PARAMS + PARAMS_MAX];
	unsigned char mac[SHA1_SIZE];
	size_t i, from = base->n;

	memcpy(all, oauth, sizeof oauth);
	memcpy(all + OAUTH_PARAMS, r->params, r->nparams * sizeof all[0]);
	sort(all, OAUTH_PARAMS + r->nparams);
	base_string(base, r, all, OAUTH_PARAMS + r->nparams);
	hmac_sha1(&o->key, base->p + from, base->n - from, mac);
	base64(signature, mac, sizeof mac);
	explicit_bzero(mac, sizeof mac);
	text_str(header, "OAuth ");
	for (i = 0; i < OAUTH_PARAMS; i++) {
		text_str(header, oauth[i].name);
		text_str(header, "=\"");
		encode(header, oauth[i].value, "%");
		text_str(header, "\", ");
	}
	text_str(header, "oauth_signature=\"");
	encode(header, signature->p, "%");
	text_str(header, "\"");
}
