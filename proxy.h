/* An HTTP proxy and the tunnel through it: CONNECT (RFC 9110, 9.3.6) with the
 * credentials of RFC 7617, for hosts that NO_PROXY does not except. Addresses
 * and exceptions are read as curl does, which set the custom. */
#ifndef PROXY_H
#define PROXY_H

#include "request.h"

struct proxy {
	struct http_url url;             /* host, port and rooted are its own */
	char basic[SECRET_MAX + 1];      /* user:password in base64, or empty */
	char connect[SECRET_MAX + 1024]; /* what is sent to open the tunnel */
	size_t connect_n;                /* 0: there is none, go direct */
};

/* Is the scheme of a proxy's URL, or its lack, one that we speak? */
bool proxy_is_http(const char *url);

/* Take [http://][user[:password]@]host[:port][/...] apart, and write connect,
 * for a tunnel to there. The port is 1080 if none is given. User and password,
 * their %XX undone, become secrets; where secrets is NULL they are refused.
 * Returns NULL, or what is wrong. */
const char *proxy_url(struct proxy *p, const char *url,
		      const struct http_url *there, struct secrets *secrets);

/* Does no_proxy except a host, of lower case and without a dot at its end? It
 * is a list by commas or blanks, ASCII case ignored: a name means itself and
 * what ends in it at a dot; a dot before or behind it is passed over; "*" alone
 * means all. Addresses mean nothing: our hosts are names. */
bool proxy_excepts(const char *no_proxy, const char *host);

enum proxy_answer {
	PROXY_MORE,    /* give more input */
	PROXY_OPEN,    /* the tunnel is there */
	PROXY_REFUSED, /* 401, 403, 407: this will not change by itself */
	PROXY_FAILED
};

/* Read more of p's answer, in[0..n-1], into a head that http_head_init began.
 * A 2xx opens the tunnel, whatever body it announces; what follows its head was
 * said by nobody, since we have not spoken yet. PROXY_REFUSED and _FAILED
 * append what is wrong, for a person. */
enum proxy_answer proxy_next(const struct proxy *p, struct http_head *h,
			     const unsigned char *in, size_t n,
			     struct text *why);

#endif
