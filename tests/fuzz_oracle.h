/* Independent judges for the fuzzers. */
#ifndef FUZZ_ORACLE_H
#define FUZZ_ORACLE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The class of the JSON object p[0..n-1] as enum json_class numbers it. */
int oracle_json(const unsigned char *p, size_t n);
enum { ORACLE_REFUSES = -1, ORACLE_SILENT = -2 };

/* Decode a chunked body into to, which has room for n. False if it is refused
 * or does not end. */
bool oracle_chunks(const unsigned char *p, size_t n, unsigned char *to,
		   size_t *size);

/* The status of a response head; false if it is refused. */
bool oracle_head(const unsigned char *p, size_t n, int *status);

#ifdef __cplusplus
}
#endif
#endif
