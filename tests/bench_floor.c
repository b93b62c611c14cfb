/* The floor of this design: receive and decrypt with the same rooms, and throw
 * all away. `bench_floor PORT CAFILE`; with a third argument all is written to
 * stdout, unread, as much at once as was received. */
#include "../net.h"
#include "../roots.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct net net;
static struct roots roots;
static struct http_url url;

static unsigned char held[NET_BUFFER + 16384];
static size_t held_n;

static bool flush(void)
{
	size_t at = 0;
	ssize_t k = 1;

	for (; at < held_n && k > 0; at += (size_t)k)
		k = write(STDOUT_FILENO, held + at, held_n - at);
	held_n = 0;
	return k > 0;
}

int main(int argc, char **argv)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct moment now = { 0, (uint64_t)time(NULL) * 1000 };
	char name[64];
	bool sent = false;
	const unsigned char *b;
	bool done = false;
	size_t n;

	if (argc < 3)
		return 2;
	fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 20);
	snprintf(name, sizeof name, "https://localhost:%s/", argv[1]);
	if (http_url_parse(&url, name) != NULL ||
	    roots_read(&roots, argv[2], (uint64_t)time(NULL)) != NULL)
		return 1;
	net.tls.anchors = roots.anchors;
	net.tls.nanchors = roots.n;
	if (!resolve_begin(&net.resolve))
		return 1;
	net_open(&net, &url, now, 1000000);
	while (!done && net.phase < NET_ENDED) {
		struct pollfd p;

		net_step(&net, now);
		if (net.phase == NET_OPEN && !sent)
			sent = net_write(&net, request, sizeof request - 1) > 0;
		while ((b = net_peek(&net, &n)) != NULL) {
			/* the last chunk */
			done = n >= 7 &&
			       memcmp(b + n - 7, "\r\n0\r\n\r\n", 7) == 0;
			if (argc > 3) {
				memcpy(held + held_n, b, n);
				held_n += n;
			}
			net_ack(&net, n);
			if (net.from < net.n)
				net_step(&net, now);
		}
		if (!flush())
			return 1;
		p = net_poll(&net);
		if (!done)
			poll(&p, 1, net_deadline(&net) == 0 ? 0 : -1);
	}
	return done ? 0 : 1;
}
