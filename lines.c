#include "lines.h"

#include <string.h>

#define BEGINNING 256 /* bytes of a bad line that are kept for its report */

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
	l->ended = l->skipping = l->cr = false;
	l->start = 0;
	json_init(&l->scan, l->scan.tweet_key);
}

void lines_init(struct lines *l, const char *tweet_key)
{
	l->n = 0;
	l->scan.tweet_key = tweet_key;
	restart(l, 0);
}

/* A line of size bytes is ready; so far n bytes of buf belong to it. */
static enum lines_event deliver(struct lines *l, size_t n, uint64_t size,
				enum lines_event e, struct line *line)
{
	size_t most = e == LINES_MALFORMED && n > BEGINNING ? BEGINNING : n;

	l->ended = true;
	l->drop = n;
	line->p = l->buf;
	line->n = most < size ? most : (size_t)size; /* without its end */
	line->size = size;
	line->class = json_class(&l->scan);
	line->error = l->scan.error;
	line->offset = l->scan.at;
	return e == LINES_MALFORMED && size > LINE_MAX_SIZE ? LINES_TOO_LONG
							    : e;
}

/* The object is not closed where n bytes of buf end, and so is bad. Where it is
 * of several physical lines, the last of them may be the one that went wrong,
 * or the first that is right: it is read again on its own. */
static enum lines_event unfinished(struct lines *l, size_t n, size_t size,
				   struct line *line)
{
	l->scan.error = JSON_UNFINISHED;
	l->scan.at = l->start > 0 ? l->start : size;
	return deliver(l, l->start > 0 ? l->start : n, l->scan.at,
		       LINES_MALFORMED, line);
}

/* Keep the beginning of a line of which p[0..n-1] has come, up to its LF: the
 * first at bytes are scanned. Returns how many bytes that was. */
static size_t carry(struct lines *l, const unsigned char *p, size_t n)
{
	size_t room = sizeof l->buf - l->n, from = 0;
	const unsigned char *lf;

	if (l->n > 0 && l->buf[l->n - 1] == '\n')
		return 0; /* it is read again */
	if (l->n == 0 && l->scan.at > 0)
		from = l->scan.at - (p[l->scan.at - 1] == '\n');
	lf = memchr(p + from, '\n', n - from);
	if (lf != NULL)
		n = (size_t)(lf - p) + 1;
	n = n < room ? n : room;
	memcpy(l->buf + l->n, p, n);
	l->n += n;
	return n;
}

/* The line in buf is bad or too long: on to its end, in the input. */
static void begin_skip(struct lines *l)
{
	l->skipping = true;
	l->size = l->n;
	l->cr = l->buf[l->n - 1] == '\r';
	if (l->n > BEGINNING)
		l->n = BEGINNING;
}

static enum lines_event skip(struct lines *l, const unsigned char *in, size_t n,
			     size_t *used, struct line *line)
{
	const unsigned char *lf;
	size_t shown;

	in += *used;
	n -= *used;
	lf = memchr(in, '\n', n);
	if (lf != NULL)
		n = (size_t)(lf - in);
	shown = n < BEGINNING - l->n ? n : BEGINNING - l->n;
	memcpy(l->buf + l->n, in, shown);
	l->n += shown;
	*used += n + (lf != NULL);
	l->size += n;
	if (n > 0)
		l->cr = in[n - 1] == '\r';
	return lf == NULL
		   ? LINES_MORE
		   : deliver(l, l->n, l->size - l->cr, LINES_MALFORMED, line);
}

/* Scan on in what is carried. LINES_MORE: it needs more, or is to be skipped.
 */
static enum lines_event judge(struct lines *l, struct line *line)
{
	bool lf = l->buf[l->n - 1] == '\n';
	bool crlf = lf && l->n > 1 && l->buf[l->n - 2] == '\r';
	size_t size = l->n - lf - crlf;

	json_scan(&l->scan, l->buf, l->n);
	if (l->scan.place == JSON_FAILED && l->start > 0)
		return unfinished(l, l->n, size, line);
	if (lf && (l->scan.place == JSON_FAILED || size > LINE_MAX_SIZE))
		return deliver(l, l->n, size, LINES_MALFORMED, line);
	if (l->scan.place == JSON_FAILED || (!lf && l->n == sizeof l->buf))
		begin_skip(l);
	else if (lf && l->scan.place == JSON_BEFORE)
		return deliver(l, l->n, size, LINES_KEEPALIVE, line);
	else if (lf && l->scan.place == JSON_DONE)
		return deliver(l, l->n, size, LINES_MESSAGE, line);
	else if (crlf)
		return unfinished(l, l->n, size, line);
	if (lf) { /* white space inside the object, which goes on behind it */
		l->buf[l->n - 1] = ' ';
		l->start = l->n;
	}
	return LINES_MORE;
}

/* A line that lies in the input, p[0..n-1], as a whole. */
static enum lines_event take_whole(struct lines *l, const unsigned char *p,
				   size_t n, struct line *line)
{
	size_t at;
	bool crlf;

	if (!json_scan(&l->scan, p, n) || l->scan.place != JSON_DONE ||
	    l->scan.at > LINE_MAX_SIZE)
		return LINES_MORE;
	at = l->scan.at;
	crlf = p[at - 2] == '\r';
	deliver(l, 0, 0, LINES_MESSAGE, line);
	line->p = p;
	line->n = at - 1 - crlf;
	line->size = line->n;
	return LINES_MESSAGE;
}

/* A new line, in the input from *used on; LINES_MORE if it is not whole. */
static enum lines_event begin_line(struct lines *l, const unsigned char *in,
				   size_t n, size_t *used, struct line *line)
{
	enum lines_event e;

	*used += blanks(in + *used, n - *used);
	if (*used == n)
		return LINES_MORE;
	if (in[*used] == '\n') {
		++*used;
		return LINES_KEEPALIVE;
	}
	e = take_whole(l, in + *used, n - *used, line);
	*used += e == LINES_MESSAGE ? l->scan.at : 0;
	return e;
}

enum lines_event lines_next(struct lines *l, const unsigned char *in, size_t n,
			    size_t *used, struct line *line)
{
	enum lines_event e = LINES_MORE;

	*used = 0;
	if (l->ended)
		restart(l, l->drop);
	while (e == LINES_MORE && !l->skipping) {
		if (l->n == 0) {
			e = begin_line(l, in, n, used, line);
			if (e != LINES_MORE || *used == n)
				return e;
		}
		*used += carry(l, in + *used, n - *used);
		e = judge(l, line);
		if (*used == n)
			break;
	}
	return e == LINES_MORE && l->skipping ? skip(l, in, n, used, line) : e;
}

bool lines_pending(const struct lines *l)
{
	return l->ended && l->drop < l->n;
}

enum lines_event lines_end(struct lines *l, bool proper, struct line *line)
{
	size_t cr;

	if (l->ended)
		restart(l, l->drop);
	if (l->skipping)
		return deliver(l, l->n, l->size - l->cr, LINES_MALFORMED, line);
	cr = l->n > 0 && l->buf[l->n - 1] == '\r';
	if (proper && l->n > 0 && l->scan.place == JSON_DONE)
		return deliver(l, l->n, l->n - cr, LINES_MESSAGE, line);
	line->size = l->n;
	return LINES_MORE;
}
