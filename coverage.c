#include "coverage.h"

#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double seconds(uint64_t ms)
{
	return (double)ms / 1000;
}

/* A time in UTC, in one of a few static buffers. */
static const char *stamp(uint64_t unix_ms)
{
	static char buf[2][32];
	static unsigned next;
	time_t t = (time_t)(unix_ms / 1000);
	char *p = buf[next++ % 2];
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(p, sizeof buf[0], "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return "-";
	return p;
}

void coverage_gap(const char *what, const struct session_gap *gap)
{
	log_line(LOG_INFO, "%sgap of %.1f s since %s: %s", what,
		 seconds(gap->ms), stamp(gap->start_unix_ms),
		 cause_text(gap->cause));
}

void coverage_stats(const struct coverage *r)
{
	const struct session *s = r->session;
	const struct session_stats *n = &s->stats;

	log_line(LOG_INFO,
		 "stats tweets=%" PRIu64 " notices=%" PRIu64
		 " withheld=%" PRIu64 " withheld_min=%" PRIu64
		 " malformed=%" PRIu64 " keepalives=%" PRIu64 " bytes=%" PRIu64
		 " connects=%" PRIu64 " gaps=%" PRIu64 " gap_s=%.1f held=%zu",
		 n->tweets, n->notices, withheld_sum(&s->withheld),
		 withheld_min(&s->withheld), n->malformed, n->keepalives,
		 n->bytes, n->connects, n->gaps, seconds(n->gap_ms),
		 r->out->held + (r->notices != NULL ? r->notices->held : 0));
}

/* Milliseconds with a stream, up to now. */
static uint64_t connected(const struct session *s, struct moment now)
{
	return s->stats.connected_ms +
	       (s->phase == SESSION_BODY ? now.ms - s->opened : 0);
}

static double percent(double part, double whole)
{
	return whole > 0 ? 100 * part / whole : 0;
}

void coverage_log(const struct coverage *r, struct moment now)
{
	const struct session *s = r->session;
	double run = seconds(now.ms - s->started);
	double up = seconds(connected(s, now));
	uint64_t sum = withheld_sum(&s->withheld);
	double seen = (double)(sum + s->stats.tweets);
	size_t i;

	log_line(LOG_INFO, "coverage: connected %.1f s of %.1f s (%.2f%%)", up,
		 run, percent(up, run));
	for (i = 0; i < SESSION_GAPS && s->longest[i].ms > 0; i++)
		coverage_gap("coverage: ", &s->longest[i]);
	if (sum > 0)
		log_line(LOG_INFO,
			 "coverage: %" PRIu64 " tweets withheld, at least "
			 "%" PRIu64 ": %.2f%% of those that matched",
			 sum, withheld_min(&s->withheld),
			 percent((double)sum, seen));
	if (s->stats.malformed > 0)
		log_line(LOG_INFO, "coverage: %" PRIu64 " malformed lines",
			 s->stats.malformed);
}

/* A string as JSON, without secrets. */
static void put_json(int fd, const struct request *r, const char *s)
{
	static char shown[REQUEST_BODY];
	struct text t;

	text_init(&t, shown, sizeof shown);
	secret_append(&r->secrets, &t, s, strlen(s), false);
	dprintf(fd, "\"");
	for (s = shown; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			dprintf(fd, "\\%c", *s);
		else if ((unsigned char)*s < ' ')
			dprintf(fd, "\\u%04x", (unsigned)*s);
		else
			dprintf(fd, "%c", *s);
	}
	dprintf(fd, "\"");
}

static void put_request(int fd, const struct request *r)
{
	size_t i;

	dprintf(fd, ",\"url\":");
	put_json(fd, r, r->url.base);
	dprintf(fd, ",\"parameters\":{");
	for (i = 0; i < r->nparams; i++) {
		dprintf(fd, i > 0 ? "," : "");
		put_json(fd, r, r->params[i].name);
		dprintf(fd, ":");
		put_json(fd, r, r->params[i].value);
	}
	dprintf(fd, "}");
}

static void put_gaps(int fd, const struct session *s)
{
	size_t i;

	dprintf(fd, ",\"gaps\":%" PRIu64 ",\"gap_s\":%.3f,\"longest_gaps\":[",
		s->stats.gaps, seconds(s->stats.gap_ms));
	for (i = 0; i < SESSION_GAPS && s->longest[i].ms > 0; i++)
		dprintf(
		    fd,
		    "%s{\"start\":\"%s\",\"seconds\":%.3f,\"cause\":\"%s\"}",
		    i > 0 ? "," : "", stamp(s->longest[i].start_unix_ms),
		    seconds(s->longest[i].ms), cause_text(s->longest[i].cause));
	dprintf(fd, "]");
}

bool coverage_write(const struct coverage *r, int fd, struct moment now)
{
	const struct session *s = r->session;

	if (ftruncate(fd, 0) < 0 && errno != EINVAL)
		return false;
	dprintf(fd, "{\"program\":\"tstream %s\"", TSTREAM_VERSION);
	put_request(fd, r->request);
	dprintf(fd,
		",\"start\":\"%s\",\"end\":\"%s\",\"run_s\":%.3f,"
		"\"connected_s\":%.3f,\"connects\":%" PRIu64,
		stamp(s->started_unix_ms), stamp(now.unix_ms),
		seconds(now.ms - s->started), seconds(connected(s, now)),
		s->stats.connects);
	put_gaps(fd, s);
	return dprintf(fd,
		       ",\"tweets\":%" PRIu64 ",\"notices\":%" PRIu64
		       ",\"withheld\":%" PRIu64 ",\"withheld_min\":%" PRIu64
		       ",\"withheld_ambiguous\":%" PRIu64
		       ",\"malformed\":%" PRIu64 ",\"keepalives\":%" PRIu64
		       ",\"bytes\":%" PRIu64 "}\n",
		       s->stats.tweets, s->stats.notices,
		       withheld_sum(&s->withheld), withheld_min(&s->withheld),
		       s->withheld.ambiguous, s->stats.malformed,
		       s->stats.keepalives, s->stats.bytes) > 0;
}

void coverage_live(struct coverage *r, struct moment now)
{
	const struct session *s = r->session;
	uint64_t ms = now.ms - r->last_live, run = (now.ms - s->started) / 1000;
	uint64_t more = s->stats.tweets - r->last_tweets;

	r->last_live = now.ms;
	r->last_tweets = s->stats.tweets;
	log_live("%" PRIu64 " tweets, %.1f/s, %" PRIu64 " notices, %" PRIu64
		 ":%02u:%02u%s",
		 s->stats.tweets, ms > 0 ? (double)more * 1000 / (double)ms : 0,
		 s->stats.notices, run / 3600, (unsigned)(run / 60 % 60),
		 (unsigned)(run % 60),
		 s->phase == SESSION_BODY ? "" : ", not connected");
}
