#include "report.h"

#include "coverage.h"

#include <inttypes.h>
#include <string.h>

#define SKEW 300u        /* seconds that clocks may differ */
#define VALUE_MAX 128u   /* bytes of a header's value */
#define BAD_MAX 120u     /* of a bad line */
#define NOTICE_MAX 4096u /* of an object that may tell something */
#define MINUTE 60000u

/* Foreign bytes as a string that may be logged, in a static buffer; at most so
 * many. */
static const char *shown(const void *p, size_t n, size_t most)
{
	static char buf[512];
	struct text t = text_in(buf, sizeof buf);

	log_foreign(&t, p, n < most ? n : most);
	return buf;
}

void report_head(const char *mark, const char *p, size_t n)
{
	const char *line;
	size_t size;

	while ((line = request_next_line(&p, &n, &size)) != NULL)
		if (size > 0)
			log_line(LOG_DEBUG, "%s %s", mark,
				 shown(line, size, SIZE_MAX));
}

static void put_value(struct text *t, const char *before, struct piece v)
{
	if (v.n > 0)
		log_put(t, "%s%s", before, shown(v.p, v.n, VALUE_MAX));
}

static void log_opened(const struct session *s, const struct request *r,
		       const struct net *n)
{
	static bool told;
	struct piece type = s->head.field[HTTP_CONTENT_TYPE];

	log_line(LOG_INFO, "connected to %s (%s%s%s)", r->url.host, n->peer,
		 r->url.tls ? ", TLS 1.2 " : "",
		 r->url.tls ? tls_suite(&n->tls) : "");
	report_head("<", s->head.bytes, s->head.n);
	if (!told && s->head.other_type)
		log_line(LOG_INFO,
			 "the response is %s, not lines of JSON; this may "
			 "help: -H 'Accept: application/json'",
			 shown(type.p, type.n, VALUE_MAX));
	told = told || s->head.other_type;
}

static void log_bad_line(const struct session *s)
{
	static const char bad[] =
	    "malformed line of %" PRIu64 " bytes, not written: %s at byte "
	    "%" PRIu64 ": %s";
	const struct line *line = &s->line;
	bool is_long = line->size > LINE_MAX_SIZE;

	if (log_omits(LOG_ERROR, bad))
		return;
	log_line(LOG_ERROR, bad, line->size,
		 is_long ? "too long" : json_error_text(line->error),
		 is_long ? LINE_MAX_SIZE : line->offset,
		 shown(line->p, line->n, BAD_MAX));
}

/* What the service says of itself: errors, and once a minute a warning. Most
 * objects are done with at once, in streams without tweets too. */
static void log_notice(const struct line *line, struct moment now)
{
	static const struct {
		enum json_class class;
		const char *path[3], *after;
	} parts[] = {
		{ JSON_WARNING, { "warning", "code" }, "" },
		{ JSON_WARNING, { "warning", "percent_full" }, "% full" },
		{ JSON_OTHER, { "errors", "title" }, "" },
		{ JSON_OTHER, { "errors", "detail" }, "" },
		{ JSON_OTHER, { "errors", "code" }, "" }, /* of v1.1 */
		{ JSON_OTHER, { "errors", "message" }, "" },
		{ JSON_OTHER, { "error" }, "" }, /* of others */
	};
	static const char says[] = "the service says: %s";
	static uint64_t next_warning;
	bool warning = line->class == JSON_WARNING;
	struct piece v;
	char said[640];
	struct text t = text_in(said, sizeof said);
	size_t i;

	if (line->n > NOTICE_MAX || (warning && now.ms < next_warning) ||
	    (!warning && memmem(line->p, line->n, "\"error", 6) == NULL))
		return;
	next_warning = warning ? now.ms + MINUTE : next_warning;
	for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (parts[i].class != line->class ||
		    !json_find((const char *)line->p, parts[i].path, &v) ||
		    v.n == 0)
			continue;
		if (t.n == 0 && log_omits(LOG_INFO, says))
			return;
		text_str(&t, t.n > 0 ? ": " : "");
		log_foreign(&t, v.p, v.n);
		text_str(&t, parts[i].after);
	}
	if (t.n > 0)
		log_line(LOG_INFO, says, said);
}

/* What usually helps. */
static const char *advice(int status, const struct request *r)
{
	static const char *const credentials[] = {
		[AUTH_OAUTH1] = "check the four credentials and the clock",
		[AUTH_BEARER] = "check the bearer token",
		[AUTH_BASIC] = "check user and password",
		[AUTH_NONE] = "it wants credentials: see --auth",
	};
	/* a status, or all others of its hundred */
	static const struct {
		int status;
		const char *text;
	} list[] = {
		{ 201, "Created, but that is no stream" },
		{ 202, "Accepted for later, but that is no stream" },
		{ 203, "changed by a proxy on its way, so not what was sent" },
		{ 204, "No Content: there is no stream" },
		{ 205, "Reset Content: there is no stream" },
		{ 206, "Partial Content, but that is no stream" },
		{ 403, "this account may not use this endpoint" },
		{ 404, "there is nothing at this URL; check -u" },
		{ 406, "the server does not accept one of the parameters" },
		{ 410, "this endpoint is gone" },
		{ 413, "a list is longer than this account may use" },
		{ 416, "this account may not use one of the parameters" },
		{ 2, "a success, but no stream" },
		{ 3, "redirects are not followed, because of the credentials" },
	};
	size_t i;

	if (status == 401)
		return credentials[r->auth];
	if ((status == 403 || status == 404 || status == 410) &&
	    strcmp(r->url.host, "stream.twitter.com") == 0)
		return "Twitter has given this endpoint up; X's own is --v2";
	for (i = 0; i < sizeof list / sizeof list[0]; i++)
		if (list[i].status == status || list[i].status == status / 100)
			return list[i].text;
	return "see what the server says";
}

/* What the server said of it, but for white space behind. */
static void put_said(struct text *t, const struct session *s)
{
	size_t n = s->excerpt_n;

	while (n > 0 && (unsigned char)s->excerpt[n - 1] <= ' ')
		n--;
	text_str(t, n > 0 ? ": " : "");
	log_foreign(t, s->excerpt, n);
}

static void put_status(struct text *t, const struct session *s,
		       const struct request *r, struct moment now)
{
	const struct http_head *h = &s->head;
	uint64_t here = now.unix_ms / 1000;
	uint64_t skew = here > h->date ? here - h->date : h->date - here;

	log_put(t, "HTTP status %d", h->status);
	put_value(t, " to ", h->field[HTTP_LOCATION]);
	put_said(t, s);
	if (s->verdict == BACKOFF_FATAL)
		log_put(t, " - %s", advice(h->status, r));
	if (h->status == 401 && h->date != 0 && skew > SKEW)
		log_put(t,
			" - the clock here is %" PRIu64 " seconds %s the "
			"server's%s",
			skew, here > h->date ? "ahead of" : "behind",
			r->auth == AUTH_OAUTH1 ? ": set it, signatures need it"
					       : "");
}

/* A disconnect message's code, what Twitter's documentation says of it, and the
 * server's own reason. */
static void put_disconnect(struct text *t, const struct session *s)
{
	static const char *const meaning[] = {
		NULL,
		"the server shuts down, perhaps to start anew",
		"too many streams of this endpoint at once",
		"closed through a control stream",
		"this client read too slowly",
		"this client seems to have disconnected itself",
		"a token was revoked",
		"the same credentials connected elsewhere",
		"reserved for Twitter itself",
		"all that was asked for was delivered",
		"an internal fault of the server",
		"an internal fault of the server",
		"the server had too much to do and shed load",
	};

	log_put(t, ", code %" PRIu64, s->code);
	if (s->code > 0 && s->code < sizeof meaning / sizeof meaning[0])
		log_put(t, " (%s)", meaning[s->code]);
	put_said(t, s);
}

/* Why the connection ended, in full. */
static void put_cause(struct text *t, const struct session *s,
		      const struct request *r, const struct net *n,
		      struct moment now)
{
	if (s->cause >= CAUSE_NETWORK && s->cause <= CAUSE_PROXY)
		text_str(t, n->error);
	else if (s->cause == CAUSE_STATUS)
		put_status(t, s, r, now);
	else if (s->cause == CAUSE_TIMEOUT)
		log_put(t, "no response within %" PRIu64 " seconds (%s)",
			s->patience / 1000, net_phase_text(n->phase));
	else
		text_str(t, cause_text(s->cause));
	if (s->verdict == BACKOFF_COMPLETE && s->stats.connects == 0) {
		log_put(t, " %s",
			s->head.status > 0 ? "after "
					   : net_phase_text(n->phase));
		if (s->head.status > 0)
			put_status(t, s, r, now);
	}
	if (s->cause == CAUSE_PROTOCOL) {
		log_put(t, ": %s", s->http_error);
		put_value(t, ": ", s->head.refused);
	}
	if (s->cause == CAUSE_DATES) {
		text_str(t, "; the clock here says ");
		log_stamp(t, now.unix_ms);
	}
	if (s->cause == CAUSE_DISCONNECT)
		put_disconnect(t, s);
	if (s->cut > 0)
		log_put(t,
			" (%" PRIu64 " byte%s of a message came and are not "
			"written)",
			s->cut, s->cut == 1 ? "" : "s");
	if (s->resume_refused && s->gap.resumed)
		text_str(t, " (perhaps what --resume asked for; the next "
			    "request goes without)");
}

static char last_why[1800];

const char *report_why(void)
{
	return last_why;
}

/* An attempt is over: why, what the server said, what is done now. */
static void log_ended(const struct session *s, const struct request *r,
		      const struct net *n, struct moment now)
{
	char why[1800];
	struct text t = text_in(why, sizeof why);

	put_cause(&t, s, r, n, now);
	/* the end of the run itself tells less than a failure before it */
	if (s->verdict != BACKOFF_COMPLETE || last_why[0] == '\0')
		memcpy(last_why, why, sizeof why);
	if (n->phase == NET_FAILED && n->tls.error != 0)
		log_line(LOG_DEBUG,
			 "TLS 1.2 was offered with ECDHE and AES-GCM or "
			 "ChaCha20-Poly1305; %zu bytes of handshake came; %zu "
			 "authorities are trusted",
			 n->tls.handshake, n->tls.nanchors);
	if (s->verdict == BACKOFF_COMPLETE)
		log_line(s->cause == CAUSE_DISCONNECT ? LOG_INFO : LOG_DEBUG,
			 "done: %s", why);
	else if (s->verdict == BACKOFF_FATAL)
		log_line(LOG_ERROR, "%s: %s", r->url.host, why);
	else
		log_line(LOG_INFO, "%s: %s; next attempt in %g s", r->url.host,
			 why, (double)s->wait / 1000);
}

void report_event(enum session_event e, const struct session *s,
		  const struct request *r, const struct net *n,
		  struct moment now)
{
	if (e == SESSION_MESSAGE &&
	    (s->line.class == JSON_WARNING || s->line.class == JSON_OTHER))
		log_notice(&s->line, now);
	else if (e == SESSION_OPENED)
		log_opened(s, r, n);
	else if (e == SESSION_RESUMED)
		coverage_gap(LOG_INFO, "", &s->gap);
	else if (e == SESSION_BAD_LINE)
		log_bad_line(s);
	else if (e == SESSION_ENDED)
		log_ended(s, r, n, now);
}
