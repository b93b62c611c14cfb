#include "request.h"

#include <string.h>

const char *request_url(struct request *r, const char *url)
{
	const char *why = http_url_parse(&r->url, url), *p = r->url.query;
	struct text t = text_in(r->decoded, sizeof r->decoded);
	size_t n, name;

	/* What the query says is signed, too (RFC 5849, 3.4.1.3.1). */
	for (r->nquery = 0; why == NULL && *p != '\0'; p += n + (p[n] == '&')) {
		n = strcspn(p, "&");
		name = strcspn(p, "=&");
		if (n == 0)
			continue;
		if (r->nquery == PARAMS_MAX)
			return "its query has too many parameters";
		r->query[r->nquery].name = t.p + t.n;
		if (!percent_decode(&t, p, name, ' '))
			why = "its query has a % that is not %XX";
		text_mem(&t, "", 1);
		r->query[r->nquery++].value = t.p + t.n;
		if (name < n &&
		    !percent_decode(&t, p + name + 1, n - name - 1, ' '))
			why = "its query has a % that is not %XX";
		text_mem(&t, "", 1);
	}
	return why;
}

bool request_param(struct request *r, const char *name, const char *value)
{
	if (r->nparams == PARAMS_MAX)
		return false;
	r->params[r->nparams++] = (struct param){ name, value };
	return true;
}

void request_replace(struct request *r, const char *name, const char *value)
{
	size_t i, n = 0;

	for (i = 0; i < r->nparams; i++)
		if (strcmp(r->params[i].name, name) != 0)
			r->params[n++] = r->params[i];
	r->nparams = n;
	if (value != NULL)
		request_param(r, name, value);
}

static bool has_header(const struct request *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->nheaders; i++)
		if (text_is_word(r->headers[i], strcspn(r->headers[i], ":"),
				 name))
			return true;
	return false;
}

/* The request line and all headers but those of a body. */
static void put_head(const struct request *r, struct text *t)
{
	const char *form = r->get ? r->body : "";
	size_t i;

	text_str(t, r->get ? "GET " : "POST ");
	text_str(t, r->url.base + r->url.path);
	text_str(t, r->url.query[0] != '\0' || *form != '\0' ? "?" : "");
	text_str(t, r->url.query);
	text_str(t, r->url.query[0] != '\0' && *form != '\0' ? "&" : "");
	text_str(t, form);
	text_str(t, " HTTP/1.1\r\nHost: ");
	http_host(t, &r->url);
	if (!has_header(r, "User-Agent"))
		text_str(t, "\r\nUser-Agent: tstream/" TSTREAM_VERSION);
	text_str(t, "\r\nAccept-Encoding: identity\r\n");
	for (i = 0; i < r->nheaders; i++) {
		text_str(t, r->headers[i]);
		text_str(t, "\r\n");
	}
}

static void hide(struct request *r, enum secret which, const char *value)
{
	secret_set(&r->secrets, which, value, strlen(value));
}

void request_keys(struct request *r, const struct keys *k)
{
	char pair[2 * KEY_SIZE];
	struct text t = text_in(r->authorization, sizeof r->authorization);
	struct text both = text_in(pair, sizeof pair);

	if (r->auth == AUTH_OAUTH1) {
		memcpy(r->oauth.consumer_key, k->value[KEY_CONSUMER], KEY_SIZE);
		memcpy(r->oauth.token, k->value[KEY_TOKEN], KEY_SIZE);
		oauth1_key(&r->oauth, k->value[KEY_CONSUMER_SECRET],
			   k->value[KEY_TOKEN_SECRET]);
		hide(r, SECRET_CONSUMER_KEY, k->value[KEY_CONSUMER]);
		hide(r, SECRET_TOKEN, k->value[KEY_TOKEN]);
	} else if (r->auth == AUTH_BEARER) {
		text_str(&t, "Bearer ");
		text_str(&t, k->value[KEY_BEARER]);
		hide(r, SECRET_TOKEN, k->value[KEY_BEARER]);
	} else if (r->auth == AUTH_BASIC) {
		text_str(&both, k->value[KEY_USER]);
		text_str(&both, ":");
		text_str(&both, k->value[KEY_PASSWORD]);
		text_str(&t, "Basic ");
		text_base64(&t, pair, both.n);
		hide(r, SECRET_BASIC, strchr(t.p, ' ') + 1);
		hide(r, SECRET_PASSWORD, k->value[KEY_PASSWORD]);
		explicit_bzero(pair, sizeof pair);
	}
}

/* The Authorization header, and for OAuth the base string. */
static void put_authorization(struct request *r, struct text *t,
			      struct text *base, const char *nonce,
			      uint64_t unix_time)
{
	struct param all[PARAMS_MAX];
	char stamp[24], mac[OAUTH1_SIGNATURE + 1];
	struct text time = text_in(stamp, sizeof stamp);
	struct text signature = text_in(mac, sizeof mac);
	const struct oauth1_request sign = {
		r->get ? "GET" : "POST", r->url.base, all,
		r->nquery + r->nparams,  nonce,       stamp
	};

	if (r->auth == AUTH_NONE)
		return;
	text_u64(&time, unix_time);
	memcpy(all, r->query, r->nquery * sizeof all[0]);
	memcpy(all + r->nquery, r->params, r->nparams * sizeof all[0]);
	text_str(t, "Authorization: ");
	if (r->auth == AUTH_OAUTH1)
		oauth1_sign(&r->oauth, &sign, base, &signature, t);
	else
		text_str(t, r->authorization);
	text_str(t, "\r\n");
	secret_set(&r->secrets, SECRET_SIGNATURE, mac, signature.n);
	explicit_bzero(mac, sizeof mac);
}

bool request_build(struct request *r, const char *nonce, uint64_t unix_time)
{
	struct text head = text_in(r->head, sizeof r->head);
	struct text body = text_in(r->body, sizeof r->body);
	struct text base = text_in(r->base, sizeof r->base);

	if (r->nquery + r->nparams > PARAMS_MAX)
		return false;
	form_encode(&body, r->params, r->nparams, false);
	put_head(r, &head);
	put_authorization(r, &head, &base, nonce, unix_time);
	if (!r->get) {
		text_str(&head, "Content-Type: "
				"application/x-www-form-urlencoded\r\n"
				"Content-Length: ");
		text_u64(&head, body.n);
		text_str(&head, "\r\n");
	}
	text_str(&head, "\r\n");
	r->head_n = head.n;
	r->body_n = r->get ? 0 : body.n;
	r->base_n = base.n;
	return !head.full && !body.full && !base.full;
}

const char *request_next_line(const char **p, size_t *n, size_t *size)
{
	static const char proxys[] = "Proxy-Authorization: (left out)";
	const char *line = *p, *end = memchr(line, '\n', *n), *shown = proxys;
	size_t name;

	if (*n == 0)
		return NULL;
	*size = end == NULL ? *n : (size_t)(end - line);
	*p += *size + (end != NULL);
	*n -= *size + (end != NULL);
	if (end != NULL && *size > 0 && end[-1] == '\r')
		--*size;
	if (*line != 'P')
		shown += sizeof "Proxy-" - 1;
	name = strcspn(shown, " ");
	if (*size < name || memcmp(line, shown, name) != 0)
		return line;
	*size = strlen(shown);
	return shown;
}

void request_wipe(struct request *r)
{
	explicit_bzero(r->head, r->head_n);
	explicit_bzero(r->body, r->body_n);
	explicit_bzero(r->base, r->base_n);
	r->head_n = r->body_n = r->base_n = 0;
}

void request_end(struct request *r)
{
	request_wipe(r);
	secret_set(&r->secrets, SECRET_SIGNATURE, "", 0);
}
