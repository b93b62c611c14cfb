/* What is held for a slow reader, and writing it without ever waiting.
 *
 * A descriptor that was inherited keeps its flags: that it does not block is
 * seen to by poll and by writes small enough for a pipe that polled ready. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output {
	int fd;
	unsigned char *ring; /* size bytes, mapped once */
	size_t size, limit;  /* limit: what may be held, at most size */
	size_t head, held;   /* where the held bytes begin, how many they are */
	size_t partial;      /* bytes of the first held line that are out */
	size_t peak;         /* the most that was ever held */
	uint64_t lines;      /* that were held or written so far */
	int error;           /* errno of a write that failed for good, or 0 */
	bool is_file;        /* a regular file */
	bool never_blocks;   /* that, or /dev/null and its like */
	bool no_wait;        /* the kernel can refuse to block on this pipe */
};

/* Prepare to hold up to limit bytes, but at least a line, for fd. If so much
 * memory cannot be had, limit is halved until it can. Returns false if there
 * is no memory at all. */
bool output_init(struct output *o, int fd, size_t limit);

/* Hold p[0..n-1] and an LF. Returns false, and holds nothing, if there is no
 * room. */
bool output_line(struct output *o, const unsigned char *p, size_t n);

/* Write what can be written now, or sets error. ready says that poll found fd
 * writable; without it only what cannot block is tried. */
void output_flush(struct output *o, bool ready);

/* After error: how many lines will never be whole in the output. A file is cut
 * back to the end of its last whole line. */
uint64_t output_lost(struct output *o);

#endif
