/* SPDX-License-Identifier: Apache-2.0 */
/* What the command lines of checkpoint and restore have in common. */
#ifndef HULL_HULL_CHECKPOINT_H
#define HULL_HULL_CHECKPOINT_H

#include "hull/hull.h"
#include "oci/criu.h"

struct criu_words {
	const char *image_path, *work_path, *cgroups_mode;
	bool tcp_established, ext_unix_sk, shell_job, file_locks, auto_dedup, lazy_pages;
	struct strv empty_ns;
};

/* clang-format off */
#define CRIU_OPTIONS(type, words) \
	{ "image-path", 0, OPTION(type, words.image_path), "DIR", "where the images are (checkpoint)" }, \
	{ "work-path", 0, OPTION(type, words.work_path), "DIR", "where criu's logs and sockets are (--image-path)" }, \
	{ "tcp-established", 0, OPTION(type, words.tcp_established), NULL, "keep established TCP connections" }, \
	{ "ext-unix-sk", 0, OPTION(type, words.ext_unix_sk), NULL, "allow connections to unix sockets outside" }, \
	{ "shell-job", 0, OPTION(type, words.shell_job), NULL, "the container uses the terminal of whoever started it" }, \
	{ "file-locks", 0, OPTION(type, words.file_locks), NULL, "keep file locks" }, \
	{ "manage-cgroups-mode", 0, OPTION(type, words.cgroups_mode), "soft|full|strict|ignore", "what is done with cgroups inside of the container's (soft)" }, \
	{ "empty-ns", 0, OPTION(type, words.empty_ns), "network", "make this namespace without its contents (the network always is)" }, \
	{ "auto-dedup", 0, OPTION(type, words.auto_dedup), NULL, "free the images' memory as it is used or replaced" }, \
	{ "lazy-pages", 0, OPTION(type, words.lazy_pages), NULL, "leave memory behind, to be fetched when it is touched" }
/* clang-format on */

/* Fails: INVALID. What *ret points to belongs to h and w. */
int criu_words_read(const struct hull *h, const struct criu_words *w, struct criu_common *ret,
		    struct error *e) MUST_USE;

#endif
