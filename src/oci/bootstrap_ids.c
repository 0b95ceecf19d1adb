/* SPDX-License-Identifier: Apache-2.0 */
/* The bootstrap: namespaces that exist already, and ids. */
#include "oci/build.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <unistd.h>

#include "base/mem.h"
#include "oci/ids.h"
#include "sys/caps.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "userns/rootless.h"
#include "userns/userns.h"

/* A path may lead to a namespace that we are in ourselves: it is no other than the host's. */
static int check_shared(const struct build *b, struct error *e)
{
	const struct oci_spec *s = b->o->spec;
	bool is_shared[OCI_NS_COUNT] = { false };

	if (!b->plan.sysctl_count && !s->hostname && !s->domainname)
		return 0;
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		cleanup_close int own = -1;
		int r;

		if (b->spawn.join_fd[ns] < 0)
			continue;
		r = ns_open_own(oci_ns_info[ns].clone_flag, &own, e);
		if (r >= 0)
			r = ns_is_same(own, b->spawn.join_fd[ns], &is_shared[ns], e);
		if (r < 0)
			return r;
	}
	return oci_plan_check_shared(&b->plan, s, is_shared, e);
}

int build_open_namespaces(struct build *b, struct error *e)
{
	for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++) {
		const char *path = b->o->spec->linux.namespaces[ns].path;
		int fd = b->o->ns_fd[ns];
		int r;

		if (!b->plan.joins[ns])
			continue;
		if (fd < 0) {
			fd = b->opened_ns[ns] = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
			if (fd < 0)
				return err_sysk(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno,
						"open the %s namespace \"%s\"", oci_ns_info[ns].name, path);
		}
		r = ns_check_type(fd, oci_ns_info[ns].clone_flag, e);
		if (r < 0)
			return err_ctx(e, "%s namespace \"%s\"", oci_ns_info[ns].name,
				       path ? path : "given by fd");
		if (ns == OCI_NS_TIME)
			b->init.p.time_ns_fd = fd; /* by process_begin() */
		else
			b->spawn.join_fd[ns] = fd;
	}
	return check_shared(b, e);
}

/* The maps stand in the spec, also of a joined namespace (as CRI daemons write it); else they are read from the
 * namespace itself. */
int build_find_maps(struct build *b, struct error *e)
{
	const struct oci_linux *l = &b->o->spec->linux;
	int r;

	if (!b->plan.in_user_ns)
		return 0;
	b->uids = NEW(struct idmap);
	b->gids = NEW(struct idmap);
	if (!l->uid_mappings.n || !l->gid_mappings.n)
		return userns_read_maps(b->spawn.join_fd[OCI_NS_USER], b->uids, b->gids, e);
	r = ids_map(&l->uid_mappings, "linux.uidMappings", b->uids, e);
	return r < 0 ? r : ids_map(&l->gid_mappings, "linux.gidMappings", b->gids, e);
}

/* Each id that the process gets has to be one, and groups have to be possible. */
int build_check_ids(struct build *b, struct error *e)
{
	const struct oci_user *u = &b->o->spec->process.user;

	if (!b->plan.in_user_ns)
		return 0;
	b->setgroups_denied = b->plan.makes[OCI_NS_USER] && userns_denies_setgroups(b->gids);
	if (b->setgroups_denied && u->additional_gid_count && !b->o->keeps_groups)
		return err_new(
			e, ERR_INVALID,
			"process.user.additionalGids: the kernel forbids setgroups(2) in the container's "
			"user "
			"namespace, as in each one whose gids were mapped without privilege (map a range of "
			"/etc/subgid in linux.gidMappings, or ask for no additional groups)");
	return ids_check(u, b->uids, b->gids, e);
}

/* Where the caller may mount nothing, the user namespace comes first, and all mounts are made in there. */
int build_make_user_ns(struct build *b, struct error *e)
{
	int r;

	if (!b->o->needs_user_ns && b->plan.makes[OCI_NS_USER] && rootless_in_child_ns())
		return userns_check_maps(b->uids, b->gids, e);
	if (!b->o->needs_user_ns)
		return 0;
	if (!b->plan.in_user_ns && !caps_have(CAP_SYS_ADMIN))
		return err_new(
			e, ERR_INVALID,
			"without CAP_SYS_ADMIN, which only root has, a container needs a user namespace "
			"(linux.namespaces has no \"user\"): \"hull spec --rootless\" writes a config.json "
			"that "
			"works");
	if (!b->plan.makes[OCI_NS_USER])
		return 0;
	r = userns_check_maps(b->uids, b->gids, e);
	if (r >= 0)
		r = userns_make(b->uids, b->gids, &b->opened_ns[OCI_NS_USER], e);
	if (r < 0)
		return r;
	b->spawn.join_fd[OCI_NS_USER] = b->opened_ns[OCI_NS_USER];
	b->plan.clone_flags &= ~(uint64_t)CLONE_NEWUSER;
	return 0;
}

int build_write_maps(struct build *b, struct error *e)
{
	cleanup_close int proc = -1;
	int r;

	if (!(b->plan.clone_flags & CLONE_NEWUSER))
		return 0;
	r = pidfd_proc_dir(b->spawn.pid_fd, &proc, e);
	if (r >= 0)
		r = idmap_write_both(proc, b->uids, b->gids, e);
	return r < 0 ? err_ctx(e, "map the ids of the new user namespace") : 0;
}
