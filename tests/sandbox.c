/* The shipped sandbox, tried from inside: each argument is a trial, whose exit
 * status is 0 if the kernel did as promised, 77 if it cannot. FILE is one that
 * the trials of writing may write beside. */
#include "../sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PORT 4443
#define CANNOT 77
#define MPTCP 262
#ifdef SYS_mmap2
#define MAP_CALL SYS_mmap2
#else
#define MAP_CALL SYS_mmap
#endif

static struct sandbox got;
static const char *file;

static struct sockaddr_in local(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };

	to.sin_port = htons(port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return to;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in to = local(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return connect(fd, (const struct sockaddr *)(const void *)&to,
		       sizeof to) == 0
		   ? 0
		   : errno;
}

/* Was what has just been tried refused, and noted? */
static int refused(long result, int call)
{
	int e = errno, noted = sandbox_refused();

	if (result != -1)
		return 1;
	if (e != ENOSYS)
		return 2;
#ifdef SYS_socketcall /* what the C library tries next */
	if (noted == SYS_socketcall)
		return 0;
#endif
	return noted == call ? 0 : 3;
}

static int unknown_call(void)
{
	if (refused(syscall(SYS_getppid), SYS_getppid) != 0)
		return 1;
	syscall(SYS_getppid);
	return sandbox_refused() == -1 ? 0 : 3; /* told once */
}

/* These two do not come back: the kernel kills. */
static int start_program(void)
{
	char *const none[] = { NULL };

	execve("/bin/true", none, none);
	return 1;
}

static int trace_program(void)
{
	syscall(SYS_ptrace, 0, 0, 0, 0);
	return 1;
}

static int type_into_terminal(void)
{
	return refused(ioctl(0, TIOCSTI, "x"), SYS_ioctl);
}

static int terminal_size(void)
{
	struct winsize size;

	ioctl(0, TIOCGWINSZ, &size);
	return sandbox_refused() == -1 ? 0 : 1;
}

static long map(int protection)
{
	return syscall(MAP_CALL, NULL, 4096L, (long)protection,
		       (long)(MAP_PRIVATE | MAP_ANONYMOUS), -1L, 0L);
}

static int map_any(void)
{
	return refused(map(PROT_READ), MAP_CALL);
}

static int map_code(void)
{
#ifdef __s390x__
	return CANNOT;
#endif
	if (map(PROT_READ | PROT_WRITE) == -1)
		return 4;
	return refused(map(PROT_READ | PROT_WRITE | PROT_EXEC), MAP_CALL);
}

static int make_code(void)
{
	static char page[8192] __attribute__((aligned(4096)));

	return refused(
	    syscall(SYS_mprotect, page, 4096L, (long)(PROT_READ | PROT_EXEC)),
	    SYS_mprotect);
}

static int unix_socket(void)
{
	return refused(socket(AF_UNIX, SOCK_STREAM, 0), SYS_socket);
}

static int netlink_socket(void)
{
	return refused(socket(AF_NETLINK, SOCK_RAW, 0), SYS_socket);
}

static int packet_socket(void)
{
	return refused(socket(AF_PACKET, SOCK_DGRAM, 0), SYS_socket);
}

static int mptcp_socket(void)
{
	return refused(socket(AF_INET, SOCK_STREAM, MPTCP), SYS_socket);
}

static int udp_socket(void)
{
	return refused(socket(AF_INET, SOCK_DGRAM, 0), SYS_socket);
}

static int raw_socket(void)
{
	return refused(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), SYS_socket);
}

static int name_sockets(void)
{
	return socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP) < 0 ||
	       socket(AF_INET, SOCK_DGRAM, 0) < 0 ||
	       connect_to(53) != ECONNREFUSED || sandbox_refused() != -1;
}

/* TCP to a port that Landlock forbids, by a way that it does not see. */
static int fast_open(void)
{
	struct sockaddr_in to = local(PORT + 1);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return refused(sendto(fd, "x", 1, MSG_FASTOPEN,
			      (const struct sockaddr *)(const void *)&to,
			      sizeof to),
		       SYS_sendto);
}

static int user_namespace(void)
{
	long pid =
	    syscall(SYS_clone, (long)(CLONE_NEWUSER | SIGCHLD), 0L, 0L, 0L, 0L);

	if (pid == 0)
		_exit(0);
	return refused(pid, SYS_clone);
}

static int fork_at_all(void)
{
	long pid = syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);

	if (pid == 0)
		_exit(0);
	return refused(pid, SYS_clone);
}

static int open_at_all(void)
{
	return refused(
	    syscall(SYS_openat, AT_FDCWD, "/etc/hosts", (long)O_RDONLY),
	    SYS_openat);
}

/* Itself it may end; another process it must not even ask for. */
static int kill_another(void)
{
	static const pid_t first = 1;

	if (kill(getpid(), 0) != 0)
		return 4;
	return refused(kill(first, 0), SYS_kill);
}

static bool is_denied(const char *path, int flags)
{
	return open(path, flags, 0600) < 0 && errno == EACCES;
}

/* What the look-up process may read, and nothing beside it. */
static int names_files(void)
{
	if (got.landlock == 0)
		return CANNOT;
	if (!is_denied("/proc/self/maps", O_RDONLY) ||
	    !is_denied("/etc/shadow", O_RDONLY) ||
	    !is_denied("/etc/passwd", O_RDONLY) || !is_denied(file, O_RDONLY))
		return 1;
	if (!is_denied("/etc/hosts", O_RDWR) ||
	    !is_denied("/etc/x", O_WRONLY | O_CREAT))
		return 2;
	return open("/etc/hosts", O_RDONLY) >= 0 ? 0 : 3;
}

/* What the stream may write where -o names a file. */
static int stream_files(void)
{
	char beside[512];

	if (got.landlock == 0)
		return CANNOT;
	snprintf(beside, sizeof beside, "%s.tmp", file);
	if (!is_denied("/etc/hosts", O_RDONLY) ||
	    !is_denied("/etc/shadow", O_RDONLY) ||
	    !is_denied("/tmp/x", O_WRONLY | O_CREAT))
		return 1;
	if (open(beside, O_WRONLY | O_CREAT | O_TRUNC, 0600) < 0)
		return 2;
	return rename(beside, file) == 0 && sandbox_refused() == -1 ? 0 : 3;
}

static int ports(void)
{
	if (got.landlock < 4)
		return CANNOT;
	if (connect_to(PORT + 1) != EACCES)
		return 1;
	return connect_to(PORT) == ECONNREFUSED ? 0 : 2;
}

enum role { STREAM, FILES, NAMES };
static const struct {
	const char *name;
	enum role role;
	int (*run)(void);
} trials[] = {
	{ "unknown_call", STREAM, unknown_call },
	{ "start_program", STREAM, start_program },
	{ "trace_program", STREAM, trace_program },
	{ "type_into_terminal", STREAM, type_into_terminal },
	{ "terminal_size", STREAM, terminal_size },
	{ "map_any", STREAM, map_any },
	{ "map_code", NAMES, map_code },
	{ "make_code", NAMES, make_code },
	{ "unix_socket", STREAM, unix_socket },
	{ "netlink_socket", STREAM, netlink_socket },
	{ "packet_socket", STREAM, packet_socket },
	{ "mptcp_socket", STREAM, mptcp_socket },
	{ "udp_socket", STREAM, udp_socket },
	{ "raw_socket", STREAM, raw_socket },
	{ "names_unix_socket", NAMES, unix_socket },
	{ "names_netlink_socket", NAMES, netlink_socket },
	{ "names_raw_socket", NAMES, raw_socket },
	{ "names_sockets", NAMES, name_sockets },
	{ "fast_open", STREAM, fast_open },
	{ "names_fast_open", NAMES, fast_open },
	{ "user_namespace", STREAM, user_namespace },
	{ "names_user_namespace", NAMES, user_namespace },
	{ "fork_at_all", STREAM, fork_at_all },
	{ "open_at_all", STREAM, open_at_all },
	{ "kill_another", STREAM, kill_another },
	{ "names_files", NAMES, names_files },
	{ "stream_files", FILES, stream_files },
	{ "ports", STREAM, ports },
};

/* TRIAL FILE */
int main(int argc, char **argv)
{
	struct sandbox_needs needs = { .port = PORT };
	size_t i;

	for (i = 0; argc == 3 && i < sizeof trials / sizeof trials[0]; i++) {
		if (strcmp(argv[1], trials[i].name) != 0)
			continue;
		file = argv[2];
		needs.names = trials[i].role == NAMES;
		needs.port = needs.names ? 53 : PORT;
		needs.write[0] = trials[i].role == FILES ? file : NULL;
		got = sandbox_enter(&needs);
		return got.calls ? trials[i].run() : CANNOT;
	}
	return 2;
}
