/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs on whole networks (CNI spec 1.1.0, section 3 "Execution of Network Configurations").
 *
 * The configuration is read anew for each pod and each status: it costs a tenth of a millisecond against the
 * tens of the plugins, and there is no state that could be stale. DEL and CHECK never read it: they use what
 * stands in the record. */
#include "net/cni.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/cni_exec.h"
#include "net/cni_internal.h"
#include "net/cni_result.h"
#include "net/cni_rules.h"

#define UNDO_TIMEOUT_MS 30000
#define SYSTEM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *const default_bin_dirs[] = { "/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni", NULL };

struct cni *cni_open(const struct cni_opts *o)
{
	const char *const *dirs = o->bin_dirs ? o->bin_dirs : default_bin_dirs;
	const struct cni_default_opts *d = &o->fallback;
	cleanup_buf struct buf bin_path = BUF_INIT;
	const char *path = getenv("PATH");
	struct cni *c = NEW(struct cni);

	for (; *dirs; dirs++) {
		strv_add(&c->bin_dirs, *dirs);
		buf_addf(&bin_path, "%s%s", bin_path.len ? ":" : "", *dirs);
	}
	c->bin_path = str_dup(buf_str(&bin_path));
	/* A daemon may be started without the sbin directories, where iptables lives. */
	c->path = str_fmt("%s%s" SYSTEM_PATH, path ? path : "", str_is_empty(path) ? "" : ":");
	c->conf_dir = str_dup(o->conf_dir ? o->conf_dir : CNI_CONF_DIR);
	c->bridge = str_dup(d->bridge ? d->bridge : CNI_DEFAULT_BRIDGE);
	c->subnet = str_dup(d->subnet ? d->subnet : CNI_DEFAULT_SUBNET);
	c->data_dir = str_dup(d->data_dir ? d->data_dir : CNI_DEFAULT_DATA_DIR);
	c->has_default = !d->is_off;
	pthread_mutex_init(&c->versions_lock, NULL);
	pthread_mutex_init(&c->rules_lock, NULL);
	return c;
}

void cni_close(struct cni *c)
{
	if (!c)
		return;
	plugin_versions_done(c);
	pthread_mutex_destroy(&c->versions_lock);
	pthread_mutex_destroy(&c->rules_lock);
	strv_done(&c->bin_dirs);
	free(c->bin_path);
	free(c->path);
	free(c->conf_dir);
	free(c->bridge);
	free(c->subnet);
	free(c->data_dir);
	free(c);
}

/* ---- which network ----------------------------------------------------------------------------------- */

static bool has_plugin(struct cni *c, const char *type)
{
	cleanup_free char *path = NULL;

	return cni_exec_find(&c->bin_dirs, type, &path, NULL) == 0;
}

static int choose_default(struct cni *c, bool need_ports, struct cni_config **ret, struct error *e)
{
	const struct cni_default_opts o = { .bridge = c->bridge,
					    .subnet = c->subnet,
					    .data_dir = c->data_dir };

	return cni_config_default(&o, need_ports && has_plugin(c, "portmap") && rules_are_possible(c), ret,
				  e);
}

int network_choose(struct cni *c, bool need_ports, struct cni_config **ret, struct buf *skipped,
		   struct error *e)
{
	struct error one = ERROR_INIT;
	int r = cni_config_load(c->conf_dir, ret, skipped, &one);

	if (r == -ERR_NOT_FOUND && c->has_default)
		r = choose_default(c, need_ports, ret, &one);
	if (r < 0) {
		if (e)
			*e = one;
		err_kind(e, ERR_UNAVAILABLE);
		return -ERR_UNAVAILABLE;
	}
	return 0;
}

/* A plugin that is not installed fails ADD before it has done anything, and would then fail DEL too, for as long
 * as it is missing: so it is looked for before there is anything to undo. */
static int find_plugins(struct cni *c, const struct cni_config *config, struct error *e)
{
	for (size_t i = 0; i < config->plugin_count; i++) {
		cleanup_free char *path = NULL;
		int r = cni_exec_find(&c->bin_dirs, cni_plugin_type(cni_config_plugin(config, i)), &path, e);

		if (r < 0)
			return err_ctx(e, "network \"%s\"", config->name);
	}
	return 0;
}

int cni_prepare(struct cni *c, const struct cni_pod *pod, struct buf *ret_record, struct error *e)
{
	CLEANUP(cni_config_free) struct cni_config *config = NULL;
	cleanup_buf struct buf record = BUF_INIT;
	cleanup_buf struct buf skipped = BUF_INIT;
	bool need_ports = false;
	int r;

	for (size_t i = 0; i < pod->port_count; i++)
		need_ports |= pod->ports[i].host_port != 0;
	r = network_choose(c, need_ports, &config, &skipped, e);
	if (r < 0)
		return r;
	if ((r = attachment_record(config, pod, &record, e)) < 0 || (r = find_plugins(c, config, e)) < 0)
		return r;
	buf_add(ret_record, record.data, record.len);
	return 0;
}

/* ---- ADD, DEL, CHECK --------------------------------------------------------------------------------- */

static struct plugin_call call_of(struct cni *c, const struct attachment *a, const char *verb, size_t i,
				  const struct cni_call *call)
{
	return (struct plugin_call){
		.c = c,
		.config = a->config,
		.plugin = cni_config_plugin(a->config, i),
		.verb = verb,
		.attachment = a,
		.call = call,
	};
}

/* In reverse, and halting at the first error (section 3 "Deleting an attachment"): what comes later may not
 * be undone while what was made on top of it is still there; the caller repeats the whole. */
static int del_plugins(struct cni *c, const struct attachment *a, const struct cni_call *call,
		       struct error *e)
{
	int r = 0;

	for (size_t i = a->config->plugin_count; r == 0 && i-- > 0;) {
		struct plugin_call p = call_of(c, a, "DEL", i, call);
		cleanup_buf struct buf out = BUF_INIT;

		/* prevResult for DEL came with 0.4.0. */
		p.prev_result = a->config->version >= CNI_0_4_0 ? a->result : NULL;
		r = plugin_call(&p, &out, e);
	}
	return r;
}

int cni_del(struct cni *c, const char *record, const struct cni_call *call, struct error *e)
{
	CLEANUP(attachment_done) struct attachment a = { 0 };
	int r = attachment_parse(record, &a, e);

	if (r < 0)
		return r;
	attachment_lock(&a, call);
	return del_plugins(c, &a, call, e);
}

/* a->result follows along: it is what the last plugin so far gave. */
static int add_plugin(struct cni *c, struct attachment *a, size_t i, const struct cni_call *call,
		      struct error *e)
{
	struct plugin_call p = call_of(c, a, "ADD", i, call);
	cleanup_buf struct buf out = BUF_INIT;
	struct json_object *result = NULL;
	int r;

	p.prev_result = a->result;
	r = plugin_call(&p, &out, e);
	if (r < 0)
		return r;
	r = cni_result_read(buf_str(&out), out.len, a->config->version, &result, e);
	if (r < 0) {
		err_ctx(e, "it printed \"%.100s\"%s, which is no result", buf_str(&out),
			out.len > 100 ? "..." : "");
		return err_ctx(e, "CNI network \"%s\", plugin \"%s\", ADD of \"%s\"", a->config->name,
			       cni_plugin_type(p.plugin), a->ifname);
	}
	json_put(a->record, "result", result); /* owned by the record now */
	a->result = result;
	return 0;
}

static int add_all(struct cni *c, struct attachment *a, const struct cni_call *call, struct cni_result **ret,
		   struct error *e)
{
	struct buf text = BUF_INIT;
	int r = a->config->is_default ? rules_ensure(c, call, e) : 0;

	for (size_t i = 0; r == 0 && i < a->config->plugin_count; i++)
		r = add_plugin(c, a, i, call, e);
	if (r == 0)
		r = cni_result_from_json(a->result, a->ifname, ret, e);
	if (r < 0)
		return r;
	json_text(a->record, false, &text);
	(*ret)->record = buf_take(&text);
	(*ret)->network = str_dup(a->config->name);
	return 0;
}

int cni_add(struct cni *c, const char *record, const struct cni_call *call, struct cni_result **ret_result,
	    struct error *e)
{
	CLEANUP(attachment_done) struct attachment a = { 0 };
	struct cni_call undo = { .cancel_fd = -1 };
	struct error undo_error = ERROR_INIT;
	int r = attachment_parse(record, &a, e);

	if (r < 0)
		return r;
	json_object_object_del(a.record, "result");
	a.result = NULL;
	attachment_lock(&a, call);
	r = add_all(c, &a, call, ret_result, e);
	undo.deadline_ns = deadline_in_ms(UNDO_TIMEOUT_MS);
	if (r < 0 && del_plugins(c, &a, &undo, &undo_error) < 0)
		err_hint(e, "undoing it failed too: %s", err_msg(&undo_error));
	return r;
}

int cni_check(struct cni *c, const char *record, const struct cni_call *call, struct error *e)
{
	CLEANUP(attachment_done) struct attachment a = { 0 };
	int r = attachment_parse(record, &a, e);

	if (r < 0 || a.config->version < CNI_0_4_0 || a.config->disable_check)
		return r;
	if (!a.result)
		return err_new(e, ERR_STATE, "the CNI attachment of \"%s\" has no result to be checked",
			       a.id);
	for (size_t i = 0; r == 0 && i < a.config->plugin_count; i++) {
		struct plugin_call p = call_of(c, &a, "CHECK", i, call);
		cleanup_buf struct buf out = BUF_INIT;

		p.prev_result = a.result;
		r = plugin_call(&p, &out, e);
	}
	return r;
}

/* ---- GC ---------------------------------------------------------------------------------------------- */

int cni_gc(struct cni *c, const struct cni_attachment *valid, size_t count, const struct cni_call *call,
	   struct error *e)
{
	cleanup_json struct json_object *list = json_new_array();
	CLEANUP(cni_config_free) struct cni_config *config = NULL;
	cleanup_buf struct buf skipped = BUF_INIT;
	int r = network_choose(c, true, &config, &skipped, e), first = 0;

	if (r < 0 || config->version < CNI_1_1_0 || config->disable_gc)
		return r;
	for (size_t i = 0; i < count; i++) {
		struct json_object *one = json_push_object(list);

		json_put_str(one, "containerID", valid[i].id);
		json_put_str(one, "ifname", valid[i].ifname ? valid[i].ifname : CNI_IFNAME);
	}
	/* All are asked, whatever one of them says (section 3 "Garbage-collecting a network"). */
	for (size_t i = 0; i < config->plugin_count; i++) {
		struct plugin_call p = { .c = c,
					 .config = config,
					 .plugin = cni_config_plugin(config, i),
					 .verb = "GC",
					 .valid_attachments = list,
					 .call = call };
		cleanup_buf struct buf out = BUF_INIT;

		r = plugin_call(&p, &out, first ? NULL : e);
		first = first ? first : r;
	}
	return first;
}

/* ---- status ------------------------------------------------------------------------------------------ */

void cni_status_done(struct cni_status *s)
{
	free(s->message);
	free(s->network);
	free(s->path);
	*s = (struct cni_status){ 0 };
}

static int check_network(struct cni *c, const struct cni_config *config, const struct cni_call *call,
			 struct error *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->plugin_count; i++)
		r = plugin_check_version(c, config, cni_config_plugin(config, i), call, e);
	for (size_t i = 0; r == 0 && config->version >= CNI_1_1_0 && i < config->plugin_count; i++) {
		struct plugin_call p = { .c = c,
					 .config = config,
					 .plugin = cni_config_plugin(config, i),
					 .verb = "STATUS",
					 .call = call };
		cleanup_buf struct buf out = BUF_INIT;

		r = plugin_call(&p, &out, e);
	}
	return r;
}

static char *ready_message(struct cni *c, const struct cni_config *config, const struct buf *skipped)
{
	if (config->is_default)
		return str_fmt(
			"no CNI configuration in \"%s\": the built-in network \"%s\" (bridge, %s) is used%s",
			c->conf_dir, config->name, c->subnet,
			rules_are_possible(c) ? "" : ", without masquerading and host ports: no iptables");
	return str_fmt("network \"%s\" of \"%s\"%s%s", config->name, config->path,
		       skipped->len ? "; passed over: " : "", buf_str(skipped));
}

void cni_status(struct cni *c, const struct cni_call *call, struct cni_status *ret_status)
{
	CLEANUP(cni_config_free) struct cni_config *config = NULL;
	cleanup_buf struct buf skipped = BUF_INIT;
	struct cni_status s = { .reason = "NetworkPluginNotReady" };
	struct error e = ERROR_INIT;
	int r = network_choose(c, true, &config, &skipped, &e);

	if (r == 0) {
		s.is_default = config->is_default;
		s.network = str_dup(config->name);
		s.path = str_dup(config->path);
		r = check_network(c, config, call, &e);
	}
	if (r == 0) {
		s.is_ready = true;
		s.reason = "";
		s.message = ready_message(c, config, &skipped);
	} else {
		s.message = str_dup(err_msg(&e));
	}
	*ret_status = s;
}
