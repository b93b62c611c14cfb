/* The session on a clock of our own: months pass in milliseconds. */
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
	struct session_config c = { "text", 90000, 0, 0, false };

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

/* Give bytes, expect this event, with all bytes used if it is MORE. */
static void give(const char *p, enum session_event want)
{
	size_t n = strlen(p), used;
	enum session_event e = SESSION_MORE;

	do {
		e = session_next(s, at(now), (const unsigned char *)p, n,
				 &used);
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
	session_connected(s);
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
	dial();
	for (; session_deadline(s) > now; now += 1000) {
		assert_int_equal(session_tick(s, at(now)), SESSION_MORE);
		give("H", SESSION_MORE);
		session_connected(s);
	}
	assert_int_equal(now, 35000);
	session_tick(s, at(now));
	give("", SESSION_ENDED);
	assert_int_equal(s->cause, CAUSE_TIMEOUT);
}

static void test_gaps(void **state)
{
	(void)state;
	open_stream();
	give_chunk(TWEET, SESSION_MESSAGE);
	give("\r\n", SESSION_MORE);
	now += 20000;
	give_chunk("", SESSION_MORE);
	now += 7000;
	end(CAUSE_NETWORK, 0);
	now += 1000;
	open_stream();
	now += 500;
	give_chunk(TWEET, SESSION_MESSAGE);
	assert_int_equal(resumed, 1);
	assert_int_equal(s->gap.ms, 8500);
	assert_int_equal(s->gap.cause, CAUSE_NETWORK);
	assert_int_equal(s->stats.gaps, 1);
	assert_int_equal(s->stats.connected_ms, 27000);
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
	struct session_config c = { "text", 90000, 60000, 2, false };

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
	assert_int_equal(s->stats.gaps, gaps - 1);
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
		TEST(test_gaps),
		TEST(test_disconnect_codes),
		TEST(test_connection_limit_line),
		TEST(test_connection_limit_line_without_an_end),
		TEST(test_certificates),
		TEST(test_count_and_duration),
		TEST(test_two_hundred_days),
		TEST(test_large_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
