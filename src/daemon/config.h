/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: built-in values, then the file and the drop-ins beside it, then flags. */
#ifndef HULL_DAEMON_CONFIG_H
#define HULL_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "cri/config.h"
#include "daemon/server.h"

#define CONFIG_DEFAULT_FILE "/etc/hull/config.yaml"

/* What the command line says; NULL and empty are "nothing". Borrowed. */
struct config_flags {
	const char *file; /* must exist; NULL: CONFIG_DEFAULT_FILE, which need not */
	const char *listen, *root, *state, *cni_conf_dir, *cgroup_driver, *log_level, *log_format,
		*helper_dir;
	struct strv cni_bin_dirs;
};

struct daemon_config {
	struct node_config node;
	struct {
		uint32_t max_connections, max_calls, max_long_calls, max_streams, drain_s;
	} limits;
};

/* Read FILE and then DIR/config.d/ *.yaml in the order of their names, where DIR is that of FILE. A later
 * file replaces single values; registries and runtimes are replaced by prefix and name.
 * Fails: INVALID (a bad value or unknown key, with file and line), NOT_FOUND (file was named and is not
 * there), LIMIT, SYS. */
int config_load(const struct config_flags *flags, struct daemon_config *ret, struct error *e) MUST_USE;
/* The same from one text, for tests and fuzzing. */
int config_parse(const char *name, const char *text, size_t len, struct daemon_config *ret,
		 struct error *e) MUST_USE;
void config_done(struct daemon_config *c);
DEFINE_CLEANUP_VALUE(struct daemon_config, config_done)

void config_limits(const struct daemon_config *c, struct server_limits *limits);

#endif
