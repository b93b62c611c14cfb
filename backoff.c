#include "backoff.h"

#define SECOND 1000u
#define FORGET (1800u * SECOND) /* an error this old no longer counts */
#define UP (16u * SECOND)       /* a stream this old was a success */
#define NETWORK_STEP 250u
#define NETWORK_STEPS 64u /* 16 s */
#define SERVER_MAX (320u * SECOND)
#define RETRY_AFTER_MAX 900u /* seconds */
#define RELEASED 1795564800u /* 2026-11-25, of this version */

/* 2 x max(base, least), where base is the last wait of these two kinds. */
static uint64_t double_wait(struct backoff *b, uint64_t least, uint64_t most,
			    uint64_t now)
{
	uint64_t base = SECOND;

	if (b->any && now - b->error_at < FORGET)
		base = b->error_wait;
	b->any = true;
	b->error_at = now;
	b->error_wait = 2 * (base > least ? base : least);
	if (b->error_wait > most)
		b->error_wait = most;
	return b->error_wait;
}

uint64_t backoff_next(struct backoff *b, enum backoff_event e, uint64_t now)
{
	bool was_up = b->open && now - b->opened_at >= UP;

	b->open = false;
	if (was_up)
		b->failures = 0;
	switch (e) {
	case BACKOFF_OPENED:
		b->open = true;
		b->opened_at = now;
		return 0;
	case BACKOFF_SERVER:
		return double_wait(b, 2500, SERVER_MAX, now);
	case BACKOFF_LIMITED:
		return double_wait(b, 30 * SECOND, UINT64_MAX, now);
	case BACKOFF_ENDED:
		if (was_up)
			return 0;
		break;
	case BACKOFF_NETWORK:
		break;
	case BACKOFF_FATAL:
	case BACKOFF_COMPLETE:
	case BACKOFF_EVENTS:
		return 0;
	}
	if (b->failures < NETWORK_STEPS)
		b->failures++;
	return (uint64_t)NETWORK_STEP * b->failures;
}

uint64_t backoff_retry_after(uint64_t wait, uint64_t seconds)
{
	if (seconds > RETRY_AFTER_MAX)
		seconds = RETRY_AFTER_MAX;
	return wait > seconds * SECOND ? wait : seconds * SECOND;
}

enum backoff_event backoff_status(int status)
{
	if (status == 420 || status == 429)
		return BACKOFF_LIMITED;
	if (status == 408 || status == 425)
		return BACKOFF_SERVER;
	return status >= 500 && status < 600 ? BACKOFF_SERVER : BACKOFF_FATAL;
}

enum backoff_event backoff_certificate(bool opened, bool dates,
				       uint64_t unix_time)
{
	return opened || (dates && unix_time < RELEASED) ? BACKOFF_SERVER
							 : BACKOFF_FATAL;
}

enum backoff_event backoff_disconnect(uint64_t code)
{
	if (code == 6)
		return BACKOFF_FATAL;
	if (code == 9)
		return BACKOFF_COMPLETE;
	if (code == 2 || code == 7)
		return BACKOFF_LIMITED;
	return code >= 300 && code < 600 ? backoff_status((int)code)
					 : BACKOFF_ENDED;
}
