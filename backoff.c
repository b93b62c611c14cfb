#include "backoff.h"

#define SECOND 1000u
#define FORGET (1800u * SECOND) /* an error this old no longer counts */
#define UP (16u * SECOND)       /* a stream this old was a success */
#define NETWORK_STEP 250u
#define NETWORK_STEPS 64u /* 16 s */
#define SERVER_MAX (320u * SECOND)

/* 2 x max(base, least), where base is the last wait of these two kinds, or 1
 * second, which is less than any least. */
static uint64_t double_wait(struct backoff *b, uint64_t least, uint64_t most,
			    uint64_t now)
{
	uint64_t base = now - b->error_at < FORGET ? b->error_wait : 0;
	uint64_t wait = 2 * (base > least ? base : least);

	b->error_at = now;
	b->error_wait = wait < most ? wait : most;
	return b->error_wait;
}

uint64_t backoff_next(struct backoff *b, enum backoff_event e, uint64_t now)
{
	bool was_up = b->open && now - b->opened_at >= UP;

	b->open = e == BACKOFF_OPENED;
	if (b->open)
		b->opened_at = now;
	if (was_up)
		b->failures = 0;
	if (e == BACKOFF_SERVER)
		return double_wait(b, 2500, SERVER_MAX, now);
	if (e == BACKOFF_LIMITED)
		return double_wait(b, 30 * SECOND, UINT64_MAX, now);
	if (e != BACKOFF_NETWORK && (e != BACKOFF_ENDED || was_up))
		return 0;
	if (b->failures < NETWORK_STEPS)
		b->failures++;
	return (uint64_t)NETWORK_STEP * b->failures;
}

enum backoff_event backoff_status(int status)
{
	if (status == 420 || status == 429)
		return BACKOFF_LIMITED;
	if (status == 408 || status == 425 || (status >= 500 && status < 600))
		return BACKOFF_SERVER;
	return BACKOFF_FATAL;
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
