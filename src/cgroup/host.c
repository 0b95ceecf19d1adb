/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted. A controller lives in one hierarchy only (cgroups(7)), so the question "v1 or v2?" is
 * answered for each controller and not for the host: on a hybrid host any of them may already be in v2,
 * whatever the others do. The mode is only a name for the whole. */
#include "cgroup/host.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/cgroupfs.h"

#define MOUNTINFO_MAX (16u << 20)
#define USUAL_V2 "/sys/fs/cgroup"

/* clang-format off */
static const struct {
	const char *v1, *v2;
} names[CGROUP_CONTROLLER_COUNT] = {
	[CGROUP_CPU] = { "cpu", "cpu" },	 [CGROUP_CPUACCT] = { "cpuacct", NULL },
	[CGROUP_CPUSET] = { "cpuset", "cpuset" }, [CGROUP_MEMORY] = { "memory", "memory" },
	[CGROUP_PIDS] = { "pids", "pids" },	 [CGROUP_FREEZER] = { "freezer", NULL },
	[CGROUP_DEVICES] = { "devices", NULL },	 [CGROUP_BLKIO] = { "blkio", "io" },
	[CGROUP_HUGETLB] = { "hugetlb", "hugetlb" }, [CGROUP_RDMA] = { "rdma", "rdma" },
	[CGROUP_MISC] = { "misc", "misc" },	 [CGROUP_DMEM] = { "dmem", "dmem" },
	[CGROUP_NET_CLS] = { "net_cls", NULL },	 [CGROUP_NET_PRIO] = { "net_prio", NULL },
};
/* clang-format on */

const char *cgroup_controller_name(enum cgroup_controller c)
{
	return (unsigned)c < CGROUP_CONTROLLER_COUNT ? names[c].v1 : "unknown";
}

const char *cgroup_v2_name(enum cgroup_controller c)
{
	return names[c].v2;
}

const char *cgroup_mode_name(enum cgroup_mode mode)
{
	static const char *const modes[] = {
		[CGROUP_V1] = "v1", [CGROUP_HYBRID] = "hybrid", [CGROUP_V2] = "v2"
	};

	return (unsigned)mode < ARRAY_LEN(modes) ? modes[mode] : "unknown";
}

/* ---- mountinfo ---------------------------------------------------------------------------------- */

/* Cut the next space-separated field off *text. */
static char *field(char **text)
{
	char *start = *text, *end = start + strcspn(start, " ");

	*text = *end ? end + 1 : end;
	*end = '\0';
	return start;
}

/* Undo \040 and the like (proc_pid_mountinfo(5)), in place. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

/* Keep of the super block options what names the hierarchy: controllers and name=. */
static void v1_option(struct cgroup_hier *h, const char *super)
{
	cleanup_strv struct strv words = STRV_INIT;
	char *out = h->option;

	strv_split(&words, super, ",");
	for (size_t i = 0; i < words.n; i++) {
		const char *w = words.v[i];
		bool is_wanted = str_starts(w, "name=");
		size_t n = strlen(w);

		for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
			if (str_eq(w, names[c].v1)) {
				h->controllers |= 1u << c;
				is_wanted = true;
			}
		/* One that we do not use still names a hierarchy that is shown to containers. */
		is_wanted = is_wanted || str_eq(w, "perf_event");
		if (!is_wanted || (size_t)(out - h->option) + n + 2 > sizeof(h->option))
			continue;
		if (out != h->option)
			*out++ = ',';
		memcpy(out, w, n + 1);
		out += n;
	}
}

static void add_mount(struct cgroup_host *host, const char *mount_point, bool is_root, bool is_v2,
		      const char *super)
{
	struct cgroup_hier h = { .is_v2 = is_v2, .root_dfd = -1 };

	if (!is_v2) {
		v1_option(&h, super);
		if (!*h.option)
			return;
	}
	for (size_t i = 0; i < host->hier_count; i++) {
		struct cgroup_hier *other = &host->hier[i];

		if (other->is_v2 != is_v2 || !str_eq(other->option, h.option))
			continue;
		/* A bind mount of a part of a hierarchy that is mounted whole elsewhere, or a second whole
		 * one: the first whole one is the host's. root_dfd marks "whole" until the fds are opened. */
		if (is_root && other->root_dfd == -1) {
			str_set(&other->mount_point, mount_point);
			other->root_dfd = -2;
		}
		return;
	}
	if (host->hier_count == CGROUP_HIER_MAX)
		return;
	h.mount_point = str_dup(mount_point);
	h.root_dfd = is_root ? -2 : -1;
	host->hier[host->hier_count++] = h;
}

void cgroup_host_parse(struct cgroup_host *host, const char *mountinfo)
{
	cleanup_free char *copy = str_dup(mountinfo);
	char *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *tail = strstr(line, " - "), *root, *mount_point, *type;
		bool is_v2;

		if (!tail)
			continue;
		*tail = '\0';
		tail += 3;
		type = field(&tail);
		is_v2 = str_eq(type, "cgroup2");
		if (!is_v2 && !str_eq(type, "cgroup"))
			continue;
		for (int skip = 0; skip < 3; skip++)
			field(&line);
		root = field(&line);
		mount_point = field(&line);
		unescape(mount_point);
		field(&tail); /* the source */
		add_mount(host, mount_point, str_eq(root, "/"), is_v2, tail);
	}
}

/* ---- decisions ---------------------------------------------------------------------------------- */

/* In which v1 hierarchy to look for processes: the one that a container is least likely to have been given
 * for writing, and that we make in any case. */
static int find_anchor(const struct cgroup_host *host)
{
	static const enum cgroup_controller order[] = { CGROUP_FREEZER, CGROUP_DEVICES, CGROUP_MEMORY,
							CGROUP_PIDS, CGROUP_CPU };

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		int at = host->by_controller[order[i]];

		if (at >= 0 && !host->hier[at].is_v2)
			return at;
	}
	for (size_t i = 0; i < host->hier_count; i++)
		if (!host->hier[i].is_v2)
			return (int)i;
	return -1;
}

static void drop_hier(struct cgroup_host *host, size_t i)
{
	free(host->hier[i].mount_point);
	if (host->hier[i].root_dfd >= 0)
		close(host->hier[i].root_dfd);
	memmove(&host->hier[i], &host->hier[i + 1], (host->hier_count - i - 1) * sizeof(host->hier[i]));
	host->hier_count--;
}

void cgroup_host_decide(struct cgroup_host *host, const char *v2_controllers)
{
	uint32_t v1 = 0;

	host->v2 = -1;
	snprintf(host->v2_words, sizeof(host->v2_words), "%s", v2_controllers);
	for (size_t i = 0; i < host->hier_count; i++)
		if (!host->hier[i].is_v2)
			v1 |= host->hier[i].controllers;
	/* Named v1 hierarchies beside v2 that has everything are leftovers (mount -t cgroup -o none,name=x):
	 * processes need not be in them. */
	for (size_t i = 0; v1 == 0 && i < host->hier_count;)
		if (!host->hier[i].is_v2 && cgroupfs_has_word(v2_controllers, "memory"))
			drop_hier(host, i);
		else
			i++;
	for (size_t i = 0; i < host->hier_count; i++) {
		struct cgroup_hier *h = &host->hier[i];

		if (!h->is_v2)
			continue;
		host->v2 = (int)i;
		for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
			if (names[c].v2 && cgroupfs_has_word(v2_controllers, names[c].v2))
				h->controllers |= 1u << c;
		if (h->controllers & 1u << CGROUP_CPU)
			h->controllers |= 1u << CGROUP_CPUACCT;
		/* Part of the core in v2: cgroup.freeze, and device filters by BPF. */
		h->controllers |= (1u << CGROUP_FREEZER | 1u << CGROUP_DEVICES) & ~v1;
	}
	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
		host->by_controller[c] = -1;
		for (size_t i = 0; i < host->hier_count; i++)
			if (host->hier[i].controllers & 1u << c)
				host->by_controller[c] = (int)i;
	}
	host->anchor = find_anchor(host);
	host->mode = host->v2 < 0 ? CGROUP_V1 : host->anchor < 0 ? CGROUP_V2 : CGROUP_HYBRID;
}

/* ---- opening ------------------------------------------------------------------------------------ */

/* Open the roots; what is hidden below another mount is dropped. */
static void open_roots(struct cgroup_host *host)
{
	for (size_t i = 0; i < host->hier_count;) {
		struct cgroup_hier *h = &host->hier[i];
		struct statfs fs;

		h->root_dfd = open(h->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (h->root_dfd >= 0 && fstatfs(h->root_dfd, &fs) == 0 &&
		    fs.f_type == (h->is_v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
			i++;
		else
			drop_hier(host, i);
	}
}

static void keep_only(struct cgroup_host *host, uint32_t controllers)
{
	for (size_t i = 0; i < host->hier_count;)
		if (host->hier[i].is_v2 || host->hier[i].controllers & controllers)
			i++;
		else
			drop_hier(host, i);
}

static int open_text(const char *mountinfo, enum cgroup_driver driver, uint32_t only,
		     struct cgroup_host **ret_host, struct error *e)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NEW(struct cgroup_host);
	char controllers[512] = "";

	host->driver = driver;
	cgroup_host_parse(host, mountinfo);
	if (only)
		keep_only(host, only);
	open_roots(host);
	for (size_t i = 0; i < host->hier_count; i++)
		if (host->hier[i].is_v2 && cgroupfs_read(host->hier[i].root_dfd, "cgroup.controllers",
							 controllers, sizeof(controllers)) < 0)
			controllers[0] = '\0';
	cgroup_host_decide(host, controllers);
	if (host->hier_count == 0)
		return err_new(
			e, ERR_UNSUPPORTED,
			"no cgroup hierarchy is mounted; mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	*ret_host = take_ptr(host);
	return 0;
}

int cgroup_host_open_text(const char *mountinfo, enum cgroup_driver driver, struct cgroup_host **ret_host,
			  struct error *e)
{
	return open_text(mountinfo, driver, 0, ret_host, e);
}

bool cgroup_host_has_no_v1(const char *proc_cgroups)
{
	for (const char *line = proc_cgroups; *line; line += *line != '\0') {
		size_t name = strcspn(line, "\t\n");

		if (line[0] != '#' && line[name] == '\t' && line[name + 1] != '0')
			return false;
		line += strcspn(line, "\n");
	}
	return true;
}

/* The mountinfo of a node with a thousand containers takes milliseconds to write and to read. It is not needed where
 * version 2 is in the usual place and has all controllers, so that decide() would drop whatever else there is. */
static bool is_plain_v2(void)
{
	char controllers[512], v1[4096];
	struct statfs fs;

	if (statfs(USUAL_V2, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return false;
	if (cgroupfs_read(AT_FDCWD, USUAL_V2 "/cgroup.controllers", controllers, sizeof(controllers)) < 0 ||
	    !cgroupfs_has_word(controllers, "memory"))
		return false;
	/* A kernel without version 1 has no such file. */
	if (cgroupfs_read(AT_FDCWD, "/proc/cgroups", v1, sizeof(v1)) < 0)
		return errno == ENOENT;
	return cgroup_host_has_no_v1(v1);
}

static int open_host(enum cgroup_driver driver, uint32_t only, struct cgroup_host **ret_host, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;

	/* sd_booted(3) */
	if (driver == CGROUP_DRIVER_SYSTEMD && access("/run/systemd/system", F_OK) < 0)
		return err_new(e, ERR_UNSUPPORTED,
			       "the cgroup driver is \"systemd\", but systemd does not run this machine; use "
			       "\"cgroupfs\"");
	if (is_plain_v2())
		return open_text("0 0 0:0 / " USUAL_V2 " rw - cgroup2 cgroup2 rw\n", driver, only, ret_host,
				 e);
	if (file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, e) < 0)
		return err_ctx(e, "find the cgroup hierarchies");
	return open_text(buf_str(&text), driver, only, ret_host, e);
}

int cgroup_host_open(enum cgroup_driver driver, struct cgroup_host **ret_host, struct error *e)
{
	return open_host(driver, 0, ret_host, e);
}

int cgroup_host_open_freezer(enum cgroup_driver driver, struct cgroup_host **ret_host, struct error *e)
{
	return open_host(driver, 1u << CGROUP_FREEZER, ret_host, e);
}

void cgroup_host_free(struct cgroup_host *host)
{
	if (!host)
		return;
	while (host->hier_count > 0)
		drop_hier(host, host->hier_count - 1);
	free(host);
}

/* ---- questions ---------------------------------------------------------------------------------- */

enum cgroup_mode cgroup_host_mode(const struct cgroup_host *host)
{
	return host->mode;
}

enum cgroup_driver cgroup_host_driver(const struct cgroup_host *host)
{
	return host->driver;
}

void cgroup_host_may_lack_access(struct cgroup_host *host)
{
	host->may_lack_access = true;
}

bool cgroup_host_has(const struct cgroup_host *host, enum cgroup_controller c)
{
	return (unsigned)c < CGROUP_CONTROLLER_COUNT && host->by_controller[c] >= 0;
}

bool cgroup_host_is_v2(const struct cgroup_host *host, enum cgroup_controller c)
{
	return host->by_controller[c] >= 0 && host->hier[host->by_controller[c]].is_v2;
}

bool cgroup_host_hierarchy(const struct cgroup_host *host, size_t i, const char **ret_mount_point,
			   const char **ret_v1_option)
{
	if (i >= host->hier_count)
		return false;
	*ret_mount_point = host->hier[i].mount_point;
	*ret_v1_option = host->hier[i].option;
	return true;
}
