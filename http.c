#include "http.h"

#include <string.h>

#define INTERIM_MAX 16 /* 1xx responses before the final one */

#define BAD_START "not an HTTP/1.0 or HTTP/1.1 response"
#define BAD_SIZE "the chunk size is not a number"
#define NO_CRLF "no CRLF where a chunk or its size ends"
#define BAD_TRAILER "a bare CR, LF or NUL in the trailers"

/* A field name or a part of one (RFC 9110, 5.6.2). */
static bool is_token(char c)
{
	return text_is_digit(c) || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
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
	/* no name has digits alone behind its last dot */
	u->is_address = ipv6 || u->host[strspn(u->host, "0123456789.")] == '\0';
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
static uint64_t parse_date(struct http_value v)
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

/* "HTTP/1.1 200 OK": RFC 9112, section 4; the reason may be missing. */
static const char *parse_status(struct http_head *h, const char *p, size_t n)
{
	uint64_t status;

	if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 ||
	    (p[7] != '0' && p[7] != '1') || p[8] != ' ')
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
static const char *refuse(struct http_head *h, struct http_value v,
			  const char *why)
{
	h->refused = v;
	return why;
}

/* One field, kept where it lies. One that came before with another value is an
 * error where the body depends on it; of one that informs neither counts. */
static const char *take_field(struct http_head *h, struct http_value name,
			      struct http_value v)
{
	struct http_value *known;
	size_t i = 0;

	while (i < HTTP_FIELDS && !text_is_word(name.p, name.n, field_name[i]))
		i++;
	if (i == HTTP_FIELDS ||
	    (i == HTTP_CONTENT_ENCODING && text_is_word(v.p, v.n, "identity")))
		return NULL;
	known = &h->field[i];
	if (i == HTTP_TRANSFER_ENCODING && (known->p != NULL || h->minor_zero ||
					    !text_is_word(v.p, v.n, "chunked")))
		return refuse(h, v, "a transfer coding other than chunked");
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

/* A number, 0 if it is none; one that is too large is as large as can be. */
static uint64_t to_number(struct http_value v)
{
	uint64_t number;
	size_t i;

	if (text_to_u64(v.p, v.n, UINT64_MAX, &number))
		return number;
	for (i = 0; i < v.n && text_is_digit(v.p[i]); i++)
		;
	return v.n > 0 && i == v.n ? UINT64_MAX : 0;
}

/* All fields are there: what they mean. */
static const char *judge_fields(struct http_head *h)
{
	const struct http_value *f = h->field;
	struct http_value type = f[HTTP_CONTENT_TYPE];
	const char *end = type.n > 0 ? memchr(type.p, ';', type.n) : NULL;
	size_t n = end != NULL ? (size_t)(end - type.p) : type.n;
	uint64_t left;

	h->chunked = f[HTTP_TRANSFER_ENCODING].p != NULL;
	h->has_length = f[HTTP_CONTENT_LENGTH].p != NULL;
	h->encoded = f[HTTP_CONTENT_ENCODING].p != NULL;
	if (h->has_length &&
	    !text_to_u64(f[HTTP_CONTENT_LENGTH].p, f[HTTP_CONTENT_LENGTH].n,
			 UINT64_MAX, &h->length))
		return refuse(h, f[HTTP_CONTENT_LENGTH],
			      "Content-Length is not a number");
	h->date = parse_date(f[HTTP_DATE]);
	h->retry_at = parse_date(f[HTTP_RETRY_AFTER]);
	h->retry_after = to_number(f[HTTP_RETRY_AFTER]);
	h->limit_reset = to_number(f[HTTP_LIMIT_RESET]);
	h->limit_spent = text_to_u64(f[HTTP_LIMIT_REMAINING].p,
				     f[HTTP_LIMIT_REMAINING].n, 0, &left);
	while (n > 0 && type.p[n - 1] == ' ')
		n--;
	h->other_type = text_is_word(type.p, n, "text/html") ||
			text_is_word(type.p, n, "text/event-stream");
	return NULL;
}

/* "name: value", RFC 9112, section 5. */
static const char *parse_field(struct http_head *h, const char *p, size_t n)
{
	struct http_value name = { p, 0 }, value;
	size_t i;

	if (*p == ' ' || *p == '\t')
		return "a folded header line";
	while (name.n < n && is_token(p[name.n]))
		name.n++;
	if (name.n == 0 || name.n == n || p[name.n] != ':')
		return "a header line without a proper name";
	for (i = name.n + 1; i < n; i++)
		if (((unsigned char)p[i] < ' ' && p[i] != '\t') || p[i] == 127)
			return "a control character in a header";
	for (i = name.n + 1; i < n && (p[i] == ' ' || p[i] == '\t'); i++)
		;
	while (n > i && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	value.p = p + i;
	value.n = n - i;
	return take_field(h, name, value);
}

/* The empty line has come. */
static enum http_event end_head(struct http_head *h, const char **why)
{
	int interim = h->interim + 1;
	size_t n = h->n;

	*why = judge_fields(h);
	if (*why != NULL)
		return HTTP_ERROR;
	if (h->status == 101)
		*why = "a protocol switch nobody asked for";
	else if (h->status >= 200 && h->chunked && h->has_length)
		*why = "Content-Length together with Transfer-Encoding";
	else if (h->status == 200 && h->encoded)
		*why = refuse(h, h->field[HTTP_CONTENT_ENCODING],
			      "a Content-Encoding nobody asked for");
	else if (h->status < 200 && interim > INTERIM_MAX)
		*why = "more than 16 interim responses";
	if (*why != NULL)
		return HTTP_ERROR;
	if (h->status >= 200)
		return HTTP_DONE;
	http_head_init(h);
	h->interim = interim;
	h->n = h->line = n; /* so that the limit is one of all heads */
	return HTTP_MORE;
}

/* The line bytes[line..n-1] is complete, its CRLF included. */
static enum http_event end_line(struct http_head *h, const char **why)
{
	const char *p = h->bytes + h->line;
	size_t n = h->n - h->line;

	if (n < 2 || p[n - 2] != '\r' || memchr(p, '\0', n) != NULL ||
	    memchr(p, '\r', n - 2) != NULL) {
		*why = "a bare CR, LF or NUL in the head";
		return HTTP_ERROR;
	}
	n -= 2;
	h->line = h->n;
	if (n == 0 && h->status != 0)
		return end_head(h, why);
	if (h->status != 0)
		*why = parse_field(h, p, n);
	else if (n > 0 || h->n > 2) /* one CRLF may come first */
		*why = parse_status(h, p, n);
	return *why == NULL ? HTTP_MORE : HTTP_ERROR;
}

enum http_event http_head_next(struct http_head *h, const unsigned char *in,
			       size_t n, size_t *used, const char **why)
{
	static const char start[] = "HTTP/1.";
	enum http_event event = HTTP_MORE;
	size_t i, at;

	*why = NULL;
	for (i = 0; i < n && event == HTTP_MORE; i++) {
		if (h->n == sizeof h->bytes) {
			*why = "a response head of more than 16 KiB";
			return HTTP_ERROR;
		}
		at = h->n - h->line;
		h->bytes[h->n++] = (char)in[i];
		if (in[i] == '\n') {
			event = end_line(h, why);
		} else if (h->status == 0 && at < sizeof start - 1 &&
			   in[i] != (unsigned char)start[at] &&
			   (h->n > 1 || in[i] != '\r')) {
			/* no HTTP: say so at once */
			*why = BAD_START;
			event = HTTP_ERROR;
		}
	}
	*used = i;
	return event;
}

void http_body_init(struct http_body *b, const struct http_head *h)
{
	memset(b, 0, sizeof *b);
	b->left = h->length;
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

/* Bytes of the framing, as far as they matter. */
enum kind { HEX, BLANK, SEMICOLON, CR, LF, NUL, OTHER, KINDS };

static enum kind kind_of(int c)
{
	if (text_hex(c) >= 0)
		return HEX;
	if (c == ' ' || c == '\t')
		return BLANK;
	return c == ';'    ? SEMICOLON
	       : c == '\r' ? CR
	       : c == '\n' ? LF
	       : c == '\0' ? NUL
			   : OTHER;
}

/* Chunks (RFC 9112, 7.1), without their data: where each kind of byte leads to
 * from each place, HTTP_BAD where it has no right to be; then this is wrong. An
 * extension and trailers are read over, but must end as lines do. */
static const struct {
	enum http_place next[KINDS];
	const char *error;
} framing[HTTP_PLACES] = {
	[CHUNK_SIZE_FIRST] = { { [HEX] = CHUNK_SIZE }, BAD_SIZE },
	[CHUNK_SIZE] = { { CHUNK_SIZE, CHUNK_SPACE, CHUNK_EXTENSION,
			   CHUNK_SIZE_LF },
			 BAD_SIZE },
	[CHUNK_SPACE] = { { HTTP_BAD, CHUNK_SPACE, CHUNK_EXTENSION,
			    CHUNK_SIZE_LF },
			  BAD_SIZE },
	[CHUNK_EXTENSION] = { { CHUNK_EXTENSION, CHUNK_EXTENSION,
				CHUNK_EXTENSION,
				CHUNK_SIZE_LF, [OTHER] = CHUNK_EXTENSION },
			      NO_CRLF },
	[CHUNK_SIZE_LF] = { { [LF] = CHUNK_DATA }, NO_CRLF },
	[CHUNK_CR] = { { [CR] = CHUNK_LF }, NO_CRLF },
	[CHUNK_LF] = { { [LF] = CHUNK_SIZE_FIRST }, NO_CRLF },
	[TRAILER_START] = { { TRAILER, TRAILER, TRAILER,
			      TRAILER_END_LF, [OTHER] = TRAILER },
			    BAD_TRAILER },
	[TRAILER] = { { TRAILER, TRAILER, TRAILER,
			TRAILER_LF, [OTHER] = TRAILER },
		      BAD_TRAILER },
	[TRAILER_LF] = { { [LF] = TRAILER_START }, BAD_TRAILER },
	[TRAILER_END_LF] = { { [LF] = BODY_DONE }, BAD_TRAILER },
};

/* One byte of the framing. A chunk's size with its extension, and all trailers,
 * are counted as lines, and the first bytes kept for an error. */
static const char *take_framing(struct http_body *b, int c)
{
	enum http_place from = b->place, to = framing[from].next[kind_of(c)];

	if (from == CHUNK_SIZE_FIRST)
		b->left = b->line = 0;
	if (b->line < sizeof b->begin)
		b->begin[b->line] = (char)c;
	b->line++;
	if (to == HTTP_BAD)
		return framing[from].error;
	if (b->line > HTTP_HEAD_MAX)
		return "chunk size, extension or trailers of more than 16 KiB";
	if (to == CHUNK_SIZE) {
		if (b->left >> 60 != 0)
			return "the chunk size overflows 64 bits";
		b->left = b->left << 4 | (uint64_t)text_hex(c);
	} else if (to == CHUNK_DATA && b->left == 0) {
		to = TRAILER_START; /* behind the last chunk */
		b->line = 0;
	}
	b->place = to;
	return NULL;
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

	data->error = NULL;
	while (i < n && !in_data(b) && b->place != BODY_DONE &&
	       data->error == NULL)
		data->error = take_framing(b, in[i++]);
	*used = i;
	data->p = in + i;
	data->n = n - i;
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
		b->place = b->place == CHUNK_DATA ? CHUNK_CR : BODY_DONE;
}
