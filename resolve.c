#include "resolve.h"

#include "sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENDPOINT 0    /* the only descriptor that the look-up processes have */
#define HUNG 11       /* seconds until a worker is killed: 10 are waited for */
#define FDS_MAX 1024  /* looked at one by one where close_range is missing */
#define HOST_SIZE 256 /* a name of 253 bytes, its dot, NUL */
#define DNS_PORT 53

struct question {
	uint32_t number;
	char host[HOST_SIZE];
};

const char *resolve_text(enum resolve_result r)
{
	static const char *const text[RESOLVE_RESULTS] = {
		[RESOLVE_OK] = "found",
		[RESOLVE_MORE] = "no answer yet",
		[RESOLVE_NO_NAME] = "there is no such host",
		[RESOLVE_NO_ANSWER] = "no name server answers for it",
		[RESOLVE_FAILED] = "the look-up failed",
		[RESOLVE_GONE] = ("the process that looks names up is gone: "
				  "tstream must be started again"),
	};

	return text[r];
}

static enum resolve_result look_up(const char *host, struct addrinfo **list)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int e = getaddrinfo(host, NULL, &hints, list);

	if (e == 0)
		return RESOLVE_OK;
	if (e == EAI_AGAIN)
		return RESOLVE_NO_ANSWER;
	return e == EAI_NONAME || e == EAI_NODATA ? RESOLVE_NO_NAME
						  : RESOLVE_FAILED;
}

static void take_address(struct resolve_answer *to, const struct addrinfo *ai)
{
	const struct sockaddr_in *in = (const void *)ai->ai_addr;
	const struct sockaddr_in6 *in6 = (const void *)ai->ai_addr;
	struct address *a = &to->list[to->count];

	if (ai->ai_family == AF_INET)
		memcpy(a->ip, &in->sin_addr, 4);
	else if (ai->ai_family == AF_INET6)
		memcpy(a->ip, &in6->sin6_addr, 16);
	else
		return;
	a->family = ai->ai_family == AF_INET ? 4 : 6;
	to->count++;
}

/* One look-up, in a process that can do little else. The files that it may read
 * are those of now: a resolv.conf that is replaced is seen by the next one. */
__attribute__((noreturn)) static void work(const struct question *q)
{
	const struct sandbox_needs needs = { .names = true, .port = DNS_PORT };
	struct resolve_answer a = { .number = q->number };
	struct addrinfo *ai = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sandbox_enter(&needs);
	a.result = look_up(q->host, &ai);
	for (; ai != NULL && a.count < ADDRESSES_MAX; ai = ai->ai_next)
		take_address(&a, ai);
	a.refused = sandbox_refused();
	_exit(send(ENDPOINT, &a, sizeof a, 0) == sizeof a ? 0 : 1);
}

/* See that the question is answered, whatever becomes of the worker. */
static void supervise(const struct question *q)
{
	const struct resolve_answer none = { .number = q->number,
					     .refused = -1,
					     .result = RESOLVE_FAILED };
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		work(q);
	if (pid > 0) {
		alarm(HUNG);
		if (waitpid(pid, &status, 0) < 0) { /* by the alarm */
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
		}
		alarm(0);
	}
	if (status != 0)
		send(ENDPOINT, &none, sizeof none, 0);
}

static void on_alarm(int number)
{
	(void)number;
}

/* Keep nothing of the parent but the socket, and none of its signals: the
 * terminal sends them to all, but this process ends when the parent does. */
static void detach(int fd, pid_t parent)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1,
				       SIGPIPE };
	const struct sigaction on = { .sa_handler = on_alarm };
	char **e;
	sigset_t none;
	size_t i;
	int other;

	for (e = environ; *e != NULL; e++)
		explicit_bzero(*e, strlen(*e));
	for (i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* ignored, workers could not be waited for */
	sigaction(SIGALRM, &on, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(fd, ENDPOINT) < 0)
		_exit(1);
	if (syscall(SYS_close_range, ENDPOINT + 1, ~0u, 0) < 0)
		for (other = ENDPOINT + 1; other < FDS_MAX; other++)
			close(other);
}

__attribute__((noreturn)) static void serve(void)
{
	struct question q;
	ssize_t n;

	for (;;) {
		n = recv(ENDPOINT, &q, sizeof q, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof q)
			_exit(0);
		/* Only the newest one is still waited for. */
		while (recv(ENDPOINT, &q, sizeof q, MSG_DONTWAIT) > 0)
			;
		supervise(&q);
	}
}

bool resolve_begin(struct resolve *r)
{
	pid_t parent = getpid(), pid;
	int ends[2];

	r->number = 0;
	r->refused = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		detach(ends[1], parent);
		serve();
	}
	close(ends[1]);
	r->fd = ends[0];
	return pid > 0;
}

enum resolve_result resolve_ask(struct resolve *r, const char *host,
				bool rooted)
{
	struct question q = { .number = ++r->number };
	size_t n = strlen(host);

	if (n + 2 > sizeof q.host)
		return RESOLVE_NO_NAME;
	memcpy(q.host, host, n);
	q.host[n] = rooted ? '.' : '\0';
	if (send(r->fd, &q, sizeof q, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof q)
		return RESOLVE_MORE;
	return errno == EPIPE ? RESOLVE_GONE : RESOLVE_FAILED;
}

enum resolve_result resolve_judge(struct resolve *r,
				  const struct resolve_answer *a, size_t n,
				  struct address *list, size_t *count)
{
	size_t i;

	*count = 0;
	if (n != sizeof *a)
		return RESOLVE_FAILED;
	if (a->refused >= 0)
		r->refused = a->refused;
	if (a->number != r->number)
		return RESOLVE_MORE;
	if (a->result == RESOLVE_NO_NAME || a->result == RESOLVE_NO_ANSWER)
		return (enum resolve_result)a->result;
	if (a->result != RESOLVE_OK || a->count == 0 ||
	    a->count > ADDRESSES_MAX)
		return RESOLVE_FAILED;
	for (i = 0; i < a->count; i++)
		if (a->list[i].family != 4 && a->list[i].family != 6)
			return RESOLVE_FAILED;
	memcpy(list, a->list, sizeof a->list);
	*count = a->count;
	return RESOLVE_OK;
}

/* That the processes are gone shows when they are asked again. */
enum resolve_result resolve_read(struct resolve *r, struct address *list,
				 size_t *count)
{
	enum resolve_result result = RESOLVE_MORE;
	struct resolve_answer a;
	ssize_t n = 1;

	while (result == RESOLVE_MORE && n > 0) {
		n = recv(r->fd, &a, sizeof a, MSG_DONTWAIT);
		if (n >= 0)
			result = resolve_judge(r, &a, (size_t)n, list, count);
	}
	return n < 0 && errno != EAGAIN && errno != EINTR ? RESOLVE_FAILED
							  : result;
}

bool resolve_numeric(const char *host, struct address *a)
{
	memset(a, 0, sizeof *a);
	a->family = strchr(host, ':') == NULL ? 4 : 6;
	return inet_pton(a->family == 4 ? AF_INET : AF_INET6, host, a->ip) == 1;
}
