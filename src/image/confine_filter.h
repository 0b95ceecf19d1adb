/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HULL_IMAGE_CONFINE_FILTER_H
#define HULL_IMAGE_CONFINE_FILTER_H

#include "base/error.h"

enum filter_kind {
	FILTER_NETWORK,	   /* read files, sockets, threads */
	FILTER_FILES_READ, /* read files, threads */
	FILTER_UNPACK,	   /* make files; no sockets, no threads, no executable memory */
};

/* Load the seccomp filter of this kind: what is not in its list fails with ENOSYS. Fails: SYS. */
int filter_load(enum filter_kind kind, struct error *e) MUST_USE;

#endif
