/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials are only sent in answer to a challenge, to the endpoint that they are for (server_address,
 * when CRI gave one) and to the token service that this endpoint names. A token service without TLS gets
 * none from an endpoint with TLS. */
#include "image/auth.h"

#include <ctype.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"

#define TOKEN_ANSWER_MAX (256U << 10)
#define TOKENS_MAX 64

struct auth_token {
	struct auth_token *next;
	char *url, *scope, *value; /* value: as Authorization wants it */
};

void auth_wipe(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void auth_challenge_done(struct auth_challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct auth_challenge){ 0 };
}

/* A token or a quoted string (RFC 7235 2.1) at *p; moves *p behind it. */
static char *parameter_value(const char **p)
{
	char *out, *o;

	if (**p != '"') {
		size_t n = strcspn(*p, ", \t");

		out = str_ndup(*p, n);
		*p += n;
		return out;
	}
	out = o = str_dup(++*p);
	while (**p && **p != '"') {
		if (**p == '\\' && (*p)[1])
			++*p;
		*o++ = *(*p)++;
	}
	*o = '\0';
	if (**p == '"')
		++*p;
	return out;
}

static void take_parameter(struct auth_challenge *c, const char *name, size_t n, char *value)
{
	char **field = NULL;

	if (n == 5 && strncasecmp(name, "realm", n) == 0)
		field = &c->realm;
	else if (n == 7 && strncasecmp(name, "service", n) == 0)
		field = &c->service;
	else if (n == 5 && strncasecmp(name, "scope", n) == 0)
		field = &c->scope;
	if (!field || *field) {
		free(value);
		return;
	}
	*field = value;
}

int auth_challenge_parse(const char *header, struct auth_challenge *ret, struct error *e)
{
	CLEANUP(auth_challenge_done) struct auth_challenge c = { 0 };
	size_t n = strcspn(header, " \t");
	const char *p = header + n;

	if (n == 6 && strncasecmp(header, "bearer", 6) == 0)
		c.is_bearer = true;
	else if (n != 5 || strncasecmp(header, "basic", 5) != 0)
		return err_new(e, ERR_UNSUPPORTED, "the registry wants authentication of kind \"%.*s\"",
			       (int)(n < 64 ? n : 64), header);
	for (;;) {
		const char *name;

		p += strspn(p, " \t,");
		if (!*p)
			break;
		name = p;
		n = strcspn(p, "= \t,");
		p += n;
		p += strspn(p, " \t");
		if (n == 0 || *p != '=')
			break; /* the next challenge of the same header, or nonsense: what we have must do */
		p++;
		p += strspn(p, " \t");
		take_parameter(&c, name, n, parameter_value(&p));
	}
	if (c.is_bearer &&
	    (!c.realm || (!str_starts(c.realm, "https://") && !str_starts(c.realm, "http://"))))
		return err_new(e, ERR_INVALID,
			       "the registry names no usable token service (realm \"%.200s\")",
			       c.realm ? c.realm : "");
	*ret = c;
	c = (struct auth_challenge){ 0 };
	return 0;
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

int auth_decode(const char *base64, char **ret_user, char **ret_password)
{
	size_t len = strlen(base64), out_len = 0;
	char *out, *colon;
	unsigned int bits = 0, have = 0;

	while (len > 0 && base64[len - 1] == '=')
		len--;
	out = mem_zalloc(len + 1);
	for (size_t i = 0; i < len; i++) {
		int digit = base64_digit(base64[i]);

		if (digit < 0) {
			auth_wipe(out);
			return -ERR_INVALID;
		}
		bits = bits << 6 | (unsigned int)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[out_len++] = (char)(bits >> have & 0xff);
		}
	}
	colon = memchr(out, ':', out_len);
	if (!colon || memchr(out, '\0', out_len)) {
		explicit_bzero(out, len);
		free(out);
		return -ERR_INVALID;
	}
	*ret_user = str_ndup(out, (size_t)(colon - out));
	*ret_password = str_dup(colon + 1);
	auth_wipe(out);
	return 0;
}

int auth_init(struct auth *a, const char *const fields[AUTH_FIELDS], struct error *e)
{
	*a = (struct auth){ 0 };
	pthread_mutex_init(&a->lock, NULL);
	if (*fields[2] && auth_decode(fields[2], &a->username, &a->password) < 0)
		return err_new(e, ERR_INVALID, "AuthConfig.auth is not the base64 form of user:password");
	if (!a->username && *fields[0]) {
		a->username = str_dup(fields[0]);
		a->password = str_dup(fields[1]);
	}
	if (*fields[3])
		a->server = str_dup(fields[3]);
	if (*fields[4])
		a->identity_token = str_dup(fields[4]);
	if (*fields[5])
		a->registry_token = str_dup(fields[5]);
	return 0;
}

void auth_done(struct auth *a)
{
	auth_wipe(a->username);
	auth_wipe(a->password);
	auth_wipe(a->identity_token);
	auth_wipe(a->registry_token);
	free(a->server);
	while (a->tokens) {
		struct auth_token *t = a->tokens;

		a->tokens = t->next;
		auth_wipe(t->value);
		free(t->url);
		free(t->scope);
		free(t);
	}
	pthread_mutex_destroy(&a->lock);
	*a = (struct auth){ 0 };
}

/* The host[:port] in an url or bare server address. */
static void host_of(const char *url, char *out, size_t size)
{
	const char *host = strstr(url, "://");
	size_t n;

	host = host ? host + 3 : url;
	n = strcspn(host, "/");
	if (n >= size)
		n = size - 1;
	memcpy(out, host, n);
	out[n] = '\0';
	if (str_eq(out, "docker.io") || str_eq(out, "index.docker.io") || str_eq(out, "registry-1.docker.io"))
		strcpy(out, "docker.io");
}

static bool is_for(const struct auth *a, const struct registry_endpoint *endpoint)
{
	char want[256], have[256];

	if (!a->server)
		return true;
	host_of(a->server, want, sizeof(want));
	host_of(endpoint->url, have, sizeof(have));
	return strcasecmp(want, have) == 0;
}

char *auth_known(struct auth *a, const struct registry_endpoint *endpoint, const char *scope)
{
	char *found = NULL;

	if (a->registry_token && is_for(a, endpoint))
		return str_fmt("Bearer %s", a->registry_token);
	pthread_mutex_lock(&a->lock);
	for (struct auth_token *t = a->tokens; t && !found; t = t->next)
		if (str_eq(t->url, endpoint->url) && str_eq(t->scope, scope))
			found = str_dup(t->value);
	pthread_mutex_unlock(&a->lock);
	return found;
}

static void remember(struct auth *a, const struct registry_endpoint *endpoint, const char *scope,
		     const char *value)
{
	struct auth_token *t;
	size_t n = 0;

	pthread_mutex_lock(&a->lock);
	for (t = a->tokens; t; t = t->next, n++)
		if (str_eq(t->url, endpoint->url) && str_eq(t->scope, scope))
			break;
	if (!t && n < TOKENS_MAX) {
		t = NEW(struct auth_token);
		t->url = str_dup(endpoint->url);
		t->scope = str_dup(scope);
		t->next = a->tokens;
		a->tokens = t;
	}
	if (t) {
		auth_wipe(t->value);
		t->value = str_dup(value);
	}
	pthread_mutex_unlock(&a->lock);
}

/* "Basic <base64>"; NULL without a user name. */
static char *basic_value(const struct auth *a)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *plain, *out, *o;
	size_t n;

	if (!a->username)
		return NULL;
	plain = str_fmt("%s:%s", a->username, a->password);
	n = strlen(plain);
	out = mem_zalloc(6 + (n + 2) / 3 * 4 + 1);
	o = stpcpy(out, "Basic ");
	for (size_t i = 0; i < n; i += 3) {
		unsigned int bits = (unsigned int)(unsigned char)plain[i] << 16;

		if (i + 1 < n)
			bits |= (unsigned int)(unsigned char)plain[i + 1] << 8;
		if (i + 2 < n)
			bits |= (unsigned char)plain[i + 2];
		*o++ = digits[bits >> 18 & 63];
		*o++ = digits[bits >> 12 & 63];
		*o++ = i + 1 < n ? digits[bits >> 6 & 63] : '=';
		*o++ = i + 2 < n ? digits[bits & 63] : '=';
	}
	auth_wipe(plain);
	return out;
}

static void add_parameter(struct buf *b, const char *name, const char *value)
{
	char *escaped;

	if (!value)
		return;
	escaped = curl_easy_escape(NULL, value, (int)strlen(value));
	if (b->len)
		buf_addc(b, '&');
	buf_addf(b, "%s=%s", name, escaped ? escaped : "");
	curl_free(escaped);
}

static int read_token(struct http_response *response, char **ret, struct error *e)
{
	cleanup_json struct json_object *doc = NULL;
	const char *token = NULL;
	int r;

	r = json_parse_object(buf_str(&response->body), response->body.len, TOKEN_ANSWER_MAX, &doc, e);
	if (r >= 0)
		r = json_get_str(doc, "token", &token, e);
	if (r >= 0 && !token)
		r = json_get_str(doc, "access_token", &token, e);
	if (r < 0)
		return err_kind(e, ERR_UNAVAILABLE);
	if (str_is_empty(token) || strpbrk(token, "\r\n"))
		return err_new(e, ERR_UNAVAILABLE, "it gives no token");
	*ret = str_fmt("Bearer %s", token);
	return 0;
}

/* Ask the token service: by GET with Basic, or with a refresh token by POST (the OAuth2 form). */
static int fetch_token(struct auth *a, struct http *h, const struct registry_endpoint *endpoint,
		       const struct auth_challenge *c, const char *scope, bool may_send, char **ret,
		       struct error *e)
{
	CLEANUP(http_response_done) struct http_response response = { 0 };
	cleanup_buf struct buf query = BUF_INIT;
	cleanup_free char *url = NULL;
	char *basic = may_send && !a->identity_token ? basic_value(a) : NULL;
	bool is_post = may_send && a->identity_token;
	struct http_request q = { .authorization = basic, .max_bytes = TOKEN_ANSWER_MAX };
	int r;

	add_parameter(&query, "service", c->service);
	add_parameter(&query, "scope", c->scope ? c->scope : scope);
	if (is_post) {
		add_parameter(&query, "client_id", "hull");
		add_parameter(&query, "grant_type", "refresh_token");
		add_parameter(&query, "refresh_token", a->identity_token);
		q.form = buf_str(&query);
		url = str_dup(c->realm);
	} else {
		url = str_fmt("%s%s%s", c->realm, strchr(c->realm, '?') ? "&" : "?", buf_str(&query));
	}
	q.url = url;
	r = http_send(h, endpoint, &q, &response, e);
	auth_wipe(basic);
	if (query.data)
		explicit_bzero(query.data, query.len);
	if (r == 0 && (response.status == 401 || response.status == 403))
		r = err_new(e, ERR_AUTH, "it answers %ld: %s", response.status,
			    may_send ? "the credentials are refused" : "it wants credentials");
	else if (r == 0 && response.status != 200)
		r = err_new(e, ERR_UNAVAILABLE, "it answers %ld", response.status);
	if (r == 0)
		r = read_token(&response, ret, e);
	if (response.body.data)
		explicit_bzero(response.body.data, response.body.len);
	return r < 0 ? err_ctx(e, "token service \"%.200s\"", c->realm) : 0;
}

int auth_answer(struct auth *a, struct http *h, const struct registry_endpoint *endpoint, const char *scope,
		const char *header, const char *used, char **ret, struct error *e)
{
	CLEANUP(auth_challenge_done) struct auth_challenge c = { 0 };
	bool has_some = a->username || a->identity_token;
	bool may_send = has_some && is_for(a, endpoint);
	char *value = NULL;
	int r;

	if (!header)
		return err_new(e, ERR_AUTH, "the registry answers 401 and does not say how to authenticate");
	r = auth_challenge_parse(header, &c, e);
	if (r < 0)
		return err_kind(e, ERR_AUTH);
	if (!c.is_bearer) {
		value = may_send ? basic_value(a) : NULL;
		if (!value)
			return err_new(e, ERR_AUTH, "the registry wants a user name and password%s",
				       has_some ? "; the credentials given are for another host"
						: ", none were given");
		if (str_eq(value, used)) {
			auth_wipe(value);
			return err_new(e, ERR_AUTH, "the registry refuses the user name or password");
		}
	} else {
		if (may_send && str_starts(endpoint->url, "https:") && !str_starts(c.realm, "https:"))
			return err_new(e, ERR_AUTH,
				       "the registry names a token service without TLS, \"%.200s\": no "
				       "credentials are sent there",
				       c.realm);
		r = fetch_token(a, h, endpoint, &c, scope, may_send, &value, e);
		if (r < 0)
			return r;
		if (str_eq(value, used)) {
			auth_wipe(value);
			return err_new(e, ERR_AUTH, "the registry refuses the token of \"%.200s\"", c.realm);
		}
	}
	remember(a, endpoint, scope, value);
	*ret = value;
	return 0;
}
