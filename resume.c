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

/* A string's bytes, of valid JSON. Returns false if they are no value. */
static bool unescape(struct text *t, struct piece v)
{
	const unsigned char *p = (const unsigned char *)v.p, *end = p + v.n;
	uint32_t c;

	while (p < end) {
		if (*p != '\\') {
			text_mem(t, p++, 1);
			continue;
		}
		p++;
		c = text_unescape(&p);
		if (c == 0)
			return false;
		text_put_utf8(t, c);
	}
	return !t->full;
}

void resume_take(struct resume *r, const char *message)
{
	struct piece v;
	struct text t;

	if (r->path[0] == NULL || !json_find(message, r->path, &v))
		return;
	t = text_in(r->value, sizeof r->value);
	if (v.p[-1] == '"') {
		if (!unescape(&t, v))
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
		t = text_in(r->value, sizeof r->value);
		text_u64(&t, minutes < 1 ? 1 : minutes > 5 ? 5 : minutes);
	}
	return r->value[0] == '\0' ? NULL : r->value;
}
