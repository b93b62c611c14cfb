#include "coverage.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TOLD 5 /* gaps that are told of to people */
#define REPLACE (O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW)

static double seconds(uint64_t ms)
{
	return (double)ms / 1000;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole > 0 ? 100 * (double)part / (double)whole : 0;
}

/* A time in UTC, in a static buffer. */
static const char *stamp(uint64_t unix_ms)
{
	static char buf[32];
	time_t t = (time_t)(unix_ms / 1000);
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(buf, sizeof buf, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return "-";
	return buf;
}

/* Only v1.1 says what was withheld. */
static bool knows_withheld(const struct session *s)
{
	return !s->config.v2 && strcmp(s->config.tweet_key, "text") == 0;
}

/* Why there is no stream, and when the next attempt is. */
static void put_down(struct text *t, const struct session *s, struct moment now)
{
	if (s->phase == SESSION_BODY || s->phase == SESSION_OVER ||
	    s->cause == CAUSE_NONE)
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

/* The counters, as " name=1" for a line or as members of an object. */
static void put_counts(struct text *t, const struct coverage *c, uint64_t gaps,
		       bool json)
{
	enum when { ALWAYS, WITHHELD, REPORT };
	const struct session *s = c->session;
	const struct {
		const char *name;
		uint64_t value;
		enum when when;
	} list[] = {
		{ "tweets", s->stats.tweets, ALWAYS },
		{ "notices", s->stats.notices, ALWAYS },
		{ "deletes", s->stats.deletes, REPORT },
		{ "withheld", withheld_sum(&s->withheld), WITHHELD },
		{ "withheld_min", withheld_min(&s->withheld), WITHHELD },
		{ "withheld_ambiguous", s->withheld.ambiguous, REPORT },
		{ "malformed", s->stats.malformed, ALWAYS },
		{ "keepalives", s->stats.keepalives, ALWAYS },
		{ "bytes", s->stats.bytes, ALWAYS },
		{ "lost", c->lost, REPORT },
		{ "connects", s->stats.connects, ALWAYS },
		{ "gaps", gaps, ALWAYS },
	};
	bool known;
	size_t i;

	for (i = 0; i < sizeof list / sizeof list[0]; i++) {
		known = list[i].when != WITHHELD || knows_withheld(s);
		if (!json && (!known || list[i].when == REPORT))
			continue;
		if (known)
			log_put(t, json ? ",\"%s\":%" PRIu64 : " %s=%" PRIu64,
				list[i].name, list[i].value);
		else
			log_put(t, ",\"%s\":null", list[i].name);
	}
}

void coverage_stats(const struct coverage *c, struct moment now)
{
	const struct session *s = c->session;
	struct session_coverage covers = session_covers(s, now);
	char line[1024];
	struct text t;

	text_init(&t, line, sizeof line);
	put_counts(&t, c, covers.gaps, false);
	log_put(&t, " gap_s=%.1f held=%zu", seconds(covers.gap_ms),
		c->out->held + (c->notices != NULL ? c->notices->held : 0));
	if (s->has_lag)
		log_put(&t, " lag_s=%.1f", seconds(s->lag));
	put_down(&t, s, now);
	log_line(LOG_ASKED, "stats connected=%d%s", s->phase == SESSION_BODY,
		 line);
}

static void log_gap(enum log_level level, const char *what,
		    const struct session_gap *gap)
{
	log_line(level, "%sgap of %s%.1f s since %s: %s%s", what,
		 gap->upper_bound ? "at most " : "", seconds(gap->ms),
		 stamp(gap->start_unix_ms), cause_text(gap->cause),
		 gap->resumed ? "; the server was asked for it" : "");
}

void coverage_gap(const struct session_gap *gap)
{
	log_gap(LOG_INFO, "", gap);
}

void coverage_log(const struct coverage *c, struct moment now)
{
	const struct session *s = c->session;
	struct session_coverage covers = session_covers(s, now);
	uint64_t sum = withheld_sum(&s->withheld);
	size_t i;

	log_line(LOG_ASKED,
		 "coverage: %.1f s of %.1f s (%.2f%%); gaps %.1f s, before the "
		 "first stream %.1f s",
		 seconds(covers.covered), seconds(covers.run),
		 percent(covers.covered, covers.run), seconds(covers.gap_ms),
		 seconds(covers.before));
	if (covers.open.cause != CAUSE_NONE)
		log_gap(LOG_ASKED, "coverage: open ", &covers.open);
	for (i = 0; i < TOLD && s->longest[i].cause != CAUSE_NONE; i++)
		log_gap(LOG_ASKED, "coverage: ", &s->longest[i]);
	if (sum > 0)
		log_line(LOG_ASKED,
			 "coverage: %" PRIu64 " tweets withheld, at least "
			 "%" PRIu64 ": %.2f%% of those that matched",
			 sum, withheld_min(&s->withheld),
			 percent(sum, sum + s->stats.tweets));
	if (s->stats.malformed > 0)
		log_line(LOG_ASKED, "coverage: %" PRIu64 " malformed lines",
			 s->stats.malformed);
}

/* A string as JSON, without secrets. */
static void put_json(struct text *t, const struct request *r, const char *s)
{
	static char shown[REQUEST_BODY];
	const unsigned char *p = (const unsigned char *)shown;
	struct text hidden;
	size_t left, k;

	text_init(&hidden, shown, sizeof shown);
	secret_append(&r->secrets, &hidden, s, strlen(s), false);
	text_str(t, "\"");
	for (left = hidden.n; left > 0; left -= k, p += k) {
		k = text_utf8(p, left);
		if (k == 0 || *p < ' ')
			log_put(t, "\\u%04x", k == 0 ? 0xfffdu : *p);
		else if (*p == '"' || *p == '\\')
			log_put(t, "\\%c", *p);
		else
			text_mem(t, p, k);
		k = k == 0 ? 1 : k;
	}
	text_str(t, "\"");
}

static void put_request(struct text *t, const struct request *r)
{
	size_t i;

	log_put(t, "{\"program\":\"tstream %s\",\"url\":", TSTREAM_VERSION);
	put_json(t, r, r->url.base);
	text_str(t, ",\"parameters\":{");
	for (i = 0; i < r->nparams; i++) {
		text_str(t, i > 0 ? "," : "");
		put_json(t, r, r->params[i].name);
		text_str(t, ":");
		put_json(t, r, r->params[i].value);
	}
	text_str(t, "}");
}

static void put_gap(struct text *t, const struct session_gap *gap)
{
	log_put(t,
		"%s{\"start\":\"%s\",\"seconds\":%.3f,\"reason\":\"%s\","
		"\"resumed\":%s,\"upper_bound\":%s}",
		t->p[t->n - 1] == '[' ? "" : ",", stamp(gap->start_unix_ms),
		seconds(gap->ms), cause_text(gap->cause),
		gap->resumed ? "true" : "false",
		gap->upper_bound ? "true" : "false");
}

static void put_coverage(struct text *t, const struct coverage *c,
			 struct moment now)
{
	const struct session *s = c->session;
	struct session_coverage covers = session_covers(s, now);
	size_t i;

	log_put(t, ",\"start\":\"%s\"", stamp(s->started_unix_ms));
	log_put(t, ",\"end\":\"%s\",\"run_s\":%.3f,\"covered_s\":%.3f",
		stamp(now.unix_ms), seconds(covers.run),
		seconds(covers.covered));
	log_put(t, ",\"before_s\":%.3f,\"gap_s\":%.3f", seconds(covers.before),
		seconds(covers.gap_ms));
	put_counts(t, c, covers.gaps, true);
	if (s->ever_lag)
		log_put(t, ",\"max_lag_s\":%.3f", seconds(s->max_lag));
	else
		text_str(t, ",\"max_lag_s\":null");
	text_str(t, ",\"longest_gaps\":[");
	if (covers.open.cause != CAUSE_NONE)
		put_gap(t, &covers.open);
	for (i = 0; i < SESSION_GAPS && s->longest[i].cause != CAUSE_NONE; i++)
		put_gap(t, &s->longest[i]);
	text_str(t, "]");
}

void coverage_name(struct coverage *c, const char *file)
{
	char real[PATH_MAX];

	if (realpath(file, real) == NULL)
		snprintf(real, sizeof real, "%s", file);
	snprintf(c->report, sizeof c->report, "%s", real);
	snprintf(c->report_tmp, sizeof c->report_tmp, "%s.tmp", real);
}

bool coverage_open(struct coverage *c, const char *file)
{
	struct stat st, err;
	bool exists = stat(file, &st) == 0;
	int fd;

	c->direct.fd = -1;
	if (exists && fstat(STDERR_FILENO, &err) == 0 &&
	    st.st_dev == err.st_dev && st.st_ino == err.st_ino) {
		nowait_open(&c->direct, STDERR_FILENO);
	} else if (exists && !S_ISREG(st.st_mode)) {
		c->direct.kind = NOWAIT_OPEN;
		c->direct.fd =
		    open(file, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		return c->direct.fd >= 0;
	} else {
		fd = open(c->report_tmp, REPLACE, 0666);
		return fd >= 0 && close(fd) == 0;
	}
	return true;
}

static bool write_all(const struct nowait *to, const char *p, size_t n)
{
	ssize_t k;

	for (; n > 0 && (k = nowait_write(to, p, n)) > 0; p += k)
		n -= (size_t)k;
	return n == 0;
}

static bool replace(const struct coverage *c, const char *p, size_t n)
{
	struct nowait to = { open(c->report_tmp, REPLACE, 0666), NOWAIT_FILE };
	bool whole = to.fd >= 0 && write_all(&to, p, n);

	if (to.fd >= 0 && close(to.fd) < 0)
		whole = false;
	return whole && rename(c->report_tmp, c->report) == 0;
}

void coverage_write(struct coverage *c, struct moment now)
{
	static char object[2 * REQUEST_BODY];
	struct text t;

	if (c->report[0] == '\0')
		return;
	text_init(&t, object, sizeof object);
	put_request(&t, c->request);
	put_coverage(&t, c, now);
	text_str(&t, ",\"ended\":");
	if (c->ended != NULL)
		put_json(&t, c->request, c->ended);
	text_str(&t, c->ended != NULL ? "}\n" : "null}\n");
	errno = EFBIG;
	c->report_failed =
	    t.full || !(c->direct.fd < 0 ? replace(c, t.p, t.n)
					 : write_all(&c->direct, t.p, t.n));
	if (c->report_failed)
		log_line(LOG_ERROR, "--report: %s: %s", c->report,
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
	struct text t;

	c->last_live = now.ms;
	c->last_tweets = s->stats.tweets;
	text_init(&t, line, sizeof line);
	log_put(&t, "%" PRIu64 " tweets, %.1f/s", s->stats.tweets,
		ms > 0 ? (double)more * 1000 / (double)ms : 0);
	if (knows_withheld(s))
		log_put(&t, ", %" PRIu64 " withheld",
			withheld_sum(&s->withheld));
	text_str(&t, ", ");
	put_time(&t, covers.run / 1000);
	text_str(&t, s->config.duration > 0 ? " of " : "");
	if (s->config.duration > 0)
		put_time(&t, s->config.duration / 1000);
	log_put(&t, ", %" PRIu64 " gap%s", covers.gaps,
		covers.gaps == 1 ? "" : "s");
	if (covers.gap_ms > 0)
		log_put(&t, " of %.1f s", seconds(covers.gap_ms));
	put_down(&t, s, now);
	log_live("%s", line);
}
