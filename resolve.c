#include "resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 15 /* it ends by itself should its parent be gone */
#define FDS_MAX 64       /* more than we ever have open */

const char *resolve_text(enum resolve_result r)
{
	static const char *const text[RESOLVE_RESULTS] = {
		[RESOLVE_OK] = "found",
		[RESOLVE_MORE] = "no answer yet",
		[RESOLVE_NO_NAME] = "there is no such host",
		[RESOLVE_NO_ANSWER] = "no name server answers for it",
		[RESOLVE_FAILED] = "the look-up failed",
	};

	return text[r];
}

static enum resolve_result look_up(const char *host, struct addrinfo **list)
{
	struct addrinfo hints;
	int e;

	memset(&hints, 0, sizeof hints);
	hints.ai_socktype = SOCK_STREAM;
	e = getaddrinfo(host, NULL, &hints, list);
	if (e == 0)
		return RESOLVE_OK;
	if (e == EAI_AGAIN)
		return RESOLVE_NO_ANSWER;
	return e == EAI_NONAME || e == EAI_NODATA ? RESOLVE_NO_NAME
						  : RESOLVE_FAILED;
}

static bool take_address(struct address *a, const struct addrinfo *ai)
{
	memset(a, 0, sizeof *a);
	if (ai->ai_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)ai->ai_addr;

		a->family = 4;
		memcpy(a->ip, &in->sin_addr, 4);
	} else if (ai->ai_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ai->ai_addr;

		a->family = 6;
		memcpy(a->ip, &in6->sin6_addr, 16);
	}
	return a->family != 0;
}

/* The child: one byte of result, then the addresses. The answer is below
 * PIPE_BUF, so it is written whole. */
static void child(int fd, const char *host)
{
	unsigned char buf[1 + ADDRESSES_MAX * sizeof(struct address)];
	struct addrinfo *ai = NULL;
	struct address a;
	size_t n = 1;

	buf[0] = (unsigned char)look_up(host, &ai);
	for (; ai != NULL && n < sizeof buf; ai = ai->ai_next) {
		if (!take_address(&a, ai))
			continue;
		memcpy(buf + n, &a, sizeof a);
		n += sizeof a;
	}
	_exit(write(fd, buf, n) == (ssize_t)n ? 0 : 1);
}

/* Leave nothing in the child but the pipe, and its signals as usual. */
static void isolate(int fd)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1,
				       SIGPIPE };
	sigset_t none;
	size_t i;
	int other;

	for (other = 0; other < FDS_MAX; other++)
		if (other != fd)
			close(other);
	for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		signal(numbers[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(CHILD_SECONDS);
}

bool resolve_start(struct resolve *r, const char *host, void (*forget)(void))
{
	int ends[2], e;

	r->n = 0;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	r->pid = fork();
	if (r->pid == 0) {
		forget();
		isolate(ends[1]);
		child(ends[1], host);
	}
	e = errno;
	close(ends[1]);
	r->fd = ends[0];
	if (r->pid > 0)
		return true;
	close(ends[0]);
	r->pid = 0;
	errno = e;
	return false;
}

void resolve_stop(struct resolve *r)
{
	if (r->pid == 0)
		return;
	close(r->fd);
	kill(r->pid, SIGKILL);
	while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
		;
	r->pid = 0;
}

enum resolve_result resolve_parse(const unsigned char *p, size_t n,
				  struct address *list, size_t *count)
{
	size_t i;

	*count = 0;
	if (n == 0 || p[0] >= RESOLVE_RESULTS || p[0] == RESOLVE_MORE)
		return RESOLVE_FAILED;
	if (p[0] != RESOLVE_OK)
		return (enum resolve_result)p[0];
	if (n == 1 || (n - 1) % sizeof *list != 0 ||
	    (n - 1) / sizeof *list > ADDRESSES_MAX)
		return RESOLVE_FAILED;
	memcpy(list, p + 1, n - 1);
	for (i = 0; i < (n - 1) / sizeof *list; i++)
		if (list[i].family != 4 && list[i].family != 6)
			return RESOLVE_FAILED;
	*count = i;
	return RESOLVE_OK;
}

enum resolve_result resolve_read(struct resolve *r, struct address *list,
				 size_t *count)
{
	ssize_t n;

	do {
		n = read(r->fd, r->buf + r->n, sizeof r->buf - r->n);
		r->n += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return RESOLVE_MORE;
	resolve_stop(r);
	return resolve_parse(r->buf, r->n, list, count);
}

bool resolve_numeric(const char *host, struct address *a)
{
	memset(a, 0, sizeof *a);
	a->family = strchr(host, ':') == NULL ? 4 : 6;
	return inet_pton(a->family == 4 ? AF_INET : AF_INET6, host, a->ip) == 1;
}
