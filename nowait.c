#include "nowait.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux gives a pseudoterminal its memory in such pieces, and a serial line has
 * more when poll says that there is room. */
#define TERMINAL_ROOM 256

void nowait_open(struct nowait *n, int fd)
{
	struct stat st = { .st_mode = 0 };
	char path[32];
	int own;

	fstat(fd, &st);
	n->fd = fd;
	n->kind = S_ISSOCK(st.st_mode)   ? NOWAIT_SOCKET
		  : S_ISFIFO(st.st_mode) ? NOWAIT_PIPE
		  : isatty(fd)           ? NOWAIT_TERMINAL
					 : NOWAIT_FILE;
	if (n->kind != NOWAIT_PIPE && n->kind != NOWAIT_TERMINAL)
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return;
	if (dup2(own, fd) == fd)
		n->kind = NOWAIT_OPEN;
	close(own);
}

/* How many of the bytes are sure to fit. A terminal makes more than one byte of
 * an LF, and could wait between them: an LF is written alone. */
static size_t sure_to_fit(const struct nowait *n, const char *p, size_t size)
{
	struct pollfd room = { n->fd, POLLOUT, 0 };
	size_t most = n->kind == NOWAIT_PIPE ? PIPE_BUF : TERMINAL_ROOM;
	const char *lf;

	if (poll(&room, 1, 0) < 1)
		return 0;
	size = size < most ? size : most;
	lf = n->kind == NOWAIT_PIPE ? NULL : memchr(p, '\n', size);
	return lf == NULL ? size : lf == p ? 1 : (size_t)(lf - p);
}

ssize_t nowait_write(const struct nowait *n, const void *p, size_t size)
{
	if (n->kind == NOWAIT_SOCKET)
		return send(n->fd, p, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n->kind == NOWAIT_PIPE || n->kind == NOWAIT_TERMINAL)
		size = sure_to_fit(n, p, size);
	if (size > 0)
		return write(n->fd, p, size);
	errno = EAGAIN;
	return -1;
}
