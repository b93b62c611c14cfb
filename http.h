/* HTTP/1.1 for one request and one endless response: the URL, the response
 * head (RFC 9112, sections 2 to 5) and the body's framing (sections 6 and 7).
 * All of it is strict: what a careful sender does not send is an error. */
#ifndef HTTP_H
#define HTTP_H

#include "text.h"

#define HTTP_HEAD_MAX 16384 /* bytes of all heads of one response */
#define HTTP_LINE_MAX                                                          \
	16384 /* bytes of a chunk's extension, of all trailers                 \
	       */

enum http_error {
	HTTP_OK,
	HTTP_BAD_VERSION,
	HTTP_BAD_STATUS,
	HTTP_BAD_LINE,
	HTTP_BAD_NAME,
	HTTP_BAD_VALUE,
	HTTP_FOLDED,
	HTTP_HEAD_TOO_LONG,
	HTTP_TOO_MANY_INTERIM,
	HTTP_SWITCHED,
	HTTP_BAD_LENGTH,
	HTTP_TWO_LENGTHS,
	HTTP_LENGTH_AND_CODING,
	HTTP_BAD_CODING,
	HTTP_ENCODED,
	HTTP_BAD_CHUNK_SIZE,
	HTTP_CHUNK_TOO_LARGE,
	HTTP_BAD_CHUNK_END,
	HTTP_EXTENSION_TOO_LONG,
	HTTP_TRAILERS_TOO_LONG,
	HTTP_ERRORS
};

/* What the error is, for a person: "the chunk size is not a number". */
const char *http_error_text(enum http_error e);

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

/* A response head. Fields that were not sent are 0 or empty. */
struct http_head {
	char bytes[HTTP_HEAD_MAX]; /* the head as it came, for a log */
	size_t n;
	int interim;     /* 1xx responses passed over */
	size_t line;     /* where the line being read begins in bytes */
	bool minor_zero; /* HTTP/1.0 */
	bool chunked;    /* else length, else until close */
	bool has_length;
	bool encoded; /* a Content-Encoding, an error in a 200 */
	int status;
	uint64_t length;
	uint64_t retry_after; /* seconds; a date or garbage counts as 0 */
	uint64_t date;        /* Date, seconds since 1970 */
	uint64_t limit_reset; /* x-rate-limit-reset, seconds since 1970 */
	bool limit_spent;     /* x-rate-limit-remaining: 0 */
	char location[256];   /* Location as it came, cut at this size */
	size_t location_n;
};

enum http_event { HTTP_MORE, HTTP_DATA, HTTP_DONE, HTTP_ERROR };

void http_head_init(struct http_head *h);

/* Read more of a head from in[0..n-1]; *used says how much was taken. Returns
 * HTTP_MORE, HTTP_DONE when a final head is complete, or HTTP_ERROR with *e
 * set. */
enum http_event http_head_next(struct http_head *h, const unsigned char *in,
			       size_t n, size_t *used, enum http_error *e);

/* Where a body's reader stands. */
enum http_place {
	BODY_LENGTH, /* in a body of known length */
	BODY_CLOSE,  /* in a body that ends with the connection */
	CHUNK_SIZE_FIRST,
	CHUNK_SIZE,
	CHUNK_SPACE, /* before an extension, or padding as some servers send */
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_CR,
	CHUNK_LF,
	TRAILER_START,
	TRAILER,
	TRAILER_LF,
	TRAILER_END_LF,
	BODY_DONE
};

struct http_body {
	enum http_place place;
	uint64_t left; /* bytes of this chunk or body to come */
	size_t line;   /* bytes of this extension or of the trailers so far */
};

/* Ready to read the body that the head announces. */
void http_body_init(struct http_body *b, const struct http_head *h);

/* What is next in a body. */
struct http_data {
	const unsigned char *p; /* a part of the input */
	size_t n;
	enum http_error error;
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
