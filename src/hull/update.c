/* SPDX-License-Identifier: Apache-2.0 */
/* hull update: other limits for a living container.
 *
 * The change is laid over what the container was created with, which is kept in its state directory: a later update,
 * and whoever reads the config there, sees what is in force. The kernel is told only what changes, and what depends on
 * that. The order is: check all, change the cgroup (which takes back what it did when a value is refused), then keep
 * the new config. */
#include "hull/update.h"

#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "codec/arena.h"
#include "hull/hull.h"
#include "oci/cgroup_resources.h"
#include "oci/intel_rdt.h"
#include "oci/resources_merge.h"

/* An update and what it needs. */
struct change {
	struct json_object *wish;    /* normalized */
	struct json_object *config;  /* the container's, changed in place */
	struct json_object *apply;   /* for the kernel */
	struct json_object *restore; /* the old resources, should the config not be kept */
	struct arena arena;
	struct intel_rdt rdt;
	int rdt_dfd; /* -1: nothing of it changes */
};

static void change_done(struct change *c)
{
	json_free(c->wish);
	json_free(c->config);
	json_free(c->apply);
	json_free(c->restore);
	arena_done(&c->arena);
	intel_rdt_done(&c->rdt);
	if (c->rdt_dfd >= 0)
		close(c->rdt_dfd);
}
DEFINE_CLEANUP_VALUE(struct change, change_done)

static int parse(struct change *c, struct json_object *o, struct oci_resources *ret, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;

	json_text(o, false, &text);
	return oci_resources_parse(buf_str(&text), text.len, &c->arena, ret, e);
}

static struct json_object *object_in(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) && v ? v : json_put_object(o, key);
}

/* Read the container's config, and lay the wish over its resources. */
static int merge(const struct container *c, struct change *ch, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct json_object *resources;
	struct oci_resources merged;
	int r = file_read(c->dfd, STATE_CONFIG, OCI_SPEC_MAX_BYTES, &text, e);

	if (r >= 0)
		r = json_parse_object(buf_str(&text), text.len, OCI_SPEC_MAX_BYTES, &ch->config, e);
	if (r < 0)
		return err_ctx(e, "the config of container \"%s\"", c->state.id);
	resources = object_in(object_in(ch->config, "linux"), "resources");
	if (json_object_deep_copy(resources, &ch->restore, NULL) < 0)
		return err_new(e, ERR_LIMIT, "out of memory");
	resources_merge(resources, ch->wish);
	ch->apply = resources_to_apply(resources, ch->wish);
	r = parse(ch, resources, &merged, e);
	return r < 0 ? err_ctx(e, "the limits together with those that the container has") : 0;
}

static int apply(struct change *ch, struct json_object *o, struct cgroup *cgroup, struct error *e)
{
	cleanup_free struct cgroup_lists *lists = NULL;
	struct oci_resources parsed = { 0 };
	struct cgroup_resources res;
	int r = parse(ch, o, &parsed, e);

	if (r < 0)
		return r;
	cgroup_resources_of(&parsed, NULL, &res, &lists);
	res.device_count = 0;
	return cgroup_update(cgroup, &res, e);
}

/* ---- resctrl ------------------------------------------------------------------------------------- */

/* What the schemas on the command line mean for the container's group, before anything is changed; and they are laid
 * over its config. */
static int plan_rdt(const struct update_opts *o, const struct container *c, struct change *ch,
		    struct error *e)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	struct oci_intel_rdt wish = { .l3_cache_schema = o->l3_cache_schema,
				      .mem_bw_schema = o->mem_bw_schema };
	struct json_object *rdt;
	int r;

	if (!o->l3_cache_schema && !o->mem_bw_schema)
		return 0;
	r = container_spec(c, &spec, e);
	if (r < 0)
		return r;
	if (!spec->linux.intel_rdt)
		return err_new(
			e, ERR_STATE,
			"the container has no Intel RDT (resctrl) group whose schema could change: it was "
			"created without linux.intelRdt");
	wish.clos_id = spec->linux.intel_rdt->clos_id;
	r = intel_rdt_plan(&wish, c->state.id, &ch->rdt, e);
	if (r >= 0)
		r = intel_rdt_open(&ch->rdt_dfd, e);
	if (r < 0)
		return r;
	rdt = object_in(object_in(ch->config, "linux"), "intelRdt");
	json_put_str(rdt, "l3CacheSchema", o->l3_cache_schema);
	json_put_str(rdt, "memBwSchema", o->mem_bw_schema);
	return 0;
}

static int set_rdt(const struct change *ch, struct error *e)
{
	return ch->rdt_dfd < 0 ? 0 : intel_rdt_set(ch->rdt_dfd, ch->rdt.group, ch->rdt.schemata, e);
}

/* ---- the whole --------------------------------------------------------------------------------------- */

static int keep(const struct hull *h, const struct container *c, const struct change *ch, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r;

	json_text(ch->config, false, &text);
	r = file_write_atomic(c->dfd, STATE_CONFIG, text.data, text.len, 0600 | h->state_sticky, false, e);
	return r < 0 ? err_ctx(e, "keep the new limits") : 0;
}

static int change_all(const struct hull *h, const struct container *c, struct change *ch,
		      struct cgroup *cgroup, struct error *e)
{
	struct error ignored = ERROR_INIT;
	int r = apply(ch, ch->apply, cgroup, e);

	if (r < 0)
		return r;
	r = set_rdt(ch, e);
	if (r >= 0)
		r = keep(h, c, ch, e);
	if (r < 0 && apply(ch, ch->restore, cgroup, &ignored) < 0)
		err_hint(e, "and the old limits could not be restored: %s", err_msg(&ignored));
	return r;
}

static int change_container(struct hull *h, const struct update_opts *o, struct container *c,
			    struct change *ch, struct error *e)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	bool is_gone = false;
	/* Two at a time would each keep a config without the other's change. */
	int r = state_lock(c->dfd, &is_gone, e);

	if (r >= 0 && is_gone)
		return err_new(e, ERR_NOT_FOUND, "container does not exist: \"%s\"", c->state.id);
	if (r >= 0)
		r = merge(c, ch, e);
	if (r >= 0)
		r = plan_rdt(o, c, ch, e);
	if (r >= 0)
		r = container_cgroup(h, c, &host, &cgroup, e);
	return r < 0 ? r : change_all(h, c, ch, cgroup, e);
}

static void warn_of_ignored(struct json_object *wish)
{
	struct json_object *memory, *v;

	if (json_object_object_get_ex(wish, "memory", &memory) &&
	    (json_object_object_get_ex(memory, "kernel", &v) ||
	     json_object_object_get_ex(memory, "kernelTCP", &v)))
		log_warn("limits of kernel memory are ignored: no kernel has them any more");
}

static int update_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct update_opts *o = options;
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(change_done) struct change ch = { .arena = ARENA_INIT, .rdt = INTEL_RDT_INIT, .rdt_dfd = -1 };
	struct oci_resources checked;
	int r = update_change(o, &ch.wish, e);

	if (r >= 0)
		r = parse(&ch, ch.wish, &checked, e);
	if (r >= 0)
		r = container_load(h, args[0], &c, e);
	if (r < 0)
		return r;
	if (c.status == OCI_STOPPED)
		return err_new(e, ERR_STATE, "container not running");
	resources_normalize(ch.wish);
	warn_of_ignored(ch.wish);
	r = change_container(h, o, &c, &ch, e);
	return r < 0 ? err_ctx(e, "update container \"%s\"", c.state.id) : 0;
}

const struct command command_update = {
	.name = "update",
	.arguments = "CONTAINER",
	.summary = "change the limits of a container",
	.details = "What is not given stays as it is. Either all of the change is made or nothing.\n",
	.options = update_options,
	.options_size = sizeof(struct update_opts),
	.least = 1,
	.most = 1,
	.run = update_run,
};
