#include "log.h"

#include "nowait.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE 2176 /* less than PIPE_BUF, so that a line is never cut */
#define TOLD 128  /* of these for how many were left out */
#define KINDS 64  /* more than there are; if not, the last is of many */
#define BURST 10
#define START "\r\033[K" /* of the terminal's line, which is cleared */

/* Lines of one format. */
struct kind {
	const char *format;
	time_t second;     /* of the last credit */
	unsigned used;     /* lines written, less one a second */
	uint64_t left_out; /* and not yet told of */
};

static enum log_level shown = LOG_INFO;
static const struct secrets *secrets;
static struct nowait err;
static bool has_live, live_drawn, in_journal;
static uint64_t lost;
static struct kind kinds[KINDS], unlimited;
static char rest[LINE]; /* of a line that stderr took a part of */
static size_t rest_n;

bool log_is_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (s == NULL || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	return strcmp(s, own) == 0;
}

void log_init(enum log_level level, bool live, const struct secrets *hide)
{
	shown = level;
	secrets = hide;
	nowait_open(&err, STDERR_FILENO);
	in_journal = log_is_journal();
	has_live = live && !in_journal;
}

void log_put(struct text *t, const char *format, ...)
{
	char words[640];
	va_list ap;

	va_start(ap, format);
	vsnprintf(words, sizeof words, format, ap);
	va_end(ap);
	text_str(t, words);
}

void log_foreign(struct text *t, const void *p, size_t n)
{
	secret_append(secrets, t, p, n, true);
}

/* Write what is left of a line. */
static bool drain(void)
{
	ssize_t k = 0;

	while (rest_n > 0 && (k = nowait_write(&err, rest, rest_n)) > 0) {
		rest_n -= (size_t)k;
		memmove(rest, rest + k, rest_n);
	}
	return rest_n == 0;
}

/* Write a line, whole or not at all, but for what follows when there is room.
 */
static bool put(const struct text *line)
{
	bool begun;

	if (!drain())
		return false;
	memcpy(rest, line->p, line->n);
	rest_n = line->n;
	begun = drain() || rest_n < line->n;
	rest_n = begun ? rest_n : 0;
	return begun;
}

/* All that is said leaves by this. It may still hold a secret or a control
 * character that somebody forgot. */
static void put_said(struct text *line, const char *said)
{
	char hidden[LINE];
	struct text t = text_in(hidden, sizeof hidden);

	secret_append(secrets, &t, said, strlen(said), false);
	text_printable(line, t.p, t.n);
}

void log_stamp(struct text *t, uint64_t unix_ms)
{
	time_t s = (time_t)(unix_ms / 1000);
	char stamp[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &tm);
	text_str(t, stamp);
}

static void put_prefix(struct text *line, enum log_level level)
{
	static const char *const priority[] = { [LOG_ERROR] = "<3>",
						[LOG_ASKED] = "<6>",
						[LOG_INFO] = "<6>",
						[LOG_DEBUG] = "<7>" };
	struct timespec now;

	if (in_journal) {
		text_str(line, priority[level]);
		return;
	}
	text_str(line, live_drawn ? START : "");
	clock_gettime(CLOCK_REALTIME, &now);
	log_stamp(line, (uint64_t)now.tv_sec * 1000);
	text_str(line, " tstream: ");
}

static struct kind *kind_of(const char *format)
{
	size_t i = 0;

	while (i < KINDS - 1 && kinds[i].format != NULL &&
	       kinds[i].format != format)
		i++;
	kinds[i].format = format;
	return &kinds[i];
}

bool log_omits(enum log_level level, const char *format)
{
	struct kind *k = kind_of(format);
	struct timespec now;
	uint64_t passed;

	if (level > shown)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &now);
	passed = (uint64_t)(now.tv_sec - k->second);
	k->second = now.tv_sec;
	k->used = passed < k->used ? k->used - (unsigned)passed : 0;
	k->left_out += k->used == BURST;
	return k->used == BURST;
}

void log_line(enum log_level level, const char *format, ...)
{
	bool all = level == LOG_DEBUG || level == LOG_ASKED;
	struct kind *k = all ? &unlimited : kind_of(format);
	char buf[LINE], said[LINE];
	struct text line = text_in(buf, LINE - TOLD);
	va_list ap;

	if (all ? level > shown : log_omits(level, format))
		return;
	k->used++;
	put_prefix(&line, level);
	va_start(ap, format);
	vsnprintf(said, sizeof said, format, ap);
	va_end(ap);
	put_said(&line, said);
	line.cap = LINE;
	if (k->left_out > 0)
		log_put(&line, " (and %" PRIu64 " more such lines left out)",
			k->left_out);
	if (lost > 0)
		log_put(&line, " (stderr was full: %" PRIu64 " lines left out)",
			lost);
	text_str(&line, "\n");
	if (!put(&line)) {
		lost++;
		return;
	}
	live_drawn = false;
	lost = k->left_out = 0;
}

void log_end(void)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < KINDS; i++)
		sum += kinds[i].left_out;
	if (sum > 0)
		log_line(LOG_ERROR,
			 "%" PRIu64 " more lines such as those above were left "
			 "out",
			 sum);
}

/* A line that were wider than the terminal could not be redrawn. */
void log_live(const char *said)
{
	struct winsize size = { 0, 80, 0, 0 };
	char buf[256];
	struct text line = text_in(buf, sizeof buf);
	size_t room = sizeof buf;

	if (!has_live)
		return;
	ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	if (size.ws_col > 0 && size.ws_col + sizeof START - 1 < room)
		room = size.ws_col + sizeof START - 1;
	text_str(&line, START);
	line.cap = room;
	put_said(&line, said);
	live_drawn = put(&line) || live_drawn;
}
