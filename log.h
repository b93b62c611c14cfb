/* Lines for people on stderr. They never hold up the stream: what stderr
 * cannot take at once is left out, and the next line says how much was. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_INFO, LOG_DEBUG };

/* Show lines up to this level. live: stderr is a terminal and stdout is not,
 * so a line may be redrawn in place. */
void log_init(enum log_level level, bool live);

/* Is a line of this level shown? */
bool log_shows(enum log_level level);

/* Write one line, formatted as by printf, with the time and the program's name
 * before it and an LF behind it; it is cut at 2,000 bytes. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level,
						    const char *format, ...);

/* Redraw the live line; does nothing where there is none. */
__attribute__((format(printf, 1, 2))) void log_live(const char *format, ...);

#endif
