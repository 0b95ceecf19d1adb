// SPDX-License-Identifier: Apache-2.0
#include "oci/intel_rdt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/str.h"

#define USUAL_PLACE "/sys/fs/resctrl"
#define RESCTRL_FILE_MAX (1u << 20)
#define MOUNTINFO_MAX (16u << 20)

void intel_rdt_done(struct intel_rdt *p)
{
	free(p->group);
	free(p->monitor);
	free(p->schemata);
	*p = INTEL_RDT_INIT;
}

/* ---- plan --------------------------------------------------------------------------------------- */

static int check_line(const char *key, const char *line, const char *start, struct error *e)
{
	if (!line)
		return 0;
	if (strpbrk(line, "\n\r"))
		return err_new(e, ERR_INVALID, "linux.intelRdt.%s: has a newline", key);
	if (strncmp(line, start, strlen(start)) != 0)
		return err_new(e, ERR_INVALID, "linux.intelRdt.%s: \"%s\" does not begin with \"%s\"", key,
			       line, start);
	return 0;
}

static int check_clos(const char *name, struct error *e)
{
	if (str_eq(name, "/"))
		return 0;
	if (strchr(name, '/') || str_eq(name, ".") || str_eq(name, ".."))
		return err_new(e, ERR_INVALID, "linux.intelRdt.closID: \"%s\" is not the name of a directory",
			       name);
	return 0;
}

/* The order is the specification's: L3, memory bandwidth, then the rest. */
static int plan_schemata(const struct oci_intel_rdt *spec, struct intel_rdt *p, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = check_line("l3CacheSchema", spec->l3_cache_schema, "", e);

	if (r >= 0)
		r = check_line("memBwSchema", str_is_empty(spec->mem_bw_schema) ? NULL : spec->mem_bw_schema,
			       "MB:", e);
	for (size_t i = 0; i < spec->schemata.n && r >= 0; i++)
		r = check_line("schemata", spec->schemata.v[i], "", e);
	if (r < 0)
		return r;
	if (!str_is_empty(spec->l3_cache_schema))
		buf_addf(&b, "%s\n", spec->l3_cache_schema);
	if (!str_is_empty(spec->mem_bw_schema))
		buf_addf(&b, "%s\n", spec->mem_bw_schema);
	for (size_t i = 0; i < spec->schemata.n; i++)
		if (*spec->schemata.v[i])
			buf_addf(&b, "%s\n", spec->schemata.v[i]);
	p->schemata = b.len ? str_dup(buf_str(&b)) : NULL;
	return 0;
}

int intel_rdt_plan(const struct oci_intel_rdt *spec, const char *id, struct intel_rdt *ret, struct error *e)
{
	CLEANUP(intel_rdt_done) struct intel_rdt p = INTEL_RDT_INIT;
	int r;

	p.has_clos = !str_is_empty(spec->clos_id);
	r = p.has_clos ? check_clos(spec->clos_id, e) : 0;
	if (r >= 0)
		r = plan_schemata(spec, &p, e);
	if (r < 0)
		return r;
	p.group = str_dup(!p.has_clos ? id : str_eq(spec->clos_id, "/") ? "." : spec->clos_id);
	p.must_exist = p.has_clos && !p.schemata;
	if (spec->enable_monitoring)
		p.monitor = str_fmt("%s/mon_groups/%s", p.group, id);
	*ret = p;
	p = INTEL_RDT_INIT;
	return 0;
}

/* ---- where it is -------------------------------------------------------------------------------- */

static int open_at(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == RDTGROUP_SUPER_MAGIC)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* A line of mountinfo: "36 35 98:0 / /mnt rw,noatime master:1 - resctrl resctrl rw" (proc(5)). */
static int open_elsewhere(void)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct error ignored = ERROR_INIT;
	char *rest, *line, *word;
	int fd = -1;

	if (file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &b, &ignored) < 0 || !b.len)
		return -1;
	for (line = strtok_r(b.data, "\n", &rest); line && fd < 0; line = strtok_r(NULL, "\n", &rest)) {
		const char *type = strstr(line, " - resctrl ");
		char *words = line;

		for (int i = 0; type && i < 5; i++)
			word = strsep(&words, " ");
		if (type)
			fd = open_at(word);
	}
	return fd;
}

int intel_rdt_open(int *ret_root_dfd, struct error *e)
{
	int fd = open_at(USUAL_PLACE);

	if (fd < 0)
		fd = open_elsewhere();
	if (fd < 0)
		return err_new(
			e, ERR_UNSUPPORTED,
			"linux.intelRdt: no resctrl file system is mounted (" USUAL_PLACE
			": this needs a processor with Intel RDT or AMD QoS, CONFIG_X86_CPU_RESCTRL and "
			"mount -t resctrl)");
	*ret_root_dfd = fd;
	return 0;
}

bool intel_rdt_is_there(void)
{
	cleanup_close int fd = -1;
	struct error ignored = ERROR_INIT;

	return intel_rdt_open(&fd, &ignored) >= 0;
}

/* ---- files -------------------------------------------------------------------------------------- */

static int read_below(int root_dfd, const char *dir, const char *name, struct buf *b, struct error *e)
{
	cleanup_free char *path = str_fmt("%s/%s", dir, name);
	int r = file_read(root_dfd, path, RESCTRL_FILE_MAX, b, e);

	return r < 0 ? err_ctx(e, "resctrl") : 0;
}

/* The kernel tells why in a file of its own. */
static int with_reason(int root_dfd, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct error ignored = ERROR_INIT;

	if (read_below(root_dfd, "info", "last_cmd_status", &b, &ignored) < 0)
		return -(int)e->kind;
	return err_ctx(e, "resctrl (last_cmd_status: %.*s)", (int)strcspn(buf_str(&b), "\n"), buf_str(&b));
}

/* One write: the kernel parses what one brings. */
static int write_below(int root_dfd, const char *dir, const char *name, const char *text, struct error *e)
{
	cleanup_free char *path = str_fmt("%s/%s", dir, name);
	cleanup_close int fd = openat(root_dfd, path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text))
		return 0;
	err_sysk(e, errno == EINVAL ? ERR_INVALID : ERR_SYS, errno, "write \"%.200s\" to \"%s\"", text, path);
	return with_reason(root_dfd, e);
}

static bool is_there(int root_dfd, const char *dir)
{
	struct stat sb;

	return fstatat(root_dfd, dir, &sb, 0) == 0 && S_ISDIR(sb.st_mode);
}

/* ---- schemata that are there already ------------------------------------------------------------ */

/* The kernel rounds bandwidth up to steps of the hardware. */
static unsigned long round_bandwidth(int root_dfd, unsigned long value)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct error ignored = ERROR_INIT;
	unsigned long step = 0;

	if (read_below(root_dfd, "info/MB", "bandwidth_gran", &b, &ignored) >= 0)
		step = strtoul(buf_str(&b), NULL, 10);
	return step > 1 ? (value + step - 1) / step * step : value;
}

/* Where the values of the same resource begin in a file like "    MB:0=100\n    L3:0=7ff;1=7ff\n"; NULL: nowhere. */
static const char *find_resource(const char *have, const char *line)
{
	size_t n = strcspn(line, ":\n");

	while (line[n] == ':' && *have) {
		have += strspn(have, " ");
		if (strncmp(line, have, n + 1) == 0)
			return have + n + 1;
		have += strcspn(have, "\n");
		have += *have == '\n';
	}
	return NULL;
}

/* The value of a domain in "0=7ff;1=7ff". */
static bool find_domain(const char *have, unsigned long domain, int base, unsigned long *ret)
{
	while (*have && *have != '\n') {
		char *end;
		bool is_it = strtoul(have, &end, 10) == domain && *end == '=';

		if (is_it) {
			*ret = strtoul(end + 1, NULL, base);
			return true;
		}
		have += strcspn(have, ";\n");
		have += *have == ';';
	}
	return false;
}

static bool line_matches(int root_dfd, const char *line, const char *have)
{
	bool is_bandwidth = strncmp(line, "MB:", 3) == 0;
	int base = is_bandwidth ? 10 : 16;
	const char *want = line + strcspn(line, ":\n");

	want += *want == ':';
	while (*want && *want != '\n') {
		unsigned long domain, value, there;
		char *end;

		domain = strtoul(want, &end, 10);
		if (*end != '=' || !find_domain(have, domain, base, &there))
			return false;
		value = strtoul(end + 1, &end, base);
		if (there != (is_bandwidth ? round_bandwidth(root_dfd, value) : value))
			return false;
		want = end + (*end == ';');
	}
	return true;
}

static int check_schemata(int root_dfd, const struct intel_rdt *p, struct error *e)
{
	cleanup_buf struct buf have = BUF_INIT;
	int r = read_below(root_dfd, p->group, "schemata", &have, e);

	if (r < 0)
		return r;
	for (const char *line = p->schemata; *line; line += strcspn(line, "\n") + 1) {
		const char *values = find_resource(buf_str(&have), line);

		if (!values || !line_matches(root_dfd, line, values))
			return err_new(
				e, ERR_INVALID,
				"linux.intelRdt: closID \"%s\" exists with other schemata than \"%.*s\"",
				p->group, (int)strcspn(line, "\n"), line);
	}
	return 0;
}

/* ---- effect ------------------------------------------------------------------------------------- */

int intel_rdt_check(int root_dfd, const struct intel_rdt *p, struct error *e)
{
	if (p->must_exist && !is_there(root_dfd, p->group))
		return err_new(
			e, ERR_NOT_FOUND,
			"linux.intelRdt.closID: there is no group \"%s\", and no schemata to make it with",
			p->group);
	if (p->has_clos && p->schemata && is_there(root_dfd, p->group))
		return check_schemata(root_dfd, p, e);
	return 0;
}

static int make_dir(int root_dfd, const char *dir, bool *ret_made, struct error *e)
{
	*ret_made = mkdirat(root_dfd, dir, 0755) == 0;
	if (*ret_made || errno == EEXIST)
		return 0;
	err_sysk(e, errno == ENOSPC ? ERR_LIMIT : ERR_SYS, errno, "make the group \"%s\"", dir);
	return with_reason(root_dfd, e);
}

int intel_rdt_set(int root_dfd, const char *group, const char *schemata, struct error *e)
{
	return write_below(root_dfd, group, "schemata", schemata, e);
}

int intel_rdt_make(int root_dfd, struct intel_rdt *p, struct error *e)
{
	int r = make_dir(root_dfd, p->group, &p->is_made, e);

	/* Those of a class of others have been compared already. */
	if (r >= 0 && p->schemata && (p->is_made || !p->has_clos))
		r = intel_rdt_set(root_dfd, p->group, p->schemata, e);
	if (r >= 0 && p->monitor)
		r = make_dir(root_dfd, p->monitor, &p->is_monitor_made, e);
	if (r >= 0)
		return 0;
	if (p->is_made)
		unlinkat(root_dfd, p->group, AT_REMOVEDIR);
	p->is_made = p->is_monitor_made = false;
	return err_ctx(e, "linux.intelRdt");
}

int intel_rdt_enter(int root_dfd, const struct intel_rdt *p, pid_t pid, struct error *e)
{
	char text[16];
	int r;

	snprintf(text, sizeof(text), "%d", pid);
	r = write_below(root_dfd, p->group, "tasks", text, e);
	if (r >= 0 && p->monitor)
		r = write_below(root_dfd, p->monitor, "tasks", text, e);
	return r < 0 ? err_ctx(e, "linux.intelRdt") : 0;
}

const char *intel_rdt_to_make(int root_dfd, const struct intel_rdt *p)
{
	if (!p->has_clos && !is_there(root_dfd, p->group))
		return p->group;
	return p->has_clos && p->monitor && !is_there(root_dfd, p->monitor) ? p->monitor : NULL;
}

/* A control group takes its monitoring groups along. */
const char *intel_rdt_made(const struct intel_rdt *p)
{
	if (p->is_made && !p->has_clos)
		return p->group;
	return p->is_monitor_made ? p->monitor : NULL;
}

int intel_rdt_remove(int root_dfd, const char *made, struct error *e)
{
	if (unlinkat(root_dfd, made, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(e, "resctrl: remove the group \"%s\"", made);
	return 0;
}
