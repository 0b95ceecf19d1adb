/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the commands, and the options before them. */
#include "hull/hull.h"

/* clang-format off */
#define COMMANDS(each) \
	each(checkpoint) \
	each(completion) \
	each(create) \
	each(delete) \
	each(events) \
	each(exec) \
	each(features) \
	each(kill) \
	each(list) \
	each(pause) \
	each(ps) \
	each(restore) \
	each(resume) \
	each(run) \
	each(spec) \
	each(start) \
	each(state) \
	each(update)
/* clang-format on */

/* Each is in the file that does it. */
#define DECLARE(name) extern const struct command command_##name;
COMMANDS(DECLARE)

#define ENTRY(name) &command_##name,
const struct command *const hull_commands[] = { COMMANDS(ENTRY) NULL };

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = hull_commands; *c; c++)
		if (str_eq((*c)->name, name))
			return *c;
	return NULL;
}

const struct option_word hull_options[] = {
	{ "root", 0, OPTION(struct hull, root), "DIR",
	  "where containers are remembered (" HULL_STATE_ROOT ")" },
	{ "log", 0, OPTION(struct hull, log), "FILE", "write the log there instead of to stderr" },
	{ "log-format", 0, OPTION(struct hull, log_format), "text|json", "how the log is written (text)" },
	{ "debug", 0, OPTION(struct hull, is_debug), NULL, "log more" },
	{ "systemd-cgroup", 0, OPTION(struct hull, has_systemd_cgroup), NULL,
	  "make cgroups through systemd: paths are slice:prefix:name" },
	{ "cgroup-manager", 0, OPTION(struct hull, cgroup_manager), "cgroupfs|systemd|disabled",
	  "how cgroups are made, if at all; systemd is --systemd-cgroup (cgroupfs)" },
	{ "rootless", 0, OPTION(struct hull, rootless_text), "auto|true|false",
	  "whether cgroups that cannot be made are passed over (auto)" },
	{ "criu", 0, OPTION(struct hull, criu), "PROGRAM", "which criu makes checkpoints (criu)" },
	{ "version", 'v', OPTION(struct hull, wants_version), NULL, "show the version" },
	OPTIONS_END,
};
