#include "report.h"

#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SKEW 300u /* seconds that clocks may differ */

/* A header as it was sent or came, without the credentials. */
static void log_head(const char *mark, const char *p, size_t n)
{
	static const char secret[] = "Authorization:";
	char text[512];
	struct text t;
	const char *end;

	while (n > 0 && (end = memchr(p, '\n', n)) != NULL) {
		size_t line = (size_t)(end - p);

		if (line > 0 && p[line - 1] == '\r')
			line--;
		text_init(&t, text, sizeof text);
		if (line >= sizeof secret &&
		    text_is_word(p, sizeof secret - 1, secret))
			text_str(&t, "Authorization: (left out)");
		else
			text_printable(&t, p, line);
		if (line > 0)
			log_line(LOG_DEBUG, "%s %s", mark, text);
		n -= (size_t)(end + 1 - p);
		p = end + 1;
	}
}

void report_request(const struct report *r)
{
	log_head(">", r->request->head, r->request->head_n);
}

void report_opened(const struct report *r)
{
	const struct session *s = r->session;

	log_line(LOG_INFO, "connected to %s (%s%s%s)", r->request->url.host,
		 r->net->peer, r->request->url.tls ? ", TLS 1.2 " : "",
		 r->request->url.tls ? tls_suite(&r->net->tls) : "");
	log_head("<", s->head.bytes, s->head.n);
}

static double seconds(uint64_t ms)
{
	return (double)ms / 1000;
}

/* A time of the session's clock in UTC, in one of a few static buffers. */
static const char *stamp(const struct session *s, uint64_t ms)
{
	static char buf[2][32];
	static unsigned next;
	time_t t = (time_t)((ms + s->epoch) / 1000);
	char *p = buf[next++ % 2];
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(p, sizeof buf[0], "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return "-";
	return p;
}

static void log_gap(const char *what, const struct session *s,
		    const struct session_gap *gap)
{
	log_line(LOG_INFO, "%sgap of %.1f s since %s: %s", what,
		 seconds(gap->ms), stamp(s, gap->start),
		 cause_text(gap->cause));
}

void report_resumed(const struct report *r)
{
	log_gap("", r->session, &r->session->gap);
}

void report_bad_line(const struct report *r)
{
	const struct line *line = &r->session->line;
	char beginning[256];
	struct text t;

	text_init(&t, beginning, sizeof beginning);
	text_printable(&t, line->p, line->n < 120 ? line->n : 120);
	if (line->size > LINE_MAX_SIZE)
		log_line(LOG_ERROR,
			 "a line of %" PRIu64 " bytes is too long, not "
			 "written: %s...",
			 line->size, beginning);
	else
		log_line(LOG_ERROR,
			 "malformed line of %" PRIu64 " bytes, not written: "
			 "%s at byte %" PRIu64 ": %s",
			 line->size, json_error_text(line->error), line->offset,
			 beginning);
}

/* A string of a notice, for a log line. */
static const char *find(const struct report *r, const char *const *path,
			char *buf, size_t size)
{
	struct json_value v;
	struct text t;

	text_init(&t, buf, size);
	if (json_find((const char *)r->session->line.p, path, &v))
		text_printable(&t, v.p, v.n);
	return buf;
}

void report_warning(const struct report *r, uint64_t now)
{
	static const char *const code[] = { "warning", "code", NULL };
	static const char *const full[] = { "warning", "percent_full", NULL };
	static uint64_t last;
	char a[64], b[16];

	if (last != 0 && now - last < 60000)
		return;
	last = now;
	log_line(LOG_INFO,
		 "the server warns: %s, its queue for us is %s%% full",
		 find(r, code, a, sizeof a), find(r, full, b, sizeof b));
}

void report_errors(const struct report *r)
{
	static const char *const title[] = { "errors", "title", NULL };
	static const char *const detail[] = { "errors", "detail", NULL };
	char a[128], b[512];

	find(r, title, a, sizeof a);
	find(r, detail, b, sizeof b);
	if (*a != '\0' || *b != '\0')
		log_line(LOG_INFO, "the service says: %s: %s", a, b);
}

/* The first place of word in p[0..n-1], or n. */
static size_t find_word(const char *p, size_t n, const char *word)
{
	size_t size = strlen(word), i;

	for (i = 0; size > 0 && i + size <= n; i++)
		if (text_is_word(p + i, size, word))
			return i;
	return n;
}

/* Of a problem (RFC 9457) that came whole, title and detail. */
static bool put_problem(struct text *t, const struct session *s)
{
	static const char *const title[] = { "title", NULL };
	static const char *const detail[] = { "detail", NULL };
	static struct json_scan scan;
	struct json_value a, b;
	size_t at = 0, from;

	json_init(&scan, "");
	do {
		from = at;
		at += json_scan(&scan, (const unsigned char *)s->excerpt + at,
				s->excerpt_n - at);
	} while (at > from && at < s->excerpt_n);
	if (scan.place != JSON_DONE || !json_find(s->excerpt, detail, &b))
		return false;
	json_find(s->excerpt, title, &a);
	text_str(t, ": ");
	text_printable(t, a.p, a.n);
	text_str(t, ": ");
	text_printable(t, b.p, b.n);
	return true;
}

/* What the server said, up to where it repeats our credentials. */
static void put_excerpt(struct text *t, const struct report *r)
{
	const struct session *s = r->session;
	const char *own = r->request->authorization;
	const char *const stop[] = { r->request->oauth.consumer_key,
				     r->request->oauth.token,
				     own + strcspn(own, " "),
				     "oauth_signature" };
	size_t n = s->excerpt_n, i;
	bool cut;

	for (i = 0; i < sizeof stop / sizeof stop[0]; i++)
		n = find_word(s->excerpt, n, stop[i]);
	if (n == s->excerpt_n && put_problem(t, s))
		return;
	cut = n < s->excerpt_n;
	while (n > 0 && (unsigned char)s->excerpt[n - 1] <= ' ')
		n--;
	text_str(t, n > 0 || cut ? ": " : "");
	text_printable(t, s->excerpt, n);
	text_str(t, cut ? " (the rest repeats the request)" : "");
}

/* What usually helps. */
static const char *advice(int status)
{
	static const struct {
		int status;
		const char *text;
	} list[] = {
		{ 401, "check the four credentials and the clock" },
		{ 403, "this account may not use this endpoint" },
		{ 404, "there is nothing at this URL; check -u" },
		{ 406, "the server does not accept one of the parameters" },
		{ 410, "this endpoint is gone" },
		{ 413, "a list is longer than this account may use" },
		{ 416, "this account may not use one of the parameters" },
	};
	size_t i;

	for (i = 0; i < sizeof list / sizeof list[0]; i++)
		if (list[i].status == status)
			return list[i].text;
	return status < 400 ? "redirects are not followed, because of the "
			      "credentials"
			    : "see what the server says";
}

static void put_status(struct text *t, const struct report *r)
{
	const struct session *s = r->session;
	uint64_t here = (s->due - s->wait + s->epoch) / 1000;
	uint64_t there = s->head.date;
	uint64_t skew = here > there ? here - there : there - here;

	text_str(t, "HTTP status ");
	text_u64(t, (uint64_t)s->head.status);
	if (s->head.location[0] != '\0') {
		text_str(t, " to ");
		text_str(t, s->head.location);
	}
	put_excerpt(t, r);
	if (s->verdict == BACKOFF_FATAL) {
		text_str(t, " - ");
		text_str(t, advice(s->head.status));
	}
	if (s->head.status == 401 && there != 0 && skew > SKEW) {
		text_str(t, " - the clock here is ");
		text_u64(t, skew);
		text_str(t,
			 here > there ? " seconds ahead" : " seconds behind");
		text_str(t, " of the server's: set it, signatures need it");
	}
}

/* Why the connection ended, in full. */
static void put_cause(struct text *t, const struct report *r)
{
	const struct session *s = r->session;

	switch (s->cause) {
	case CAUSE_NETWORK:
	case CAUSE_CERTIFICATE:
		text_str(t, r->net->error);
		break;
	case CAUSE_PROTOCOL:
		text_str(t, "the response breaks the protocol: ");
		text_str(t, http_error_text(s->http_error));
		break;
	case CAUSE_STATUS:
		put_status(t, r);
		break;
	case CAUSE_DISCONNECT:
		text_str(t, "the server sent a disconnect message, code ");
		text_u64(t, s->code);
		break;
	case CAUSE_TIMEOUT:
		text_str(t, cause_text(s->cause));
		text_str(t, " (");
		text_str(t, net_phase_text(r->net->phase));
		text_str(t, ")");
		break;
	case CAUSE_NONE:
	case CAUSE_NO_RESPONSE:
	case CAUSE_EOF:
	case CAUSE_CUT:
	case CAUSE_STALL:
	case CAUSE_LIMIT_LINE:
	case CAUSE_UPSTREAM:
	case CAUSE_COUNT:
	case CAUSE_DURATION:
	case CAUSE_STOPPED:
	case CAUSES:
		text_str(t, cause_text(s->cause));
	}
}

/* For -v: what there was to agree on. */
static void log_handshake(const struct tls *t)
{
	log_line(LOG_DEBUG,
		 "TLS 1.2 was offered with ECDHE and AES-GCM or "
		 "ChaCha20-Poly1305; %zu bytes of handshake came; %zu "
		 "authorities are trusted",
		 t->handshake, t->nanchors);
}

void report_ended(const struct report *r)
{
	const struct session *s = r->session;
	char why[1800];
	struct text t;

	text_init(&t, why, sizeof why);
	put_cause(&t, r);
	if (r->net->phase == NET_FAILED && r->net->tls.error != 0)
		log_handshake(&r->net->tls);
	if (s->verdict == BACKOFF_COMPLETE)
		log_line(LOG_DEBUG, "done: %s", why);
	else if (s->verdict == BACKOFF_FATAL)
		log_line(LOG_ERROR, "%s: %s", r->request->url.host, why);
	else
		log_line(LOG_INFO, "%s: %s; next attempt in %g s",
			 r->request->url.host, why, seconds(s->wait));
}

void report_stats(const struct report *r)
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
static uint64_t connected(const struct session *s, uint64_t now)
{
	return s->stats.connected_ms +
	       (s->phase == SESSION_BODY ? now - s->opened : 0);
}

static double percent(double part, double whole)
{
	return whole > 0 ? 100 * part / whole : 0;
}

void report_coverage(const struct report *r, uint64_t now)
{
	const struct session *s = r->session;
	double run = seconds(now - s->started);
	double up = seconds(connected(s, now));
	uint64_t sum = withheld_sum(&s->withheld);
	double seen = (double)(sum + s->stats.tweets);
	size_t i;

	log_line(LOG_INFO, "coverage: connected %.1f s of %.1f s (%.2f%%)", up,
		 run, percent(up, run));
	for (i = 0; i < SESSION_GAPS && s->longest[i].ms > 0; i++)
		log_gap("coverage: ", s, &s->longest[i]);
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

/* A string as JSON. */
static void put_json(int fd, const char *s)
{
	dprintf(fd, "\"");
	for (; *s != '\0'; s++) {
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
	put_json(fd, r->url.base);
	dprintf(fd, ",\"parameters\":{");
	for (i = 0; i < r->nparams; i++) {
		dprintf(fd, i > 0 ? "," : "");
		put_json(fd, r->params[i].name);
		dprintf(fd, ":");
		put_json(fd, r->params[i].value);
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
		    i > 0 ? "," : "", stamp(s, s->longest[i].start),
		    seconds(s->longest[i].ms), cause_text(s->longest[i].cause));
	dprintf(fd, "]");
}

bool report_write(const struct report *r, int fd, uint64_t now)
{
	const struct session *s = r->session;

	if (ftruncate(fd, 0) < 0 && errno != EINVAL)
		return false;
	dprintf(fd, "{\"program\":\"tstream %s\"", TSTREAM_VERSION);
	put_request(fd, r->request);
	dprintf(fd,
		",\"start\":\"%s\",\"end\":\"%s\",\"run_s\":%.3f,"
		"\"connected_s\":%.3f,\"connects\":%" PRIu64,
		stamp(s, s->started), stamp(s, now), seconds(now - s->started),
		seconds(connected(s, now)), s->stats.connects);
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

void report_live(struct report *r, uint64_t now)
{
	const struct session *s = r->session;
	uint64_t ms = now - r->last_live, run = (now - s->started) / 1000;
	uint64_t more = s->stats.tweets - r->last_tweets;

	r->last_live = now;
	r->last_tweets = s->stats.tweets;
	log_live("%" PRIu64 " tweets, %.1f/s, %" PRIu64 " notices, %" PRIu64
		 ":%02u:%02u%s",
		 s->stats.tweets, ms > 0 ? (double)more * 1000 / (double)ms : 0,
		 s->stats.notices, run / 3600, (unsigned)(run / 60 % 60),
		 (unsigned)(run % 60),
		 s->phase == SESSION_BODY ? "" : ", not connected");
}
