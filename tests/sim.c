/* The whole loop on simulated system calls and a clock of its own: the linker's
 * --wrap puts this world between the shipped sources and the kernel. From a
 * seed come a server, a resolver, a reader and their faults; an oracle that was
 * written from the README's rules, not from the sources, knows what must be
 * delivered, when the next attempt is due and what the statistics must say.
 *
 *     sim SEED [N] [DAYS]    N runs (1) from SEED on, of DAYS (1) each
 *
 * The first seed that fails is named; it fails again when it is run alone. */
#include "../log.h"
#include "../loop.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EPOCH 1795000000000u /* ms */
#define DAY (86400u * 1000u)
#define NEVER UINT64_MAX
#define SECRET "s3cret-of-the-simulation"
enum { SOCKET_FD = 100, NAME_FD, OUT_FD, NOTICES_FD };

/* Chance: splitmix64. */

static uint64_t seed, dice;

static uint64_t roll(void)
{
	uint64_t z = dice += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
	return roll() % n;
}

static bool chance(unsigned percent)
{
	return below(100) < percent;
}

/* What happens, mostly soon, sometimes late. */
static uint64_t soon(void)
{
	return chance(80) ? below(50) : below(12000);
}

static struct loop *l;
static uint64_t now, world_end;
static uint64_t
    asleep;          /* of it: between connections this machine sleeps a lot */
static int64_t skew; /* somebody sets the wall clock */

__attribute__((noreturn, format(printf, 1, 2))) static void
fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	printf("seed %" PRIu64 " at %" PRIu64 " ms: ", seed, now);
	vprintf(format, ap);
	printf("\n");
	va_end(ap);
	exit(1);
}

/* What must come out, and what has: a queue of bytes for each descriptor. */

#define QUEUE (1u << 23)

static struct reader {
	unsigned char queue[QUEUE];
	uint64_t expected, written; /* bytes in all */
	uint64_t lines, whole;      /* the same in lines */
	size_t used;                /* bytes in the pipe */
	uint64_t drains_at;
	bool ready; /* the last poll said so */
} readers[2];

static int broken;                /* errno of all writes from now on, or 0 */
static uint64_t breaks_at;        /* when that begins */
static enum nowait_kind out_kind; /* of both outputs */
static bool cuts;                 /* writes end anywhere, as on a terminal */
static bool slow;                 /* the reader sleeps for long */
static unsigned spins;            /* polls without any progress */
static uint64_t moved;            /* what was done since the last poll */
static uint64_t waits_said;       /* log lines that announce an attempt */
static double last_said;          /* seconds */

static void expect(struct reader *r, const char *p, size_t n)
{
	size_t i;

	if (r->expected + n + 1 - r->written > QUEUE)
		fail("more is held than can be");
	for (i = 0; i <= n; i++)
		r->queue[(r->expected + i) % QUEUE] =
		    (unsigned char)(i == n ? '\n' : p[i]);
	r->expected += n + 1;
	r->lines++;
}

static size_t room(const struct reader *r)
{
	return 65536 - r->used;
}

static ssize_t take(struct reader *r, const void *p, size_t n)
{
	const unsigned char *b = p;
	size_t i;

	if (broken != 0) {
		errno = broken;
		return -1;
	}
	for (i = 0; i < n; i++, r->written++) {
		if (r->written == r->expected)
			fail("a byte too many is written");
		if (b[i] != r->queue[r->written % QUEUE])
			fail("a wrong byte is written");
		r->whole += b[i] == '\n';
	}
	if (r->used == 0)
		r->drains_at =
		    now + (slow && chance(2) ? below(7200000) : below(30));
	r->used += n;
	r->ready = false;
	moved++;
	return (ssize_t)n;
}

/* The server's side of one connection. */

enum kind {
	TWEET,
	LIMIT,
	DELETE,
	WARNING,
	OTHER,
	BAD,
	KEEPALIVE,
	LAST,
	CUT, /* the last, without the end of its line */
	KINDS
};
enum outcome { NETWORK, ENDED, SERVER, LIMITED, FATAL, COMPLETE };

struct mark { /* a line is complete at this offset of the wire */
	uint64_t at;
	enum kind kind;
	enum outcome outcome; /* of LAST */
	char text[512];       /* as it is to be written; none if it is not */
};

#define MARKS 512
#define WIRE (1u << 19)

static struct {
	uint64_t answer_at; /* of the resolver */
	enum resolve_result answer;
	int addresses;

	bool open, connected, wants_connect;
	uint64_t connect_at;
	int connect_error;

	char head[8192];
	size_t head_n, request_left;
	bool asked; /* the whole request has come */
	uint64_t unblocks_at;

	unsigned char wire[WIRE];
	bool is_body[WIRE];       /* else head or framing */
	uint64_t made, delivered; /* bytes of the wire in all */
	uint64_t head_end, body_seen_at, opened_at;
	int status;
	uint64_t retry_after;
	unsigned long left; /* messages to come */
	uint64_t pace;      /* ms between them, at most */
	uint64_t next_at, end_at;
	int end; /* 0: FIN; ECONNRESET; -1: silence */
	struct mark marks[MARKS];
	unsigned first, last; /* marks [first, last) wait */
	bool over;            /* LAST was delivered */
	enum outcome outcome;
	uint64_t ended_at; /* when the last socket or look-up failed */
} c;

static uint64_t seen[KINDS], connects, attempts, messages;

/* What the run covers, as the server sees it. */
static struct {
	bool any, open; /* a stream was; a gap is */
	uint64_t started, first, since, gaps, ms;
} missed;

/* A run of years has fewer messages, and no end before its time. */
static bool years(void)
{
	return world_end > 30 * (uint64_t)DAY;
}

static void send_as(const void *p, size_t n, bool is_body)
{
	const unsigned char *b = p;
	size_t i;

	for (i = 0; i < n; i++) {
		c.wire[(c.made + i) % WIRE] = b[i];
		c.is_body[(c.made + i) % WIRE] = is_body;
	}
	c.made += n;
}

static void send_bytes(const void *p, size_t n)
{
	send_as(p, n, false);
}

static void send_text(const char *s)
{
	send_bytes(s, strlen(s));
}

static void send_chunk(const void *p, size_t n)
{
	char size[40];

	snprintf(size, sizeof size, chance(10) ? "%zX;x=y\r\n" : "%zx\r\n", n);
	send_bytes(size, strlen(size));
	send_as(p, n, true);
	send_bytes("\r\n", 2);
}

/* One line in one chunk or two; its end is marked. */
static void send_line(enum kind kind, enum outcome outcome, const char *sent,
		      const char *written)
{
	char line[600];
	size_t n = (size_t)snprintf(line, sizeof line, "%s\r\n", sent);
	size_t cut = chance(20) ? below(n) : 0;
	struct mark *m = &c.marks[c.last++ % MARKS];

	if (cut > 0)
		send_chunk(line, cut);
	send_chunk(line + cut, n - cut);
	m->kind = kind;
	m->outcome = outcome;
	m->at = c.made - 2; /* the chunk's own end is not the line's */
	snprintf(m->text, sizeof m->text, "%s", written);
}

static void send_message(void)
{
	char a[400], b[400], fill[201];
	uint64_t n = ++messages;
	unsigned size = (unsigned)below(200), which = (unsigned)below(100);

	memset(fill, 'x', size);
	fill[size] = '\0';
	if (which < 60) {
		snprintf(a, sizeof a,
			 "{\"id\":%" PRIu64 ",\"text\":\"%s\\u00e4\","
			 "\"x\":[1,{\"limit\":null}]}",
			 n, fill);
		send_line(TWEET, ENDED, a, a);
	} else if (which < 65) {
		snprintf(a, sizeof a, "{\"limit\":\n{\"track\":%" PRIu64 "}}",
			 n);
		snprintf(b, sizeof b, "{\"limit\": {\"track\":%" PRIu64 "}}",
			 n);
		send_line(LIMIT, ENDED, a, b);
	} else if (which < 70) {
		snprintf(a, sizeof a, "{\"delete\":{\"status\":%" PRIu64 "}}",
			 n);
		send_line(DELETE, ENDED, a, a);
	} else if (which < 72) {
		snprintf(a, sizeof a,
			 "{\"warning\":{\"code\":\"%" PRIu64 "\"}}", n);
		send_line(WARNING, ENDED, a, a);
	} else if (which < 76) {
		snprintf(a, sizeof a, " {\"event\" : %" PRIu64 "e1} ", n);
		send_line(OTHER, ENDED, a, a + 1); /* no blank */
	} else if (which < 80) {
		snprintf(a, sizeof a, "{\"text\":\"%" PRIu64 "\"%s", n,
			 chance(50) ? "" : ",}");
		send_line(BAD, ENDED, a, "");
	} else {
		send_line(KEEPALIVE, ENDED, "", "");
	}
}

/* The same without the end of its line, in a body that ends as it should or
 * does not: it means the same, but an object that was cut is not written. */
static void send_without_end(enum outcome outcome, const char *line)
{
	struct mark *m = &c.marks[c.last++ % MARKS];
	bool json = line[0] == '{', proper = chance(50);

	send_chunk(line, strlen(line));
	m->at = c.made - 2;
	if (proper) {
		send_text("0\r\n\r\n");
		m->at = c.made;
	}
	m->kind = json && !proper ? CUT : LAST;
	m->outcome = outcome;
	snprintf(m->text, sizeof m->text, "%s", json && proper ? line : "");
}

/* What a server says last before it hangs up; often nothing. */
static void send_last(void)
{
	static const struct {
		const char *line;
		enum outcome outcome;
	} list[] = {
		{ "{\"disconnect\":{\"code\":1}}", ENDED },
		{ "{\"disconnect\":{\"code\":4,\"reason\":\"x\"}}", ENDED },
		{ "{\"disconnect\":{\"code\":2}}", LIMITED },
		{ "{\"disconnect\":{\"code\":7}}", LIMITED },
		{ "{\"disconnect\":{\"code\":12}}", ENDED },
		{ "{\"disconnect\":{\"code\":503}}", SERVER },
		{ "{\"disconnect\":{\"code\":420}}", LIMITED },
		{ "Exceeded connection limit for user", LIMITED },
		{ "{\"disconnect\":{\"code\":6}}", FATAL },
		{ "{\"disconnect\":{\"code\":9}}", COMPLETE },
	};
	size_t i = below(!years() && chance(1) ? 10 : 8);
	bool json = list[i].line[0] == '{';

	if (chance(10)) {
		send_without_end(list[i].outcome, list[i].line);
	} else if (chance(30)) {
		send_line(LAST, list[i].outcome, list[i].line,
			  json ? list[i].line : "");
		if (chance(50))
			send_message(); /* after it: not to be written */
	} else if (chance(20)) {
		send_text("zz\r\n"); /* not a chunk size */
	} else if (chance(20)) {
		send_text("0\r\n\r\n{\"text\":1}\r\n");
	} else if (chance(50)) {
		send_text("40\r\n");
		send_as("{\"text\":\"half", 13, true);
	}
}

static void answer(void)
{
	static const int statuses[] = { 503, 500, 502, 420, 429, 503, 401 };
	char head[300];
	int n;

	c.end = chance(10) ? -1 : chance(50) ? 0 : ECONNRESET;
	c.end_at = c.next_at = NEVER;
	c.status = 200;
	if (chance(5)) {
		send_bytes("SSH-2.0-x\r\n", chance(50) ? 11 : below(12));
		c.end_at = now + soon();
		c.head_end = NEVER;
		return;
	}
	if (chance(25))
		c.status = statuses[below(!years() && chance(2) ? 7 : 6)];
	c.retry_after = chance(20) ? below(2000) : 0;
	n = snprintf(head, sizeof head,
		     "%sHTTP/1.1 %d x\r\nRetry-After: %" PRIu64 "\r\n%s\r\n",
		     chance(5) ? "HTTP/1.1 100 Continue\r\n\r\n" : "", c.status,
		     c.retry_after,
		     c.status == 200 ? "Transfer-Encoding: chunked\r\n"
				     : "Content-Length: 9\r\n");
	send_bytes(head, (size_t)n);
	c.head_end = c.made;
	if (c.status != 200) {
		send_bytes("{\"no\":1}\n", 9);
		c.end_at = now + soon();
		return;
	}
	c.left = chance(30) ? below(5) : below(400);
	c.pace = chance(30) ? 10 : chance(50) ? 2000 : 80000;
	if (years())
		c.pace = 89000;
	c.next_at = now + below(c.pace);
}

/* What the server does by now. */
static void serve(void)
{
	while (c.connected && c.next_at <= now &&
	       c.made - c.delivered < 65536 && c.last - c.first < MARKS - 4) {
		if (c.left-- == 0) {
			send_last();
			c.end_at = now + soon();
			c.next_at = NEVER;
		} else {
			send_message();
			c.next_at += below(c.pace) + (chance(1) ? 95000 : 0);
		}
	}
}

static void end_gap(void)
{
	if (!missed.open)
		return;
	missed.open = false;
	missed.gaps++;
	missed.ms += now - missed.since;
}

/* Bytes up to here have reached the client, from there on: what follows. */
static void reached(uint64_t from)
{
	struct mark *m;
	bool tweet;

	if (c.delivered >= c.head_end && c.status == 200 &&
	    c.opened_at == NEVER) {
		c.opened_at = c.body_seen_at = now;
		connects++;
		if (!missed.any)
			missed.first = now;
		missed.any = true;
	}
	for (; from < c.delivered; from++) {
		if (!c.is_body[from % WIRE])
			continue;
		c.body_seen_at = now;
		end_gap();
	}
	for (; c.first != c.last && !c.over; c.first++) {
		m = &c.marks[c.first % MARKS];
		if (m->at > c.delivered)
			return;
		seen[m->kind == LAST && m->text[0] == '\0' ? BAD : m->kind]++;
		tweet = m->kind == TWEET;
		if (m->text[0] != '\0')
			expect(&readers[!tweet && l->files[1].pattern], m->text,
			       strlen(m->text));
		if (m->kind == LAST || m->kind == CUT) {
			c.over = true;
			c.outcome = m->outcome;
		}
	}
}

/* The rules of the README, written again. */

static struct {
	bool any;
	uint64_t at, wait;
	unsigned failures;
} rules;

static uint64_t rule(enum outcome o, bool up)
{
	uint64_t base =
	    rules.any && now - rules.at < 1800000 ? rules.wait : 1000;
	uint64_t wait;

	if (up)
		rules.failures = 0;
	if (o == SERVER || o == LIMITED) {
		if (o == LIMITED)
			wait = base > 30000 ? 2 * base : 60000;
		else
			wait = base > 160000 ? 320000
			       : base > 2500 ? 2 * base
					     : 5000;
		rules.any = true;
		rules.at = now;
		rules.wait = wait;
		return wait;
	}
	if (o == ENDED && up)
		return 0;
	rules.failures++;
	return rules.failures > 64 ? 16000 : 250u * rules.failures;
}

static uint64_t due; /* of the next attempt; NEVER: none may follow */

/* The attempt has ended, here and now: when is the next one due? */
static void attempt_over(void)
{
	bool stream = c.opened_at != NEVER, polite;
	bool up = stream && now - c.opened_at >= 16000;
	enum outcome o = NETWORK;
	uint64_t wait;

	polite = !stream && c.made > 0 && c.delivered >= c.head_end;
	if (polite)
		o = c.status == 420 || c.status == 429 ? LIMITED
		    : c.status >= 500                  ? SERVER
						       : FATAL;
	else if (stream && c.over)
		o = c.outcome;
	else if (stream && now - c.body_seen_at < 90000)
		o = ENDED;
	c.ended_at = now;
	if (stream && !missed.open && o != COMPLETE) {
		missed.open = true;
		missed.since = c.body_seen_at;
	}
	if (o == FATAL || o == COMPLETE) {
		due = NEVER;
		return;
	}
	wait = rule(o, up);
	if (polite && (c.status == 420 || c.status == 429 || c.status == 503)) {
		uint64_t told = c.retry_after > 900 ? 900 : c.retry_after;

		wait = told * 1000 > wait ? told * 1000 : wait;
	}
	due = now + wait;
}

/* The system calls. */

int __real_close(int fd);
int __wrap_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t,
		 const sigset_t *mask);
int __wrap_poll(struct pollfd *p, nfds_t n, int ms);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
enum resolve_result __wrap_resolve_ask(struct resolve *r, const char *host,
				       bool rooted);
enum resolve_result __wrap_resolve_read(struct resolve *r, struct address *list,
					size_t *count);
int __wrap_socket(int family, int type, int protocol);
int __wrap_setsockopt(int fd, int level, int name, const void *p, socklen_t n);
int __wrap_getsockopt(int fd, int level, int name, void *p, socklen_t *n);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t n);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags);
int __wrap_close(int fd);
int __wrap_getentropy(void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __real_write(int fd, const void *p, size_t n);
int __wrap_ioctl(int fd, int request, int *used);
static short ready(const struct pollfd *p);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	uint64_t ms = now;

	if (id == CLOCK_MONOTONIC)
		ms -= asleep;
	if (id == CLOCK_REALTIME) {
		if (chance(1))
			skew = (int64_t)below(2 * DAY) - (int64_t)DAY;
		ms += EPOCH + (uint64_t)skew;
	}
	t->tv_sec = (time_t)(ms / 1000);
	t->tv_nsec = (long)(ms % 1000) * 1000000;
	return 0;
}

enum resolve_result __wrap_resolve_ask(struct resolve *r, const char *host,
				       bool rooted)
{
	(void)host;
	(void)rooted;
	if (c.open)
		fail("an attempt while a socket is open");
	if (now != due)
		fail("an attempt at this time; it was due at %" PRIu64, due);
	if (attempts > 0 && waits_said != attempts)
		fail("%" PRIu64 " waits were announced", waits_said);
	attempts++;
	moved++;
	memset(&c, 0, offsetof(__typeof__(c), wire));
	memset((char *)&c + offsetof(__typeof__(c), made), 0,
	       sizeof c - offsetof(__typeof__(c), made));
	c.opened_at = c.head_end = c.next_at = c.end_at = NEVER;
	r->fd = NAME_FD;
	c.answer = chance(90)   ? RESOLVE_OK
		   : chance(50) ? RESOLVE_NO_NAME
				: RESOLVE_NO_ANSWER;
	c.answer_at = chance(2) ? NEVER : now + soon();
	c.addresses = 1 + (int)below(4);
	return chance(2) ? RESOLVE_FAILED : RESOLVE_MORE;
}

enum resolve_result __wrap_resolve_read(struct resolve *r, struct address *list,
					size_t *count)
{
	int i;

	(void)r;
	if (now < c.answer_at)
		return RESOLVE_MORE;
	moved++;
	memset(list, 0, ADDRESSES_MAX * sizeof *list);
	for (i = 0; i < c.addresses; i++) {
		list[i].family = chance(50) ? 4 : 6;
		list[i].ip[0] = (unsigned char)(i + 1);
	}
	*count = (size_t)i;
	return c.answer;
}

int __wrap_socket(int family, int type, int protocol)
{
	(void)family;
	(void)protocol;
	if (c.open)
		fail("a second socket");
	if ((type & SOCK_NONBLOCK) == 0 || (type & SOCK_CLOEXEC) == 0)
		fail("a socket that blocks");
	moved++;
	if (chance(2)) {
		errno = chance(50) ? EMFILE : ENOBUFS;
		return -1;
	}
	c.open = true;
	c.connected = c.wants_connect = false;
	return SOCKET_FD;
}

int __wrap_setsockopt(int fd, int level, int name, const void *p, socklen_t n)
{
	(void)level;
	(void)name;
	(void)p;
	(void)n;
	if (fd != SOCKET_FD || !c.open)
		fail("setsockopt on no socket");
	return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *p, socklen_t *n)
{
	int e = 0;

	if (fd != SOCKET_FD || !c.open)
		fail("getsockopt on no socket");
	if (level == IPPROTO_TCP && name == TCP_INFO) {
		memset(p, 0, *n); /* all that is here came just now */
		return 0;
	}
	if (c.wants_connect && now >= c.connect_at)
		e = c.connect_error;
	memcpy(p, &e, *n);
	return 0;
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t n)
{
	static const int errors[] = { ECONNREFUSED, EHOSTUNREACH, ENETUNREACH,
				      ETIMEDOUT, EADDRNOTAVAIL };

	(void)to;
	(void)n;
	if (fd != SOCKET_FD || !c.open || c.connected)
		fail("connect at the wrong time");
	moved++;
	if (!c.wants_connect) {
		c.wants_connect = true;
		c.connect_error = chance(70) ? 0 : errors[below(5)];
		c.connect_at = chance(5)    ? NEVER
			       : chance(20) ? now
					    : now + soon();
	}
	errno = chance(10) ? EINTR : EINPROGRESS;
	if (now < c.connect_at) {
		moved--;
		return -1;
	}
	errno = c.connect_error;
	c.connected = c.connect_error == 0;
	return c.connected ? 0 : -1;
}

/* The request as it comes: its head, then as much body as that says. */
static void read_request(const char *p, size_t n)
{
	const char *end, *length;
	size_t i;

	for (i = 0; i < n; i++) {
		if (c.asked)
			fail("bytes behind the request");
		if (c.request_left > 0) {
			c.asked = --c.request_left == 0;
			continue;
		}
		if (c.head_n == sizeof c.head - 1)
			fail("the request's head does not end");
		c.head[c.head_n++] = p[i];
		c.head[c.head_n] = '\0';
		end = c.head_n < 4 ? "" : c.head + c.head_n - 4;
		if (strcmp(end, "\r\n\r\n") != 0)
			continue;
		length = strstr(c.head, "\r\nContent-Length: ");
		if (length == NULL || strncmp(c.head, "POST /x HTTP/1.1", 16))
			fail("not the request that was asked for");
		c.request_left = (size_t)atol(length + 18);
	}
	if (c.asked)
		answer();
}

ssize_t __wrap_send(int fd, const void *p, size_t n, int flags)
{
	if (fd != SOCKET_FD || !c.connected || (flags & MSG_NOSIGNAL) == 0)
		fail("send at the wrong time");
	if (chance(20) || now < c.unblocks_at) {
		errno = EINTR;
		if (chance(50) || now < c.unblocks_at) {
			errno = EAGAIN;
			if (now >= c.unblocks_at)
				c.unblocks_at =
				    chance(3) ? NEVER : now + below(3000);
		}
		return -1;
	}
	if (chance(30))
		n = 1 + below(n);
	moved++;
	read_request(p, n);
	return (ssize_t)n;
}

ssize_t __wrap_recv(int fd, void *p, size_t n, int flags)
{
	unsigned char *b = p;
	size_t i;

	(void)flags;
	if (fd != SOCKET_FD || !c.connected)
		fail("recv at the wrong time");
	serve();
	if (chance(5)) {
		errno = EINTR;
		return -1;
	}
	if (c.delivered < c.made) {
		if (n > c.made - c.delivered)
			n = (size_t)(c.made - c.delivered);
		if (chance(30))
			n = 1 + below(n);
		for (i = 0; i < n; i++)
			b[i] = c.wire[(c.delivered + i) % WIRE];
		c.delivered += n;
		moved++;
		reached(c.delivered - n);
		return (ssize_t)n;
	}
	errno = EAGAIN;
	if (now < c.end_at || c.end < 0)
		return -1;
	moved++;
	errno = c.end;
	return c.end == 0 ? 0 : -1;
}

int __wrap_close(int fd)
{
	if (fd != SOCKET_FD)
		return __real_close(fd);
	if (!c.open)
		fail("a socket is closed twice");
	c.open = c.connected = false;
	moved++;
	return 0;
}

int __wrap_getentropy(void *p, size_t n)
{
	unsigned char *b = p;
	size_t i;

	for (i = 0; i < n; i++)
		b[i] = (unsigned char)roll();
	return 0;
}

int __wrap_poll(struct pollfd *p, nfds_t n, int ms)
{
	if (n != 1 || ms != 0)
		fail("a poll that waits");
	p->revents = p->fd == STDERR_FILENO ? POLLOUT : ready(p);
	return p->revents != 0;
}

/* The log; what it says of waits is noted. */
static void read_log(const char *p, size_t n)
{
	char line[2100];
	const char *at;

	snprintf(line, sizeof line, "%.*s", (int)n, p);
	if (strstr(line, SECRET) != NULL)
		fail("a secret in the log: %s", line);
	if (line[n - 1] != '\n')
		fail("half a line in the log");
	at = strstr(line, "next attempt in ");
	if (at != NULL) {
		waits_said++;
		last_said = atof(at + 16);
		attempt_over();
		if (due == NEVER ||
		    last_said * 1000 - (double)(due - now) > 51 ||
		    (double)(due - now) - last_said * 1000 > 51)
			fail("an attempt is announced in %g s: %s", last_said,
			     line);
	}
	if (getenv("SIM_LOG") != NULL)
		printf("%" PRIu64 " %s", now, line + 21);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	struct reader *r = &readers[fd == NOTICES_FD];

	if (fd != OUT_FD && fd != NOTICES_FD) {
		read_log(p, n);
		return (ssize_t)n;
	}
	if (fd != OUT_FD && fd != NOTICES_FD)
		return __real_write(fd, p, n);
	if (out_kind == NOWAIT_PIPE && (!r->ready || n > PIPE_BUF))
		fail("a write that may block");
	if (broken != 0)
		return take(r, p, n);
	errno = chance(5) ? EINTR : EAGAIN;
	if (out_kind != NOWAIT_PIPE &&
	    (errno == EINTR || room(r) < (n <= PIPE_BUF ? n : 1)))
		return -1;
	n = n < room(r) ? n : room(r);
	if (cuts && chance(20))
		n = 1 + below(n);
	else if (((const char *)p)[n - 1] != '\n')
		fail("a line is cut");
	return take(r, p, n);
}

/* FIONREAD: what is in the pipe. */
int __wrap_ioctl(int fd, int request, int *used)
{
	if (request != FIONREAD || (fd != OUT_FD && fd != NOTICES_FD))
		fail("an unexpected ioctl");
	*used = (int)readers[fd == NOTICES_FD].used;
	return 0;
}

static void drain(struct reader *r)
{
	if (r->used == 0 || now < r->drains_at)
		return;
	r->used -= 1 + below(r->used);
	r->drains_at = now + (slow && chance(2) ? below(7200000) : below(30));
}

static short ready(const struct pollfd *p)
{
	struct reader *r = &readers[p->fd == NOTICES_FD];
	short e = 0;

	switch (p->fd) {
	case NAME_FD:
		return now >= c.answer_at ? POLLIN : 0;
	case SOCKET_FD:
		if (!c.open)
			fail("a closed socket is polled");
		if (!c.connected)
			return c.wants_connect && now >= c.connect_at ? POLLOUT
								      : 0;
		if (c.delivered < c.made || (now >= c.end_at && c.end >= 0))
			e |= POLLIN;
		if (now >= c.end_at && c.end > 0)
			e |= POLLERR | POLLHUP;
		if (now >= c.unblocks_at)
			e |= POLLOUT;
		return e & (p->events | POLLERR | POLLHUP);
	case OUT_FD:
	case NOTICES_FD:
		if (broken == EPIPE)
			return POLLERR;
		if ((broken != 0 || room(r) >= PIPE_BUF) && p->events != 0) {
			r->ready = true;
			e = POLLOUT;
		}
		return e;
	}
	fail("descriptor %d is polled", p->fd);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return b > now && b < a ? b : a;
}

static uint64_t next_event(void)
{
	uint64_t t = NEVER;
	int i;

	t = sooner(t, c.answer_at);
	t = sooner(t, c.connect_at);
	t = sooner(t, c.unblocks_at);
	t = sooner(t, c.end_at);
	t = sooner(t, breaks_at);
	if (c.connected)
		t = sooner(t, c.next_at);
	for (i = 0; i < 2; i++)
		if (readers[i].used > 0)
			t = sooner(t, readers[i].drains_at);
	return t;
}

static void pass(void)
{
	int i;

	serve();
	for (i = 0; i < 2; i++)
		drain(&readers[i]);
	if (now >= breaks_at && broken == 0)
		broken = chance(50) ? EPIPE : ENOSPC;
}

int __wrap_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t,
		 const sigset_t *mask)
{
	uint64_t until = NEVER, next;
	int count;
	nfds_t i;

	(void)mask;
	if (t != NULL)
		until = now + (uint64_t)t->tv_sec * 1000 +
			(uint64_t)(t->tv_nsec + 999999) / 1000000;
	spins = moved > 0 ? 0 : spins + 1;
	moved = 0;
	if (spins > 100)
		fail("it polls and does nothing");
	if (chance(1)) {
		errno = EINTR;
		return -1;
	}
	for (;;) {
		pass();
		for (count = 0, i = 0; i < n; i++) {
			p[i].revents = p[i].fd < 0 ? 0 : ready(&p[i]);
			count += p[i].revents != 0;
		}
		if (count > 0 || now >= until)
			return count;
		next = next_event();
		if (next == NEVER && until == NEVER)
			fail("it would wait for ever");
		next = next < until ? next : until;
		if (!c.open)
			asleep += (next - now) / 4;
		now = next;
		spins = 0;
	}
}

/* One run. */

static uint64_t all_gaps;

static void set_up(struct request *r, uint64_t days)
{
	size_t size = l->files[0].out.size;
	unsigned char *old[2] = { l->files[0].out.buffer,
				  l->files[1].out.buffer };

	dice = seed;
	now = 1000 + below(100000);
	asleep = 0;
	due = now;
	world_end = days * DAY;
	memset(l, 0, sizeof *l);
	memset(&rules, 0, sizeof rules);
	memset(seen, 0, sizeof seen);
	memset(&missed, 0, sizeof missed);
	missed.started = now;
	memset(readers, 0, offsetof(struct reader, expected));
	readers[0].expected = readers[0].written = readers[0].lines = 0;
	readers[0].whole = readers[0].used = 0;
	readers[1].expected = readers[1].written = readers[1].lines = 0;
	readers[1].whole = readers[1].used = 0;
	connects = attempts = messages = waits_said = moved = 0;
	skew = 0;
	spins = 0;
	broken = 0;
	breaks_at = !years() && chance(3) ? now + below(world_end) : NEVER;
	out_kind = chance(30) ? NOWAIT_PIPE : NOWAIT_OPEN;
	cuts = chance(50);
	slow = chance(20);
	memset(&c, 0, offsetof(__typeof__(c), wire));
	c.connected = c.open = false;
	c.opened_at = NEVER;
	if (!output_init(&l->files[0].out, OUT_FD, 65536) ||
	    !output_init(&l->files[1].out, NOTICES_FD, 65536))
		fail("no memory");
	l->files[0].out.to.kind = l->files[1].out.to.kind = out_kind;
	l->files[0].out.pipe_size = l->files[1].out.pipe_size =
	    cuts || out_kind == NOWAIT_PIPE ? -1 : 65536;
	if (old[0] != NULL) { /* the last run's are as good */
		munmap(l->files[0].out.buffer, size);
		munmap(l->files[1].out.buffer, size);
		l->files[0].out.buffer = old[0];
		l->files[1].out.buffer = old[1];
	}
	l->files[1].pattern = chance(50) ? "n" : NULL;
	l->request = r;
	l->net.resolve.refused = -1;
	l->config.session.tweet_key = "text";
	l->config.session.stall = 90000;
	l->config.session.duration = world_end;
	l->config.stats = chance(50) ? 3600000 : 0;
}

/* All of the run is in one of three, and the gaps are those that the server
 * saw; with a slow reader they may be told too long, never too short. */
static void judge_coverage(void)
{
	struct moment m = { now, EPOCH };
	struct session_coverage told = session_covers(&l->session, m);
	uint64_t before;

	now = l->session.due; /* the run is; it is written to the end since */
	before = (missed.any ? missed.first : now) - missed.started;
	end_gap();
	if (told.run != now - missed.started ||
	    told.run != told.covered + told.gap_ms + told.before)
		fail("%" PRIu64 " ms are not the sum", told.run);
	if (told.before != before || told.gaps != missed.gaps ||
	    told.gap_ms < missed.ms || (!slow && told.gap_ms != missed.ms))
		fail("told: before %" PRIu64 ", %" PRIu64 " gaps of %" PRIu64
		     " ms; seen: %" PRIu64 ", %" PRIu64 ", %" PRIu64,
		     told.before, told.gaps, told.gap_ms, before, missed.gaps,
		     missed.ms);
	all_gaps += told.gaps;
}

/* The end's own account must be the world's. */
static void judge(enum loop_end end)
{
	const struct session_stats *s = &l->session.stats;
	uint64_t notices = seen[LIMIT] + seen[DELETE] + seen[WARNING] +
			   seen[OTHER] + seen[LAST];
	uint64_t lost;

	/* an output that broke after the last write is nobody's concern */
	if (broken != 0 && (end == LOOP_OUTPUT || end == LOOP_READER_GONE)) {
		if (end != (broken == EPIPE ? LOOP_READER_GONE : LOOP_OUTPUT))
			fail("a broken output ended with %d", end);
		lost = l->files[0].out.lost + l->files[1].out.lost;
		if (readers[0].lines + readers[1].lines !=
		    readers[0].whole + readers[1].whole + lost)
			fail("lines lost without a word");
		return;
	}
	if (l->session.verdict == BACKOFF_FATAL)
		attempt_over();
	if ((end == LOOP_FATAL) != (l->session.verdict == BACKOFF_FATAL) ||
	    (end == LOOP_FATAL && due != NEVER))
		fail("ended with %d", end);
	if (readers[0].written != readers[0].expected ||
	    readers[1].written != readers[1].expected)
		fail("messages are missing at the end");
	if (c.open)
		fail("a socket is left open");
	judge_coverage();
	if (s->tweets != seen[TWEET] || s->notices != notices ||
	    s->malformed != seen[BAD] || s->keepalives != seen[KEEPALIVE] ||
	    s->connects != connects)
		fail("the statistics are wrong");
}

int main(int argc, char **argv)
{
	static struct request request;
	uint64_t from = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t days = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	static const struct keys keys = { .value = { "key", SECRET, "token",
						     SECRET } };
	uint64_t all_attempts = 0, all_lines = 0, all_connects = 0;

	l = calloc(1, sizeof *l);
	if (l == NULL || request_url(&request, "http://sim.example/x") != NULL)
		return 2;
	request_param(&request, "stall_warnings", "true");
	request_keys(&request, &keys);
	log_init(LOG_DEBUG, false, &request.secrets);
	for (seed = from; seed < from + n; seed++) {
		set_up(&request, days);
		judge(loop_run(l));
		all_attempts += attempts;
		all_connects += connects;
		all_lines += readers[0].lines + readers[1].lines;
	}
	printf("%" PRIu64 " runs of %" PRIu64 " days: %" PRIu64
	       " attempts, %" PRIu64 " streams, %" PRIu64 " gaps, %" PRIu64
	       " messages: all as the rules say\n",
	       n, days, all_attempts, all_connects, all_gaps, all_lines);
	return 0;
}
