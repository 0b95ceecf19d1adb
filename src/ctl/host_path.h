/* SPDX-License-Identifier: Apache-2.0 */
/* hostPath volumes by their types, as a kubelet checks and makes them. */
#ifndef HULL_CTL_HOST_PATH_H
#define HULL_CTL_HOST_PATH_H

#include "base/error.h"

/* Check path against the type ("" checks nothing), making it for the OrCreate ones: directories 0755, files 0644, of
 * root. Fails: NOT_FOUND, INVALID (it is something else), SYS. */
int host_path_prepare(const char *path, const char *type, struct error *e) MUST_USE;

#endif
