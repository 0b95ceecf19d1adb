/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint and restore of containers by criu(8), a program that is looked for when it is needed.
 *
 * What is in a checkpoint and what is not. criu writes the processes, their memory and open files, the contents of
 * file systems that the container has of its own (tmpfs, /dev, mqueue), and the shape of its mount and other
 * namespaces. What comes from outside is only named there, and found again at restore by the bundle alone:
 *
 *   the root file system                 criu's "root", a private mount
 *   bind mounts and what is below them   "mnt[NAME]", NAME is the destination in the spec
 *   masked files                         "mnt[/dev/null]"
 *   cgroup mounts, bound device nodes    "mnt[MOUNT POINT]"
 *   a joined network or pid namespace    "net[INODE]:extRootNetNS", given back as an inherited fd
 *   joined ipc, uts and time namespaces  nothing: criu runs inside of them, and what is its own is in no image
   a pipe, a file, a socket as stdio    "pipe:[INODE]", "file[MOUNT:INODE]", "unix[INODE]"; which of fds 0 to 2 had which
 *                                        stands in descriptors.json of the images
 *
 * The names are runc's where it has one. Nothing that is read from the images by us leads to a path: a name that the
 * bundle does not have is criu's error. But the images say what the processes are, with which ids and capabilities:
 * restoring them is running them, so a directory that others may write is refused. */
#ifndef HULL_OCI_CRIU_H
#define HULL_OCI_CRIU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"
#include "oci/runtime.h"
#include "oci/spec.h"

#define CRIU_CONFIG_FILE "/etc/criu/runc.conf" /* criu's options for containers: its lines win over ours */
#define CRIU_VERSION_MIN 31600		       /* 3.16 */

enum criu_cgroups { CRIU_CGROUPS_SOFT, CRIU_CGROUPS_FULL, CRIU_CGROUPS_STRICT, CRIU_CGROUPS_IGNORE };
/* "soft", "full", "strict", "ignore"; NULL and "" are soft. Fails: INVALID. */
int criu_cgroups_parse(const char *text, enum criu_cgroups *ret, struct error *e) MUST_USE;

/* What dump and restore have in common. */
struct criu_common {
	const char *program;	/* a path, or a name that is looked up in $PATH */
	const char *image_path; /* directory of the images; a dump makes it (0700) */
	const char *work_path;	/* directory of logs and sockets, made when it is missing; NULL: image_path */
	enum criu_cgroups cgroups;
	bool tcp_established, ext_unix_sk, shell_job, file_locks, auto_dedup, lazy_pages;
};

/* The first of what criu_probe() looks at, for callers that touch something before. Fails: DENIED. */
int criu_check_privileges(struct error *e) MUST_USE;
/* Look for what is missing before anything is made: privileges, the program and who may write it, its version,
 * whether it can work on this kernel, and with wants_tracking or lazy_pages whether these can be had.
 * ret_version is 31701 for criu 3.17.1; ret_path is the caller's to free.
 * Fails: DENIED       not root in the initial user namespace; the program belongs to somebody else
 *        NOT_FOUND    no such program
 *        UNSUPPORTED  criu is too old, or the kernel lacks something: with criu's own words */
int criu_probe(const struct criu_common *c, bool wants_tracking, char **ret_path, int *ret_version,
	       struct error *e) MUST_USE;

struct criu_dump {
	struct criu_common common;
	const char *id;
	const struct oci_spec *spec; /* as it was at create */
	pid_t pid;		     /* of the init */
	int pid_fd;		     /* the same; borrowed */
	int bundle_dfd;		     /* for sources of mounts; borrowed; -1 */
	const char
		*freeze_cgroup; /* directory in the freezer hierarchy, or in v2; NULL: criu stops each task */
	const struct strv *
		stdio; /* what fds 0 to 2 of the init were at create, as their links in /proc; may be empty */
	const char *parent_path; /* images of an earlier pre-dump, relative to image_path; NULL */
	const char *page_server; /* "ADDRESS:PORT"; NULL */
	int status_fd;		 /* gets a 0 byte when lazy pages can be asked for; -1 */
	bool leave_running, pre_dump, tcp_skip_in_flight, link_remap;
};
#define CRIU_DUMP_INIT ((struct criu_dump){ .pid_fd = -1, .bundle_dfd = -1, .status_fd = -1 })

/* When this returns 0, the images are complete; the processes are gone, unless leave_running or pre_dump. When it
 * fails, the container runs on as before.
 * Fails: as criu_probe(); INVALID (parent_path, page_server), STATE (criu failed: with the last errors of its log). */
int criu_dump(const struct criu_dump *d, struct error *e) MUST_USE;

struct criu_restore {
	struct criu_common common;
	const struct oci_create
		*create; /* id, spec, bundle, root file system, stdio, namespaces, cgroups, clone_parent
					  * mean what they do for oci_create(); the rest is of no use */
	const char *lsm_profile; /* "apparmor:NAME", "selinux:LABEL"; NULL: as dumped */
	const char *lsm_mount_context;
	/* Called when all is restored and nothing runs yet; what it returns negative ends the restore. init is as
	 * oci_create() returns it. */
	int (*restored)(void *arg, const struct oci_init *init, struct error *e);
	void *arg;
};

/* The container runs when this returns 0; its init is a child of the caller (or of the caller's parent). Of the spec's
 * hooks, prestart and createRuntime have run in between, as soon as the namespaces were there. When it fails nothing
 * is left: no process, no cgroup, no mount.
 * Fails: as criu_probe(); NOT_FOUND (no images), INVALID (they are none), DENIED (others may write them), STATE (criu
 * failed: with the last errors of its log); and as oci_create() for what the bundle has. */
int criu_restore(const struct criu_restore *r, struct oci_init *ret, struct error *e) MUST_USE;

#endif
