/* SPDX-License-Identifier: Apache-2.0 */
/* User namespaces: whether we are in one, making one for its id maps, and making all namespaces of a
 * pod at once, the user namespace first so that it owns the others. */
#ifndef HULL_USERNS_USERNS_H
#define HULL_USERNS_USERNS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "userns/idmap.h"
#include "userns/sysctl.h"

/* Where hull itself runs. The initial user namespace is the one that the kernel numbers 0xEFFFFFFD
 * (PROC_USER_INIT_INO); its uid_map is the identity of all ids. A map that is not proves a child
 * namespace, but the identity proves nothing: a child may have it too, and then the number decides.
 * Without /proc/self/ns the map is all there is. */
struct userns_self {
	bool in_child;		 /* not the initial user namespace */
	bool full_map;		 /* all uids and gids are mapped to themselves */
	bool is_mapped;		 /* our maps are written: ids mean something */
	struct idmap uids, gids; /* our own maps: what we can give to a child namespace */

	/* What follows from in_child (and, where named, from the maps). Each names a thing that works in
	 * the initial namespace for a root with all capabilities. */
	bool cannot_mknod;	       /* device nodes: bind the host's instead (mknod(2)) */
	bool cannot_lower_oom_score;   /* below the score we started with (proc(5)) */
	bool cannot_raise_rlimits;     /* a hard limit, above its value (setrlimit(2)) */
	bool cannot_idmap_host_mounts; /* mount_setattr(2) of a file system that an outer namespace mounted */
	bool cannot_mount_devices;     /* file systems on block devices; only those marked FS_USERNS_MOUNT */
	bool cannot_trust_xattrs;      /* trusted.*: overlay wants "userxattr" */
	bool cannot_filter_devices;    /* BPF_PROG_TYPE_CGROUP_DEVICE; v1 devices.allow */
	bool cannot_write_host_sysctls; /* those of no namespace of ours */
	bool cannot_setgroups;		/* denied when our gid_map was written: no supplementary groups */
	bool cannot_choose_ids;		/* only ids of our own map can be given away: not all are there */
};

/* Fails: SYS, INVALID (a uid_map that makes no sense). */
int userns_detect(struct userns_self *ret, struct error *e) MUST_USE;
/* The decision itself, pure: the texts of uid_map and gid_map, that of setgroups ("" when unknown), and
 * the inode of /proc/self/ns/user (0: unknown). */
int userns_judge(const char *uid_map, const char *gid_map, const char *setgroups, uint64_t user_ino,
		 struct userns_self *ret, struct error *e) MUST_USE;
/* The short question; true when it cannot be found out. Asked once, then remembered, so not for a process
 * that enters another user namespace. */
bool userns_is_initial(void);

/* A new user namespace with these maps, held by nothing but the fd: for idmapped mounts
 * (mount_setattr(2) MOUNT_ATTR_IDMAP) and for setns(2). Costs a short-lived child (it shares our
 * memory and touches none of it), about 0.1 ms, so it is worth keeping for as long as the maps are
 * used. Thread-safe; from threaded processes too.
 * Fails: INVALID, EXISTS, LIMIT (maps), DENIED, UNSUPPORTED, SYS. */
int userns_mapping_fd(const struct idmap *uids, const struct idmap *gids, int *ret_fd,
		      struct error *e) MUST_USE;

/* The same for who has no privilege to write any map that it likes: its own id alone is written directly (setgroups(2)
 * is denied in there then), all else by newuidmap(1) and newgidmap(1) (userns/subid.h). Not for threaded processes.
 * userns_check_maps() looks before whether that can succeed, and userns_denies_setgroups() whether additional groups
 * will be possible in there; neither makes anything.
 * We have to be dumpable: the programs take the owner of /proc/PID for the owner of the process.
 * Fails: INVALID, EXISTS, LIMIT (maps), DENIED (ids that are not ours to map; user namespaces are not for us),
 *        UNSUPPORTED (newuidmap is missing), SYS */
int userns_make(const struct idmap *uids, const struct idmap *gids, int *ret_fd, struct error *e) MUST_USE;
int userns_check_maps(const struct idmap *uids, const struct idmap *gids, struct error *e) MUST_USE;
bool userns_denies_setgroups(const struct idmap *gids);

/* The maps of a user namespace, read through a process that enters it (a child of ours).
 * Fails: STATE (not a user namespace), DENIED, SYS. */
int userns_read_maps(int user_fd, struct idmap *ret_uids, struct idmap *ret_gids, struct error *e) MUST_USE;

struct podns_opts {
	bool user;			 /* a new user namespace with uids and gids */
	bool net, ipc, uts;		 /* these new, owned by the user namespace that is new or joined */
	const struct idmap *uids, *gids; /* with user only */
	bool join_user;			 /* instead of user: inside the one of join_user_fd */
	int join_user_fd;
	const char *hostname;		   /* with uts only, NULL: unchanged. At most 64 bytes */
	const struct sysctl_item *sysctls; /* each has passed sysctl_check() for what is new here */
	size_t sysctl_count;
};
struct podns {
	int user_fd, net_fd, ipc_fd, uts_fd; /* owned; -1 where none was made */
};
#define PODNS_INIT ((struct podns){ -1, -1, -1, -1 })

/* Make the namespaces of a pod: one clone3(2) for all of them, maps written from here, then inside, in
 * this order: lo up, host name, sysctls. The child that was needed is gone when this returns; the fds
 * are all that holds the namespaces. A joined user namespace is not in ret (user_fd is -1).
 * Of a pod without a user namespace the same, without one.
 * Fails: INVALID      an option that makes no sense; a map (as idmap_check() with need_zero)
 *        UNSUPPORTED  a namespace that this kernel does not have
 *        LIMIT        user.max_*_namespaces
 *        DENIED, NOT_FOUND (a sysctl), SYS
 * Nothing is left when it fails. */
int podns_create(const struct podns_opts *opts, struct podns *ret, struct error *e) MUST_USE;
void podns_done(struct podns *ns);
DEFINE_CLEANUP_VALUE(struct podns, podns_done)
#define cleanup_podns CLEANUP(podns_done)

#endif
