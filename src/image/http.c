/* SPDX-License-Identifier: Apache-2.0 */
#include "image/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

#define CONNECT_TIMEOUT_S 15L
/* A registry that sends nothing for this long is as good as gone. */
#define STALL_S 60L
#define REDIRECTS_MAX 5L
#define OTHER_BODY_MAX (64U << 10)

struct http {
	CURL *curl;
	const struct http_opts *o;
	char words[CURL_ERROR_SIZE];
};

/* One exchange, as the callbacks see it. */
struct exchange {
	struct http *h;
	const struct http_request *q;
	struct http_response *response;
	struct error error; /* of the sink, or LIMIT */
};

int http_new(const struct http_opts *o, struct http **ret, struct error *e)
{
	struct http *h = NEW(struct http);

	h->o = o;
	h->curl = curl_easy_init();
	if (!h->curl) {
		free(h);
		return err_new(e, ERR_INTERNAL, "libcurl does not start");
	}
	*ret = h;
	return 0;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	curl_easy_cleanup(h->curl);
	free(h);
}

void http_response_done(struct http_response *r)
{
	free(r->content_type);
	free(r->authenticate);
	free(r->digest);
	buf_done(&r->body);
	*r = (struct http_response){ 0 };
}

/* The value of the header when the line is one of this name, as a new string. */
static char *header_value(const char *line, size_t n, const char *name)
{
	size_t len = strlen(name);

	if (n <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	line += len + 1;
	n -= len + 1;
	while (n > 0 && (*line == ' ' || *line == '\t'))
		line++, n--;
	while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
		n--;
	return str_ndup(line, n);
}

static void take_header(struct http_response *r, const char *line, size_t n)
{
	cleanup_free char *range = NULL, *after = NULL;
	char *value;

	value = header_value(line, n, "content-type");
	if (value) {
		free(r->content_type);
		r->content_type = value;
		value[strcspn(value, "; ")] = '\0';
		return;
	}
	value = header_value(line, n, "www-authenticate");
	if (value) {
		/* Bearer before Basic when a registry offers both. */
		if (r->authenticate && strncasecmp(value, "bearer", 6) != 0) {
			free(value);
			return;
		}
		free(r->authenticate);
		r->authenticate = value;
		return;
	}
	value = header_value(line, n, "docker-content-digest");
	if (value) {
		free(r->digest);
		r->digest = value;
		return;
	}
	range = header_value(line, n, "content-range");
	if (range && strncasecmp(range, "bytes ", 6) == 0) {
		range[6 + strspn(range + 6, "0123456789")] = '\0';
		r->has_range = str_to_u64(range + 6, &r->range_start, NULL) == 0;
	}
	after = header_value(line, n, "retry-after");
	if (after && str_to_u64(after, &r->retry_after_s, NULL) < 0)
		r->retry_after_s = 0;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;

	n *= size;
	/* A new status line: what was collected belongs to a redirect or a proxy. */
	if (n > 5 && memcmp(line, "HTTP/", 5) == 0)
		http_response_done(x->response);
	else
		take_header(x->response, line, n);
	return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	struct buf *body = &x->response->body;
	long status = 0;

	n *= size;
	curl_easy_getinfo(x->h->curl, CURLINFO_RESPONSE_CODE, &status);
	x->response->status = status;
	if (status / 100 != 2) {
		if (body->len < OTHER_BODY_MAX)
			buf_add(body, data, n < OTHER_BODY_MAX - body->len ? n : OTHER_BODY_MAX - body->len);
		return n;
	}
	if (x->q->sink)
		return x->q->sink(x->q->sink_arg, data, n, &x->error) < 0 ? 0 : n;
	if (n > x->q->max_bytes - body->len) {
		err_new(&x->error, ERR_LIMIT, "the answer has more than %llu bytes",
			(unsigned long long)x->q->max_bytes);
		return 0;
	}
	buf_add(body, data, n);
	return n;
}

static void set_tls(struct http *h, const struct registry_endpoint *endpoint)
{
	struct curl_blob blob = { .flags = CURL_BLOB_NOCOPY };

	if (endpoint->insecure) {
		curl_easy_setopt(h->curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(h->curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	for (size_t i = 0; endpoint->ca && i < h->o->ca_count; i++)
		if (str_eq(h->o->cas[i].path, endpoint->ca)) {
			blob.data = h->o->cas[i].pem.data;
			blob.len = h->o->cas[i].pem.len;
			curl_easy_setopt(h->curl, CURLOPT_CAINFO_BLOB, &blob);
		}
}

static void set_options(struct exchange *x, const struct registry_endpoint *endpoint)
{
	CURL *c = x->h->curl;
	const struct http_request *q = x->q;
	char range[32];

	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_URL, q->url);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, x->h->words);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "hull/" HULL_VERSION);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	/* A registry that speaks TLS may not lead us to a place that does not. */
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
			 str_starts(q->url, "https:") ? "https" : "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_S);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	/* Not CURLOPT_RESUME_FROM: with that, a server that sends all from the start is an error to curl. */
	if (q->range_from > 0) {
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)q->range_from);
		curl_easy_setopt(c, CURLOPT_RANGE, range);
	}
	if (q->form)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->form);
	set_tls(x->h, endpoint);
}

/* A header list that is wiped when it goes: one of them is a secret. */
static void wipe_headers(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
	char *line;

	if (!value)
		return list;
	line = str_fmt("%s: %s", name, value);
	list = curl_slist_append(list, line);
	explicit_bzero(line, strlen(line));
	free(line);
	return list;
}

/* What curl's codes mean to the caller: nearly all of them, that the registry is not there. */
static int transfer_failed(struct exchange *x, CURLcode code, struct error *e)
{
	const char *words = x->h->words[0] ? x->h->words : curl_easy_strerror(code);
	const char *host = strstr(x->q->url, "://");

	host = host ? host + 3 : x->q->url;
	if (x->error.kind) {
		*e = x->error;
		return -x->error.kind;
	}
	switch (code) {
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_TOO_MANY_REDIRECTS:
		return err_new(e, ERR_INVALID, "registry host \"%.*s\": %s", (int)strcspn(host, "/"), host,
			       words);
	default:
		return err_new(e, ERR_UNAVAILABLE, "registry host \"%.*s\": %s", (int)strcspn(host, "/"),
			       host, words);
	}
}

int http_send(struct http *h, const struct registry_endpoint *endpoint, const struct http_request *q,
	      struct http_response *ret, struct error *e)
{
	struct exchange x = { .h = h, .q = q, .response = ret, .error = ERROR_INIT };
	struct curl_slist *headers = NULL;
	CURLcode code;

	set_options(&x, endpoint);
	headers = add_header(headers, "Accept", q->accept);
	headers = add_header(headers, "Authorization", q->authorization);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
	h->words[0] = '\0';
	code = curl_easy_perform(h->curl);
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &ret->status);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
	wipe_headers(headers);
	return code == CURLE_OK ? 0 : transfer_failed(&x, code, e);
}
