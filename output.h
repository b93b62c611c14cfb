/* What is held for a slow reader, and writing it without ever waiting. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "nowait.h"

#include <stdbool.h>
#include <stdint.h>

struct output {
	struct nowait to;
	unsigned char *buffer; /* size bytes, mapped once */
	size_t size, limit;    /* limit: what may be held */
	size_t head, held;     /* where the held bytes begin, how many they are;
				* they end with a whole line */
	size_t piece;          /* what is to be written at once of them, or 0 */
	int pipe_size;         /* -1 if it is no pipe of NOWAIT_OPEN */
	size_t partial;        /* bytes of the first held line that are out */
	uint64_t lost;         /* lines that were given up */
	int error;             /* errno of a write that failed for good, or 0 */
};

/* Prepare to hold up to limit bytes, and a line, for fd. Twice as much
 * address space is taken; if it cannot be had, limit is halved until it can.
 * Returns false if there is no memory at all. */
bool output_init(struct output *o, int fd, uint64_t limit);

/* Hold p[0..n-1] and an LF. To be called while held is not above limit; if it
 * then is, what can be written at once is written. */
void output_line(struct output *o, const unsigned char *p, size_t n);

/* Write what can be written at once, or set error. A pipe that others write to
 * as well gets lines of up to PIPE_BUF bytes whole, a file gets all whole. */
void output_flush(struct output *o);

/* No more will be written: count in lost the lines that will never be whole in
 * the output. A file is cut back to the end of its last whole line, unless
 * somebody else has appended to it. */
void output_give_up(struct output *o);

#endif
