/* The session on a clock of our own: months pass in milliseconds; the rules of
 * proxies; what a look-up process is believed. */
#include "../proxy.h"
#include "../resolve.h"
#include "../resume.h"
#include "../session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DAY (86400u * 1000u)
#define OK_HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define TWEET "{\"text\":\"x\"}"

static struct session *s;
static uint64_t now;
static unsigned resumed; /* SESSION_RESUMED so far */

static struct moment at(uint64_t ms)
{
	struct moment m = { ms, ms + 1795456795000 };

	return m;
}

static int set_up(void **state)
{
	struct session_config c = { "text", 90000, 0, 0, false, NULL };

	(void)state;
	s = calloc(1, sizeof *s);
	now = 5000;
	resumed = 0;
	session_init(s, &c, at(now));
	return s == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	free(s);
	return 0;
}

/* A copy behind which JSON_SLACK bytes can be read. */
static const unsigned char *input(const char *p)
{
	static char in[65536];

	assert_true(strlen(p) < sizeof in - JSON_SLACK);
	return (unsigned char *)strcpy(in, p);
}

/* Give bytes, expect this event, with all bytes used if it is MORE. */
static void give(const char *bytes, enum session_event want)
{
	const unsigned char *p = input(bytes);
	size_t n = strlen(bytes), used;
	enum session_event e = SESSION_MORE;

	do {
		e = session_next(s, at(now), p, n, &used);
		p += used;
		n -= used;
		resumed += e == SESSION_RESUMED;
	} while (e == SESSION_RESUMED || (e == SESSION_MORE && used > 0));
	assert_int_equal(e, want);
	if (e == SESSION_MORE)
		assert_int_equal(n, 0);
}

static void give_chunk(const char *line, enum session_event want)
{
	char buf[4096];
	int n = (int)strlen(line) + 2;

	snprintf(buf, sizeof buf, "%x\r\n%s\r\n\r\n", (unsigned)n, line);
	give(buf, want);
}

static void dial(void)
{
	assert_int_equal(session_tick(s, at(now)), SESSION_DIAL);
	session_connected(s, at(now));
}

static void open_stream(void)
{
	dial();
	give(OK_HEAD, SESSION_OPENED);
}

/* The connection ends; the wait until the next attempt must be this. */
static void end(enum cause cause, uint64_t wait)
{
	session_end(s, cause);
	give("", SESSION_ENDED);
	assert_int_equal(s->wait, wait);
}

static void end_with_status(const char *head, uint64_t wait)
{
	dial();
	give(head, SESSION_MORE);
	end(CAUSE_EOF, wait);
	assert_int_equal(s->cause, CAUSE_STATUS);
	now += wait;
}

static void test_attempts_wait_as_the_table_says(void **state)
{
	int i;

	(void)state;
	for (i = 1; i <= 70; i++) {
		assert_int_equal(session_tick(s, at(now)), SESSION_DIAL);
		end(CAUSE_NETWORK, i < 64 ? 250u * (unsigned)i : 16000);
		assert_int_equal(session_deadline(s), now + s->wait);
		now += s->wait - 1;
		assert_int_equal(session_tick(s, at(now)), SESSION_MORE);
		now++;
	}
	end_with_status("HTTP/1.1 420 Calm\r\nContent-Length: 0\r\n\r\n",
			60000);
	end_with_status("HTTP/1.1 420 Calm\r\nContent-Length: 0\r\n\r\n",
			120000);
	end_with_status("HTTP/1.1 503 Busy\r\n\r\n", 240000);
}

static void test_retry_after(void **state)
{
	(void)state;
	end_with_status("HTTP/1.1 503 x\r\nRetry-After: 100\r\n\r\n", 100000);
	end_with_status("HTTP/1.1 503 x\r\nRetry-After: 1\r\n\r\n", 10000);
	end_with_status("HTTP/1.1 503 x\r\nRetry-After: 99999\r\n\r\n", 900000);
	end_with_status("HTTP/1.1 500 x\r\nRetry-After: 100\r\n\r\n", 40000);
	end_with_status("HTTP/1.1 429 x\r\nRetry-After: soon\r\n\r\n", 80000);
}

static void test_short_and_long_streams(void **state)
{
	(void)state;
	open_stream();
	now += 15999;
	end(CAUSE_EOF, 250);
	now += 250;
	open_stream();
	now += 16000;
	end(CAUSE_NETWORK, 0);
	open_stream();
	end(CAUSE_EOF, 250);
}

static void test_keepalives_alone_for_a_day(void **state)
{
	unsigned i;

	(void)state;
	open_stream();
	for (i = 0; i < DAY / 30000; i++) {
		now += 30000;
		assert_int_equal(session_tick(s, at(now)), SESSION_MORE);
		give_chunk("", SESSION_MORE);
	}
	assert_int_equal(s->stats.keepalives, DAY / 30000);
	assert_int_equal(s->stats.connects, 1);
}

static void test_stall(void **state)
{
	(void)state;
	open_stream();
	now += 89999;
	assert_int_equal(session_tick(s, at(now)), SESSION_MORE);
	give_chunk("", SESSION_MORE);
	assert_int_equal(session_deadline(s), now + 90000);
	now += 60000;
	session_pause(s, true, at(now));
	now += DAY; /* a slow reader is our own doing */
	assert_int_equal(session_tick(s, at(now)), SESSION_MORE);
	session_pause(s, false, at(now));
	now += 90000;
	assert_int_equal(session_tick(s, at(now)), SESSION_MORE);
	give("", SESSION_ENDED);
	assert_int_equal(s->cause, CAUSE_STALL);
	assert_int_equal(s->wait, 250);
}

static void test_bytes_of_framing_are_no_life(void **state)
{
	(void)state;
	open_stream();
	now += 80000;
	give("1", SESSION_MORE); /* a chunk size that never ends */
	now += 10000;
	assert_int_equal(session_tick(s, at(now)), SESSION_MORE);
	give("", SESSION_ENDED);
	assert_int_equal(s->cause, CAUSE_STALL);
}

static void test_attempt_has_thirty_seconds(void **state)
{
	(void)state;
	assert_int_equal(session_tick(s, at(now)), SESSION_DIAL);
	assert_int_equal(session_deadline(s), now + 30000);
	now += 30000;
	session_tick(s, at(now));
	give("", SESSION_ENDED);
	assert_int_equal(s->cause, CAUSE_TIMEOUT);
}

/* Thirty seconds from the handshake on, the stall's time where that is longer,
 * for ever where nothing is a stall: a byte now and then is no excuse. */
static void test_N6_head(void **state)
{
	static const struct {
		uint64_t stall, until;
	} list[] = { { 10000, 30000 }, { 60000, 60000 }, { 0, UINT64_MAX } };
	struct session_config c = { "text", 0, 0, 0, false, NULL };
	uint64_t begin;
	size_t i;

	for (i = 0; i < sizeof list / sizeof list[0]; i++) {
		tear_down(state);
		set_up(state);
		c.stall = list[i].stall;
		session_init(s, &c, at(now));
		assert_int_equal(session_tick(s, at(now)), SESSION_DIAL);
		begin = now += 20000;
		session_connected(s, at(now));
		give("HTTP/1.1 200 OK\r\nX: ", SESSION_MORE);
		while (!s->ending && now < begin + DAY) {
			now += 1000;
			session_tick(s, at(now));
			if (now % 16000 == 0 && !s->ending)
				give("y", SESSION_MORE);
		}
		if (list[i].until == UINT64_MAX) {
			give("\r\n\r\n", SESSION_OPENED);
			continue;
		}
		assert_int_equal(now - begin, list[i].until);
		give("", SESSION_ENDED);
		assert_int_equal(s->cause, CAUSE_TIMEOUT);
	}
}

/* What the run covers: all of it is in one of three. */
static void covers(uint64_t run, uint64_t before, uint64_t gap_ms,
		   uint64_t gaps)
{
	struct session_coverage c = session_covers(s, at(now));

	assert_int_equal(c.run, run);
	assert_int_equal(c.before, before);
	assert_int_equal(c.gap_ms, gap_ms);
	assert_int_equal(c.gaps, gaps);
	assert_int_equal(c.covered, run - before - gap_ms);
}

static void test_gaps(void **state)
{
	(void)state;
	now += 2000;
	covers(2000, 2000, 0, 0);
	open_stream();
	give_chunk(TWEET, SESSION_MESSAGE);
	give("\r\n", SESSION_MORE);
	now += 20000;
	give_chunk("", SESSION_MORE);
	now += 7000;
	covers(29000, 2000, 0, 0); /* quiet, but open */
	end(CAUSE_NETWORK, 0);
	covers(29000, 2000, 7000, 1);
	now += 1000;
	covers(30000, 2000, 8000, 1); /* while it lasts */
	open_stream();
	now += 500;
	covers(30500, 2000, 8500, 1); /* no byte yet */
	give_chunk(TWEET, SESSION_MESSAGE);
	assert_int_equal(resumed, 1);
	assert_int_equal(s->gap.ms, 8500);
	assert_int_equal(s->gap.cause, CAUSE_NETWORK);
	assert_int_equal(s->gap.start_unix_ms, at(now - 8500).unix_ms);
	assert_false(s->gap.upper_bound);
	now += 4000;
	covers(34500, 2000, 8500, 1);
	end(CAUSE_STOPPED, 0);
	now += 9000;
	covers(34500, 2000, 8500, 1); /* the run is over */
}

/* An end in the first seconds behind a pause may be as old as the pause. */
static void test_gap_behind_a_pause(void **state)
{
	static const struct {
		uint64_t after, gap;
		bool bound;
	} list[] = { { 100, 15100, true },
		     { 4900, 19900, true },
		     { 6000, 0, false } };
	size_t i;

	for (i = 0; i < sizeof list / sizeof list[0]; i++) {
		tear_down(state);
		set_up(state);
		open_stream();
		now += 1000;
		give_chunk("", SESSION_MORE);
		session_pause(s, true, at(now));
		now += 15000;
		session_pause(s, false, at(now));
		now += list[i].after;
		give_chunk("", SESSION_MORE);
		end(CAUSE_EOF, 0);
		covers(16000 + list[i].after, 0, list[i].gap, 1);
		assert_int_equal(s->gap.upper_bound, list[i].bound);
	}
	/* what comes no more behind a pause did not come since it began */
	tear_down(state);
	set_up(state);
	open_stream();
	session_pause(s, true, at(now));
	now += 15000;
	session_pause(s, false, at(now));
	now += 90000;
	session_tick(s, at(now));
	give("", SESSION_ENDED);
	assert_int_equal(s->cause, CAUSE_STALL);
	covers(105000, 0, 105000, 1);
}

/* Where the end of a body lacks the last line's, what it meant still counts,
 * and a whole body's last object is a message. */
static void test_N1_N2_last_line(void **state)
{
	static const struct {
		const char *head, *body;
		enum cause end;
		enum session_event first;
		enum cause cause;
		uint64_t wait, cut;
	} list[] = {
#define UNTIL_CLOSE "HTTP/1.1 200 OK\r\n\r\n"
#define CODE_7 "{\"disconnect\":{\"code\":7}}"
#define TOO_MANY "Exceeded connection limit for user"
		{ UNTIL_CLOSE, TWEET, CAUSE_EOF, SESSION_MESSAGE, CAUSE_EOF,
		  250, 0 },
		{ OK_HEAD, "c\r\n" TWEET "\r\n0\r\n\r\n", CAUSE_EOF,
		  SESSION_MESSAGE, CAUSE_EOF, 250, 0 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", TWEET,
		  CAUSE_EOF, SESSION_MESSAGE, CAUSE_EOF, 250, 0 },
		{ OK_HEAD, "c\r\n" TWEET "\r\n", CAUSE_EOF, SESSION_ENDED,
		  CAUSE_CUT, 250, 12 },
		{ UNTIL_CLOSE, TWEET, CAUSE_NETWORK, SESSION_ENDED,
		  CAUSE_NETWORK, 250, 12 },
		{ UNTIL_CLOSE, "{\"text\":", CAUSE_EOF, SESSION_ENDED,
		  CAUSE_EOF, 250, 8 },
		{ UNTIL_CLOSE, " \r\n  ", CAUSE_EOF, SESSION_ENDED, CAUSE_EOF,
		  250, 0 },
		{ UNTIL_CLOSE, CODE_7, CAUSE_EOF, SESSION_MESSAGE,
		  CAUSE_DISCONNECT, 60000, 0 },
		{ UNTIL_CLOSE, CODE_7, CAUSE_NETWORK, SESSION_ENDED,
		  CAUSE_DISCONNECT, 60000, 25 },
		{ OK_HEAD, "19\r\n" CODE_7 "\r\n", CAUSE_EOF, SESSION_ENDED,
		  CAUSE_DISCONNECT, 60000, 25 },
		{ OK_HEAD, "19\r\n" CODE_7 "\r\nzz\r\n", CAUSE_EOF,
		  SESSION_ENDED, CAUSE_DISCONNECT, 60000, 25 },
		{ UNTIL_CLOSE, TOO_MANY, CAUSE_EOF, SESSION_BAD_LINE,
		  CAUSE_LIMIT_LINE, 60000, 0 },
		{ OK_HEAD, "22\r\n" TOO_MANY "\r\nzz\r\n", CAUSE_EOF,
		  SESSION_BAD_LINE, CAUSE_LIMIT_LINE, 60000, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof list / sizeof list[0]; i++) {
		const unsigned char *p;
		size_t n = strlen(list[i].body), used;
		enum session_event e;

		tear_down(state);
		set_up(state);
		dial();
		give(list[i].head, SESSION_OPENED);
		p = input(list[i].body);
		do {
			e = session_next(s, at(now), p, n, &used);
			p += used;
			n -= used;
		} while (e == SESSION_MORE && used > 0);
		if (e == SESSION_MORE && n == 0)
			session_end(s, list[i].end);
		if (e == SESSION_MORE)
			e = session_next(s, at(now), p, n, &used);
		assert_int_equal(e, list[i].first);
		if (e != SESSION_ENDED)
			give("", SESSION_ENDED);
		assert_int_equal(s->cause, list[i].cause);
		assert_int_equal(s->wait, list[i].wait);
		assert_int_equal(s->cut, list[i].cut);
		assert_int_equal(s->stats.tweets,
				 e == SESSION_MESSAGE &&
				     list[i].cause == CAUSE_EOF);
	}
}

/* Times that a server names are on its own clock. Ours is two hours off. */
static void test_N3_N4_the_servers_clock(void **state)
{
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" /* 784111777 */
#define SPENT(reset)                                                           \
	"HTTP/1.1 429 x\r\n" DATE "x-rate-limit-remaining: 0\r\n"              \
	"x-rate-limit-reset: " reset "\r\n\r\n"
	struct session_config c = { "data", 90000, 0, 0, true, NULL };
	int i;

	(void)state;
	session_init(s, &c, at(now));
	end_with_status(SPENT("784111842"), 65000);
	end_with_status(SPENT("784111778"), 60000); /* again, and at once */
	for (i = 0; i < 3; i++)
		end_with_status(SPENT("784111778"), 120000u << i);
	tear_down(state);
	set_up(state);
	session_init(s, &c, at(now));
	end_with_status(SPENT("784111000"), 60000); /* it is past */
	end_with_status("HTTP/1.1 503 x\r\n" DATE
			"Retry-After: Sun, 06 Nov 1994 08:53:37 GMT\r\n\r\n",
			240000);
	end_with_status("HTTP/1.1 503 x\r\n" DATE
			"Retry-After: Sun, 06 Nov 1994 08:00:00 GMT\r\n\r\n",
			240000);
	end_with_status("HTTP/1.1 420 x\r\nRetry-After: 4294967296\r\n\r\n",
			900000);
	end_with_status("HTTP/1.1 420 x\r\n"
			"Retry-After: 18446744073709551616\r\n\r\n",
			960000);
	end_with_status("HTTP/1.1 420 x\r\nRetry-After: 800\r\n"
			"Retry-After: 801\r\n\r\n",
			1920000);
	end_with_status("HTTP/1.1 408 x\r\n\r\n", 5000);
	end_with_status("HTTP/1.1 425 x\r\n\r\n", 10000);
	dial();
	give("HTTP/1.1 203 x\r\n\r\n", SESSION_MORE);
	end(CAUSE_EOF, 0);
	assert_int_equal(s->verdict, BACKOFF_FATAL);
}

/* A board without a clock waits for it; from the release on dates are meant. */
static void test_dates_of_certificates(void **state)
{
	struct moment early = { 5000, 86400000 };
	size_t used;

	(void)state;
	assert_int_equal(session_tick(s, early), SESSION_DIAL);
	session_end(s, CAUSE_DATES);
	assert_int_equal(session_next(s, early, NULL, 0, &used), SESSION_ENDED);
	assert_int_equal(s->verdict, BACKOFF_SERVER);
	assert_int_equal(s->wait, 5000);
	now += 5000;
	assert_int_equal(session_tick(s, early = at(now)), SESSION_DIAL);
	early.unix_ms = 1795564800000; /* 2026-11-25 */
	session_end(s, CAUSE_DATES);
	assert_int_equal(session_next(s, early, NULL, 0, &used), SESSION_ENDED);
	assert_int_equal(s->verdict, BACKOFF_FATAL);
}

/* From an id's own time, on X's epoch (snowflake). */
static void test_lag(void **state)
{
	char tweet[200];
	const uint64_t unix_ms = at(now).unix_ms;
	const struct {
		uint64_t made;
		bool has;
		uint64_t lag;
	} list[] = {
		{ unix_ms - 1500, true, 1500 },
		{ unix_ms + 59000, true, 0 },
		{ unix_ms + 61000, false, 0 },
		{ unix_ms - 366 * (uint64_t)DAY, false, 0 },
	};
	size_t i, v2;

	for (i = 0; i < 2 * sizeof list / sizeof list[0]; i++) {
		struct session_config c = { "text", 0, 0, 0, false, NULL };
		uint64_t id = (list[i / 2].made - 1288834974657) << 22 | 4711;

		v2 = i % 2;
		tear_down(state);
		set_up(state);
		c.v2 = v2 == 1;
		c.tweet_key = v2 == 1 ? "data" : "text";
		session_init(s, &c, at(now));
		open_stream();
		snprintf(tweet, sizeof tweet,
			 v2 == 1 ? "{\"data\":{\"text\":\"x\",\"id\":\"%ju\"}}"
				 : "{\"text\":{\"id\":1},\"id\":%ju}",
			 (uintmax_t)id);
		give_chunk(tweet, SESSION_MESSAGE);
		assert_int_equal(s->lag >= 0, list[i / 2].has);
		assert_int_equal(
		    s->lag, list[i / 2].has ? (int64_t)list[i / 2].lag : -1);
	}
}

static void test_disconnect_codes(void **state)
{
	static const struct {
		const char *message;
		enum backoff_event verdict;
		uint64_t wait;
	} list[] = {
		{ "{\"disconnect\":{\"code\":1}}", BACKOFF_ENDED, 250 },
		{ "{\"disconnect\":{\"code\":2}}", BACKOFF_LIMITED, 60000 },
		{ "{\"disconnect\":{\"code\":7}}", BACKOFF_LIMITED, 60000 },
		{ "{\"disconnect\":{\"code\":6}}", BACKOFF_FATAL, 0 },
		{ "{\"disconnect\":{\"code\":9}}", BACKOFF_COMPLETE, 0 },
		{ "{\"disconnect\":{\"code\":503}}", BACKOFF_SERVER, 5000 },
		{ "{\"disconnect\":{\"code\":\"6\"}}", BACKOFF_FATAL, 0 },
		{ "{\"disconnect\":{\"code\":[]}}", BACKOFF_ENDED, 250 },
		{ "{\"disconnect\":null}", BACKOFF_ENDED, 250 },
	};
	size_t i;

	for (i = 0; i < sizeof list / sizeof list[0]; i++) {
		tear_down(state);
		set_up(state);
		open_stream();
		give_chunk(list[i].message, SESSION_MESSAGE);
		give("more that is not read", SESSION_ENDED);
		assert_int_equal(s->verdict, list[i].verdict);
		assert_int_equal(s->wait, list[i].wait);
	}
}

static void test_connection_limit_line(void **state)
{
	(void)state;
	open_stream();
	give_chunk("Exceeded connection limit for user", SESSION_BAD_LINE);
	give("", SESSION_ENDED);
	assert_int_equal(s->wait, 60000);
	assert_int_equal(s->stats.malformed, 1);
}

static void test_connection_limit_line_without_an_end(void **state)
{
	(void)state;
	open_stream();
	give("22\r\nExceeded connection limit for user\r\n", SESSION_MORE);
	session_end(s, CAUSE_EOF);
	give("", SESSION_BAD_LINE);
	give("", SESSION_ENDED);
}

static void test_certificates(void **state)
{
	(void)state;
	open_stream();
	now += 20000;
	end(CAUSE_NETWORK, 0);
	assert_int_equal(session_tick(s, at(now)), SESSION_DIAL);
	end(CAUSE_CERTIFICATE, 5000);
	tear_down(state);
	set_up(state);
	assert_int_equal(session_tick(s, at(now)), SESSION_DIAL);
	end(CAUSE_CERTIFICATE, 0);
	assert_int_equal(s->verdict, BACKOFF_FATAL);
	assert_int_equal(s->phase, SESSION_OVER);
}

static void test_count_and_duration(void **state)
{
	struct session_config c = { "text", 90000, 60000, 2, false, NULL };

	(void)state;
	session_init(s, &c, at(now));
	open_stream();
	give_chunk(TWEET, SESSION_MESSAGE);
	give("\r\n", SESSION_MORE);
	give_chunk("{\"delete\":{}}", SESSION_MESSAGE);
	give("\r\n", SESSION_MORE);
	give_chunk(TWEET, SESSION_MESSAGE);
	give_chunk(TWEET, SESSION_ENDED);
	assert_int_equal(s->cause, CAUSE_COUNT);
	assert_int_equal(s->verdict, BACKOFF_COMPLETE);
	tear_down(state);
	set_up(state);
	session_init(s, &c, at(now));
	open_stream();
	assert_int_equal(session_deadline(s), now + 60000);
	now += 60000;
	session_tick(s, at(now));
	give("", SESSION_ENDED);
	assert_int_equal(s->cause, CAUSE_DURATION);
}

/* Two hundred days of streams of 40 minutes, each cut, with an outage of an
 * hour a day: nothing wraps, no wait is other than the table's. */
static void test_two_hundred_days(void **state)
{
	uint64_t until = now + (uint64_t)200 * DAY, connects = 0, gaps = 0;

	(void)state;
	while (now < until) {
		unsigned i;

		open_stream();
		connects++;
		for (i = 0; i < 80; i++) {
			now += 30000;
			give_chunk(TWEET, SESSION_MESSAGE);
			give("\r\n", SESSION_MORE);
		}
		end(CAUSE_NETWORK, 0);
		gaps++;
		for (i = 1; connects % 36 == 0 && i < 200; i++) {
			assert_int_equal(session_tick(s, at(now)),
					 SESSION_DIAL);
			end(CAUSE_NETWORK, i < 64 ? 250u * i : 16000);
			now += s->wait;
		}
	}
	assert_int_equal(s->stats.connects, connects);
	assert_int_equal(s->covers.gaps, gaps - 1);
	assert_int_equal(s->stats.tweets, connects * 80);
	assert_int_equal(resumed, gaps - 1);
}

/* Counters pass the limits of 32 bits. */
static void test_large_counters(void **state)
{
	(void)state;
	open_stream();
	s->stats.tweets = s->stats.bytes = s->stats.connects = UINT32_MAX;
	give_chunk(TWEET, SESSION_MESSAGE);
	give("\r\n", SESSION_MORE);
	assert_true(s->stats.tweets == (uint64_t)UINT32_MAX + 1);
	assert_true(s->stats.bytes == (uint64_t)UINT32_MAX + strlen(TWEET) + 2);
}

static void test_proxy_urls(void **state)
{
	static const struct {
		const char *url, *host;
		unsigned port;
		const char *basic; /* by base64(1) */
	} good[] = {
		{ "http://proxy.example:3128", "proxy.example", 3128, "" },
		{ "HTTP://Proxy.Example:80/", "proxy.example", 80, "" },
		{ "proxy", "proxy", 1080, "" },
		{ "10.0.0.1:8080/x?y", "10.0.0.1", 8080, "" },
		{ "[::1]", "::1", 1080, "" },
		{ "http://[2001:DB8::1]:65535", "2001:db8::1", 65535, "" },
		{ "u:p@h:1", "h", 1, "dTpw" },
		{ "http://u@[::1]", "::1", 1080, "dTo=" },
		{ "me:p%40s%3as+%C3%a4%2F@h", "h", 1080, "bWU6cEBzOnMrw6Qv" },
		{ "me:a@b@h:2", "h", 2, "bWU6YUBi" },
	};
	static const char *const bad[] = {
		"https://h", "socks5://h:1", "://h",      "",       ":1",
		"h:0",       "h:65536",      "h:",        "h:1x",   "::1",
		"[1]",       "[::1",         "a b",       "u%:p@h", "u:%0@h",
		"u:%00@h",   "http://u:p@",  "h\r\nX: y", "u%4@h",  "u:1/p@h:2",
		"u:1?p@h",   "u:1#p@h",
	};
	static struct proxy p;
	static struct secrets secrets;
	const struct http_url there = { .host = "h", .port = 443 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		memset(&p, 0, sizeof p);
		assert_null(proxy_url(&p, good[i].url, &there, &secrets));
		assert_string_equal(p.url.host, good[i].host);
		assert_int_equal(p.url.port, good[i].port);
		assert_string_equal(p.basic, good[i].basic);
		assert_int_equal(proxy_url(&p, good[i].url, &there, NULL) !=
				     NULL,
				 good[i].basic[0] != '\0');
	}
	assert_memory_equal(secrets.value[SECRET_PROXY_USER], "me", 2);
	assert_memory_equal(secrets.value[SECRET_PROXY_PASSWORD], "a@b", 3);
	assert_int_equal(secrets.n[SECRET_PROXY_PASSWORD], 3);
	assert_memory_equal(secrets.value[SECRET_PROXY_BASIC], "bwu6yubi", 8);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_non_null(proxy_url(&p, bad[i], &there, &secrets));
}

/* As curl was seen to do; tests/test_proxy.py asks it again, and more. */
static void test_N12_exceptions(void **state)
{
	static const char *const yes[] = { "localhost", ".localhost", "*",
					   "a.b, LocalHost. c", "\tlocalhost" };
	static const char *const no[] = { "host",        "ocalhost",   "x,*",
					  "localhost:1", "",           " , .",
					  "a.localhost", "..localhost" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof yes / sizeof yes[0]; i++)
		assert_true(proxy_excepts(yes[i], "localhost"));
	for (i = 0; i < sizeof no / sizeof no[0]; i++)
		assert_false(proxy_excepts(no[i], "localhost"));
	assert_true(proxy_excepts("b.c", "a.b.c"));
	assert_true(proxy_excepts(".b.c", "a.b.c"));
	assert_false(proxy_excepts("b.c", "ab.c"));
}

static void test_proxy_connect(void **state)
{
	static struct proxy p;
	static struct secrets secrets;
	struct http_url there;

	(void)state;
	assert_null(http_url_parse(&there, "https://Server.example./x"));
	assert_null(proxy_url(&p, "h", &there, &secrets));
	assert_string_equal(p.connect,
			    "CONNECT server.example:443 HTTP/1.1\r\n"
			    "Host: server.example:443\r\n"
			    "User-Agent: tstream/" TSTREAM_VERSION "\r\n\r\n");
	assert_null(proxy_url(&p, "u:p@h", &there, &secrets));
	assert_int_equal(p.connect_n, strlen(p.connect));
	assert_non_null(
	    strstr(p.connect, "\r\nProxy-Authorization: Basic dTpw\r\n"));
}

/* Each answer whole and byte by byte. */
static void test_N12_answers(void **state)
{
	static const struct {
		const char *answer;
		enum proxy_answer want;
	} table[] = {
		{ "HTTP/1.1 200 Connection established\r\n\r\n", PROXY_OPEN },
		{ "HTTP/1.0 200\r\nContent-Length: 5\r\n\r\n", PROXY_OPEN },
		{ "HTTP/1.1 204 x\r\n\r\n", PROXY_OPEN },
		{ "HTTP/1.1 299 x\r\nTransfer-Encoding: chunked\r\n\r\n",
		  PROXY_OPEN },
		{ "HTTP/1.0 200 x\r\nTransfer-Encoding: gzip\r\n"
		  "Content-Length: 1\r\nContent-Length: x\r\n"
		  "Content-Encoding: br\r\n\r\n",
		  PROXY_OPEN },
		{ "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 x\r\n\r\n", PROXY_OPEN },
		{ "HTTP/1.1 401 x\r\n\r\n", PROXY_REFUSED },
		{ "HTTP/1.1 403 x\r\nContent-Length: 1\r\n\r\n",
		  PROXY_REFUSED },
		{ "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n\r\n",
		  PROXY_REFUSED },
		{ "HTTP/1.1 301 x\r\nLocation: http://h/\r\n\r\n",
		  PROXY_FAILED },
		{ "HTTP/1.1 404 x\r\n\r\n", PROXY_FAILED },
		{ "HTTP/1.1 502 x\r\nRetry-After: 900\r\n\r\n", PROXY_FAILED },
		{ "SSH-2.0-x\r\n", PROXY_FAILED },
		{ "HTTP/1.1 200 x\r\n", PROXY_MORE },
		{ "", PROXY_MORE },
	};
	static const struct proxy none;
	static struct http_head h;
	enum proxy_answer got;
	char buf[256];
	struct text why;
	size_t i, at, n, step;

	(void)state;
	for (i = 0; i < 2 * sizeof table / sizeof table[0]; i++) {
		n = strlen(table[i / 2].answer);
		step = i % 2 == 0 ? n : 1;
		http_head_init(&h);
		why = text_in(buf, sizeof buf);
		got = PROXY_MORE;
		for (at = 0; at < n && got == PROXY_MORE; at += step)
			got = proxy_next(
			    &none, &h,
			    (const unsigned char *)table[i / 2].answer + at,
			    step, &why);
		assert_int_equal(got, table[i / 2].want);
		assert_int_equal(why.n > 0, got >= PROXY_REFUSED);
		assert_true(why.n == 0 || strstr(buf, "the proxy") != NULL);
	}
}

/* What follows the head was not asked for. */
static void test_N12_bytes_behind_the_head(void **state)
{
	static const char early[] = "HTTP/1.1 200 x\r\n\r\n\x16";
	static const struct proxy none;
	static struct http_head h;
	char buf[256];
	struct text why = text_in(buf, sizeof buf);

	(void)state;
	http_head_init(&h);
	assert_int_equal(proxy_next(&none, &h, (const unsigned char *)early,
				    sizeof early - 1, &why),
			 PROXY_FAILED);
	assert_non_null(strstr(buf, "before we spoke"));
}

/* What --resume remembers of messages, and asks for. */
static const char *seen(struct resume *r, const char *message)
{
	resume_take(r, message);
	return resume_value(r, 0);
}

static void test_resume(void **state)
{
	char minutes[] = "backfill_minutes=minutes", seq[] = "since=seq";
	char deep[] = "since=meta.dt",
	     bad[][12] = { "a", "=a", "a=", "a=.b", "a=b.", "a=b..c" };
	struct resume m = { 0 }, q = { 0 }, d = { 0 }, b;
	char line[300];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		memset(&b, 0, sizeof b);
		assert_false(resume_init(&b, bad[i]));
	}
	assert_true(resume_init(&m, minutes));
	assert_string_equal(m.name, "backfill_minutes");
	assert_string_equal(resume_value(&m, 1), "1");
	assert_string_equal(resume_value(&m, 60000), "1");
	assert_string_equal(resume_value(&m, 90000), "2");
	assert_string_equal(resume_value(&m, UINT64_MAX - 60000), "5");
	assert_true(resume_init(&q, seq));
	assert_null(resume_value(&q, 90000));
	assert_string_equal(seen(&q, "{\"seq\":12,\"id\":1}"), "12");
	assert_string_equal(seen(&q, "{\"id\":13}"), "12");
	assert_string_equal(seen(&q, "{ \"seq\" : \"a\\/\\\"b\" }"), "a/\"b");
	assert_string_equal(seen(&q, "{\"seq\":\"\\u00e4\\u20ac\\ud83d\\ude00"
				     "\\n\"}"),
			    "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n");
	assert_null(seen(&q, "{\"seq\":\"\\ud83d\"}"));
	assert_string_equal(seen(&q, "{\"seq\":-1.5e3}"), "-1.5e3");
	assert_null(seen(&q, "{\"seq\":\"\\u0000\"}"));
	assert_null(seen(&q, "{\"seq\":[7,8]}"));
	assert_null(seen(&q, "{\"seq\":null}"));
	assert_null(seen(&q, "{\"seq\":{}}"));
	assert_null(seen(&q, "{\"seq\":\"\"}"));
	for (i = 256; i <= 257; i++) {
		snprintf(line, sizeof line, "{\"seq\":\"%0*d\"}", (int)i, 0);
		assert_int_equal(seen(&q, line) != NULL, i == 256);
		snprintf(line, sizeof line, "{\"seq\":1%0*d}", (int)i - 1, 0);
		assert_int_equal(seen(&q, line) != NULL, i == 256);
	}
	assert_true(resume_init(&d, deep));
	assert_string_equal(seen(&d, "{\"a\":{},\"meta\":{\"dt\":\"T\"}}"),
			    "T");
}

/* A worker that was taken over may answer anything. */
static void test_answers_of_a_look_up(void **state)
{
	struct resolve r = { .number = 7, .refused = -1 };
	struct address list[ADDRESSES_MAX];
	struct resolve_answer a;
	size_t count;
	uint32_t i;

	(void)state;
	for (i = 0; i <= ADDRESSES_MAX + 1; i++) {
		memset(&a, 0, sizeof a);
		a.number = 7;
		a.refused = -1;
		a.result = RESOLVE_OK;
		a.count = i;
		memset(a.list, 4, sizeof a.list);
		assert_int_equal(resolve_judge(&r, &a, sizeof a, list, &count),
				 i > 0 && i <= ADDRESSES_MAX ? RESOLVE_OK
							     : RESOLVE_FAILED);
		assert_int_equal(count, i <= ADDRESSES_MAX ? i : 0);
	}
	a.count = UINT32_MAX;
	assert_int_equal(resolve_judge(&r, &a, sizeof a, list, &count),
			 RESOLVE_FAILED);
	a.count = 2;
	a.list[1].family = 5;
	assert_int_equal(resolve_judge(&r, &a, sizeof a, list, &count),
			 RESOLVE_FAILED);
	assert_int_equal(resolve_judge(&r, &a, sizeof a - 1, list, &count),
			 RESOLVE_FAILED);
	a.result = 1000;
	assert_int_equal(resolve_judge(&r, &a, sizeof a, list, &count),
			 RESOLVE_FAILED);
	a.number = 6;
	assert_int_equal(resolve_judge(&r, &a, sizeof a, list, &count),
			 RESOLVE_MORE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_attempts_wait_as_the_table_says),
		TEST(test_retry_after),
		TEST(test_short_and_long_streams),
		TEST(test_keepalives_alone_for_a_day),
		TEST(test_stall),
		TEST(test_bytes_of_framing_are_no_life),
		TEST(test_attempt_has_thirty_seconds),
		TEST(test_N6_head),
		TEST(test_gaps),
		TEST(test_gap_behind_a_pause),
		TEST(test_N1_N2_last_line),
		TEST(test_N3_N4_the_servers_clock),
		TEST(test_dates_of_certificates),
		TEST(test_lag),
		TEST(test_disconnect_codes),
		TEST(test_connection_limit_line),
		TEST(test_connection_limit_line_without_an_end),
		TEST(test_certificates),
		TEST(test_count_and_duration),
		TEST(test_two_hundred_days),
		TEST(test_large_counters),
		cmocka_unit_test(test_answers_of_a_look_up),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_proxy_urls),
		cmocka_unit_test(test_N12_exceptions),
		cmocka_unit_test(test_proxy_connect),
		cmocka_unit_test(test_N12_answers),
		cmocka_unit_test(test_N12_bytes_behind_the_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
