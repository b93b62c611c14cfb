/* Validate one JSON object and say what kind of message it is, in one pass
 * and without allocation. Valid is exactly what RFC 8259 says, in UTF-8, nested
 * up to JSON_DEPTH. */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include "text.h"

#define JSON_DEPTH 1024 /* objects and arrays open at once */
#define JSON_KEY_MAX 32 /* bytes of a tweet key */

/* Kinds of message, by top-level key, the first that matches winning. */
enum json_class {
	JSON_DISCONNECT,
	JSON_TWEET,
	JSON_LIMIT,
	JSON_DELETE,
	JSON_WARNING,
	JSON_OTHER
};

enum json_error {
	JSON_OK,
	JSON_NOT_OBJECT,
	JSON_TRAILING,
	JSON_UNEXPECTED,
	JSON_CONTROL,
	JSON_BAD_ESCAPE,
	JSON_BAD_UTF8,
	JSON_BAD_NUMBER,
	JSON_BAD_LITERAL,
	JSON_TOO_DEEP,
	JSON_UNFINISHED,
	JSON_ERRORS
};

/* What the error is, for a person. */
const char *json_error_text(enum json_error e);

/* What may follow. */
enum json_place {
	JSON_BEFORE,        /* nothing but white space so far */
	JSON_KEY_OR_END,    /* after { */
	JSON_KEY,           /* after , in an object */
	JSON_COLON,         /* after a key */
	JSON_VALUE,         /* after : or , */
	JSON_VALUE_OR_END,  /* after [ */
	JSON_AFTER_MEMBER,  /* after a value in an object */
	JSON_AFTER_ELEMENT, /* after a value in an array */
	JSON_DONE,          /* the object is closed */
	JSON_FAILED         /* see error */
};

#define JSON_SEEN 512    /* keys that are remembered */
#define JSON_SEEN_MAX 48 /* bytes of one, with what follows */

/* A key as it stood in the text, from its quote on, with its colon and, if it
 * followed, a literal and a comma: right wherever a key may be. */
struct json_seen {
	unsigned char text[JSON_SEEN_MAX];
	uint64_t behind; /* a bit for each byte that is no part of it */
	uint16_t next;   /* the one that came after it most lately */
	uint8_t n;       /* its bytes; 0: none */
	uint8_t place;   /* behind it */
	uint8_t found;   /* as below, at the top level */
};

struct json_scan {
	const char *tweet_key; /* ASCII, at most JSON_KEY_MAX bytes */
	size_t at;             /* bytes of the text that are scanned */
	enum json_place place;
	enum json_error error; /* of the byte at at */
	unsigned found;        /* a bit for each class whose key was seen */
	unsigned depth;
	uint8_t after[JSON_DEPTH + 1]; /* the place after a value, by depth */
	struct json_seen *last;        /* the key before */
	struct json_seen seen[JSON_SEEN];
};

/* Begin a stream. tweet_key is the caller's and stays where it is. Where it is
 * neither text nor data, the stream is not Twitter's, and no other key marks a
 * class. */
void json_init(struct json_scan *s, const char *tweet_key);

/* Begin an object. */
void json_begin(struct json_scan *s);

/* Scan on in a text of which the first at bytes are known, to behind its next
 * LF, or to the offending byte, with place JSON_FAILED. An LF must be there,
 * and JSON_SLACK bytes behind it that can be read. Where the LF is white space,
 * its meaning can be judged from place. */
void json_scan(struct json_scan *s, const unsigned char *text);
#define JSON_SLACK 64

/* The class of an object that was scanned to JSON_DONE. */
enum json_class json_class(const struct json_scan *s);

/* Find a value by its path of keys, a list that NULL ends, in an object that
 * was found valid; of an array the first element is taken. It is as it stands
 * there, a string without its quotes. Returns false, and an empty one, if it is
 * not there. */
bool json_find(const char *object, const char *const *path, struct piece *v);

#endif
