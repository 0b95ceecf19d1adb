/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request at a time by libcurl, for the fetcher. A client belongs to one thread. */
#ifndef HULL_IMAGE_HTTP_H
#define HULL_IMAGE_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/registries.h"

/* CA files, read before the confinement; by the file's name in registry_endpoint.ca. */
struct http_ca {
	char *path;
	struct buf pem;
};

struct http_opts {
	const struct http_ca *cas;
	size_t ca_count;
};

struct http_request {
	const char *url;
	const char *accept; /* value of Accept, or NULL */
	const char
		*authorization; /* value of Authorization, or NULL; not sent to other hosts by a redirect */
	const char *form;	/* body of a POST, or NULL: GET */
	uint64_t range_from;	/* > 0: ask for the bytes from here on */
	/* Takes the body of a 2xx answer; of others the begin is kept in response.body. Returns 0 or -kind.
	 */
	int (*sink)(void *arg, const void *data, size_t n, struct error *e);
	void *sink_arg;
	uint64_t max_bytes; /* without a sink: of the body */
};

struct http_response {
	long status;
	char *content_type, *authenticate, *digest; /* WWW-Authenticate, Docker-Content-Digest */
	uint64_t retry_after_s;
	uint64_t range_start; /* of a 206, from Content-Range */
	bool has_range;
	struct buf body;
};
void http_response_done(struct http_response *r);
DEFINE_CLEANUP_VALUE(struct http_response, http_response_done)

struct http;
int http_new(const struct http_opts *o, struct http **ret, struct error *e) MUST_USE;
void http_free(struct http *h);
DEFINE_CLEANUP(struct http, http_free)

/* Send, follow redirects, receive. Any status is success. ret is empty before; it is filled as the answer
 * comes, so that a sink may look at status and headers, and is to be released also after a failure.
 * Fails: UNAVAILABLE (host and curl's words; the body may have been given in part), LIMIT, as sink did. */
int http_send(struct http *h, const struct registry_endpoint *endpoint, const struct http_request *q,
	      struct http_response *ret, struct error *e) MUST_USE;

#endif
