#include "options.h"

#include "log.h"
#include "roots.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#define LIBC "glibc"
#define LIBC_VERSION gnu_get_libc_version()
#define LICENCES "BearSSL MIT; glibc LGPL-2.1"
#else
extern const char __libc_version[]; /* of musl's libc.a, in no header */
#define LIBC "musl"
#define LIBC_VERSION __libc_version
#define LICENCES "BearSSL and musl MIT"
#endif

#define SAMPLE_URL "https://stream.twitter.com/1.1/statuses/sample.json"
#define FILTER_URL "https://stream.twitter.com/1.1/statuses/filter.json"
#define V2_URL "https://api.x.com/2/tweets/search/stream"
#define LIST_BYTES (128 * 1024) /* 5,000 IDs of 20 digits, and commas */
#define UNSET UINT64_MAX
#define TEST_MS 10000
#define LONG_OPTION 256 /* above every letter */
#define UNQUOTED " (the shell takes a # that is not quoted as a comment)"

/* A list that may be given in several options. */
struct list {
	const char *name, *unit; /* name: of our option and of the parameter */
	uint64_t most;
	const char *(*check)(const char *item, size_t n); /* NULL if good */
	uint64_t items;
	struct text text;
};

enum { TRACK, FOLLOW, LOCATIONS, LISTS };

/* The settings while they are taken, and what only the making of the request
 * needs. */
static struct options set = {
	.buffer = 16u << 20,
	.loop.session.stall = UNSET,
};
static struct {
	const char *url, *auth, *proxy;
	const char *left_out, *not_asked; /* where proxies were named */
	bool v2, get, help, version;
} args;
static struct request *request;

/* p[0..n-1], which the user may have from others, made printable, in a static
 * buffer. */
static const char *shown(const char *p, size_t n)
{
	static char buf[4 * REQUEST_BODY];
	struct text t = text_in(buf, sizeof buf);

	text_printable(&t, p, n);
	return buf;
}

void usage_error(const char *format, ...)
{
	static char said[REQUEST_BODY];
	const char *p;
	va_list ap;
	size_t n;

	va_start(ap, format);
	vsnprintf(said, sizeof said, format, ap);
	va_end(ap);
	for (p = said; *p != '\0'; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		fprintf(stderr, "%s%s%s\n", log_is_journal() ? "<3>" : "",
			p == said ? "tstream: " : "", shown(p, n));
	}
	exit(EXIT_USAGE);
}

/* What was printed and could not be written is no success. */
static void close_stdout(void)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return;
	fprintf(stderr, "tstream: stdout: %s\n", strerror(errno));
	_exit(EXIT_MACHINE);
}

static const char *check_phrase(const char *p, size_t n)
{
	if (!text_is_plain(p, n))
		return "has a control character or is not UTF-8";
	return n > 60 ? "is longer than 60 bytes" : NULL;
}

static const char *check_user(const char *p, size_t n)
{
	uint64_t id;

	return text_to_u64(p, n, UINT64_MAX, &id)
		   ? NULL
		   : "is not a numeric user ID (screen names do not work)";
}

/* Of a number's bytes; check_boxes reads it. */
static const char *check_degrees(const char *p, size_t n)
{
	return strspn(p, "-.0123456789") >= n ? NULL
					      : "is not a number of degrees";
}

static char list_text[LISTS][LIST_BYTES];
static struct list lists[LISTS] = {
	{ "track", "phrases", 400, check_phrase, .text.p = list_text[TRACK],
	  .text.cap = LIST_BYTES },
	{ "follow", "users", 5000, check_user, .text.p = list_text[FOLLOW],
	  .text.cap = LIST_BYTES },
	{ "locations", "numbers (25 boxes)", 100, check_degrees,
	  .text.p = list_text[LOCATIONS], .text.cap = LIST_BYTES },
};

/* Add the comma-separated items of s. */
static void add_list(struct list *l, const char *s)
{
	const char *why;
	size_t n;

	for (;; s += n + 1) {
		n = strcspn(s, ",");
		why = n == 0 ? "is empty" UNQUOTED : l->check(s, n);
		if (why != NULL)
			usage_error("--%s: `%.*s' %s", l->name, (int)n, s, why);
		if (++l->items > l->most)
			usage_error("--%s: more than %llu %s", l->name,
				    (unsigned long long)l->most, l->unit);
		text_str(&l->text, l->text.n > 0 ? "," : "");
		text_mem(&l->text, s, n);
		if (l->text.full)
			usage_error("--%s: the list is too long", l->name);
		if (s[n] == '\0')
			return;
	}
}

/* Four numbers a box, south-west corner first, longitude before latitude. */
static void check_boxes(void)
{
	const char *s = lists[LOCATIONS].text.p;
	double v[4];
	size_t i;
	char *end;

	if (lists[LOCATIONS].items % 4 != 0)
		usage_error("-l: four numbers a box: west,south,east,north");
	for (i = 0; *s != '\0'; i = (i + 1) % 4, s = end + (*end == ',')) {
		v[i] = strtod(s, &end);
		if (strcspn(end, ",") > 0)
			usage_error("-l: `%s' has no number of degrees", s);
		if (v[i] < (i % 2 ? -90 : -180) || v[i] > (i % 2 ? 90 : 180))
			usage_error("-l: %g is no %s; the order is "
				    "west,south,east,north",
				    v[i], i % 2 ? "latitude" : "longitude");
		if (i == 3 && (v[0] >= v[2] || v[1] >= v[3]))
			usage_error("-l: the south-west corner of a box comes "
				    "first: west,south,east,north");
	}
}

/* A parameter's name, wherever it is given. */
static void check_any_name(const char *option, const char *s)
{
	if (text_is_word(s, strlen(s), "delimited"))
		usage_error("%s: delimited would put lengths between the "
			    "objects; one object a line is what you get",
			    option);
	if (strncmp(s, "oauth_", 6) == 0)
		usage_error("%s: %s is set by the signature", option, s);
}

/* The same where it must not be one that has an option of its own. */
static void check_name(const char *option, const char *s)
{
	size_t n = strlen(s);

	check_any_name(option, s);
	if (text_is_word(s, n, "track") || text_is_word(s, n, "follow") ||
	    text_is_word(s, n, "locations"))
		usage_error("%s: use -t, -f or -l for %s", option, s);
}

static void add_param(char *s)
{
	size_t n = strcspn(s, "=");

	if (n == 0 || s[n] == '\0' || !text_is_plain(s, strlen(s)))
		usage_error("-p: `%.*s' is not NAME=VALUE, in UTF-8", (int)n,
			    s);
	s[n] = '\0';
	check_name("-p", s);
	if (!request_param(request, s, s + n + 1))
		usage_error("-p: more than %d parameters", PARAMS_MAX);
}

/* "Name: value", with a name that is not ours to set. */
static void add_header(char *s)
{
	static const char *const ours[] = { "Host",
					    "Authorization",
					    "Proxy-Authorization",
					    "Content-Length",
					    "Connection",
					    "Transfer-Encoding",
					    "Accept-Encoding",
					    "Content-Type",
					    "Expect" };
	size_t n = strcspn(s, ":"), i;

	if (n == 0 || s[n] == '\0' || !text_is_plain(s, strlen(s)) ||
	    strcspn(s, " ()<>@,;\\\"/[]?={}") < n)
		usage_error("-H: `%.*s' is not Name: value",
			    (int)strcspn(s, " :"), s);
	for (i = 0; i < sizeof ours / sizeof ours[0]; i++)
		if (text_is_word(s, n, ours[i]))
			usage_error("-H: %s is set by tstream", ours[i]);
	if (request->nheaders == REQUEST_HEADERS)
		usage_error("-H: more than %d headers", REQUEST_HEADERS);
	request->headers[request->nheaders++] = s;
}

static void set_resume(char *s)
{
	static struct resume resume;

	if (resume.name != NULL || !text_is_plain(s, strlen(s)) ||
	    !resume_init(&resume, s))
		usage_error("--resume: once, NAME=minutes or NAME=PATH with up "
			    "to %d keys, in UTF-8",
			    RESUME_DEPTH);
	check_name("--resume", resume.name);
	set.loop.session.resume = &resume;
}

/* What --resume asks for must be ours alone to set, and fit. */
static void check_resume(void)
{
	const struct resume *resume = set.loop.session.resume;
	size_t i;

	if (resume == NULL)
		return;
	if (!request->get)
		usage_error("--resume: for --get or --v2 alone");
	for (i = 0; i < request->nquery; i++)
		if (strcmp(request->query[i].name, resume->name) == 0)
			usage_error("--resume: %s is in the URL; give it by -p",
				    resume->name);
	if (request->nquery + request->nparams == PARAMS_MAX)
		usage_error("--resume: more than %d parameters", PARAMS_MAX);
}

static void set_auth(char *s)
{
	static const char names[][8] = { "oauth1", "bearer", "basic", "none" };
	int i;

	for (i = AUTH_OAUTH1; i <= AUTH_NONE; i++)
		if (strcmp(s, names[i]) == 0)
			break;
	if (i > AUTH_NONE)
		usage_error("--auth: `%s' is not oauth1, bearer, basic or none",
			    s);
	request->auth = (enum auth)i;
	args.auth = names[i];
}

static void set_tweet_key(char *s)
{
	size_t n = strlen(s), i;

	for (i = 0; i < n && s[i] >= ' ' && s[i] <= '~'; i++)
		;
	if (i < n || n == 0 || n > JSON_KEY_MAX)
		usage_error("--tweet-key: `%s' is not 1 to %d ASCII characters",
			    s, JSON_KEY_MAX);
	set.loop.session.tweet_key = s;
}

/* How the value of an option is taken. */
enum kind { COUNT, TIME, TIME_OR_NEVER, SIZE, FLAG, WORD, LIST, CALL };

/* All there is to know about an option. getopt_long's arrays and --help are
 * made from this; manual and completions are tested against --help all. */
static const struct row {
	const char *name;
	const char *label; /* of its value; NULL if it takes none */
	const char *help;
	int letter; /* 0 for none */
	enum kind kind;
	union {
		bool *flag;
		const char **word;
		struct list *list;
		uint64_t *number; /* for TIME in milliseconds */
		void (*call)(char *value);
	} to;
	bool rare; /* not in the short help */
} rows[] = {
	{ "track", "LIST", "phrases, comma separated", 't', LIST,
	  .to.list = &lists[TRACK] },
	{ "follow", "LIST", "numeric user IDs", 'f', LIST,
	  .to.list = &lists[FOLLOW] },
	{ "locations", "LIST", "boxes: west,south,east,north", 'l', LIST,
	  .to.list = &lists[LOCATIONS] },
	{ "param", "NAME=VALUE", "any other request parameter", 'p', CALL,
	  .to.call = add_param },
	{ "v2", NULL, "X API v2: its URL, a bearer token", 0, FLAG,
	  .to.flag = &args.v2 },
	{ "url", "URL", "another endpoint", 'u', WORD, .to.word = &args.url },
	{ "keys", "FILE", "credentials; else the environment, else ./keys.yaml",
	  'k', WORD, .to.word = &set.keys_file },
	{ "dry-run", NULL, "print what would be sent, and end", 0, FLAG,
	  .to.flag = &set.dry_run },
	{ "output", "FILE", "append to it, not stdout; %F in it: a file a day",
	  'o', WORD, .to.word = &set.output_file },
	{ "notices", "FILE", "append what is no tweet to it", 'n', WORD,
	  .to.word = &set.notices_file },
	{ "count", "N", "stop after N tweets", 'c', COUNT,
	  .to.number = &set.loop.session.count },
	{ "duration", "TIME",
	  "stop after that long: seconds, or s, m, h, d behind", 'd', TIME,
	  .to.number = &set.loop.session.duration },
	{ "test", NULL, "see for 10 seconds whether it works", 0, FLAG,
	  .to.flag = &set.test },
	{ "report", "FILE", "write there what was covered and missed", 0, WORD,
	  .to.word = &set.report_file },
	{ "stats", "TIME", "a statistics line that often", 's', TIME,
	  .to.number = &set.loop.stats },
	{ "quiet", NULL, "log errors alone", 'q', FLAG, .to.flag = &set.quiet },
	{ "verbose", NULL, "log requests and responses too", 'v', FLAG,
	  .to.flag = &set.verbose },
	{ "help", NULL, "print this; with the word all behind it, all options",
	  'h', FLAG, .to.flag = &args.help },
	{ "version", NULL, "print the version", 'V', FLAG,
	  .to.flag = &args.version },
	{ "get", NULL, "parameters in the query, no default ones", 0, FLAG,
	  .to.flag = &args.get, .rare = true },
	{ "auth", "KIND", "oauth1, bearer, basic or none", 0, CALL,
	  .to.call = set_auth, .rare = true },
	{ "header", "HEADER", "another request header, `Name: value'", 'H',
	  CALL, .to.call = add_header, .rare = true },
	{ "resume", "NAME=WHAT", "a parameter that asks for what a gap missed",
	  0, CALL, .to.call = set_resume, .rare = true },
	{ "proxy", "URL", "reach the server through an HTTP proxy", 0, WORD,
	  .to.word = &args.proxy, .rare = true },
	{ "cafile", "FILE", "trust these certificates only", 0, WORD,
	  .to.word = &set.ca_file, .rare = true },
	{ "stall", "TIME", "reconnect after this silence (90)", 0,
	  TIME_OR_NEVER, .to.number = &set.loop.session.stall, .rare = true },
	{ "tweet-key", "NAME", "the key that marks a tweet (text)", 0, CALL,
	  .to.call = set_tweet_key, .rare = true },
	{ "buffer", "SIZE", "held for a slow reader (16M); K, M, G", 0, SIZE,
	  .to.number = &set.buffer, .rare = true },
};
#define ROWS (sizeof rows / sizeof rows[0])

static void print_help(bool all)
{
	const struct row *r;

	printf("usage: tstream [option ...] >> FILE\nConnect to a Twitter "
	       "stream, append each message as a line of JSON.\n");
	for (r = rows; r < rows + ROWS && (all || !r->rare); r++) {
		printf(r->letter ? "  -%c, " : "      ", r->letter);
		printf("--%s %-*s  %s\n", r->name, (int)(17 - strlen(r->name)),
		       r->label != NULL ? r->label : "", r->help);
	}
	printf("%sManual: man tstream\n",
	       all ? "" : "All options: tstream --help all. ");
	exit(EXIT_DONE);
}

static void print_version(void)
{
	const char *from;
	size_t n = roots_all(&from);

	printf("tstream %s (BearSSL 0.6, " LIBC " %s, %zu roots of %s)\n"
	       "Licences: tstream ISC; " LICENCES
	       "; roots MPL-2.0. See LICENSES.\n",
	       TSTREAM_VERSION, LIBC_VERSION, n, from);
	exit(EXIT_DONE);
}

/* A whole number, with a unit behind it or not. */
static uint64_t number(const struct row *r, const char *s)
{
	static const uint64_t once[] = { 1 };
	static const uint64_t bytes[] = { 1, 1 << 10, 1 << 20, 1 << 30 };
	static const uint64_t ms[] = { 1000, 1000, 60000, 3600000, 86400000 };
	static const struct {
		const char *units;
		const uint64_t *times; /* none of the units, and each */
		uint64_t least;
		const char *what;
	} kinds[] = {
		[COUNT] = { "", once, 1, "whole number from 1 to 4294967295" },
		[TIME] = { "smhd", ms, 1, "time (10, 10s, 5m, 3h, 7d)" },
		[TIME_OR_NEVER] = { "smhd", ms, 0, "time (0, 10, 5m)" },
		[SIZE] = { "KMG", bytes, 1, "size (65536, 64K, 16M, 1G)" },
	};
	const char *units = kinds[r->kind].units, *unit = NULL;
	size_t n = strlen(s);
	uint64_t v;

	if (n > 0)
		unit = strchr(units, s[n - 1]);
	if (!text_to_u64(s, n - (unit != NULL), UINT32_MAX, &v) ||
	    v < kinds[r->kind].least)
		usage_error("--%s: `%s' is no %s", r->name, s,
			    kinds[r->kind].what);
	return v * kinds[r->kind].times[unit != NULL ? unit - units + 1 : 0];
}

static void take(const struct row *r, char *value)
{
	/* an empty one says that there is to be no proxy */
	if (r->kind == WORD && *value == '\0' && r->to.word != &args.proxy)
		usage_error("--%s: the value is empty", r->name);
	if (r->kind <= SIZE)
		*r->to.number = number(r, value);
	else if (r->kind == FLAG)
		*r->to.flag = true;
	else if (r->kind == WORD)
		*r->to.word = value;
	else if (r->kind == LIST)
		add_list(r->to.list, value);
	else
		r->to.call(value);
}

/* The option that getopt_long speaks of, or NULL. */
static const struct row *find_row(int c)
{
	const struct row *r;

	if (c >= LONG_OPTION && c - LONG_OPTION < (int)ROWS)
		return &rows[c - LONG_OPTION];
	for (r = rows; r < rows + ROWS; r++)
		if (c != 0 && r->letter == c)
			return r;
	return NULL;
}

/* getopt_long refused a word: say why. */
__attribute__((noreturn)) static void refuse(const char *word, int why)
{
	const struct row *r = find_row(optopt);

	if (why == ':')
		usage_error("%s needs a value%s; try tstream --help", word,
			    r == rows + TRACK ? UNQUOTED : "");
	if (r != NULL)
		usage_error("--%s takes no value; try tstream --help", r->name);
	usage_error("there is no option %.*s; try tstream --help",
		    (int)strcspn(word, "="), word);
}

static void read_arguments(int argc, char **argv)
{
	struct option longs[ROWS + 1] = { { 0 } };
	char shorts[2 * ROWS + 2] = ":";
	struct text t = text_in(shorts, sizeof shorts);
	size_t i;
	int c, at;

	text_str(&t, ":");
	for (i = 0; i < ROWS; i++) {
		longs[i].name = rows[i].name;
		longs[i].has_arg = rows[i].label != NULL;
		longs[i].val = LONG_OPTION + (int)i;
		if (rows[i].letter == 0)
			continue;
		text_mem(&t, (char[]){ (char)rows[i].letter }, 1);
		text_str(&t, rows[i].label != NULL ? ":" : "");
	}
	opterr = 0;
	while (at = optind,
	       (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			refuse(argv[at], c);
		take(find_row(c), optarg);
	}
	if (args.help)
		print_help(optind < argc && strcmp(argv[optind], "all") == 0);
	if (args.version)
		print_version();
	if (optind < argc)
		usage_error("`%.*s' is not an option; try tstream --help",
			    (int)strcspn(argv[optind], "=:@"), argv[optind]);
	if (set.quiet && set.verbose)
		usage_error("-q and -v: what should be logged?");
	check_boxes();
}

static bool has_lists(void)
{
	return lists[TRACK].items + lists[FOLLOW].items +
		   lists[LOCATIONS].items >
	       0;
}

/* What stands for which service: --v2 is a preset of the other options. */
static void apply_preset(void)
{
	struct session_config *s = &set.loop.session;

	if (args.v2 && has_lists())
		usage_error("--v2: X filters by rules that are kept there, not "
			    "by -t, -f or -l; set them at "
			    "/2/tweets/search/stream/rules");
	if (args.auth == NULL)
		set_auth(args.v2 ? "bearer" : "oauth1");
	if (s->tweet_key == NULL)
		s->tweet_key = args.v2 ? "data" : "text";
	if (s->stall == UNSET)
		s->stall = args.v2 ? 45000 : 90000;
	s->v2 = args.v2;
	request->get = args.get || args.v2;
	if (!set.test)
		return;
	set.loop.discard = true;
	set.output_file = set.notices_file = NULL;
	if (s->duration == 0)
		s->duration = TEST_MS;
	if (!request->get && !has_lists())
		add_list(&lists[TRACK], "if");
}

/* A default, which -p replaces. */
static void add_default(const char *name, const char *value)
{
	size_t i;

	for (i = 0; i < request->nparams; i++)
		if (strcmp(request->params[i].name, name) == 0)
			return;
	if (!request_param(request, name, value))
		usage_error("-p: more than %d parameters", PARAMS_MAX);
}

static void add_defaults(void)
{
	size_t i;

	if (!request->get) {
		add_default("stall_warnings", "true");
		add_default("filter_level", "none");
	}
	for (i = 0; i < LISTS; i++)
		if (lists[i].items > 0)
			add_default(lists[i].name, lists[i].text.p);
}

static const char *default_url(void)
{
	return args.v2 ? V2_URL : has_lists() ? FILTER_URL : SAMPLE_URL;
}

/* The URL itself is not shown in an error: it may hold a password. */
static void set_url(void)
{
	const struct http_url *u = &request->url;
	struct address a;
	const char *why;
	size_t i;

	why = request_url(request, args.url != NULL ? args.url : default_url());
	if (why == NULL && u->tls && u->is_address)
		why = "certificates are checked for host names, and its host "
		      "is an address";
	if (why == NULL && u->is_address && !resolve_numeric(u->host, &a))
		why = "its host is no IP address";
	if (why != NULL)
		usage_error("-u: the URL: %s", why);
	for (i = 0; i < request->nquery; i++)
		check_any_name("-u", request->query[i].name);
}

/* From --proxy, where an empty one means none, else from the environment: the
 * first that is not empty. All are wiped there; the last are not for us, but
 * may have a password in them too. */
static void set_proxy(void)
{
	static const char *const names[] = {
		"https_proxy", "HTTPS_PROXY", "all_proxy",  "ALL_PROXY",
		"no_proxy",    "NO_PROXY",    "http_proxy", "HTTP_PROXY",
	};
	enum { PROXIES = 4, NO = 4, ALL = sizeof names / sizeof names[0] };
	const struct http_url *u = &request->url;
	const char *from = "--proxy", *url = args.proxy, *why = NULL;
	char *v[ALL], none[] = "";
	bool direct;
	size_t i;

	for (i = 0; i < ALL; i++)
		v[i] = getenv(names[i]) != NULL ? getenv(names[i]) : none;
	direct = !u->tls ||
		 proxy_excepts(*v[NO] != '\0' ? v[NO] : v[NO + 1], u->host);
	for (i = 0; i < PROXIES && url == NULL; i++) {
		if (*v[i] == '\0')
			continue;
		from = names[i];
		if (proxy_is_http(v[i]))
			url = v[i];
		else
			args.left_out = from;
	}
	if (url != NULL && *url != '\0' && !u->tls)
		args.not_asked = from;
	if (url != NULL && *url != '\0' && (!direct || url == args.proxy))
		why = proxy_url(&set.proxy, url, u,
				url == args.proxy ? NULL : &request->secrets);
	if (why != NULL)
		usage_error("%s: the proxy's URL: %s", from, why);
	if (direct)
		set.proxy.connect_n = 0;
	for (i = 0; i < ALL; i++)
		keys_wipe(names[i]);
}

/* A file's name, where - stands for something else. */
static const char *file_or(const char *name, const char *standard)
{
	return name != NULL && strcmp(name, "-") == 0 ? standard : name;
}

void options_parse(struct options *o, struct request *r, int argc, char **argv)
{
	request = r;
	atexit(close_stdout);
	read_arguments(argc, argv);
	set.keys_file = file_or(set.keys_file, "/dev/stdin");
	set.output_file = file_or(set.output_file, NULL);
	set.notices_file =
	    file_or(set.notices_file, set.output_file ? "/dev/stdout" : NULL);
	apply_preset();
	add_defaults();
	set_url();
	check_resume();
	set_proxy();
	*o = set;
}

/* A URL of X API v2 that is treated as something else. Powerstream alone sends
 * what v1.1 sends. */
static bool is_v2_by_mistake(const struct http_url *u)
{
	const char *path = u->base + u->path;
	bool v2_host = strcmp(u->host, "api.x.com") == 0 ||
		       strcmp(u->host, "api.twitter.com") == 0;

	if (args.v2 || !v2_host || strncmp(path, "/2/", 3) != 0)
		return false;
	return !args.get || request->auth != AUTH_BEARER ||
	       (strcmp(set.loop.session.tweet_key, "text") == 0 &&
		strcmp(path, "/2/powerstream") != 0);
}

void options_notes(const struct request *r)
{
	const char *host = strstr(default_url(), "://") + 3;
	size_t n = strlen(r->url.host);

	if (lists[TRACK].items > 0 && lists[FOLLOW].items > 0)
		log_line(LOG_INFO, "-t and -f together: tweets that match "
				   "either come; one of both makes sampling "
				   "easier to reason about");
	if (args.left_out != NULL)
		log_line(LOG_INFO, "%s is left out: its scheme is not http",
			 args.left_out);
	if (args.not_asked != NULL)
		log_line(LOG_INFO,
			 "http:// goes direct, not by the proxy of %s",
			 args.not_asked);
	if (is_v2_by_mistake(&r->url))
		log_line(LOG_INFO, "-u: a URL of X API v2 needs --v2, or "
				   "--get --auth bearer for /2/powerstream");
	if (r->auth != AUTH_NONE &&
	    (strncmp(host, r->url.host, n) != 0 || host[n] != '/'))
		log_line(LOG_INFO, "the credentials go to %s, as -u says",
			 r->url.host);
}

/* A part of the request as it would go out, each line behind a mark. */
static void print_lines(const char *p, size_t n)
{
	static char buf[4 * REQUEST_BODY];
	const char *line;
	struct text t;
	size_t size;

	while ((line = request_next_line(&p, &n, &size)) != NULL) {
		t = text_in(buf, sizeof buf);
		secret_append(&request->secrets, &t, line, size, true);
		printf("> %s\n", buf);
	}
}

/* What the commas made of a list, and its limit. */
static void print_list(const struct list *l)
{
	const char *p;
	size_t n;

	if (l->items == 0)
		return;
	for (p = l->text.p; l == &lists[TRACK] && *p != '\0'; p += n) {
		p += *p == ',';
		n = strcspn(p, ",");
		printf("phrase: `%s', %zu of at most 60 bytes\n", shown(p, n),
		       n);
	}
	printf("checked: --%s: %llu of at most %llu %s, %zu bytes\n", l->name,
	       (unsigned long long)l->items, (unsigned long long)l->most,
	       l->unit, l->text.n);
}

void options_dry_run(const struct options *o, struct request *r)
{
	char nonce[] = "0123456789abcdef0123456789abcdef";
	size_t i;

	if (!request_build(r, nonce, (uint64_t)time(NULL)))
		usage_error("the request is too long");
	printf("to %s port %u, %s", r->url.host, r->url.port,
	       r->url.tls ? "TLS" : "in the clear");
	if (o->proxy.connect_n > 0)
		printf(", by proxy %s port %u", o->proxy.url.host,
		       o->proxy.url.port);
	printf("\n");
	print_lines(o->proxy.connect, o->proxy.connect_n);
	print_lines(r->head, r->head_n);
	print_lines(r->body, r->body_n);
	if (r->auth == AUTH_OAUTH1)
		printf("base string: %s\n(it has consumer key and token in "
		       "it: show it to nobody)\n",
		       r->base);
	for (i = 0; i < LISTS; i++)
		print_list(&lists[i]);
	printf("checked: URL; %zu of at most %d parameters; %zu of at most %d "
	       "headers; body of %zu bytes, at most %u\n",
	       r->nparams + r->nquery, PARAMS_MAX, r->nheaders, REQUEST_HEADERS,
	       r->body_n, REQUEST_BODY);
	printf("limits: %llu s without a byte; %llu bytes for a slow reader; "
	       "an end after %llu s, after %llu tweets (0: none)\n",
	       (unsigned long long)o->loop.session.stall / 1000,
	       (unsigned long long)o->buffer,
	       (unsigned long long)o->loop.session.duration / 1000,
	       (unsigned long long)o->loop.session.count);
	printf("checked: credentials %s; certificates of %s\n",
	       r->auth == AUTH_NONE ? "are not sent" : "are there",
	       o->ca_file != NULL ? shown(o->ca_file, strlen(o->ca_file))
				  : "SSL_CERT_FILE or the binary");
	printf("not checked: files to be written; whether the server accepts "
	       "any of it; nothing was sent\n");
}
