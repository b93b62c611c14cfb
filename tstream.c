/* tstream: options, wiring, exit status. */
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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct options opt;
static struct request request;
static struct roots roots;
static struct loop wheel;

/* What a new user reads first. */
__attribute__((noreturn)) static void no_keys(void)
{
	static const char oauth1[] = "consumer_key, consumer_secret, "
				     "access_token, access_token_secret";

	usage_error("no credentials. Needed, as lines of `name: value':\n"
		    "    %s\n"
		    "in a file given by -k or called keys.yaml (chmod 600), or "
		    "in the environment\n"
		    "under %s. The service's developer\n"
		    "portal gives them. To see the program work without any: "
		    "make demo",
		    request.auth == AUTH_OAUTH1   ? oauth1
		    : request.auth == AUTH_BEARER ? "bearer_token"
						  : "user, password",
		    request.auth == AUTH_BASIC ? "BASIC_USER and BASIC_PASSWORD"
					       : "the same names in capitals");
}

/* From the file of -k, else the environment, else ./keys.yaml. The environment
 * is wiped whatever is used. */
static void load_keys(void)
{
	static const unsigned sets[] = {
		[AUTH_OAUTH1] = KEYS_OAUTH1,
		[AUTH_BEARER] = KEYS_BEARER,
		[AUTH_BASIC] = KEYS_BASIC,
		[AUTH_NONE] = 0,
	};
	static struct keys keys;
	const unsigned set = sets[request.auth];
	const unsigned found = keys_environment(&keys);
	const char *source = opt.keys_file;
	bool others = false;
	char why[1024];
	struct text error = text_in(why, sizeof why);

	if ((found & KEYS_BEARER & ~set) != 0)
		log_line(LOG_INFO, "BEARER_TOKEN is set and not used: it is "
				   "for --v2 or --auth bearer");
	if (source == NULL && (found & set) == 0)
		source = "keys.yaml";
	if (set != 0 && source != NULL) {
		if (source != opt.keys_file && access(source, F_OK) < 0)
			no_keys();
		explicit_bzero(&keys, sizeof keys);
		if (!keys_read(&keys, source, &error, &others))
			usage_error("credentials: %s: %s", source, why);
	}
	if (!keys_complete(&keys, set, source, &error))
		usage_error("credentials: %s", why);
	request_keys(&request, &keys);
	explicit_bzero(&keys, sizeof keys);
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
		roots_builtin(&roots, (uint64_t)time(NULL));
	} else {
		why = roots_read(&roots, file, (uint64_t)time(NULL));
		if (why != NULL)
			usage_error("certificates: %s: %s", file, why);
		if (roots.expired + roots.unusable > 0)
			log_line(
			    LOG_INFO,
			    "%s: %zu expired certificates and "
			    "%zu with keys that are not supported left out",
			    file, roots.expired, roots.unusable);
	}
	wheel.net.tls.anchors = roots.anchors;
	wheel.net.tls.nanchors = roots.n;
}

static bool no_stdout;

/* A socket must never become stdout: see that 0, 1 and 2 are taken. */
static void check_descriptors(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		no_stdout = no_stdout || fd == STDOUT_FILENO;
		/* nothing can be written to what is in stdout's place, nor
		 * to /dev/stdout */
		if ((fd == STDOUT_FILENO ? open("/", O_RDONLY)
					 : open("/dev/null", O_RDWR)) != fd)
			usage_error("descriptor %d is closed, and nothing can "
				    "be opened in its place",
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

/* The name that a pattern has now. */
static void name_file(const char *option, const char *pattern,
		      char name[PATH_MAX])
{
	const char *why = NULL;

	if (pattern != NULL)
		why = file_name(pattern, loop_now(), name);
	if (why != NULL)
		usage_error("%s: %s: %s", option, pattern, why);
}

/* Refuse to write to a file that is another of these as well, before any is
 * opened: the one would destroy what the other holds. -n where the rest goes,
 * to -o's file or the same pipe or terminal, makes one output of both. */
static void refuse_same_file(void)
{
	const struct coverage *c = &wheel.coverage;
	struct file *out = &wheel.files[0], *notices = &wheel.files[1];
	const struct {
		const char *what, *file;
	} all[] = {
		{ "stdout", NULL },
		{ "stderr", "/dev/stderr" },
		{ "-o", out->name },
		{ "-n", notices->name },
		{ "--report", c->report },
		{ "--report's FILE.tmp", c->report_tmp },
		{ "-k", opt.keys_file ? opt.keys_file : "keys.yaml" },
		{ "--cafile", opt.ca_file ? opt.ca_file : "" },
	};
	const size_t tweets =
	    opt.output_file != NULL ? 2 : 0; /* where they go */
	bool regular;
	size_t i, j;

	out->pattern = opt.output_file;
	notices->pattern = opt.notices_file;
	name_file("-o", opt.output_file, out->name);
	name_file("-n", opt.notices_file, notices->name);
	for (i = 2; i < sizeof all / sizeof all[0]; i++)
		for (j = 0; j < i; j++) {
			if (*all[i].file == '\0' ||
			    !file_same(all[j].file, all[i].file, &regular))
				continue;
			if (all[i].file == notices->name && j == tweets &&
			    (j > 0 || !regular))
				notices->pattern = NULL;
			else if (regular)
				usage_error("%s and %s are the same file",
					    all[j].what, all[i].what);
		}
}

/* With errno as it was left. A full disk is no mistake of the user's: there may
 * be room later. */
__attribute__((noreturn)) static void
cannot_open(const char *option, const char *file, const char *why)
{
	if (errno != ENOSPC && errno != EDQUOT && errno != EIO)
		usage_error("%s: %s: %s", option, file, why);
	log_line(LOG_ERROR, "%s: %s: %s", option, file, why);
	exit(EXIT_MACHINE);
}

static void open_output(struct file *f, const char *option)
{
	const char *why = NULL;
	int fd = STDOUT_FILENO;

	if (f->pattern != NULL)
		why = file_begin(f, &fd);
	if (why != NULL)
		cannot_open(option, f->pattern, why);
	if (!output_init(&f->out, fd, opt.buffer))
		usage_error("--buffer: there is no memory for it");
}

static void open_outputs(void)
{
	open_output(&wheel.files[0], "-o");
	if (wheel.files[1].pattern != NULL)
		open_output(&wheel.files[1], "-n");
	if (wheel.files[0].out.limit < opt.buffer)
		log_line(LOG_INFO,
			 "memory is short: at most %zu bytes are "
			 "held for a slow reader",
			 wheel.files[0].out.limit);
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
static void conclude(void)
{
	struct coverage *c = &wheel.coverage;
	struct moment now = loop_now();

	if (c->ended == NULL)
		c->ended = cause_text(wheel.session.cause);
	coverage_stats(c, now);
	coverage_log(c, now);
	coverage_write(c, now);
}

static void set_up(int argc, char **argv)
{
	char report[PATH_MAX];
	struct stat out;
	sigset_t early;

	check_descriptors();
	harden();
	signal(SIGPIPE, SIG_IGN); /* EPIPE tells the same */
	signal(SIGXFSZ, SIG_IGN); /* as does EFBIG */
	/* A reload, or a look at it, that comes at once must not end us. */
	sigemptyset(&early);
	sigaddset(&early, SIGHUP);
	sigaddset(&early, SIGUSR1);
	sigprocmask(SIG_BLOCK, &early, NULL);
	/* Before there is anything that its processes should not know. */
	if (!resolve_begin(&wheel.net.resolve))
		usage_error("cannot start the look-up process: %s",
			    strerror(errno));
	options_parse(&opt, &request, argc, argv);
	if (no_stdout && opt.output_file == NULL)
		usage_error("stdout is closed: there is nowhere to write to");
	wheel.net.proxy = opt.proxy.connect_n > 0 ? &opt.proxy : NULL;
	/* a pipe's reader may write to the same terminal */
	opt.loop.live =
	    isatty(STDERR_FILENO) && !opt.quiet && !opt.test &&
	    (opt.output_file != NULL ||
	     (fstat(STDOUT_FILENO, &out) == 0 && S_ISREG(out.st_mode)));
	log_init(opt.quiet     ? LOG_ERROR
		 : opt.verbose ? LOG_DEBUG
			       : LOG_INFO,
		 opt.loop.live, &request.secrets);
	options_notes(&request);
	name_file("--report", opt.report_file, report);
	if (opt.report_file != NULL && !coverage_name(&wheel.coverage, report))
		usage_error("--report: %s: not a regular file of its own",
			    report);
	refuse_same_file();
	load_keys();
	/* With the longest time. What a signature takes varies still, so
	 * it is looked at again when one is made. */
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
}

/* What is not needed any more is given up. */
static void shut_in(void)
{
	const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const struct sandbox_needs needs = {
		.port = wheel.net.proxy != NULL ? opt.proxy.url.port
						: request.url.port,
		.write = { opt.report_file != NULL ? wheel.coverage.report
						   : NULL,
			   opt.output_file, opt.notices_file },
	};
	struct sandbox s;

	/* the keys file, perhaps, which could be read again */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		close(STDIN_FILENO);
	close(null);
	s = sandbox_enter(&needs);
	log_line(LOG_DEBUG,
		 "system calls are %slimited; Landlock's version: %d",
		 s.calls ? "" : "not ", s.landlock);
	if (!s.calls)
		log_line(LOG_INFO, "system calls cannot be limited here");
	if (s.landlock < 4)
		log_line(LOG_INFO,
			 "%sports cannot be limited here: Landlock %s",
			 s.landlock == 0 ? "files and " : "",
			 s.landlock == 0 ? "is missing" : "is too old");
}

/* The one sentence of --test. Returns false if stdout does not take it. */
static bool tell_test(enum loop_end end)
{
	const struct session *s = &wheel.session;
	const unsigned long long tweets = s->stats.tweets,
				 others = request.get ? s->stats.notices : 0,
				 ms = loop_now().ms - s->started;
	char line[2048];
	struct text t = text_in(line, sizeof line);
	struct output *o = &wheel.files[0].out;

	if (s->stats.connects == 0)
		log_put(&t, "does not work");
	else if (tweets + others == 0)
		log_put(&t, "connected, but no tweets came in %llu s",
			(ms + 500) / 1000);
	else
		log_put(&t, "works: %llu tweets", tweets);
	if (others > 0)
		log_put(&t, " and %llu other messages", others);
	if (tweets + others > 0)
		log_put(&t, " in %llu s", (ms + 500) / 1000);
	if (tweets + others == 0 || end == LOOP_FATAL) {
		text_str(&t, ": ");
		log_foreign(&t, report_why(), strlen(report_why()));
	}
	output_line(o, (const unsigned char *)t.p, t.n);
	output_flush(o);
	if (o->held > 0)
		log_line(LOG_ERROR, "stdout: %s",
			 strerror(o->error != 0 ? o->error : EAGAIN));
	return o->held == 0;
}

int main(int argc, char **argv)
{
	enum loop_end end;
	bool told;

	set_up(argc, argv);
	if (opt.report_file != NULL && !coverage_open(&wheel.coverage))
		cannot_open("--report", wheel.coverage.report_tmp,
			    strerror(errno));
	loop_signals(opt.output_file != NULL || opt.notices_file != NULL);
	shut_in();
	end = loop_run(&wheel);
	if (end == LOOP_DONE && wheel.session.stats.connects == 0)
		log_line(LOG_ERROR, "there was no stream in all that time: %s",
			 report_why());
	conclude();
	loop_refused(&wheel);
	told = !opt.test || tell_test(end);
	log_end();
	if (wheel.signal != 0)
		die_by(wheel.signal);
	if (end == LOOP_READER_GONE)
		die_by(SIGPIPE);
	if (end == LOOP_OUTPUT || wheel.coverage.report_failed || !told ||
	    (end == LOOP_FATAL && wheel.net.failure == NET_NO_LOOK_UP))
		return EXIT_MACHINE;
	return (end == LOOP_FATAL && !opt.test) ||
		       wheel.session.stats.connects == 0
		   ? EXIT_FATAL
		   : EXIT_DONE;
}
