/* SPDX-License-Identifier: Apache-2.0 */
/* Records: {"recordVersion": 1, "network": {...}, "id", "ifname", "netns", "args", "runtimeConfig",
 * "result"}. runtimeConfig holds the values of all capabilities that the pod gives; which of them a plugin
 * gets is decided when it is called. */
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "net/cni_internal.h"
#include "net/cni_result.h"

#define RECORD_VERSION 1
#define ARG_MAX_BYTES 1024

/* ---- the pod's attributes ---------------------------------------------------------------------------- */

/* CNI_ARGS is "K=V;K=V" without any quoting (spec 1.1.0, section 2 "Parameters"). */
static int add_arg(struct buf *args, const char *key, const char *value, struct error *e)
{
	if (str_is_empty(value))
		return 0;
	if (strlen(value) > ARG_MAX_BYTES || strpbrk(value, ";=\n"))
		return err_new(e, ERR_INVALID, "%s cannot be \"%.100s\" in CNI_ARGS", key, value);
	buf_addf(args, ";%s=%s", key, value);
	return 0;
}

static int make_args(const struct cni_pod *pod, struct buf *args, struct error *e)
{
	int r;

	buf_adds(args, "IgnoreUnknown=1");
	r = add_arg(args, "K8S_POD_NAMESPACE", pod->ns, e);
	if (r == 0)
		r = add_arg(args, "K8S_POD_NAME", pod->name, e);
	if (r == 0)
		r = add_arg(args, "K8S_POD_INFRA_CONTAINER_ID", pod->id, e);
	if (r == 0)
		r = add_arg(args, "K8S_POD_UID", pod->uid, e);
	return r;
}

static int add_port(struct json_object *array, const struct cni_port *port, size_t i, struct error *e)
{
	static const char *const protocols[] = { "tcp", "udp", "sctp" };
	const char *protocol = NULL;
	struct json_object *o;

	if (port->host_port == 0)
		return 0;
	if (port->container_port == 0)
		return err_new(e, ERR_INVALID, "port mapping %zu: container port 0", i);
	for (size_t n = 0; n < ARRAY_LEN(protocols); n++)
		if (!port->protocol || strcasecmp(port->protocol, protocols[n]) == 0) {
			protocol = protocols[n];
			break;
		}
	if (!protocol)
		return err_new(e, ERR_INVALID, "port mapping %zu: protocol \"%s\" is none of tcp, udp, sctp",
			       i, port->protocol);
	if (!str_is_empty(port->host_ip) && !cni_is_ip(port->host_ip))
		return err_new(e, ERR_INVALID, "port mapping %zu: host address \"%s\" is no IP address", i,
			       port->host_ip);
	o = json_push_object(array);
	json_put_i64(o, "hostPort", port->host_port);
	json_put_i64(o, "containerPort", port->container_port);
	json_put_str(o, "protocol", protocol);
	json_put_str(o, "hostIP", port->host_ip ? port->host_ip : "");
	return 0;
}

static int add_ports(struct json_object *o, const struct cni_pod *pod, struct error *e)
{
	cleanup_json struct json_object *array = json_new_array();
	int r = 0;

	for (size_t i = 0; r == 0 && i < pod->port_count; i++)
		r = add_port(array, &pod->ports[i], i, e);
	if (r == 0 && json_object_array_length(array) > 0)
		json_put(o, "portMappings", take_ptr(array));
	return r;
}

static int add_dns(struct json_object *o, const struct cni_pod *pod, struct error *e)
{
	struct json_object *dns;

	for (size_t i = 0; i < pod->dns_server_count; i++)
		if (!cni_is_ip(pod->dns_servers[i]))
			return err_new(e, ERR_INVALID, "DNS server \"%s\" is no IP address",
				       pod->dns_servers[i]);
	if (pod->dns_server_count + pod->dns_search_count + pod->dns_option_count == 0)
		return 0;
	dns = json_put_object(o, "dns");
	json_put_strs(dns, "servers", pod->dns_servers, pod->dns_server_count);
	json_put_strs(dns, "searches", pod->dns_searches, pod->dns_search_count);
	json_put_strs(dns, "options", pod->dns_options, pod->dns_option_count);
	return 0;
}

static int add_bandwidth(struct json_object *o, const struct cni_pod *pod, struct error *e)
{
	const struct cni_bandwidth *b = &pod->bandwidth;
	const struct {
		const char *rate_key, *burst_key;
		uint64_t rate, burst;
	} directions[] = {
		{ "ingressRate", "ingressBurst", b->ingress_rate, b->ingress_burst },
		{ "egressRate", "egressBurst", b->egress_rate, b->egress_burst },
	};
	struct json_object *bandwidth = NULL;

	(void)e;
	for (size_t i = 0; i < ARRAY_LEN(directions); i++) {
		if (directions[i].rate == 0)
			continue;
		if (!bandwidth)
			bandwidth = json_put_object(o, "bandwidth");
		json_put_u64(bandwidth, directions[i].rate_key, directions[i].rate);
		/* The plugin refuses a rate without burst; this is the most that it takes. */
		json_put_u64(bandwidth, directions[i].burst_key,
			     directions[i].burst ? directions[i].burst : UINT32_MAX);
	}
	return 0;
}

static int add_ranges(struct json_object *o, const struct cni_pod *pod, struct error *e)
{
	struct json_object *sets = pod->range_count ? json_put_array(o, "ipRanges") : NULL;

	for (size_t i = 0; i < pod->range_count; i++) {
		const struct cni_range *range = &pod->ranges[i];
		const char *ips[] = { range->start, range->end, range->gateway };
		struct json_object *set = json_new_array(), *one = json_push_object(set);

		json_push(sets, set);
		if (!cni_is_cidr(range->subnet, true))
			return err_new(e, ERR_INVALID, "IP range %zu: \"%s\" is no subnet", i,
				       range->subnet ? range->subnet : "");
		for (size_t n = 0; n < ARRAY_LEN(ips); n++)
			if (ips[n] && !cni_is_ip(ips[n]))
				return err_new(e, ERR_INVALID, "IP range %zu: \"%s\" is no IP address", i,
					       ips[n]);
		json_put_str(one, "subnet", range->subnet);
		json_put_str(one, "rangeStart", range->start);
		json_put_str(one, "rangeEnd", range->end);
		json_put_str(one, "gateway", range->gateway);
	}
	return 0;
}

static int add_ips(struct json_object *o, const struct cni_pod *pod, struct error *e)
{
	for (size_t i = 0; i < pod->ip_count; i++)
		if (!cni_is_cidr(pod->ips[i], false))
			return err_new(e, ERR_INVALID, "\"%s\" is no IP address", pod->ips[i]);
	if (pod->ip_count)
		json_put_strs(o, "ips", pod->ips, pod->ip_count);
	return 0;
}

static int add_texts(struct json_object *o, const struct cni_pod *pod, struct error *e)
{
	struct json_object *annotations;

	(void)e;
	json_put_str(o, "mac", pod->mac);
	json_put_str(o, "infinibandGUID", pod->infiniband_guid);
	json_put_str(o, "deviceID", pod->device_id);
	json_put_str(o, "cgroupPath", pod->cgroup_path);
	if (pod->annotation_count) {
		annotations = json_put_object(o, "io.kubernetes.cri.pod-annotations");
		for (size_t i = 0; i < pod->annotation_count; i++)
			json_put_str(annotations, pod->annotations[i].key, pod->annotations[i].value);
	}
	return 0;
}

int attachment_record(const struct cni_config *config, const struct cni_pod *pod, struct buf *ret,
		      struct error *e)
{
	static int (*const parts[])(struct json_object *, const struct cni_pod *, struct error *) = {
		add_ports, add_dns, add_bandwidth, add_ranges, add_ips, add_texts,
	};
	const char *ifname = pod->ifname ? pod->ifname : CNI_IFNAME;
	cleanup_json struct json_object *record = json_new();
	cleanup_buf struct buf args = BUF_INIT;
	struct json_object *runtime;
	int r;

	if (!cni_is_name(pod->id))
		return err_new(e, ERR_INVALID, "\"%s\" cannot be the container id of an attachment",
			       pod->id ? pod->id : "");
	if (!cni_is_ifname(ifname))
		return err_new(e, ERR_INVALID, "\"%s\" cannot be the name of an interface", ifname);
	if (!pod->netns_path || !path_is_clean_abs(pod->netns_path))
		return err_new(e, ERR_INVALID, "\"%s\" cannot be the path of a network namespace",
			       pod->netns_path ? pod->netns_path : "");
	r = make_args(pod, &args, e);
	if (r < 0)
		return r;
	json_put_i64(record, "recordVersion", RECORD_VERSION);
	json_put(record, "network", cni_config_to_json(config));
	json_put_str(record, "id", pod->id);
	json_put_str(record, "ifname", ifname);
	json_put_str(record, "netns", pod->netns_path);
	json_put_str(record, "args", buf_str(&args));
	runtime = json_put_object(record, "runtimeConfig");
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(parts); i++)
		r = parts[i](runtime, pod, e);
	if (r == 0)
		json_text(record, false, ret);
	return r;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

void attachment_done(struct attachment *a)
{
	cni_config_free(a->config);
	json_free(a->record);
	if (a->lock_fd > 0)
		close(a->lock_fd);
	*a = (struct attachment){ 0 };
}

static int read_members(struct attachment *a, struct error *e)
{
	const struct {
		const char *key, **value;
	} texts[] = {
		{ "id", &a->id }, { "ifname", &a->ifname }, { "netns", &a->netns }, { "args", &a->args }
	};
	struct json_object *network = NULL;
	int64_t version = 0;
	int r;

	r = json_get_i64(a->record, "recordVersion", &version, e);
	if (r >= 0 && version != RECORD_VERSION)
		r = err_new(e, ERR_CORRUPT, "\"recordVersion\" is %lld, not %d", (long long)version,
			    RECORD_VERSION);
	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(texts); i++)
		r = json_need(json_get_str(a->record, texts[i].key, texts[i].value, e), texts[i].key, e);
	if (r >= 0)
		r = json_get_object(a->record, "runtimeConfig", &a->runtime_config, e);
	if (r >= 0)
		r = json_get_object(a->record, "result", &a->result, e);
	if (r >= 0)
		r = json_need(json_get_object(a->record, "network", &network, e), "network", e);
	if (r >= 0)
		r = cni_config_from_json(network, &a->config, e);
	return r;
}

int attachment_parse(const char *record, struct attachment *ret, struct error *e)
{
	CLEANUP(attachment_done) struct attachment a = { 0 };
	int r = json_parse_object(record, strlen(record), JSON_MAX_BYTES, &a.record, e);

	if (r >= 0)
		r = read_members(&a, e);
	if (r < 0) {
		err_kind(e, ERR_CORRUPT);
		err_ctx(e, "record of a CNI attachment");
		return -ERR_CORRUPT;
	}
	*ret = a;
	a = (struct attachment){ 0 };
	return 0;
}

int cni_record_result(const char *record, struct cni_result **ret_result, struct error *e)
{
	CLEANUP(attachment_done) struct attachment a = { 0 };
	int r = attachment_parse(record, &a, e);

	if (r < 0)
		return r;
	if (!a.result)
		return err_new(e, ERR_NOT_FOUND, "the CNI attachment of \"%s\" has no result", a.id);
	r = cni_result_from_json(a.result, a.ifname, ret_result, e);
	if (r < 0)
		return err_ctx(e, "record of the CNI attachment of \"%s\"", a.id);
	(*ret_result)->record = str_dup(record);
	(*ret_result)->network = str_dup(a.config->name);
	return 0;
}

int cni_record_netns(const char *record, char **ret_path, struct error *e)
{
	CLEANUP(attachment_done) struct attachment a = { 0 };
	int r = attachment_parse(record, &a, e);

	if (r == 0)
		*ret_path = str_dup(a.netns);
	return r;
}
