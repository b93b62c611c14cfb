#include "options.h"

#include "log.h"
#include "roots.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLE_URL "https://stream.twitter.com/1.1/statuses/sample.json"
#define FILTER_URL "https://stream.twitter.com/1.1/statuses/filter.json"
#define V2_URL "https://api.x.com/2/tweets/search/stream"
#define LIST_BYTES (128 * 1024) /* 5,000 IDs of 20 digits, and commas */
#define DEFAULT_BUFFER (16u << 20)
#define UNSET UINT64_MAX

/* A list that may be given in several options. */
struct list {
	const char *name, *option; /* the request's parameter, our option */
	uint64_t items, most;
	const char *(*check)(const char *item, size_t n); /* NULL if good */
	char *text;                                       /* LIST_BYTES */
	size_t n;
};

/* What only the making of the request needs. */
static struct {
	const char *url, *auth, *tweet_key;
	const char *params[PARAMS_MAX];
	size_t nparams;
	uint64_t stall; /* seconds, or UNSET */
	bool v2, get;
} args;
static struct options *opt;
static struct request *request;

void usage_error(const char *format, ...)
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
static struct list track = { "track",      "-t",         0, 400,
			     check_phrase, list_text[0], 0 };
static struct list follow = { "follow",   "-f",         0, 5000,
			      check_user, list_text[1], 0 };
static struct list locations = { "locations",   "-l",         0, 100,
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
	if (args.nparams == PARAMS_MAX)
		usage_error("-p: too many parameters");
	args.params[args.nparams++] = s;
}

/* "Name: value", with a name that is not ours to set. */
static void add_header(const char *s)
{
	static const char *const ours[] = {
		"Host",       "Authorization",   "Content-Length",
		"Connection", "Content-Type",    "Transfer-Encoding",
		"User-Agent", "Accept-Encoding", "Expect",
	};
	size_t n = strcspn(s, ":"), i;

	if (n == 0 || s[n] == '\0' || has_control(s, strlen(s)) ||
	    strcspn(s, " ()<>@,;\\\"/[]?={}") < n)
		usage_error("-H: `%s' is not Name: value", s);
	for (i = 0; i < sizeof ours / sizeof ours[0]; i++)
		if (text_is_word(s, n, ours[i]))
			usage_error("-H: %s is set by tstream", ours[i]);
	if (request->nheaders == REQUEST_HEADERS)
		usage_error("-H: more than %d headers", REQUEST_HEADERS);
	request->headers[request->nheaders++] = s;
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
	      "      --v2               X API v2: its URL, a bearer token\n"
	      "      --get              parameters in the query, no defaults\n"
	      "      --auth KIND        oauth1, bearer, basic or none\n"
	      "      --tweet-key NAME   the key that marks a tweet (text)\n"
	      "  -H, --header TEXT      another request header\n"
	      "      --dry-run          print what would be sent, and stop\n"
	      "      --report FILE      at the end write the coverage there\n"
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
	static struct roots roots;

	roots_builtin(&roots);
	printf("tstream %s (BearSSL 0.6, %zu built-in roots)\n",
	       TSTREAM_VERSION, roots.n);
	exit(EXIT_DONE);
}

enum {
	OPT_TEST = 256,
	OPT_CAFILE,
	OPT_STALL,
	OPT_BUFFER,
	OPT_V2,
	OPT_GET,
	OPT_AUTH,
	OPT_TWEET_KEY,
	OPT_DRY_RUN,
	OPT_REPORT
};

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
	{ "v2", no_argument, NULL, OPT_V2 },
	{ "get", no_argument, NULL, OPT_GET },
	{ "auth", required_argument, NULL, OPT_AUTH },
	{ "tweet-key", required_argument, NULL, OPT_TWEET_KEY },
	{ "header", required_argument, NULL, 'H' },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "report", required_argument, NULL, OPT_REPORT },
	{ "stats", required_argument, NULL, 's' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* An option without a value; false if it is not one. */
static bool take_flag(int c)
{
	switch (c) {
	case OPT_V2:
		args.v2 = true;
		return true;
	case OPT_GET:
		args.get = true;
		return true;
	case OPT_DRY_RUN:
		opt->dry_run = true;
		return true;
	case OPT_TEST:
		opt->test = true;
		return true;
	case 'q':
		opt->quiet = true;
		return true;
	case 'v':
		opt->verbose = true;
		return true;
	case 'h':
		help();
		return true;
	case 'V':
		version();
		return true;
	}
	return false;
}

/* An option whose value is kept as it is; false if it is not one. */
static bool take_text(int c, const char *value)
{
	const struct {
		int option;
		const char **to;
	} list[] = {
		{ 'u', &args.url },
		{ 'k', &opt->keys_file },
		{ 'n', &opt->notices_file },
		{ OPT_CAFILE, &opt->ca_file },
		{ OPT_REPORT, &opt->report_file },
		{ OPT_AUTH, &args.auth },
		{ OPT_TWEET_KEY, &args.tweet_key },
	};
	size_t i;

	for (i = 0; i < sizeof list / sizeof list[0]; i++)
		if (list[i].option == c) {
			*list[i].to = value;
			return true;
		}
	return false;
}

/* An option whose value is looked into. */
static void take_value(int c, const char *value)
{
	struct session_config *session = &opt->loop.session;

	switch (c) {
	case 't':
		add_list(&track, value);
		break;
	case 'f':
		add_list(&follow, value);
		break;
	case 'l':
		add_list(&locations, value);
		break;
	case 'p':
		add_param(value);
		break;
	case 'H':
		add_header(value);
		break;
	case 'c':
		session->count = number("-c", value, 1, false);
		break;
	case 'd':
		session->duration = 1000 * number("-d", value, 1, false);
		break;
	case 's':
		opt->loop.stats = 1000 * number("-s", value, 1, false);
		break;
	case OPT_STALL:
		args.stall = number("--stall", value, 0, false);
		break;
	case OPT_BUFFER:
		opt->buffer = number("--buffer", value, 1, true);
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

static void read_arguments(int argc, char **argv)
{
	int c, at;

	opterr = 0;
	args.stall = UNSET;
	while (at = optind,
	       (c = getopt_long(argc, argv, ":t:f:l:p:u:k:n:c:d:s:H:qvhV",
				long_options, NULL)) != -1) {
		if (c == '?' || c == ':')
			refuse_option(argv[at], c);
		if (!take_flag(c) && !take_text(c, optarg))
			take_value(c, optarg);
	}
	if (optind < argc)
		usage_error("`%s' is not an option; try tstream --help",
			    argv[optind]);
	check_boxes(locations.text);
}

/* What stands for which service: --v2 is a preset of the other options. */
static void apply_preset(void)
{
	if (args.v2 && track.n + follow.n + locations.n > 0)
		usage_error("--v2: X filters by rules that are kept there, not "
			    "by -t, -f or -l; set them at "
			    "/2/tweets/search/stream/rules");
	if (args.url == NULL && args.v2)
		args.url = V2_URL;
	if (args.auth == NULL)
		args.auth = args.v2 ? "bearer" : "oauth1";
	if (args.tweet_key == NULL)
		args.tweet_key = args.v2 ? "data" : "text";
	if (args.stall == UNSET)
		args.stall = args.v2 ? 45 : 90;
	request->get = args.get || args.v2;
	opt->loop.session.v2 = args.v2;
	opt->loop.session.stall = 1000 * args.stall;
	opt->loop.session.tweet_key = args.tweet_key;
}

static void set_auth(void)
{
	static const char *const names[] = {
		[AUTH_OAUTH1] = "oauth1",
		[AUTH_BEARER] = "bearer",
		[AUTH_BASIC] = "basic",
		[AUTH_NONE] = "none",
	};
	int i;

	for (i = AUTH_OAUTH1; i <= AUTH_NONE; i++)
		if (strcmp(args.auth, names[i]) == 0)
			break;
	if (i > AUTH_NONE)
		usage_error("--auth: `%s' is not oauth1, bearer, basic or none",
			    args.auth);
	request->auth = (enum auth)i;
}

static void set_tweet_key(void)
{
	const char *s;

	for (s = args.tweet_key; *s >= ' ' && *s <= '~'; s++)
		;
	if (*s != '\0' || s == args.tweet_key ||
	    s - args.tweet_key > JSON_KEY_MAX)
		usage_error("--tweet-key: `%s' is not 1 to %d ASCII characters",
			    args.tweet_key, JSON_KEY_MAX);
}

/* The parameters: defaults, -p, lists; those of the same name replaced. */
static void set_params(void)
{
	static struct list *const lists[] = { &track, &follow, &locations };
	static char names[4096];
	struct text t;
	size_t i, n;

	if (!request->get) {
		request_param(request, "stall_warnings", "true");
		request_param(request, "filter_level", "none");
	}
	text_init(&t, names, sizeof names);
	for (i = 0; i < args.nparams; i++) {
		const char *name = names + t.n;

		n = strcspn(args.params[i], "=");
		text_mem(&t, args.params[i], n);
		text_mem(&t, "", 1);
		if (t.full ||
		    !request_param(request, name, args.params[i] + n + 1))
			usage_error("-p: too many parameters");
	}
	for (i = 0; i < sizeof lists / sizeof lists[0]; i++)
		if (lists[i]->n > 0)
			request_param(request, lists[i]->name, lists[i]->text);
}

static void set_url(void)
{
	const struct http_url *u = &request->url;
	struct address a;
	const char *why;

	if (args.url == NULL)
		args.url = track.n + follow.n + locations.n > 0 ? FILTER_URL
								: SAMPLE_URL;
	why = request_url(request, args.url);
	if (why == NULL && u->tls && u->is_address)
		why = "certificates are checked for host names, and its host "
		      "is an address";
	if (why == NULL && u->is_address && !resolve_numeric(u->host, &a))
		why = "its host is no IP address";
	if (why != NULL)
		usage_error("-u: %s: %s", args.url, why);
}

void options_parse(struct options *o, struct request *r, int argc, char **argv)
{
	opt = o;
	request = r;
	o->buffer = DEFAULT_BUFFER;
	read_arguments(argc, argv);
	apply_preset();
	if (o->test && !args.v2 && !args.get &&
	    track.n + follow.n + locations.n == 0)
		add_list(&track, "if");
	o->both = track.n > 0 && follow.n > 0;
	set_auth();
	set_tweet_key();
	set_params();
	set_url();
}

/* A part of the request as it would go out, each line behind a mark. */
static void print_lines(const char *p, size_t n)
{
	const char *line;
	size_t size;

	while ((line = request_next_line(&p, &n, &size)) != NULL)
		printf("> %.*s\n", (int)size, line);
}

static void print_limit(const struct list *l, const char *what)
{
	if (l->n > 0)
		printf("checked: %s: %llu of at most %llu %s, %zu bytes\n",
		       l->option, (unsigned long long)l->items,
		       (unsigned long long)l->most, what, l->n);
}

void options_dry_run(const struct options *o, struct request *r)
{
	char nonce[] = "0123456789abcdef0123456789abcdef";

	if (!request_build(r, nonce, (uint64_t)time(NULL)))
		usage_error("the request is too long");
	printf("to %s port %u, %s\n", r->url.host, r->url.port,
	       r->url.tls ? "TLS" : "in the clear");
	print_lines(r->head, r->head_n);
	print_lines(r->body, r->body_n);
	if (r->auth == AUTH_OAUTH1)
		printf("base string: %s\n", r->base);
	print_limit(&track, "phrases");
	print_limit(&follow, "users");
	print_limit(&locations, "numbers");
	printf("checked: URL; %zu parameters of at most %d; body of %zu bytes, "
	       "at most %u\n",
	       r->nparams + r->nquery, PARAMS_MAX, r->body_n, REQUEST_BODY);
	printf("checked: credentials are there; certificates of %s\n",
	       o->ca_file != NULL ? o->ca_file : "SSL_CERT_FILE or the binary");
	printf("not checked: whether the server accepts any of it; nothing was "
	       "sent\n");
}
