#include "resume.h"

#include "json_scan.h"
#include "text.h"

#include <string.h>

#define MINUTE 60000u

bool resume_init(struct resume *r, char *s)
{
	char *p = strchr(s, '=');
	size_t n = 0;

	r->name = s;
	if (p == NULL || p == s || p[1] == '\0')
		return false;
	*p++ = '\0';
	if (strcmp(p, "minutes") == 0)
		return true;
	for (; p != NULL; p = strchr(p, '.')) {
		if (n > 0)
			*p++ = '\0';
		if (n == RESUME_DEPTH || *p == '\0' || *p == '.')
			return false;
		r->path[n++] = p;
	}
	return true;
}

static uint32_t hex4(const char *p)
{
	uint32_t v = 0;
	int i;

	for (i = 0; i < 4; i++)
		v = v << 4 | (uint32_t)text_hex(p[i]);
	return v;
}

/* The character of the escape behind a \ at *p, which is moved behind it; 0 for
 * NUL and for half of a surrogate pair, which no parameter can hold. */
static uint32_t escaped(const char **p)
{
	static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
	const char *name = strchr(names, **p);
	uint32_t c, low;

	if (*(*p)++ != 'u')
		return (unsigned char)(name != NULL ? values[name - names]
						    : (*p)[-1]);
	c = hex4(*p);
	*p += 4;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	low = (*p)[0] == '\\' && (*p)[1] == 'u' ? hex4(*p + 2) : 0;
	*p += 6;
	if (c > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return 0;
	return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

static void put_utf8(struct text *t, uint32_t c)
{
	int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	char byte =
	    (char)(more == 0 ? c
			     : (0xf00 >> (more + 1) & 0xff) | c >> 6 * more);

	for (text_mem(t, &byte, 1); more-- > 0; text_mem(t, &byte, 1))
		byte = (char)(0x80 | (c >> 6 * more & 0x3f));
}

/* A string's bytes, of valid JSON. Returns false if they are no value. */
static bool unescape(struct text *t, const char *p, const char *end)
{
	uint32_t c;

	while (p < end) {
		if (*p != '\\') {
			text_mem(t, p++, 1);
			continue;
		}
		p++;
		c = escaped(&p);
		if (c == 0)
			return false;
		put_utf8(t, c);
	}
	return true;
}

void resume_take(struct resume *r, const char *message)
{
	struct json_value v;
	struct text t;

	if (r->path[0] == NULL || !json_find(message, r->path, &v))
		return;
	text_init(&t, r->value, sizeof r->value);
	if (v.p[-1] == '"') {
		if (!unescape(&t, v.p, v.p + v.n) || t.full)
			r->value[0] = '\0';
	} else if (v.n <= RESUME_VALUE &&
		   (*v.p == '-' || text_is_digit(*v.p))) {
		text_mem(&t, v.p, v.n);
	}
}

const char *resume_value(struct resume *r, uint64_t gap_ms)
{
	uint64_t minutes = (gap_ms + MINUTE - 1) / MINUTE;
	struct text t;

	if (r->path[0] == NULL) {
		text_init(&t, r->value, sizeof r->value);
		text_u64(&t, minutes < 1 ? 1 : minutes > 5 ? 5 : minutes);
	}
	return r->value[0] == '\0' ? NULL : r->value;
}
