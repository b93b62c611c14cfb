/* The shipped objects on a clock that runs FAST times as fast (an environment
 * variable), so that thousands of reconnects by the rules fit into minutes. And
 * CLOCK names a file of two numbers, seconds that a test adds while it runs: to
 * the clock that goes on in suspend, and to the wall clock. All else is real:
 * sockets, TLS, descriptors, memory. */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __real_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t,
		 const sigset_t *mask);
int __wrap_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t,
		 const sigset_t *mask);

static uint64_t factor(void)
{
	static uint64_t value;
	const char *s = getenv("FAST");

	if (value == 0)
		value = s == NULL ? 1 : strtoul(s, NULL, 10);
	return value;
}

static volatile int64_t *added;

/* Early: later no file can be opened. */
__attribute__((constructor)) static void find_clock(void)
{
	const char *s = getenv("CLOCK");
	int fd = s == NULL ? -1 : open(s, O_RDONLY);

	if (fd < 0)
		return;
	added = mmap(NULL, 2 * sizeof *added, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	int result = __real_clock_gettime(id, t);
	uint64_t ns = (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;

	if (id == CLOCK_MONOTONIC || id == CLOCK_BOOTTIME) {
		ns *= factor();
		t->tv_sec = (time_t)(ns / 1000000000u);
		t->tv_nsec = (long)(ns % 1000000000u);
	}
	if (added != NULL && id != CLOCK_MONOTONIC)
		t->tv_sec += (time_t)added[id == CLOCK_REALTIME];
	return result;
}

int __wrap_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t,
		 const sigset_t *mask)
{
	struct timespec real;
	uint64_t ns;

	if (t == NULL)
		return __real_ppoll(p, n, NULL, mask);
	ns = ((uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec) /
	     factor();
	real.tv_sec = (time_t)(ns / 1000000000u);
	real.tv_nsec = (long)(ns % 1000000000u);
	return __real_ppoll(p, n, &real, mask);
}
