/* When to connect again: the rules of Twitter's streaming documentation, as
 * the README's table has them. Times are milliseconds of a monotonic clock. */
#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

enum backoff_event {
	BACKOFF_OPENED,   /* a stream began: nothing to wait for */
	BACKOFF_NETWORK,  /* name, TCP, TLS or protocol failure, a stall */
	BACKOFF_ENDED,    /* a stream ended or broke */
	BACKOFF_SERVER,   /* 5xx, 408, 425 */
	BACKOFF_LIMITED,  /* 420, 429 */
	BACKOFF_FATAL,    /* irrecoverable */
	BACKOFF_COMPLETE, /* nothing more will come */
	BACKOFF_EVENTS
};

struct backoff {
	bool any;            /* an error of the SERVER or LIMITED kind was */
	uint64_t error_at;   /* the last one's time */
	uint64_t error_wait; /* and the wait that its rule gave */
	uint64_t opened_at;  /* when the stream began */
	bool open;
	unsigned failures; /* of the NETWORK kind since a stream was up */
};

/* The policy: the wait in milliseconds before the next attempt, after event e
 * at time now. b begins as zeros. FATAL and COMPLETE wait 0: no attempt is to
 * follow them. */
uint64_t backoff_next(struct backoff *b, enum backoff_event e, uint64_t now);

/* A wait lengthened by a Retry-After in seconds (RFC 9110, 10.2.3). */
uint64_t backoff_retry_after(uint64_t wait, uint64_t seconds);

/* What an HTTP status other than 200 means. */
enum backoff_event backoff_status(int status);

/* What a certificate that is not acceptable means: after a first 200 (opened)
 * it may pass, and so may one whose dates do not fit (dates) while the clock
 * here, in seconds since 1970, shows a time before this version was. */
enum backoff_event backoff_certificate(bool opened, bool dates,
				       uint64_t unix_time);

/* What the code of a disconnect message means. */
enum backoff_event backoff_disconnect(uint64_t code);

#endif
