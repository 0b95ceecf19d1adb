/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle of busybox in a temporary directory, and containers made of it: for tests that need root. */
#ifndef HULL_TEST_OCI_BOX_H
#define HULL_TEST_OCI_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "oci/runtime.h"

struct box {
	char dir[64]; /* DIR/rootfs is the root file system */
	int dfd, root_dfd;
	struct buf config; /* of the last box_spec() */
	struct oci_spec *spec;
	struct cgroup_host *cgroups;
};

/* Whether containers can be made here at all: CAP_SYS_ADMIN in the initial user namespace, and busybox. */
bool box_is_possible(void);
#define NEED_BOX()                                                                                           \
	do {                                                                                                 \
		if (!box_is_possible()) {                                                                    \
			print_message("skipped: needs root in the initial user namespace, and /bin/busybox " \
				      "static\n");                                                           \
			skip();                                                                              \
		}                                                                                            \
	} while (0)

/* Linux 6.15; and what the file system of the test's directory can do (tmpfs: 6.3). */
bool box_can_clone_detached(void);
bool box_can_idmap(const struct box *b);
#define NEED(condition, what)                                       \
	do {                                                        \
		if (!(condition)) {                                 \
			print_message("skipped: needs " what "\n"); \
			skip();                                     \
		}                                                   \
	} while (0)

void box_make(struct box *b);
void box_remove(struct box *b);

/* What a test changes in the default spec; all may be NULL. */
struct box_spec {
	const char *script;	  /* run by sh -c */
	const char *args;	  /* JSON array in place of that */
	const char *extra_mounts; /* JSON objects, each preceded by a comma */
	const char *namespaces;	  /* JSON array; default: pid network ipc uts mount cgroup */
	const char *linux_extra;  /* JSON members, each preceded by a comma */
	const char *process_extra;
	const char *top_extra;
	const char *cwd;
	const char *mounts; /* in place of all default mounts: a JSON array */
	bool readonly;
};
void box_spec(struct box *b, const struct box_spec *s);

struct box_run {
	int status;	/* exit status; 128 + n for a signal; -kind when it could not be made or started */
	struct buf out; /* its stdout and stderr */
	struct error e;
};
void box_run_done(struct box_run *r);
/* Create, start, wait. o may be NULL. */
void box_run(struct box *b, const struct oci_create *o, struct box_run *ret);
/* Only what was printed, as a C string in r->out. */
#define BOX_RUN_INIT ((struct box_run){ .e = ERROR_INIT })

#define assert_has(run, text)                                                                          \
	do {                                                                                           \
		if (!strstr(buf_str(&(run).out), (text)))                                              \
			fail_msg("\"%s\" is not in the output (status %d, error \"%s\"):\n%s", (text), \
				 (run).status, err_msg(&(run).e), buf_str(&(run).out));                \
	} while (0)
#define assert_has_not(run, text)                                                              \
	do {                                                                                   \
		if (strstr(buf_str(&(run).out), (text)))                                       \
			fail_msg("\"%s\" is in the output:\n%s", (text), buf_str(&(run).out)); \
	} while (0)
#define assert_ran(run)                                                                                   \
	do {                                                                                              \
		if ((run).status != 0)                                                                    \
			fail_msg("status %d, error \"%s\", output:\n%s", (run).status, err_msg(&(run).e), \
				 buf_str(&(run).out));                                                    \
	} while (0)

int box_wait(int pid_fd);
/* Shell in the test's own process: must succeed. */
void box_sh(const char *fmt, ...) PRINTF(1, 2);

#endif
