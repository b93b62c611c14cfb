#include "coverage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOLD 5 /* gaps that are told of to people */

static double seconds(uint64_t ms)
{
	return (double)ms / 1000;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole > 0 ? 100 * (double)part / (double)whole : 0;
}

/* Only v1.1 says what was withheld. */
static bool knows_withheld(const struct session *s)
{
	return !s->config.v2 && strcmp(s->config.tweet_key, "text") == 0;
}

/* Why there is no stream, or not yet a byte of it, and when the next attempt
 * is. */
static void put_down(struct text *t, const struct session *s, struct moment now)
{
	if ((s->phase == SESSION_BODY && !s->in_gap) ||
	    s->phase == SESSION_OVER || s->cause == CAUSE_NONE)
		return;
	log_put(t, " (%s", cause_text(s->in_gap ? s->gap.cause : s->cause));
	if (s->cause == CAUSE_STATUS)
		log_put(t, "; HTTP status %d", s->head.status);
	else if (s->in_gap && s->cause != s->gap.cause)
		log_put(t, "; %s", cause_text(s->cause));
	if (s->phase == SESSION_WAIT)
		log_put(t, "; the next attempt is in %.1f s)",
			seconds(s->due > now.ms ? s->due - now.ms : 0));
	else
		log_put(t, "; an attempt is being made)");
}

/* All figures, as " name=1" for the statistics line or as members of an object,
 * where one that is not known is null. */
static void put_figures(struct text *t, const struct coverage *c,
			const struct session_coverage *covers, bool json)
{
	/* MS: in seconds; UNKNOWN: null in JSON, and no name in a line */
	enum { LINE = 1, JSON = 2, BOTH = 3, MS = 4, UNKNOWN = 8 | JSON };
	const struct session *s = c->session;
	const int v1 = knows_withheld(s) ? BOTH : UNKNOWN;
	const struct {
		const char *name;
		uint64_t value;
		int how;
	} list[] = {
		{ "connected", s->phase == SESSION_BODY, LINE },
		{ "run_s", covers->run, JSON | MS },
		{ "covered_s", covers->covered, JSON | MS },
		{ "before_s", covers->before, JSON | MS },
		{ "tweets", s->stats.tweets, BOTH },
		{ "notices", s->stats.notices, BOTH },
		{ "deletes", s->stats.deletes, JSON },
		{ "withheld", s->withheld.sum, v1 },
		{ "withheld_min", s->withheld.min, v1 },
		{ "withheld_ambiguous", s->withheld.ambiguous, JSON },
		{ "malformed", s->stats.malformed, BOTH },
		{ "keepalives", s->stats.keepalives, BOTH },
		{ "bytes", s->stats.bytes, BOTH },
		{ "lost", c->files[0].out.lost + c->files[1].out.lost, JSON },
		{ "connects", s->stats.connects, BOTH },
		{ "gaps", covers->gaps, BOTH },
		{ "gap_s", covers->gap_ms, BOTH | MS },
		{ "held", c->files[0].out.held + c->files[1].out.held, LINE },
		{ "lag_s", (uint64_t)s->lag, s->lag < 0 ? 0 : LINE | MS },
		{ "max_lag_s", (uint64_t)s->max_lag,
		  s->max_lag < 0 ? UNKNOWN : JSON | MS },
	};
	size_t i;

	for (i = 0; i < sizeof list / sizeof list[0]; i++) {
		if ((list[i].how & (json ? JSON : LINE)) == 0)
			continue;
		log_put(t, json ? ",\"%s\":" : " %s=", list[i].name);
		if (list[i].how == UNKNOWN)
			text_str(t, "null");
		else if ((list[i].how & MS) != 0)
			log_put(t, "%.*f", json ? 3 : 1,
				seconds(list[i].value));
		else
			text_u64(t, list[i].value);
	}
}

void coverage_stats(const struct coverage *c, struct moment now)
{
	struct session_coverage covers = session_covers(c->session, now);
	char line[1024];
	struct text t = text_in(line, sizeof line);

	put_figures(&t, c, &covers, false);
	put_down(&t, c->session, now);
	log_line(LOG_ASKED, "stats%s", line);
}

void coverage_gap(enum log_level level, const char *what,
		  const struct session_gap *gap)
{
	char since[32];
	struct text t = text_in(since, sizeof since);

	log_stamp(&t, gap->start_unix_ms);
	log_line(level, "%sgap of %s%.1f s since %s: %s%s", what,
		 gap->upper_bound ? "at most " : "", seconds(gap->ms), since,
		 cause_text(gap->cause),
		 gap->resumed ? "; the server was asked for it" : "");
}

void coverage_log(const struct coverage *c, struct moment now)
{
	const struct session *s = c->session;
	struct session_coverage covers = session_covers(s, now);
	uint64_t sum = s->withheld.sum;
	size_t i;

	log_line(LOG_ASKED,
		 "coverage: %.1f s of %.1f s (%.2f%%); gaps %.1f s, before the "
		 "first stream %.1f s",
		 seconds(covers.covered), seconds(covers.run),
		 percent(covers.covered, covers.run), seconds(covers.gap_ms),
		 seconds(covers.before));
	for (i = 0; i < TOLD && i < covers.gaps; i++)
		coverage_gap(LOG_ASKED, "coverage: ", &covers.longest[i]);
	if (sum > 0 && knows_withheld(s))
		log_line(LOG_ASKED,
			 "coverage: %" PRIu64 " tweets withheld, at least "
			 "%" PRIu64 ": %.2f%% of those that matched",
			 sum, s->withheld.min,
			 percent(sum, sum + s->stats.tweets));
}

/* A string as JSON, without secrets, and printable as in the log. */
static void put_json(struct text *t, const struct request *r, const char *s)
{
	static char shown[REQUEST_BODY];
	struct text hidden = text_in(shown, sizeof shown);
	const char *p;

	secret_append(&r->secrets, &hidden, s, strlen(s), true);
	text_str(t, "\"");
	for (p = shown; *p != '\0'; p++) {
		text_str(t, *p == '"' || *p == '\\' ? "\\" : "");
		text_mem(t, p, 1);
	}
	text_str(t, "\"");
}

/* The parameters are those of the URL's query, and the others. */
static void put_request(struct text *t, const struct request *r)
{
	const struct param *p;
	size_t i;

	log_put(t, "{\"program\":\"tstream %s\",\"url\":", TSTREAM_VERSION);
	put_json(t, r, r->url.base);
	text_str(t, ",\"parameters\":{");
	for (i = 0; i < r->nquery + r->nparams; i++) {
		p = i < r->nquery ? &r->query[i] : &r->params[i - r->nquery];
		text_str(t, i > 0 ? "," : "");
		put_json(t, r, p->name);
		text_str(t, ":");
		put_json(t, r, p->value);
	}
	text_str(t, "}");
}

static void put_coverage(struct text *t, const struct coverage *c,
			 struct moment now)
{
	struct session_coverage covers = session_covers(c->session, now);
	const struct session_gap *g = covers.longest;
	uint64_t end = c->session->started + covers.run;
	uint64_t n = covers.gaps < SESSION_GAPS ? covers.gaps : SESSION_GAPS;

	text_str(t, ",\"start\":\"");
	log_stamp(t, c->session->started_unix_ms);
	text_str(t, "\",\"end\":\"");
	log_stamp(t, now.unix_ms - (now.ms - end));
	text_str(t, "\"");
	put_figures(t, c, &covers, true);
	text_str(t, ",\"longest_gaps\":[");
	for (; n > 0; n--, g++) {
		text_str(t, "{\"start\":\"");
		log_stamp(t, g->start_unix_ms);
		log_put(t,
			"\",\"seconds\":%.3f,\"reason\":\"%s\","
			"\"resumed\":%s,\"upper_bound\":%s}%s",
			seconds(g->ms), cause_text(g->cause),
			g->resumed ? "true" : "false",
			g->upper_bound ? "true" : "false", n > 1 ? "," : "");
	}
	text_str(t, "]");
}

bool coverage_name(struct coverage *c, const char *file)
{
	struct stat st;

	file_target(file, c->report);
	snprintf(c->report_tmp, sizeof c->report_tmp, "%s.tmp", c->report);
	c->report_mode = 0666;
	if (stat(file, &st) < 0)
		return true;
	c->report_mode = st.st_mode & 0777;
	return S_ISREG(st.st_mode);
}

/* Whatever somebody may have put there does not stay. */
static int open_tmp(const struct coverage *c)
{
	unlink(c->report_tmp);
	return open(c->report_tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    c->report_mode);
}

bool coverage_open(const struct coverage *c)
{
	int fd = open_tmp(c);

	return fd >= 0 && close(fd) == 0;
}

static bool write_all(const struct coverage *c, const char *p, size_t n)
{
	int fd = open_tmp(c);
	bool whole;
	ssize_t k;

	if (fd < 0)
		return false;
	for (; n > 0 && (k = write(fd, p, n)) > 0; p += k)
		n -= (size_t)k;
	/* else a power failure may leave the name with nothing behind it */
	whole = n == 0 && fsync(fd) == 0;
	return close(fd) == 0 && whole && rename(c->report_tmp, c->report) == 0;
}

void coverage_write(struct coverage *c, struct moment now)
{
	static char object[2 * REQUEST_BODY];
	struct text t = text_in(object, sizeof object);

	if (c->report[0] == '\0')
		return;
	put_request(&t, c->request);
	put_coverage(&t, c, now);
	text_str(&t, ",\"ended\":");
	if (c->ended != NULL)
		put_json(&t, c->request, c->ended);
	text_str(&t, c->ended != NULL ? "}\n" : "null}\n");
	errno = EFBIG;
	c->report_failed = t.full || !write_all(c, t.p, t.n);
	if (c->report_failed)
		log_line(LOG_ERROR, "--report: %s, or FILE.tmp: %s", c->report,
			 strerror(errno));
}

static void put_time(struct text *t, uint64_t s)
{
	log_put(t, "%" PRIu64 ":%02u:%02u", s / 3600, (unsigned)(s / 60 % 60),
		(unsigned)(s % 60));
}

void coverage_live(struct coverage *c, struct moment now)
{
	const struct session *s = c->session;
	struct session_coverage covers = session_covers(s, now);
	uint64_t ms = now.ms - c->last_live;
	uint64_t more = s->stats.tweets - c->last_tweets;
	char line[512];
	struct text t = text_in(line, sizeof line);

	c->last_live = now.ms;
	c->last_tweets = s->stats.tweets;
	log_put(&t, "%" PRIu64 " tweets, %.1f/s", s->stats.tweets,
		ms > 0 ? (double)more * 1000 / (double)ms : 0);
	put_down(&t, s, now);
	if (knows_withheld(s))
		log_put(&t, ", %" PRIu64 " withheld", s->withheld.sum);
	text_str(&t, ", ");
	put_time(&t, covers.run / 1000);
	text_str(&t, s->config.duration > 0 ? " of " : "");
	if (s->config.duration > 0)
		put_time(&t, s->config.duration / 1000);
	log_put(&t, ", %" PRIu64 " gap%s", covers.gaps,
		covers.gaps == 1 ? "" : "s");
	if (covers.gap_ms > 0)
		log_put(&t, " of %.1f s", seconds(covers.gap_ms));
	log_live(line);
}
