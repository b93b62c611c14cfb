/* What the collection covers and what it missed: statistics, coverage, the
 * report, the live line. */
#ifndef COVERAGE_H
#define COVERAGE_H

#include "files.h"
#include "log.h"
#include "request.h"
#include "session.h"

/* What is told of. Everything is the caller's. */
struct coverage {
	const struct session *session;
	const struct request *request;
	const struct file *files; /* the two outputs */
	const char *ended;        /* how the run ended, NULL while it lasts */
	bool report_failed;
	char report[PATH_MAX];         /* its file; empty: there is none */
	mode_t report_mode;            /* as it had before, or 0666 */
	char report_tmp[PATH_MAX + 4]; /* written in its place, then renamed */
	uint64_t last_tweets, last_live; /* for the live line's rate */
};

/* Log a gap, with these words before. */
void coverage_gap(enum log_level level, const char *what,
		  const struct session_gap *gap);

/* The statistics line. */
void coverage_stats(const struct coverage *c, struct moment now);

/* What the collection covers and missed, in a few lines for people. */
void coverage_log(const struct coverage *c, struct moment now);

/* The report goes to this file, wherever links lead. It is always whole: what
 * is new is written beside it, in report_tmp, and renamed. Returns false if it
 * is there and no regular file. */
bool coverage_name(struct coverage *c, const char *file);

/* Make report_tmp. Returns false, with errno, if that cannot be done. */
bool coverage_open(const struct coverage *c);

/* Write the report anew, a JSON object. If that fails it is said, and so in
 * report_failed. */
void coverage_write(struct coverage *c, struct moment now);

/* Redraw the live line, where there is one. */
void coverage_live(struct coverage *c, struct moment now);

#endif
