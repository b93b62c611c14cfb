/* Named outputs: files that whole lines are appended to, one for each hour or
 * day if the name is a pattern of strftime(3), opened anew when SIGHUP says so.
 * Regular files take all at once; FIFOs take what they have room for. */
#ifndef FILES_H
#define FILES_H

#include "moment.h"
#include "output.h"

#include <limits.h>

struct file {
	struct output out;
	const char *pattern; /* NULL: it has no name, it is stdout */
	char name[PATH_MAX]; /* of what is open, or to be opened at first */
	uint64_t next;       /* s since 1970: name is looked at again then */
	bool anew;           /* is to be opened anew, as the caller says */
};

/* Put the name that pattern has at a time, in UTC, into name. Returns NULL, or
 * what is wrong with it. */
const char *file_name(const char *pattern, struct moment now,
		      char name[PATH_MAX]);

/* Where links lead from file, to one that is not there yet, too. */
void file_target(const char *file, char target[PATH_MAX]);

/* Are both the same file, or would be once they are made? b is a path; so is a,
 * or NULL for stdout. Says whether it is a regular one, too. */
bool file_same(const char *a, const char *b, bool *regular);

/* Prepare to append to f, whose pattern and first name are set. What has no %
 * is opened at once, else only whether it can be is looked at. *fd is what
 * output_init is then to be given. Returns NULL, or why it cannot be. */
const char *file_begin(struct file *f, int *fd);

/* As output_line; before, the file of this moment is opened, once the lines
 * that are held for another one are out. */
void file_line(struct file *f, const unsigned char *p, size_t n,
	       struct moment now);

/* As output_flush; if f is to be opened anew, that is done once all is out. */
void file_flush(struct file *f);

/* As output_give_up; a file of a pattern that is empty is removed. */
void file_give_up(struct file *f);

#endif
