/* One connection to the server, or through a proxy: its name looked up, its
 * addresses tried in turn, TCP, CONNECT, TLS. Nothing here ever waits: the
 * caller polls and steps. */
#ifndef NET_H
#define NET_H

#include "moment.h"
#include "proxy.h"
#include "resolve.h"
#include "tls.h"

#include <poll.h>

/* Bytes received at once. The more, the fewer wake-ups; as many fit in half of
 * the reader's pipe, and with as many held all is still under 2 MiB. */
#define NET_BUFFER (512u * 1024)
#define NET_SLACK 64 /* bytes that can be read behind what came */

enum net_phase {
	NET_IDLE,
	NET_RESOLVING,
	NET_CONNECTING,
	NET_PROXY, /* CONNECT is sent, the answer read */
	NET_HANDSHAKE,
	NET_OPEN,   /* certificate and host name are verified */
	NET_ENDED,  /* the server sent its last byte */
	NET_FAILED, /* see error */
	NET_PHASES
};

/* What the phase is called in an error: "while connecting". */
const char *net_phase_text(enum net_phase p);

/* How it failed. */
enum net_failure {
	NET_NETWORK,
	NET_CERTIFICATE,
	NET_PROXY_REFUSED, /* see PROXY_REFUSED */
	NET_LOCAL,         /* here: another attempt is no use */
	NET_NO_LOOK_UP     /* nor one of this process: see RESOLVE_GONE */
};

struct net {
	enum net_phase phase;
	const struct http_url *url;
	const struct proxy *proxy; /* NULL: there is none. Set before. */
	struct http_head answer;   /* of the proxy */
	size_t asked;              /* bytes of CONNECT that are sent */
	bool loopback_only;        /* secrets go in the clear. Set before. */
	uint64_t deadline;         /* of the look-up or of this address */
	uint64_t until;            /* of the whole attempt */
	struct resolve resolve;
	struct address list[ADDRESSES_MAX];
	size_t count, next;
	int fd;        /* -1 if there is none */
	char peer[80]; /* "192.0.2.1 port 443", "by proxy " before it */
	enum net_failure failure;
	char error[640];
	bool cannot_send;  /* a write failed; what comes is still read */
	bool blocked;      /* without TLS: the socket took no more */
	size_t from, n;    /* received bytes not yet fed to TLS */
	uint64_t came;     /* when the newest byte of in came to this machine */
	uint64_t slept;    /* ms that the system slept since the step before.
			    * Set by the caller. */
	uint64_t progress; /* bytes that went on, either way, so far */
	unsigned char in[NET_BUFFER + NET_SLACK];
	struct tls tls; /* anchors set by the caller, once */
};

/* Begin to connect; until is when the attempt is over, in ms of the monotonic
 * clock. net must be idle, and resolve_begin have been called for resolve. */
void net_open(struct net *c, const struct http_url *url, struct moment now,
	      uint64_t until);

/* Go as far as possible without waiting. */
void net_step(struct net *c, struct moment now);

/* End in NET_FAILED, for a reason that is here: NET_LOCAL. */
void net_give_up(struct net *c, const char *why);

/* Fill p[0..n-1], n <= 256, from getrandom(2). Without randomness neither TLS
 * nor a signature is safe: then this is false, and the connection given up. */
__attribute__((warn_unused_result)) bool net_random(struct net *c, void *p,
						    size_t n);

/* What to poll for before the next step, and until when. fd is -1 if there is
 * nothing. */
struct pollfd net_poll(const struct net *c);
uint64_t net_deadline(const struct net *c);

/* Received bytes, decrypted, or NULL; then how many are done with. Behind them
 * NET_SLACK bytes can be read: of in, or of TLS's output behind its input. */
const unsigned char *net_peek(struct net *c, size_t *n);
void net_ack(struct net *c, size_t n);

/* Send some of p[0..n-1], in NET_OPEN. Returns how many bytes were taken. */
size_t net_write(struct net *c, const void *p, size_t n);

/* Say goodbye if possible, close, forget all keys. Idle again. */
void net_close(struct net *c);

#endif
