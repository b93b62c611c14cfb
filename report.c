#include "report.h"

#include "coverage.h"
#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

void report_resumed(const struct report *r)
{
	coverage_gap("", &r->session->gap);
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

void report_warning(const struct report *r, struct moment now)
{
	static const char *const code[] = { "warning", "code", NULL };
	static const char *const full[] = { "warning", "percent_full", NULL };
	static uint64_t last;
	char a[64], b[16];

	if (last != 0 && now.ms - last < 60000)
		return;
	last = now.ms;
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

static void put_status(struct text *t, const struct report *r,
		       struct moment now)
{
	const struct session *s = r->session;
	uint64_t here = now.unix_ms / 1000;
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
static void put_cause(struct text *t, const struct report *r, struct moment now)
{
	const struct session *s = r->session;

	switch (s->cause) {
	case CAUSE_NETWORK:
	case CAUSE_CERTIFICATE:
	case CAUSE_LOCAL:
		text_str(t, r->net->error);
		break;
	case CAUSE_PROTOCOL:
		text_str(t, "the response breaks the protocol: ");
		text_str(t, http_error_text(s->http_error));
		break;
	case CAUSE_STATUS:
		put_status(t, r, now);
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

void report_ended(const struct report *r, struct moment now)
{
	const struct session *s = r->session;
	char why[1800];
	struct text t;

	text_init(&t, why, sizeof why);
	put_cause(&t, r, now);
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
