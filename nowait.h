/* Writing that never waits, whatever was inherited as stdout or stderr.
 *
 * Poll's POLLOUT does not promise that a write will not block: a terminal in
 * its usual mode, or a pipe that others write to, can still put us to sleep.
 * So a pipe or terminal is opened again through /proc/self/fd: a description of
 * our own, with O_NONBLOCK, while the flags of the inherited one, which other
 * processes share, stay as they are. */
#ifndef NOWAIT_H
#define NOWAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum nowait_kind {
	NOWAIT_FILE,     /* regular, or a device such as /dev/null */
	NOWAIT_SOCKET,   /* written by send */
	NOWAIT_OWN,      /* opened again, or by ourselves, with O_NONBLOCK */
	NOWAIT_PIPE,     /* inherited, and could not be opened again */
	NOWAIT_TERMINAL, /* the same */
};

struct nowait {
	int fd; /* to write to and to poll; the caller's to close */
	enum nowait_kind kind;
};

/* Prepare to write to fd, which stays the caller's: n->fd may be another one,
 * that stays open to the end. */
void nowait_open(struct nowait *n, int fd);

/* Write some of p[0..size-1] at once. Returns how many bytes were written, or
 * -1 with errno as write has it: EAGAIN means that poll is to say when there is
 * room. */
ssize_t nowait_write(const struct nowait *n, const void *p, size_t size);

#endif
