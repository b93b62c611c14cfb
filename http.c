#include "http.h"

#include <string.h>

#define INTERIM_MAX 16 /* 1xx responses before the final one */

const char *http_error_text(enum http_error e)
{
	static const char *const text[HTTP_ERRORS] = {
		[HTTP_OK] = "no error",
		[HTTP_BAD_VERSION] = "not an HTTP/1.0 or HTTP/1.1 response",
		[HTTP_BAD_STATUS] = "the status is not three digits",
		[HTTP_BAD_LINE] = "a bare CR, LF or NUL in the head",
		[HTTP_BAD_NAME] = "a header line without a proper name",
		[HTTP_BAD_VALUE] = "a control character in a header",
		[HTTP_FOLDED] = "a folded header line",
		[HTTP_HEAD_TOO_LONG] = "a response head of more than 16 KiB",
		[HTTP_TOO_MANY_INTERIM] = "more than 16 interim responses",
		[HTTP_SWITCHED] = "a protocol switch nobody asked for",
		[HTTP_BAD_LENGTH] = "Content-Length is not a number",
		[HTTP_TWO_LENGTHS] = "two different Content-Lengths",
		[HTTP_LENGTH_AND_CODING] =
		    "Content-Length together with Transfer-Encoding",
		[HTTP_BAD_CODING] = "a transfer coding other than chunked",
		[HTTP_ENCODED] = "a Content-Encoding nobody asked for",
		[HTTP_BAD_CHUNK_SIZE] = "the chunk size is not a number",
		[HTTP_CHUNK_TOO_LARGE] = "the chunk size overflows 64 bits",
		[HTTP_BAD_CHUNK_END] = "no CRLF where a chunk or its size ends",
		[HTTP_EXTENSION_TOO_LONG] =
		    "a chunk extension of more than 16 KiB",
		[HTTP_TRAILERS_TOO_LONG] = "trailers of more than 16 KiB",
	};

	return text[e];
}

/* A field name or a part of one (RFC 9110, 5.6.2). */
static bool is_token(char c)
{
	return text_is_digit(c) || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Four numbers of 0 to 255 with dots between them. */
static bool is_ipv4(const char *s)
{
	uint64_t v;
	size_t n;
	int parts = 0;

	do {
		n = strcspn(s, ".");
		if (!text_to_u64(s, n, 255, &v))
			return false;
		parts++;
		s += n;
	} while (*s++ == '.');
	return parts == 4;
}

/* The host of s[0..n-1] into u, in lower case. */
static const char *parse_host(struct http_url *u, const char *s, size_t n)
{
	bool ipv6 = n > 2 && s[0] == '[' && s[n - 1] == ']';
	size_t i;
	char c;

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
	for (i = 0; i < n; i++) {
		c = text_lower(s[i]);
		if (ipv6 ? text_hex(c) < 0 && c != ':' && c != '.'
			 : !text_is_digit(c) && !(c >= 'a' && c <= 'z') &&
			       c != '-' && c != '.' && c != '_')
			return "its host has a character no host name has";
		u->host[i] = c;
	}
	u->host[n] = '\0';
	u->is_address = ipv6 || is_ipv4(u->host);
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
	struct text base, query;
	size_t n;

	memset(u, 0, sizeof *u);
	u->tls = text_is_word(s, strcspn(s, ":"), "https");
	if (!u->tls && !text_is_word(s, strcspn(s, ":"), "http"))
		return "it does not begin with https:// or http://";
	u->port = u->tls ? 443 : 80;
	s += u->tls ? 5 : 4;
	if (strncmp(s, "://", 3) != 0)
		return "it does not begin with https:// or http://";
	s += 3;
	for (n = 0; s[n] != '\0'; n++)
		if (s[n] <= ' ' || s[n] > '~' || strchr("\"<>\\^`{|}", s[n]))
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
	text_init(&base, u->base, sizeof u->base);
	text_str(&base, u->tls ? "https://" : "http://");
	http_host(&base, u);
	u->path = base.n;
	text_mem(&base, n > 0 ? path : "/", n > 0 ? n : 1);
	text_init(&query, u->query, sizeof u->query);
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
static uint64_t parse_date(const char *p, size_t n)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	uint64_t day, year, h, m, s, month;

	if (n != 29 || memcmp(p + 25, " GMT", 4) != 0 ||
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

/* "HTTP/1.1 200 OK": RFC 9112, section 4; the reason may be missing. */
static enum http_error parse_status(struct http_head *h, const char *p,
				    size_t n)
{
	uint64_t status;

	if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 ||
	    (p[7] != '0' && p[7] != '1') || p[8] != ' ')
		return HTTP_BAD_VERSION;
	if (!text_to_u64(p + 9, 3, 999, &status) || status < 100 ||
	    (n > 12 && p[12] != ' '))
		return HTTP_BAD_STATUS;
	h->minor_zero = p[7] == '0';
	h->status = (int)status;
	return HTTP_OK;
}

static enum http_error take_length(struct http_head *h, const char *p, size_t n)
{
	uint64_t v;

	if (!text_to_u64(p, n, UINT64_MAX, &v))
		return HTTP_BAD_LENGTH;
	if (h->has_length && v != h->length)
		return HTTP_TWO_LENGTHS;
	h->has_length = true;
	h->length = v;
	return HTTP_OK;
}

/* The coding must be chunked and nothing else, once, in HTTP/1.1. */
static enum http_error take_coding(struct http_head *h, const char *p, size_t n)
{
	if (!text_is_word(p, n, "chunked") || h->chunked || h->minor_zero)
		return HTTP_BAD_CODING;
	h->chunked = true;
	return HTTP_OK;
}

/* One field. Those that only inform are taken when they make sense. */
static enum http_error take_field(struct http_head *h, const char *name,
				  size_t name_n, const char *p, size_t n)
{
	uint64_t v;

	if (text_is_word(name, name_n, "Content-Length"))
		return take_length(h, p, n);
	if (text_is_word(name, name_n, "Transfer-Encoding"))
		return take_coding(h, p, n);
	if (text_is_word(name, name_n, "Content-Encoding"))
		h->encoded = !text_is_word(p, n, "identity");
	if (text_is_word(name, name_n, "Retry-After"))
		text_to_u64(p, n, UINT32_MAX, &h->retry_after);
	else if (text_is_word(name, name_n, "x-rate-limit-reset"))
		text_to_u64(p, n, UINT32_MAX, &h->limit_reset);
	else if (text_is_word(name, name_n, "x-rate-limit-remaining"))
		h->limit_spent = text_to_u64(p, n, UINT32_MAX, &v) && v == 0;
	else if (text_is_word(name, name_n, "Date"))
		h->date = parse_date(p, n);
	if (text_is_word(name, name_n, "Location")) {
		h->location_n = n < sizeof h->location ? n : sizeof h->location;
		memcpy(h->location, p, h->location_n);
	}
	return HTTP_OK;
}

/* "name: value", RFC 9112, section 5. */
static enum http_error parse_field(struct http_head *h, const char *p, size_t n)
{
	size_t name = 0, i;

	if (*p == ' ' || *p == '\t')
		return HTTP_FOLDED;
	while (name < n && is_token(p[name]))
		name++;
	if (name == 0 || name == n || p[name] != ':')
		return HTTP_BAD_NAME;
	for (i = name + 1; i < n; i++)
		if (((unsigned char)p[i] < ' ' && p[i] != '\t') || p[i] == 127)
			return HTTP_BAD_VALUE;
	for (i = name + 1; i < n && (p[i] == ' ' || p[i] == '\t'); i++)
		;
	while (n > i && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	return take_field(h, p, name, p + i, n - i);
}

/* The empty line has come. */
static enum http_event end_head(struct http_head *h, enum http_error *e)
{
	int interim = h->interim + 1;
	size_t n = h->n;

	*e = HTTP_OK;
	if (h->status == 101)
		*e = HTTP_SWITCHED;
	else if (h->status >= 200 && h->chunked && h->has_length)
		*e = HTTP_LENGTH_AND_CODING;
	else if (h->status == 200 && h->encoded)
		*e = HTTP_ENCODED;
	else if (h->status < 200 && interim > INTERIM_MAX)
		*e = HTTP_TOO_MANY_INTERIM;
	if (*e != HTTP_OK)
		return HTTP_ERROR;
	if (h->status >= 200)
		return HTTP_DONE;
	http_head_init(h);
	h->interim = interim;
	h->n = h->line = n; /* so that the limit is one of all heads */
	return HTTP_MORE;
}

/* The line bytes[line..n-1] is complete, its CRLF included. */
static enum http_event end_line(struct http_head *h, enum http_error *e)
{
	const char *p = h->bytes + h->line;
	size_t n = h->n - h->line;

	if (n < 2 || p[n - 2] != '\r' || memchr(p, '\0', n) != NULL ||
	    memchr(p, '\r', n - 2) != NULL) {
		*e = HTTP_BAD_LINE;
		return HTTP_ERROR;
	}
	n -= 2;
	h->line = h->n;
	if (n == 0 && h->status != 0)
		return end_head(h, e);
	if (h->status != 0)
		*e = parse_field(h, p, n);
	else if (n > 0 || h->n > 2) /* one CRLF may come first */
		*e = parse_status(h, p, n);
	return *e == HTTP_OK ? HTTP_MORE : HTTP_ERROR;
}

enum http_event http_head_next(struct http_head *h, const unsigned char *in,
			       size_t n, size_t *used, enum http_error *e)
{
	static const char start[] = "HTTP/1.";
	enum http_event event = HTTP_MORE;
	size_t i, at;

	*e = HTTP_OK;
	for (i = 0; i < n && event == HTTP_MORE; i++) {
		if (h->n == sizeof h->bytes) {
			*e = HTTP_HEAD_TOO_LONG;
			return HTTP_ERROR;
		}
		at = h->n - h->line;
		h->bytes[h->n++] = (char)in[i];
		if (in[i] == '\n') {
			event = end_line(h, e);
		} else if (h->status == 0 && at < sizeof start - 1 &&
			   in[i] != (unsigned char)start[at] &&
			   (h->n > 1 || in[i] != '\r')) {
			*e = HTTP_BAD_VERSION; /* no HTTP: say so at once */
			event = HTTP_ERROR;
		}
	}
	*used = i;
	return event;
}

void http_body_init(struct http_body *b, const struct http_head *h)
{
	b->left = h->length;
	b->line = 0;
	if (h->chunked)
		b->place = CHUNK_SIZE_FIRST;
	else if (!h->has_length)
		b->place = BODY_CLOSE;
	else
		b->place = h->length > 0 ? BODY_LENGTH : BODY_DONE;
}

bool http_body_may_end(const struct http_body *b)
{
	return b->place == BODY_DONE || b->place == BODY_CLOSE;
}

/* After the digits of a chunk's size (RFC 9112, 7.1). */
static enum http_error after_size(struct http_body *b, int c)
{
	b->line = 0;
	if (c == '\r')
		b->place = CHUNK_SIZE_LF;
	else if (c == ';')
		b->place = CHUNK_EXTENSION;
	else if (c == ' ' || c == '\t')
		b->place = CHUNK_SPACE;
	else
		return HTTP_BAD_CHUNK_SIZE;
	return HTTP_OK;
}

/* A digit of a chunk's size, or what ends it. */
static enum http_error take_size(struct http_body *b, int c)
{
	int digit = text_hex(c);

	if (b->place == CHUNK_SIZE_FIRST)
		b->left = 0;
	if (digit < 0)
		return b->place == CHUNK_SIZE ? after_size(b, c)
					      : HTTP_BAD_CHUNK_SIZE;
	if (b->left >> 60 != 0)
		return HTTP_CHUNK_TOO_LARGE;
	b->left = b->left << 4 | (uint64_t)digit;
	b->place = CHUNK_SIZE;
	return HTTP_OK;
}

/* An extension is read over, but must end as a line does. */
static enum http_error take_extension(struct http_body *b, int c)
{
	if (b->place == CHUNK_SPACE && c != ' ' && c != '\t' && c != ';' &&
	    c != '\r')
		return HTTP_BAD_CHUNK_SIZE;
	if (c == ';')
		b->place = CHUNK_EXTENSION;
	if (c == '\r')
		b->place = CHUNK_SIZE_LF;
	else if (c == '\n' || c == '\0')
		return HTTP_BAD_CHUNK_END;
	return ++b->line > HTTP_LINE_MAX ? HTTP_EXTENSION_TOO_LONG : HTTP_OK;
}

/* Trailers are read over too (RFC 9112, 7.1.2). */
static enum http_error take_trailer(struct http_body *b, int c)
{
	if (c == '\r')
		b->place =
		    b->place == TRAILER_START ? TRAILER_END_LF : TRAILER_LF;
	else if (c == '\n' || c == '\0')
		return HTTP_BAD_LINE;
	else
		b->place = TRAILER;
	return ++b->line > HTTP_LINE_MAX ? HTTP_TRAILERS_TOO_LONG : HTTP_OK;
}

/* A byte that must be this one, and the place behind it. */
static enum http_error expect(struct http_body *b, int c, int want,
			      enum http_place next)
{
	b->place = next;
	return c == want ? HTTP_OK : HTTP_BAD_CHUNK_END;
}

/* One byte of the framing between data. */
static enum http_error take_framing(struct http_body *b, int c)
{
	switch (b->place) {
	case CHUNK_SIZE_FIRST:
	case CHUNK_SIZE:
		return take_size(b, c);
	case CHUNK_SPACE:
	case CHUNK_EXTENSION:
		return take_extension(b, c);
	case CHUNK_SIZE_LF:
		b->line = 0;
		return expect(b, c, '\n',
			      b->left > 0 ? CHUNK_DATA : TRAILER_START);
	case CHUNK_CR:
		return expect(b, c, '\r', CHUNK_LF);
	case CHUNK_LF:
		return expect(b, c, '\n', CHUNK_SIZE_FIRST);
	case TRAILER_START:
	case TRAILER:
		return take_trailer(b, c);
	case TRAILER_LF:
		return expect(b, c, '\n', TRAILER_START);
	case TRAILER_END_LF:
		return expect(b, c, '\n', BODY_DONE);
	case BODY_LENGTH:
	case BODY_CLOSE:
	case CHUNK_DATA:
	case BODY_DONE:
		break; /* no framing byte is ever expected there */
	}
	return HTTP_BAD_CHUNK_END;
}

static bool in_data(const struct http_body *b)
{
	return b->place == CHUNK_DATA || b->place == BODY_LENGTH ||
	       b->place == BODY_CLOSE;
}

enum http_event http_body_next(struct http_body *b, const unsigned char *in,
			       size_t n, size_t *used, struct http_data *data)
{
	size_t i = 0;

	data->error = HTTP_OK;
	while (i < n && !in_data(b) && b->place != BODY_DONE &&
	       data->error == HTTP_OK)
		data->error = take_framing(b, in[i++]);
	*used = i;
	data->p = in + i;
	data->n = n - i;
	if (data->error != HTTP_OK)
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
		b->place = b->place == CHUNK_DATA ? CHUNK_CR : BODY_DONE;
}
