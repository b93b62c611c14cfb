/* tstream: options, wiring, exit status. */
#include "keys.h"
#include "log.h"
#include "options.h"
#include "roots.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TEST_SECONDS 10

static struct options opt;
static struct request request;
static struct roots roots;
static struct loop wheel;

/* Give the request what it needs of the credentials. */
static void use_keys(const struct keys *k)
{
	if (request.auth == AUTH_OAUTH1) {
		request_oauth1(&request, k->value[KEY_CONSUMER],
			       k->value[KEY_CONSUMER_SECRET],
			       k->value[KEY_TOKEN], k->value[KEY_TOKEN_SECRET]);
	} else if (request.auth == AUTH_BEARER) {
		request_bearer(&request, k->value[KEY_BEARER]);
	} else {
		request_basic(&request, k->value[KEY_USER],
			      k->value[KEY_PASSWORD]);
	}
}

/* What a new user reads first. */
__attribute__((noreturn)) static void no_keys(void)
{
	static const char *const need[] = {
		[AUTH_OAUTH1] = ("    consumer_key, consumer_secret, "
				 "access_token, access_token_secret"),
		[AUTH_BEARER] = "    bearer_token",
		[AUTH_BASIC] = "    user, password",
	};

	fprintf(stderr,
		"tstream: no credentials. Needed, as lines of `name: value':\n"
		"%s\n"
		"in a file given by -k or called keys.yaml (chmod 600), or in "
		"the environment\n"
		"under the same names in capitals%s. The service's developer\n"
		"portal gives them. To see the program work without any: "
		"make demo\n",
		need[request.auth],
		request.auth == AUTH_BASIC ? ", BASIC_USER and BASIC_PASSWORD"
					   : "");
	exit(EXIT_USAGE);
}

static void load_keys(void)
{
	static const unsigned sets[] = {
		[AUTH_OAUTH1] = KEYS_OAUTH1,
		[AUTH_BEARER] = KEYS_BEARER,
		[AUTH_BASIC] = KEYS_BASIC,
	};
	static struct keys keys;
	const char *source = opt.keys_file;
	bool ok, others = false;
	char why[256];
	struct text error;

	if (request.auth == AUTH_NONE)
		return;
	text_init(&error, why, sizeof why);
	if (!keys_environment(&keys, sets[request.auth]) || source != NULL) {
		if (source == NULL && access("keys.yaml", F_OK) < 0)
			no_keys();
		source = source != NULL ? source : "keys.yaml";
		explicit_bzero(&keys, sizeof keys);
		ok = keys_read(&keys, source, &error, &others);
		if (!ok)
			usage_error("credentials: %s: %s", source, why);
	}
	ok = keys_complete(&keys, sets[request.auth], source, &error);
	if (ok)
		use_keys(&keys);
	explicit_bzero(&keys, sizeof keys);
	if (!ok)
		usage_error("credentials: %s", why);
	if (others)
		log_line(LOG_INFO, "%s can be read by others: chmod 600 %s",
			 source, source);
}

static void load_roots(void)
{
	const char *file = opt.ca_file, *why;

	if (file == NULL)
		file = getenv("SSL_CERT_FILE");
	if (file == NULL || *file == '\0') {
		roots_builtin(&roots);
	} else {
		why = roots_read(&roots, file, (uint64_t)time(NULL));
		if (why != NULL)
			usage_error("certificates: %s: %s", file, why);
		if (roots.expired + roots.unreadable > 0)
			log_line(LOG_INFO,
				 "%s: %zu expired certificates and "
				 "%zu of unknown kinds left out",
				 file, roots.expired, roots.unreadable);
	}
	wheel.net.tls.anchors = roots.anchors;
	wheel.net.tls.nanchors = roots.n;
}

/* A socket must never become stdout: see that 0, 1 and 2 are taken. */
static void check_descriptors(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (fd == STDOUT_FILENO)
			usage_error("stdout is closed: there is nowhere to "
				    "write to");
		if (open("/dev/null", O_RDWR) != fd)
			usage_error("descriptor %d is closed, and /dev/null "
				    "cannot be opened in its place",
				    fd);
	}
}

/* No core dump, no ptrace by others: there are credentials in memory. */
static void harden(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void open_outputs(void)
{
	const char *file = opt.notices_file;
	int fd;

	if (!output_init(&wheel.out, STDOUT_FILENO, opt.buffer))
		usage_error("--buffer: there is no memory for it");
	if (file != NULL) {
		fd = open(file,
			  O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
			      O_NONBLOCK | O_NOCTTY,
			  0666);
		if (fd < 0)
			usage_error("-n: %s: %s", file, strerror(errno));
		if (!output_init(&wheel.notices, fd, opt.buffer))
			usage_error("--buffer: there is no memory for it");
		wheel.has_notices = true;
	}
	if (wheel.out.limit < opt.buffer)
		log_line(LOG_INFO,
			 "memory is short: at most %zu bytes are "
			 "held for a slow reader",
			 wheel.out.limit);
}

/* End as the shell expects of a program that a signal ended. As process 1 of a
 * container the signal does nothing, hence the exit. */
static void die_by(int number)
{
	sigset_t set;

	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	kill(getpid(), number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + number);
}

/* At the end: the statistics, what was missed, the report. */
static bool conclude(int fd)
{
	struct moment now = loop_now();

	coverage_stats(&wheel.coverage);
	coverage_log(&wheel.coverage, now);
	if (fd < 0 || coverage_write(&wheel.coverage, fd, now))
		return true;
	log_line(LOG_ERROR, "--report: %s: %s", opt.report_file,
		 strerror(errno));
	return false;
}

static int open_report(void)
{
	int fd = -1;

	if (opt.report_file != NULL)
		fd = open(opt.report_file,
			  O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	if (opt.report_file != NULL && fd < 0)
		usage_error("--report: %s: %s", opt.report_file,
			    strerror(errno));
	return fd;
}

static void set_up(int argc, char **argv)
{
	check_descriptors();
	harden();
	/* Before there is anything that its processes should not know. */
	if (!resolve_begin(&wheel.net.resolve))
		usage_error("cannot start the look-up process: %s",
			    strerror(errno));
	options_parse(&opt, &request, argc, argv);
	opt.loop.live = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO) &&
			!opt.quiet && !opt.test;
	log_init(opt.quiet     ? LOG_ERROR
		 : opt.verbose ? LOG_DEBUG
			       : LOG_INFO,
		 opt.loop.live, &request.secrets);
	if (opt.both)
		log_line(LOG_INFO, "-t and -f together: tweets that match "
				   "either come; one of both makes sampling "
				   "easier to reason about");
	if (opt.test) {
		opt.loop.discard = true;
		opt.loop.session.duration = 1000 * TEST_SECONDS;
	}
	load_keys();
	/* With the longest time: what fits now always will. */
	if (!request_build(&request, "0123456789abcdef0123456789abcdef",
			   UINT64_MAX))
		usage_error("the request is too long: shorten the lists, -p "
			    "or -u");
	request_end(&request);
	load_roots();
	if (opt.dry_run) {
		options_dry_run(&opt, &request);
		exit(EXIT_DONE);
	}
	open_outputs();
	wheel.config = opt.loop;
	wheel.request = &request;
	wheel.notices_file = opt.notices_file;
}

/* What is not needed any more is given up. */
static void shut_in(void)
{
	const struct sandbox_needs needs = { .port = request.url.port };
	struct sandbox s = sandbox_enter(&needs);

	if (!s.calls)
		log_line(LOG_INFO, "system calls cannot be limited here");
	if (s.landlock < 4)
		log_line(LOG_INFO,
			 "%sports cannot be limited here: Landlock %s",
			 s.landlock == 0 ? "files and " : "",
			 s.landlock == 0 ? "is missing" : "is too old");
}

int main(int argc, char **argv)
{
	enum loop_end end;
	bool written;
	int fd;

	set_up(argc, argv);
	fd = open_report();
	loop_signals();
	shut_in();
	end = loop_run(&wheel);
	loop_refused(&wheel);
	if (end == LOOP_READER_GONE) {
		log_end();
		die_by(SIGPIPE);
	}
	written = conclude(fd);
	loop_refused(&wheel);
	if (opt.test)
		printf("%llu\n",
		       (unsigned long long)wheel.session.stats.tweets);
	log_end();
	if (wheel.signal != 0)
		die_by(wheel.signal);
	if (end == LOOP_OUTPUT || !written)
		return EXIT_OUTPUT;
	if (opt.test)
		return wheel.session.ever_opened ? EXIT_DONE : EXIT_FATAL;
	return end == LOOP_FATAL ? EXIT_FATAL : EXIT_DONE;
}
