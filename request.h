/* The request: built anew for every attempt, because each has a nonce, a time
 * and so a signature of its own. */
#ifndef REQUEST_H
#define REQUEST_H

#include "http.h"
#include "oauth1.h"

#define TSTREAM_VERSION "1.0"
#define REQUEST_HEADERS 16		    /* of the caller's own */
#define REQUEST_BODY (256u * 1024)	    /* bytes of a form */
#define REQUEST_HEAD (REQUEST_BODY + 16384) /* a GET has its form there */

struct request {
	struct http_url url;
	bool get; /* parameters in the query instead of a body */
	struct param params[PARAMS_MAX]; /* the strings are the caller's */
	size_t nparams;
	struct param query[PARAMS_MAX]; /* of the URL, decoded */
	size_t nquery;
	char decoded[sizeof((struct http_url *)0)->query + 2 * PARAMS_MAX];
	struct oauth1 oauth;
	const char *headers[REQUEST_HEADERS]; /* "Name: value", the caller's */
	size_t nheaders;
	/* What request_build makes: */
	char head[REQUEST_HEAD], body[REQUEST_BODY];
	char base[3 * REQUEST_BODY]; /* the OAuth base string */
	size_t head_n, body_n, base_n;
};

/* Set the URL. Returns NULL, or what is wrong with it. */
const char *request_url(struct request *r, const char *url);

/* Set a parameter; one of that name is replaced. False: there are too many. */
bool request_param(struct request *r, const char *name, const char *value);

/* Write head, body and base for one attempt. nonce is of letters and digits,
 * unix_time in seconds. Returns false if it does not fit. */
bool request_build(struct request *r, const char *nonce, uint64_t unix_time);

/* Wipe what request_build wrote, which has a signature in it. */
void request_wipe(struct request *r);

#endif
