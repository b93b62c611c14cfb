#include "report.h"

#include "coverage.h"
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SKEW 300u        /* seconds that clocks may differ */
#define VALUE_MAX 128u   /* bytes of a header's value */
#define ERRORS_MAX 4096u /* bytes of an object that may tell of errors */

/* A header as it was sent or came, without the credentials. */
static void log_head(const char *mark, const char *p, size_t n)
{
	const char *line;
	char shown[512];
	struct text t;
	size_t size;

	while ((line = request_next_line(&p, &n, &size)) != NULL) {
		text_init(&t, shown, sizeof shown);
		log_foreign(&t, line, size);
		if (size > 0)
			log_line(LOG_DEBUG, "%s %s", mark, shown);
	}
}

void report_proxy(const struct report *r)
{
	log_head(">", r->net->proxy->connect, r->net->proxy->connect_n);
	log_head("<", r->net->answer.bytes, r->net->answer.n);
}

void report_request(const struct report *r)
{
	log_head(">", r->request->head, r->request->head_n);
}

static void put_value(struct text *t, struct http_value v)
{
	log_foreign(t, v.p, v.n < VALUE_MAX ? v.n : VALUE_MAX);
}

/* Once: a 200 that will hardly have messages. */
static void tell_type(const struct http_head *h)
{
	static bool told;
	char type[4 * VALUE_MAX];
	struct text t;

	if (told || !h->other_type)
		return;
	told = true;
	text_init(&t, type, sizeof type);
	put_value(&t, h->field[HTTP_CONTENT_TYPE]);
	log_line(LOG_INFO,
		 "the response is %s, not lines of JSON; this may help: "
		 "-H 'Accept: application/json'",
		 type);
}

void report_opened(const struct report *r)
{
	const struct session *s = r->session;

	log_line(LOG_INFO, "connected to %s (%s%s%s)", r->request->url.host,
		 r->net->peer, r->request->url.tls ? ", TLS 1.2 " : "",
		 r->request->url.tls ? tls_suite(&r->net->tls) : "");
	log_head("<", s->head.bytes, s->head.n);
	tell_type(&s->head);
}

static double seconds(uint64_t ms)
{
	return (double)ms / 1000;
}

void report_resumed(const struct report *r)
{
	coverage_gap(&r->session->gap);
}

void report_bad_line(const struct report *r)
{
	const struct line *line = &r->session->line;
	char beginning[256];
	struct text t;

	/* a web page: that it is one has been told, but for -q */
	if (log_shows(LOG_INFO) && r->session->head.other_type &&
	    r->session->stats.tweets + r->session->stats.notices == 0)
		return;
	text_init(&t, beginning, sizeof beginning);
	log_foreign(&t, line->p, line->n < 120 ? line->n : 120);
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

/* Append what stands in the line at a path of keys, if it has it. */
static void put_found(struct text *t, const struct report *r,
		      const char *before, const char *const *path)
{
	struct json_value v;

	if (!json_find((const char *)r->session->line.p, path, &v))
		return;
	text_str(t, before);
	log_foreign(t, v.p, v.n);
}

void report_warning(const struct report *r, struct moment now)
{
	static const char *const code[] = { "warning", "code", NULL };
	static const char *const full[] = { "warning", "percent_full", NULL };
	static uint64_t last;
	char a[64], b[16];
	struct text t;

	if (last != 0 && now.ms - last < 60000)
		return;
	last = now.ms;
	text_init(&t, a, sizeof a);
	put_found(&t, r, "", code);
	text_init(&t, b, sizeof b);
	put_found(&t, r, "", full);
	log_line(LOG_INFO,
		 "the server warns: %s, its queue for us is %s%% full", a, b);
}

void report_errors(const struct report *r)
{
	static const char *const parts[][3] = {
		{ "errors", "title", NULL },
		{ "errors", "detail", NULL },
		{ "errors", "code", NULL }, /* of v1.1 */
		{ "errors", "message", NULL },
		{ "error", NULL, NULL }, /* of others */
	};
	char said[640];
	struct text t;
	const struct line *line = &r->session->line;
	size_t i;

	/* Most objects are done with here, in streams without tweets too. */
	if (line->n > ERRORS_MAX ||
	    memmem(line->p, line->n, "\"error", 6) == NULL)
		return;
	text_init(&t, said, sizeof said);
	for (i = 0; i < sizeof parts / sizeof parts[0]; i++)
		put_found(&t, r, t.n > 0 ? ": " : "", parts[i]);
	if (t.n > 0)
		log_line(LOG_INFO, "the service says: %s", said);
}

/* The first kilobyte of what the server said. */
static void put_excerpt(struct text *t, const struct session *s)
{
	size_t n = s->excerpt_n;

	while (n > 0 && (unsigned char)s->excerpt[n - 1] <= ' ')
		n--;
	text_str(t, n > 0 ? ": " : "");
	log_foreign(t, s->excerpt, n);
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
	};
	size_t i;

	if (status == 401)
		return credentials[r->auth];
	if ((status == 403 || status == 404 || status == 410) &&
	    strcmp(r->url.host, "stream.twitter.com") == 0)
		return "Twitter has given this endpoint up; X's own is --v2";
	for (i = 0; i < sizeof list / sizeof list[0]; i++)
		if (list[i].status == status)
			return list[i].text;
	if (status < 300)
		return "a success, but no stream";
	return status < 400 ? "redirects are not followed, because of the "
			      "credentials"
			    : "see what the server says";
}

static void put_status(struct text *t, const struct report *r,
		       struct moment now)
{
	const struct session *s = r->session;
	uint64_t here = now.unix_ms / 1000;
	uint64_t there = s->head.date;
	uint64_t skew = here > there ? here - there : there - here;

	log_put(t, "HTTP status %d", s->head.status);
	if (s->head.field[HTTP_LOCATION].n > 0) {
		text_str(t, " to ");
		put_value(t, s->head.field[HTTP_LOCATION]);
	}
	put_excerpt(t, s);
	if (s->verdict == BACKOFF_FATAL)
		log_put(t, " - %s", advice(s->head.status, r->request));
	if (s->head.status == 401 && there != 0 && skew > SKEW)
		log_put(t,
			" - the clock here is %" PRIu64 " seconds %s of the "
			"server's: set it, signatures need it",
			skew, here > there ? "ahead" : "behind");
}

/* A disconnect message: its code, what Twitter's documentation says of it, and
 * the server's own reason. */
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

	log_put(t, "the server sent a disconnect message, code %" PRIu64,
		s->code);
	if (s->code > 0 && s->code < sizeof meaning / sizeof meaning[0])
		log_put(t, " (%s)", meaning[s->code]);
	text_str(t, s->said_n > 0 ? ": " : "");
	log_foreign(t, s->said, s->said_n);
}

/* Why the connection ended, in full. */
static void put_cause(struct text *t, const struct report *r, struct moment now)
{
	const struct session *s = r->session;

	switch (s->cause) {
	case CAUSE_NETWORK:
	case CAUSE_CERTIFICATE:
	case CAUSE_DATES:
	case CAUSE_LOCAL:
	case CAUSE_PROXY:
		text_str(t, r->net->error);
		break;
	case CAUSE_PROTOCOL:
		log_put(t, "the response breaks the protocol: %s%s",
			s->http_error, s->head.refused.n > 0 ? ": " : "");
		put_value(t, s->head.refused);
		break;
	case CAUSE_STATUS:
		put_status(t, r, now);
		break;
	case CAUSE_DISCONNECT:
		put_disconnect(t, s);
		break;
	case CAUSE_TIMEOUT:
		log_put(t, "no response within %" PRIu64 " seconds (%s)",
			s->patience / 1000, net_phase_text(r->net->phase));
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

void report_ended(const struct report *r, struct moment now)
{
	const struct session *s = r->session;
	char why[1800];
	struct text t;

	text_init(&t, why, sizeof why);
	put_cause(&t, r, now);
	if (s->cut > 0) {
		text_str(&t, " (");
		text_u64(&t, s->cut);
		text_str(&t, s->cut == 1 ? " byte" : " bytes");
		text_str(&t, " of a message came and are not written)");
	}
	if (s->resume_refused && s->gap.resumed)
		text_str(&t, " (perhaps what --resume asked for; the next "
			     "request goes without)");
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
