/* The command line: what was asked for, checked as far as it can be without a
 * look at any file. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "loop.h"

struct options {
	const char *keys_file, *output_file, *notices_file, *ca_file,
	    *report_file;
	uint64_t buffer; /* bytes */
	bool test, quiet, verbose, dry_run;
	struct proxy proxy; /* connect_n of 0: go direct */
	struct loop_config loop;
};

enum exit_status { EXIT_DONE, EXIT_FATAL, EXIT_USAGE, EXIT_MACHINE };

/* Say what is wrong with the command or a setting, each line made printable,
 * and end with EXIT_USAGE. */
__attribute__((format(printf, 1, 2), noreturn)) void
usage_error(const char *format, ...);

/* Take the command line: settings into o, the request's parts but for the
 * credentials into r; both are all zero before. Strings of argv are kept, and
 * cut at the = of -p. Ends the program after --help, --version and errors. */
void options_parse(struct options *o, struct request *r, int argc, char **argv);

/* Log what is allowed, and may not be what was meant. */
void options_notes(const struct request *r);

/* Print what would be sent, without the secrets, and what was checked. The
 * request is complete. */
void options_dry_run(const struct options *o, struct request *r);

#endif
