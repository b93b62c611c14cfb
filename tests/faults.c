/* Faults inside the shipped objects, put between them by the linker's --wrap:
 * the environment's FAULT says which.
 *
 *     end    a call that is not in the list, after the last turn
 *     build  the second request does not fit
 *
 * And a look-up of refused.example makes a call that is not in its list. */
#include "../coverage.h"
#include "../request.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int __real_getaddrinfo(const char *host, const char *service,
		       const struct addrinfo *hints, struct addrinfo **list);
int __wrap_getaddrinfo(const char *host, const char *service,
		       const struct addrinfo *hints, struct addrinfo **list);
void __real_coverage_stats(const struct coverage *c);
void __wrap_coverage_stats(const struct coverage *c);
bool __real_request_build(struct request *r, const char *nonce, uint64_t time);
bool __wrap_request_build(struct request *r, const char *nonce, uint64_t time);

static bool is_fault(const char *name)
{
	const char *fault = getenv("FAULT");

	return fault != NULL && strcmp(fault, name) == 0;
}

int __wrap_getaddrinfo(const char *host, const char *service,
		       const struct addrinfo *hints, struct addrinfo **list)
{
	if (strcmp(host, "refused.example") == 0)
		syscall(SYS_sysinfo, NULL);
	return __real_getaddrinfo(host, service, hints, list);
}

void __wrap_coverage_stats(const struct coverage *c)
{
	if (is_fault("end"))
		syscall(SYS_getppid);
	__real_coverage_stats(c);
}

bool __wrap_request_build(struct request *r, const char *nonce, uint64_t time)
{
	static int n;

	n++;
	return __real_request_build(r, nonce, time) &&
	       !(is_fault("build") && n == 2);
}
