#include "files.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINKS 40  /* that the kernel follows, path_resolution(7) */
#define RETRY 60u /* s until another attempt at a file that did not open */

const char *file_name(const char *pattern, struct moment now,
		      char name[PATH_MAX])
{
	static const char known[] = "aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%";
	const time_t t = (time_t)(now.unix_ms / 1000);
	const char *p;
	struct tm tm;

	for (p = pattern; (p = strchr(p, '%')) != NULL; p += 2) {
		p += p[1] == 'E' || p[1] == 'O';
		if (p[1] == '\0' || strchr(known, p[1]) == NULL)
			return "a % that strftime does not know";
	}
	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(name, PATH_MAX, pattern, &tm) == 0)
		return "the name is empty or too long";
	return NULL;
}

static char *last_of(char *path)
{
	char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

void file_target(const char *file, char target[PATH_MAX])
{
	char to[PATH_MAX], *last;
	ssize_t n;
	int i;

	snprintf(target, PATH_MAX, "%s", file);
	for (i = 0; i < LINKS; i++) {
		n = readlink(target, to, sizeof to - 1);
		if (n < 1)
			break;
		to[n] = '\0';
		last = to[0] == '/' ? target : last_of(target);
		snprintf(last, PATH_MAX - (size_t)(last - target), "%s", to);
	}
}

/* The folder of a file, wherever links lead from that, and its name there. */
static void split(const char *file, char folder[PATH_MAX], char name[PATH_MAX])
{
	char *last;

	file_target(file, folder);
	last = last_of(folder);
	snprintf(name, PATH_MAX, "%s", last);
	snprintf(last, PATH_MAX - (size_t)(last - folder), ".");
}

bool file_same(const char *a, const char *b, bool *regular)
{
	char folder[PATH_MAX], name[PATH_MAX];
	char other_folder[PATH_MAX], other_name[PATH_MAX];
	struct stat one, other;
	bool exists =
	    (a == NULL ? fstat(STDOUT_FILENO, &one) : stat(a, &one)) == 0;

	if (exists != (stat(b, &other) == 0) || (!exists && a == NULL))
		return false;
	*regular = !exists || S_ISREG(one.st_mode);
	if (!exists) {
		split(a, folder, name);
		split(b, other_folder, other_name);
		if (strcmp(name, other_name) != 0 || stat(folder, &one) < 0 ||
		    stat(other_folder, &other) < 0)
			return false;
	}
	return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static const char *why(void)
{
	return errno == ENXIO ? "nobody reads this FIFO" : strerror(errno);
}

/* A file that ends inside a line, because of a crash or a full disk, is given
 * an LF. Returns false if that failed. */
static bool mend(int fd, const char *name)
{
	char last;
	int in;

	if (lseek(fd, 0, SEEK_END) < 1)
		return true;
	in = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (in < 0 || lseek(in, -1, SEEK_END) < 0 || read(in, &last, 1) < 1)
		last = '\0'; /* perhaps torn: an empty line does no harm */
	if (in >= 0)
		close(in);
	if (last == '\n')
		return true;
	if (write(fd, "\n", 1) != 1)
		return false;
	log_line(LOG_INFO, "%s: its last line %s, and was ended", name,
		 last == '\0' ? "cannot be read" : "is torn");
	return true;
}

/* Open a file to append to it. Returns -1, with errno, if that cannot be. */
static int open_end(const char *name)
{
	int fd = open(name,
		      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK |
			  O_NOCTTY,
		      0666);

	if (fd < 0 || mend(fd, name))
		return fd;
	close(fd); /* keeps errno */
	return -1;
}

static bool is_pattern(const struct file *f)
{
	return f->pattern != NULL && strchr(f->pattern, '%') != NULL;
}

const char *file_begin(struct file *f, int *fd)
{
	char folder[PATH_MAX], name[PATH_MAX];

	*fd = -1;
	f->anew = is_pattern(f);
	if (f->anew) { /* its first message makes it */
		split(f->name, folder, name);
		return access(f->name, W_OK) == 0 ||
			       (errno == ENOENT &&
				access(folder, W_OK | X_OK) == 0)
			   ? NULL
			   : why();
	}
	*fd = open_end(f->name);
	return *fd < 0 ? why() : NULL;
}

/* Write to this file from now on. If it cannot be opened that is said, and the
 * one that is open is kept, if there is one. No line is half written. */
static void turn_to(struct file *f, const char *name)
{
	struct output *o = &f->out;
	const int old = o->to.fd, fd = open_end(name);

	f->anew = false;
	if (fd < 0) {
		o->error = old < 0 ? errno : o->error;
		log_line(LOG_ERROR, "cannot open %s: %s%s", name, why(),
			 old < 0 ? "" : "; the file before is kept");
		return;
	}
	/* What can be sought in is no pipe and no terminal. */
	o->to.kind = lseek(fd, 0, SEEK_CUR) < 0 ? NOWAIT_OPEN : NOWAIT_FILE;
	o->to.fd = fd;
	o->pipe_size = -1;
	memmove(f->name, name, strlen(name) + 1);
	if (old >= 0 && close(old) < 0 && errno != EINTR)
		o->error = errno;
}

/* Open the file of this moment, if another one is open and its lines are out.
 */
static void follow(struct file *f, struct moment now)
{
	const uint64_t s = now.unix_ms / 1000;
	char name[PATH_MAX];

	if (!f->anew && s < f->next && f->next - s <= RETRY)
		return;
	f->next = s + 1;
	if (file_name(f->pattern, now, name) != NULL ||
	    (!f->anew && strcmp(name, f->name) == 0))
		return;
	f->next = 0;
	output_flush(&f->out);
	if (f->out.held > 0)
		return;
	turn_to(f, name);
	f->next = s + (strcmp(name, f->name) == 0 ? 1 : RETRY);
}

void file_line(struct file *f, const unsigned char *p, size_t n,
	       struct moment now)
{
	if (is_pattern(f))
		follow(f, now);
	output_line(&f->out, p, n);
}

void file_flush(struct file *f)
{
	output_flush(&f->out);
	if (f->anew && !is_pattern(f) && f->out.held == 0)
		turn_to(f, f->name);
}

void file_give_up(struct file *f)
{
	int fd = -1;

	output_give_up(&f->out);
	/* by its name, which another may have taken by now */
	if (is_pattern(f) && f->out.to.fd >= 0)
		fd = open(f->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && lseek(fd, 0, SEEK_END) == 0)
		unlink(f->name);
	if (fd >= 0)
		close(fd);
}
