/* SPDX-License-Identifier: Apache-2.0 */
#include "image/registries.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define URL_MAX 2048

bool registry_host_is_loopback(const char *host)
{
	size_t n = strcspn(host, ":");

	if (str_starts(host, "[::1]"))
		return host[5] == '\0' || host[5] == ':';
	if (n == 9 && memcmp(host, "localhost", 9) == 0)
		return true;
	/* 127.0.0.0/8 as four numbers; a name such as 127.example.org is not it. */
	return n > 4 && str_starts(host, "127.") && strspn(host, "0123456789.") == n;
}

static bool url_is_valid(const char *url)
{
	const char *host = strstr(url, "://");
	size_t n;

	if (strlen(url) > URL_MAX)
		return false;
	if (host && !str_starts(url, "http://") && !str_starts(url, "https://"))
		return false;
	host = host ? host + 3 : url;
	n = strcspn(host, "/");
	/* A user name in an url would end in logs and messages; credentials come with each pull. */
	if (n == 0 || memchr(host, '@', n))
		return false;
	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p >= 127 || strchr("?#\"\\<>", *p))
			return false;
	return true;
}

static bool prefix_is_valid(const char *prefix)
{
	size_t n = prefix ? strlen(prefix) : 0;

	if (n == 0 || n > IMAGE_REF_NAME_MAX + IMAGE_REF_TAG_MAX)
		return false;
	if (str_eq(prefix, "*"))
		return true;
	for (const char *p = prefix; *p; p++)
		if (*p <= ' ' || *p >= 127 || *p == '*')
			return false;
	return prefix[n - 1] != '/';
}

int registries_check(const struct registries *r, struct error *e)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct registry_config *c = &r->v[i];

		if (!prefix_is_valid(c->prefix))
			return err_new(e, ERR_INVALID,
				       "registries[%zu].prefix \"%s\" is neither \"*\" nor the beginning of "
				       "a reference",
				       i, c->prefix ? c->prefix : "");
		for (size_t j = 0; j < i; j++)
			if (str_eq(c->prefix, r->v[j].prefix))
				return err_new(e, ERR_INVALID, "registries[%zu].prefix \"%s\" is there twice",
					       i, c->prefix);
		for (size_t j = 0; j < c->mirror_count; j++)
			if (!c->mirrors[j].url || !url_is_valid(c->mirrors[j].url))
				return err_new(e, ERR_INVALID,
					       "registries[%zu].mirrors[%zu].url \"%s\" is not "
					       "http(s)://host[:port][/path]",
					       i, j, c->mirrors[j].url ? c->mirrors[j].url : "");
	}
	return 0;
}

/* Does the prefix match the full reference, up to a boundary of its grammar? */
static bool matches(const char *prefix, const char *full)
{
	size_t n = strlen(prefix);

	return strncmp(prefix, full, n) == 0 && (full[n] == '\0' || strchr("/:@", full[n]));
}

static const struct registry_config *find(const struct registries *r, const struct image_ref *ref)
{
	cleanup_free char *full = image_ref_full(ref);
	const struct registry_config *best = NULL;

	for (size_t i = 0; r && i < r->n; i++) {
		const struct registry_config *c = &r->v[i];

		if (str_eq(c->prefix, "*")) {
			if (!best)
				best = c;
		} else if (matches(c->prefix, full) &&
			   (!best || str_eq(best->prefix, "*") || strlen(c->prefix) > strlen(best->prefix))) {
			best = c;
		}
	}
	return best;
}

/* The url with a scheme and without slashes at its end. */
static char *complete_url(const char *url)
{
	char *out = strstr(url, "://")
			    ? str_dup(url)
			    : str_fmt("%s://%s", registry_host_is_loopback(url) ? "http" : "https", url);

	for (size_t n = strlen(out); n > 0 && out[n - 1] == '/'; n--)
		out[n - 1] = '\0';
	return out;
}

void registries_resolve(const struct registries *r, const struct image_ref *ref,
			struct registry_endpoint **ret, size_t *ret_count)
{
	const struct registry_config *c = find(r, ref);
	size_t n = c ? c->mirror_count : 0;
	struct registry_endpoint *v = mem_array(n + 2, sizeof(*v));
	const char *origin = str_eq(ref->domain, "docker.io") ? "registry-1.docker.io" : ref->domain;

	for (size_t i = 0; i < n; i++)
		v[i] = (struct registry_endpoint){ .url = complete_url(c->mirrors[i].url),
						   .ca = str_dup(c->mirrors[i].ca),
						   .insecure = c->mirrors[i].insecure,
						   .is_mirror = true };
	v[n] = (struct registry_endpoint){
		.url = complete_url(origin),
		.ca = str_dup(c ? c->ca : NULL),
		.insecure = c && c->insecure,
	};
	n++;
	/* "insecure" allows plain http too, where nobody speaks https. */
	if (c && c->insecure && str_starts(v[n - 1].url, "https:"))
		v[n++] = (struct registry_endpoint){ .url = str_fmt("http://%s", origin) };
	*ret = v;
	*ret_count = n;
}

void registry_endpoints_free(struct registry_endpoint *v, size_t n)
{
	for (size_t i = 0; v && i < n; i++) {
		free(v[i].url);
		free(v[i].ca);
	}
	free(v);
}

void registries_copy(const struct registries *from, struct registries *ret)
{
	*ret = (struct registries){ .v = mem_array(from->n + 1, sizeof(*ret->v)), .n = from->n };
	for (size_t i = 0; i < from->n; i++) {
		const struct registry_config *c = &from->v[i];
		struct registry_config *d = &ret->v[i];

		*d = (struct registry_config){ .prefix = str_dup(c->prefix),
					       .mirrors = mem_array(c->mirror_count + 1, sizeof(*d->mirrors)),
					       .mirror_count = c->mirror_count,
					       .ca = str_dup(c->ca),
					       .insecure = c->insecure };
		for (size_t j = 0; j < c->mirror_count; j++)
			d->mirrors[j] = (struct registry_endpoint){ .url = str_dup(c->mirrors[j].url),
								    .ca = str_dup(c->mirrors[j].ca),
								    .insecure = c->mirrors[j].insecure,
								    .is_mirror = true };
	}
}

void registries_done(struct registries *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].prefix);
		free(r->v[i].ca);
		registry_endpoints_free(r->v[i].mirrors, r->v[i].mirror_count);
	}
	free(r->v);
	*r = (struct registries){ 0 };
}
