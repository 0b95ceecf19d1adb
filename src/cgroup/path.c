/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup/path.h"

#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "cgroup/host.h"

#define UNIT_NAME_MAX 255 /* systemd.unit(5) */

static int join(char out[CGROUP_PATH_MAX], struct error *e, const char *a, const char *b, const char *c)
{
	int n = snprintf(out, CGROUP_PATH_MAX, "%s%s%s", a, b, c);

	if (n < 0 || n >= CGROUP_PATH_MAX)
		return err_new(e, ERR_INVALID, "cgroup path is longer than %d bytes", CGROUP_PATH_MAX - 1);
	return 0;
}

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

int cgroup_path_check(const char *path, struct error *e)
{
	if (str_is_empty(path))
		return err_new(e, ERR_INVALID, "cgroup path is empty");
	if (strlen(path) >= CGROUP_PATH_MAX)
		return err_new(e, ERR_INVALID, "cgroup path is longer than %d bytes", CGROUP_PATH_MAX - 1);
	if (str_eq(path, "/"))
		return err_new(e, ERR_INVALID, "cgroup path \"/\" is the root, which has no limits");
	if (!path_is_clean_abs(path) || has_control(path))
		return err_new(
			e, ERR_INVALID,
			"cgroup path \"%s\" is not absolute and clean (no \".\", \"..\" or empty part)",
			path);
	/* A part of this name would be taken for the control file of the hierarchy's own. */
	if (strstr(path, "/cgroup."))
		return err_new(e, ERR_INVALID, "cgroup path \"%s\" has a part that starts with \"cgroup.\"",
			       path);
	return 0;
}

/* ---- systemd's names ---------------------------------------------------------------------------- */

/* The characters that a unit name may have (systemd.unit(5)). */
static bool is_unit_text(const char *s, size_t n)
{
	static const char known[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";

	for (size_t i = 0; i < n; i++)
		if (!strchr(known, s[i]) || s[i] == '\0')
			return false;
	return n > 0;
}

int cgroup_slice_expand(const char *slice, char ret_path[CGROUP_PATH_MAX], struct error *e)
{
	const char suffix[] = ".slice";
	size_t len = strlen(slice), stem;
	size_t out = 0;

	if (!str_ends(slice, suffix) || len == sizeof(suffix) - 1 || len > UNIT_NAME_MAX ||
	    !is_unit_text(slice, len))
		return err_new(e, ERR_INVALID, "\"%s\" is not the name of a slice (x-y.slice)", slice);
	stem = len - (sizeof(suffix) - 1);
	if (str_eq(slice, "-.slice")) {
		ret_path[0] = '\0';
		return 0;
	}
	if (slice[0] == '-' || slice[stem - 1] == '-' || strstr(slice, "--"))
		return err_new(e, ERR_INVALID, "slice \"%s\" has an empty part between its dashes", slice);
	for (size_t i = 1; i <= stem; i++) {
		int n;

		if (i < stem && slice[i] != '-')
			continue;
		n = snprintf(ret_path + out, CGROUP_PATH_MAX - out, "/%.*s%s", (int)i, slice, suffix);
		if (n < 0 || (size_t)n >= CGROUP_PATH_MAX - out)
			return err_new(e, ERR_INVALID, "slice \"%s\" expands to a path that is too long",
				       slice);
		out += (size_t)n;
	}
	return 0;
}

bool cgroup_path_is_unit(const char *path)
{
	return path && path[0] != '/' && strchr(path, ':');
}

int cgroup_unit_parse(const char *path, struct cgroup_unit_name *ret, struct error *e)
{
	struct cgroup_unit_name u = { .slice = "system.slice" };
	const char *prefix, *name;
	size_t slice_len;
	int n;

	prefix = path ? strchr(path, ':') : NULL;
	name = prefix ? strchr(prefix + 1, ':') : NULL;
	if (!name || strchr(name + 1, ':') || !name[1])
		return err_new(e, ERR_INVALID, "cgroup path \"%s\" is not of the form slice:prefix:name",
			       path ? path : "");
	slice_len = (size_t)(prefix - path);
	if (slice_len >= sizeof(u.slice))
		return err_new(e, ERR_INVALID, "the slice in \"%s\" is longer than %d bytes", path,
			       UNIT_NAME_MAX);
	if (slice_len > 0) {
		memcpy(u.slice, path, slice_len);
		u.slice[slice_len] = '\0';
	}
	prefix++;
	name++;
	if (name - 1 == prefix && str_ends(name, ".slice"))
		n = snprintf(u.unit, sizeof(u.unit), "%s", name);
	else if (name - 1 == prefix)
		n = snprintf(u.unit, sizeof(u.unit), "%s.scope", name);
	else
		n = snprintf(u.unit, sizeof(u.unit), "%.*s-%s.scope", (int)(name - 1 - prefix), prefix, name);
	if (n < 0 || (size_t)n >= sizeof(u.unit) || !is_unit_text(u.unit, (size_t)n))
		return err_new(e, ERR_INVALID, "cgroup path \"%s\" gives no valid name of a unit", path);
	*ret = u;
	return 0;
}

/* Empty parts and "." go, as with runc; ".." stays, to be refused: what it is to lead to is anybody's guess. */
static void drop_empty_parts(char *path)
{
	char *out = path;

	for (const char *in = path; *in;) {
		size_t n = strcspn(in, "/");

		if (n > 0 && !(n == 1 && *in == '.')) {
			*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n + (in[n] == '/');
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

int cgroup_path_resolve(const struct cgroup_host *host, const char *path, char ret_path[CGROUP_PATH_MAX],
			struct error *e)
{
	char slice[CGROUP_PATH_MAX] = "", whole[CGROUP_PATH_MAX] = "";
	struct cgroup_unit_name u = { 0 };

	if (!cgroup_path_is_unit(path)) {
		/* OCI config-linux.md, cgroupsPath: a relative path is interpreted by the runtime; as runc's,
		 * it starts at the root. */
		if (join(whole, e, !path || path[0] == '/' ? "" : "/", path ? path : "", "") < 0)
			return -ERR_INVALID;
		drop_empty_parts(whole);
		if (cgroup_path_check(path && *path ? whole : "", e) < 0)
			return -ERR_INVALID;
		return join(ret_path, e, whole, "", "");
	}
	if (host && host->driver != CGROUP_DRIVER_SYSTEMD)
		return err_new(e, ERR_INVALID,
			       "cgroup path \"%s\" is for the systemd driver, and the driver is cgroupfs",
			       path);
	if (cgroup_unit_parse(path, &u, e) < 0)
		return -ERR_INVALID;
	/* A slice unit lies where its own name says. */
	if (str_ends(u.unit, ".slice")) {
		if (cgroup_slice_expand(u.unit, whole, e) < 0)
			return -ERR_INVALID;
	} else if (cgroup_slice_expand(u.slice, slice, e) < 0 || join(whole, e, slice, "/", u.unit) < 0) {
		return -ERR_INVALID;
	}
	if (cgroup_path_check(whole, e) < 0)
		return -ERR_INVALID;
	return join(ret_path, e, whole, "", "");
}

/* The slice of a kubelet's cgroup_parent, which is written as a path under the systemd driver too:
 * "/kubepods.slice/kubepods-pod1.slice" is kubepods-pod1.slice. The names of the cgroupfs driver are
 * converted as the kubelet itself does: "/kubepods/burstable/pod1-2" is kubepods-burstable-pod1_2.slice. */
static int slice_of_parent(const char *parent, char out[256], struct error *e)
{
	char expanded[CGROUP_PATH_MAX] = "", name[CGROUP_PATH_MAX];
	const char *last = strrchr(parent, '/');

	last = last ? last + 1 : parent;
	if (str_ends(last, ".slice")) {
		snprintf(name, sizeof(name), "%s", last);
	} else {
		if (strlen(parent) + sizeof(".slice") > sizeof(name) || !path_is_clean_abs(parent))
			return err_new(e, ERR_INVALID,
				       "cgroup parent \"%s\" is neither a slice nor an absolute path",
				       parent);
		snprintf(name, sizeof(name), "%s", parent + 1);
		for (char *s = name; *s; s++)
			*s = *s == '-' ? '_' : *s == '/' ? '-' : *s;
		memcpy(name + strlen(parent + 1), ".slice", sizeof(".slice"));
	}
	if (cgroup_slice_expand(name, expanded, e) < 0)
		return err_ctx(e, "cgroup parent \"%s\" with the systemd driver", parent);
	if (last != parent && str_ends(last, ".slice") && !str_eq(parent, expanded))
		return err_new(e, ERR_INVALID, "cgroup parent \"%s\": slice %s lies in \"%s\"", parent, last,
			       expanded);
	memcpy(out, name, strlen(name) + 1); /* checked: at most UNIT_NAME_MAX bytes */
	return 0;
}

int cgroup_path_below(const struct cgroup_host *host, const char *parent, const char *prefix,
		      const char *name, char ret_path[CGROUP_PATH_MAX], struct error *e)
{
	char slice[256] = "", tail[CGROUP_PATH_MAX] = "", path[CGROUP_PATH_MAX] = "";

	if (!path_is_name(prefix) || !path_is_name(name))
		return err_new(e, ERR_INVALID, "\"%s-%s\" cannot be a cgroup's name", prefix, name);
	/* In a scope that was delegated to us there are no units, only directories. */
	if (host->driver == CGROUP_DRIVER_SYSTEMD &&
	    !(parent && parent[0] == '/' && str_ends(parent, ".scope"))) {
		char resolved[CGROUP_PATH_MAX] = "";

		if (slice_of_parent(str_is_empty(parent) ? "hull.slice" : parent, slice, e) < 0 ||
		    join(tail, e, prefix, ":", name) < 0 || join(path, e, slice, ":", tail) < 0 ||
		    cgroup_path_resolve(host, path, resolved, e) < 0)
			return -ERR_INVALID;
		return join(ret_path, e, path, "", "");
	}
	if (str_is_empty(parent))
		parent = "/hull";
	if (str_eq(parent, "/"))
		parent = "";
	else if (cgroup_path_check(parent, e) < 0)
		return err_ctx(e, "cgroup parent");
	if (join(tail, e, prefix, "-", name) < 0 || join(path, e, parent, "/", tail) < 0)
		return -ERR_INVALID;
	if (cgroup_path_check(path, e) < 0)
		return -ERR_INVALID;
	return join(ret_path, e, path, "", "");
}
