#include "lines.h"

#include <string.h>

#define BEGINNING 256 /* bytes of a bad line that are shown */
#define ROOM (LINE_MAX_SIZE + 2)

/* How many of p[0..n-1] are blanks before an object. */
static size_t blanks(const unsigned char *p, size_t n)
{
	size_t i = 0;

	while (i < n && (p[i] == ' ' || p[i] == '\t' || p[i] == '\r'))
		i++;
	return i;
}

/* Forget the first n bytes of what is carried: a new line begins. */
static void restart(struct lines *l, size_t n)
{
	n += blanks(l->buf + n, l->n - n);
	memmove(l->buf, l->buf + n, l->n - n);
	l->n -= n;
	l->ended = l->skipping = false;
	l->start = 0;
	json_begin(&l->scan);
}

void lines_init(struct lines *l, const char *tweet_key)
{
	l->n = 0;
	json_init(&l->scan, tweet_key);
	restart(l, 0);
}

/* A line of size bytes at p is ready, in the first drop bytes of buf if it is
 * there. */
static enum lines_event deliver(struct lines *l, const unsigned char *p,
				size_t drop, uint64_t size, enum lines_event e,
				struct line *line)
{
	if (e != LINES_KEEPALIVE && size > LINE_MAX_SIZE)
		e = LINES_TOO_LONG;
	l->ended = true;
	l->drop = drop;
	line->p = p;
	line->n =
	    e == LINES_MESSAGE || size < BEGINNING ? (size_t)size : BEGINNING;
	line->size = size;
	line->class = json_class(&l->scan);
	line->error = l->scan.error;
	line->offset = l->scan.at;
	return e;
}

/* The object at p is not closed where a line of size bytes ends, and so is bad.
 * Where it is of several lines, the last of them may be the one that went
 * wrong, or the first that is right: it is read again on its own. */
static enum lines_event unfinished(struct lines *l, const unsigned char *p,
				   size_t size, struct line *line)
{
	l->scan.error = JSON_UNFINISHED;
	l->scan.at = l->start > 0 ? l->start - 1 : size;
	return deliver(l, p, l->start > 0 ? l->start : l->n, l->scan.at,
		       LINES_MALFORMED, line);
}

/* Judge what stands at p up to its LF; *n: the bytes of that. LINES_MORE: the
 * LF is white space inside the object, which goes on behind it. */
static enum lines_event judge(struct lines *l, const unsigned char *p,
			      size_t *n, struct line *line)
{
	enum json_place place;
	size_t size;

	json_scan(&l->scan, p);
	place = l->scan.place;
	*n = l->scan.at + (place == JSON_FAILED);
	while (p[*n - 1] != '\n')
		++*n;
	size = *n - 1 - (*n > 1 && p[*n - 2] == '\r');
	if (place == JSON_FAILED && l->start > 0)
		return unfinished(l, p, size, line);
	if (place == JSON_FAILED || size > LINE_MAX_SIZE)
		return deliver(l, p, l->n, size, LINES_MALFORMED, line);
	if (place == JSON_BEFORE)
		return deliver(l, p, l->n, size, LINES_KEEPALIVE, line);
	if (place == JSON_DONE)
		return deliver(l, p, l->n, size, LINES_MESSAGE, line);
	return size < *n - 1 ? unfinished(l, p, size, line) : LINES_MORE;
}

/* The first n bytes of buf are an object that goes on behind this LF. */
static void keep_open(struct lines *l, size_t n)
{
	l->buf[n - 1] = ' ';
	l->n = l->start = n;
}

/* A new line in the input. LINES_MORE: it is not whole, or goes on. */
static enum lines_event begin_line(struct lines *l, const unsigned char *in,
				   size_t n, size_t *used, struct line *line)
{
	enum lines_event e;
	size_t size;

	*used = blanks(in, n);
	in += *used;
	n -= *used;
	if (n == 0 || (in[n - 1] != '\n' && memchr(in, '\n', n) == NULL))
		return LINES_MORE;
	e = judge(l, in, &size, line);
	*used += size;
	if (e == LINES_MORE) {
		memcpy(l->buf, in, size);
		keep_open(l, size);
	}
	return e;
}

/* Carry on with in[*used..n-1], up to an LF. Is it there? */
static bool carry(struct lines *l, const unsigned char *in, size_t n,
		  size_t *used)
{
	const unsigned char *lf;

	if (l->n > 0 && l->buf[l->n - 1] == '\n')
		return true; /* it is read again */
	if (*used == n)
		return false;
	in += *used;
	n -= *used;
	if (n > ROOM - l->n)
		n = ROOM - l->n;
	lf = memchr(in, '\n', n);
	if (lf != NULL)
		n = (size_t)(lf - in) + 1;
	memcpy(l->buf + l->n, in, n);
	l->n += n;
	*used += n;
	return lf != NULL;
}

/* On to the end of a line that is too long. */
static enum lines_event skip(struct lines *l, const unsigned char *in, size_t n,
			     size_t *used, struct line *line)
{
	for (; *used < n; ++*used, l->size++) {
		if (in[*used] == '\n') {
			++*used;
			return deliver(l, l->buf, l->n, l->size - l->cr,
				       LINES_TOO_LONG, line);
		}
		l->cr = in[*used] == '\r';
	}
	return LINES_MORE;
}

enum lines_event lines_next(struct lines *l, const unsigned char *in, size_t n,
			    size_t *used, struct line *line)
{
	enum lines_event e = LINES_MORE;
	size_t size;

	*used = 0;
	if (l->ended)
		restart(l, l->drop);
	if (l->n == 0)
		e = begin_line(l, in, n, used, line);
	while (e == LINES_MORE && !l->skipping && carry(l, in, n, used)) {
		e = judge(l, l->buf, &size, line);
		if (e == LINES_MORE)
			keep_open(l, size);
	}
	if (e != LINES_MORE || l->n < ROOM)
		return e;
	if (l->start > 0)
		return unfinished(l, l->buf, l->n, line);
	if (!l->skipping) {
		l->skipping = true;
		l->size = l->n;
		l->cr = l->buf[l->n - 1] == '\r';
	}
	return skip(l, in, n, used, line);
}

bool lines_pending(const struct lines *l)
{
	return l->ended && l->drop < l->n;
}

enum lines_event lines_end(struct lines *l, struct line *line)
{
	size_t size;

	if (l->ended)
		restart(l, l->drop);
	if (l->skipping)
		return deliver(l, l->buf, l->n, l->size - l->cr, LINES_TOO_LONG,
			       line);
	line->size = l->n;
	if (l->n == 0)
		return LINES_MORE;
	size = l->n - (l->buf[l->n - 1] == '\r');
	l->buf[l->n] = '\n';
	json_scan(&l->scan, l->buf);
	if (l->scan.place == JSON_DONE)
		return deliver(l, l->buf, l->n, size, LINES_MESSAGE, line);
	if (l->scan.place != JSON_FAILED || l->scan.at == l->n)
		return LINES_MORE; /* it is cut, but right so far */
	if (l->start > 0)
		return unfinished(l, l->buf, size, line);
	return deliver(l, l->buf, l->n, size, LINES_MALFORMED, line);
}
