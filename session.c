#include "session.h"

#include "text.h"

#include <string.h>

#define RESET_MAX 86400u         /* seconds; a longer wait is not believed */
#define RETRY_AFTER_MAX 900u     /* seconds */
#define RELEASED 1795564800000u  /* ms since 1970: 2026-11-25, this version */
#define LEVEL 5000u              /* ms without a pause: all has been read */
#define LAG_LOOKS 8u             /* at tweets' ages, in a millisecond */
#define SNOWFLAKE 1288834974657u /* ms since 1970, where its ids begin */
#define AHEAD 60000u             /* ms that an id may be */
#define BEHIND (365u * 86400u * (uint64_t)1000)

#define ASK BACKOFF_EVENTS /* the policy depends on more than the cause */

/* That it ended, how, what was said, that we wanted it, or no more than there
 * is: a cause overrules those of a lower rank, since it tells more. */
enum { ENDED = 1, HOW, SAID, WANTED, ENOUGH };

/* The policy ENDED is for streams; else it is NETWORK. */
static const struct {
	int rank;
	enum backoff_event policy;
	const char *text;
} causes[CAUSES] = {
	[CAUSE_NONE] = { 0, BACKOFF_NETWORK, "nothing" },
	[CAUSE_NETWORK] = { ENDED, BACKOFF_ENDED, "the network failed" },
	[CAUSE_CERTIFICATE] = { HOW, ASK, "the certificate is not acceptable" },
	[CAUSE_DATES] = { HOW, ASK, "the certificate's dates do not fit" },
	[CAUSE_LOCAL] = { HOW, BACKOFF_FATAL, "this end cannot go on" },
	[CAUSE_PROXY] = { HOW, ASK, "the proxy refused" },
	[CAUSE_NO_RESPONSE] = { ENDED, BACKOFF_ENDED, "there was no response" },
	[CAUSE_TIMEOUT] = { HOW, BACKOFF_NETWORK, "no response in time" },
	[CAUSE_PROTOCOL] = { HOW, BACKOFF_ENDED,
			     "the response breaks the protocol" },
	[CAUSE_STATUS] = { HOW, ASK, "the server refused" },
	[CAUSE_EOF] = { ENDED, BACKOFF_ENDED, "the server ended the stream" },
	[CAUSE_CUT] = { ENDED, BACKOFF_ENDED, "the stream was cut" },
	[CAUSE_STALL] = { HOW, BACKOFF_NETWORK, "the stream stalled" },
	[CAUSE_DISCONNECT] = { SAID, ASK, "a disconnect message came" },
	[CAUSE_LIMIT_LINE] = { SAID, BACKOFF_LIMITED, "too many connections" },
	[CAUSE_UPSTREAM] = { SAID, BACKOFF_ENDED, "the service hung up" },
	[CAUSE_COUNT] = { ENOUGH, BACKOFF_COMPLETE,
			  "the wanted number of tweets is there" },
	[CAUSE_DURATION] = { WANTED, BACKOFF_COMPLETE, "the time is over" },
	[CAUSE_STOPPED] = { WANTED, BACKOFF_COMPLETE, "stopped" },
};

const char *cause_text(enum cause c)
{
	return causes[c].text;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t plus(struct moment now, uint64_t ms)
{
	return ms < UINT64_MAX - now.ms ? now.ms + ms : UINT64_MAX;
}

static void begin_phase(struct session *s, enum session_phase phase,
			uint64_t ms, struct moment now)
{
	s->phase = phase;
	s->patience = ms;
	s->due = plus(now, ms);
}

void session_init(struct session *s, const struct session_config *config,
		  struct moment now)
{
	s->config = *config;
	if (s->config.stall == 0)
		s->config.stall = UINT64_MAX;
	s->started = now.ms;
	s->started_unix_ms = now.unix_ms;
	s->until =
	    plus(now, config->duration > 0 ? config->duration : UINT64_MAX);
	s->lag = s->max_lag = -1;
	begin_phase(s, SESSION_WAIT, 0, now);
}

uint64_t session_deadline(const struct session *s)
{
	if (s->phase == SESSION_OVER || s->ending)
		return UINT64_MAX;
	return s->due < s->until ? s->due : s->until;
}

void session_end(struct session *s, enum cause cause)
{
	if (causes[cause].rank == ENDED && s->phase == SESSION_REFUSED)
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
	const char *value = NULL;

	if (!s->resume_refused)
		value = resume_value(s->config.resume, now.ms - s->gap.start);
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
		return s->stats.connects > 0 ? BACKOFF_NETWORK : BACKOFF_FATAL;
	if (s->cause == CAUSE_DISCONNECT)
		return backoff_disconnect(s->code);
	/* A certificate may pass after a first 200, and so may its dates while
	 * the clock here shows a time before this version was. */
	return s->stats.connects > 0 ||
		       (s->cause == CAUSE_DATES && now.unix_ms < RELEASED)
		   ? BACKOFF_SERVER
		   : BACKOFF_FATAL;
}

/* A gap begins with the last byte that came, or with the pause behind which the
 * stream may have ended long ago. */
static void begin_gap(struct session *s, struct moment now)
{
	bool bound = s->behind_since != 0;
	uint64_t start = s->last_byte;

	if (s->in_gap || s->phase != SESSION_BODY)
		return;
	if (bound && s->behind_since < start)
		start = s->behind_since;
	s->in_gap = true;
	s->gap = (struct session_gap){
		.start = start,
		.start_unix_ms = now.unix_ms - (now.ms - start),
		.cause = s->cause,
		.upper_bound = bound,
	};
}

/* The run ends: what the server may have sent since a pause that is not long
 * over is missed. */
static void miss_rest(struct session *s, struct moment now)
{
	if (s->behind_since != 0 &&
	    (s->pause_end > now.ms || now.ms - s->pause_end < LEVEL))
		begin_gap(s, now);
}

void session_cut(struct session *s, struct moment now)
{
	session_end(s, CAUSE_STOPPED);
	miss_rest(s, now);
}

static void add_gap(struct session_coverage *c, const struct session_gap *gap)
{
	uint64_t i = c->gaps < SESSION_GAPS ? c->gaps : SESSION_GAPS;

	c->gaps++;
	c->gap_ms += gap->ms;
	for (; i > 0 && c->longest[i - 1].ms < gap->ms; i--)
		if (i < SESSION_GAPS)
			c->longest[i] = c->longest[i - 1];
	if (i < SESSION_GAPS)
		c->longest[i] = *gap;
}

struct session_coverage session_covers(const struct session *s,
				       struct moment now)
{
	struct session_coverage c = s->covers;
	struct session_gap open = s->gap;

	if (s->phase == SESSION_OVER)
		return c;
	open.ms = now.ms - open.start;
	if (s->in_gap)
		add_gap(&c, &open);
	c.run = now.ms - s->started;
	if (s->stats.connects == 0)
		c.before = c.run;
	c.covered = c.run - c.before - c.gap_ms;
	return c;
}

/* The gap is over, or the run. */
static void end_gap(struct session *s, struct moment now)
{
	s->gap.ms = now.ms - s->gap.start;
	s->covers = session_covers(s, now);
	s->in_gap = false;
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
static uint64_t next_wait(struct session *s, struct moment now)
{
	const struct http_head *h = &s->head;
	int status = s->cause == CAUSE_STATUS ? h->status : 0;
	uint64_t reset = until(s, now, h->limit_reset), wait = 0;
	uint64_t told = larger(h->retry_after, until(s, now, h->retry_at));
	bool again = s->was_reset;

	s->was_reset = s->config.v2 && status == 429 && h->limit_spent &&
		       reset > 0 && reset <= RESET_MAX;
	if (!s->was_reset || again)
		wait = backoff_next(&s->backoff, s->verdict, now.ms);
	if (s->was_reset)
		wait = larger(wait, reset * 1000);
	if (status != 420 && status != 429 && status != 503)
		return wait;
	told = told < RETRY_AFTER_MAX ? told : RETRY_AFTER_MAX;
	return larger(wait, told * 1000);
}

static enum session_event finish(struct session *s, struct moment now)
{
	bool over;

	s->ending = false;
	if (s->cause == CAUSE_EOF && s->phase == SESSION_BODY &&
	    !http_body_may_end(&s->body))
		s->cause = CAUSE_CUT;
	s->resume_refused = refuses_resume(s) ||
			    (s->resume_refused && s->phase != SESSION_BODY);
	s->verdict = judge(s, now);
	s->wait = next_wait(s, now);
	if (s->verdict != BACKOFF_COMPLETE)
		begin_gap(s, now);
	else if (causes[s->cause].rank == WANTED)
		miss_rest(s, now);
	over = s->verdict == BACKOFF_FATAL || s->verdict == BACKOFF_COMPLETE;
	if (over)
		end_gap(s, now);
	s->phase = over ? SESSION_OVER : SESSION_WAIT;
	s->due = now.ms + s->wait;
	return SESSION_ENDED;
}

enum session_event session_tick(struct session *s, struct moment now)
{
	if (now.ms < session_deadline(s))
		return SESSION_MORE;
	if (now.ms >= s->until) {
		session_end(s, CAUSE_DURATION);
	} else if (s->phase == SESSION_WAIT) {
		begin_phase(s, SESSION_CONNECT, SESSION_ATTEMPT, now);
		s->cut = 0;
		return SESSION_DIAL;
	} else {
		session_end(s, s->phase == SESSION_BODY      ? CAUSE_STALL
			       : s->phase == SESSION_REFUSED ? CAUSE_STATUS
							     : CAUSE_TIMEOUT);
	}
	return SESSION_MORE;
}

void session_connected(struct session *s, struct moment now)
{
	begin_phase(s, SESSION_HEAD, larger(s->config.stall, SESSION_ATTEMPT),
		    now);
	s->excerpt_n = 0;
	http_head_init(&s->head);
}

void session_pause(struct session *s, bool paused, struct moment now)
{
	s->due = paused ? UINT64_MAX : plus(now, s->config.stall);
	s->pause_end = paused ? UINT64_MAX : now.ms;
	if (paused && s->behind_since == 0)
		s->behind_since = now.ms;
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
	begin_phase(s, SESSION_BODY, s->config.stall, now);
	if (s->stats.connects++ == 0)
		s->covers.before = now.ms - s->started;
	s->last_byte = now.ms;
	s->behind_since = 0;
	s->was_reset = false;
	lines_init(&s->lines, s->config.tweet_key);
	s->withheld.n = 0;
	backoff_next(&s->backoff, BACKOFF_OPENED, now.ms);
	return SESSION_OPENED;
}

/* What the server says of an end: the first kilobyte of it is kept. */
static size_t keep(struct session *s, const void *p, size_t n)
{
	size_t room = sizeof s->excerpt - s->excerpt_n;

	n = n < room ? n : room;
	memcpy(s->excerpt + s->excerpt_n, p, n);
	s->excerpt_n += n;
	return room - n;
}

/* The number or string at a path of keys in the line; n of 0 if it has none. */
static struct piece value_at(const struct session *s, const char *outer,
			     const char *inner)
{
	const char *const path[] = { outer, inner, NULL };
	struct piece v;

	json_find((const char *)s->line.p, path, &v);
	return v;
}

/* The same where it is a number, else 0. */
static uint64_t number_at(const struct session *s, const char *outer,
			  const char *inner)
{
	struct piece v = value_at(s, outer, inner);
	uint64_t n = 0;

	text_to_u64(v.p, v.n, UINT64_MAX, &n);
	return n;
}

static bool ends_with(struct piece v, const char *end)
{
	size_t n = strlen(end);

	return v.n >= n && memcmp(v.p + v.n - n, end, n) == 0;
}

/* An errors object of v2. Its type's end is what X has not renamed. */
static void take_errors(struct session *s)
{
	struct piece type = value_at(s, "errors", "type");

	if (type.n == 0)
		type = value_at(s, "type", NULL);
	if (ends_with(type, "/operational-disconnect"))
		session_end(s, CAUSE_UPSTREAM);
	else if (ends_with(type, "/streaming-connection"))
		session_end(s, CAUSE_LIMIT_LINE);
}

/* What a notice means beside being handed on. */
static void take_meaning(struct session *s)
{
	struct piece reason;

	if (s->line.class == JSON_LIMIT) {
		withheld_notice(&s->withheld, number_at(s, "limit", "track"));
	} else if (s->line.class == JSON_OTHER && s->config.v2) {
		take_errors(s);
	} else if (s->line.class == JSON_DISCONNECT) {
		reason = value_at(s, "disconnect", "reason");
		s->code = number_at(s, "disconnect", "code");
		s->excerpt_n = 0;
		keep(s, reason.p, reason.n);
		session_end(s, CAUSE_DISCONNECT);
	}
}

/* How old the tweet was when it came, from the time that its id holds. Of many
 * at once only the first are asked: json_find reads the line again. */
static void take_lag(struct session *s, struct moment now)
{
	uint64_t id, made;

	s->looks = now.ms == s->looked_at ? s->looks + 1 : 0;
	s->looked_at = now.ms;
	if (s->looks >= LAG_LOOKS)
		return;
	id = s->config.v2 ? number_at(s, "data", "id")
			  : number_at(s, "id", NULL);
	made = (id >> 22) + SNOWFLAKE;
	/* no id is long ago, too */
	if (made > now.unix_ms + AHEAD || made + BEHIND < now.unix_ms)
		s->lag = -1;
	else
		s->lag = (int64_t)(larger(now.unix_ms, made) - made);
	s->max_lag = s->lag > s->max_lag ? s->lag : s->max_lag;
}

static enum session_event take_message(struct session *s, struct moment now)
{
	if (s->config.resume != NULL)
		resume_take(s->config.resume, (const char *)s->line.p);
	if (s->line.class == JSON_TWEET) {
		take_lag(s, now);
		if (++s->stats.tweets == s->config.count)
			session_end(s, CAUSE_COUNT);
	} else {
		s->stats.notices++;
		s->stats.deletes += s->line.class == JSON_DELETE;
		take_meaning(s);
	}
	return SESSION_MESSAGE;
}

static enum session_event take_line(struct session *s, struct moment now,
				    enum lines_event e)
{
	static const char limit[] = "Exceeded connection limit for user";

	if (e == LINES_MESSAGE)
		return take_message(s, now);
	s->stats.keepalives += e == LINES_KEEPALIVE;
	if (e == LINES_MORE || e == LINES_KEEPALIVE)
		return SESSION_MORE;
	s->stats.malformed++;
	if (s->line.n >= sizeof limit - 1 &&
	    memcmp(s->line.p, limit, sizeof limit - 1) == 0)
		session_end(s, CAUSE_LIMIT_LINE);
	return SESSION_BAD_LINE;
}

/* The body is over: what is left of it. Of a line that was cut only the meaning
 * counts, if all of that came. */
static enum session_event take_rest(struct session *s, struct moment now)
{
	bool proper = s->cause == CAUSE_EOF && http_body_may_end(&s->body);
	enum lines_event e = lines_end(&s->lines, &s->line);

	if (e == LINES_MESSAGE && !proper) {
		if (s->line.class != JSON_LIMIT)
			take_meaning(s);
		e = LINES_MORE;
	}
	s->cut = e == LINES_MORE ? s->line.size : 0;
	return take_line(s, now, e);
}

/* Decoded bytes of the stream; *n: how many of them were taken. */
static enum session_event read_stream(struct session *s, struct moment now,
				      const unsigned char *p, size_t *n)
{
	enum lines_event e;

	s->last_byte = larger(s->last_byte, s->came != 0 ? s->came : now.ms);
	s->due = plus(now, s->config.stall);
	if (now.ms - s->pause_end >= LEVEL)
		s->behind_since = 0;
	if (s->in_gap) {
		now.ms = s->last_byte;
		end_gap(s, now);
		*n = 0;
		return SESSION_RESUMED;
	}
	e = lines_next(&s->lines, p, *n, n, &s->line);
	s->stats.bytes += *n;
	return take_line(s, now, e);
}

static enum session_event read_body(struct session *s, struct moment now,
				    const unsigned char *in, size_t n,
				    size_t *used)
{
	bool stream = s->phase == SESSION_BODY;
	enum session_event event = SESSION_MORE;
	struct http_data data;
	enum http_event e = http_body_next(&s->body, in, n, used, &data);

	if (e == HTTP_DONE) {
		session_end(s, CAUSE_EOF);
		*used = n; /* what follows a body was not asked for */
	} else if (e == HTTP_ERROR) {
		s->http_error = data.error;
		s->head.refused = data.refused;
		session_end(s, stream ? CAUSE_PROTOCOL : CAUSE_STATUS);
	}
	if (e != HTTP_DATA)
		return SESSION_MORE;
	if (stream)
		event = read_stream(s, now, data.p, &data.n);
	else if (s->head.field[HTTP_CONTENT_ENCODING].p != NULL ||
		 keep(s, data.p, data.n) == 0)
		session_end(s, CAUSE_STATUS);
	http_body_take(&s->body, data.n);
	*used += data.n;
	return event;
}

enum session_event session_next(struct session *s, struct moment now,
				const unsigned char *in, size_t n, size_t *used)
{
	/* After an end that we wanted, or the server's, what has come is still
	 * taken, to its last byte. After another it was not asked for, or
	 * cannot be told apart any more. */
	int rank = causes[s->cause].rank;
	bool reads_on = !s->ending || rank == ENDED || rank == WANTED;
	bool last = s->ending && (!reads_on || n == 0);
	enum session_event e = SESSION_MORE;

	*used = 0;
	if (s->phase == SESSION_BODY && reads_on && lines_pending(&s->lines))
		e = take_line(s, now,
			      lines_next(&s->lines, in, 0, used, &s->line));
	if (e == SESSION_MORE && s->phase == SESSION_BODY && last &&
	    !lines_pending(&s->lines))
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
