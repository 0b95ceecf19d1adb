/* SPDX-License-Identifier: Apache-2.0 */
/* Files of v2 as they are. Those of controllers that we do not know are written like the others (config-linux.md,
 * "Unified": "Configuration unknown to the runtime MUST still be written"), as long as the host has the controller. */
#include <string.h>

#include "cgroup/plan_internal.h"
#include "sys/cgroupfs.h"

/* Of the files of the core ("cgroup.") these are limits; the others move, stop or kill processes. */
static const char *const core_files[] = { "cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure" };

static bool is_core_limit(const char *file)
{
	for (size_t i = 0; i < ARRAY_LEN(core_files); i++)
		if (str_eq(file, core_files[i]))
			return true;
	return false;
}

static int check_key(struct planner *p, const char *file)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const char *dot;

	if (str_is_empty(file) || strlen(file) >= sizeof(((struct cgroup_write *)0)->file) ||
	    strspn(file, letters) != strlen(file))
		return err_new(p->e, ERR_INVALID, "unified key \"%.64s\" is not the name of a cgroup file",
			       file ? file : "");
	dot = strchr(file, '.');
	if (!dot || dot == file || !dot[1])
		return err_new(p->e, ERR_INVALID,
			       "unified key \"%s\" is not of the form CONTROLLER.PARAMETER", file);
	if (str_starts(file, "cgroup.") && !is_core_limit(file))
		return err_new(p->e, ERR_INVALID, "unified key \"%s\" is no limit of a cgroup", file);
	return 0;
}

/* The controller of a file; CGROUP_V2_CORE when it is one that only the host knows, or the core itself. */
static int find_controller(struct planner *p, const char *file, enum cgroup_controller *ret, struct error *e)
{
	size_t len = strcspn(file, ".");
	cleanup_free char *name = str_ndup(file, len);

	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
		if (str_eq(name, cgroup_v2_name(c))) {
			*ret = c;
			return 0;
		}
	*ret = CGROUP_V2_CORE;
	if (p->caps->v2_words && (str_eq(name, "cgroup") || cgroupfs_has_word(p->caps->v2_words, name)))
		return 0;
	return err_new(e, ERR_UNSUPPORTED, "unified key \"%s\": controller \"%s\" is not available%s", file,
		       name, p->caps->v2_words ? "" : " (this host has no cgroup v2)");
}

static int plan_key(struct planner *p, const struct cgroup_unified *u)
{
	cleanup_strv struct strv lines = STRV_INIT;
	enum cgroup_controller c = CGROUP_V2_CORE;
	int r = check_key(p, u->file);

	if (r >= 0)
		r = find_controller(p, u->file, &c, p->e);
	if (r < 0)
		return r;
	if (!u->value || strlen(u->value) > PLAN_TEXT_MAX)
		return err_new(p->e, ERR_LIMIT,
			       "the value of unified key \"%s\" is missing or longer than %d bytes", u->file,
			       PLAN_TEXT_MAX);
	if (c != CGROUP_V2_CORE && planner_has(p, c) && !planner_is_v2(p, c))
		return err_new(
			p->e, ERR_UNSUPPORTED,
			"unified key \"%s\" is for cgroup v2, and on this host \"%s\" is a v1 controller",
			u->file, cgroup_controller_name(c));
	if (c != CGROUP_V2_CORE && planner_need(p, c, u->file) < 0)
		return -ERR_UNSUPPORTED;
	/* io.max and the like take one line a write. */
	strv_split(&lines, u->value, "\n");
	for (size_t i = 0; i < lines.n; i++)
		planner_put(p, c, 0, u->file, "%s", lines.v[i]);
	return 0;
}

int plan_unified(struct planner *p)
{
	for (size_t i = 0; i < p->res->unified_count; i++) {
		int r = plan_key(p, &p->res->unified[i]);

		if (r < 0)
			return r;
	}
	return 0;
}
