/* What the process gives up once it has started, so that a fault in a parser
 * gains nothing: system calls that it never makes (seccomp), files and ports
 * that it never needs (Landlock). A static binary brings its C library along,
 * so the list of calls does not change behind its back. */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

struct sandbox {
	bool calls;   /* system calls are limited */
	int landlock; /* the kernel's version of Landlock, 0 if it has none */
};

/* Give up, for good and for all children: every system call outside the list
 * (an unknown one fails with ENOSYS; those that start or trace programs kill);
 * opening files but to read below /etc, /run and where links from
 * /etc/resolv.conf and /etc/hosts lead; TCP to other ports than this one. What
 * the kernel cannot do is left out, and said in the result; with glibc it is
 * nothing at all. no_new_privs must be set. */
struct sandbox sandbox_enter(uint16_t port);

/* The number of a call that was refused, told once, else -1. */
int sandbox_refused(void);

#endif
