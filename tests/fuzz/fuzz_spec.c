/* SPDX-License-Identifier: Apache-2.0 */
/* A config.json, and the same bytes as a process and as resources. What is accepted keeps the promises of spec.h; all
 * that is computed from it before anything is made (the plan of namespaces, mounts and sysctls, the devices, the writes
 * to cgroups of both versions, the confinement) is computed, too. */
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/path.h"
#include "base/str.h"
#include "cgroup/plan.h"
#include "codec/arena.h"
#include "oci/cgroup_resources.h"
#include "oci/confine.h"
#include "oci/mounts.h"
#include "oci/plan.h"
#include "oci/seccomp_bpf.h"
#include "oci/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_strs(const struct oci_strs *s)
{
	check(s->v && !s->v[s->n]);
	for (size_t i = 0; i < s->n; i++)
		check(s->v[i]);
}

static void check_process(const struct oci_process *p)
{
	check(p->args.n > 0 && p->cwd[0] == '/');
	check_strs(&p->args);
	check_strs(&p->env);
	check(p->user.uid != UINT32_MAX && p->user.gid != UINT32_MAX);
	for (size_t i = 0; i < p->user.additional_gid_count; i++)
		check(p->user.additional_gids[i] != UINT32_MAX);
	for (size_t i = 0; i < p->rlimits.n; i++)
		check(p->rlimits.v[i].soft <= p->rlimits.v[i].hard);
}

static void check_spec(const struct oci_spec *s)
{
	cleanup_buf struct buf b = BUF_INIT;

	if (s->has_process)
		check_process(&s->process);
	for (size_t i = 0; i < s->mounts.n; i++)
		check(s->mounts.v[i].destination[0] == '/' && s->mounts.v[i].options.data);
	for (size_t i = 0; i < s->linux.devices.n; i++)
		check(path_is_clean_abs(s->linux.devices.v[i].path));
	check_strs(&s->linux.masked_paths);
	check_strs(&s->linux.readonly_paths);
	if (s->linux.seccomp)
		oci_seccomp_serialize(s->linux.seccomp, &b);
}

/* ---- what is planned ---------------------------------------------------------------------------- */

static void check_plan(const struct oci_spec *s)
{
	CLEANUP(oci_plan_done) struct oci_plan plan = OCI_PLAN_INIT;
	struct oci_create o = OCI_CREATE_INIT;
	struct error e = ERROR_INIT;

	o.id = "fuzz";
	o.spec = s;
	if (oci_plan_make(&o, &plan, &e) < 0) {
		check(err_msg(&e)[0] && !plan.mounts);
		return;
	}
	check(plan.makes[OCI_NS_MOUNT] && plan.mount_count == s->mounts.n);
	for (size_t i = 0; i < plan.mount_count; i++) {
		const struct plan_mount *pm = &plan.mounts[i];

		check(path_is_clean_abs(pm->destination) && !str_eq(pm->destination, "/"));
		check(pm->kind != PLAN_FRESH || !str_is_empty(pm->type));
		check(!str_starts(pm->destination, "/proc/") || plan_may_cover_proc(pm->destination));
		check(!(pm->set & pm->clear & ~(uint64_t)MOUNT_ATTR__ATIME));
	}
}

static void check_devices(const struct oci_spec *s)
{
	cleanup_free struct device_node *nodes = NULL;
	size_t n = devices_list(s, &nodes);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			check(!str_eq(nodes[i].path, nodes[k].path));
}

static void check_resources(const struct oci_resources *res)
{
	static const struct cgroup_caps hosts[] = {
		{ .have = UINT32_MAX, .v2 = 0, .v2_words = NULL },
		{ .have = UINT32_MAX,
		  .v2 = UINT32_MAX,
		  .v2_words = "cpuset cpu io memory hugetlb pids rdma misc" },
		{ .have = 0, .v2 = 0, .v2_words = NULL },
	};
	const struct cgroup_now now = CGROUP_NOW_NEW;
	cleanup_free struct cgroup_lists *lists = NULL;
	struct cgroup_resources converted;

	cgroup_resources_of(res, NULL, &converted, &lists);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		CLEANUP(cgroup_plan_done) struct cgroup_plan plan = CGROUP_PLAN_INIT;
		struct error e = ERROR_INIT;

		if (cgroup_plan_resources(&converted, &now, &hosts[i], &plan, &e) < 0) {
			check(err_msg(&e)[0]);
			continue;
		}
		for (size_t k = 0; k < plan.n; k++)
			check(plan.w[k].value && plan.w[k].file[0] && !strchr(plan.w[k].file, '/'));
	}
}

/* Without a profile: libseccomp's own time would leave none for the rest. */
static void check_confinement(const struct oci_process *p, const struct oci_spec *s)
{
	CLEANUP(confine_free) struct confine *confine = NULL;
	const struct confine_opts opts = {
		.process = p,
		.personality_is_set = s && s->linux.personality.is_set,
		.personality = s ? s->linux.personality.domain : 0,
		.in_user_ns = s && s->linux.namespaces[OCI_NS_USER].is_set,
		.restrict_oom_score = true,
		.seccomp_cache_dfd = -1,
	};
	struct error e = ERROR_INIT;

	if (confine_prepare(&opts, &confine, &e) < 0)
		check(err_msg(&e)[0]);
}

static void one_spec(const uint8_t *data, size_t size)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;

	if (oci_spec_parse((const char *)data, size, &spec, &e) < 0) {
		check(err_msg(&e)[0] && !spec);
		return;
	}
	check_spec(spec);
	check_plan(spec);
	check_devices(spec);
	check_resources(&spec->linux.resources);
	if (spec->has_process)
		check_confinement(&spec->process, spec);
}

static void one_process(const uint8_t *data, size_t size)
{
	CLEANUP(oci_process_free) struct oci_process *process = NULL;
	struct error e = ERROR_INIT;

	if (oci_process_parse((const char *)data, size, &process, &e) < 0)
		return;
	check_process(process);
	check_confinement(process, NULL);
}

static void one_resources(const uint8_t *data, size_t size)
{
	cleanup_arena struct arena arena = { 0 };
	struct oci_resources res;
	struct error e = ERROR_INIT;

	if (oci_resources_parse((const char *)data, size, &arena, &res, &e) >= 0)
		check_resources(&res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one_spec(data, size);
	one_process(data, size);
	one_resources(data, size);
	return 0;
}
