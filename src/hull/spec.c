/* SPDX-License-Identifier: Apache-2.0 */
/* hull spec. */
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "codec/json.h"
#include "hull/hull.h"
#include "oci/defaults.h"

struct spec_opts {
	const char *bundle;
	bool rootless;
};

static const struct option_word spec_options[] = {
	{ "bundle", 'b', OPTION(struct spec_opts, bundle), "DIR",
	  "where to write it (the current directory)" },
	{ "rootless", 0, OPTION(struct spec_opts, rootless), NULL, "for the user who calls, without root" },
	OPTIONS_END,
};

/* Without v1 hierarchies, which a hybrid host has. */
static bool is_cgroup_v2(void)
{
	struct statfs fs;

	return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static int spec_run(struct hull *h, void *options, char **args, struct error *e)
{
	const struct spec_opts *o = options;
	const char *bundle = o->bundle ? o->bundle : ".";
	cleanup_json struct json_object *spec = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_close int dfd = -1;

	(void)h;
	(void)args;
	dfd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dfd < 0)
		return err_sys(e, "open bundle \"%s\"", bundle);
	if (faccessat(dfd, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_new(e, ERR_EXISTS, "File config.json exists. Remove it first");
	spec = oci_default_spec(o->rootless, is_cgroup_v2(), geteuid(), getegid());
	json_text(spec, true, &text);
	return file_write_atomic(dfd, "config.json", text.data, text.len, 0666, false, e);
}

const struct command command_spec = {
	.name = "spec",
	.arguments = NULL,
	.summary = "write a config.json to begin with",
	.options = spec_options,
	.options_size = sizeof(struct spec_opts),
	.least = 0,
	.most = 0,
	.run = spec_run,
};
