/* SPDX-License-Identifier: Apache-2.0 */
/* What this node can do. Internal to src/cri. */
#ifndef HULL_CRI_PROBE_H
#define HULL_CRI_PROBE_H

#include "cri/state.h"

/* Try each facility once, on the file system of root_dfd. Never fails: what does not work is false, and
 * ret->missing says why user namespaces are not offered. Leaves nothing behind. */
void probe_features(int root_dfd, const char *root_dir, struct features *ret);

#endif
