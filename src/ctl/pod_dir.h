/* SPDX-License-Identifier: Apache-2.0 */
/* What a pod of "hullctl run" has on the node beside hulld's own things, as a kubelet would keep it:
 *
 *	DATA/UID/volumes/empty-dir/NAME		its emptyDir volumes
 *	DATA/UID/logs				a symbolic link to its log directory
 *	LOGS/NAMESPACE_NAME_UID/		its logs
 *
 * A pod without such a directory was not made here: then nothing is removed. */
#ifndef HULL_CTL_POD_DIR_H
#define HULL_CTL_POD_DIR_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define POD_DIR_DEFAULT "/var/lib/hull-pods"
#define POD_LOGS_DEFAULT "/var/log/pods"

/* Make DATA/UID and the log directory. Fails: INVALID (uid is no file name), EXISTS, SYS. */
int pod_dir_make(const char *data, const char *uid, const char *log_dir, struct error *e) MUST_USE;
/* Make an emptyDir volume, mode 0777 as a kubelet's; fs_group -1: none. The mapping of a user namespace is the mount's
 * (id-mapped), so the directory belongs to root here. *ret_path is the caller's. Fails: INVALID, SYS. */
int pod_dir_volume(const char *data, const char *uid, const char *name, int64_t fs_group, char **ret_path,
		   struct error *e) MUST_USE;
/* Remove all of it; a pod that has none is fine. Fails: SYS. */
int pod_dir_remove(const char *data, const char *uid, struct error *e) MUST_USE;

#endif
