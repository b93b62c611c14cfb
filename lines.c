#include "lines.h"

#include <string.h>

#define BEGINNING 256 /* bytes of a bad line that are kept for its report */

static void restart(struct lines *l)
{
	json_init(&l->scan, l->scan.tweet_key);
	l->ended = false;
	l->skipping = false;
	l->cr = false;
	l->size = 0;
	l->read = 0;
	l->start = 0;
}

void lines_init(struct lines *l, const char *tweet_key)
{
	l->scan.tweet_key = tweet_key;
	l->n = 0;
	restart(l);
}

/* Forget the first bytes of what is carried; what follows is read again. */
static void forget(struct lines *l)
{
	memmove(l->buf, l->buf + l->drop, l->n - l->drop);
	l->n -= l->drop;
	restart(l);
}

static void skip(struct lines *l, enum json_error e)
{
	l->skipping = true;
	l->scan.error = e;
	l->bad_at = l->size;
}

/* What is carried, up to the offset where it went wrong. */
static enum lines_event bad_line(struct lines *l, struct line *line, size_t n)
{
	size_t shown = n < BEGINNING ? n : BEGINNING;

	line->p = l->buf;
	line->n = shown < l->size ? shown : (size_t)l->size;
	line->error = l->scan.error;
	line->offset = l->bad_at;
	line->size = l->size;
	l->ended = true;
	l->drop = n;
	return l->size > LINE_MAX_SIZE ? LINES_TOO_LONG : LINES_MALFORMED;
}

/* A message of several physical lines went wrong in its last one: what came
 * before is bad, and that line is to be read on its own. */
static enum lines_event bad_before(struct lines *l, struct line *line)
{
	l->size = l->bad_at = l->start;
	l->scan.error = JSON_UNFINISHED;
	return bad_line(l, line, l->start);
}

/* Keep n bytes of a line that is not complete; of a bad one its beginning. */
static void carry(struct lines *l, const unsigned char *p, size_t n)
{
	size_t room = sizeof l->buf - l->n;

	if (!l->skipping && n > room)
		skip(l, JSON_OK);
	if (l->skipping)
		room = l->n < BEGINNING ? BEGINNING - l->n : 0;
	if (n > room)
		n = room;
	memcpy(l->buf + l->n, p, n);
	l->n += n;
	l->read = l->n;
}

/* An LF has come, behind a CR or not; line has the bytes before them. */
static enum lines_event end_line(struct lines *l, bool crlf, struct line *line)
{
	l->size -= crlf ? 2 : 1;
	if (!l->skipping && l->size <= LINE_MAX_SIZE) {
		line->size = l->size;
		line->class = json_class(&l->scan);
		l->ended = true;
		l->drop = l->n;
		if (l->scan.place == JSON_DONE)
			return LINES_MESSAGE;
		if (l->scan.place == JSON_BEFORE)
			return LINES_KEEPALIVE;
		skip(l, JSON_UNFINISHED);
		if (crlf && l->start > 0)
			return bad_before(l, line);
	}
	return bad_line(l, line, l->n);
}

/* The object goes on behind a bare LF. */
static void join(struct lines *l)
{
	l->buf[l->n - 1] = ' ';
	l->start = l->n;
}

static bool is_open(const struct lines *l)
{
	return !l->skipping && l->scan.place != JSON_DONE &&
	       l->scan.place != JSON_BEFORE;
}

/* Read some of p[0..n-1], at most to behind an LF. Returns the bytes read. */
static size_t read_some(struct lines *l, const unsigned char *p, size_t n)
{
	const unsigned char *lf;

	if (!l->skipping)
		return json_scan(&l->scan, p, n);
	lf = memchr(p, '\n', n);
	return lf == NULL ? n : (size_t)(lf - p) + 1;
}

enum lines_event lines_next(struct lines *l, const unsigned char *in, size_t n,
			    size_t *used, struct line *line)
{
	const unsigned char *p;
	bool again, lf, crlf, whole;
	size_t k;

	if (l->ended)
		forget(l);
	for (*used = 0;;) {
		again = l->read < l->n;
		p = again ? l->buf + l->read : in + *used;
		k = again ? l->n - l->read : n - *used;
		if (k == 0)
			return LINES_MORE;
		k = read_some(l, p, k);
		lf = k > 0 && p[k - 1] == '\n';
		crlf = lf && (k > 1 ? p[k - 2] == '\r' : l->cr);
		whole = lf && !again && l->n == 0 && !l->skipping &&
			!is_open(l) && k <= LINE_MAX_SIZE;
		l->size += k;
		if (k > 0)
			l->cr = p[k - 1] == '\r';
		if (again) {
			l->read += k;
		} else {
			*used += k;
			carry(l, p, whole ? 0 : k);
		}
		line->p = whole ? p : l->buf;
		line->n = (whole ? k : l->n) - (crlf ? 2 : lf ? 1 : 0);
		if (!l->skipping && l->scan.place == JSON_FAILED) {
			if (l->start > 0)
				return bad_before(l, line);
			skip(l, l->scan.error);
		} else if (lf && !crlf && is_open(l)) {
			join(l);
		} else if (lf) {
			return end_line(l, crlf, line);
		}
	}
}

bool lines_pending(const struct lines *l)
{
	return l->ended && l->drop < l->n;
}

enum lines_event lines_end(struct lines *l, bool proper, struct line *line)
{
	if (l->ended)
		forget(l);
	if (l->skipping)
		return bad_line(l, line, l->n);
	line->size = l->scan.place == JSON_BEFORE ? 0 : l->size;
	if (!proper || l->scan.place != JSON_DONE)
		return LINES_MORE;
	line->p = l->buf;
	line->n = l->n - (l->cr ? 1 : 0);
	line->size = line->n;
	line->class = json_class(&l->scan);
	l->ended = true;
	l->drop = l->n;
	return LINES_MESSAGE;
}
