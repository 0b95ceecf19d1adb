/* SPDX-License-Identifier: Apache-2.0 */
/* hulld's end of one hull-unpack. */
#ifndef HULL_IMAGE_WORKER_H
#define HULL_IMAGE_WORKER_H

#include <stdint.h>

#include "base/error.h"
#include "base/proc.h"
#include "image/images.h"
#include "image/wire.h"

struct worker {
	struct proc proc;
	struct wire wire;
	int alive_fd;	    /* readable when all of its processes are gone */
	int tmp_dfd;	    /* borrowed: where the work directory is */
	char work_name[32]; /* its name; "" when there is none */
	int work_dfd;
	bool is_done; /* it has nothing left to do: it ends by itself when its socket closes */
};
#define WORKER_INIT ((struct worker){ .proc = PROC_INIT, .wire.fd = -1, .alive_fd = -1, .work_dfd = -1 })

/* Make the work directory in tmp_dfd and start the program. source_fd: what to import, or -1.
 * Fails: NOT_FOUND (no such program), SYS. */
int worker_start(struct worker *w, const char *helper, int tmp_dfd, int source_fd, struct error *e) MUST_USE;
/* End it, wait until none of its processes is left, remove the work directory. */
void worker_stop(struct worker *w);
DEFINE_CLEANUP_VALUE(struct worker, worker_stop)

/* Send the six strings of AuthConfig as they are in the caller's memory; nothing of them is kept. */
uint64_t worker_auth_bytes(const struct image_auth *auth);
int worker_send_auth(struct worker *w, const struct image_auth *auth, struct error *e) MUST_USE;

/* The next event but "error", which becomes this function's error. Fails: INTERNAL (the worker ended), as
 * wire_receive(), as the worker said. */
int worker_event(struct worker *w, int cancel_fd, int64_t deadline_ns, struct json_object **ret,
		 const char **ret_name, struct error *e) MUST_USE;

#endif
