/* SPDX-License-Identifier: Apache-2.0 */
/* The pause container of a node that is configured with sandbox_image: a container like any other, made
 * from that image when the sandbox is, with the sandbox's own settings; shown as the pod's, not as a
 * container. Containers of a pod with a shared pid namespace live in the pause container's. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cri/container.h"
#include "cri/sandbox.h"

#define PULL_TIMEOUT_MS (INT64_C(10) * 60 * 1000)

static int check_image(struct node *n, struct error *e)
{
	cleanup_image struct image *image = NULL;
	int r = images_find(n->images, node_config(n)->sandbox_image, &image, e);

	if (r < 0)
		return err_ctx(e, "sandbox_image");
	if (image->config.entrypoint.n == 0 && image->config.cmd.n == 0)
		return err_new(e, ERR_INVALID,
			       "sandbox_image \"%s\" has neither entrypoint nor cmd: nothing to run",
			       node_config(n)->sandbox_image);
	return 0;
}

static int ensure_image(struct node *n, struct error *e)
{
	cleanup_image struct image *image = NULL;
	struct images_pull pull = { .ref = node_config(n)->sandbox_image,
				    .cancel_fd = -1,
				    .deadline_ns = deadline_in_ms(PULL_TIMEOUT_MS) };
	int r = images_find(n->images, node_config(n)->sandbox_image, &image, e);

	if (r == -ERR_NOT_FOUND && (r = images_pull(n->images, &pull, &image, e)) < 0)
		return err_ctx(e, "pull sandbox_image");
	return r < 0 ? r : check_image(n, e);
}

/* The sandbox's security context says of the pause process what a container's says of its own. */
static PB(LinuxContainerSecurityContext) *security(struct call *call, const struct sandbox *s)
{
	PB(LinuxContainerSecurityContext) *to =
		PB_ANSWER(call, LinuxContainerSecurityContext, linux_container_security_context);
	const PB(LinuxSandboxSecurityContext) *from =
		s->rec->config->linux ? s->rec->config->linux->security_context : NULL;

	to->no_new_privs = true;
	to->readonly_rootfs = true;
	to->namespace_options = PB_ANSWER(call, NamespaceOption, namespace_option);
	to->namespace_options->pid = from && from->namespace_options &&
						     from->namespace_options->pid ==
							     RUNTIME__V1__NAMESPACE_MODE__NODE
					     ? RUNTIME__V1__NAMESPACE_MODE__NODE
					     : RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	if (!from)
		return to;
	to->selinux_options = from->selinux_options;
	to->run_as_user = from->run_as_user;
	to->run_as_group = from->run_as_group;
	to->supplemental_groups = from->supplemental_groups;
	to->n_supplemental_groups = from->n_supplemental_groups;
	to->supplemental_groups_policy = from->supplemental_groups_policy;
	to->seccomp = from->seccomp;
	to->seccomp_profile_path = from->seccomp_profile_path;
	to->apparmor = from->apparmor;
	to->readonly_rootfs = true;
	return to;
}

int pause_create(struct node *n, struct sandbox *s, struct call *call, struct error *e)
{
	PB(ContainerConfig) *config = PB_ANSWER(call, ContainerConfig, container_config);
	struct container *c = NULL;
	int r;

	if ((r = ensure_image(n, e)) < 0)
		return r;
	config->metadata = PB_ANSWER(call, ContainerMetadata, container_metadata);
	config->metadata->name = arena_str(call->arena, "pause (of the sandbox)");
	config->image = PB_ANSWER(call, ImageSpec, image_spec);
	config->image->image = arena_str(call->arena, node_config(n)->sandbox_image);
	config->linux = PB_ANSWER(call, LinuxContainerConfig, linux_container_config);
	config->linux->security_context = security(call, s);
	config->linux->resources = PB_ANSWER(call, LinuxContainerResources, linux_container_resources);
	config->linux->resources->cpu_shares = 2;
	config->linux->resources->oom_score_adj = node_config(n)->restrict_oom_score_adj ? 0 : -998;
	if ((r = container_create(n, s, config, true, call, &c, e)) < 0)
		return err_ctx(e, "pause container");
	pthread_mutex_lock(&n->lock);
	rec_set(&s->rec->pause_id, c->rec->id);
	pthread_mutex_unlock(&n->lock);
	r = container_start(n, c, call, e);
	container_unref(n, c);
	return r < 0 ? err_ctx(e, "pause container") : 0;
}
