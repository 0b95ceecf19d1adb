/* SPDX-License-Identifier: Apache-2.0 */
/* What can be known before anything is made: criu answers about itself and the kernel in some milliseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/proc.h"
#include "oci/criu.h"
#include "oci/criu_plan.h"
#include "oci/criu_rpc.h"
#include "userns/userns.h"

int criu_cgroups_parse(const char *text, enum criu_cgroups *ret, struct error *e)
{
	static const char *const names[] = {
		[CRIU_CGROUPS_SOFT] = "soft",
		[CRIU_CGROUPS_FULL] = "full",
		[CRIU_CGROUPS_STRICT] = "strict",
		[CRIU_CGROUPS_IGNORE] = "ignore",
	};

	*ret = CRIU_CGROUPS_SOFT;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(text, names[i])) {
			*ret = (enum criu_cgroups)i;
			return 0;
		}
	return str_is_empty(text)
		       ? 0
		       : err_new(e, ERR_INVALID,
				 "manage-cgroups-mode \"%.100s\" is none of soft, full, strict, ignore",
				 text);
}

int criu_check_privileges(struct error *e)
{
	if (geteuid() != 0)
		return err_new(e, ERR_DENIED,
			       "checkpoint and restore need root: criu stops processes by ptrace(2), reads "
			       "and makes "
			       "their namespaces, mounts and pids (CAP_SYS_ADMIN in the initial user "
			       "namespace), and "
			       "this is user %u",
			       geteuid());
	if (!userns_is_initial())
		return err_new(
			e, ERR_DENIED,
			"checkpoint and restore need root in the initial user namespace: here root is a "
			"user of a child namespace, to whom the kernel gives neither the host's mounts nor "
			"the pids that criu restores");
	return 0;
}

/* `criu check` says in whole lines what the worker has no log for yet. */
static int say_why(const char *path, int version, struct error *e)
{
	CLEANUP(criu_worker_done) struct criu_worker w = CRIU_WORKER_INIT;
	const char *const argv[] = { "criu", "check", NULL };
	struct proc_opts o = { .path = path, .argv = argv, .env = criu_environment(), .fd_count = 3 };
	struct proc proc = PROC_INIT;
	struct utsname kernel;
	char hint[256];
	int status, r;

	uname(&kernel);
	r = criu_output(&w, e);
	if (r < 0)
		return r;
	o.fds[0] = -1;
	o.fds[1] = o.fds[2] = w.output_fd;
	r = proc_spawn(&o, &proc, e);
	if (r >= 0)
		r = proc_wait(&proc, 0, &status, e);
	proc_done(&proc);
	if (r < 0)
		return r;
	criu_failed(&w, -1, NULL, NULL, e);
	snprintf(hint, sizeof(hint), "criu %d.%d.%d does not work on this kernel, %s", version / 10000,
		 version / 100 % 100, version % 100, kernel.release);
	err_kind(e, ERR_UNSUPPORTED);
	err_hint(e, "a newer criu may; --criu names one");
	return err_ctx(e, "%s", hint);
}

static int ask_version(struct criu_worker *w, struct arena *a, int *ret_version, struct error *e)
{
	const Hull__Criu__Request q = {
		.base.descriptor = &hull__criu__request__descriptor,
		.type = HULL__CRIU__TYPE__VERSION,
		.has_keep_open = true,
		.keep_open = true,
	};
	Hull__Criu__Response *m = NULL;
	const Hull__Criu__Version *v;
	int r = criu_worker_call(w, &q, NULL, NULL, a, &m, e);

	if (r < 0)
		return r;
	v = r == 0 ? m->version : NULL;
	if (!v)
		return err_new(e, ERR_UNSUPPORTED,
			       "this criu does not tell its version: it is older than 3.0");
	*ret_version = v->major_number * 10000 + v->minor_number * 100 + (v->has_sublevel ? v->sublevel : 0);
	if (*ret_version < CRIU_VERSION_MIN)
		return err_new(e, ERR_UNSUPPORTED, "criu %d.%d is too old, %d.%d is the oldest that will do",
			       v->major_number, v->minor_number, CRIU_VERSION_MIN / 10000,
			       CRIU_VERSION_MIN / 100 % 100);
	return 0;
}

/* 1: criu cannot even find out. */
static int ask_features(struct criu_worker *w, struct arena *a, const Hull__Criu__Features **ret,
			struct error *e)
{
	Hull__Criu__Features wanted = {
		.base.descriptor = &hull__criu__features__descriptor,
		.has_mem_track = true,
		.mem_track = true,
		.has_lazy_pages = true,
		.lazy_pages = true,
	};
	const Hull__Criu__Request q = {
		.base.descriptor = &hull__criu__request__descriptor,
		.type = HULL__CRIU__TYPE__FEATURE_CHECK,
		.features = &wanted,
	};
	Hull__Criu__Response *m = NULL;
	int r = criu_worker_call(w, &q, NULL, NULL, a, &m, e);

	if (r == 0)
		*ret = m->features;
	return r;
}

static int check_features(const struct criu_common *c, bool wants_tracking, const Hull__Criu__Features *f,
			  struct error *e)
{
	if (wants_tracking && !(f && f->mem_track))
		return err_new(
			e, ERR_UNSUPPORTED,
			"--pre-dump and --parent-path need a kernel that tracks which memory was written "
			"(CONFIG_MEM_SOFT_DIRTY), and criu says that this one does not");
	if (c->lazy_pages && !(f && f->lazy_pages))
		return err_new(
			e, ERR_UNSUPPORTED,
			"--lazy-pages needs userfaultfd(2) with its events for other processes, and criu "
			"says that this kernel has none");
	return 0;
}

int criu_probe(const struct criu_common *c, bool wants_tracking, char **ret_path, int *ret_version,
	       struct error *e)
{
	CLEANUP(criu_worker_done) struct criu_worker w = CRIU_WORKER_INIT;
	const Hull__Criu__Features *features = NULL;
	cleanup_arena struct arena a = ARENA_INIT;
	cleanup_free char *path = NULL;
	int version = 0, r = criu_check_privileges(e);

	if (r >= 0)
		r = criu_find(c->program, &path, e);
	if (r >= 0)
		r = criu_worker_start(path, &w, e);
	if (r >= 0)
		r = ask_version(&w, &a, &version, e);
	if (r < 0)
		return r;
	r = ask_features(&w, &a, &features, e);
	if (r == 1 || r == -ERR_UNAVAILABLE)
		return say_why(path, version, e);
	if (r >= 0)
		r = check_features(c, wants_tracking, features, e);
	if (r < 0)
		return r;
	log_debug("criu is \"%s\", version %d", path, version);
	*ret_path = take_ptr(path);
	*ret_version = version;
	return 0;
}
