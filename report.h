/* What the session's events look like to people: the lines of the log. */
#ifndef REPORT_H
#define REPORT_H

#include "net.h"
#include "request.h"
#include "session.h"

/* A header of n bytes as it was sent (">") or came ("<"): it is shown at -v. */
void report_head(const char *mark, const char *p, size_t n);

/* What session_next returned as e and left in s; a message's bytes are still to
 * be valid. n is what the session's bytes come from. */
void report_event(enum session_event e, const struct session *s,
		  const struct request *r, const struct net *n,
		  struct moment now);

/* Why the last connection ended or was not had; at the end of a run that had
 * none, what was waited for. */
const char *report_why(void);

#endif
