#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
enum { LOAD = 0x20, AND = 0x54, JUMP_IF_EQUAL = 0x15, RETURN = 0x06 };
enum { AT_NUMBER = 0, AT_ARCH = 4, AT_ARGUMENTS = 16 }; /* of seccomp_data */
#define MODE_FILTER 2
#define ALLOW 0x7fff0000u
#define TRAP 0x00030000u
/* Not told: musl since 1.2.4 tries MSG_FASTOPEN for names, then goes on. */
#define FAIL_QUIETLY (0x00050000u | EOPNOTSUPP)
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
enum { CREATE_RULESET = 444, ADD_RULE, RESTRICT_SELF }; /* calls */
enum { RULE_BENEATH = 1, RULE_PORT };
enum { WRITE_FILE = 1 << 1, READ_FILE = 1 << 2, REMOVE_FILE = 1 << 5 };
enum { MAKE_FILE = 1 << 8, TRUNCATE = 1 << 14, CONNECT_TCP = 1 << 1 };

/* Which processor, as the filter is told, and how a call fails there. */
#if defined(__GLIBC__)
#define ARCH 0u /* the lists are not those of this library */
#define FAIL(m) (void)(m)
#elif defined(__x86_64__)
#define ARCH 0xc000003eu
#define FAIL(m) ((m)->gregs[REG_RAX] = -ENOSYS)
#elif defined(__i386__)
#define ARCH 0x40000003u
#define FAIL(m) ((m)->gregs[REG_EAX] = -ENOSYS)
#elif defined(__arm__)
#define ARCH 0x40000028u
#define FAIL(m) ((m)->arm_r0 = -(unsigned long)ENOSYS)
#elif defined(__aarch64__)
#define ARCH 0xc00000b7u
#define FAIL(m) ((m)->regs[0] = -(unsigned long)ENOSYS)
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH 0xc00000f3u
#define FAIL(m) ((m)->__gregs[10] = -(unsigned long)ENOSYS)
#elif defined(__mips__) && defined(_ABIO32)
#define ARCH (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 8u : 0x40000008u)
#define FAIL(m) ((m)->gregs[7] = 1, (m)->gregs[2] = ENOSYS)
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define ARCH 0xc0000015u
#define FAIL(m) ((m)->gp_regs[38] |= 0x10000000, (m)->gp_regs[3] = ENOSYS)
#elif defined(__s390x__)
#define ARCH 0x80000016u
#define FAIL(m) ((m)->gregs[2] = -(unsigned long)ENOSYS)
#else
#define ARCH 0u
#define FAIL(m) (void)(m)
#endif

#define NO_CALL (-1) /* what a tracer puts there to skip a call */

static const int always[] = {
#ifdef SYS_poll
	SYS_poll,
#endif
#ifdef SYS__llseek
	SYS__llseek,
#endif
#ifdef SYS_sigreturn
	SYS_sigreturn,
#endif
#ifdef SYS_clock_gettime
	SYS_clock_gettime,
#else
	SYS_clock_gettime32, SYS_clock_gettime64, SYS_ppoll_time64,
#endif
	/* ppoll goes on after SIGSTOP by restart_syscall */
	SYS_restart_syscall, NO_CALL, SYS_recvfrom, SYS_ppoll, SYS_connect,
	SYS_close, SYS_lseek, SYS_madvise, SYS_gettid, SYS_exit, SYS_exit_group,
	SYS_rt_sigreturn
};
static const int streaming[] = {
	SYS_write,       SYS_writev,       SYS_getrandom,      SYS_ftruncate,
	SYS_getsockopt,  SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_getpid,
#ifdef SYS_ftruncate64
	SYS_ftruncate64,
#endif
};
static const int looking_up[] = {
	SYS_openat,  SYS_read, SYS_readv,  SYS_bind,   SYS_getsockname,
	SYS_recvmsg, SYS_brk,  SYS_munmap, SYS_mremap,
#ifdef __s390x__
	SYS_mmap, /* has its arguments in memory, where no filter looks */
#endif
#ifdef SYS_open
	SYS_open,
#endif
};
static const int writing[] = {
#ifdef SYS_renameat
	SYS_renameat,
#endif
#ifdef SYS_open
	SYS_open,      SYS_rename,   SYS_unlink,
#endif
	SYS_openat,    SYS_read,     SYS_fstat,
	SYS_renameat2, SYS_unlinkat, SYS_fsync
};
static const int deadly[] = { SYS_execve, SYS_execveat, SYS_ptrace };

#define OWN UINT32_MAX /* stands for the number of this process */

/* Calls whose arguments are looked at: one, masked, must be one of two values.
 * All lines of one call must hold; they stand together. */
enum who { STREAM = 1, NAMES = 2, BOTH = 3 };
static const struct rule {
	enum who who;
	int call;
	uint32_t argument, mask, value[2];
} rules[] = {
	{ STREAM, SYS_ioctl, 1, ~0u, { TIOCGWINSZ, FIONREAD } },
	{ STREAM, SYS_socket, 0, ~0u, { AF_INET, AF_INET6 } },
	{ STREAM, SYS_socket, 1, 15, { SOCK_STREAM, SOCK_STREAM } },
	{ STREAM, SYS_socket, 2, ~0u, { 0, IPPROTO_TCP } },
	{ NAMES, SYS_socket, 0, ~0u, { AF_INET, AF_INET6 } },
	{ NAMES, SYS_socket, 1, 15, { SOCK_STREAM, SOCK_DGRAM } },
	{ NAMES, SYS_socket, 2, ~0u, { 0, IPPROTO_UDP } },
	{ STREAM, SYS_setsockopt, 1, ~0u, { SOL_SOCKET, IPPROTO_TCP } },
	{ NAMES, SYS_setsockopt, 1, ~0u, { IPPROTO_IPV6, IPPROTO_TCP } },
	{ STREAM, SYS_kill, 0, ~0u, { OWN, OWN } },
	{ BOTH, SYS_sendto, 3, MSG_FASTOPEN, { 0, 0 } },
	{ NAMES, SYS_sendmsg, 2, MSG_FASTOPEN, { 0, 0 } },
	/* The C library's open sets the flag by itself. */
	{ BOTH, SYS_fcntl, 1, ~0u, { F_SETFD, F_SETFD } },
	{ NAMES, SYS_mprotect, 2, PROT_EXEC, { 0, 0 } },
#ifdef SYS_fcntl64
	{ BOTH, SYS_fcntl64, 1, ~0u, { F_SETFD, F_SETFD } },
#endif
#ifdef SYS_mmap2 /* where it is, the C library uses no other */
	{ NAMES, SYS_mmap2, 2, PROT_EXEC, { 0, 0 } },
#elif !defined(__s390x__)
	{ NAMES, SYS_mmap, 2, PROT_EXEC, { 0, 0 } },
#endif
};

#define LENGTH(a) (sizeof(a) / sizeof(a)[0])

static volatile sig_atomic_t refused = -1;

static void on_refused(int number, siginfo_t *info, void *context)
{
	mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;

	(void)number;
	refused = info->si_syscall;
	FAIL(m);
}

struct filter {
	size_t n;
	struct instruction code[256];
};

static void put(struct filter *f, uint16_t code, uint32_t k, size_t yes,
		size_t no)
{
	struct instruction i = { code, (uint8_t)yes, (uint8_t)no, k };

	if (f->n < LENGTH(f->code))
		f->code[f->n] = i;
	f->n++;
}

static void put_calls(struct filter *f, const int *calls, size_t n,
		      uint32_t end)
{
	for (; n > 0; n--, calls++) {
		put(f, JUMP_IF_EQUAL, (uint32_t)*calls, 0, 1);
		put(f, RETURN, end, 0, 0);
	}
}

/* The call's number is in the accumulator before, and is again behind where it
 * was another call or the next rule is about the same one. A jump counts the
 * instructions that it leaves out: 6 lead behind the rule. Of an argument the
 * lower half is looked at, all that the kernel takes of these. */
static void put_rule(struct filter *f, const struct rule *r)
{
	const uint32_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
	bool more = r + 1 < rules + LENGTH(rules) && r[1].call == r->call &&
		    r[1].who == r->who;

	put(f, JUMP_IF_EQUAL, (uint32_t)r->call, 0, 6);
	put(f, LOAD, AT_ARGUMENTS + 8 * r->argument + low, 0, 0);
	put(f, AND, r->mask, 0, 0);
	put(f, JUMP_IF_EQUAL,
	    r->value[0] == OWN ? (uint32_t)getpid() : r->value[0], 2, 0);
	put(f, JUMP_IF_EQUAL, r->value[1], 1, 0);
	put(f, RETURN, r->call == SYS_sendmsg ? FAIL_QUIETLY : TRAP, 0, 0);
	put(f, more ? LOAD : RETURN, more ? AT_NUMBER : ALLOW, 0, 0);
}

static bool limit_calls(const struct sandbox_needs *needs)
{
	static struct filter f;
	struct sigaction a = { .sa_sigaction = on_refused,
			       .sa_flags = SA_SIGINFO };
	const enum who who = needs->names ? NAMES : STREAM;
	struct program program = { 0, f.code };
	size_t i;

	put(&f, LOAD, AT_ARCH, 0, 0);
	put(&f, JUMP_IF_EQUAL, ARCH, 1, 0);
	put(&f, RETURN, KILL, 0, 0);
	put(&f, LOAD, AT_NUMBER, 0, 0);
	put_calls(&f, always, LENGTH(always), ALLOW);
	if (needs->names)
		put_calls(&f, looking_up, LENGTH(looking_up), ALLOW);
	else
		put_calls(&f, streaming, LENGTH(streaming), ALLOW);
	for (i = 0; i < SANDBOX_FILES && needs->write[i] == NULL; i++)
		;
	if (i < SANDBOX_FILES)
		put_calls(&f, writing, LENGTH(writing), ALLOW);
	for (i = 0; i < LENGTH(rules); i++)
		if ((rules[i].who & who) != 0)
			put_rule(&f, &rules[i]);
	put_calls(&f, deadly, LENGTH(deadly), KILL);
	put(&f, RETURN, TRAP, 0, 0);
	if (f.n > LENGTH(f.code) || sigaction(SIGSYS, &a, NULL) < 0)
		return false;
	program.n = (unsigned short)f.n;
	return prctl(PR_SET_SECCOMP, MODE_FILTER, &program, 0, 0) == 0;
}

/* Wherever links lead from there. */
static void allow_path(int ruleset, const char *path, uint64_t rights)
{
	struct beneath b = { rights, open(path, O_PATH | O_CLOEXEC) };

	if (b.fd < 0)
		return;
	syscall(ADD_RULE, ruleset, RULE_BENEATH, &b, 0);
	close(b.fd);
}

static void allow_write(int ruleset, const char *file, uint64_t known)
{
	const uint64_t rights = (WRITE_FILE | READ_FILE | TRUNCATE) & known;
	const char *slash = memrchr(file, '/', strcspn(file, "%"));
	char folder[PATH_MAX] = ".", real[PATH_MAX];
	struct stat st;

	if (realpath(file, real) != NULL && strcmp(real, file) != 0)
		allow_write(ruleset, real, known); /* where links lead */
	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode)) {
		allow_path(ruleset, file, rights);
		return;
	}
	if (slash != NULL)
		snprintf(folder, sizeof folder, "%.*s", (int)(slash - file) + 1,
			 file);
	allow_path(ruleset, folder, rights | MAKE_FILE | REMOVE_FILE);
}

static void allow_files(int ruleset, const struct sandbox_needs *needs,
			uint64_t known)
{
	static const char *const names[] = { "/etc/resolv.conf",
					     "/etc/hosts",
					     "/etc/nsswitch.conf",
#ifdef __GLIBC__ /* its resolver is a library, even of a static program */
					     "/etc",
					     "/lib",
					     "/lib64",
					     "/usr/lib"
#endif
	};
	size_t i;

	for (i = 0; needs->names && i < LENGTH(names); i++)
		allow_path(ruleset, names[i], READ_FILE);
	for (i = 0; i < SANDBOX_FILES; i++)
		if (needs->write[i] != NULL)
			allow_write(ruleset, needs->write[i], known);
}

/* Returns Landlock's version, which says how many rights it knows: to files, of
 * which execute is the first; TCP's two; what it calls scopes. */
static int limit_files(const struct sandbox_needs *needs)
{
	int version = (int)syscall(CREATE_RULESET, NULL, (size_t)0, 1), fd;
	const int rights = 12 + (version < 3 ? version : 3) + (version > 4);
	const struct ruleset r = { ((uint64_t)1 << rights) - 1,
				   version >= 4 ? 3 : 0, version >= 6 ? 3 : 0 };
	const struct port p = { CONNECT_TCP, needs->port };

	fd = version < 1 ? -1 : (int)syscall(CREATE_RULESET, &r, sizeof r, 0);
	if (fd < 0)
		return 0;
	allow_files(fd, needs, r.files);
	if (version >= 4)
		syscall(ADD_RULE, fd, RULE_PORT, &p, 0);
	if (syscall(RESTRICT_SELF, fd, 0) < 0)
		version = 0;
	close(fd);
	return version;
}

struct sandbox sandbox_enter(const struct sandbox_needs *needs)
{
	struct sandbox s;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	s.landlock = limit_files(needs);
	s.calls = ARCH != 0 && limit_calls(needs);
	return s;
}

int sandbox_refused(void)
{
	static bool said;
	int call = said ? -1 : refused;

	said = said || call >= 0;
	return call;
}
