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
	uint64_t error_at;   /* of the last SERVER or LIMITED */
	uint64_t error_wait; /* what its rule gave; 0: there was none */
	uint64_t opened_at;  /* when the stream began */
	bool open;
	unsigned failures; /* of the NETWORK kind since a stream was up */
};

/* The policy: the wait in milliseconds before the next attempt, after event e
 * at time now. b begins as zeros. FATAL and COMPLETE wait 0: no attempt is to
 * follow them. */
uint64_t backoff_next(struct backoff *b, enum backoff_event e, uint64_t now);

/* What an HTTP status other than 200 means, and a disconnect message's code. */
enum backoff_event backoff_status(int status);
enum backoff_event backoff_disconnect(uint64_t code);

#endif
