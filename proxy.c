#include "proxy.h"

#include <string.h>

#define PORT ":1080" /* of one that names none, as curl has it */

bool proxy_is_http(const char *url)
{
	const char *end = strstr(url, "://");

	return end == NULL || text_is_word(url, (size_t)(end - url), "http");
}

/* user[:password], s[0..n-1], into basic and among the secrets. */
static const char *take_user(struct proxy *p, const char *s, size_t n,
			     struct secrets *secrets)
{
	const char *colon = memchr(s, ':', n);
	size_t user = colon != NULL ? (size_t)(colon - s) : n, from;
	char pair[2 * KEY_SIZE];
	struct text t = text_in(pair, sizeof pair);
	struct text basic = text_in(p->basic, sizeof p->basic);
	bool good;

	good = percent_decode(&t, s, user, '+');
	secret_set(secrets, SECRET_PROXY_USER, pair, t.n);
	text_str(&t, ":");
	from = t.n;
	if (colon != NULL)
		good = percent_decode(&t, colon + 1, n - user - 1, '+') && good;
	secret_set(secrets, SECRET_PROXY_PASSWORD, pair + from, t.n - from);
	text_base64(&basic, pair, t.n);
	secret_set(secrets, SECRET_PROXY_BASIC, p->basic, basic.n);
	explicit_bzero(pair, sizeof pair);
	if (t.full)
		return "its user name and password are too long";
	return good ? NULL
		    : "its user name or password has a % that is not "
		      "%XX";
}

/* All fits: host names have at most 253 bytes. */
static void put_connect(struct proxy *p, const struct http_url *there)
{
	struct text t = text_in(p->connect, sizeof p->connect);
	int i;

	for (i = 0; i < 2; i++) {
		text_str(&t, i == 0 ? "CONNECT " : " HTTP/1.1\r\nHost: ");
		text_str(&t, there->host);
		text_str(&t, ":");
		text_u64(&t, there->port);
	}
	if (p->basic[0] != '\0') {
		text_str(&t, "\r\nProxy-Authorization: Basic ");
		text_str(&t, p->basic);
	}
	text_str(&t, "\r\nUser-Agent: tstream/" TSTREAM_VERSION "\r\n\r\n");
	p->connect_n = t.n;
}

const char *proxy_url(struct proxy *p, const char *url,
		      const struct http_url *there, struct secrets *secrets)
{
	const char *scheme = strstr(url, "://"), *why = NULL, *at;
	char plain[300] = "http://";
	struct text t = { plain, sizeof plain, 7, false };
	size_t n;

	if (!proxy_is_http(url))
		return "its scheme is not http";
	url += scheme != NULL ? scheme + 3 - url : 0;
	n = strcspn(url, "/?#");
	if (strchr(url + n, '@') != NULL)
		return "write a /, ? or # in user or password as %XX";
	at = memrchr(url, '@', n);
	if (at != NULL && secrets == NULL)
		return "it has a user name, which everybody can see there: "
		       "give them in the environment, as https_proxy";
	if (at != NULL) {
		why = take_user(p, url, (size_t)(at - url), secrets);
		n -= (size_t)(at + 1 - url);
		url = at + 1;
	}
	if (why != NULL)
		return why;
	text_mem(&t, url, n);
	while (n > 0 && text_is_digit(url[n - 1]))
		n--;
	/* no port, but the end of an address in brackets, or of a name */
	text_str(&t, n == 0 || url[n - 1] != ':' ? PORT : "");
	why = t.full ? "it is too long" : http_url_parse(&p->url, plain);
	if (why == NULL)
		put_connect(p, there);
	return why;
}

bool proxy_excepts(const char *no_proxy, const char *host)
{
	size_t all = strlen(host), n, size;
	const char *p = no_proxy;

	if (strcmp(p, "*") == 0)
		return true;
	for (; *p != '\0'; p += n) {
		p += strspn(p, ", \t");
		n = strcspn(p, ", \t");
		size = n - (n > 0 && p[n - 1] == '.');
		if (size > 0 && *p == '.') {
			p++;
			n--;
			size--;
		}
		if (size <= all && n > 0 &&
		    (size == all || host[all - size - 1] == '.') &&
		    text_is_word(p, size, host + all - size))
			return true;
	}
	return false;
}

enum proxy_answer proxy_next(const struct proxy *p, struct http_head *h,
			     const unsigned char *in, size_t n,
			     struct text *why)
{
	const char *wrong = NULL;
	enum http_event e;
	size_t used;
	int status;

	h->tunnel = true;
	e = http_head_next(h, in, n, &used, &wrong);
	status = h->status;
	if (e == HTTP_MORE)
		return PROXY_MORE;
	if (e == HTTP_DONE && status / 100 == 2 && used < n)
		wrong = "bytes behind its head, before we spoke";
	if (wrong == NULL && status / 100 == 2)
		return PROXY_OPEN;
	text_str(why, "the proxy's answer: ");
	text_str(why, wrong != NULL ? wrong : "HTTP status ");
	if (wrong != NULL)
		return PROXY_FAILED;
	text_u64(why, (uint64_t)status);
	if (status == 401 || status == 407)
		text_str(why, p->basic[0] != '\0'
				  ? "; check its user and password"
				  : "; user and password go into https_proxy");
	return status == 401 || status == 403 || status == 407 ? PROXY_REFUSED
							       : PROXY_FAILED;
}
