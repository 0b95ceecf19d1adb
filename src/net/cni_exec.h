/* SPDX-License-Identifier: Apache-2.0 */
/* One execution of a plugin. */
#ifndef HULL_NET_CNI_EXEC_H
#define HULL_NET_CNI_EXEC_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "net/cni.h"

/* The first executable file `type` in dirs. Fails: UNAVAILABLE, naming the directories. */
int cni_exec_find(const struct strv *dirs, const char *type, char **ret_path, struct error *e) MUST_USE;

struct cni_exec {
	const char *path;
	const char *const *argv; /* NULL-terminated; NULL: only the path */
	const char *const *env;	 /* NULL-terminated */
	const char *input;	 /* stdin */
	size_t input_len;
	int keep_fd; /* fd 3 of the program; 0: none */
	const struct cni_call *call;
};
struct cni_output {
	struct buf out; /* at most CNI_OUTPUT_MAX_BYTES */
	struct buf err; /* the last bytes of stderr */
	int status;	/* as waitpid(2) gives it */
};
void cni_output_done(struct cni_output *o);
DEFINE_CLEANUP_VALUE(struct cni_output, cni_output_done)

/* Run it to its end in a session of its own; it is killed when the calling thread ends. ret_output must be empty; its err is set on failure too.
 * Fails: TIMEOUT, CANCELED, LIMIT (too much on stdout): the whole process group is then killed
 *        NOT_FOUND, SYS: it could not be started */
int cni_exec_run(const struct cni_exec *x, struct cni_output *ret_output, struct error *e) MUST_USE;

#endif
