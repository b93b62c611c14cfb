/* Lines for people on stderr. They never hold up the stream: what stderr
 * cannot take at once is left out, and the next line says how much was. Nor
 * can a server fill a disk through them: of one kind of line 10 are written in
 * a burst and one a second on average, the rest is counted. And no secret
 * leaves through them. */
#ifndef LOG_H
#define LOG_H

#include "secret.h"

enum log_level { LOG_ERROR, LOG_ASKED, LOG_INFO, LOG_DEBUG };

/* Show lines up to this level, without these secrets, which stay the caller's
 * and may change. live: stderr is a terminal and stdout is not, so a line may
 * be redrawn in place. To be called before anything is written. */
void log_init(enum log_level level, bool live, const struct secrets *secrets);

/* Does the journal read stderr? JOURNAL_STREAM, "device:inode", says which it
 * reads (systemd.exec(5)). */
bool log_is_journal(void);

/* Would log_line with these, the same pointer, leave its line out now? If that
 * is for being one too many, it is counted as that. To be asked before foreign
 * text is made ready for it, which takes long: a server can send more than
 * there is time to look at. */
bool log_omits(enum log_level level, const char *format);

/* Write one line, formatted as by printf, with an LF behind it and before it
 * the time and the program's name or, in the journal, the level. It is cut at
 * 2,000 bytes. Lines of one format are of one kind; those of LOG_DEBUG, and of
 * LOG_ASKED, which the user asks for, are all written. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level,
						    const char *format, ...);

/* Append to t as printf writes, at most 639 bytes, words of our own. */
__attribute__((format(printf, 2, 3))) void log_put(struct text *t,
						   const char *format, ...);

/* Append a time in UTC, 2026-11-23T17:00:00Z. */
void log_stamp(struct text *t, uint64_t unix_ms);

/* Append n foreign bytes to what is to be logged: printable, without secrets.
 * All that came from outside goes into a line by this. */
void log_foreign(struct text *t, const void *p, size_t n);

/* Redraw the live line; does nothing where there is none. */
void log_live(const char *said);

/* At the program's end: say how many lines were left out and not told of. */
void log_end(void);

#endif
