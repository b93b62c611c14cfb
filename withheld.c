#include "withheld.h"

#include <string.h>

static uint64_t add(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

uint64_t withheld_sum(const struct withheld *w)
{
	uint64_t sum = w->before_sum;
	size_t i;

	for (i = 0; i < w->n; i++)
		sum = add(sum, w->counter[i]);
	return sum;
}

uint64_t withheld_min(const struct withheld *w)
{
	return add(w->before_max, w->n > 0 ? w->counter[w->n - 1] : 0);
}

void withheld_connect(struct withheld *w)
{
	w->before_sum = withheld_sum(w);
	w->before_max = withheld_min(w);
	w->n = 0;
}

/* The order is kept by itself: the counter that takes a value was the largest
 * not above it, and a new one is below all others. */
void withheld_notice(struct withheld *w, uint64_t track)
{
	size_t i = w->n;

	while (i > 0 && w->counter[i - 1] > track)
		i--;
	if (i > 0) {
		w->counter[i - 1] = track;
	} else if (w->n < WITHHELD_COUNTERS) {
		memmove(w->counter + 1, w->counter,
			w->n * sizeof w->counter[0]);
		w->counter[0] = track;
		w->n++;
	} else {
		w->ambiguous++;
	}
}
