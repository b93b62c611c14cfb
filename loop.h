/* The wheel: one poll loop that connects, reads, hands on, waits and begins
 * again, on the clock and the signals of the system. */
#ifndef LOOP_H
#define LOOP_H

#include "coverage.h"
#include "report.h"

struct loop_config {
	struct session_config session;
	uint64_t stats; /* ms between statistics lines; 0: at the end only */
	bool live;      /* draw the live line */
	bool discard;   /* count messages, but do not write them */
};

enum loop_end {
	LOOP_DONE,
	LOOP_FATAL,      /* irrecoverable, and said so */
	LOOP_ABANDONED,  /* a second signal came before all was written */
	LOOP_OUTPUT,     /* output failed, and said so */
	LOOP_READER_GONE /* the reader of stdout went away */
};

struct loop {
	struct loop_config config;
	struct coverage coverage;
	struct session session;
	struct net net;
	struct request *request;
	struct file files[2]; /* of all, or tweets alone; of notices, if that
			       * has a name */
	size_t sent;          /* bytes of the request */
	bool paused;          /* for want of room in the output */
	bool pause_said;      /* and not yet that it is over */
	uint64_t every;       /* ms between two reports */
	uint64_t next_stats, next_live, next_pause; /* to be told */
	uint64_t next_read; /* not before, while a reader is a little late */
	uint64_t all_slept; /* ms that the system slept since it is up */
	int signal;         /* that ended the loop, or 0 */
};

/* Take over SIGINT, SIGTERM, SIGHUP and SIGUSR1, blocked but while the loop
 * waits. If files have names, SIGHUP opens them anew, unless it is to tell
 * that the terminal has gone. To be called once, at the start. */
void loop_signals(bool have_names);

/* Run to the end. request, net.tls's anchors, net.resolve, config and
 * files are set; all else is zero. */
enum loop_end loop_run(struct loop *l);

/* Say so if the kernel refused a call, here or to a look-up. */
void loop_refused(struct loop *l);

/* Ask the system for the time. */
struct moment loop_now(void);

#endif
