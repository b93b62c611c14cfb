#include "session.h"

#include "text.h"

#include <string.h>

#define RESET_MAX 86400u         /* seconds; a longer wait is not believed */
#define LEVEL 5000u              /* ms without a pause: all has been read */
#define LAG_LOOKS 8u             /* at tweets' ages, in a millisecond */
#define SNOWFLAKE 1288834974657u /* ms since 1970, where its ids begin */
#define AHEAD 60000u             /* ms that an id may be */
#define BEHIND (365u * 86400u * (uint64_t)1000)

#define ASK BACKOFF_EVENTS /* the policy depends on more than the cause */

/* That it ended, how, what was said, what we wanted: a cause overrules those of
 * a lower rank, since it tells more. */
enum { ENDED = 1, HOW, SAID, WANTED };

/* All about the causes. reads_on: what has been received is still taken; else
 * it was not asked for, or cannot be told apart any more. */
static const struct {
	int rank;
	bool reads_on;
	enum backoff_event policy; /* ENDED is for streams; else NETWORK */
	const char *text;
} causes[CAUSES] = {
	[CAUSE_NONE] = { 0, false, BACKOFF_NETWORK, "nothing" },
	[CAUSE_NETWORK] = { ENDED, true, BACKOFF_ENDED, "the network failed" },
	[CAUSE_CERTIFICATE] = { HOW, false, ASK,
				"the certificate is not acceptable" },
	[CAUSE_DATES] = { HOW, false, ASK,
			  "the certificate is expired or not yet valid" },
	[CAUSE_LOCAL] = { HOW, false, BACKOFF_FATAL, "this end cannot go on" },
	[CAUSE_PROXY] = { HOW, false, ASK, "the proxy refused" },
	[CAUSE_NO_RESPONSE] = { ENDED, true, BACKOFF_NETWORK,
				"the server closed the connection without a "
				"response" },
	[CAUSE_TIMEOUT] = { HOW, false, BACKOFF_NETWORK,
			    "no response in time" },
	[CAUSE_PROTOCOL] = { ENDED, false, BACKOFF_ENDED,
			     "the response breaks the protocol" },
	[CAUSE_STATUS] = { HOW, false, ASK, "the server refused" },
	[CAUSE_EOF] = { ENDED, true, BACKOFF_ENDED,
			"the server ended the stream" },
	[CAUSE_CUT] = { ENDED, true, BACKOFF_ENDED, "the stream was cut" },
	[CAUSE_STALL] = { HOW, false, BACKOFF_NETWORK, "the stream stalled" },
	[CAUSE_DISCONNECT] = { SAID, false, ASK,
			       "the server sent a disconnect message" },
	[CAUSE_LIMIT_LINE] = { SAID, false, BACKOFF_LIMITED,
			       "too many connections for this user" },
	[CAUSE_UPSTREAM] = { SAID, false, BACKOFF_ENDED,
			     "the service disconnected the stream" },
	[CAUSE_COUNT] = { WANTED, false, BACKOFF_COMPLETE,
			  "the wanted number of tweets is there" },
	[CAUSE_DURATION] = { WANTED, true, BACKOFF_COMPLETE,
			     "the wanted time is over" },
	[CAUSE_STOPPED] = { WANTED, true, BACKOFF_COMPLETE, "stopped" },
};

const char *cause_text(enum cause c)
{
	return causes[c].text;
}

void session_init(struct session *s, const struct session_config *config,
		  struct moment now)
{
	s->config = *config;
	s->started = s->due = now.ms;
	s->started_unix_ms = now.unix_ms;
	s->phase = SESSION_WAIT;
}

static uint64_t run_until(const struct session *s)
{
	return s->config.duration == 0 ? UINT64_MAX
				       : s->started + s->config.duration;
}

/* When this phase has lasted too long. */
static uint64_t phase_until(const struct session *s)
{
	if (s->phase != SESSION_BODY)
		return s->due;
	return s->config.stall == 0 || s->paused ? UINT64_MAX
						 : s->alive + s->config.stall;
}

uint64_t session_deadline(const struct session *s)
{
	uint64_t a = run_until(s), b = phase_until(s);

	if (s->phase == SESSION_OVER || s->ending)
		return UINT64_MAX;
	return a < b ? a : b;
}

void session_end(struct session *s, enum cause cause)
{
	bool lost = causes[cause].rank == ENDED;

	if (lost && s->phase == SESSION_REFUSED)
		cause = CAUSE_STATUS; /* the rest of its body is not needed */
	else if (cause == CAUSE_EOF && s->phase == SESSION_HEAD)
		cause = CAUSE_NO_RESPONSE;
	if (s->phase == SESSION_OVER ||
	    (s->ending && causes[cause].rank <= causes[s->cause].rank))
		return;
	s->ending = true;
	s->cause = cause;
}

const char *session_resume(struct session *s, struct moment now)
{
	const char *value =
	    s->resume_refused
		? NULL
		: resume_value(s->config.resume, now.ms - s->gap.start);

	s->gap.resumed = value != NULL;
	return value;
}

/* Was it perhaps what we asked for that the server refused? */
static bool refuses_resume(const struct session *s)
{
	return s->cause == CAUSE_STATUS && s->in_gap && s->gap.resumed &&
	       (s->head.status == 400 || s->head.status == 403);
}

/* What the policy is to make of the end. */
static enum backoff_event judge(const struct session *s, struct moment now)
{
	enum backoff_event e = causes[s->cause].policy;

	if (e == BACKOFF_ENDED && s->phase != SESSION_BODY)
		return BACKOFF_NETWORK;
	if (e != ASK)
		return e;
	if (s->cause == CAUSE_STATUS)
		return refuses_resume(s) ? BACKOFF_NETWORK
					 : backoff_status(s->head.status);
	if (s->cause == CAUSE_PROXY)
		return s->ever_opened ? BACKOFF_NETWORK : BACKOFF_FATAL;
	if (s->cause == CAUSE_DISCONNECT)
		return backoff_disconnect(s->code);
	return backoff_certificate(s->ever_opened, s->cause == CAUSE_DATES,
				   now.unix_ms / 1000);
}

/* A gap begins with the last byte that came, or with the pause behind which the
 * stream may have ended long ago. */
static void begin_gap(struct session *s, struct moment now)
{
	if (s->phase != SESSION_BODY || s->in_gap)
		return;
	s->in_gap = true;
	memset(&s->gap, 0, sizeof s->gap);
	s->gap.upper_bound = s->behind && s->behind_since < s->last_byte;
	s->gap.start = s->gap.upper_bound ? s->behind_since : s->last_byte;
	s->gap.start_unix_ms = now.unix_ms - (now.ms - s->gap.start);
	s->gap.cause = s->cause;
}

static void end_gap(struct session *s, struct moment now)
{
	size_t i = 0;

	s->gap.ms = now.ms - s->gap.start;
	s->in_gap = false;
	s->gaps++;
	s->gap_ms += s->gap.ms;
	while (i < SESSION_GAPS && s->longest[i].cause != CAUSE_NONE &&
	       s->longest[i].ms >= s->gap.ms)
		i++;
	if (i == SESSION_GAPS)
		return;
	memmove(s->longest + i + 1, s->longest + i,
		(SESSION_GAPS - 1 - i) * sizeof s->gap);
	s->longest[i] = s->gap;
}

struct session_coverage session_covers(const struct session *s,
				       struct moment now)
{
	uint64_t end = s->phase == SESSION_OVER ? s->over : now.ms;
	struct session_coverage c = { .gaps = s->gaps, .gap_ms = s->gap_ms };

	if (s->in_gap) {
		c.open = s->gap;
		c.open.ms = now.ms - c.open.start;
		c.gaps++;
		c.gap_ms += c.open.ms;
	}
	c.run = end - s->started;
	c.before = (s->ever_opened ? s->first : end) - s->started;
	c.covered = c.run - c.before - c.gap_ms;
	return c;
}

/* Seconds from now until a time that the server named: by its own clock, which
 * its Date tells, else by ours. */
static uint64_t until(const struct session *s, struct moment now, uint64_t time)
{
	uint64_t here = s->head.date != 0 ? s->head.date : now.unix_ms / 1000;

	return time > here ? time - here : 0;
}

/* v2 has a 429 for requests made too often: it says when they may go on. Such
 * a wait is no backoff, but where it comes again it is at least one. */
static uint64_t wait_for_reset(struct session *s, struct moment now)
{
	uint64_t seconds = until(s, now, s->head.limit_reset);
	bool again = s->was_reset;
	uint64_t wait;

	s->was_reset = s->config.v2 && s->cause == CAUSE_STATUS &&
		       s->head.status == 429 && s->head.limit_spent &&
		       seconds > 0 && seconds <= RESET_MAX;
	if (s->was_reset && !again)
		return seconds * 1000;
	wait = backoff_next(&s->backoff, s->verdict, now.ms);
	return s->was_reset && seconds * 1000 > wait ? seconds * 1000 : wait;
}

static uint64_t next_wait(struct session *s, struct moment now)
{
	uint64_t wait = wait_for_reset(s, now);
	uint64_t told = until(s, now, s->head.retry_at);
	int status = s->cause == CAUSE_STATUS ? s->head.status : 0;

	if (s->head.retry_after > told)
		told = s->head.retry_after;
	return status == 420 || status == 429 || status == 503
		   ? backoff_retry_after(wait, told)
		   : wait;
}

static enum session_event finish(struct session *s, struct moment now)
{
	s->ending = false;
	if (s->cause == CAUSE_EOF && s->phase == SESSION_BODY &&
	    !http_body_may_end(&s->body))
		s->cause = CAUSE_CUT;
	s->resume_refused = refuses_resume(s) ||
			    (s->resume_refused && s->phase != SESSION_BODY);
	s->verdict = judge(s, now);
	s->wait = next_wait(s, now);
	s->due = now.ms + s->wait;
	if (s->verdict != BACKOFF_COMPLETE)
		begin_gap(s, now);
	if (s->verdict == BACKOFF_FATAL || s->verdict == BACKOFF_COMPLETE) {
		if (s->in_gap)
			end_gap(s, now);
		s->phase = SESSION_OVER;
		s->over = now.ms;
	} else {
		s->phase = SESSION_WAIT;
	}
	return SESSION_ENDED;
}

/* A part of an attempt, which has so many ms, or UINT64_MAX. */
static void begin_phase(struct session *s, enum session_phase phase,
			uint64_t ms, struct moment now)
{
	s->phase = phase;
	s->patience = ms;
	s->due = ms == UINT64_MAX ? ms : now.ms + ms;
}

enum session_event session_tick(struct session *s, struct moment now)
{
	if (s->phase == SESSION_OVER || s->ending)
		return SESSION_MORE;
	if (now.ms >= run_until(s)) {
		session_end(s, CAUSE_DURATION);
	} else if (now.ms >= phase_until(s)) {
		if (s->phase == SESSION_WAIT) {
			begin_phase(s, SESSION_CONNECT, SESSION_ATTEMPT, now);
			s->cut = 0;
			return SESSION_DIAL;
		}
		session_end(s, s->phase == SESSION_BODY      ? CAUSE_STALL
			       : s->phase == SESSION_REFUSED ? CAUSE_STATUS
							     : CAUSE_TIMEOUT);
	}
	return SESSION_MORE;
}

void session_connected(struct session *s, struct moment now)
{
	uint64_t stall = s->config.stall;

	begin_phase(s, SESSION_HEAD,
		    stall == 0                ? UINT64_MAX
		    : stall < SESSION_ATTEMPT ? SESSION_ATTEMPT
					      : stall,
		    now);
	s->excerpt_n = 0;
	http_head_init(&s->head);
}

void session_pause(struct session *s, bool paused, struct moment now)
{
	if (s->paused && !paused)
		s->alive = s->pause_end = now.ms;
	if (paused && !s->behind)
		s->behind_since = now.ms;
	s->behind = s->behind || paused;
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
	begin_phase(s, SESSION_REFUSED, SESSION_ATTEMPT, now);
	if (s->head.status != 200)
		return SESSION_MORE;
	s->phase = SESSION_BODY;
	if (!s->ever_opened)
		s->first = now.ms;
	s->ever_opened = true;
	s->last_byte = s->alive = now.ms;
	s->behind = s->was_reset = false;
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

	if (s->head.field[HTTP_CONTENT_ENCODING].p == NULL) {
		memcpy(s->excerpt + s->excerpt_n, data->p, n);
		s->excerpt_n += n;
	}
	if (n == room)
		session_end(s, CAUSE_STATUS);
}

static bool find(const struct session *s, const char *const *path,
		 struct json_value *v)
{
	return json_find((const char *)s->line.p, path, v);
}

static void take_limit(struct session *s)
{
	static const char *const path[] = { "limit", "track", NULL };
	struct json_value v;
	uint64_t track;

	if (find(s, path, &v) && text_to_u64(v.p, v.n, UINT64_MAX, &track))
		withheld_notice(&s->withheld, track);
}

static void take_disconnect(struct session *s)
{
	static const char *const code[] = { "disconnect", "code", NULL };
	static const char *const reason[] = { "disconnect", "reason", NULL };
	struct json_value v;

	s->code = 0;
	s->said_n = 0;
	if (find(s, code, &v))
		text_to_u64(v.p, v.n, UINT64_MAX, &s->code);
	if (find(s, reason, &v)) {
		s->said_n = v.n < sizeof s->said ? v.n : sizeof s->said;
		memcpy(s->said, v.p, s->said_n);
	}
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

	if (!find(s, path, &type) && !find(s, path + 1, &type))
		return;
	if (ends_with(type, "/operational-disconnect"))
		session_end(s, CAUSE_UPSTREAM);
	else if (ends_with(type, "/streaming-connection"))
		session_end(s, CAUSE_LIMIT_LINE);
}

/* How old the tweet was when it came, from the time that its id holds. Of many
 * at once only the first are asked: json_find reads the line again. */
static void take_lag(struct session *s, struct moment now)
{
	static const char *const path[] = { "data", "id", NULL };
	const char *const *from = path + (s->config.v2 ? 0 : 1);
	struct json_value v;
	uint64_t id, made;

	s->looks = now.ms == s->looked_at ? s->looks + 1 : 0;
	s->looked_at = now.ms;
	if (s->looks >= LAG_LOOKS)
		return;
	s->has_lag =
	    find(s, from, &v) && text_to_u64(v.p, v.n, UINT64_MAX, &id);
	made = s->has_lag ? (id >> 22) + SNOWFLAKE : 0;
	s->has_lag = s->has_lag && made <= now.unix_ms + AHEAD &&
		     made + BEHIND >= now.unix_ms;
	s->lag = s->has_lag && made < now.unix_ms ? now.unix_ms - made : 0;
	s->max_lag = s->lag > s->max_lag ? s->lag : s->max_lag;
	s->ever_lag = s->ever_lag || s->has_lag;
}

/* What a notice means beside being handed on. */
static void take_meaning(struct session *s)
{
	if (s->line.class == JSON_LIMIT)
		take_limit(s);
	else if (s->line.class == JSON_DISCONNECT)
		take_disconnect(s);
	else if (s->line.class == JSON_OTHER && s->config.v2)
		take_errors(s);
}

static enum session_event take_message(struct session *s, struct moment now)
{
	if (s->config.resume != NULL)
		resume_take(s->config.resume, (const char *)s->line.p);
	if (s->line.class == JSON_TWEET) {
		take_lag(s, now);
		s->stats.tweets++;
		if (s->stats.tweets == s->config.count)
			session_end(s, CAUSE_COUNT);
		return SESSION_MESSAGE;
	}
	s->stats.notices++;
	s->stats.deletes += s->line.class == JSON_DELETE;
	take_meaning(s);
	return SESSION_MESSAGE;
}

static enum session_event take_line(struct session *s, struct moment now,
				    enum lines_event e)
{
	static const char limit[] = "Exceeded connection limit for user";

	switch (e) {
	case LINES_MORE:
		break;
	case LINES_KEEPALIVE:
		s->stats.keepalives++;
		break;
	case LINES_MESSAGE:
		return take_message(s, now);
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

/* The body is over: what is left of it. Of a line that was cut only the meaning
 * counts, if all of that came. */
static enum session_event take_rest(struct session *s, struct moment now)
{
	bool proper = s->cause == CAUSE_EOF && http_body_may_end(&s->body);
	enum lines_event e = lines_end(&s->lines, true, &s->line);

	if (e == LINES_MESSAGE && !proper) {
		if (s->line.class != JSON_LIMIT)
			take_meaning(s);
		e = LINES_MORE;
	}
	s->cut = e == LINES_MORE ? s->line.size : 0;
	return take_line(s, now, e);
}

/* Decoded bytes of the stream. */
static enum session_event read_stream(struct session *s, struct moment now,
				      const struct http_data *data,
				      size_t *used)
{
	enum lines_event e;
	size_t k;

	s->last_byte = s->alive = now.ms;
	if (s->behind && now.ms - s->pause_end >= LEVEL)
		s->behind = false;
	if (s->in_gap) {
		end_gap(s, now);
		return SESSION_RESUMED;
	}
	e = lines_next(&s->lines, data->p, data->n, &k, &s->line);
	http_body_take(&s->body, k);
	*used += k;
	s->stats.bytes += k;
	return take_line(s, now, e);
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
		session_end(s, CAUSE_EOF);
		*used = n; /* what follows a body was not asked for */
		return SESSION_MORE;
	case HTTP_ERROR:
		s->http_error = data.error;
		s->head.refused = data.refused;
		session_end(s, CAUSE_PROTOCOL);
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
	bool stop = s->ending && !causes[s->cause].reads_on;
	bool last = s->ending && (stop || n == 0);
	enum session_event e = SESSION_MORE;

	*used = 0;
	if (s->phase == SESSION_BODY && !stop && lines_pending(&s->lines))
		e = take_line(s, now,
			      lines_next(&s->lines, in, 0, used, &s->line));
	else if (s->phase == SESSION_BODY && last && !lines_pending(&s->lines))
		e = take_rest(s, now);
	if (e != SESSION_MORE)
		return e;
	if (last)
		return finish(s, now);
	if (s->phase == SESSION_HEAD)
		return read_head(s, now, in, n, used);
	if (s->phase == SESSION_REFUSED || s->phase == SESSION_BODY)
		return read_body(s, now, in, n, used);
	*used = n;
	return SESSION_MORE;
}
