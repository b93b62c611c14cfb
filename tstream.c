/* tstream: options, wiring, exit status. */
#include "keys.h"
#include "log.h"
#include "loop.h"
#include "roots.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE_URL "https://stream.twitter.com/1.1/statuses/sample.json"
#define FILTER_URL "https://stream.twitter.com/1.1/statuses/filter.json"
#define LIST_BYTES (128 * 1024) /* 5,000 IDs of 20 digits, and commas */
#define DEFAULT_BUFFER (16u << 20)
#define DEFAULT_STALL 90
#define TEST_SECONDS 10

enum exit_status { EXIT_DONE, EXIT_FATAL, EXIT_USAGE, EXIT_OUTPUT };

/* A list that may be given in several options. */
struct list {
	const char *name, *option; /* the request's parameter, our option */
	uint64_t items, most;
	const char *(*check)(const char *item, size_t n); /* NULL if good */
	char *text;					  /* LIST_BYTES */
	size_t n;
};

static struct {
	const char *url, *keys_file, *notices_file, *ca_file;
	const char *params[PARAMS_MAX];
	size_t nparams;
	uint64_t buffer;
	bool test, quiet, verbose;
	struct loop_config loop;
} opt;

static struct request request;
static struct roots roots;
static struct loop wheel;

/* Wipe what could sign a request. */
static void forget_secrets(void)
{
	explicit_bzero(&request.oauth, sizeof request.oauth);
	request_wipe(&request);
}

/* Say what is wrong with the command or a setting, and end. */
__attribute__((format(printf, 1, 2), noreturn)) static void
usage_error(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("tstream: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(EXIT_USAGE);
}

static bool has_control(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == 127)
			return true;
	return false;
}

static const char *check_phrase(const char *p, size_t n)
{
	if (has_control(p, n))
		return "has a control character";
	return n > 60 ? "is longer than 60 bytes" : NULL;
}

static const char *check_user(const char *p, size_t n)
{
	uint64_t id;

	return text_to_u64(p, n, UINT64_MAX, &id)
		   ? NULL
		   : "is not a numeric user ID (screen names do not work)";
}

/* A number such as -122.75. */
static const char *check_degrees(const char *p, size_t n)
{
	size_t i = n > 0 && *p == '-', digits = 0, points = 0;

	for (; i < n; i++) {
		if (text_is_digit(p[i]))
			digits++;
		else if (p[i] == '.' && points++ == 0)
			continue;
		else
			return "is not a number of degrees";
	}
	return digits > 0 && n < 24 ? NULL : "is not a number of degrees";
}

static char list_text[3][LIST_BYTES];
static struct list track = { "track",	   "-t",	 0, 400,
			     check_phrase, list_text[0], 0 };
static struct list follow = { "follow",	  "-f",		0, 5000,
			      check_user, list_text[1], 0 };
static struct list locations = { "locations",	"-l",	      0, 100,
				 check_degrees, list_text[2], 0 };

/* Add the comma-separated items of s. */
static void add_list(struct list *l, const char *s)
{
	const char *why;
	struct text t;
	size_t n;

	for (;; s += n + 1) {
		n = strcspn(s, ",");
		why = n == 0 ? "is empty" : l->check(s, n);
		if (why != NULL)
			usage_error("%s: `%.*s' %s", l->option, (int)n, s, why);
		if (++l->items > l->most)
			usage_error("%s: more than %llu %s", l->option,
				    (unsigned long long)l->most,
				    l == &locations ? "numbers (25 boxes)"
						    : "items");
		text_init(&t, l->text + l->n, LIST_BYTES - l->n);
		text_str(&t, l->n > 0 ? "," : "");
		text_mem(&t, s, n);
		if (t.full)
			usage_error("%s: the list is too long", l->option);
		l->n += t.n;
		if (s[n] == '\0')
			return;
	}
}

/* Four numbers a box, south-west corner first, longitude before latitude. */
static void check_boxes(const char *s)
{
	double v[4];
	size_t i;
	char *end;

	if (locations.items % 4 != 0)
		usage_error("-l: four numbers a box: west,south,east,north");
	for (i = 0; *s != '\0'; i = (i + 1) % 4, s = end + (*end == ',')) {
		v[i] = strtod(s, &end);
		if (v[i] < (i % 2 ? -90 : -180) || v[i] > (i % 2 ? 90 : 180))
			usage_error("-l: %g is no %s; the order is "
				    "west,south,east,north",
				    v[i], i % 2 ? "latitude" : "longitude");
		if (i == 3 && (v[0] >= v[2] || v[1] >= v[3]))
			usage_error("-l: the south-west corner of a box comes "
				    "first: west,south,east,north");
	}
}

/* A whole number of at least least, with K, M or G behind it if units. */
static uint64_t number(const char *name, const char *s, uint64_t least,
		       bool units)
{
	static const char letters[] = "KMG";
	size_t n = strlen(s);
	const char *unit = units && n > 0 ? strchr(letters, s[n - 1]) : NULL;
	unsigned shift = 0;
	uint64_t v;

	if (unit != NULL) {
		shift = 10 * (unsigned)(unit - letters + 1);
		n--;
	}
	if (!text_to_u64(s, n, UINT32_MAX, &v) || v < least)
		usage_error("%s: `%s' is not a whole number%s%s", name, s,
			    least > 0 ? " above 0" : "",
			    units ? ", with K, M or G behind it or not" : "");
	return v << shift;
}

static void add_param(const char *s)
{
	size_t n = strcspn(s, "=");

	if (n == 0 || s[n] == '\0' || has_control(s, strlen(s)))
		usage_error("-p: `%s' is not NAME=VALUE", s);
	if (text_is_word(s, n, "delimited"))
		usage_error("-p: delimited would put lengths between the "
			    "objects; one object a line is what you get");
	if (strncmp(s, "oauth_", 6) == 0)
		usage_error("-p: %.*s is set by the signature", (int)n, s);
	if (text_is_word(s, n, "track") || text_is_word(s, n, "follow") ||
	    text_is_word(s, n, "locations"))
		usage_error("-p: use -t, -f or -l for %.*s", (int)n, s);
	if (opt.nparams == PARAMS_MAX)
		usage_error("-p: too many parameters");
	opt.params[opt.nparams++] = s;
}

static void help(void)
{
	fputs("usage: tstream [options] > FILE\n"
	      "Connect to a Twitter streaming endpoint, write each message as "
	      "a line of JSON.\n\n"
	      "  -k, --keys FILE        credentials; else the environment, "
	      "else ./keys.yaml\n"
	      "  -t, --track LIST       phrases, comma separated\n"
	      "  -f, --follow LIST      numeric user IDs\n"
	      "  -l, --locations LIST   boxes: west,south,east,north\n"
	      "  -p, --param NAME=VALUE any other request parameter\n"
	      "  -u, --url URL          another endpoint\n"
	      "  -n, --notices FILE     messages that are no tweets go there\n"
	      "  -c, --count N          stop after N tweets\n"
	      "  -d, --duration SECONDS stop after that long\n"
	      "      --test             see for 10 seconds whether it works\n"
	      "      --cafile FILE      trust these certificates only\n"
	      "      --stall SECONDS    reconnect after this silence (90)\n"
	      "      --buffer SIZE      held for a slow reader (16M)\n"
	      "  -s, --stats SECONDS    a statistics line that often\n"
	      "  -q, --quiet            log errors alone\n"
	      "  -v, --verbose          log requests and responses too\n"
	      "  -h, --help; -V, --version\n\n"
	      "With neither -t, -f nor -l: the random sample. "
	      "Manual: man tstream\n",
	      stdout);
	exit(EXIT_DONE);
}

static void version(void)
{
	roots_builtin(&roots);
	printf("tstream %s (BearSSL 0.6, %zu built-in roots)\n",
	       TSTREAM_VERSION, roots.n);
	exit(EXIT_DONE);
}

enum { OPT_TEST = 256, OPT_CAFILE, OPT_STALL, OPT_BUFFER };

static const struct option long_options[] = {
	{ "track", required_argument, NULL, 't' },
	{ "follow", required_argument, NULL, 'f' },
	{ "locations", required_argument, NULL, 'l' },
	{ "param", required_argument, NULL, 'p' },
	{ "url", required_argument, NULL, 'u' },
	{ "keys", required_argument, NULL, 'k' },
	{ "notices", required_argument, NULL, 'n' },
	{ "count", required_argument, NULL, 'c' },
	{ "duration", required_argument, NULL, 'd' },
	{ "test", no_argument, NULL, OPT_TEST },
	{ "cafile", required_argument, NULL, OPT_CAFILE },
	{ "stall", required_argument, NULL, OPT_STALL },
	{ "buffer", required_argument, NULL, OPT_BUFFER },
	{ "stats", required_argument, NULL, 's' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void take_option(int c)
{
	switch (c) {
	case 't':
		add_list(&track, optarg);
		break;
	case 'f':
		add_list(&follow, optarg);
		break;
	case 'l':
		add_list(&locations, optarg);
		break;
	case 'p':
		add_param(optarg);
		break;
	case 'u':
		opt.url = optarg;
		break;
	case 'k':
		opt.keys_file = optarg;
		break;
	case 'n':
		opt.notices_file = optarg;
		break;
	case 'c':
		opt.loop.session.count = number("-c", optarg, 1, false);
		break;
	case 'd':
		opt.loop.session.duration =
		    1000 * number("-d", optarg, 1, false);
		break;
	case 's':
		opt.loop.stats = 1000 * number("-s", optarg, 1, false);
		break;
	case OPT_STALL:
		opt.loop.session.stall =
		    1000 * number("--stall", optarg, 0, false);
		break;
	case OPT_BUFFER:
		opt.buffer = number("--buffer", optarg, 1, true);
		break;
	case OPT_CAFILE:
		opt.ca_file = optarg;
		break;
	case OPT_TEST:
		opt.test = true;
		break;
	case 'q':
		opt.quiet = true;
		break;
	case 'v':
		opt.verbose = true;
		break;
	case 'h':
		help();
		break;
	case 'V':
		version();
		break;
	}
}

/* How far one word is from another: letters to insert, delete or replace
 * (Levenshtein, a row at a time). */
static size_t distance(const char *a, const char *b)
{
	size_t row[32] = { 0 }, i, j, corner, above;

	for (j = 0; j <= strlen(b); j++)
		row[j] = j;
	for (i = 0; a[i] != '\0'; i++) {
		corner = row[0]++;
		for (j = 0; b[j] != '\0'; j++) {
			above = row[j + 1];
			corner += a[i] != b[j];
			if (corner > above + 1)
				corner = above + 1;
			if (corner > row[j] + 1)
				corner = row[j] + 1;
			row[j + 1] = corner;
			corner = above;
		}
	}
	return row[strlen(b)];
}

/* getopt refused a word; say which and what may have been meant. */
__attribute__((noreturn)) static void refuse_option(const char *word, int why)
{
	const struct option *o;
	const char *best = NULL;
	size_t least = 4, d, n = strcspn(word, "=");
	char name[32] = "";

	if (why == ':')
		usage_error("%s needs a value; try tstream --help", word);
	if (strncmp(word, "--", 2) != 0 || n >= sizeof name)
		usage_error("there is no option %s; try tstream --help", word);
	memcpy(name, word + 2, n - 2);
	for (o = long_options; o->name != NULL; o++) {
		if (strcmp(name, o->name) == 0)
			usage_error("--%s takes no value", name);
		d = strncmp(name, o->name, n - 2) == 0
			? 0
			: distance(name, o->name);
		if (d < least) {
			least = d;
			best = o->name;
		}
	}
	if (best != NULL)
		usage_error("there is no option --%s; did you mean --%s?", name,
			    best);
	usage_error("there is no option --%s; try tstream --help", name);
}

static void parse_options(int argc, char **argv)
{
	int c, at;

	opterr = 0;
	opt.buffer = DEFAULT_BUFFER;
	opt.loop.session.stall = 1000 * DEFAULT_STALL;
	opt.loop.session.tweet_key = "text";
	while (at = optind,
	       (c = getopt_long(argc, argv, ":t:f:l:p:u:k:n:c:d:s:qvhV",
				long_options, NULL)) != -1) {
		if (c == '?' || c == ':')
			refuse_option(argv[at], c);
		take_option(c);
	}
	if (optind < argc)
		usage_error("`%s' is not an option; try tstream --help",
			    argv[optind]);
	check_boxes(locations.text);
}

/* The request as the options have it. */
static void make_request(void)
{
	static struct list *const lists[] = { &track, &follow, &locations };
	static char names[4096];
	bool filter = false;
	const char *why;
	struct text t;
	size_t i, n;

	if (opt.test && track.n == 0 && follow.n == 0 && locations.n == 0)
		add_list(&track, "if");
	request_param(&request, "stall_warnings", "true");
	request_param(&request, "filter_level", "none");
	text_init(&t, names, sizeof names);
	for (i = 0; i < opt.nparams; i++) {
		const char *name = names + t.n;

		n = strcspn(opt.params[i], "=");
		text_mem(&t, opt.params[i], n);
		text_mem(&t, "", 1);
		if (t.full ||
		    !request_param(&request, name, opt.params[i] + n + 1))
			usage_error("-p: too many parameters");
	}
	for (i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		if (lists[i]->n == 0)
			continue;
		filter = true;
		request_param(&request, lists[i]->name, lists[i]->text);
	}
	if (opt.url == NULL)
		opt.url = filter ? FILTER_URL : SAMPLE_URL;
	why = request_url(&request, opt.url);
	if (why == NULL && request.url.tls && request.url.is_address)
		why = "certificates are checked for host names, and its host "
		      "is an address";
	if (why != NULL)
		usage_error("-u: %s: %s", opt.url, why);
	if (track.n > 0 && follow.n > 0)
		log_line(LOG_INFO, "-t and -f together: tweets that match "
				   "either come; one of both makes sampling "
				   "easier to reason about");
}

static void load_keys(void)
{
	static struct keys keys;
	const char *source = opt.keys_file;
	bool ok, others = false;
	char why[256];
	struct text error;

	text_init(&error, why, sizeof why);
	if (source != NULL || !keys_environment(&keys)) {
		source = source != NULL ? source : "keys.yaml";
		ok = keys_read(&keys, source, &error, &others);
		if (!ok)
			usage_error("credentials: %s: %s", source, why);
	}
	ok = keys_complete(&keys, source, &error);
	if (ok) {
		memcpy(request.oauth.consumer_key, keys.value[KEY_CONSUMER],
		       KEY_SIZE);
		memcpy(request.oauth.token, keys.value[KEY_TOKEN], KEY_SIZE);
		oauth1_key(&request.oauth, keys.value[KEY_CONSUMER_SECRET],
			   keys.value[KEY_TOKEN_SECRET]);
	}
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
			exit(EXIT_USAGE);
	}
}

/* No core dump, no ptrace by others, no new privileges: there are credentials
 * in memory. */
static void harden(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
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

static void set_up(int argc, char **argv)
{
	check_descriptors();
	harden();
	parse_options(argc, argv);
	opt.loop.live = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO) &&
			!opt.quiet && !opt.test;
	log_init(opt.quiet     ? LOG_ERROR
		 : opt.verbose ? LOG_DEBUG
			       : LOG_INFO,
		 opt.loop.live);
	if (opt.test) {
		opt.loop.discard = true;
		opt.loop.session.duration = 1000 * TEST_SECONDS;
	}
	make_request();
	load_keys();
	load_roots();
	open_outputs();
	opt.loop.forget = forget_secrets;
	wheel.config = opt.loop;
	wheel.request = &request;
	wheel.report.notices_file = opt.notices_file;
}

int main(int argc, char **argv)
{
	enum loop_end end;

	set_up(argc, argv);
	loop_signals();
	end = loop_run(&wheel);
	forget_secrets();
	if (end == LOOP_READER_GONE)
		die_by(SIGPIPE);
	report_stats(&wheel.report);
	if (opt.test)
		printf("%llu\n",
		       (unsigned long long)wheel.session.stats.tweets);
	if (wheel.signal != 0)
		die_by(wheel.signal);
	if (end == LOOP_OUTPUT)
		return EXIT_OUTPUT;
	if (opt.test)
		return wheel.session.ever_opened ? EXIT_DONE : EXIT_FATAL;
	return end == LOOP_FATAL ? EXIT_FATAL : EXIT_DONE;
}
