/* SPDX-License-Identifier: Apache-2.0 */
/* Who a container's process is: "user[:group]" of an image or request, by number or by name, read from the
 * root file system's own /etc/passwd and /etc/group, and the supplementary groups by the pod's policy.
 *
 * The one resolver for everybody (CRI, `hull exec --user`): two that differ are a hole (CVE-2026-30892).
 * Pure: it works on the bytes of the two files. The files are the image's, so they are untrusted: bounded,
 * lines that make no sense are passed over, numbers past 2^32 - 1 are no numbers (CVE-2024-40635). */
#ifndef HULL_OCI_IDENTITY_H
#define HULL_OCI_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define IDENTITY_FILE_MAX (1u << 20) /* bytes of /etc/passwd or /etc/group that we read */
#define IDENTITY_GROUPS_MAX 65536    /* NGROUPS_MAX of the kernel */

struct identity_files {
	struct buf passwd, group; /* empty when the file is absent */
};
void identity_files_done(struct identity_files *f);
DEFINE_CLEANUP_VALUE(struct identity_files, identity_files_done)

/* Read /etc/passwd and /etc/group inside root_dfd (openat2 RESOLVE_IN_ROOT, never a magic link). An absent
 * file is empty. Fails: INVALID no regular file (a FIFO, a device), LIMIT larger than IDENTITY_FILE_MAX, SYS. */
int identity_files_read(int root_dfd, struct identity_files *ret_files, struct error *e) MUST_USE;

/* The same through unmounted overlay layers, layers[0] the topmost: the first that has the name decides; a
 * whiteout (0/0 device) or an opaque directory hides those below, as overlayfs does. A symlink is followed
 * through the layers up to a bounded depth. */
int identity_files_read_layers(const int *layer_dfds, size_t layer_count, struct identity_files *ret_files,
			       struct error *e) MUST_USE;

enum identity_policy { /* CRI: SupplementalGroupsPolicy */
		       IDENTITY_MERGE =
			       0, /* the groups asked for, and those of the image's /etc/group for this user */
		       IDENTITY_STRICT = 1, /* only the groups asked for */
};

struct identity_request {
	const char *user;     /* "", "name", "1000", "name:group", "1000:1000" as an image's User; NULL or
					 * "" is 0:0. Ignored when uid or username is given */
	const char *username; /* must exist in passwd: CRI run_as_username */
	bool has_uid, has_gid;
	int64_t uid, gid;      /* CRI run_as_user, run_as_group: checked to be 0 to 2^32 - 2 */
	const int64_t *groups; /* CRI supplemental_groups, checked alike */
	size_t group_count;
	enum identity_policy policy;
};

struct oci_identity {
	uint32_t uid, gid;
	uint32_t *groups; /* additional ones, ascending and once each; gid is always one of them, since a
				 * set-gid program could otherwise shed it, and with it what its bits deny
				 * (CVE-2022-36109, CVE-2022-2995) */
	size_t group_count;
	char *name; /* of the user; NULL when no passwd line has this uid */
	char *home; /* of passwd; "/" when there is none */
};
#define OCI_IDENTITY_INIT ((struct oci_identity){ 0 })
void oci_identity_done(struct oci_identity *id);
DEFINE_CLEANUP_VALUE(struct oci_identity, oci_identity_done)

/* A user given by number alone gets the gid of its passwd line, else 0. Digits are always a number, never a name
 * (useradd(8) refuses such names).
 * Fails: NOT_FOUND  no such user or group name in the image's files
 *        INVALID    an id out of range, more than one ':', a group without a user
 *        LIMIT      more than IDENTITY_GROUPS_MAX groups */
int identity_resolve(const struct identity_files *files, const struct identity_request *req,
		     struct oci_identity *ret_identity, struct error *e) MUST_USE;

/* The home directory of a uid, for HOME when a process's env has none; "/" without a line. Caller frees. */
char *identity_home(const struct identity_files *files, uint32_t uid) MUST_USE;

#endif
