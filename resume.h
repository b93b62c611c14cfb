/* --resume: which parameter makes a server send again what a gap missed, and
 * its value. */
#ifndef RESUME_H
#define RESUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESUME_DEPTH 8   /* keys of a path */
#define RESUME_VALUE 256 /* bytes of a value */

struct resume {
	const char *name; /* of the parameter; NULL: there is none */
	const char *path[RESUME_DEPTH + 1]; /* NULL ends it; empty: minutes */
	char value[RESUME_VALUE + 1]; /* what was seen there last; "": nothing
				       * that could be asked for */
};

/* Take "NAME=minutes" or "NAME=key.key", which is changed and stays where it
 * is. Returns false if it is neither. */
bool resume_init(struct resume *r, char *s);

/* Remember what a valid message has at the path, if it has it: a number, or a
 * string of 1 to RESUME_VALUE bytes; anything else is nothing. */
void resume_take(struct resume *r, const char *message);

/* The value for the request after a gap of so many ms, valid until the next
 * call with r; NULL if there is none. Minutes are rounded up, 1 to 5, as in X's
 * backfill_minutes. */
const char *resume_value(struct resume *r, uint64_t gap_ms);

#endif
