#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* The kernel's interface, as linux/seccomp.h, filter.h and landlock.h have it;
 * the C library brings none of them. */
struct instruction {
	uint16_t code;
	uint8_t yes, no;
	uint32_t k;
};
struct program {
	unsigned short n;
	const struct instruction *code;
};
enum { LOAD = 0x20, JUMP_IF_EQUAL = 0x15, RETURN = 0x06 };
enum { AT_NUMBER = 0, AT_ARCH = 4 }; /* in struct seccomp_data */
#define MODE_FILTER 2
#define ALLOW 0x7fff0000u
#define TRAP 0x00030000u
#define KILL 0x80000000u

struct ruleset {
	uint64_t files, net, scoped;
};
struct __attribute__((packed)) beneath {
	uint64_t allowed;
	int32_t fd;
};
struct port {
	uint64_t allowed, port;
};
enum { RULE_BENEATH = 1, RULE_PORT = 2 };
#define CREATE_RULESET 444
#define ADD_RULE 445
#define RESTRICT_SELF 446
#define READ_FILE (1u << 2)
#define CONNECT (1u << 1)

/* The list is that of musl: glibc's resolver loads libraries, and more. */
#if defined(__GLIBC__) || (!defined(__x86_64__) && !defined(__aarch64__))
#define ARCH 0u /* there is no list for this system */
#define OLDER_CALLS
static void set_result(ucontext_t *u, int value)
{
	(void)u;
	(void)value;
}
#elif defined(__x86_64__)
#define ARCH 0xc000003eu
#define OLDER_CALLS SYS_open, SYS_poll, SYS_fork, SYS_alarm, SYS_pipe,
static void set_result(ucontext_t *u, int value)
{
	u->uc_mcontext.gregs[REG_RAX] = value;
}
#elif defined(__aarch64__)
#define ARCH 0xc00000b7u
#define OLDER_CALLS
static void set_result(ucontext_t *u, int value)
{
	u->uc_mcontext.regs[0] = (unsigned long)(long)value;
}
#endif

#define NO_CALL (-1) /* what a tracer puts there to skip a call */

static const int calls[] = {
	/* the stream, output, the log, the clock */
	SYS_recvfrom, SYS_sendto, SYS_ppoll, SYS_pwritev2, SYS_write,
	SYS_writev, SYS_clock_gettime, SYS_getrandom, SYS_madvise, SYS_ioctl,
	SYS_lseek, SYS_ftruncate,
	/* connecting */
	SYS_socket, SYS_connect, SYS_getsockopt, SYS_setsockopt, SYS_close,
	SYS_pipe2, SYS_clone, SYS_wait4, SYS_kill,
	/* signals and the end; restart: ppoll goes on after SIGSTOP */
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
	SYS_restart_syscall, SYS_getpid, SYS_gettid, SYS_tkill, SYS_exit,
	SYS_exit_group, NO_CALL,
	/* the C library's resolver, in the child */
	SYS_openat, SYS_read, SYS_readv, SYS_fcntl, SYS_bind, SYS_recvmsg,
	SYS_sendmsg, SYS_setitimer, SYS_set_tid_address, SYS_brk, SYS_mmap,
	SYS_munmap, SYS_mremap, SYS_mprotect, OLDER_CALLS
};
static const int deadly[] = { SYS_execve, SYS_execveat, SYS_ptrace };

#define CALLS (sizeof calls / sizeof calls[0])
#define DEADLY (sizeof deadly / sizeof deadly[0])

static volatile sig_atomic_t refused = -1;

static void on_refused(int number, siginfo_t *info, void *context)
{
	(void)number;
	refused = info->si_syscall;
	set_result(context, -ENOSYS);
}

static struct instruction jump_if_equal(uint32_t k, size_t yes, size_t no)
{
	struct instruction i = { JUMP_IF_EQUAL, (uint8_t)yes, (uint8_t)no, k };

	return i;
}

/* The program: a number that is in a list jumps to the list's end. */
static bool limit_calls(void)
{
	enum { TRAPS = CALLS + DEADLY + 3, KILLS, ALLOWS, SIZE };
	struct instruction code[SIZE] = {
		{ LOAD, 0, 0, AT_ARCH },
		[2] = { LOAD, 0, 0, AT_NUMBER },
		[TRAPS] = { RETURN, 0, 0, TRAP },
		[KILLS] = { RETURN, 0, 0, KILL },
		[ALLOWS] = { RETURN, 0, 0, ALLOW },
	};
	const struct program program = { SIZE, code };
	struct sigaction a = { .sa_flags = SA_SIGINFO };
	size_t n = 3, i;

	a.sa_sigaction = on_refused;
	if (sigaction(SIGSYS, &a, NULL) < 0)
		return false;
	code[1] = jump_if_equal(ARCH, 0, KILLS - 2);
	for (i = 0; i < CALLS; i++, n++)
		code[n] = jump_if_equal((uint32_t)calls[i], ALLOWS - n - 1, 0);
	for (i = 0; i < DEADLY; i++, n++)
		code[n] = jump_if_equal((uint32_t)deadly[i], KILLS - n - 1, 0);
	return prctl(PR_SET_SECCOMP, MODE_FILTER, &program, 0, 0) == 0;
}

/* The rights to files that each version knows: from execute, bit 0, on. */
static uint64_t file_rights(int version)
{
	static const unsigned char bits[] = { 0, 13, 14, 15, 15, 16 };

	return ((uint64_t)1 << bits[version < 5 ? version : 5]) - 1;
}

static void allow_folder(int rules, const char *folder)
{
	struct beneath b = { READ_FILE, open(folder, O_PATH | O_CLOEXEC) };

	if (b.fd < 0)
		return;
	syscall(ADD_RULE, rules, RULE_BENEATH, &b, 0);
	close(b.fd);
}

/* Where this file really is, wherever links lead. */
static void allow_folder_of(int rules, const char *file)
{
	char path[PATH_MAX];
	char *end = realpath(file, path) == NULL ? NULL : strrchr(path, '/');

	if (end == NULL)
		return;
	*end = '\0';
	allow_folder(rules, path);
}

static int limit_files(uint16_t port)
{
	int version = (int)syscall(CREATE_RULESET, NULL, (size_t)0, 1), rules;
	struct ruleset r = { 0, 0, 0 };
	struct port p = { CONNECT, port };
	bool ok;

	if (version < 1)
		return 0;
	r.files = file_rights(version);
	r.net = version >= 4 ? 3 : 0;
	r.scoped = version >= 6 ? 3 : 0;
	rules = (int)syscall(CREATE_RULESET, &r, sizeof r, 0);
	if (rules < 0)
		return 0;
	allow_folder(rules, "/etc");
	allow_folder(rules, "/run");
	allow_folder_of(rules, "/etc/resolv.conf");
	allow_folder_of(rules, "/etc/hosts");
	if (version >= 4)
		syscall(ADD_RULE, rules, RULE_PORT, &p, 0);
	ok = syscall(RESTRICT_SELF, rules, 0) == 0;
	close(rules);
	return ok ? version : 0;
}

struct sandbox sandbox_enter(uint16_t port)
{
	struct sandbox s = { false, 0 };

	if (ARCH == 0)
		return s;
	s.landlock = limit_files(port);
	s.calls = limit_calls();
	return s;
}

int sandbox_refused(void)
{
	static bool said;
	int call = said ? -1 : refused;

	said = said || call >= 0;
	return call;
}
