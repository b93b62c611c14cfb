/* The request: built anew for every attempt, because each has a nonce, a time
 * and so a signature of its own. */
#ifndef REQUEST_H
#define REQUEST_H

#include "http.h"
#include "keys.h"
#include "secret.h"

#define TSTREAM_VERSION "1.0.0"
#define REQUEST_HEADERS 16                  /* of the caller's own */
#define REQUEST_BODY (256u * 1024)          /* bytes of a form */
#define REQUEST_HEAD (REQUEST_BODY + 16384) /* a GET has its form there */

enum auth { AUTH_OAUTH1, AUTH_BEARER, AUTH_BASIC, AUTH_NONE };

struct request {
	struct http_url url;
	bool get; /* parameters in the query instead of a body */
	struct param params[PARAMS_MAX]; /* the strings are the caller's */
	size_t nparams;
	struct param query[PARAMS_MAX]; /* of the URL, decoded */
	size_t nquery;
	char decoded[sizeof((struct http_url *)0)->query + 2 * PARAMS_MAX];
	enum auth auth;
	struct oauth1 oauth;              /* for AUTH_OAUTH1 */
	char authorization[3 * KEY_SIZE]; /* the value for _BEARER, _BASIC */
	struct secrets secrets;           /* of all that is sent */
	const char *headers[REQUEST_HEADERS]; /* "Name: value", the caller's */
	size_t nheaders;
	/* What request_build makes: */
	char head[REQUEST_HEAD], body[REQUEST_BODY];
	char base[3 * REQUEST_BODY]; /* the OAuth base string */
	size_t head_n, body_n, base_n;
};

/* Set the URL. Returns NULL, or what is wrong with it. */
const char *request_url(struct request *r, const char *url);

/* Add a parameter; one of that name may be there. False: there are too many. */
bool request_param(struct request *r, const char *name, const char *value);

/* In what is built from now on the value stands in place of all parameters of
 * that name; NULL: no parameter has it. Both strings are the caller's. */
void request_replace(struct request *r, const char *name, const char *value);

/* Take the credentials that auth needs (RFC 5849; RFC 6750, 2.1; RFC 7617, 2),
 * which stay the caller's to wipe. */
void request_keys(struct request *r, const struct keys *k);

/* Write head, body and base for one attempt. nonce is of letters and digits,
 * unix_time in seconds. Returns false if it does not fit, and so must not be
 * sent. */
__attribute__((warn_unused_result)) bool
request_build(struct request *r, const char *nonce, uint64_t unix_time);

/* The next line of a head or body of *n bytes at *p, which are moved behind it:
 * size bytes without its end, or for a person what stands for the
 * Authorization line, a proxy's too. The bytes are the request's. NULL: there
 * are no more. */
const char *request_next_line(const char **p, size_t *n, size_t *size);

/* Wipe what request_build made: head, body and base. What a server may yet say
 * of it is still kept from the log. */
void request_wipe(struct request *r);

/* The attempt is over and told of: wipe its signature too. */
void request_end(struct request *r);

#endif
