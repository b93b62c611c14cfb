/* Look HOST up N times by resolve.c, as the program does, and count what came
 * of it: the C library's resolver is in a worker, whatever it is told. */
#include "../resolve.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct address list[ADDRESSES_MAX];
	unsigned long count[RESOLVE_RESULTS] = { 0 };
	struct resolve r;
	enum resolve_result result;
	long i, n = argc == 3 ? atol(argv[2]) : 0;
	size_t found;

	if (!resolve_begin(&r))
		return 1;
	for (i = 0; i < n; i++) {
		struct pollfd p = { r.fd, POLLIN, 0 };

		result = resolve_ask(&r, argv[1], false);
		while (result == RESOLVE_MORE && poll(&p, 1, 13000) > 0)
			result = resolve_read(&r, list, &found);
		count[result]++;
		if (r.refused >= 0) {
			printf("call %d was refused\n", r.refused);
			return 1;
		}
	}
	for (i = 0; i < RESOLVE_RESULTS; i++)
		printf("%ld %lu\n", i, count[i]);
	return 0;
}
