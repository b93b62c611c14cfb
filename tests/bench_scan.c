/* json_scan alone: `bench_scan FILE` prints GB/s over the file's lines. */
#include "../json_scan.h"

#include <stdio.h>
#include <time.h>

int main(int argc, char **argv)
{
	static unsigned char data[16 << 20];
	static struct json_scan s;
	struct timespec a, b;
	size_t n, i, good = 0;
	double seconds, best = 0;
	int round, turn;
	FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;

	if (f == NULL)
		return 2;
	n = fread(data, 1, sizeof data - JSON_SLACK, f);
	json_init(&s, "text");
	for (round = 0; round < 9; round++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		for (turn = 0; turn < 40; turn++) {
			for (i = 0; i < n;) {
				json_begin(&s);
				json_scan(&s, data + i);
				i += s.at;
				if (s.place != JSON_DONE)
					return 1;
				good++;
			}
		}
		clock_gettime(CLOCK_MONOTONIC, &b);
		seconds = (double)(b.tv_sec - a.tv_sec) +
			  (double)(b.tv_nsec - a.tv_nsec) / 1e9;
		if (40 * (double)n / seconds / 1e9 > best)
			best = 40 * (double)n / seconds / 1e9;
	}
	printf("%.2f\n", best);
	return good == 0;
}
