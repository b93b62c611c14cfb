/* Writing that never waits, whatever was inherited as stdout or stderr.
 *
 * That poll says POLLOUT does not promise that write will not block: a terminal
 * in its usual mode, or a pipe that others write to, can still put us to sleep.
 * So a pipe or terminal is opened again through /proc/self/fd: that makes an
 * open file description of our own, with O_NONBLOCK, while the flags of the
 * inherited one, which other processes share, stay as they are. */
#ifndef NOWAIT_H
#define NOWAIT_H

#include <stddef.h>
#include <sys/types.h>

enum nowait_kind {
	NOWAIT_FILE,     /* regular, or a device such as /dev/null */
	NOWAIT_SOCKET,   /* written by send */
	NOWAIT_OPEN,     /* a pipe or terminal that was opened again */
	NOWAIT_PIPE,     /* one that could not be */
	NOWAIT_TERMINAL, /* the same */
};

struct nowait {
	int fd; /* to write to and to poll */
	enum nowait_kind kind;
};

/* Prepare to write to fd, which stays the caller's and keeps its number. */
void nowait_open(struct nowait *n, int fd);

/* Write some of p[0..size-1], size at least 1, without waiting. Where nothing
 * better is to be had, that is at most PIPE_BUF bytes, or a part of a line: to
 * be called until all is out. Returns how many bytes were written, or -1 with
 * errno as write has it; with EAGAIN poll will say when there is room. */
ssize_t nowait_write(const struct nowait *n, const void *p, size_t size);

#endif
