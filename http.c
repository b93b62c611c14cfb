#include "http.h"

#include <string.h>

#define INTERIM_MAX 16 /* 1xx responses before the final one */

#define DIGITS "0123456789"
#define HOST_BYTES DIGITS "abcdefghijklmnopqrstuvwxyz-._"

#define BAD_START "not an HTTP/1.0 or HTTP/1.1 response"

/* Of a field name (RFC 9110, 5.6.2): visible, but no delimiter. */
static bool is_token(char c)
{
	return text_is_visible(c) && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

/* The host of s[0..n-1] into u, in lower case. */
static const char *parse_host(struct http_url *u, const char *s, size_t n)
{
	bool ipv6 = n > 2 && s[0] == '[' && s[n - 1] == ']';
	size_t i;

	if (ipv6) {
		s++;
		n -= 2;
	} else if (n > 1 && s[n - 1] == '.') {
		n--; /* a certificate never has the root's dot */
		u->rooted = true;
	}
	if (n == 0)
		return "it has no host";
	if (ipv6 && memchr(s, ':', n) == NULL)
		return "in brackets only an IPv6 address can stand";
	if (n >= sizeof u->host)
		return "its host is too long";
	for (i = 0; i < n; i++)
		u->host[i] = text_lower(s[i]);
	if (strspn(u->host, ipv6 ? DIGITS "abcdef:." : HOST_BYTES) < n)
		return "its host has a character no host name has";
	/* no name is of digits and dots alone */
	u->is_address = ipv6 || strspn(u->host, DIGITS ".") == n;
	return NULL;
}

/* host[:port] of s[0..n-1]. */
static const char *parse_authority(struct http_url *u, const char *s, size_t n)
{
	size_t host = n, digits;
	uint64_t port;

	if (memchr(s, '@', n) != NULL)
		return "it has a user name; credentials do not belong there";
	while (host > 0 && text_is_digit(s[host - 1]))
		host--;
	digits = n - host;
	if (host == 0 || s[host - 1] != ':')
		return parse_host(u, s, n);
	if (!text_to_u64(s + host, digits, 65535, &port) || port == 0)
		return "its port is not a number from 1 to 65535";
	u->port = (uint16_t)port;
	return parse_host(u, s, host - 1);
}

void http_host(struct text *t, const struct http_url *u)
{
	bool ipv6 = strchr(u->host, ':') != NULL;

	text_str(t, ipv6 ? "[" : "");
	text_str(t, u->host);
	text_str(t, ipv6 ? "]" : "");
	if (u->port != (u->tls ? 443 : 80)) {
		text_str(t, ":");
		text_u64(t, u->port);
	}
}

const char *http_url_parse(struct http_url *u, const char *s)
{
	const char *why, *path;
	struct text base = text_in(u->base, sizeof u->base);
	struct text query = text_in(u->query, sizeof u->query);
	size_t n;

	memset(u, 0, sizeof *u);
	n = strcspn(s, ":");
	u->tls = text_is_word(s, n, "https");
	if ((!u->tls && !text_is_word(s, n, "http")) ||
	    strncmp(s + n, "://", 3) != 0)
		return "it does not begin with https:// or http://";
	u->port = u->tls ? 443 : 80;
	s += n + 3;
	for (n = 0; s[n] != '\0'; n++)
		if (!text_is_visible(s[n]) || strchr("\"<>\\^`{|}", s[n]))
			return "it has a character that must be written as "
			       "%XX, in the host name as xn--...";
	if (strchr(s, '#') != NULL)
		return "it has a fragment (#...), which is never sent";
	n = strcspn(s, "/?");
	why = parse_authority(u, s, n);
	if (why != NULL)
		return why;
	path = s + n;
	n = strcspn(path, "?");
	text_str(&base, u->tls ? "https://" : "http://");
	http_host(&base, u);
	u->path = base.n;
	text_mem(&base, n > 0 ? path : "/", n > 0 ? n : 1);
	text_str(&query, path[n] == '?' ? path + n + 1 : "");
	return base.full || query.full ? "it is too long" : NULL;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar: years are counted
 * from March, so that the leap day is the last one. */
static uint64_t days_from(uint64_t year, uint64_t month, uint64_t day)
{
	uint64_t y = month > 2 ? year : year - 1;
	uint64_t m = month > 2 ? month - 3 : month + 9;

	return y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day -
	       1 - 719468;
}

/* An IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7), in
 * seconds since 1970; 0 for anything else. */
static uint64_t parse_date(struct piece v)
{
	const char *p = v.p;
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	uint64_t day, year, h, m, s, month;

	if (v.n != 29 || memcmp(p + 25, " GMT", 4) != 0 ||
	    !text_to_u64(p + 5, 2, 31, &day) ||
	    !text_to_u64(p + 12, 4, 9999, &year) || year < 1970 ||
	    !text_to_u64(p + 17, 2, 23, &h) ||
	    !text_to_u64(p + 20, 2, 59, &m) || !text_to_u64(p + 23, 2, 60, &s))
		return 0;
	for (month = 0; month < 12; month++)
		if (memcmp(p + 8, months + 3 * month, 3) == 0)
			return days_from(year, month + 1, day) * 86400 +
			       h * 3600 + m * 60 + s;
	return 0;
}

void http_head_init(struct http_head *h)
{
	size_t before = offsetof(struct http_head, n);

	memset((char *)h + before, 0, sizeof *h - before);
}

/* "HTTP/1.1 200 OK": RFC 9112, section 4; the reason may be missing. How it
 * begins has been seen to. */
static const char *parse_status(struct http_head *h, const char *p, size_t n)
{
	uint64_t status;

	if (n < 12 || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
		return BAD_START;
	if (!text_to_u64(p + 9, 3, 999, &status) || status < 100 ||
	    (n > 12 && p[12] != ' '))
		return "the status is not three digits";
	h->minor_zero = p[7] == '0';
	h->status = (int)status;
	return NULL;
}

static const char *const field_name[HTTP_FIELDS] = {
	[HTTP_CONTENT_LENGTH] = "Content-Length",
	[HTTP_TRANSFER_ENCODING] = "Transfer-Encoding",
	[HTTP_CONTENT_ENCODING] = "Content-Encoding",
	[HTTP_CONTENT_TYPE] = "Content-Type",
	[HTTP_RETRY_AFTER] = "Retry-After",
	[HTTP_DATE] = "Date",
	[HTTP_LOCATION] = "Location",
	[HTTP_LIMIT_RESET] = "x-rate-limit-reset",
	[HTTP_LIMIT_REMAINING] = "x-rate-limit-remaining",
};

/* The value that an error is about. */
static const char *refuse(struct http_head *h, struct piece v, const char *why)
{
	h->refused = v;
	return why;
}

/* One field, kept where it lies. One that came before with another value is an
 * error where the body depends on it; of one that informs neither counts. */
static const char *take_field(struct http_head *h, struct piece name,
			      struct piece v)
{
	struct piece *known;
	size_t i = 0;

	while (i < HTTP_FIELDS && !text_is_word(name.p, name.n, field_name[i]))
		i++;
	if (i == HTTP_FIELDS || (h->tunnel && i <= HTTP_CONTENT_ENCODING) ||
	    (i == HTTP_CONTENT_ENCODING && text_is_word(v.p, v.n, "identity")))
		return NULL;
	known = &h->field[i];
	if (i == HTTP_TRANSFER_ENCODING && (known->p != NULL || h->minor_zero ||
					    !text_is_word(v.p, v.n, "chunked")))
		return refuse(
		    h, v,
		    "a transfer coding other than chunked, once, in HTTP/1.1");
	if (known->p == NULL)
		*known = v;
	else if (known->n == v.n && memcmp(known->p, v.p, v.n) == 0)
		return NULL;
	else if (i == HTTP_CONTENT_LENGTH)
		return refuse(h, v, "two different Content-Lengths");
	else if (i != HTTP_CONTENT_ENCODING)
		known->n = 0;
	return NULL;
}

/* A number, as large as can be if it is too large; 0 if it is none. A CR
 * follows each value. */
static uint64_t to_number(struct piece v)
{
	uint64_t number;

	if (v.n == 0 || strspn(v.p, DIGITS) < v.n)
		return 0;
	return text_to_u64(v.p, v.n, UINT64_MAX, &number) ? number : UINT64_MAX;
}

/* All fields are there: what they mean, and whether they may stand together. */
static const char *judge_fields(struct http_head *h)
{
	const struct piece *f = h->field;
	const struct piece length = f[HTTP_CONTENT_LENGTH];
	const struct piece left = f[HTTP_LIMIT_REMAINING];
	const char *type =
	    f[HTTP_CONTENT_TYPE].n > 0 ? f[HTTP_CONTENT_TYPE].p : "\r";
	size_t n = strcspn(type, " \t;\r");
	uint64_t zero;

	h->chunked = f[HTTP_TRANSFER_ENCODING].p != NULL;
	h->date = parse_date(f[HTTP_DATE]);
	h->retry_at = parse_date(f[HTTP_RETRY_AFTER]);
	h->retry_after = to_number(f[HTTP_RETRY_AFTER]);
	h->limit_reset = to_number(f[HTTP_LIMIT_RESET]);
	h->limit_spent = text_to_u64(left.p, left.n, 0, &zero);
	h->other_type = text_is_word(type, n, "text/html") ||
			text_is_word(type, n, "text/event-stream");
	if (length.p != NULL &&
	    !text_to_u64(length.p, length.n, UINT64_MAX, &h->length))
		return refuse(h, length,
			      "Content-Length is no number of 64 bits");
	if (h->status == 101)
		return "a protocol switch nobody asked for";
	if (h->status < 200)
		return h->interim < INTERIM_MAX
			   ? NULL
			   : "more than 16 interim responses";
	if (h->chunked && length.p != NULL)
		return "Content-Length together with Transfer-Encoding";
	if (h->status == 200 && f[HTTP_CONTENT_ENCODING].p != NULL)
		return refuse(h, f[HTTP_CONTENT_ENCODING],
			      "a Content-Encoding nobody asked for");
	return NULL;
}

/* "name: value", RFC 9112, section 5. CRLF follows. */
static const char *parse_field(struct http_head *h, const char *p, size_t n)
{
	struct piece name = { p, 0 }, value;

	if (*p == ' ' || *p == '\t')
		return "a folded header line";
	while (is_token(p[name.n]))
		name.n++;
	if (name.n == 0 || p[name.n] != ':')
		return "a header line without a proper name";
	value.p = p + name.n + 1;
	value.p += strspn(value.p, " \t");
	value.n = (size_t)(p + n - value.p);
	while (value.n > 0 && strchr(" \t", value.p[value.n - 1]) != NULL)
		value.n--;
	return take_field(h, name, value);
}

/* The empty line has come. */
static enum http_event end_head(struct http_head *h, const char **why)
{
	*why = judge_fields(h);
	if (*why != NULL)
		return HTTP_ERROR;
	if (h->status >= 200)
		return HTTP_DONE;
	/* Another one follows. The limit is one of all heads. */
	h->interim++;
	h->status = 0;
	h->length = 0;
	memset(h->field, 0, sizeof h->field);
	return HTTP_MORE;
}

/* The line bytes[line..n-1] is complete, its LF included. */
static enum http_event end_line(struct http_head *h, const char **why)
{
	const char *p = h->bytes + h->line;
	size_t n = h->n - h->line, i;

	if (n < 2 || p[n - 2] != '\r')
		*why = "a bare LF in the head";
	for (i = 0; i + 2 < n; i++)
		if (((unsigned char)p[i] < ' ' && p[i] != '\t') || p[i] == 127)
			*why = "a control character in a header";
	h->line = h->n;
	if (*why != NULL)
		return HTTP_ERROR;
	if (n == 2 && h->status != 0)
		return end_head(h, why);
	if (h->status != 0)
		*why = parse_field(h, p, n - 2);
	else if (n > 2)
		*why = parse_status(h, p, n - 2);
	return *why == NULL ? HTTP_MORE : HTTP_ERROR;
}

/* Can a head begin like that? No HTTP is told at its first byte. One CRLF may
 * come before all. */
static bool may_begin(const struct http_head *h)
{
	const char *p = h->bytes + h->line;
	size_t n = h->n - h->line;

	return memcmp(p, "HTTP/1.", n < 7 ? n : 7) == 0 ||
	       (h->n <= 2 && memcmp(h->bytes, "\r\n", h->n) == 0);
}

enum http_event http_head_next(struct http_head *h, const unsigned char *in,
			       size_t n, size_t *used, const char **why)
{
	enum http_event event = HTTP_MORE;
	char c;

	*why = NULL;
	for (*used = 0; *used < n && event == HTTP_MORE;) {
		c = (char)in[(*used)++];
		if (h->n == sizeof h->bytes)
			*why = "a response head of more than 16 KiB";
		else
			h->bytes[h->n++] = c;
		if (*why == NULL && h->status == 0 && !may_begin(h))
			*why = BAD_START;
		if (*why != NULL)
			return HTTP_ERROR;
		if (c == '\n')
			event = end_line(h, why);
	}
	return event;
}

void http_body_init(struct http_body *b, const struct http_head *h)
{
	memset(b, 0, sizeof *b);
	b->left = h->length;
	if (h->chunked)
		b->place = CHUNK_BEGIN;
	else if (h->field[HTTP_CONTENT_LENGTH].p == NULL)
		b->place = BODY_CLOSE;
	else
		b->place = h->length > 0 ? BODY_LENGTH : BODY_DONE;
}

bool http_body_may_end(const struct http_body *b)
{
	return b->place == BODY_DONE || b->place == BODY_CLOSE;
}

/* The CRLF of a line of the framing has come. */
static void end_framing(struct http_body *b)
{
	if (b->place == TRAILER_BEGIN) {
		b->place = BODY_DONE;
	} else if (b->place == TRAILER) {
		b->place = TRAILER_BEGIN;
	} else {
		b->line = 0;
		b->place = b->place == CHUNK_END ? CHUNK_BEGIN
			   : b->left > 0         ? CHUNK_DATA
						 : TRAILER_BEGIN;
	}
}

/* A byte of a chunk's size (RFC 9112, 7.1) or of what follows it. Blanks are
 * padding, as some servers send. */
static const char *take_size(struct http_body *b, char c)
{
	if (b->place <= CHUNK_SIZE && text_hex(c) >= 0) {
		if (b->left >> 60 != 0)
			return "the chunk size overflows 64 bits";
		b->left = b->left << 4 | (uint64_t)text_hex(c);
		b->place = CHUNK_SIZE;
	} else if (b->place == CHUNK_BEGIN ||
		   (c != ';' && c != ' ' && c != '\t' && c != '\r')) {
		return "the chunk size is not a number";
	} else {
		b->place = c == ';' ? CHUNK_EXTENSION : CHUNK_SPACE;
	}
	return NULL;
}

/* One byte of the framing, which is lines: a chunk's size with its extension,
 * nothing behind its data, trailers. Extensions and trailers are read over, but
 * must end as lines do. */
static const char *take_framing(struct http_body *b, char c)
{
	bool cr = b->cr;

	if (b->line < sizeof b->begin)
		b->begin[b->line] = c;
	if (++b->line > HTTP_HEAD_MAX)
		return "chunk size, extension or trailers of more than 16 KiB";
	b->cr = c == '\r';
	if (cr && c == '\n')
		end_framing(b);
	else if (b->place == CHUNK_END && (cr || !b->cr))
		return "no CRLF where a chunk ends";
	else if (cr || c == '\n' || c == '\0')
		return "a bare CR, LF or NUL in a chunk's size or a trailer";
	else if (b->place < CHUNK_EXTENSION)
		return take_size(b, c);
	else if (b->place == TRAILER_BEGIN && !b->cr)
		b->place = TRAILER;
	return NULL;
}

enum http_event http_body_next(struct http_body *b, const unsigned char *in,
			       size_t n, size_t *used, struct http_data *data)
{
	size_t i = 0;

	data->error = NULL;
	while (i < n && b->place >= CHUNK_BEGIN && data->error == NULL)
		data->error = take_framing(b, (char)in[i++]);
	*used = i;
	data->p = in + i;
	data->n = n - i;
	data->refused.p = b->begin;
	data->refused.n = b->line < sizeof b->begin ? b->line : sizeof b->begin;
	if (data->error != NULL)
		return HTTP_ERROR;
	if (b->place == BODY_DONE)
		return HTTP_DONE;
	if (i == n)
		return HTTP_MORE;
	if (b->place != BODY_CLOSE && data->n > b->left)
		data->n = (size_t)b->left;
	return HTTP_DATA;
}

void http_body_take(struct http_body *b, size_t n)
{
	if (b->place == BODY_CLOSE)
		return;
	b->left -= n;
	if (b->left == 0)
		b->place = b->place == CHUNK_DATA ? CHUNK_END : BODY_DONE;
}
