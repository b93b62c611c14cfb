/* HTTP/1.1 for one request and one endless response: the URL, the response
 * head (RFC 9112, sections 2 to 5) and the body's framing (sections 6 and 7).
 * All of it is strict: what a careful sender does not send is an error. */
#ifndef HTTP_H
#define HTTP_H

#include "text.h"

/* Bytes of all heads of one response; of a chunk's size with its zeros and
 * extension; of all trailers. */
#define HTTP_HEAD_MAX 16384

/* An absolute URL, in parts. */
struct http_url {
	bool tls;         /* https */
	bool is_address;  /* the host is an IP address */
	uint16_t port;    /* the scheme's own if none is given */
	char host[254];   /* lower case, no brackets, no dot at its end */
	bool rooted;      /* there was a dot: the name is looked up with it */
	char base[1024];  /* scheme://host[:port]/path, as OAuth signs it */
	size_t path;      /* where the path begins in base */
	char query[1024]; /* what follows ?, as it was given */
};

/* Take a NUL-terminated URL apart (RFC 3986). Returns NULL, or what is wrong
 * with it. A userinfo, a fragment and bytes that a URL cannot hold are
 * refused. */
const char *http_url_parse(struct http_url *u, const char *s);

/* Append the value of Host: with a port that is not the scheme's own. */
void http_host(struct text *t, const struct http_url *u);

/* The fields that are looked at. */
enum http_field {
	HTTP_CONTENT_LENGTH,
	HTTP_TRANSFER_ENCODING,
	HTTP_CONTENT_ENCODING, /* but identity, which is none */
	HTTP_CONTENT_TYPE,
	HTTP_RETRY_AFTER,
	HTTP_DATE,
	HTTP_LOCATION,
	HTTP_LIMIT_RESET,
	HTTP_LIMIT_REMAINING,
	HTTP_FIELDS
};

/* A response head. It must not be copied: values point into bytes. */
struct http_head {
	char bytes[HTTP_HEAD_MAX]; /* the head as it came, for a log */
	size_t n;
	int interim;     /* 1xx responses passed over */
	size_t line;     /* where the line being read begins in bytes */
	bool minor_zero; /* HTTP/1.0 */
	bool tunnel;     /* of CONNECT: no body, whatever its fields say (RFC
			  * 9110, 9.3.6); set by proxy_next */
	int status;
	struct piece field[HTTP_FIELDS]; /* n of 0: none, or two that
					  * differ where it informs */
	struct piece refused;            /* what an error is about */
	/* What the fields mean; 0 or false if not given, or no sense: */
	bool chunked; /* else length, else until close */
	uint64_t length;
	uint64_t retry_after; /* seconds */
	uint64_t retry_at;    /* Retry-After as a date, seconds since 1970 */
	uint64_t date;        /* Date, seconds since 1970 */
	uint64_t limit_reset; /* x-rate-limit-reset, seconds since 1970 */
	bool limit_spent;     /* x-rate-limit-remaining: 0 */
	bool other_type;      /* text/html or text/event-stream: no messages */
};

enum http_event { HTTP_MORE, HTTP_DATA, HTTP_DONE, HTTP_ERROR };

void http_head_init(struct http_head *h);

/* Read more of a head from in[0..n-1]; *used says how much was taken. Returns
 * HTTP_MORE, HTTP_DONE when a final head is complete, or HTTP_ERROR with *why
 * set, for a person: "the status is not three digits". */
enum http_event http_head_next(struct http_head *h, const unsigned char *in,
			       size_t n, size_t *used, const char **why);

/* Where a body's reader stands: in the body or behind it, or in the framing,
 * from CHUNK_BEGIN on. */
enum http_place {
	BODY_LENGTH, /* in a body of known length */
	BODY_CLOSE,  /* in a body that ends with the connection */
	CHUNK_DATA,
	BODY_DONE,
	CHUNK_BEGIN,
	CHUNK_SIZE,
	CHUNK_SPACE,
	CHUNK_EXTENSION,
	CHUNK_END, /* behind its data */
	TRAILER_BEGIN,
	TRAILER
};

struct http_body {
	enum http_place place;
	uint64_t left; /* bytes of this chunk or body to come */
	bool cr;       /* the framing's last byte was CR */
	size_t line;   /* bytes of this size's line or of the trailers so far */
	char begin[32]; /* the first of them */
};

/* Ready to read the body that the head announces. */
void http_body_init(struct http_body *b, const struct http_head *h);

/* What is next in a body. */
struct http_data {
	const unsigned char *p; /* a part of the input */
	size_t n;
	const char *error;    /* for a person, or NULL */
	struct piece refused; /* what came: a part of the body's state */
};

/* Go on in in[0..n-1] to the next body bytes; *used says how much framing lay
 * before them. Returns HTTP_DATA with the bytes that follow in *data, to be
 * taken by http_body_take; HTTP_MORE when all is used; HTTP_DONE at the body's
 * end; or HTTP_ERROR. */
enum http_event http_body_next(struct http_body *b, const unsigned char *in,
			       size_t n, size_t *used, struct http_data *data);

/* The first n of the data are done with. */
void http_body_take(struct http_body *b, size_t n);

/* May the connection end here? False says that the body was cut. */
bool http_body_may_end(const struct http_body *b);

#endif
