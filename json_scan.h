/* Validate one JSON object and say what kind of message it is, in one pass
 * and without allocation. Valid is exactly what RFC 8259 says, in UTF-8, nested
 * up to JSON_DEPTH. */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH 1024 /* objects and arrays open at once */
#define JSON_KEY_MAX 32 /* bytes of a tweet key */

/* Kinds of message, by top-level key, the first that matches winning. */
enum json_class {
	JSON_DISCONNECT,
	JSON_TWEET,
	JSON_LIMIT,
	JSON_DELETE,
	JSON_WARNING,
	JSON_OTHER,
	JSON_CLASSES
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

/* Between tokens, what may follow; or the token that is being read. */
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
	JSON_IN_KEY,
	JSON_IN_STRING,
	JSON_IN_NUMBER,
	JSON_FAILED /* see error */
};

struct json_scan {
	const char *tweet_key; /* ASCII, at most JSON_KEY_MAX bytes */
	size_t at;             /* bytes of the text that are scanned */
	size_t token;          /* where the last token begins */
	enum json_place place;
	enum json_error error; /* of the byte at at */
	bool only_tweets;      /* no other key has a meaning */
	unsigned found;        /* a bit for each class whose key was seen */
	unsigned depth;
	bool is_object[JSON_DEPTH]; /* of what is open, the outermost first */
};

/* Begin a new object. tweet_key is the caller's and stays where it is. Where it
 * is neither text nor data, the stream is not Twitter's, and no other key marks
 * a class. */
void json_init(struct json_scan *s, const char *tweet_key);

/* Scan on in a text of which p[0..n-1] has come, from its beginning: the first
 * at bytes are known from earlier calls, and may have moved. Stops, and returns
 * true, behind the first LF that is white space, so that its meaning can be
 * judged from place; at the offending byte with place JSON_FAILED, which in a
 * number, judged when its end has come, may be an earlier one; or at the
 * end, which may be before a part of an escape, of a character or of a literal
 * that the end cuts: at most 5 bytes, to be scanned with what follows. */
bool json_scan(struct json_scan *s, const unsigned char *p, size_t n);

/* The class of an object that was scanned to JSON_DONE. */
enum json_class json_class(const struct json_scan *s);

/* A value as it stands in the text, a string without its quotes. */
struct json_value {
	const char *p;
	size_t n;
};

/* Find a value by its path of keys, a list that NULL ends, in an object that
 * was found valid; of an array the first element is taken. Returns false, and
 * an empty value, if it is not there. */
bool json_find(const char *object, const char *const *path,
	       struct json_value *v);

#endif
