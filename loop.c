#include "loop.h"

#include "log.h"
#include "sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#if NET_SLACK < JSON_SLACK
#error "json_scan reads behind what net_peek returns"
#endif

#define REPORT 60000u    /* ms between two reports without -s */
#define ASLEEP 60000u    /* ms: ppoll's clock stands still in suspend */
#define LATE (64u << 10) /* bytes held for a reader that is late */
#define PATIENCE 5       /* ms that it is given */
#define SAID 60000u      /* ms between two pauses that are told of */
#define BLINK 1000u      /* ms: a shorter sleep is none */

static bool reopens; /* SIGHUP opens files anew, else stops */
static volatile sig_atomic_t stop_signal, stop_count, stats_wanted, anew_wanted;

static void on_signal(int number)
{
	if (number == SIGUSR1) {
		stats_wanted = 1;
	} else if (number == SIGHUP && reopens) {
		anew_wanted = 1;
	} else {
		stop_signal = number;
		stop_count++;
	}
}

void loop_signals(bool have_names)
{
	static const int heard[] = { SIGUSR1, SIGINT, SIGTERM, SIGHUP };
	struct sigaction a = { .sa_handler = on_signal }, old;
	bool ignored;
	size_t i;

	for (i = 0; i < sizeof heard / sizeof heard[0]; i++)
		sigaddset(&a.sa_mask, heard[i]);
	sigprocmask(SIG_BLOCK, &a.sa_mask, NULL);
	for (i = 0; i < sizeof heard / sizeof heard[0]; i++) {
		sigaction(heard[i], &a, &old);
		ignored = old.sa_handler == SIG_IGN;
		if (heard[i] == SIGHUP)
			reopens =
			    have_names && (ignored || !isatty(STDERR_FILENO));
		/* what was ignored stays so, but where it is asked for */
		if (ignored && heard[i] != SIGUSR1 &&
		    !(heard[i] == SIGHUP && reopens))
			sigaction(heard[i], &old, NULL);
	}
}

static uint64_t clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct moment loop_now(void)
{
	struct moment now = { clock_ms(CLOCK_BOOTTIME),
			      clock_ms(CLOCK_REALTIME) };

	return now;
}

static void dial(struct loop *l, struct moment now)
{
	l->sent = 0;
	log_line(LOG_DEBUG, "connecting to %s port %u", l->request->url.host,
		 l->request->url.port);
	net_open(&l->net, &l->request->url, now, l->session.due);
}

/* Nonce, time and signature are those of the moment that they are sent. */
static void begin_request(struct loop *l, struct moment now)
{
	unsigned char nonce[16];
	char hex[2 * sizeof nonce + 1];
	struct text t = text_in(hex, sizeof hex);

	if (!net_random(&l->net, nonce, sizeof nonce))
		return;
	text_put_hex(&t, nonce, sizeof nonce, 'a');
	if (l->config.session.resume != NULL && l->session.in_gap)
		request_replace(l->request, l->config.session.resume->name,
				session_resume(&l->session, now));
	if (!request_build(l->request, hex, now.unix_ms / 1000)) {
		net_give_up(&l->net, "the request is too long");
		return;
	}
	session_connected(&l->session, now);
	report_head(">", l->request->head, l->request->head_n);
}

/* Send what is left of the request; once it is out it is wiped, and has no byte
 * that could be sent again. Another is made for another connection alone:
 * begin_request is called in SESSION_CONNECT, and ends that. */
static void send_request(struct loop *l)
{
	struct request *r = l->request;
	size_t all = r->head_n + r->body_n, k;

	while (l->sent < all) {
		if (l->sent < r->head_n)
			k = net_write(&l->net, r->head + l->sent,
				      r->head_n - l->sent);
		else
			k = net_write(&l->net, r->body + l->sent - r->head_n,
				      all - l->sent);
		if (k == 0)
			return;
		l->sent += k;
	}
	request_wipe(r);
}

static void step_net(struct loop *l, struct moment now)
{
	static const enum cause causes[] = {
		[NET_NETWORK] = CAUSE_NETWORK,
		[NET_CERTIFICATE] = CAUSE_CERTIFICATE,
		[NET_PROXY_REFUSED] = CAUSE_PROXY,
		[NET_LOCAL] = CAUSE_LOCAL,
		[NET_NO_LOOK_UP] = CAUSE_LOCAL,
	};
	const bool asked = l->net.phase == NET_PROXY;

	net_step(&l->net, now);
	if (asked && l->net.phase != NET_PROXY) {
		report_head(">", l->net.proxy->connect,
			    l->net.proxy->connect_n);
		report_head("<", l->net.answer.bytes, l->net.answer.n);
	}
	if (l->net.phase == NET_OPEN && l->session.phase == SESSION_CONNECT)
		begin_request(l, now);
	if (l->net.phase == NET_OPEN)
		send_request(l);
	if (l->net.phase == NET_ENDED)
		session_end(&l->session, CAUSE_EOF);
	else if (l->net.phase == NET_FAILED)
		session_end(&l->session, l->net.tls.error == BR_ERR_X509_EXPIRED
					     ? CAUSE_DATES
					     : causes[l->net.failure]);
}

/* Hand the session's message on. */
static void deliver(struct loop *l, struct moment now)
{
	const struct line *line = &l->session.line;
	bool notice = line->class != JSON_TWEET && l->files[1].pattern;

	if (!l->config.discard)
		file_line(&l->files[notice], line->p, line->n, now);
}

static bool is_full(const struct loop *l)
{
	return l->files[0].out.held > l->files[0].out.limit ||
	       l->files[1].out.held > l->files[1].out.limit;
}

static void set_paused(struct loop *l, bool paused, struct moment now)
{
	if (paused == l->paused)
		return;
	l->paused = paused;
	session_pause(&l->session, paused, now);
	if (!paused || l->pause_said || now.ms < l->next_pause)
		return;
	log_line(LOG_INFO, "the reader is slow and the buffer full: reading "
			   "from the server pauses");
	l->pause_said = true;
	l->next_pause = now.ms + SAID;
}

/* Let the session take what has been received, and act on what it says. */
static void pump(struct loop *l, struct moment now)
{
	enum session_event e;
	const unsigned char *p;
	size_t n, used;

	do {
		set_paused(l, is_full(l), now);
		if (l->paused)
			return;
		p = net_peek(&l->net, &n);
		e = session_next(&l->session, now, p, n, &used);
		if (e == SESSION_MESSAGE)
			deliver(l, now);
		report_event(e, &l->session, l->request, &l->net, now);
		net_ack(&l->net, used);
	} while (e != SESSION_ENDED &&
		 (e != SESSION_MORE || used > 0 || l->session.ending));
	if (e == SESSION_ENDED) {
		net_close(&l->net);
		request_end(l->request);
	}
}

/* Read and hand on until the network has nothing more at once; but between the
 * pieces of a handshake, which take long, signals are let in. */
static void read_on(struct loop *l, struct moment now)
{
	uint64_t before;

	do {
		before = l->net.progress;
		if (!l->paused && l->net.phase != NET_IDLE &&
		    now.ms >= l->next_read)
			step_net(l, now);
		l->session.came = l->net.came;
		pump(l, now);
	} while (!l->paused && l->net.phase != NET_HANDSHAKE &&
		 l->net.from < l->net.n && l->net.progress != before);
}

/* What has come is read before a timer is judged: we may have been stopped. */
static void turn(struct loop *l, struct moment now)
{
	read_on(l, now);
	if (session_tick(&l->session, now) == SESSION_DIAL)
		dial(l, now);
	else if (!l->session.ending)
		return;
	read_on(l, now);
}

static uint64_t earliest(const struct loop *l, struct moment now)
{
	uint64_t t = session_deadline(&l->session);

	t = net_deadline(&l->net) < t ? net_deadline(&l->net) : t;
	t = l->next_stats < t ? l->next_stats : t;
	t = now.ms + ASLEEP < t ? now.ms + ASLEEP : t;
	t = now.ms < l->next_read && l->next_read < t ? l->next_read : t;
	return l->next_live < t ? l->next_live : t;
}

static struct pollfd poll_output(const struct output *o)
{
	struct pollfd p = { o->to.fd, o->held > 0 ? POLLOUT : 0, 0 };

	if (o->to.kind == NOWAIT_FILE)
		p.fd = -1;
	return p;
}

/* A reader that is gone is noticed even when there is nothing to write. */
static void flush(struct file *f, const struct pollfd *p)
{
	if (p->fd == f->out.to.fd &&
	    (p->revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
		f->out.error = EPIPE;
	file_flush(f);
}

static size_t held(const struct loop *l)
{
	return l->files[0].out.held + l->files[1].out.held;
}

/* The reader has taken all: a pause that was told of is over. */
static void caught_up(struct loop *l)
{
	if (!l->pause_said || held(l) > 0)
		return;
	log_line(LOG_INFO, "the reader has caught up: the server is read "
			   "again");
	l->pause_said = false;
}

/* A reader that is late is given a moment before more is read, at most every
 * few milliseconds: where it keeps up but for its turns at the processor,
 * little is ever held. One that stalls does not stop us from reading. */
static void be_patient(struct loop *l, bool has_read, struct moment now)
{
	if (l->files[0].out.held < LATE)
		l->next_read = now.ms;
	else if (has_read)
		l->next_read = now.ms + PATIENCE;
}

/* Wait for bytes, room, a signal or the clock. While a descriptor is ready,
 * ppoll leaves signals pending: so that a flood does not keep them away, they
 * are let in afterwards too. */
static void wait_for(struct loop *l, struct pollfd p[3], struct moment now)
{
	uint64_t until = earliest(l, now);
	uint64_t ms = until > now.ms ? until - now.ms : 0;
	struct timespec t = { (time_t)(ms / 1000),
			      (long)(ms % 1000) * 1000000 };
	sigset_t none, blocked;

	sigemptyset(&none);
	p[0] = net_poll(&l->net);
	if (l->paused || l->net.phase == NET_IDLE || now.ms < l->next_read)
		p[0].fd = -1;
	p[1] = poll_output(&l->files[0].out);
	p[2] = poll_output(&l->files[1].out);
	if (ppoll(p, 3, &t, &none) < 0)
		p[0].revents = p[1].revents = p[2].revents = 0;
	sigprocmask(SIG_SETMASK, &none, &blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

void loop_refused(struct loop *l)
{
	const int calls[] = { sandbox_refused(), l->net.resolve.refused };
	int i;

	for (i = 0; i < 2; i++)
		if (calls[i] >= 0)
			log_line(LOG_ERROR,
				 "system call %d was refused%s: please report "
				 "this",
				 calls[i], i == 0 ? "" : " to a look-up");
	l->net.resolve.refused = -1;
}

/* What is asked for or due: statistics, report, live line. */
static void tell(struct loop *l, struct moment now)
{
	bool asked = stats_wanted != 0, due = now.ms >= l->next_stats;

	stats_wanted = 0;
	loop_refused(l);
	if (asked || (due && l->config.stats > 0))
		coverage_stats(&l->coverage, now);
	if (asked)
		coverage_log(&l->coverage, now);
	if (asked || due)
		coverage_write(&l->coverage, now);
	if (due)
		l->next_stats = now.ms + l->every;
	if (now.ms < l->next_live)
		return;
	coverage_live(&l->coverage, now);
	l->next_live = now.ms + 1000;
}

/* Write what is held for one output where the other has failed; another signal
 * gives that up. */
static void write_out(struct loop *l, struct file *f)
{
	struct pollfd p = poll_output(&f->out);
	const sig_atomic_t before = stop_count;
	sigset_t none;

	sigemptyset(&none);
	while (f->out.held > 0 && f->out.error == 0 && stop_count == before) {
		if (ppoll(&p, 1, NULL, &none) > 0)
			flush(f, &p);
		tell(l, loop_now());
	}
}

/* The end before all is written: what is lost is counted and said. */
static enum loop_end give_up(struct loop *l, struct moment now)
{
	struct file *out = &l->files[0], *notices = &l->files[1];
	struct file *f =
	    out->out.error == 0 && (notices->out.error != 0 ||
				    notices->out.held > out->out.held)
		? notices
		: out;
	const char *why = strerror(f->out.error);
	enum loop_end end = LOOP_OUTPUT;
	char more[48] = "";
	uint64_t lost;
	int unread;

	if (f->out.error == 0) {
		end = LOOP_ABANDONED;
		why = "a second signal";
	} else if (f->pattern == NULL &&
		   (f->out.error == EPIPE || f->out.error == ECONNRESET)) {
		end = LOOP_READER_GONE;
		why = "the reader has gone away";
		if (ioctl(f->out.to.fd, FIONREAD, &unread) == 0 && unread > 0)
			snprintf(more, sizeof more,
				 ", and %d bytes of others unread", unread);
	}
	session_cut(&l->session, now);
	if (end != LOOP_ABANDONED)
		write_out(l, f == out ? notices : out);
	file_give_up(out);
	file_give_up(notices);
	l->coverage.ended = why;
	lost = out->out.lost + notices->out.lost;
	log_line(end == LOOP_READER_GONE && lost == 0 ? LOG_INFO : LOG_ERROR,
		 "%s: %s; %" PRIu64 " message%s lost%s",
		 f->pattern == NULL ? "stdout" : f->name, why, lost,
		 lost == 1 ? " is" : "s are", more);
	return end;
}

static bool is_over(const struct loop *l)
{
	return l->session.phase == SESSION_OVER && held(l) == 0;
}

static void begin(struct loop *l, struct moment now)
{
	const enum auth auth = l->request->auth;

	/* OAuth 1.0a never sends its secrets */
	l->net.loopback_only =
	    !l->request->url.tls && (auth == AUTH_BEARER || auth == AUTH_BASIC);
	l->net.fd = -1;
	l->every = l->config.stats > 0 ? l->config.stats : REPORT;
	l->next_stats = now.ms + l->every;
	l->next_live = l->config.live ? now.ms : UINT64_MAX;
	l->coverage.session = &l->session;
	l->coverage.request = l->request;
	l->coverage.files = l->files;
	session_init(&l->session, &l->config.session, now);
	coverage_write(&l->coverage, now);
}

static void heed_signals(struct loop *l)
{
	size_t i;

	for (i = 0; i < 2 && anew_wanted != 0; i++)
		l->files[i].anew = l->files[i].pattern != NULL;
	anew_wanted = 0;
	if (stop_count == 0 || l->signal != 0)
		return;
	l->signal = stop_signal;
	if (l->signal == SIGHUP && isatty(STDERR_FILENO))
		log_line(LOG_INFO, "SIGHUP: the terminal has gone");
	session_end(&l->session, CAUSE_STOPPED);
}

/* How long the system slept since the turn before. */
static void note_sleep(struct loop *l, struct moment now)
{
	uint64_t awake = clock_ms(CLOCK_MONOTONIC);
	uint64_t all = now.ms > awake ? now.ms - awake : 0;

	l->net.slept = all > l->all_slept + BLINK ? all - l->all_slept : 0;
	l->all_slept = all;
}

enum loop_end loop_run(struct loop *l)
{
	struct pollfd p[3] = { { -1, 0, 0 }, { -1, 0, 0 }, { -1, 0, 0 } };
	struct moment now = loop_now();
	uint64_t before;

	begin(l, now);
	note_sleep(l, now);
	for (;;) {
		heed_signals(l);
		before = l->net.progress;
		turn(l, now);
		flush(&l->files[0], &p[1]);
		flush(&l->files[1], &p[2]);
		be_patient(l, l->net.progress != before, now);
		if (l->files[0].out.error != 0 || l->files[1].out.error != 0 ||
		    (stop_count > 1 && !is_over(l)))
			return give_up(l, now);
		if (l->paused && !is_full(l))
			continue;
		if (is_over(l))
			break;
		caught_up(l);
		wait_for(l, p, now);
		now = loop_now();
		note_sleep(l, now);
		tell(l, now);
	}
	return l->session.verdict == BACKOFF_FATAL ? LOOP_FATAL : LOOP_DONE;
}
