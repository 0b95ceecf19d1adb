// SPDX-License-Identifier: Apache-2.0
/* run: the pods of a manifest, as a kubelet would run them, one after the other:
 *
 *	images -> host ids -> directories -> sandbox -> init containers, each to its end -> containers
 *
 * When one step fails, what was made of that pod is removed again; images stay. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/yaml_tree.h"
#include "ctl/ctl.h"
#include "ctl/host_path.h"
#include "ctl/pbjson.h"
#include "ctl/pod_dir.h"
#include "ctl/pod_plan.h"
#include "ctl/pull.h"
#include "ctl/text.h"
#include "ctl/userns_choice.h"

#define INIT_POLL_MS 20
#define CHOICE_TRIES 5 /* another client may take the chosen ids in between */

struct run_options {
	const char *userns, *handler, *data, *log_dir;
	bool is_dry;
};

struct running {
	struct ctl *c;
	const struct run_options *o;
	struct manifest m;
	struct pod_plan plan;
	PB(PodSandboxConfig) *config;
	const char **image_ids; /* of each container */
	const char *sandbox_id, *ip;
	bool has_dir;
	struct json_object *report;
};

/* --- images ----------------------------------------------------------------------------------------- */

static int image_status(struct ctl *c, const char *name, PB(Image) **ret, struct error *e)
{
	PB(ImageStatusRequest) *req = CTL_NEW(c, ImageStatusRequest, image_status_request);
	PB(ImageStatusResponse) *resp = NULL;
	int r;

	req->image = CTL_NEW(c, ImageSpec, image_spec);
	req->image->image = (char *)name;
	r = CTL_CALL(c, "Image", "ImageStatus", req, image_status_response, &resp, e);
	if (r < 0)
		return r;
	*ret = resp->image;
	return 0;
}

/* Without a policy an image is pulled when it is absent: also with the tag latest, where Kubernetes would always ask the
 * registry; what "hullctl load" brought has no registry. */
static int need_image(struct running *p, const struct manifest_container *ct, const char **ret_id,
		      struct error *e)
{
	PB(Image) *image = NULL;
	const char *id;
	int r = image_status(p->c, ct->image, &image, e);

	if (r < 0)
		return r;
	if (!image && str_eq(ct->pull_policy, "Never"))
		return err_new(e, ERR_NOT_FOUND, "image \"%s\" is not here, and imagePullPolicy is Never",
			       ct->image);
	if (!image || str_eq(ct->pull_policy, "Always")) {
		r = pull_image(p->c, ct->image, NULL, &id, e);
		if (r >= 0)
			r = image_status(p->c, id, &image, e);
		if (r >= 0 && !image)
			return err_new(e, ERR_NOT_FOUND, "image \"%s\" was pulled, and is gone again",
				       ct->image);
		if (r < 0)
			return r;
	}
	*ret_id = image->id;
	return pod_plan_check_user(&p->m, ct, image->uid ? image->uid->value : -1, image->username, e);
}

static int need_images(struct running *p, struct error *e)
{
	size_t n = p->m.init.n + p->m.containers.n;

	p->image_ids = arena_array(&p->c->arena, n, sizeof(*p->image_ids));
	for (size_t i = 0; i < n; i++) {
		int r = need_image(p, manifest_container(&p->m, i), &p->image_ids[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- what the node has ------------------------------------------------------------------------------- */

static const char *new_uid(struct arena *a)
{
	char hex[33];

	str_random_hex(hex, 16);
	hex[12] = '4'; /* RFC 9562: version 4, variant 10 */
	hex[16] = "89ab"[(unsigned char)hex[16] % 4];
	return arena_fmt(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* The node's resolver, read only when a dnsConfig adds to it. */
static void read_resolver(struct pod_plan *plan)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct strv lines = STRV_INIT;
	const char **servers, **searches;

	if (file_read(AT_FDCWD, "/etc/resolv.conf", 64 * 1024, &b, NULL) < 0)
		return;
	strv_split(&lines, buf_str(&b), "\n");
	servers = arena_array(plan->arena, lines.n, sizeof(*servers));
	searches = arena_array(plan->arena, b.len, sizeof(*searches));
	for (size_t i = 0; i < lines.n; i++) {
		struct strv words = STRV_INIT;

		strv_split(&words, lines.v[i], " \t");
		if (words.n >= 2 && str_eq(words.v[0], "nameserver"))
			servers[plan->host_server_count++] = arena_str(plan->arena, words.v[1]);
		for (size_t k = 1; words.n && k < words.n && str_eq(words.v[0], "search"); k++)
			searches[plan->host_search_count++] = arena_str(plan->arena, words.v[k]);
		strv_done(&words);
	}
	plan->host_servers = servers;
	plan->host_searches = searches;
	strv_done(&lines);
}

static void begin_plan(struct running *p)
{
	struct arena *a = &p->c->arena;
	struct sysinfo info;
	char node[256] = "";

	gethostname(node, sizeof(node) - 1);
	p->plan = (struct pod_plan){
		.arena = a,
		.manifest = &p->m,
		.uid = p->m.uid ? p->m.uid : new_uid(a),
		.node_name = arena_str(a, node),
		.memory_bytes = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0,
	};
	p->plan.log_directory = arena_fmt(a, "%s/%s_%s_%s", p->o->log_dir, p->m.ns, p->m.name, p->plan.uid);
	if (p->m.dns_servers.n || p->m.dns_searches.n || p->m.dns_options.n)
		read_resolver(&p->plan);
}

static int choose_ids(struct running *p, struct error *e)
{
	struct idrange_block block = { 0, 0 };
	int r = 0;

	if (p->m.host_users != TRI_FALSE)
		return 0;
	if (p->o->userns)
		r = userns_range_parse(p->o->userns, &block, e);
	else
		r = userns_choose(p->c, &block, e);
	p->plan.userns_start = block.first;
	p->plan.userns_length = block.length;
	return r;
}

static int make_volumes(struct running *p, struct error *e)
{
	const char **paths = arena_array(&p->c->arena, p->m.volumes.n, sizeof(*paths));
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->m.volumes.n; i++) {
		const struct manifest_volume *v = MANIFEST_AT(p->m.volumes, struct manifest_volume, i);
		cleanup_free char *path = NULL;

		if (v->kind == VOLUME_HOST_PATH) {
			paths[i] = v->path;
			r = p->o->is_dry ? 0 : host_path_prepare(v->path, v->type, e);
		} else if (v->kind == VOLUME_EMPTY_DIR && p->o->is_dry) {
			paths[i] = arena_fmt(&p->c->arena, "%s/%s/volumes/empty-dir/%s", p->o->data,
					     p->plan.uid, v->name);
		} else if (v->kind == VOLUME_EMPTY_DIR) {
			r = pod_dir_volume(p->o->data, p->plan.uid, v->name, p->m.security.fs_group, &path,
					   e);
			paths[i] = path ? arena_str(&p->c->arena, path) : NULL;
		}
		if (r < 0)
			err_ctx(e, "volume \"%s\"", v->name);
	}
	p->plan.volume_paths = paths;
	return r;
}

/* --- sandbox and containers ---------------------------------------------------------------------------- */

static int run_sandbox(struct running *p, struct error *e)
{
	PB(RunPodSandboxRequest) *req = CTL_NEW(p->c, RunPodSandboxRequest, run_pod_sandbox_request);
	PB(RunPodSandboxResponse) *resp = NULL;
	int r = -ERR_EXISTS;

	for (int i = 0; r == -ERR_EXISTS && i < CHOICE_TRIES; i++) {
		err_clear(e);
		r = choose_ids(p, e);
		if (r < 0)
			return r;
		p->config = req->config = pod_plan_sandbox(&p->plan);
		req->runtime_handler = (char *)(p->o->handler	     ? p->o->handler
						: p->m.runtime_class ? p->m.runtime_class
								     : "");
		r = CTL_CALL(p->c, "Runtime", "RunPodSandbox", req, run_pod_sandbox_response, &resp, e);
		if (p->o->userns || p->m.host_users != TRI_FALSE)
			break;
	}
	if (r == 0)
		p->sandbox_id = resp->pod_sandbox_id;
	return r;
}

static int learn_ip(struct running *p, struct error *e)
{
	PB(PodSandboxStatusRequest) *req = CTL_NEW(p->c, PodSandboxStatusRequest, pod_sandbox_status_request);
	PB(PodSandboxStatusResponse) *resp = NULL;
	int r;

	req->pod_sandbox_id = (char *)p->sandbox_id;
	r = CTL_CALL(p->c, "Runtime", "PodSandboxStatus", req, pod_sandbox_status_response, &resp, e);
	p->ip = r == 0 && resp->status && resp->status->network && resp->status->network->ip
			? resp->status->network->ip
			: "";
	return r;
}

static int start_container(struct running *p, size_t i, const char **ret_id, struct error *e)
{
	const struct pod_plan_container k = { manifest_container(&p->m, i), p->image_ids[i], p->ip };
	PB(CreateContainerRequest) *create = CTL_NEW(p->c, CreateContainerRequest, create_container_request);
	PB(StartContainerRequest) *start = CTL_NEW(p->c, StartContainerRequest, start_container_request);
	PB(CreateContainerResponse) *created = NULL;
	PB(StartContainerResponse) *started = NULL;
	int r;

	create->pod_sandbox_id = (char *)p->sandbox_id;
	create->sandbox_config = p->config;
	create->config = pod_plan_container(&p->plan, &k);
	r = CTL_CALL(p->c, "Runtime", "CreateContainer", create, create_container_response, &created, e);
	if (r == 0) {
		start->container_id = created->container_id;
		r = CTL_CALL(p->c, "Runtime", "StartContainer", start, start_container_response, &started, e);
	}
	if (r < 0)
		return err_ctx(e, "container \"%s\"", k.container->name);
	*ret_id = created->container_id;
	return 0;
}

static int wait_for_init(struct running *p, const char *name, const char *id, struct error *e)
{
	const struct timespec pause = { .tv_nsec = INIT_POLL_MS * NS_PER_MS };
	PB(ContainerStatusRequest) *req = CTL_NEW(p->c, ContainerStatusRequest, container_status_request);
	PB(ContainerStatusResponse) *resp = NULL;

	req->container_id = (char *)id;
	for (;;) {
		int r = CTL_CALL(p->c, "Runtime", "ContainerStatus", req, container_status_response, &resp,
				 e);

		if (r < 0)
			return err_ctx(e, "init container \"%s\"", name);
		if (resp->status && resp->status->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED)
			break;
		nanosleep(&pause, NULL);
	}
	if (resp->status->exit_code != 0)
		return err_new(e, ERR_STATE, "init container \"%s\" ended with exit code %d (%s)", name,
			       resp->status->exit_code, resp->status->reason);
	return 0;
}

static int start_containers(struct running *p, struct error *e)
{
	for (size_t i = 0; i < p->m.init.n + p->m.containers.n; i++) {
		const char *name = manifest_container(&p->m, i)->name, *id = "";
		struct json_object *o;
		int r = start_container(p, i, &id, e);

		if (r == 0 && i < p->m.init.n)
			r = wait_for_init(p, name, id, e);
		if (r < 0)
			return r;
		if (i < p->m.init.n)
			continue;
		o = json_push_object(json_object_object_get(p->report, "containers"));
		json_put_str(o, "name", name);
		json_put_str(o, "id", id);
	}
	return 0;
}

/* Errors on this way are not the user's concern any more: the first one is told. */
static void undo(struct running *p)
{
	PB(RemovePodSandboxRequest) *req = CTL_NEW(p->c, RemovePodSandboxRequest, remove_pod_sandbox_request);
	PB(RemovePodSandboxResponse) *resp = NULL;
	struct error e = ERROR_INIT;
	int status = p->c->status, r = 0;

	req->pod_sandbox_id = (char *)p->sandbox_id;
	if (p->sandbox_id)
		r = CTL_CALL(p->c, "Runtime", "RemovePodSandbox", req, remove_pod_sandbox_response, &resp,
			     &e);
	if (r == 0 && p->has_dir)
		r = pod_dir_remove(p->o->data, p->plan.uid, &e);
	if (r < 0)
		fprintf(stderr, "hullctl: and when undoing it: %s\n", err_msg(&e));
	p->c->status = status;
}

static int make_pod(struct running *p, struct error *e)
{
	int r = need_images(p, e);

	if (r < 0)
		return r;
	r = pod_dir_make(p->o->data, p->plan.uid, p->plan.log_directory, e);
	p->has_dir = r == 0;
	if (r == 0)
		r = make_volumes(p, e);
	if (r == 0)
		r = run_sandbox(p, e);
	if (r == 0)
		r = learn_ip(p, e);
	if (r == 0)
		r = start_containers(p, e);
	if (r < 0)
		undo(p);
	return r;
}

/* --- the command --------------------------------------------------------------------------------------- */

static int print_plan(struct running *p, struct error *e)
{
	struct json_object *doc = json_new(), *list = json_put_array(doc, "containers");
	int r = make_volumes(p, e);

	if (r == 0)
		r = choose_ids(p, e);
	if (r < 0) {
		json_free(doc);
		return r;
	}
	json_put(doc, "sandbox", pbjson_of(pod_plan_sandbox(&p->plan)));
	for (size_t i = 0; i < p->m.init.n + p->m.containers.n; i++) {
		const struct manifest_container *ct = manifest_container(&p->m, i);
		const struct pod_plan_container k = { ct, ct->image, "" };

		json_push(list, pbjson_of(pod_plan_container(&p->plan, &k)));
	}
	pbjson_print(doc);
	return 0;
}

static void print_pod(const struct running *p)
{
	struct json_object *list = json_object_object_get(p->report, "containers");

	if (p->c->is_json)
		return;
	printf("pod %s/%s  %s", p->m.ns, p->m.name, text_short_id(&p->c->arena, p->sandbox_id));
	if (*p->ip)
		printf("  ip %s", p->ip);
	if (p->plan.userns_length)
		printf("  user ids %u+%u", p->plan.userns_start, p->plan.userns_length);
	putchar('\n');
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		printf("  container %s  %s\n", json_object_get_string(json_object_object_get(o, "name")),
		       text_short_id(&p->c->arena, json_object_get_string(json_object_object_get(o, "id"))));
	}
}

static int run_one(struct ctl *c, const struct run_options *o, const struct yaml_node *doc,
		   struct json_object *report, struct error *e)
{
	struct running p = { .c = c, .o = o, .report = report };
	int r = manifest_read(doc, &c->arena, &p.m, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < p.m.warnings.n; i++)
		fprintf(stderr, "hullctl: warning: %s\n", p.m.warnings.v[i]);
	begin_plan(&p);
	json_put_array(report, "containers");
	r = o->is_dry ? print_plan(&p, e) : make_pod(&p, e);
	if (r < 0) {
		err_ctx(e, "pod \"%s/%s\"", p.m.ns, p.m.name);
	} else if (!o->is_dry) {
		json_put_str(report, "pod", p.m.name);
		json_put_str(report, "namespace", p.m.ns);
		json_put_str(report, "uid", p.plan.uid);
		json_put_str(report, "id", p.sandbox_id);
		json_put_str(report, "ip", p.ip);
		print_pod(&p);
	}
	manifest_done(&p.m);
	return r;
}

static int read_manifest(struct ctl *c, const char *file, struct yaml_node **ret, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r;

	if (str_eq(file, "-")) {
		file = "standard input";
		r = fd_read_all(STDIN_FILENO, YAML_BYTES_MAX, &b, e);
	} else {
		r = file_read(AT_FDCWD, file, YAML_BYTES_MAX, &b, e);
	}
	if (r < 0)
		return r;
	r = yaml_parse(file, buf_str(&b), b.len, &c->arena, ret, e);
	if (r == 0 && !*ret)
		return err_new(e, ERR_INVALID, "%s: there is nothing in it", file);
	return r;
}

int ctl_run(struct ctl *c, int argc, char **argv, struct error *e)
{
	struct run_options o = { .data = POD_DIR_DEFAULT, .log_dir = POD_LOGS_DEFAULT };
	const struct ctl_option options[] = {
		{ 0, "userns", CTL_TEXT, &o.userns },  { 0, "runtime-handler", CTL_TEXT, &o.handler },
		{ 0, "data", CTL_TEXT, &o.data },      { 0, "log-dir", CTL_TEXT, &o.log_dir },
		{ 0, "dry-run", CTL_FLAG, &o.is_dry },
	};
	struct json_object *all;
	struct yaml_node *doc = NULL;
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options)), r;

	if (i < 0)
		return CTL_USAGE;
	if (argc - i != 1)
		return ctl_usage(c, "which manifest?");
	if (!path_is_clean_abs(o.data) || !path_is_clean_abs(o.log_dir))
		return ctl_usage(c, "--data and --log-dir: want absolute paths without \".\" and \"..\"");
	r = read_manifest(c, argv[i], &doc, e);
	if (r < 0)
		return r;
	all = json_new_array();
	for (; doc && r == 0; doc = doc->next)
		r = run_one(c, &o, doc, json_push_object(all), e);
	if (r == 0 && c->is_json && !o.is_dry)
		pbjson_print(all);
	else
		json_free(all);
	return r;
}
