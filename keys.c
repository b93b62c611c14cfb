#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 65536
#define BLANKS " \t\r"

/* What each credential is called: by people, in the environment, in a file. */
static const struct {
	const char *what, *variable, *names;
} key_names[KEYS] = {
	{ "consumer key", "CONSUMER_KEY", "client_key, consumer_key, api_key" },
	{ "consumer secret", "CONSUMER_SECRET",
	  "client_secret, consumer_secret, api_secret, api_key_secret" },
	{ "access token", "ACCESS_TOKEN",
	  "resource_owner_key, access_token, access_token_key, oauth_token" },
	{ "access token secret", "ACCESS_TOKEN_SECRET",
	  "resource_owner_secret, access_token_secret, oauth_token_secret" },
	{ "bearer token", "BEARER_TOKEN", "bearer_token" },
	{ "user name", "BASIC_USER", "user, username" },
	{ "password", "BASIC_PASSWORD", "password" },
};

/* Cut off the blanks at both ends. */
static char *trim(char *s)
{
	size_t n;

	s += strspn(s, BLANKS);
	for (n = strlen(s); n > 0 && strchr(BLANKS, s[n - 1]) != NULL; n--)
		s[n - 1] = '\0';
	return s;
}

/* The credential of this name, or KEYS. */
static enum key find_key(const char *name)
{
	const char *s;
	size_t n;
	int k;

	if (strncmp(name, "export", 6) == 0 && strchr(BLANKS, name[6]) != NULL)
		name += 6 + strspn(name + 6, BLANKS);
	for (k = 0; k < KEYS; k++)
		for (s = key_names[k].names; *s != '\0'; s += n) {
			s += strspn(s, ", ");
			n = strcspn(s, ",");
			if (text_is_word(s, n, name))
				return (enum key)k;
		}
	return KEYS;
}

static void keep(struct keys *k, enum key key, const char *value)
{
	struct text t = text_in(k->value[key], KEY_SIZE);

	/* The scheme's name belongs to the header. */
	if (key == KEY_BEARER && text_is_word(value, 7, "bearer "))
		value += 7 + strspn(value + 7, BLANKS);
	text_str(&t, value);
	k->too_long |= t.full ? 1u << key : 0;
}

/* Take the quotes off, and undo '' or, in double ones, \" and \\ within.
 * Returns what is wrong with the value, or NULL. */
static const char *unquote(char *s)
{
	char quote = *s, escape = quote == '"' ? '\\' : quote;
	char *p = s + 1, *to = s;
	size_t blanks;

	for (; *p != '\0'; p++) {
		if (*p == escape && (p[1] == quote || p[1] == escape))
			p++;
		else if (*p == quote)
			break;
		*to++ = *p;
	}
	if (*p == '\0')
		return "has a quote that is not closed";
	blanks = strspn(++p, BLANKS);
	if (p[blanks] != '\0' && (p[blanks] != '#' || blanks == 0))
		return "has text behind the closing quote";
	*to = '\0';
	return NULL;
}

/* A comment begins behind a blank. */
static char *drop_comment(char *s)
{
	char *p = s;

	while ((p = strchr(p, '#')) != NULL &&
	       (p == s || strchr(BLANKS, p[-1]) == NULL))
		p++;
	if (p != NULL)
		*p = '\0';
	return s;
}

/* One line that is neither empty nor a comment. Returns what is wrong with it,
 * or NULL. */
static const char *parse_line(struct keys *k, char *line)
{
	const char *why = NULL;
	char *value = line + strcspn(line, ":="), *s;
	enum key key;

	if (*value == '\0')
		return "is neither `name: value' nor `name = value'";
	*value++ = '\0';
	key = find_key(trim(line));
	if (key == KEYS)
		return NULL;
	if (k->value[key][0] != '\0')
		return "has a credential that an earlier line has too";
	s = value + strspn(value, BLANKS);
	if (*s == '"' || *s == '\'')
		why = unquote(s);
	else
		s = trim(drop_comment(value));
	if (why == NULL)
		keep(k, key, s);
	return why;
}

/* What the file p[0..n-1] is that cannot have such lines, or NULL. */
static const char *check_kind(const char *p, size_t n)
{
	if (n > 1 && (memcmp(p, "\xff\xfe", 2) == 0 || p[0] == '\0' ||
		      memcmp(p, "\xfe\xff", 2) == 0 || p[1] == '\0'))
		return "it is UTF-16: save it as UTF-8";
	if (p[strspn(p, BLANKS "\n")] == '{')
		return "it is JSON: write a line of `name: value' for each";
	return strlen(p) < n ? "it is not text" : NULL;
}

static bool fail(struct text *error, const char *why)
{
	text_str(error, why);
	return false;
}

/* Lines before the first section count as one. */
bool keys_parse(struct keys *k, char *p, size_t n, struct text *error)
{
	size_t bom = strncmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	const char *why = check_kind(p + bom, n - bom);
	bool has_main, counts, first = true;
	uint64_t number = 0;
	char *line;

	p += bom;
	has_main = strncmp(p, "[main]", 6) == 0 || strstr(p, "\n[main]");
	counts = !has_main;
	while (why == NULL && *p != '\0') {
		number++;
		line = p;
		p += strcspn(p, "\n");
		if (*p != '\0')
			*p++ = '\0';
		line = trim(line);
		if (strchr("#;", *line) != NULL || !strncmp(line, "---", 3))
			continue;
		if (*line == '[')
			counts = has_main ? !strncmp(line, "[main]", 6) : first;
		else if (counts)
			why = parse_line(k, line);
		first = false;
	}
	if (why != NULL && number > 0) {
		text_str(error, "line ");
		text_u64(error, number);
		text_str(error, " ");
	}
	return why == NULL || fail(error, why);
}

bool keys_read(struct keys *k, const char *file, struct text *error,
	       bool *open_to_others)
{
	static char buf[FILE_MAX + 2];
	struct stat st;
	ssize_t n;
	size_t size = 0;
	bool ok;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return fail(error, strerror(errno));
	do {
		n = read(fd, buf + size, FILE_MAX + 1 - size);
		size += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	if (n < 0)
		ok = fail(error, strerror(errno));
	else if (size > FILE_MAX)
		ok = fail(error, "it is larger than 64 KiB");
	else
		ok = keys_parse(k, buf, size, error);
	explicit_bzero(buf, sizeof buf);
	*open_to_others = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
			  st.st_uid == geteuid() &&
			  (st.st_mode & (S_IRGRP | S_IROTH)) != 0;
	close(fd);
	return ok;
}

unsigned keys_environment(struct keys *k)
{
	unsigned found = 0;
	int i;

	for (i = 0; i < KEYS; i++) {
		const char *s = getenv(key_names[i].variable);

		if (s != NULL && *s != '\0') {
			found |= 1u << i;
			keep(k, (enum key)i, s);
		}
		keys_wipe(key_names[i].variable);
	}
	return found;
}

void keys_wipe(const char *variable)
{
	size_t n = strlen(variable);
	char **e;

	for (e = environ; *e != NULL; e++)
		if (strncmp(*e, variable, n) == 0 && (*e)[n] == '=')
			explicit_bzero(*e + n + 1, strlen(*e + n + 1));
}

/* Only a password may have more than visible ASCII. */
static bool can_be_sent(const char *s, bool password)
{
	if (password)
		return text_is_plain(s, strlen(s));
	while (*s > ' ' && *s <= '~')
		s++;
	return *s == '\0';
}

bool keys_complete(const struct keys *k, unsigned set, const char *source,
		   struct text *error)
{
	const char *why;
	int i;

	for (i = 0; i < KEYS; i++) {
		why = NULL;
		if ((k->too_long >> i & 1) != 0)
			why = " has too many bytes in the ";
		else if (k->value[i][0] == '\0')
			why = " has no ";
		else if (i == KEY_USER && strchr(k->value[i], ':') != NULL)
			why = " has a colon in the "; /* RFC 7617, 2 */
		else if (!can_be_sent(k->value[i], i == KEY_PASSWORD))
			why = i == KEY_PASSWORD
				  ? " has a control character, or no UTF-8, in "
				    "the "
				  : " has a byte that is not visible ASCII in "
				    "the ";
		if (why == NULL || (set >> i & 1) == 0)
			continue;
		text_str(error, source == NULL ? "the environment" : source);
		text_str(error, why);
		text_str(error, key_names[i].what);
		text_str(error, " (");
		text_str(error, source == NULL ? key_names[i].variable
					       : key_names[i].names);
		return fail(error, ")");
	}
	return true;
}
