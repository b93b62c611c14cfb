/* The time: asked of the system once a turn of the loop, passed on from there,
 * kept by nobody. */
#ifndef MOMENT_H
#define MOMENT_H

#include <stdint.h>

struct moment {
	uint64_t ms; /* of a clock that is never set, and goes on in suspend */
	uint64_t unix_ms; /* since 1970, by the wall clock as it now is */
};

#endif
