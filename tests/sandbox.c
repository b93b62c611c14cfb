/* The shipped sandbox, tried from inside: each argument is a trial, whose exit
 * status is 0 if the kernel did as promised, 77 if it cannot. */
#include "../sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PORT 4443
#define CANNOT 77

static struct sandbox got;

static int connect_to(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_port = htons(port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (const struct sockaddr *)(const void *)&to,
		       sizeof to) == 0
		   ? 0
		   : errno;
}

static int unknown_call(void)
{
	if (!got.calls)
		return CANNOT;
	if (syscall(SYS_getppid) != -1 || errno != ENOSYS)
		return 1;
	if (sandbox_refused() != SYS_getppid)
		return 2;
	syscall(SYS_getppid);
	return sandbox_refused() == -1 ? 0 : 3; /* told once */
}

/* These two do not come back: the kernel kills. */
static int start_program(void)
{
	char *const none[] = { NULL };

	if (!got.calls)
		return CANNOT;
	execve("/bin/true", none, none);
	return 1;
}

static int trace_program(void)
{
	if (!got.calls)
		return CANNOT;
	syscall(SYS_ptrace, 0, 0, 0, 0);
	return 1;
}

static int files(void)
{
	if (got.landlock == 0)
		return CANNOT;
	if (open("/proc/self/maps", O_RDONLY) >= 0 || errno != EACCES)
		return 1;
	if (open("/tmp/x", O_WRONLY | O_CREAT, 0600) >= 0 || errno != EACCES)
		return 2;
	if (open("/etc/passwd", O_RDWR) >= 0 || errno != EACCES)
		return 3;
	return open("/etc/passwd", O_RDONLY) >= 0 ? 0 : 4;
}

static int ports(void)
{
	if (got.landlock < 4)
		return CANNOT;
	if (connect_to(PORT + 1) != EACCES)
		return 1;
	return connect_to(PORT) == ECONNREFUSED ? 0 : 2;
}

static const struct {
	const char *name;
	int (*run)(void);
} trials[] = {
	{ "unknown_call", unknown_call },
	{ "start_program", start_program },
	{ "trace_program", trace_program },
	{ "files", files },
	{ "ports", ports },
};

int main(int argc, char **argv)
{
	size_t i;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	got = sandbox_enter(PORT);
	for (i = 0; argc == 2 && i < sizeof trials / sizeof trials[0]; i++)
		if (strcmp(argv[1], trials[i].name) == 0)
			return trials[i].run();
	return 2;
}
