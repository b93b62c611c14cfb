#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* The time and the program's name before what is formatted, an LF behind. */
__attribute__((format(printf, 1, 0))) static bool put_format(const char *format,
							     va_list ap)
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
	line[n++] = '\n';
	if (!put(line, n))
		return false;
	live_drawn = false;
	return true;
}

__attribute__((format(printf, 1, 2))) static bool put_line(const char *format,
							   ...)
{
	va_list ap;
	bool ok;

	va_start(ap, format);
	ok = put_format(format, ap);
	va_end(ap);
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
	lost += put_format(format, ap) ? 0 : 1;
	va_end(ap);
}

/* A line that were wider than the terminal could not be redrawn. */
void log_live(const char *format, ...)
{
	struct winsize size = { 0, 80, 0, 0 };
	char line[256] = "\r\033[K";
	size_t start = strlen(line), n;
	va_list ap;

	if (!has_live)
		return;
	va_start(ap, format);
	vsnprintf(line + start, sizeof line - start, format, ap);
	va_end(ap);
	ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	n = strlen(line);
	if (size.ws_col > 0 && n - start >= size.ws_col)
		n = start + size.ws_col - 1u;
	live_drawn = put(line, n) || live_drawn;
}
