/* Look HOST up N times by resolve.c, as the program does, and count what came
 * of it: the C library's resolver is in the child, whatever it is told. */
#include "../resolve.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static void forget(void)
{
}

int main(int argc, char **argv)
{
	struct address list[ADDRESSES_MAX];
	unsigned long count[RESOLVE_RESULTS] = { 0 };
	struct resolve r = { 0 };
	enum resolve_result result;
	long i, n = argc == 3 ? atol(argv[2]) : 0;
	size_t found;

	for (i = 0; i < n; i++) {
		if (!resolve_start(&r, argv[1], forget))
			return 1;
		do {
			struct pollfd p = { r.fd, POLLIN, 0 };

			if (poll(&p, 1, 2000) == 0) {
				resolve_stop(&r);
				result = RESOLVE_MORE;
				break;
			}
			result = resolve_read(&r, list, &found);
		} while (result == RESOLVE_MORE);
		count[result]++;
	}
	for (i = 0; i < RESOLVE_RESULTS; i++)
		printf("%ld %lu\n", i, count[i]);
	return 0;
}
