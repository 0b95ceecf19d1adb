/* SPDX-License-Identifier: Apache-2.0 */
/* CNI spec 1.1.0, section 5 "Result types". Between 0.3.0 and 1.1.0 the only difference that old readers
 * stumble over is ips[].version, which 0.x requires and 1.x has no more; what 1.1.0 added (mtu, socketPath,
 * pciID of interfaces, four members of routes) is optional and passed on. */
#include "net/cni_result.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define ITEMS_MAX 4096 /* of one array in a result */

void cni_result_free(struct cni_result *r)
{
	struct strv dns[] = { { .v = r ? r->dns_servers : NULL },
			      { .v = r ? r->dns_searches : NULL },
			      { .v = r ? r->dns_options : NULL } };

	if (!r)
		return;
	for (size_t i = 0; i < r->ip_count; i++) {
		free(r->ips[i].address);
		free(r->ips[i].gateway);
	}
	for (size_t i = 0; i < r->interface_count; i++) {
		free(r->interfaces[i].name);
		free(r->interfaces[i].mac);
		free(r->interfaces[i].sandbox);
	}
	for (size_t i = 0; i < r->route_count; i++) {
		free(r->routes[i].dst);
		free(r->routes[i].gw);
	}
	for (size_t i = 0; i < ARRAY_LEN(dns); i++) {
		while (dns[i].v && dns[i].v[dns[i].n])
			dns[i].n++;
		strv_done(&dns[i]);
	}
	free(r->ips);
	free(r->interfaces);
	free(r->routes);
	free(r->dns_domain);
	free(r->network);
	free(r->record);
	free(r->json);
	free(r);
}

/* ---- reading members --------------------------------------------------------------------------------- */

/* A string that may be absent; "" is taken for absent, as Go's omitempty writes and reads it. */
static int get_text(struct json_object *o, const char *key, char **ret, struct error *e)
{
	const char *text = NULL;
	int r = json_get_str(o, key, &text, e);

	if (r < 0)
		return r;
	if (str_is_empty(text))
		return 0;
	*ret = str_dup(text);
	return 1;
}

static int get_ip(struct json_object *o, const char *key, char **ret, struct error *e)
{
	int r = get_text(o, key, ret, e);

	if (r == 1 && !cni_is_ip(*ret))
		return err_new(e, ERR_CORRUPT, "\"%s\" is \"%s\", which is no IP address", key, *ret);
	return r;
}

/* "10.1.2.3/24" in place: the address and its prefix. */
static int split_cidr(char *text, uint8_t *ret_prefix, struct error *e)
{
	char *slash = strchr(text, '/');
	uint32_t prefix;

	if (slash)
		*slash = '\0';
	if (!slash || !cni_is_ip(text) || str_to_u32(slash + 1, &prefix, NULL) < 0 ||
	    prefix > (strchr(text, ':') ? 128U : 32U)) {
		if (slash)
			*slash = '/';
		return err_new(e, ERR_CORRUPT, "\"%s\" is no IP address with its prefix length", text);
	}
	*ret_prefix = (uint8_t)prefix;
	return 0;
}

/* The i-th item of an array must be an object. */
static int item(struct json_object *array, size_t i, const char *key, struct json_object **ret,
		struct error *e)
{
	*ret = json_object_array_get_idx(array, i);
	if (!json_object_is_type(*ret, json_type_object))
		return err_new(e, ERR_CORRUPT, "item %zu of \"%s\" is %s, not an object", i, key,
			       json_kind_text(*ret));
	return 0;
}

static int get_items(struct json_object *o, const char *key, struct json_object **ret, size_t *ret_count,
		     struct error *e)
{
	int r = json_get_array(o, key, ret, e);

	*ret_count = r > 0 ? json_object_array_length(*ret) : 0;
	if (*ret_count > ITEMS_MAX)
		return err_new(e, ERR_CORRUPT, "\"%s\" has %zu items, at most %d are possible", key,
			       *ret_count, ITEMS_MAX);
	return r;
}

static int read_interface(struct json_object *o, struct cni_interface *i, struct error *e)
{
	int r = get_text(o, "name", &i->name, e);

	if (r >= 0)
		r = get_text(o, "mac", &i->mac, e);
	if (r >= 0)
		r = get_text(o, "sandbox", &i->sandbox, e);
	return r;
}

static int read_interfaces(struct json_object *o, struct cni_result *result, struct error *e)
{
	struct json_object *array = NULL, *one;
	size_t count;
	int r = get_items(o, "interfaces", &array, &count, e);

	if (r <= 0)
		return r;
	result->interfaces = mem_array(count + 1, sizeof(*result->interfaces));
	for (size_t i = 0; r >= 0 && i < count; i++) {
		r = item(array, i, "interfaces", &one, e);
		result->interface_count++;
		if (r >= 0)
			r = read_interface(one, &result->interfaces[i], e);
	}
	return r;
}

static int read_ip(struct json_object *o, const struct cni_result *result, struct cni_ip *ip, struct error *e)
{
	int64_t interface = -1;
	int r = get_text(o, "address", &ip->address, e);

	if (r == 0)
		return err_new(e, ERR_CORRUPT, "\"address\" is missing");
	if (r >= 0)
		r = split_cidr(ip->address, &ip->prefix, e);
	if (r >= 0)
		r = get_ip(o, "gateway", &ip->gateway, e);
	if (r >= 0)
		r = json_get_i64(o, "interface", &interface, e);
	if (r < 0)
		return r;
	if (interface < -1 || interface >= (int64_t)result->interface_count)
		return err_new(e, ERR_CORRUPT, "\"interface\" is %lld, but there are %zu interfaces",
			       (long long)interface, result->interface_count);
	ip->interface = (int32_t)interface;
	return 0;
}

static int read_ips(struct json_object *o, struct cni_result *result, struct error *e)
{
	struct json_object *array = NULL, *one;
	size_t count;
	int r = get_items(o, "ips", &array, &count, e);

	if (r <= 0)
		return r;
	result->ips = mem_array(count + 1, sizeof(*result->ips));
	for (size_t i = 0; r >= 0 && i < count; i++) {
		r = item(array, i, "ips", &one, e);
		result->ip_count++;
		if (r >= 0)
			r = read_ip(one, result, &result->ips[i], e);
		if (r < 0)
			return err_ctx(e, "item %zu of \"ips\"", i);
	}
	return r;
}

static int read_route(struct json_object *o, struct cni_route *route, struct error *e)
{
	cleanup_free char *copy = NULL;
	uint8_t prefix;
	int r = get_text(o, "dst", &route->dst, e);

	if (r == 0)
		return err_new(e, ERR_CORRUPT, "\"dst\" is missing");
	if (r < 0)
		return r;
	copy = str_dup(route->dst);
	r = split_cidr(copy, &prefix, e);
	return r < 0 ? r : get_ip(o, "gw", &route->gw, e);
}

static int read_routes(struct json_object *o, struct cni_result *result, struct error *e)
{
	struct json_object *array = NULL, *one;
	size_t count;
	int r = get_items(o, "routes", &array, &count, e);

	if (r <= 0)
		return r;
	result->routes = mem_array(count + 1, sizeof(*result->routes));
	for (size_t i = 0; r >= 0 && i < count; i++) {
		r = item(array, i, "routes", &one, e);
		result->route_count++;
		if (r >= 0)
			r = read_route(one, &result->routes[i], e);
		if (r < 0)
			return err_ctx(e, "item %zu of \"routes\"", i);
	}
	return r;
}

static int read_list(struct json_object *dns, const char *key, char ***ret, struct error *e)
{
	cleanup_strv struct strv items = STRV_INIT;
	int r = json_get_strv(dns, key, ITEMS_MAX, &items, e);

	if (r < 0)
		return r;
	*ret = take_ptr(items.v);
	items.n = 0;
	return 0;
}

static int read_dns(struct json_object *o, struct cni_result *result, struct error *e)
{
	struct json_object *dns = NULL;
	int r = json_get_object(o, "dns", &dns, e);

	if (r <= 0)
		return r;
	r = read_list(dns, "nameservers", &result->dns_servers, e);
	if (r >= 0)
		r = read_list(dns, "search", &result->dns_searches, e);
	if (r >= 0)
		r = read_list(dns, "options", &result->dns_options, e);
	if (r >= 0)
		r = get_text(dns, "domain", &result->dns_domain, e);
	return r < 0 ? err_ctx(e, "\"dns\"") : 0;
}

/* ---- whose addresses --------------------------------------------------------------------------------- */

enum rank { RANK_OTHER, RANK_UNSAID, RANK_SANDBOX, RANK_IFNAME };

static enum rank ip_rank(const struct cni_result *result, const struct cni_ip *ip, const char *ifname)
{
	const struct cni_interface *i;

	if (ip->interface < 0)
		return RANK_UNSAID;
	i = &result->interfaces[ip->interface];
	if (!i->sandbox)
		return RANK_OTHER;
	return str_eq(i->name, ifname) ? RANK_IFNAME : RANK_SANDBOX;
}

/* Keep the addresses of the pod: of the asked interface, or else of any interface in the sandbox, or else
 * those of which no interface was said (plugins that name none). */
static void keep_pod_ips(struct cni_result *result, const char *ifname)
{
	enum rank best = RANK_OTHER;
	size_t kept = 0;

	for (size_t i = 0; i < result->ip_count; i++)
		if (ip_rank(result, &result->ips[i], ifname) > best)
			best = ip_rank(result, &result->ips[i], ifname);
	for (size_t i = 0; i < result->ip_count; i++) {
		if (best != RANK_OTHER && ip_rank(result, &result->ips[i], ifname) == best) {
			result->ips[kept++] = result->ips[i];
			continue;
		}
		free(result->ips[i].address);
		free(result->ips[i].gateway);
	}
	result->ip_count = kept;
}

int cni_result_from_json(struct json_object *o, const char *ifname, struct cni_result **ret, struct error *e)
{
	CLEANUP(cni_result_free) struct cni_result *result = NEW(struct cni_result);
	struct buf text = BUF_INIT;
	int r;

	r = read_interfaces(o, result, e);
	if (r >= 0)
		r = read_ips(o, result, e);
	if (r >= 0)
		r = read_routes(o, result, e);
	if (r >= 0)
		r = read_dns(o, result, e);
	if (r < 0) {
		err_kind(e, ERR_CORRUPT);
		return -ERR_CORRUPT;
	}
	keep_pod_ips(result, ifname);
	json_text(o, false, &text);
	result->json = buf_take(&text);
	*ret = take_ptr(result);
	return 0;
}

/* ---- versions ---------------------------------------------------------------------------------------- */

static void convert_ips(struct json_object *ips, enum cni_version wanted)
{
	size_t count = json_object_is_type(ips, json_type_array) ? json_object_array_length(ips) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *ip = json_object_array_get_idx(ips, i);
		const char *address;

		if (!json_object_is_type(ip, json_type_object))
			continue;
		json_object_object_del(ip, "version");
		address = json_object_get_string(json_object_object_get(ip, "address"));
		if (wanted < CNI_1_0_0 && address)
			json_put_str(ip, "version", strchr(address, ':') ? "6" : "4");
	}
}

int cni_result_read(const char *text, size_t len, enum cni_version wanted, struct json_object **ret,
		    struct error *e)
{
	CLEANUP(cni_result_free) struct cni_result *checked = NULL;
	cleanup_json struct json_object *o = NULL;
	const char *version = NULL;
	int r = json_parse_object(text, len, CNI_OUTPUT_MAX_BYTES, &o, e);

	if (r >= 0)
		r = json_get_str(o, "cniVersion", &version, e);
	if (r < 0) {
		err_kind(e, ERR_CORRUPT);
		return -ERR_CORRUPT;
	}
	if (version && cni_version_parse(version) < 0)
		return err_new(e, ERR_CORRUPT, "\"cniVersion\" is \"%s\"; %s to %s are known", version,
			       cni_version_text(0), cni_version_text(CNI_VERSION_COUNT - 1));
	convert_ips(json_object_object_get(o, "ips"), wanted);
	json_put_str(o, "cniVersion", cni_version_text(wanted));
	r = cni_result_from_json(o, "", &checked, e);
	if (r < 0)
		return r;
	*ret = take_ptr(o);
	return 0;
}

int cni_versions_read(const char *text, size_t len, struct strv *ret, struct error *e)
{
	cleanup_json struct json_object *o = NULL;
	int r = json_parse_object(text, len, CNI_OUTPUT_MAX_BYTES, &o, e);

	if (r >= 0)
		r = json_need(json_get_strv(o, "supportedVersions", 100, ret, e), "supportedVersions", e);
	if (r < 0) {
		err_kind(e, ERR_CORRUPT);
		return -ERR_CORRUPT;
	}
	return 0;
}

/* ---- errors ------------------------------------------------------------------------------------------ */

/* Spec 1.1.0, section 2 "Errors"; 50 and 51 are of STATUS. */
static const struct {
	uint32_t code;
	const char *meaning;
} well_known[] = {
	{ 1, "incompatible CNI version" },
	{ 2, "unsupported field in the network configuration" },
	{ 3, "container unknown or gone" },
	{ 4, "invalid environment variable" },
	{ 5, "I/O failure" },
	{ 6, "undecodable content" },
	{ 7, "invalid network configuration" },
	{ 11, "try again later" },
	{ 50, "the plugin is not available" },
	{ 51, "the plugin is not available, and existing pods may have limited connectivity" },
};

int cni_error_read(const char *text, size_t len, struct error *e)
{
	cleanup_json struct json_object *o = NULL;
	const char *msg = NULL, *details = NULL, *meaning = NULL;
	uint32_t code = 0;

	if (json_parse_object(text, len, CNI_OUTPUT_MAX_BYTES, &o, NULL) < 0 ||
	    json_get_u32(o, "code", &code, NULL) != 1 || json_get_str(o, "msg", &msg, NULL) < 0 ||
	    json_get_str(o, "details", &details, NULL) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(well_known); i++)
		if (well_known[i].code == code)
			meaning = well_known[i].meaning;
	err_new(e, ERR_UNAVAILABLE, "%.400s%s%.400s", str_is_empty(msg) ? "it gives no message" : msg,
		str_is_empty(details) ? "" : "; details: ", details ? details : "");
	return err_hint(e, "CNI error code %u%s%s", code, meaning ? ": " : "", meaning ? meaning : "");
}
