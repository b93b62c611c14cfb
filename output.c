#include "output.h"

#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LEAST (LINE_MAX_SIZE + 1u) /* a line and its LF */
#define RELEASE (4u << 20)         /* give back memory above this */
#define DRAW_IN (256u * 1024)      /* do so beyond this */
#define PIPE_SIZE (1 << 20) /* asked for, so that writes are few and large */

/* linux/fs.h; pipes know it since Linux 6.4 */
#define RWF_NOWAIT_FLAG 0x00000008

bool output_init(struct output *o, int fd, size_t limit)
{
	struct stat st;

	memset(o, 0, sizeof *o);
	o->fd = fd;
	memset(&st, 0, sizeof st);
	if (fstat(fd, &st) == 0) {
		o->is_file = S_ISREG(st.st_mode);
		o->never_blocks =
		    o->is_file || (S_ISCHR(st.st_mode) && !isatty(fd));
	}
	o->no_wait = !o->never_blocks;
	if (S_ISFIFO(st.st_mode))
		fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
	for (;; limit /= 2) {
		o->limit = limit;
		o->size = limit > LEAST ? limit : LEAST;
		o->ring = mmap(NULL, o->size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (o->ring != MAP_FAILED)
			return true;
		if (o->size == LEAST)
			return false;
	}
}

/* Move what is held to the ring's start if there is room before it, so that a
 * reader who is always a little late does not lead us through all of it. */
static void draw_in(struct output *o)
{
	size_t end = o->head + o->held;

	if (end < DRAW_IN || end > o->size || o->held > o->head)
		return;
	memcpy(o->ring, o->ring + o->head, o->held);
	o->head = 0;
}

/* Append to the ring, around its end. */
static void append(struct output *o, const unsigned char *p, size_t n)
{
	size_t at = o->head + o->held, first;

	if (at >= o->size)
		at -= o->size;
	first = o->size - at;
	if (n <= first) {
		memcpy(o->ring + at, p, n);
	} else {
		memcpy(o->ring + at, p, first);
		memcpy(o->ring, p + first, n - first);
	}
	o->held += n;
}

bool output_line(struct output *o, const unsigned char *p, size_t n)
{
	static const unsigned char lf = '\n';

	if (o->held > 0 && (n >= o->limit || o->held > o->limit - n - 1))
		return false;
	draw_in(o);
	append(o, p, n);
	append(o, &lf, 1);
	o->lines++;
	if (o->held > o->peak)
		o->peak = o->held;
	return true;
}

/* n bytes are out. */
static void written(struct output *o, size_t n)
{
	const unsigned char *p = o->ring + o->head;
	const unsigned char *lf = memrchr(p, '\n', n);

	o->partial = lf == NULL ? o->partial + n : (size_t)(p + n - lf) - 1;
	o->head = (o->head + n) % o->size;
	o->held -= n;
	if (o->held > 0)
		return;
	o->head = 0;
	if (o->peak > RELEASE) {
		madvise(o->ring, o->size, MADV_DONTNEED);
		o->peak = 0;
	}
}

/* Write without waiting, or, if poll has said so and the kernel cannot tell
 * beforehand, as little as a ready pipe takes whole. */
static ssize_t put(struct output *o, size_t n, bool ready)
{
	struct iovec iov = { o->ring + o->head, n };

	if (o->never_blocks)
		return write(o->fd, iov.iov_base, n);
	if (o->no_wait) {
		long k = syscall(SYS_pwritev2, o->fd, &iov, 1L, -1L, -1L,
				 RWF_NOWAIT_FLAG);

		if (k >= 0 || errno == EAGAIN || errno == EINTR ||
		    errno == EPIPE)
			return k;
		o->no_wait = false;
	}
	errno = EAGAIN;
	return !ready ? -1
		      : write(o->fd, iov.iov_base, n < PIPE_BUF ? n : PIPE_BUF);
}

void output_flush(struct output *o, bool ready)
{
	size_t n;
	ssize_t k;

	while (o->held > 0 && o->error == 0) {
		n = o->size - o->head;
		k = put(o, n < o->held ? n : o->held, ready);
		if (k > 0) {
			written(o, (size_t)k);
			ready = false; /* poll again before the next */
		} else if (k == 0 || errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} else if (errno != EINTR) {
			o->error = errno;
		}
	}
}

uint64_t output_lost(struct output *o)
{
	uint64_t lost = 0;
	off_t end;
	size_t i;

	for (i = 0; i < o->held; i++)
		lost += o->ring[(o->head + i) % o->size] == '\n';
	if (o->is_file && o->partial > 0 &&
	    (end = lseek(o->fd, 0, SEEK_CUR)) >= (off_t)o->partial &&
	    ftruncate(o->fd, end - (off_t)o->partial) == 0)
		lseek(o->fd, end - (off_t)o->partial, SEEK_SET);
	return lost;
}
