#include "withheld.h"

#include <string.h>

static void add(uint64_t *sum, uint64_t more)
{
	*sum = *sum + more < more ? UINT64_MAX : *sum + more;
}

/* The order is kept by itself: the counter that takes a value was the largest
 * not above it, and a new one is below all others. */
void withheld_notice(struct withheld *w, uint64_t track)
{
	uint64_t largest = w->n > 0 ? w->counter[w->n - 1] : 0;
	size_t i = w->n;

	while (i > 0 && w->counter[i - 1] > track)
		i--;
	if (i == 0 && w->n == WITHHELD_COUNTERS) {
		w->ambiguous++;
		return;
	}
	if (i == 0) {
		memmove(w->counter + 1, w->counter,
			w->n++ * sizeof w->counter[0]);
		w->counter[i++] = 0;
	}
	add(&w->sum, track - w->counter[i - 1]);
	w->counter[i - 1] = track;
	add(&w->min, w->counter[w->n - 1] - largest);
}
