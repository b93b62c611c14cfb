/* What the session's events look like to people: the lines of the log. */
#ifndef REPORT_H
#define REPORT_H

#include "net.h"
#include "output.h"
#include "request.h"
#include "session.h"

/* What all reports tell of. Everything is the caller's. */
struct report {
	const struct session *session;
	const struct request *request;
	const struct net *net;
	const struct output *out, *notices;
	const char *notices_file;
	uint64_t last_tweets, last_live; /* for the live line's rate */
};

/* An attempt is over: why, what the server said, what is done now. */
void report_ended(const struct report *r);

/* The request is about to be sent; it is shown at -v. */
void report_request(const struct report *r);

/* The stream has begun. */
void report_opened(const struct report *r);

/* A gap is over. */
void report_resumed(const struct report *r);

/* A line that is not written, or a warning of the service. */
void report_bad_line(const struct report *r);
void report_errors(const struct report *r); /* of v2, if the line is one */
void report_warning(const struct report *r, uint64_t now);

/* The statistics line. */
void report_stats(const struct report *r);

/* What the collection covers and missed, in a few lines for people, and as one
 * JSON object into fd, whose old content goes. False, with errno, if that
 * failed. */
void report_coverage(const struct report *r, uint64_t now);
bool report_write(const struct report *r, int fd, uint64_t now);

/* Redraw the live line, where stderr is a terminal. */
void report_live(struct report *r, uint64_t now);

#endif
