#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 65536

/* The names of each credential in a file, and in the environment. */
static const struct {
	const char *names[3], *variable;
} key_names[KEYS] = {
	[KEY_CONSUMER] = { { "client_key", "consumer_key", "api_key" },
			   "CONSUMER_KEY" },
	[KEY_CONSUMER_SECRET] = { { "client_secret", "consumer_secret",
				    "api_secret" },
				  "CONSUMER_SECRET" },
	[KEY_TOKEN] = { { "resource_owner_key", "access_token", "oauth_token" },
			"ACCESS_TOKEN" },
	[KEY_TOKEN_SECRET] = { { "resource_owner_secret", "access_token_secret",
				 "oauth_token_secret" },
			       "ACCESS_TOKEN_SECRET" },
	[KEY_BEARER] = { { "bearer_token", NULL, NULL }, "BEARER_TOKEN" },
	[KEY_USER] = { { "user", "username", NULL }, "BASIC_USER" },
	[KEY_PASSWORD] = { { "password", NULL, NULL }, "BASIC_PASSWORD" },
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **p, size_t *n)
{
	while (*n > 0 && is_blank(**p)) {
		++*p;
		--*n;
	}
	while (*n > 0 && is_blank((*p)[*n - 1]))
		--*n;
}

/* The credential of this name, or KEYS. */
static enum key find_key(const char *p, size_t n)
{
	int k, i;

	for (k = 0; k < KEYS; k++)
		for (i = 0; i < 3 && key_names[k].names[i] != NULL; i++)
			if (text_is_word(p, n, key_names[k].names[i]))
				return (enum key)k;
	return KEYS;
}

/* Quotes off, or else a comment behind white space. */
static void strip_value(const char **p, size_t *n)
{
	size_t i;

	trim(p, n);
	if (*n > 1 && (**p == '"' || **p == '\'')) {
		const char *end = memchr(*p + 1, **p, *n - 1);

		if (end != NULL) {
			++*p;
			*n = (size_t)(end - *p);
			return;
		}
	}
	for (i = 1; i < *n; i++)
		if ((*p)[i] == '#' && is_blank((*p)[i - 1]))
			*n = i;
	trim(p, n);
}

static bool keep(struct keys *k, enum key key, const char *p, size_t n)
{
	if (n >= KEY_SIZE || memchr(p, '\0', n) != NULL)
		return false;
	memcpy(k->value[key], p, n);
	k->value[key][n] = '\0';
	return true;
}

/* One line without its LF. Returns what is wrong with it, or NULL. */
static const char *parse_line(struct keys *k, const char *p, size_t n)
{
	size_t name = 0;
	const char *value;
	enum key key;

	trim(&p, &n);
	if (n == 0 || *p == '#' || *p == '[' ||
	    (n >= 3 && !memcmp(p, "---", 3)))
		return NULL;
	while (name < n && p[name] != ':' && p[name] != '=')
		name++;
	if (name == n)
		return "is neither `name: value' nor `name = value'";
	value = p + name + 1;
	n -= name + 1;
	trim(&p, &name);
	key = find_key(p, name);
	if (key == KEYS)
		return NULL;
	if (k->value[key][0] != '\0')
		return "has a credential that an earlier line has too";
	strip_value(&value, &n);
	return keep(k, key, value, n) ? NULL : "has a value that is too long";
}

bool keys_parse(struct keys *k, const char *p, size_t n, struct text *error)
{
	const char *end, *why;
	uint64_t line;
	size_t size;

	if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
		p += 3;
		n -= 3;
	}
	for (line = 1; n > 0; line++) {
		end = memchr(p, '\n', n);
		size = end == NULL ? n : (size_t)(end - p);
		why = parse_line(k, p, size);
		if (why != NULL) {
			text_str(error, "line ");
			text_u64(error, line);
			text_str(error, " ");
			text_str(error, why);
			return false;
		}
		size += end == NULL ? 0 : 1;
		p += size;
		n -= size;
	}
	return true;
}

static bool fail(struct text *error, const char *why)
{
	text_str(error, why);
	return false;
}

bool keys_read(struct keys *k, const char *file, struct text *error,
	       bool *open_to_others)
{
	static char buf[FILE_MAX + 1];
	struct stat st;
	ssize_t n = 0;
	size_t size = 0;
	bool ok;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return fail(error, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return fail(error, "it is not a regular file");
	}
	*open_to_others = (st.st_mode & (S_IRGRP | S_IROTH)) != 0;
	do {
		n = read(fd, buf + size, sizeof buf - size);
		size += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	close(fd);
	if (n < 0)
		ok = fail(error, strerror(errno));
	else if (size > FILE_MAX)
		ok = fail(error, "it is larger than 64 KiB");
	else
		ok = keys_parse(k, buf, size, error);
	explicit_bzero(buf, sizeof buf);
	return ok;
}

bool keys_environment(struct keys *k, unsigned set)
{
	bool any = false;
	int i;

	for (i = 0; i < KEYS; i++) {
		char *s = getenv(key_names[i].variable);

		if (s == NULL)
			continue;
		any = any || (set >> i & 1) != 0;
		keep(k, (enum key)i, s, strlen(s));
		/* /proc/PID/environ shows this very memory. */
		explicit_bzero(s, strlen(s));
	}
	return any;
}

/* How the credential may be called, in brackets. */
static void say_names(struct text *error, int key, bool variable)
{
	const char *const *names = key_names[key].names;
	int i;

	text_str(error, " (");
	text_str(error, variable ? key_names[key].variable : names[0]);
	for (i = 1; !variable && i < 3 && names[i] != NULL; i++) {
		text_str(error, i == 2 || names[i + 1] == NULL ? " or " : ", ");
		text_str(error, names[i]);
	}
	text_str(error, ")");
}

bool keys_complete(const struct keys *k, unsigned set, const char *source,
		   struct text *error)
{
	static const char *const what[KEYS] = {
		"consumer key", "consumer secret",
		"access token", "access token secret",
		"bearer token", "user name",
		"password",
	};
	const char *s;
	int i;

	for (i = 0; i < KEYS; i++) {
		s = k->value[i];
		while ((unsigned char)*s >= ' ' && *s != 127)
			s++;
		if ((set >> i & 1) == 0 || (*s == '\0' && s > k->value[i]))
			continue;
		text_str(error, source == NULL ? "the environment" : source);
		text_str(error, *s == '\0'
				    ? " has no "
				    : " has a control character in the ");
		text_str(error, what[i]);
		say_names(error, i, source == NULL);
		return false;
	}
	return true;
}
