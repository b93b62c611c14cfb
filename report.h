/* What the session's events look like to people: the lines of the log. */
#ifndef REPORT_H
#define REPORT_H

#include "net.h"
#include "request.h"
#include "session.h"

/* What all reports tell of. Everything is the caller's. */
struct report {
	const struct session *session;
	const struct request *request;
	const struct net *net;
};

/* An attempt is over: why, what the server said, what is done now. */
void report_ended(const struct report *r, struct moment now);

/* A proxy was asked; it is shown at -v. */
void report_proxy(const struct report *r);

/* The request is about to be sent; it is shown at -v. */
void report_request(const struct report *r);

/* The stream has begun. */
void report_opened(const struct report *r);

/* A gap is over. */
void report_resumed(const struct report *r);

/* A line that is not written, or a warning of the service. */
void report_bad_line(const struct report *r);
void report_errors(const struct report *r); /* of the service, if any */
void report_warning(const struct report *r, struct moment now);

#endif
