/* BearSSL's command `brssl ta' by itself, without the rest of brssl: it writes
 * certificates as trust anchors in C. */
#include <string.h>

int do_ta(int argc, char **argv);
int eqstr(const char *a, const char *b);

int eqstr(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

int main(int argc, char **argv)
{
	return do_ta(argc - 1, argv + 1);
}
