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

void form_encode(struct text *t, const struct param *p, size_t n, bool twice)
{
	const char *percent = twice ? "%25" : "%";
	size_t i;

	for (i = 0; i < n; i++) {
		text_str(t, i == 0 ? "" : twice ? "%26" : "&");
		encode(t, p[i].name, percent);
		text_str(t, twice ? "%3D" : "=");
		encode(t, p[i].value, percent);
	}
}

void oauth1_key(struct oauth1 *o, const char *consumer_secret,
		const char *token_secret)
{
	char key[2 * 3 * KEY_SIZE];
	struct text t = text_in(key, sizeof key);

	encode(&t, consumer_secret, "%");
	text_str(&t, "&");
	encode(&t, token_secret, "%");
	hmac_sha1_key(&o->key, key, t.n);
	explicit_bzero(key, sizeof key);
}

/* The order of bytes once percent-encoded: what is encoded begins with %, which
 * comes before every unreserved one. */
static int rank(char c)
{
	return is_unreserved(c) ? c + 256 : (unsigned char)c;
}

static int compare(const char *a, const char *b)
{
	for (; *a != '\0' && *a == *b; a++)
		b++;
	return rank(*a) - rank(*b);
}

static bool is_before(const struct param *a, const struct param *b)
{
	int order = compare(a->name, b->name);

	return order < 0 || (order == 0 && compare(a->value, b->value) < 0);
}

/* Insertion sort: a request has a handful of parameters. */
static void sort(struct param *p, size_t n)
{
	struct param x;
	size_t i, j;

	for (i = 1; i < n; i++) {
		x = p[i];
		for (j = i; j > 0 && is_before(&x, &p[j - 1]); j--)
			p[j] = p[j - 1];
		p[j] = x;
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
	text_str(base, r->method);
	text_str(base, "&");
	encode(base, r->url, "%");
	text_str(base, "&");
	form_encode(base, all, OAUTH_PARAMS + r->nparams, true);
	hmac_sha1(&o->key, base->p + from, base->n - from, mac);
	text_base64(signature, mac, sizeof mac);
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
