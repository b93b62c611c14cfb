#include "session.h"

#include "text.h"

#include <string.h>

#define RESET_MAX 86400u /* seconds; a longer wait is not believed */

const char *cause_text(enum cause c)
{
	static const char *const text[CAUSES] = {
		[CAUSE_NONE] = "nothing",
		[CAUSE_NETWORK] = "the network failed",
		[CAUSE_CERTIFICATE] = "the certificate is not acceptable",
		[CAUSE_NO_RESPONSE] =
		    "the server closed the connection without a response",
		[CAUSE_TIMEOUT] = "no response within 30 seconds",
		[CAUSE_PROTOCOL] = "the response breaks the protocol",
		[CAUSE_STATUS] = "the server refused",
		[CAUSE_EOF] = "the server ended the stream",
		[CAUSE_CUT] = "the stream was cut",
		[CAUSE_STALL] = "the stream stalled",
		[CAUSE_DISCONNECT] = "the server sent a disconnect message",
		[CAUSE_LIMIT_LINE] = "too many connections for this user",
		[CAUSE_UPSTREAM] = "the service disconnected the stream",
		[CAUSE_COUNT] = "the wanted number of tweets is there",
		[CAUSE_DURATION] = "the wanted time is over",
		[CAUSE_STOPPED] = "stopped",
	};

	return text[c];
}

void session_init(struct session *s, const struct session_config *config,
		  struct moment now)
{
	s->config = *config;
	s->started = s->due = now.ms;
	s->started_unix_ms = now.unix_ms;
	s->phase = SESSION_WAIT;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t run_until(const struct session *s)
{
	return s->config.duration == 0 ? UINT64_MAX
				       : s->started + s->config.duration;
}

static uint64_t stalled_at(const struct session *s)
{
	return s->config.stall == 0 || s->paused
		   ? UINT64_MAX
		   : s->last_byte + s->config.stall;
}

uint64_t session_deadline(const struct session *s)
{
	uint64_t until = run_until(s);

	if (s->phase == SESSION_OVER || s->ending)
		return UINT64_MAX;
	return earlier(until,
		       s->phase == SESSION_BODY ? stalled_at(s) : s->due);
}

void session_end(struct session *s, enum cause cause)
{
	bool lost = cause == CAUSE_EOF || cause == CAUSE_NETWORK;

	if (s->ending || s->phase == SESSION_OVER)
		return;
	s->ending = true;
	s->cause = cause;
	if (lost && s->phase == SESSION_ERROR)
		s->cause = CAUSE_STATUS; /* its body is not needed */
	else if (cause == CAUSE_EOF && s->phase == SESSION_HEAD)
		s->cause = CAUSE_NO_RESPONSE;
}

/* Some ends forbid to read on: what follows was not asked for, or cannot be
 * told apart any more. */
static bool reads_on(const struct session *s)
{
	return s->cause == CAUSE_EOF || s->cause == CAUSE_NETWORK ||
	       s->cause == CAUSE_STOPPED || s->cause == CAUSE_DURATION;
}

/* What the policy is to make of the end. */
static enum backoff_event judge(const struct session *s)
{
	bool had_stream = s->phase == SESSION_BODY;

	switch (s->cause) {
	case CAUSE_NETWORK:
	case CAUSE_PROTOCOL:
	case CAUSE_EOF:
	case CAUSE_CUT:
	case CAUSE_UPSTREAM:
		return had_stream ? BACKOFF_ENDED : BACKOFF_NETWORK;
	case CAUSE_CERTIFICATE:
		return s->ever_opened ? BACKOFF_SERVER : BACKOFF_FATAL;
	case CAUSE_STATUS:
		return backoff_status(s->head.status);
	case CAUSE_DISCONNECT:
		return backoff_disconnect(s->code);
	case CAUSE_LIMIT_LINE:
		return BACKOFF_LIMITED;
	case CAUSE_COUNT:
	case CAUSE_DURATION:
	case CAUSE_STOPPED:
		return BACKOFF_COMPLETE;
	case CAUSE_NO_RESPONSE:
	case CAUSE_TIMEOUT:
	case CAUSE_STALL:
	case CAUSE_NONE:
	case CAUSES:
		break;
	}
	return BACKOFF_NETWORK;
}

/* A gap begins with the last byte that came. */
static void begin_gap(struct session *s, struct moment now)
{
	if (s->phase != SESSION_BODY || s->in_gap)
		return;
	s->in_gap = true;
	s->gap.start = s->last_byte;
	s->gap.start_unix_ms = now.unix_ms - (now.ms - s->last_byte);
	s->gap.cause = s->cause;
}

static void end_gap(struct session *s, struct moment now)
{
	size_t i = 0;

	s->in_gap = false;
	s->gap.ms = now.ms - s->gap.start;
	s->stats.gaps++;
	s->stats.gap_ms += s->gap.ms;
	while (i < SESSION_GAPS && s->longest[i].ms >= s->gap.ms)
		i++;
	if (i == SESSION_GAPS)
		return;
	memmove(s->longest + i + 1, s->longest + i,
		(SESSION_GAPS - 1 - i) * sizeof s->gap);
	s->longest[i] = s->gap;
}

/* v2 has a 429 for requests made too often: it says when they may go on. Such
 * a wait is no backoff. Returns ms, or 0 where the policy decides. */
static uint64_t wait_for_reset(const struct session *s, struct moment now)
{
	uint64_t unix_now = now.unix_ms / 1000;
	uint64_t reset = s->head.limit_reset;

	if (!s->config.v2 || s->cause != CAUSE_STATUS ||
	    s->head.status != 429 || !s->head.limit_spent ||
	    reset <= unix_now || reset - unix_now > RESET_MAX)
		return 0;
	return (reset - unix_now) * 1000;
}

static enum session_event finish(struct session *s, struct moment now)
{
	bool asked = s->cause == CAUSE_STATUS && s->head.status != 0;

	s->ending = false;
	if (s->cause == CAUSE_EOF && s->phase == SESSION_BODY &&
	    !http_body_may_end(&s->body))
		s->cause = CAUSE_CUT;
	s->verdict = judge(s);
	s->wait = wait_for_reset(s, now);
	if (s->wait == 0)
		s->wait = backoff_next(&s->backoff, s->verdict, now.ms);
	if (asked && (s->head.status == 420 || s->head.status == 429 ||
		      s->head.status == 503))
		s->wait = backoff_retry_after(s->wait, s->head.retry_after);
	if (s->phase == SESSION_BODY)
		s->stats.connected_ms += now.ms - s->opened;
	s->due = now.ms + s->wait;
	if (s->verdict == BACKOFF_FATAL || s->verdict == BACKOFF_COMPLETE) {
		s->phase = SESSION_OVER;
		if (s->in_gap)
			end_gap(s, now);
	} else {
		begin_gap(s, now);
		s->phase = SESSION_WAIT;
	}
	return SESSION_ENDED;
}

enum session_event session_tick(struct session *s, struct moment now)
{
	if (s->phase == SESSION_OVER || s->ending)
		return SESSION_MORE;
	if (now.ms >= run_until(s)) {
		session_end(s, CAUSE_DURATION);
	} else if (s->phase == SESSION_BODY) {
		if (now.ms >= stalled_at(s))
			session_end(s, CAUSE_STALL);
	} else if (now.ms >= s->due) {
		if (s->phase == SESSION_WAIT) {
			s->phase = SESSION_CONNECT;
			s->due = now.ms + SESSION_ATTEMPT;
			return SESSION_DIAL;
		}
		session_end(s, s->phase == SESSION_ERROR ? CAUSE_STATUS
							 : CAUSE_TIMEOUT);
	}
	return SESSION_MORE;
}

void session_connected(struct session *s)
{
	s->phase = SESSION_HEAD;
	s->excerpt_n = 0;
	http_head_init(&s->head);
}

void session_pause(struct session *s, bool paused, struct moment now)
{
	if (s->paused && !paused)
		s->last_byte = now.ms;
	s->paused = paused;
}

static enum session_event read_head(struct session *s, struct moment now,
				    const unsigned char *in, size_t n,
				    size_t *used)
{
	enum http_event e =
	    http_head_next(&s->head, in, n, used, &s->http_error);

	if (e == HTTP_ERROR)
		session_end(s, CAUSE_PROTOCOL);
	if (e != HTTP_DONE)
		return SESSION_MORE;
	http_body_init(&s->body, &s->head);
	s->phase = SESSION_ERROR;
	if (s->head.status != 200)
		return SESSION_MORE;
	s->phase = SESSION_BODY;
	s->ever_opened = true;
	s->opened = s->last_byte = now.ms;
	s->stats.connects++;
	lines_init(&s->lines, s->config.tweet_key);
	withheld_connect(&s->withheld);
	backoff_next(&s->backoff, BACKOFF_OPENED, now.ms);
	return SESSION_OPENED;
}

/* The first kilobyte of an error's body, where the server explains itself. */
static void read_excerpt(struct session *s, const struct http_data *data)
{
	size_t room = sizeof s->excerpt - s->excerpt_n;
	size_t n = data->n < room ? data->n : room;

	if (!s->head.encoded)
		memcpy(s->excerpt + s->excerpt_n, data->p, n);
	s->excerpt_n += s->head.encoded ? 0 : n;
	if (n == room)
		session_end(s, CAUSE_STATUS);
}

static void take_limit(struct session *s)
{
	static const char *const path[] = { "limit", "track", NULL };
	struct json_value v;
	uint64_t track;

	if (json_find((const char *)s->line.p, path, &v) &&
	    text_to_u64(v.p, v.n, UINT64_MAX, &track))
		withheld_notice(&s->withheld, track);
}

static void take_disconnect(struct session *s)
{
	static const char *const path[] = { "disconnect", "code", NULL };
	struct json_value v;

	s->code = 0;
	if (json_find((const char *)s->line.p, path, &v))
		text_to_u64(v.p, v.n, UINT64_MAX, &s->code);
	session_end(s, CAUSE_DISCONNECT);
}

static bool ends_with(struct json_value v, const char *end)
{
	size_t n = strlen(end);

	return v.n >= n && memcmp(v.p + v.n - n, end, n) == 0;
}

/* An errors object of v2. Its type's end is what X has not renamed. */
static void take_errors(struct session *s)
{
	static const char *const path[] = { "errors", "type", NULL };
	struct json_value type;

	if (!json_find((const char *)s->line.p, path, &type) &&
	    !json_find((const char *)s->line.p, path + 1, &type))
		return;
	if (ends_with(type, "/operational-disconnect"))
		session_end(s, CAUSE_UPSTREAM);
	else if (ends_with(type, "/streaming-connection"))
		session_end(s, CAUSE_LIMIT_LINE);
}

static enum session_event take_message(struct session *s)
{
	if (s->line.class == JSON_TWEET) {
		s->stats.tweets++;
		if (s->stats.tweets == s->config.count)
			session_end(s, CAUSE_COUNT);
		return SESSION_MESSAGE;
	}
	s->stats.notices++;
	if (s->line.class == JSON_LIMIT)
		take_limit(s);
	else if (s->line.class == JSON_DISCONNECT)
		take_disconnect(s);
	else if (s->line.class == JSON_OTHER && s->config.v2)
		take_errors(s);
	return SESSION_MESSAGE;
}

static enum session_event take_line(struct session *s, enum lines_event e)
{
	static const char limit[] = "Exceeded connection limit for user";

	switch (e) {
	case LINES_MORE:
		break;
	case LINES_KEEPALIVE:
		s->stats.keepalives++;
		break;
	case LINES_MESSAGE:
		return take_message(s);
	case LINES_MALFORMED:
		if (s->line.n >= sizeof limit - 1 &&
		    memcmp(s->line.p, limit, sizeof limit - 1) == 0)
			session_end(s, CAUSE_LIMIT_LINE);
		s->stats.malformed++;
		return SESSION_BAD_LINE;
	case LINES_TOO_LONG:
		s->stats.malformed++;
		return SESSION_BAD_LINE;
	}
	return SESSION_MORE;
}

/* Decoded bytes of the stream. */
static enum session_event read_stream(struct session *s, struct moment now,
				      const struct http_data *data,
				      size_t *used)
{
	enum lines_event e;
	size_t k;

	s->last_byte = now.ms;
	if (s->in_gap) {
		end_gap(s, now);
		return SESSION_RESUMED;
	}
	e = lines_next(&s->lines, data->p, data->n, &k, &s->line);
	http_body_take(&s->body, k);
	*used += k;
	s->stats.bytes += k;
	return take_line(s, e);
}

static enum session_event read_body(struct session *s, struct moment now,
				    const unsigned char *in, size_t n,
				    size_t *used)
{
	struct http_data data;

	switch (http_body_next(&s->body, in, n, used, &data)) {
	case HTTP_MORE:
		return SESSION_MORE;
	case HTTP_DONE:
		session_end(s, s->phase == SESSION_BODY ? CAUSE_EOF
							: CAUSE_STATUS);
		*used = n; /* what follows a body was not asked for */
		return SESSION_MORE;
	case HTTP_ERROR:
		s->http_error = data.error;
		session_end(s, s->phase == SESSION_BODY ? CAUSE_PROTOCOL
							: CAUSE_STATUS);
		return SESSION_MORE;
	case HTTP_DATA:
		break;
	}
	if (s->phase == SESSION_BODY)
		return read_stream(s, now, &data, used);
	read_excerpt(s, &data);
	http_body_take(&s->body, data.n);
	*used += data.n;
	return SESSION_MORE;
}

enum session_event session_next(struct session *s, struct moment now,
				const unsigned char *in, size_t n, size_t *used)
{
	bool stop = s->ending && !reads_on(s);
	enum session_event e = SESSION_MORE;

	*used = 0;
	if (s->phase == SESSION_BODY && !stop && lines_pending(&s->lines))
		e = take_line(s, lines_next(&s->lines, in, 0, used, &s->line));
	else if (s->phase == SESSION_BODY && !stop && s->ending && n == 0)
		e = take_line(
		    s, lines_end(&s->lines, s->cause == CAUSE_EOF, &s->line));
	if (e != SESSION_MORE)
		return e;
	if (stop || (s->ending && n == 0))
		return finish(s, now);
	if (s->phase == SESSION_HEAD)
		return read_head(s, now, in, n, used);
	if (s->phase == SESSION_ERROR || s->phase == SESSION_BODY)
		return read_body(s, now, in, n, used);
	*used = n;
	return SESSION_MORE;
}
