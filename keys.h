/* Credentials, from a file or the environment. */
#ifndef KEYS_H
#define KEYS_H

#include "oauth1.h"

enum key {
	KEY_CONSUMER,
	KEY_CONSUMER_SECRET,
	KEY_TOKEN,
	KEY_TOKEN_SECRET,
	KEY_BEARER,
	KEY_USER,
	KEY_PASSWORD,
	KEYS
};

/* A set of credentials, a bit for each, is what a way to authenticate needs. */
#define KEYS_OAUTH1 0x0fu
#define KEYS_BEARER 0x10u
#define KEYS_BASIC 0x60u

struct keys {
	char value[KEYS][KEY_SIZE]; /* NUL-terminated; empty if not given */
};

/* Take the credentials from the text of a keys file, p[0..n-1]: lines of
 * `name: value` or `name = value`. Names that are not ours are passed over.
 * Returns false and an error that names the line, never the value. */
bool keys_parse(struct keys *k, const char *p, size_t n, struct text *error);

/* Read a keys file, a regular one of at most 64 KiB. Returns false and an
 * error; *open_to_others tells that not only its owner can read it. */
bool keys_read(struct keys *k, const char *file, struct text *error,
	       bool *open_to_others);

/* Take CONSUMER_KEY, CONSUMER_SECRET, ACCESS_TOKEN, ACCESS_TOKEN_SECRET,
 * BEARER_TOKEN, BASIC_USER and BASIC_PASSWORD out of the environment, and wipe
 * them there. Returns whether any of the set was there. */
bool keys_environment(struct keys *k, unsigned set);

/* Is every credential of the set there? If not, the error says which one is
 * missing or has a control character, and how it may be called in source, which
 * is NULL for the environment. */
bool keys_complete(const struct keys *k, unsigned set, const char *source,
		   struct text *error);

#endif
