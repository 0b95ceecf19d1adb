/* SPDX-License-Identifier: Apache-2.0 */
/* The request: what hulld wants, with the credentials, and the CA files that it names. All of it is
 * read before the process is confined. */
#include "image/fetcher_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

#define CA_MAX_BYTES (8U << 20)
#define ENDPOINTS_MAX 64

static int read_endpoints(struct fetcher *f, struct json_object *o, struct error *e)
{
	struct json_object *list = NULL;
	int r = json_need(json_get_array(o, "endpoints", &list, e), "endpoints", e);

	if (r < 0)
		return r;
	f->endpoint_count = json_object_array_length(list);
	if (f->endpoint_count == 0 || f->endpoint_count > ENDPOINTS_MAX)
		return err_new(e, ERR_LIMIT, "%zu endpoints", f->endpoint_count);
	f->endpoints = mem_array(f->endpoint_count, sizeof(*f->endpoints));
	for (size_t i = 0; i < f->endpoint_count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		const char *url = "", *ca = NULL;

		if (json_get_str(item, "url", &url, e) < 0 || json_get_str(item, "ca", &ca, e) < 0 ||
		    json_get_bool(item, "insecure", &f->endpoints[i].insecure, e) < 0)
			return -e->kind;
		f->endpoints[i].url = str_dup(url);
		f->endpoints[i].ca = str_dup(ca);
	}
	return 0;
}

static int read_auth(struct fetcher *f, uint64_t n, struct error *e)
{
	const char *fields[AUTH_FIELDS];
	char *bytes, *p;
	size_t i = 0;
	int r;

	if (n > WIRE_AUTH_MAX)
		return err_new(e, ERR_LIMIT, "the credentials have more than %u bytes", WIRE_AUTH_MAX);
	bytes = mem_zalloc(n + AUTH_FIELDS);
	r = wire_receive_bytes(&f->wire, bytes, n, e);
	for (p = bytes; i < AUTH_FIELDS; i++, p += strlen(p) + (p < bytes + n))
		fields[i] = p;
	if (r == 0)
		r = auth_init(&f->auth, fields, e);
	explicit_bzero(bytes, n);
	free(bytes);
	return r;
}

static int read_cas(struct fetcher *f, struct error *e)
{
	f->cas = mem_array(f->endpoint_count + 1, sizeof(*f->cas));
	f->http.cas = f->cas;
	for (size_t i = 0; i < f->endpoint_count; i++) {
		struct http_ca *ca = &f->cas[f->http.ca_count];

		if (!f->endpoints[i].ca)
			continue;
		if (file_read(AT_FDCWD, f->endpoints[i].ca, CA_MAX_BYTES, &ca->pem, e) < 0) {
			err_ctx(e, "read the certificates for \"%s\"", f->endpoints[i].url);
			return -e->kind;
		}
		ca->path = f->endpoints[i].ca;
		f->http.ca_count++;
	}
	return 0;
}

int fetcher_read_request(struct fetcher *f, bool *ret_import, struct error *e)
{
	cleanup_json struct json_object *o = NULL;
	const char *op = "", *path = "", *reference = "";
	uint64_t auth_bytes = 0;
	int r;

	r = wire_receive(&f->wire, -1, 0, &o, e);
	if (r == 0)
		return err_new(e, ERR_INVALID, "there is no request: hull-unpack is started by hulld");
	if (r < 0 || json_get_str(o, "op", &op, e) < 0 ||
	    json_get_u64(o, "max_bytes", &f->max_bytes, e) < 0 ||
	    json_get_u64(o, "reserve_bytes", &f->reserve_bytes, e) < 0 ||
	    json_get_bool(o, "zlib", &f->is_zlib, e) < 0)
		return -e->kind;
	*ret_import = str_eq(op, "import");
	if (*ret_import)
		return 0;
	if (json_get_str(o, "path", &path, e) < 0 || json_get_str(o, "reference", &reference, e) < 0 ||
	    json_get_u64(o, "auth_bytes", &auth_bytes, e) < 0)
		return -e->kind;
	f->path = str_dup(path);
	f->reference = str_dup(reference);
	r = read_endpoints(f, o, e);
	if (r >= 0)
		r = read_auth(f, auth_bytes, e);
	return r < 0 ? r : read_cas(f, e);
}
