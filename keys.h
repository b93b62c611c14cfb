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
	unsigned too_long;          /* the set of those that did not fit */
};

/* Take the credentials from the text of a keys file, p[0..n-1] and a NUL behind
 * it, which is changed: lines of `name: value` or `name = value`, in quotes or
 * not, of the section that counts: [main], else the first. Names that are not
 * ours are passed over. Returns false and an error that names the line, never
 * the value. */
bool keys_parse(struct keys *k, char *p, size_t n, struct text *error);

/* Read a keys file or a pipe to its end, at most 64 KiB; waits for a pipe.
 * Returns false and an error; *open_to_others tells that the file is the
 * user's own and others can read it. */
bool keys_read(struct keys *k, const char *file, struct text *error,
	       bool *open_to_others);

/* Take CONSUMER_KEY, CONSUMER_SECRET, ACCESS_TOKEN, ACCESS_TOKEN_SECRET,
 * BEARER_TOKEN, BASIC_USER and BASIC_PASSWORD out of the environment, and wipe
 * them there. Returns the set of those that were there. */
unsigned keys_environment(struct keys *k);

/* Wipe a variable's value where /proc/PID/environ shows it, as often as the
 * environment has it. */
void keys_wipe(const char *variable);

/* Is every credential of the set there, and can it be sent? If not, the error
 * names it, and how it may be called in source, which is NULL for the
 * environment. */
bool keys_complete(const struct keys *k, unsigned set, const char *source,
		   struct text *error);

#endif
