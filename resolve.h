/* Look a host name up without blocking. The C library's resolver blocks and
 * parses foreign bytes, so it runs in a short-lived child process that has
 * forgotten the credentials and can only write to a pipe. */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

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
	RESOLVE_FAILED,    /* the look-up itself went wrong */
	RESOLVE_RESULTS
};

/* What the result is, for a person. */
const char *resolve_text(enum resolve_result r);

struct resolve {
	pid_t pid; /* of the child, 0 if there is none */
	int fd;    /* to poll for reading while there is */
	size_t n;
	unsigned char buf[1 + ADDRESSES_MAX * sizeof(struct address)];
};

/* Start to look host up. In the child forget() is called first, and must wipe
 * whatever is secret. Returns false, with errno, if no child could be had. */
bool resolve_start(struct resolve *r, const char *host, void (*forget)(void));

/* Take what the child has answered. RESOLVE_OK means at least one address in
 * list, which has room for ADDRESSES_MAX; on all but RESOLVE_MORE the child is
 * gone. */
enum resolve_result resolve_read(struct resolve *r, struct address *list,
				 size_t *count);

/* Judge a child's whole answer, p[0..n-1]: what resolve_read returns. */
enum resolve_result resolve_parse(const unsigned char *p, size_t n,
				  struct address *list, size_t *count);

/* Is the host an IP address? Then no child is needed. */
bool resolve_numeric(const char *host, struct address *a);

/* End the child, if there is one. */
void resolve_stop(struct resolve *r);

#endif
