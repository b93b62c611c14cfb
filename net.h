/* One connection to the server: its name looked up, its addresses tried in
 * turn, TCP, TLS. Nothing here ever waits: the caller polls and steps. */
#ifndef NET_H
#define NET_H

#include "http.h"
#include "resolve.h"
#include "tls.h"

#include <poll.h>

/* Bytes received at once. The more, the fewer wake-ups; as many fit in half of
 * the reader's pipe, and with as many held all is still under 2 MiB. */
#define NET_BUFFER (512u * 1024)

enum net_phase {
	NET_IDLE,
	NET_RESOLVING,
	NET_CONNECTING,
	NET_HANDSHAKE,
	NET_OPEN,   /* certificate and host name are verified */
	NET_ENDED,  /* the server sent its last byte */
	NET_FAILED, /* see error */
	NET_PHASES
};

/* What the phase is called in an error: "while connecting". */
const char *net_phase_text(enum net_phase p);

struct net {
	enum net_phase phase;
	const struct http_url *url;
	uint64_t unix_time;
	unsigned char seed[TLS_SEED];
	uint64_t deadline; /* of the look-up or of this address */
	uint64_t until;    /* of the whole attempt */
	struct resolve resolve;
	struct address list[ADDRESSES_MAX];
	size_t count, next;
	int fd;        /* -1 if there is none */
	char peer[64]; /* "192.0.2.1 port 443" */
	char error[640];
	bool bad_certificate;
	bool cannot_send;  /* a write failed; what comes is still read */
	bool blocked;      /* without TLS: the socket took no more */
	size_t from, n;    /* received bytes not yet fed to TLS */
	uint64_t progress; /* bytes that went on, either way, so far */
	unsigned char in[NET_BUFFER];
	struct tls tls; /* anchors set by the caller, once */
};

/* Begin to connect. now is in milliseconds of the monotonic clock, until when
 * the attempt is over; unix_time judges certificates; forget() wipes secrets in
 * the look-up's child. net must be idle. */
void net_open(struct net *c, const struct http_url *url, uint64_t now,
	      uint64_t until, void (*forget)(void));

/* Go as far as possible without waiting. */
enum net_phase net_step(struct net *c, uint64_t now);

/* What to poll for before the next step, and until when. fd is -1 if there is
 * nothing. */
struct pollfd net_poll(const struct net *c);
uint64_t net_deadline(const struct net *c);

/* Received bytes, decrypted, or NULL; then how many are done with. */
const unsigned char *net_peek(struct net *c, size_t *n);
void net_ack(struct net *c, size_t n);

/* Send some of p[0..n-1], in NET_OPEN. Returns how many bytes were taken. */
size_t net_write(struct net *c, const void *p, size_t n);

/* Say goodbye if possible, close, forget all keys. Idle again. */
void net_close(struct net *c);

#endif
