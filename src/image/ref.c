/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar (distribution's "reference"):
 *	reference = name [ ":" tag ] [ "@" digest ]
 *	name      = [ domain "/" ] part { "/" part }
 *	domain    = host [ ":" port ], host = labels joined by ".", or an IPv6 address in brackets
 *	part      = a-z 0-9 runs, joined by one ".", one or two "_", or any number of "-"
 *	tag       = [A-Za-z0-9_] [A-Za-z0-9_.-]{0,127}
 * The first part is a domain when it has a "." or ":", is "localhost", or has upper-case letters. */
#include "image/ref.h"

#include <string.h>

#include "base/str.h"

#define DEFAULT_DOMAIN "docker.io"
#define LEGACY_DOMAIN "index.docker.io"
#define OFFICIAL "library/"

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || is_upper(c);
}

static bool part_is_valid(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t start = i;

		while (i < n && is_lower_alnum(p[i]))
			i++;
		if (i == start)
			return false;
		if (i == n)
			return true;
		start = i;
		if (p[i] == '.') {
			i++;
		} else if (p[i] == '_') {
			i += i + 1 < n && p[i + 1] == '_' ? 2 : 1;
		} else {
			while (i < n && p[i] == '-')
				i++;
		}
		if (i == start)
			return false;
	}
	return false;
}

static bool path_is_valid(const char *path)
{
	for (const char *p = path;;) {
		size_t n = strcspn(p, "/");

		if (!part_is_valid(p, n))
			return false;
		if (!p[n])
			return true;
		p += n + 1;
	}
}

static bool label_is_valid(const char *p, size_t n)
{
	if (n == 0 || !is_alnum(p[0]) || !is_alnum(p[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(p[i]) && p[i] != '-')
			return false;
	return true;
}

static bool port_is_valid(const char *p)
{
	size_t n = strlen(p);
	unsigned long port = 0;

	if (n == 0 || n > 5 || strspn(p, "0123456789") != n)
		return false;
	for (size_t i = 0; i < n; i++)
		port = port * 10 + (unsigned long)(p[i] - '0');
	return port >= 1 && port <= 65535;
}

static bool domain_is_valid(const char *domain)
{
	const char *p = domain;

	if (*p == '[') {
		size_t n = strspn(p + 1, "0123456789abcdefABCDEF:.");

		if (n < 2 || p[1 + n] != ']')
			return false;
		p += n + 2;
		return *p == '\0' || (*p == ':' && port_is_valid(p + 1));
	}
	for (;;) {
		size_t n = strcspn(p, ".:");

		if (!label_is_valid(p, n))
			return false;
		p += n;
		if (*p != '.')
			break;
		p++;
	}
	return *p == '\0' || port_is_valid(p + 1);
}

static bool tag_is_valid(const char *tag)
{
	size_t n = strlen(tag);

	if (n == 0 || n > IMAGE_REF_TAG_MAX || !(is_alnum(tag[0]) || tag[0] == '_'))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!is_alnum(tag[i]) && !strchr("_.-", tag[i]))
			return false;
	return true;
}

bool image_digest_is_valid(const char *text)
{
	return text && str_starts(text, "sha256:") && str_is_id(text + 7);
}

const char *image_digest_hex(const char *digest)
{
	return digest + 7;
}

static bool looks_like_domain(const char *p, size_t n)
{
	if (n == 9 && memcmp(p, "localhost", 9) == 0)
		return true;
	for (size_t i = 0; i < n; i++)
		if (p[i] == '.' || p[i] == ':' || p[i] == '[' || is_upper(p[i]))
			return true;
	return false;
}

/* Split domain and path of a name without tag and digest. */
static void split_name(const char *name, struct image_ref *ref)
{
	size_t n = strcspn(name, "/");

	if (name[n] && looks_like_domain(name, n)) {
		ref->domain = str_ndup(name, n);
		ref->path = str_dup(name + n + 1);
	} else {
		ref->domain = str_dup(DEFAULT_DOMAIN);
		ref->path = str_dup(name);
	}
	if (str_eq(ref->domain, LEGACY_DOMAIN))
		str_set(&ref->domain, DEFAULT_DOMAIN);
	if (str_eq(ref->domain, DEFAULT_DOMAIN) && !strchr(ref->path, '/')) {
		char *path = str_fmt(OFFICIAL "%s", ref->path);

		free(ref->path);
		ref->path = path;
	}
}

static int check(const struct image_ref *ref, const char *text, struct error *e)
{
	if (ref->digest && !image_digest_is_valid(ref->digest))
		return err_new(e, ERR_INVALID,
			       "image reference \"%s\": \"%s\" is not a digest (sha256: and 64 hex digits)",
			       text, ref->digest);
	if (ref->tag && !tag_is_valid(ref->tag))
		return err_new(e, ERR_INVALID, "image reference \"%s\": \"%s\" is not a tag", text, ref->tag);
	if (!domain_is_valid(ref->domain))
		return err_new(e, ERR_INVALID, "image reference \"%s\": \"%s\" is not a registry host", text,
			       ref->domain);
	if (!path_is_valid(ref->path))
		return err_new(e, ERR_INVALID,
			       "image reference \"%s\": \"%s\" is not a repository name (lower-case letters, "
			       "digits, "
			       "separators . _ -)",
			       text, ref->path);
	if (strlen(ref->domain) + 1 + strlen(ref->path) > IMAGE_REF_NAME_MAX)
		return err_new(e, ERR_INVALID,
			       "image reference \"%.64s...\": the name has more than %d bytes", text,
			       IMAGE_REF_NAME_MAX);
	return 0;
}

int image_ref_parse(const char *text, struct image_ref *ret, struct error *e)
{
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	cleanup_free char *name = NULL;
	char *at, *colon, *slash;
	int r;

	if (str_is_empty(text))
		return err_new(e, ERR_INVALID, "the image reference is empty");
	if (strlen(text) > IMAGE_REF_NAME_MAX + IMAGE_REF_TAG_MAX + 80)
		return err_new(e, ERR_INVALID, "image reference \"%.64s...\" is too long", text);
	if (str_is_id(text))
		return err_new(e, ERR_INVALID, "image reference \"%s\" is an image id, not a name", text);
	name = str_dup(text);
	at = strchr(name, '@');
	if (at) {
		ref.digest = str_dup(at + 1);
		*at = '\0';
	}
	slash = strrchr(name, '/');
	colon = strchr(slash ? slash : name, ':');
	if (colon) {
		ref.tag = str_dup(colon + 1);
		*colon = '\0';
	}
	split_name(name, &ref);
	r = check(&ref, text, e);
	if (r < 0)
		return r;
	if (!ref.tag && !ref.digest)
		ref.tag = str_dup("latest");
	*ret = ref;
	ref = IMAGE_REF_INIT;
	return 0;
}

void image_ref_done(struct image_ref *ref)
{
	free(ref->domain);
	free(ref->path);
	free(ref->tag);
	free(ref->digest);
	*ref = IMAGE_REF_INIT;
}

static char *with_suffix(const char *domain, const char *path, const char *tag, const char *digest)
{
	return str_fmt("%s%s%s%s%s%s%s", domain, *domain ? "/" : "", path, tag ? ":" : "", tag ? tag : "",
		       digest ? "@" : "", digest ? digest : "");
}

char *image_ref_name(const struct image_ref *ref)
{
	return with_suffix(ref->domain, ref->path, NULL, NULL);
}

char *image_ref_full(const struct image_ref *ref)
{
	return with_suffix(ref->domain, ref->path, ref->tag, ref->digest);
}

char *image_ref_tagged(const struct image_ref *ref)
{
	return ref->tag ? with_suffix(ref->domain, ref->path, ref->tag, NULL) : NULL;
}

char *image_ref_familiar(const struct image_ref *ref)
{
	const char *path = ref->path;

	/* A first part that would be read as a domain keeps the real one in front. */
	if (!str_eq(ref->domain, DEFAULT_DOMAIN) ||
	    (strchr(path, '/') && looks_like_domain(path, strcspn(path, "/"))))
		return image_ref_full(ref);
	/* "library/" is left out only where putting it back is certain. */
	if (str_starts(path, OFFICIAL) && !strchr(path + strlen(OFFICIAL), '/'))
		path += strlen(OFFICIAL);
	return with_suffix("", path, ref->tag, ref->digest);
}
