/* SPDX-License-Identifier: Apache-2.0 */
/* hull restore. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "hull/checkpoint.h"
#include "hull/creation.h"
#include "hull/hull.h"
#include "oci/criu.h"

struct restore_opts {
	struct criu_words common;
	const char *bundle, *console_socket, *pidfd_socket, *pid_file, *lsm_profile, *lsm_mount_context;
	bool detach, no_subreaper, no_pivot;
};

static const struct option_word options[] = {
	{ "bundle", 'b', OPTION(struct restore_opts, bundle), "DIR",
	  "where config.json is (the current directory)" },
	{ "detach", 'd', OPTION(struct restore_opts, detach), NULL, "do not stay with the container" },
	{ "console-socket", 0, OPTION(struct restore_opts, console_socket), "SOCKET",
	  "the program that listens there gets the terminal's master" },
	{ "pidfd-socket", 0, OPTION(struct restore_opts, pidfd_socket), "SOCKET",
	  "the program that listens there gets a pidfd of the init" },
	{ "pid-file", 0, OPTION(struct restore_opts, pid_file), "FILE", "write the pid of the init there" },
	{ "no-subreaper", 0, OPTION(struct restore_opts, no_subreaper), NULL,
	  "leave orphans of the container to somebody else" },
	{ "no-pivot", 0, OPTION(struct restore_opts, no_pivot), NULL,
	  "changes nothing: criu takes the root as it finds it" },
	CRIU_OPTIONS(struct restore_opts, common),
	{ "lsm-profile", 0, OPTION(struct restore_opts, lsm_profile), "TYPE:NAME",
	  "the LSM profile in place of the one at the checkpoint: apparmor:NAME, selinux:LABEL" },
	{ "lsm-mount-context", 0, OPTION(struct restore_opts, lsm_mount_context), "CONTEXT",
	  "the label of mounts in place of the one at the checkpoint" },
	OPTIONS_END,
};

struct restoration {
	struct creation *c;
	const struct restore_opts *opts;
};

/* Nothing runs yet: what cannot be recorded is not restored. */
static int on_restored(void *arg, const struct oci_init *init, struct error *e)
{
	struct restoration *r = arg;
	int result;

	if (r->c->spec->process.terminal && init->console_fd < 0)
		return err_new(e, ERR_STATE,
			       "the checkpoint has no terminal, and the bundle's process.terminal "
			       "is true");
	result = creation_save(r->c, init, e);
	return result < 0 ? result : creation_hand_over(r->c, init, r->opts->pid_file, e);
}

static int restore(struct creation *c, const struct restore_opts *o, const struct criu_common *common,
		   struct error *e)
{
	struct oci_create create = OCI_CREATE_INIT;
	struct restoration restoration = { c, o };
	const struct criu_restore r = {
		.common = *common,
		.create = &create,
		.lsm_profile = o->lsm_profile,
		.lsm_mount_context = o->lsm_mount_context,
		.restored = on_restored,
		.arg = &restoration,
	};
	int result;

	create.id = c->id;
	create.spec = c->spec;
	create.bundle_dfd = c->bundle_dfd;
	for (int fd = 0; fd < 3; fd++)
		create.stdio[fd] = fd;
	create.cgroups = c->cgroups;
	result = creation_save_intent(c, e);
	if (result >= 0)
		result = file_write_atomic(c->dfd, STATE_CONFIG, c->config.data, c->config.len,
					   0600 | c->h->state_sticky, false, e);
	if (result >= 0)
		result = criu_restore(&r, &c->init, e);
	if (result < 0)
		creation_undo(c, e);
	return result;
}

static int check_label(const char *profile, struct error *e)
{
	const char *name = profile ? strchr(profile, ':') : NULL;

	if (!profile || ((str_starts(profile, "apparmor:") || str_starts(profile, "selinux:")) && name[1]))
		return 0;
	return err_new(e, ERR_INVALID, "--lsm-profile \"%.200s\" is neither apparmor:NAME nor selinux:LABEL",
		       profile);
}

/* The container is ours until it ended, then it is removed. */
static int stay(struct hull *h, struct creation *c, struct error *e)
{
	CLEANUP(container_done) struct container made = CONTAINER_INIT;
	struct error why = ERROR_INIT;
	int status = foreground_wait(&c->init, -1, e);

	hull_show_warnings(h);
	if (container_load(h, c->id, &made, &why) < 0 || container_destroy(h, &made, &why) < 0)
		log_warn("%s", err_msg(&why));
	return status;
}

static int run(struct hull *h, void *fields, char **args, struct error *e)
{
	const struct restore_opts *o = fields;
	CLEANUP(creation_done) struct creation c = CREATION_INIT(h, NULL, args[0]);
	struct criu_common common;
	int r = state_check_id(c.id, e);

	if (r >= 0)
		r = check_label(o->lsm_profile, e);
	if (r >= 0)
		r = criu_words_read(h, &o->common, &common, e);
	if (r >= 0)
		r = criu_check_privileges(e);
	if (r >= 0)
		r = creation_load_bundle(&c, o->bundle, e);
	if (r >= 0)
		r = creation_prepare_terminal(&c, o->detach, o->console_socket, e);
	if (r >= 0 && o->pidfd_socket)
		r = handover_connect(o->pidfd_socket, "pidfd-socket", &c.pidfd_sock, e);
	if (r >= 0)
		r = hull_cgroups(h, &c.cgroups, e);
	if (r < 0)
		return r;
	if (!o->detach)
		foreground_prepare(!o->no_subreaper);
	r = state_make_dir(h->root, c.id, h->state_sticky, &c.dfd, e);
	if (r < 0)
		return hull_state_error(h, e);
	r = restore(&c, o, &common, e);
	if (r < 0)
		return r;
	return o->detach ? 0 : stay(h, &c, e);
}

const struct command command_restore = {
	.name = "restore",
	.arguments = "CONTAINER",
	.summary = "make a container from a checkpoint and its bundle",
	.options = options,
	.options_size = sizeof(struct restore_opts),
	.least = 1,
	.most = 1,
	.enters_containers = true,
	.run = run,
};
