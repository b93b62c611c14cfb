#include "output.h"

#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEAST (LINE_MAX_SIZE + 1u) /* a line and its LF */
#define DRAW_IN (256u << 10)       /* held bytes may begin below this */
#define RELEASE (1u << 20)         /* memory that is kept */
#define PIPE_SIZE (1 << 20) /* asked for, so that writes are few and large */

bool output_init(struct output *o, int fd, uint64_t limit)
{
	if (limit > SIZE_MAX / 2 - LEAST)
		limit = SIZE_MAX / 2 - LEAST;
	memset(o, 0, sizeof *o);
	nowait_open(&o->to, fd);
	fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
	o->pipe_size = o->to.kind == NOWAIT_OPEN ? fcntl(fd, F_GETPIPE_SZ) : -1;
	for (;; limit /= 2) {
		o->limit = (size_t)limit;
		o->size = 2 * (o->limit + LEAST);
		o->buffer = mmap(NULL, o->size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (o->buffer != MAP_FAILED)
			return true;
		if (limit == 0)
			return false;
	}
}

/* Move what is held to the buffer's start once it fits there. So it begins in
 * the buffer's first half, and there is room for limit bytes and a line. Each
 * byte is moved at most once for one that was written. */
static void draw_in(struct output *o)
{
	size_t end = o->head + o->held;
	size_t keep = (o->held / DRAW_IN + 1) * DRAW_IN;

	if (o->held > 0 && (o->head < DRAW_IN || o->head < o->held))
		return;
	memcpy(o->buffer, o->buffer + o->head, o->held);
	o->head = 0;
	if (end > RELEASE)
		madvise(o->buffer + keep, o->size - keep, MADV_DONTNEED);
}

void output_line(struct output *o, const unsigned char *p, size_t n)
{
	unsigned char *end = o->buffer + o->head + o->held;

	memcpy(end, p, n);
	end[n] = '\n';
	o->held += n + 1;
	if (o->held > o->limit)
		output_flush(o);
}

/* How much to write at once. A write that finds a pipe too full may be cut
 * inside a line, and the next to write there may be another program. So a pipe
 * is filled to half, since another may do so at the same time and pages are not
 * always full. Beyond that we write lines of up to PIPE_BUF bytes together,
 * which is never cut (pipe(7)), and longer ones, which may be, apart. */
static size_t next_piece(const struct output *o)
{
	const unsigned char *p = o->buffer + o->head, *lf = NULL;
	size_t n = 0, line;
	int used = 0;

	if (o->to.kind == NOWAIT_FILE || o->to.kind == NOWAIT_SOCKET)
		return o->held;
	if (ioctl(o->to.fd, FIONREAD, &used) == 0 && used < o->pipe_size / 2) {
		n = (size_t)(o->pipe_size / 2 - used);
		lf = memrchr(p, '\n', n < o->held ? n : o->held);
	}
	if (lf != NULL)
		return (size_t)(lf - p) + 1;
	for (n = 0; n < o->held; n += line) {
		lf = memchr(p + n, '\n', o->held - n);
		line = (size_t)(lf - p) + 1 - n;
		if (n > 0 &&
		    (n > PIPE_BUF ? line <= PIPE_BUF : n + line > PIPE_BUF))
			break;
	}
	return n;
}

/* n bytes are out. */
static void written(struct output *o, size_t n)
{
	const unsigned char *p = o->buffer + o->head;
	const unsigned char *lf = memrchr(p, '\n', n);

	o->partial = lf == NULL ? o->partial + n : (size_t)(p + n - lf) - 1;
	o->head += n;
	o->held -= n;
	o->piece -= n;
	draw_in(o);
}

void output_flush(struct output *o)
{
	ssize_t k;

	while (o->held > 0 && o->error == 0) {
		if (o->piece == 0)
			o->piece = next_piece(o);
		k = nowait_write(&o->to, o->buffer + o->head, o->piece);
		if (k > 0)
			written(o, (size_t)k);
		else if (k == 0 || errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		else if (errno != EINTR)
			o->error = errno;
	}
}

void output_give_up(struct output *o)
{
	off_t end, size;
	size_t i;

	for (i = 0; i < o->held; i++)
		o->lost += o->buffer[o->head + i] == '\n';
	if (o->to.kind != NOWAIT_FILE || o->partial == 0)
		return;
	end = lseek(o->to.fd, 0, SEEK_CUR);
	size = lseek(o->to.fd, 0, SEEK_END);
	if (end == size && ftruncate(o->to.fd, end - (off_t)o->partial) == 0)
		end -= (off_t)o->partial;
	lseek(o->to.fd, end, SEEK_SET);
}
