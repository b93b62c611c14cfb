/* What a process gives up for good before it reads foreign bytes, so that a
 * fault in a parser gains little: system calls and arguments that it never uses
 * (seccomp; the lists are those of musl, for each processor that FAIL is known
 * of); files and ports that it never needs (Landlock). */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#define SANDBOX_FILES 3

struct sandbox_needs {
	/* Look names up: UDP, memory, reading resolv.conf, hosts and
	 * nsswitch.conf of /etc where they are now. Else: stream. */
	bool names;
	uint16_t port; /* the only one that TCP may connect to */
	/* Files that are opened anew for writing, or NULL: their folders are
	 * written to, of a name with % the part before it. With none of them no
	 * file can be opened at all. What is no regular file is not replaced,
	 * and nothing beside it is written. */
	const char *write[SANDBOX_FILES];
};

struct sandbox {
	bool calls;   /* system calls are limited */
	int landlock; /* the kernel's version of Landlock, 0 if it has none;
		       * ports are limited from 4 on */
};

/* Give up, for this process and its children, all that is not needed. A refused
 * call fails with ENOSYS and is noted, but for a look-up's TCP opened with
 * data, which fails alone; one that starts or traces programs kills. What the
 * kernel cannot do is left out, and said in the result. */
struct sandbox sandbox_enter(const struct sandbox_needs *needs);

/* The number of a call that was refused, told once, else -1. */
int sandbox_refused(void);

#endif
