/* What the collection covers and what it missed: statistics, coverage, the
 * report, the live line. */
#ifndef COVERAGE_H
#define COVERAGE_H

#include "output.h"
#include "request.h"
#include "session.h"

/* What is told of. Everything is the caller's. */
struct coverage {
	const struct session *session;
	const struct request *request;
	const struct output *out, *notices;
	uint64_t last_tweets, last_live; /* for the live line's rate */
};

/* Log a gap that is over, with what before it. */
void coverage_gap(const char *what, const struct session_gap *gap);

/* The statistics line. */
void coverage_stats(const struct coverage *r);

/* What the collection covers and missed, in a few lines for people, and as one
 * JSON object into fd, whose old content goes. False, with errno, if that
 * failed. */
void coverage_log(const struct coverage *r, struct moment now);
bool coverage_write(const struct coverage *r, int fd, struct moment now);

/* Redraw the live line, where stderr is a terminal. */
void coverage_live(struct coverage *r, struct moment now);

#endif
