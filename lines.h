/* Cut a body into messages, one a line, wherever it was split, and
 * judge each by json_scan. CRLF ends a line. A bare LF does too, unless the
 * object is still open there: then it is white space, written as a space. */
#ifndef LINES_H
#define LINES_H

#include "json_scan.h"

#ifndef LINE_MAX_SIZE            /* the fuzzers have a small one */
#define LINE_MAX_SIZE (1u << 20) /* bytes of a line, its end not counted */
#endif

enum lines_event {
	LINES_MORE,      /* all input is used */
	LINES_MESSAGE,   /* a valid object */
	LINES_KEEPALIVE, /* an empty line, or one of white space alone */
	LINES_MALFORMED, /* reported, not written */
	LINES_TOO_LONG   /* the same: more than LINE_MAX_SIZE bytes */
};

/* A line without its end. The bytes are valid until the next call. */
struct line {
	const unsigned char *p; /* of a bad line only the beginning */
	size_t n;
	enum json_class class; /* of a message */
	enum json_error error; /* of a malformed one */
	uint64_t offset;       /* of the error */
	uint64_t size;         /* of the whole line */
};

struct lines {
	struct json_scan scan;
	bool ended;    /* the line is delivered: forget it next */
	bool skipping; /* the line is too long: on to its end */
	bool cr;       /* its last byte so far was a CR */
	uint64_t size; /* of its bytes so far */
	size_t n;      /* bytes of a line that are carried over in buf */
	size_t start;  /* where the message's last physical line begins */
	size_t drop;   /* the delivered bytes of buf */
	unsigned char buf[LINE_MAX_SIZE + 2 + 1 + JSON_SLACK];
};

/* Begin a connection's body. tweet_key as in json_init. */
void lines_init(struct lines *l, const char *tweet_key);

/* Read on in in[0..n-1], behind which JSON_SLACK bytes can be read; *used says
 * how far. Returns what was found, in *line unless it is LINES_MORE or
 * LINES_KEEPALIVE. Its bytes lie in in, or in l if it was cut or had an inner
 * LF. Blanks before a line are no part of it. */
enum lines_event lines_next(struct lines *l, const unsigned char *in, size_t n,
			    size_t *used, struct line *line);

/* Is there more to be had from lines_next without any input? */
bool lines_pending(const struct lines *l);

/* The body is over, with lines_pending false. Returns a line that is bad (a
 * text that is no object too), or an object that is complete: then again what
 * is left. Else LINES_MORE, and line->size is how many bytes of a line came in
 * vain. */
enum lines_event lines_end(struct lines *l, struct line *line);

#endif
