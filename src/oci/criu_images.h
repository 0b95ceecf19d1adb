/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of a checkpoint, before criu reads it as root. */
#ifndef HULL_OCI_CRIU_IMAGES_H
#define HULL_OCI_CRIU_IMAGES_H

#include <stdbool.h>

#include "base/error.h"
#include "oci/criu_plan.h"

/* Everything in it, and in the directories that "parent" leads to, is root's (or ours), can be written by nobody else,
 * and is a file or a directory: a link could make criu put the host's files into the container's memory.
 * With has_memory, the memory is all there that they name: where it ends too soon, criu turns round for ever.
 * Fails: DENIED, NOT_FOUND (it is no checkpoint), CORRUPT (naming the image), LIMIT, SYS. */
int criu_images_check(int images_dfd, bool has_memory, struct error *e) MUST_USE;

/* descriptors.json. One that is missing names nothing. Fails: CORRUPT, SYS. */
int criu_images_descriptors(int images_dfd, struct criu_descriptors *ret, struct error *e) MUST_USE;

#endif
