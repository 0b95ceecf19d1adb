/* SPDX-License-Identifier: Apache-2.0 */
/* The pod's address: CNI ADD and DEL around what is recorded of them. The attachment's record is in the
 * database before the first plugin runs, so DEL is possible after a kill at any instruction. */
#include "cri/sandbox.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/journal.h"

static const char *const protocols[] = { "tcp", "udp", "sctp" };

/* The node's own deadline for the network. The client's does not count: who asks again after a deadline that
 * was too short joins this very creation, which must not have died of the first one's impatience. */
static struct cni_call net_call(struct node *n)
{
	return (struct cni_call){
		.deadline_ns = deadline_in_ms((int64_t)node_config(n)->cni_timeout_s * 1000), .cancel_fd = -1
	};
}

static int prepare(struct node *n, struct sandbox *s, struct buf *record, struct error *e)
{
	const PB(PodSandboxConfig) *c = s->rec->config;
	cleanup_free struct cni_port *ports = mem_array(c->n_port_mappings, sizeof(*ports));
	cleanup_free struct cni_pair *annotations = mem_array(c->n_annotations, sizeof(*annotations));
	struct cni_pod pod = { .id = s->rec->id,
			       .netns_path = s->rec->netns_path,
			       .name = c->metadata->name,
			       .ns = c->metadata->namespace_,
			       .uid = c->metadata->uid,
			       .ports = ports,
			       .annotations = annotations,
			       .annotation_count = c->n_annotations,
			       .cgroup_path = *s->rec->cgroup_parent ? s->rec->cgroup_parent : NULL };
	int r;

	for (size_t i = 0; i < c->n_port_mappings; i++) {
		const PB(PortMapping) *p = c->port_mappings[i];

		if (p->host_port == 0)
			continue;
		ports[pod.port_count++] = (struct cni_port){ .host_port = (uint16_t)p->host_port,
							     .container_port = (uint16_t)p->container_port,
							     .protocol = protocols[p->protocol],
							     .host_ip = p->host_ip };
	}
	for (size_t i = 0; i < c->n_annotations; i++)
		annotations[i] = (struct cni_pair){ c->annotations[i]->key, c->annotations[i]->value };
	if (c->dns_config) {
		pod.dns_servers = (const char *const *)c->dns_config->servers;
		pod.dns_server_count = c->dns_config->n_servers;
		pod.dns_searches = (const char *const *)c->dns_config->searches;
		pod.dns_search_count = c->dns_config->n_searches;
		pod.dns_options = (const char *const *)c->dns_config->options;
		pod.dns_option_count = c->dns_config->n_options;
	}
	r = sandbox_bandwidth(c, &pod.bandwidth, e);
	return r < 0 ? r : cni_prepare(n->cni, &pod, record, e);
}

static void set_record(struct node *n, struct sandbox *s, const char *record, bool has_cni)
{
	pthread_mutex_lock(&n->lock);
	rec_set(&s->rec->cni_record, record);
	s->rec->has_cni = has_cni;
	pthread_mutex_unlock(&n->lock);
}

static void set_result(struct node *n, struct sandbox *s, const struct cni_result *result)
{
	cleanup_strv struct strv ips = STRV_INIT;

	for (size_t i = 0; i < result->ip_count; i++)
		strv_add(&ips, result->ips[i].address);
	set_record(n, s, result->record, true);
	pthread_mutex_lock(&n->lock);
	rec_set_strv(&s->rec->ips, &s->rec->n_ips, &ips);
	pthread_mutex_unlock(&n->lock);
}

static int note(struct sandbox *s, bool add, struct error *e)
{
	CLEANUP(journal_close) struct journal j = JOURNAL_INIT;
	int r = journal_open(s->pod_dfd, &j, e);

	if (r < 0)
		return r;
	return add ? journal_add(&j, JOURNAL_CNI, s->rec->id, e)
		   : journal_done(&j, JOURNAL_CNI, s->rec->id, e);
}

int sandbox_net_up(struct node *n, struct sandbox *s, struct error *e)
{
	struct cni_call limits = net_call(n);
	CLEANUP(cni_result_free) struct cni_result *result = NULL;
	cleanup_buf struct buf record = BUF_INIT;
	int r;

	if ((r = prepare(n, s, &record, e)) < 0)
		return err_ctx(e, "network");
	set_record(n, s, buf_str(&record), true);
	if ((r = note(s, true, e)) < 0 || (r = sandbox_save(n, s, e)) < 0)
		return r;
	if ((r = cni_add(n->cni, buf_str(&record), &limits, &result, e)) < 0)
		return err_ctx(e, "network");
	set_result(n, s, result);
	if (result->ip_count == 0)
		return err_new(
			e, ERR_UNAVAILABLE,
			"network \"%s\" gave the pod no address: its plugins must return one in \"ips\"",
			result->network);
	return 0;
}

int sandbox_net_down(struct node *n, struct sandbox *s, struct error *e)
{
	struct cni_call limits = net_call(n);
	int r;

	if (!s->rec->has_cni)
		return 0;
	if ((r = cni_del(n->cni, s->rec->cni_record, &limits, e)) < 0)
		return err_ctx(e, "network");
	pthread_mutex_lock(&n->lock);
	s->rec->has_cni = false;
	pthread_mutex_unlock(&n->lock);
	if ((r = sandbox_save(n, s, e)) < 0)
		return r;
	return s->pod_dfd >= 0 ? note(s, false, e) : 0;
}
