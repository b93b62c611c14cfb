/* Look host names up without blocking.
 *
 * The C library's resolver blocks, needs a heap and parses foreign bytes, so it
 * runs in processes of its own: a supervisor, forked at the very start, before
 * any credential is read, and a worker that it forks for each look-up. Neither
 * ever held a secret, and what stands in the environment is wiped there. A
 * worker that dies, hangs or was taken over is followed by a fresh one.
 *
 * An answer that was cut to fit into UDP is asked for by TCP where the C
 * library does that: musl since 1.2.4. */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESSES_MAX 16 /* of one name; more are left out */

struct address {
	unsigned char family; /* 4 or 6 */
	unsigned char ip[16]; /* network order; 4 bytes of it, or all */
};

enum resolve_result {
	RESOLVE_OK,
	RESOLVE_MORE,      /* no answer yet */
	RESOLVE_NO_NAME,   /* there is no such host */
	RESOLVE_NO_ANSWER, /* the name servers do not say */
	RESOLVE_FAILED,    /* this look-up went wrong */
	RESOLVE_GONE,      /* nor can there be another one */
	RESOLVE_RESULTS
};

/* What the result is, for a person. */
const char *resolve_text(enum resolve_result r);

struct resolve {
	int fd;          /* to poll for reading while a look-up is on */
	uint32_t number; /* of the last question; others' answers are dropped */
	int refused;     /* a system call that a worker was refused, or -1 */
};

/* One message of a worker. */
struct resolve_answer {
	uint32_t number;
	int32_t refused;
	uint32_t result, count;
	struct address list[ADDRESSES_MAX];
};

/* Start the look-up processes: to be called first of all, once. They end with
 * the caller. Returns false, with errno, if they cannot be had. */
__attribute__((warn_unused_result)) bool resolve_begin(struct resolve *r);

/* Ask for the addresses of host; rooted: it has a dot at its end, and no search
 * list is applied. What was asked before is forgotten. Returns RESOLVE_MORE,
 * _FAILED or _GONE. */
enum resolve_result resolve_ask(struct resolve *r, const char *host,
				bool rooted);

/* Take an answer. RESOLVE_OK means at least one address in list, which has room
 * for ADDRESSES_MAX. */
enum resolve_result resolve_read(struct resolve *r, struct address *list,
				 size_t *count);

/* Judge the n bytes of a message: what resolve_read returns, and RESOLVE_MORE
 * for an answer to another question. */
enum resolve_result resolve_judge(struct resolve *r,
				  const struct resolve_answer *a, size_t n,
				  struct address *list, size_t *count);

/* Is the host an IP address? Then there is nothing to ask. */
bool resolve_numeric(const char *host, struct address *a);

#endif
