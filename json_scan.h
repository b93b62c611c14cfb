/* Validate one JSON object and say what kind of message it is, in one pass
 * and without allocation. Valid is exactly what RFC 8259 says, in UTF-8, nested
 * up to JSON_DEPTH. */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH 1024 /* objects and arrays open at once */
#define JSON_KEY_MAX 32 /* bytes of a key that is recognised */

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

enum json_place {
	JSON_BEFORE,     /* nothing but white space so far */
	JSON_KEY_OR_END, /* after { */
	JSON_KEY,        /* after , in an object */
	JSON_COLON,
	JSON_VALUE,
	JSON_VALUE_OR_END, /* after [ */
	JSON_AFTER,        /* after a value */
	JSON_STRING,
	JSON_ESCAPE, /* after \ */
	JSON_HEX,    /* in the digits after \u */
	JSON_UTF8,   /* in a character of several bytes */
	JSON_LITERAL,
	JSON_MINUS,
	JSON_ZERO,
	JSON_INTEGER,
	JSON_POINT,
	JSON_FRACTION,
	JSON_E,
	JSON_E_SIGN,
	JSON_EXPONENT,
	JSON_DONE,  /* the object is closed */
	JSON_FAILED /* see error */
};

/* A key that was seen, with its quotes and colon, and perhaps the literal and
 * comma that followed: what comes again, byte for byte, is not judged again. */
#define JSON_SEEN 512    /* keys that are remembered; the first is none */
#define JSON_SEEN_MAX 48 /* bytes of one */
struct json_seen {
	unsigned char text[JSON_SEEN_MAX] __attribute__((aligned(64)));
	uint64_t ignored;           /* a bit for each that does not matter */
	unsigned char key_n, all_n; /* without the literal, and with it */
	unsigned char found;        /* as in json_scan, at the top level */
	unsigned char tail;         /* length of the last string, mod 32 */
	uint16_t next;              /* the key that came after it last */
	uint16_t home;              /* where those after it are looked for */
};

struct json_scan {
	const char *tweet_key; /* ASCII, at most JSON_KEY_MAX bytes */
	const char *rest;      /* of a literal */
	enum json_place place;
	enum json_error error;
	unsigned depth, left;    /* left: hex digits or bytes of a character */
	unsigned char low, high; /* bounds of a character's next byte */
	bool in_key;
	unsigned found; /* a bit for each class whose key was seen */
	size_t key_n;
	unsigned char key[6 * JSON_KEY_MAX]; /* a key cut by the end of input */
	bool is_object[JSON_DEPTH]; /* of what is open, the outermost first */
	uint16_t last;              /* the key before, of those seen */
	struct json_seen seen[JSON_SEEN];
};

/* Begin a new object. The struct is all zeros the first time; tweet_key is the
 * caller's, stays where it is, and is always the same. */
void json_init(struct json_scan *s, const char *tweet_key);

/* Scan in[0..n-1], which may cut the object anywhere. Stops behind the first
 * LF that is white space, so that its meaning can be judged from place, or at
 * the offending byte with place JSON_FAILED. Returns the bytes scanned. */
size_t json_scan(struct json_scan *s, const unsigned char *in, size_t n);

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
