/* How many tweets were withheld, from interleaved limit notices.
 *
 * Each notice carries a running total since the connection opened, but the
 * service kept several such counters side by side (Wu, Rizoiu, Xie: Variation
 * across Scales, ICWSM 2020). They are told apart by patience sorting: a value
 * goes on the largest counter that is not above it, or opens a new one. */
#ifndef WITHHELD_H
#define WITHHELD_H

#include <stddef.h>
#include <stdint.h>

#define WITHHELD_COUNTERS 16 /* of one connection */

struct withheld {
	uint64_t counter[WITHHELD_COUNTERS]; /* ascending */
	size_t n; /* of this connection: to be set to 0 when one begins */
	/* Of all connections; sums stop at 2^64-1: */
	uint64_t sum;       /* the estimate: of all counters' last values */
	uint64_t min;       /* proven: of each connection's largest value */
	uint64_t ambiguous; /* notices that found no counter */
};

/* A limit notice with this track value. */
void withheld_notice(struct withheld *w, uint64_t track);

#endif
