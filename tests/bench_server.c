/* The benchmark's server, OpenSSL in C: `bench_server PEM PORT FILE BYTES`
 * takes connections one by one, reads a request, and streams the chunks of FILE
 * again and again until BYTES are out, then {"disconnect":{"code":9}}. Each
 * message is a chunk of its own, as Twitter framed it. With a BYTES of 0 it
 * sends one message each millisecond, 1,000 in all, with the time of sending
 * inside. A negative BYTES is cut off there, and the connection stays. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BYE "1b\r\n{\"disconnect\":{\"code\":9}}\r\n\r\n0\r\n\r\n"

static void send_all(SSL *ssl, const char *p, size_t n)
{
	while (n > 0) {
		int k = SSL_write(ssl, p, n > 1 << 20 ? 1 << 20 : (int)n);

		if (k <= 0)
			return;
		p += k;
		n -= (size_t)k;
	}
}

static void send_timed(SSL *ssl)
{
	struct timespec t, pause = { 0, 1000000 };
	char line[128], chunk[160];
	int i, n;

	for (i = 0; i < 1000; i++) {
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_MONOTONIC, &t);
		n = snprintf(line, sizeof line,
			     "{\"text\":\"x\",\"ns\":%lld}\r\n",
			     (long long)t.tv_sec * 1000000000 + t.tv_nsec);
		n = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", (unsigned)n,
			     line);
		send_all(ssl, chunk, (size_t)n);
	}
}

int main(int argc, char **argv)
{
	static const char head[] = "HTTP/1.1 200 OK\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	struct sockaddr_in a = { .sin_family = AF_INET };
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	long long bytes, out;
	char request[65536];
	size_t size, n;
	char *data;
	FILE *f;

	if (argc != 5)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(ctx, "ECDHE-RSA-AES128-GCM-SHA256");
	if (SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, argv[1], SSL_FILETYPE_PEM) != 1)
		return 1;
	bytes = atoll(argv[4]);
	f = fopen(argv[3], "rb");
	if (f == NULL || fseek(f, 0, SEEK_END) != 0)
		return 1;
	size = (size_t)ftell(f);
	data = malloc(size);
	rewind(f);
	if (data == NULL || fread(data, 1, size, f) != size)
		return 1;
	a.sin_port = htons((unsigned short)atoi(argv[2]));
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(s, (struct sockaddr *)&a, sizeof a) < 0 || listen(s, 5) < 0)
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		int c = accept(s, NULL, NULL);
		SSL *ssl = SSL_new(ctx);

		setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		SSL_set_fd(ssl, c);
		if (SSL_accept(ssl) == 1 &&
		    SSL_read(ssl, request, sizeof request) > 0) {
			send_all(ssl, head, sizeof head - 1);
			for (out = 0; out < bytes; out += (long long)size)
				send_all(ssl, data, size);
			for (; out < -bytes; out += (long long)n) {
				n = -bytes - out < (long long)size
					? (size_t)(-bytes - out)
					: size;
				send_all(ssl, data, n);
			}
			if (bytes == 0)
				send_timed(ssl);
			if (bytes >= 0)
				send_all(ssl, BYE, sizeof BYE - 1);
			/* the client closes; unread bytes would reset it */
			while (SSL_read(ssl, request, sizeof request) > 0)
				;
		}
		SSL_free(ssl);
		close(c);
	}
}
