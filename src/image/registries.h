/* SPDX-License-Identifier: Apache-2.0 */
/* Where images come from: the configured registries and their mirrors, and credentials. */
#ifndef HULL_IMAGE_REGISTRIES_H
#define HULL_IMAGE_REGISTRIES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"
#include "image/ref.h"

/* One place to fetch from. */
struct registry_endpoint {
	char *url;     /* scheme://host[:port][/path], no slash at the end; "/v2/..." goes behind it */
	char *ca;      /* PEM file of certificate authorities to trust instead of the system's, or NULL */
	bool insecure; /* do not verify the certificate */
	bool is_mirror;
};

/* The configuration of the references that start with prefix, at a '/' (or ':' or '@') boundary:
 * "registry.k8s.io", "quay.io/team"; "*" is for all that no other matches; the longest match wins. */
struct registry_config {
	char *prefix;
	struct registry_endpoint *mirrors; /* in order; url without a scheme is https (http for loopback) */
	size_t mirror_count;
	char *ca;      /* of the origin */
	bool insecure; /* of the origin: https without verifying, then plain http when nobody speaks https */
};
struct registries {
	struct registry_config *v;
	size_t n;
};

void registries_copy(const struct registries *from, struct registries *ret);
void registries_done(struct registries *r);
DEFINE_CLEANUP_VALUE(struct registries, registries_done)

/* Check prefixes and urls. Fails: INVALID, naming the entry. */
int registries_check(const struct registries *r, struct error *e) MUST_USE;

/* The endpoints for a reference in order: the mirrors, then the origin (https, http for loopback hosts).
 * docker.io's origin is registry-1.docker.io. The caller frees with registry_endpoints_free(). */
void registries_resolve(const struct registries *r, const struct image_ref *ref,
			struct registry_endpoint **ret, size_t *ret_count);
void registry_endpoints_free(struct registry_endpoint *v, size_t n);
/* "localhost", 127.0.0.0/8 and [::1], with or without a port. */
bool registry_host_is_loopback(const char *host);

/* The AuthConfig of CRI; each may be NULL or "". Borrowed. Never logged, never in argv or the
 * environment; what is copied is wiped after use. */
struct image_auth {
	const char *username, *password;
	const char *auth;	    /* base64 of "username:password" */
	const char *server_address; /* when set and of another host: the rest is not used */
	const char *identity_token; /* OAuth2 refresh token */
	const char *registry_token; /* bearer token, sent as it is */
};

#endif
