/* The whole session, without a system call: what has come and how late it is
 * go in, what is to be done comes out. Years of reconnects run in a test. Times
 * that are kept are the ms of struct moment, but for those told to people. */
#ifndef SESSION_H
#define SESSION_H

#include "backoff.h"
#include "http.h"
#include "lines.h"
#include "moment.h"
#include "resume.h"
#include "withheld.h"

#define SESSION_EXCERPT 1024   /* bytes of what the server says of an end */
#define SESSION_GAPS 100       /* the longest ones that are remembered */
#define SESSION_ATTEMPT 30000u /* ms to connect; for a head at least */

struct session_config {
	const char *tweet_key;
	uint64_t stall;    /* ms without a body byte; 0 for never */
	uint64_t duration; /* ms; 0 for no end */
	uint64_t count;    /* tweets; 0 for no end */
	bool v2;           /* X API v2: its errors objects, its second 429 */
	struct resume *resume; /* what to ask for after a gap, or NULL */
};

enum session_phase {
	SESSION_WAIT,    /* for the next attempt, until due */
	SESSION_CONNECT, /* the connection is being made */
	SESSION_HEAD,    /* the request is on its way, a head expected */
	SESSION_REFUSED, /* no 200: a body that says why is being read */
	SESSION_BODY,
	SESSION_OVER /* nothing more is to be done */
};

/* Why a connection ended, or was not had: session.c has a table of them. Of
 * those up to PROXY net knows more. */
enum cause {
	CAUSE_NONE,
	CAUSE_NETWORK,
	CAUSE_CERTIFICATE,
	CAUSE_DATES, /* the certificate's, and the clock here */
	CAUSE_LOCAL, /* no other attempt is of use */
	CAUSE_PROXY, /* it refused, as always it will */
	CAUSE_NO_RESPONSE,
	CAUSE_TIMEOUT,
	CAUSE_PROTOCOL, /* see http_error */
	CAUSE_STATUS,   /* see head.status and excerpt */
	CAUSE_EOF,      /* the body ended as announced */
	CAUSE_CUT,
	CAUSE_STALL,
	CAUSE_DISCONNECT, /* see code and excerpt */
	CAUSE_LIMIT_LINE,
	CAUSE_UPSTREAM, /* v2: disconnected for operational reasons */
	CAUSE_COUNT,
	CAUSE_DURATION,
	CAUSE_STOPPED, /* by the caller */
	CAUSES
};

/* What the cause is, for a person. */
const char *cause_text(enum cause c);

struct session_stats {
	uint64_t tweets, notices, malformed, keepalives, bytes, connects;
	uint64_t deletes; /* of the notices */
};

struct session_gap {
	uint64_t start, ms;
	uint64_t start_unix_ms; /* by the clock when the gap was noticed */
	enum cause cause;
	bool resumed;     /* the server was asked to send what it missed */
	bool upper_bound; /* it began in a pause, nobody knows when */
};

/* What the run covers, in ms: run = covered + gap_ms + before. An open gap
 * counts, up to now. */
struct session_coverage {
	uint64_t run, covered, before, gap_ms, gaps;
	struct session_gap longest[SESSION_GAPS]; /* as many as there were */
};

enum session_event {
	SESSION_MORE,     /* give more input, or wait */
	SESSION_DIAL,     /* connect now, then call session_connected */
	SESSION_OPENED,   /* a 200: the stream has begun */
	SESSION_RESUMED,  /* data again: gap tells how long there was none */
	SESSION_MESSAGE,  /* line is to be written */
	SESSION_BAD_LINE, /* line is to be reported */
	SESSION_ENDED     /* close the connection: see cause, verdict, wait */
};

struct session {
	struct session_config config;
	enum session_phase phase;
	uint64_t started, started_unix_ms, until; /* the whole run */
	uint64_t due;      /* when this phase has lasted too long, or is over */
	uint64_t patience; /* ms that it had at first */
	uint64_t came;     /* when the newest byte of what is taken next came to
			    * this machine: the caller's to set; 0: now */
	uint64_t last_byte;    /* of a body, when it came */
	uint64_t behind_since; /* a pause since which the server may be ahead of
				* us; 0: it is not */
	uint64_t pause_end;    /* of the last one; UINT64_MAX while it lasts */
	bool in_gap, ending;
	bool was_reset;      /* the last end was a wait for a limit's reset */
	bool resume_refused; /* the next request does not ask */
	struct http_head head;
	struct http_body body;
	struct lines lines;
	struct line line;
	struct backoff backoff;
	struct withheld withheld;
	struct session_stats stats;
	struct session_gap gap;         /* the last */
	struct session_coverage covers; /* of gaps that are over */
	int64_t lag, max_lag;      /* ms that tweets are old; -1: unknown */
	uint64_t looked_at, looks; /* for it: when, how often then */
	char excerpt[SESSION_EXCERPT];
	size_t excerpt_n;
	/* Of the last end: */
	enum cause cause;
	const char *http_error; /* and head.refused */
	uint64_t code;          /* of a disconnect message */
	uint64_t cut; /* bytes of a message that came and are not written */
	enum backoff_event verdict; /* FATAL and COMPLETE end the session */
	uint64_t wait;              /* ms until the next attempt */
};

/* Begin, in a struct of zeros. */
void session_init(struct session *s, const struct session_config *config,
		  struct moment now);

/* What is due by the clock: SESSION_DIAL, SESSION_ENDED or SESSION_MORE. */
enum session_event session_tick(struct session *s, struct moment now);

/* When session_tick is to be called next, at the latest. */
uint64_t session_deadline(const struct session *s);

/* The value of config.resume's parameter in the request that is to be sent in a
 * gap; NULL: there is none. */
const char *session_resume(struct session *s, struct moment now);

/* The connection is up and the request about to be sent. */
void session_connected(struct session *s, struct moment now);

/* Take in[0..n-1], behind which JSON_SLACK bytes can be read; *used says how
 * far it went. Returns the next event; line is valid until the next call, and
 * while in stays where it is. With n of 0 the end that session_end has
 * announced is returned. */
enum session_event session_next(struct session *s, struct moment now,
				const unsigned char *in, size_t n,
				size_t *used);

/* The connection ended for this cause, of CAUSE_NETWORK, _CERTIFICATE, _DATES,
 * _LOCAL, _PROXY, _EOF and _STOPPED: session_next then returns what is left,
 * and SESSION_ENDED. One that tells less than another is overruled by it. */
void session_end(struct session *s, enum cause cause);

/* Output makes us wait, or no longer does: that time is no stall. What comes
 * in the first seconds after it may have been sent long before. */
void session_pause(struct session *s, bool paused, struct moment now);

/* The run ends now, whatever was still to be read: a pause makes that a gap. */
void session_cut(struct session *s, struct moment now);

/* What the run covers so far, or did. */
struct session_coverage session_covers(const struct session *s,
				       struct moment now);
#endif
