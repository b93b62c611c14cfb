#include "nowait.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A terminal's queue (4,096 bytes on Linux) is left half empty: what it makes
 * of an LF is longer than the LF. */
#define TERMINAL_MOST 1024

void nowait_open(struct nowait *n, int fd)
{
	char path[32];
	struct stat st;
	int own;

	n->fd = fd;
	n->kind = NOWAIT_FILE;
	if (fstat(fd, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode))
		n->kind = NOWAIT_SOCKET;
	if (!S_ISFIFO(st.st_mode) && !isatty(fd))
		return;
	n->kind = S_ISFIFO(st.st_mode) ? NOWAIT_PIPE : NOWAIT_TERMINAL;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return;
	n->fd = own;
	n->kind = NOWAIT_OWN;
}

/* Where nothing better is to be had: as little as is sure to fit. */
static size_t sure_to_fit(const struct nowait *n, size_t size)
{
	struct pollfd p = { n->fd, POLLOUT, 0 };
	int queued = 0;

	if (poll(&p, 1, 0) < 1 || (p.revents & (POLLOUT | POLLERR)) == 0)
		return 0;
	if (n->kind == NOWAIT_PIPE)
		return size < PIPE_BUF ? size : PIPE_BUF;
	if (ioctl(n->fd, TIOCOUTQ, &queued) < 0 || queued > 0)
		return 0;
	return size < TERMINAL_MOST ? size : TERMINAL_MOST;
}

ssize_t nowait_write(const struct nowait *n, const void *p, size_t size)
{
	if (n->kind == NOWAIT_SOCKET)
		return send(n->fd, p, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n->kind == NOWAIT_PIPE || n->kind == NOWAIT_TERMINAL) {
		size = sure_to_fit(n, size);
		if (size == 0) {
			errno = EAGAIN;
			return -1;
		}
	}
	return write(n->fd, p, size);
}
