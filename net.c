#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESOLVE_MS 10000 /* for a look-up */
#define CONNECT_MS 10000 /* for an address, or its share of what is left */
#define PIECE 1024 /* bytes of a handshake at once: certificates take ms */

const char *net_phase_text(enum net_phase p)
{
	static const char *const text[NET_PHASES] = {
		[NET_IDLE] = "before connecting",
		[NET_RESOLVING] = "while its name was looked up",
		[NET_CONNECTING] = "while connecting",
		[NET_PROXY] = "while the proxy's answer was awaited",
		[NET_HANDSHAKE] = "in the TLS handshake",
		[NET_OPEN] = "while the server's answer was awaited",
		[NET_ENDED] = "after the server's last byte",
		[NET_FAILED] = "after a failure",
	};

	return text[p];
}

/* The reason is formatted as by printf, behind the peer's address. */
__attribute__((format(printf, 3, 4))) static void
fail(struct net *c, enum net_failure how, const char *format, ...)
{
	int n = snprintf(c->error, sizeof c->error, "%s%s", c->peer,
			 c->peer[0] != '\0' ? ": " : "");
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->error + n, sizeof c->error - (size_t)n, format, ap);
	va_end(ap);
	c->failure = how;
	c->phase = NET_FAILED;
}

void net_give_up(struct net *c, const char *why)
{
	c->peer[0] = '\0'; /* it has no part in it */
	fail(c, NET_LOCAL, "%s", why);
}

bool net_random(struct net *c, void *p, size_t n)
{
	if (getentropy(p, n) == 0)
		return true;
	fail(c, NET_LOCAL, "no random numbers from the kernel: %s",
	     strerror(errno));
	return false;
}

static void next_address(struct net *c, struct moment now);

/* Where the connection goes first. */
static const struct http_url *first_hop(const struct net *c)
{
	return c->proxy != NULL ? &c->proxy->url : c->url;
}

static void begin_tls(struct net *c, struct moment now)
{
	unsigned char seed[TLS_SEED];

	c->phase = NET_HANDSHAKE;
	if (net_random(c, seed, sizeof seed))
		tls_begin(&c->tls, c->url->host, seed, now.unix_ms / 1000);
	explicit_bzero(seed, sizeof seed);
}

/* Connected: the proxy is asked, TLS begins, or all is ready. */
static void connected(struct net *c, struct moment now)
{
	c->phase = c->proxy != NULL ? NET_PROXY : NET_OPEN;
	if (c->proxy == NULL && c->url->tls)
		begin_tls(c, now);
}

/* This address is no good. With another one left it is tried at once. */
static void address_failed(struct net *c, const char *what, struct moment now)
{
	close(c->fd);
	c->fd = -1;
	fail(c, NET_NETWORK, "%s", what);
	if (c->next < c->count)
		next_address(c, now);
}

/* Start to connect, or look how it goes: connect tells when called again. */
static void try_connect(struct net *c, struct moment now)
{
	const struct address *a = &c->list[c->next - 1];
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	socklen_t size = sizeof(int);
	int e = 0;

	in.sin_port = in6.sin6_port = htons(first_hop(c)->port);
	memcpy(&in.sin_addr, a->ip, 4);
	memcpy(&in6.sin6_addr, a->ip, 16);
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &size) == 0 && e == 0 &&
	    connect(c->fd,
		    a->family == 4
			? (const struct sockaddr *)(const void *)&in
			: (const struct sockaddr *)(const void *)&in6,
		    a->family == 4 ? sizeof in : sizeof in6) < 0)
		e = errno;
	if (e == 0 || e == EISCONN)
		connected(c, now);
	else if (e != EINPROGRESS && e != EALREADY && e != EINTR)
		address_failed(c, strerror(e), now);
	else if (now.ms >= c->deadline)
		address_failed(c, "no answer to the connection attempt", now);
}

/* Does what is sent there stay on this machine? 127.0.0.0/8, ::1, and the first
 * in the form ::ffff:127.0.0.0/104. */
static bool is_loopback(const struct address *a)
{
	static const unsigned char one[16] = { [15] = 1 };
	static const unsigned char mapped[13] = { [10] = 255, 255, 127 };

	return a->family == 4 ? a->ip[0] == 127
			      : memcmp(a->ip, one, sizeof one) == 0 ||
				    memcmp(a->ip, mapped, sizeof mapped) == 0;
}

static void set(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof value);
}

/* The time left is shared by the addresses left, so that dead ones before a
 * good one cannot use up the attempt. */
static void next_address(struct net *c, struct moment now)
{
	uint64_t left = now.ms < c->until ? c->until - now.ms : 0;
	uint64_t share = left / (c->count - c->next);
	const struct address *a = &c->list[c->next++];
	int family = a->family == 4 ? AF_INET : AF_INET6;
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(family, a->ip, ip, sizeof ip);
	snprintf(c->peer, sizeof c->peer, "%s%s port %u",
		 c->proxy != NULL ? "by proxy " : "", ip, first_hop(c)->port);
	if (c->loopback_only && !is_loopback(a)) {
		fail(c, NET_LOCAL,
		     "the credentials would go over the network in the clear "
		     "to %s; use https://",
		     ip);
		return;
	}
	c->phase = NET_CONNECTING;
	c->deadline = now.ms + (share < CONNECT_MS ? share : CONNECT_MS);
	c->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		address_failed(c, strerror(errno), now);
		return;
	}
	/* A peer that vanishes is noticed within two minutes. */
	set(c->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
	set(c->fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
	set(c->fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
	/* Else a request in two parts waits 40 ms for the other's ACK. */
	set(c->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	try_connect(c, now);
}

static void resolved(struct net *c, enum resolve_result r, struct moment now)
{
	if (r == RESOLVE_OK)
		next_address(c, now);
	else if (r != RESOLVE_MORE)
		fail(c, r == RESOLVE_GONE ? NET_NO_LOOK_UP : NET_NETWORK, "%s",
		     resolve_text(r));
	else if (now.ms >= c->deadline)
		fail(c, NET_NETWORK,
		     "no name server answered within 10 seconds");
}

void net_open(struct net *c, const struct http_url *url, struct moment now,
	      uint64_t until)
{
	const struct http_url *hop;

	c->url = url;
	hop = first_hop(c);
	c->until = until;
	c->deadline = now.ms + RESOLVE_MS;
	snprintf(c->peer, sizeof c->peer, "%s",
		 c->proxy != NULL ? "the proxy" : "");
	c->asked = 0;
	http_head_init(&c->answer);
	c->cannot_send = c->blocked = false;
	c->tls.error = 0; /* of an attempt before */
	c->from = c->n = 0;
	c->next = 0;
	c->count = 1;
	c->fd = -1;
	c->phase = NET_RESOLVING;
	if (resolve_numeric(hop->host, &c->list[0]))
		next_address(c, now);
	else
		resolved(c, resolve_ask(&c->resolve, hop->host, hop->rooted),
			 now);
}

/* Send what TLS has ready. A failure to write is not yet the end: the server
 * may have said something before it closed. What cannot be sent is dropped. */
static void send_records(struct net *c)
{
	br_ssl_engine_context *eng = &c->tls.client.eng;
	const unsigned char *p;
	ssize_t k;
	size_t n;

	while ((p = br_ssl_engine_sendrec_buf(eng, &n)) != NULL) {
		k = c->cannot_send ? (ssize_t)n
				   : send(c->fd, p, n, MSG_NOSIGNAL);
		if (k > 0) {
			br_ssl_engine_sendrec_ack(eng, (size_t)k);
			c->progress += (size_t)k;
		} else if (k < 0 && errno == EAGAIN) {
			return;
		} else if (k < 0 && errno != EINTR) {
			c->cannot_send = true;
		}
	}
}

/* When the newest byte came to this machine (tcp(7), TCP_INFO): long ago, if
 * this process was stopped or the system slept, which the kernel's clock does
 * not count. */
static uint64_t last_came(const struct net *c, struct moment now)
{
	struct tcp_info info = { .tcpi_last_data_recv = 0 };
	socklen_t size = sizeof info;
	uint64_t ago;

	getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size);
	ago = c->slept + info.tcpi_last_data_recv;
	return ago < now.ms ? now.ms - ago : 0;
}

static void receive(struct net *c, struct moment now)
{
	ssize_t k = recv(c->fd, c->in, NET_BUFFER, 0);

	c->from = 0;
	c->n = k > 0 ? (size_t)k : 0;
	if (k > 0)
		c->came = last_came(c, now);
	if (k == 0 && c->phase <= NET_HANDSHAKE)
		fail(c, NET_NETWORK,
		     c->phase == NET_PROXY
			 ? "the proxy closed the connection without an answer"
			 : "closed by the server in the TLS handshake");
	else if (k == 0 || (k < 0 && c->url->tls && errno != EAGAIN &&
			    tls_peer_closed(&c->tls)))
		c->phase = NET_ENDED;
	else if (k < 0 && errno != EAGAIN && errno != EINTR)
		fail(c, NET_NETWORK, "%s", strerror(errno));
}

/* Ask for the tunnel, as far as the socket takes it, and read the answer. */
static void step_proxy(struct net *c, struct moment now)
{
	size_t left = c->proxy->connect_n - c->asked;
	const char *rest = c->proxy->connect + c->asked;
	enum proxy_answer answer;
	char said[256];
	struct text why = text_in(said, sizeof said);
	ssize_t k = left > 0 ? send(c->fd, rest, left, MSG_NOSIGNAL) : 0;

	c->asked += k > 0 ? (size_t)k : 0;
	receive(c, now);
	if (c->phase != NET_PROXY)
		return;
	answer = proxy_next(c->proxy, &c->answer, c->in, c->n, &why);
	c->from = c->n;
	if (answer == PROXY_OPEN)
		begin_tls(c, now);
	else if (answer != PROXY_MORE)
		fail(c,
		     answer == PROXY_REFUSED ? NET_PROXY_REFUSED : NET_NETWORK,
		     "%s", said);
}

static void check_tls(struct net *c)
{
	enum tls_state state = tls_state(&c->tls);

	if (state == TLS_OPEN)
		c->phase = NET_OPEN;
	if (state == TLS_CLOSED)
		c->phase = NET_ENDED;
	if (state == TLS_FAILED)
		fail(c,
		     tls_error_is_certificate(c->tls.error) ? NET_CERTIFICATE
							    : NET_NETWORK,
		     "%s (%s; TLS error %d)", tls_error_text(c->tls.error),
		     c->url->host, c->tls.error);
}

/* Receive once and feed what was received, up to the next decrypted bytes. */
static void step_open(struct net *c, struct moment now)
{
	size_t n;

	if (net_peek(c, &n) != NULL)
		return;
	if (c->from == c->n)
		receive(c, now);
	if (!c->url->tls || c->phase >= NET_ENDED)
		return;
	n = c->n - c->from;
	if (c->phase == NET_HANDSHAKE && n > PIECE)
		n = PIECE;
	n = tls_feed(&c->tls, c->in + c->from, n);
	c->from += n;
	c->progress += n;
	send_records(c);
	check_tls(c);
}

void net_step(struct net *c, struct moment now)
{
	if (c->phase == NET_RESOLVING)
		resolved(c, resolve_read(&c->resolve, c->list, &c->count), now);
	else if (c->phase == NET_CONNECTING)
		try_connect(c, now);
	else if (c->phase == NET_PROXY)
		step_proxy(c, now);
	if (c->phase == NET_HANDSHAKE && c->from == c->n)
		send_records(c);
	if (c->phase == NET_HANDSHAKE || c->phase == NET_OPEN)
		step_open(c, now);
}

static bool wants_to_send(const struct net *c)
{
	if (c->phase == NET_CONNECTING)
		return true; /* a finished connect shows as writable */
	if (c->phase == NET_PROXY)
		return c->asked < c->proxy->connect_n;
	if (c->phase < NET_HANDSHAKE || c->cannot_send)
		return false;
	return c->url->tls ? tls_has_output(&c->tls) : c->blocked;
}

struct pollfd net_poll(const struct net *c)
{
	struct pollfd p = { -1, 0, 0 };
	bool send = wants_to_send(c);

	if (c->phase == NET_RESOLVING)
		p.fd = c->resolve.fd;
	else if (c->phase >= NET_CONNECTING && c->phase <= NET_OPEN)
		p.fd = c->fd;
	if (send)
		p.events |= POLLOUT;
	/* Bytes that TLS cannot take until it has sent: more are no use. */
	if (c->phase != NET_CONNECTING && !(send && c->from < c->n))
		p.events |= POLLIN;
	return p;
}

uint64_t net_deadline(const struct net *c)
{
	if (c->phase == NET_HANDSHAKE && c->from < c->n && !wants_to_send(c))
		return 0; /* there is more to take */
	return c->phase == NET_RESOLVING || c->phase == NET_CONNECTING
		   ? c->deadline
		   : UINT64_MAX;
}

const unsigned char *net_peek(struct net *c, size_t *n)
{
	*n = 0;
	if (c->phase < NET_OPEN || c->fd < 0)
		return NULL;
	if (c->url->tls)
		return br_ssl_engine_recvapp_buf(&c->tls.client.eng, n);
	*n = c->n - c->from;
	return *n > 0 ? c->in + c->from : NULL;
}

void net_ack(struct net *c, size_t n)
{
	if (n == 0)
		return;
	c->progress += n;
	if (c->url->tls)
		br_ssl_engine_recvapp_ack(&c->tls.client.eng, n);
	else
		c->from += n;
}

size_t net_write(struct net *c, const void *p, size_t n)
{
	ssize_t k;

	if (c->phase != NET_OPEN || c->cannot_send)
		return 0;
	if (c->url->tls) {
		n = tls_write(&c->tls, p, n);
		send_records(c);
		return n;
	}
	k = send(c->fd, p, n, MSG_NOSIGNAL);
	if (k < 0 && errno != EAGAIN && errno != EINTR)
		c->cannot_send = true;
	c->blocked = k < (ssize_t)n && !c->cannot_send;
	return k > 0 ? (size_t)k : 0;
}

void net_close(struct net *c)
{
	if (c->fd >= 0 && c->url->tls && c->phase == NET_OPEN) {
		tls_close(&c->tls);
		send_records(c);
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	tls_wipe(&c->tls);
	c->phase = NET_IDLE;
}
