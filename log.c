#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE 2048 /* less than PIPE_BUF, so that a line is never cut */

static enum log_level shown = LOG_INFO;
static bool has_live, live_drawn;
static unsigned long lost;

void log_init(enum log_level level, bool live)
{
	shown = level;
	has_live = live;
}

bool log_shows(enum log_level level)
{
	return level <= shown;
}

static bool put(const char *p, size_t n)
{
	struct pollfd fd = { STDERR_FILENO, POLLOUT, 0 };

	return poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0 &&
	       write(STDERR_FILENO, p, n) > 0;
}

__attribute__((format(printf, 2, 0))) static bool
put_format(const char *end, const char *format, va_list ap)
{
	char line[LINE], stamp[32];
	struct timespec now;
	struct tm tm;
	size_t n;
	int size;

	clock_gettime(CLOCK_REALTIME, &now);
	if (gmtime_r(&now.tv_sec, &tm) == NULL ||
	    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		stamp[0] = '\0';
	n = (size_t)snprintf(line, sizeof line,
			     "%s%s tstream: ", live_drawn ? "\r\033[K" : "",
			     stamp);
	size = vsnprintf(line + n, sizeof line - n, format, ap);
	n += size > 0 ? (size_t)size : 0;
	if (n > sizeof line - 2)
		n = sizeof line - 2;
	n += (size_t)snprintf(line + n, sizeof line - n, "%s", end);
	return put(line, n);
}

__attribute__((format(printf, 1, 2))) static bool put_line(const char *format,
							   ...)
{
	va_list ap;
	bool ok;

	va_start(ap, format);
	ok = put_format("\n", format, ap);
	va_end(ap);
	live_drawn = live_drawn && !ok;
	return ok;
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list ap;

	if (!log_shows(level))
		return;
	if (lost > 0 && put_line("stderr was full: %lu lines left out", lost))
		lost = 0;
	va_start(ap, format);
	if (put_format("\n", format, ap))
		live_drawn = false;
	else
		lost++;
	va_end(ap);
}

void log_live(const char *format, ...)
{
	va_list ap;

	if (!has_live)
		return;
	va_start(ap, format);
	live_drawn = put_format("", format, ap) || live_drawn;
	va_end(ap);
}
