/* SPDX-License-Identifier: Apache-2.0 */
/* Intel RDT of `hull events`: what resctrl says of the container's group, and of the whole it is a share of. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/str.h"
#include "hull/stats.h"

#define FILE_MAX 65536

/* Without white space at its end; NULL when it cannot be read. */
static char *text_at(int dfd, const char *path)
{
	cleanup_buf struct buf b = BUF_INIT;
	char *text;
	size_t n;

	if (file_read(dfd, path, FILE_MAX, &b, NULL) < 0)
		return NULL;
	text = str_dup(buf_str(&b));
	for (n = strlen(text); n > 0 && strchr(" \t\n", text[n - 1]);)
		text[--n] = '\0';
	return text;
}

static uint64_t number_at(int dfd, const char *path)
{
	cleanup_free char *text = text_at(dfd, path);

	return text ? strtoull(text, NULL, 10) : 0;
}

/* The last line that has the name of the resource in it, as runc looks for it. */
static void put_schema(struct json_object *o, const char *key, const char *schemata, const char *resource)
{
	cleanup_strv struct strv lines = STRV_INIT;
	const char *found = NULL;

	if (!schemata)
		return;
	strv_split(&lines, schemata, "\n");
	for (size_t i = 0; i < lines.n; i++)
		if (strstr(lines.v[i], resource))
			found = lines.v[i] + strspn(lines.v[i], " \t");
	if (found)
		json_put_str(o, key, found);
}

static void add_cache(int root_dfd, const char *whole, const char *own, struct json_object *rdt)
{
	cleanup_free char *mask = text_at(root_dfd, "info/L3/cbm_mask");
	struct json_object *info;

	if (faccessat(root_dfd, "info/L3", F_OK, 0) < 0)
		return;
	info = json_put_object(rdt, "l3_cache_info");
	if (!str_is_empty(mask))
		json_put_str(info, "cbm_mask", mask);
	stats_put(info, "min_cbm_bits", number_at(root_dfd, "info/L3/min_cbm_bits"));
	stats_put(info, "num_closids", number_at(root_dfd, "info/L3/num_closids"));
	put_schema(rdt, "l3_cache_schema_root", whole, "L3");
	put_schema(rdt, "l3_cache_schema", own, "L3");
}

static void add_bandwidth(int root_dfd, const char *whole, const char *own, struct json_object *rdt)
{
	struct json_object *info;

	if (faccessat(root_dfd, "info/MB", F_OK, 0) < 0)
		return;
	info = json_put_object(rdt, "mem_bw_info");
	stats_put(info, "bandwidth_gran", number_at(root_dfd, "info/MB/bandwidth_gran"));
	stats_put(info, "delay_linear", number_at(root_dfd, "info/MB/delay_linear"));
	stats_put(info, "min_bandwidth", number_at(root_dfd, "info/MB/min_bandwidth"));
	stats_put(info, "num_closids", number_at(root_dfd, "info/MB/num_closids"));
	put_schema(rdt, "mem_bw_schema_root", whole, "MB");
	put_schema(rdt, "mem_bw_schema", own, "MB");
}

/* The directories of a group's mon_data, one a cache, in the order of their names: the caller closes dfd. */
static void list_caches(int mon_dfd, struct strv *ret)
{
	struct dirent **entries = NULL;
	int n = scandirat(mon_dfd, ".", &entries, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.')
			strv_add(ret, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

struct monitor {
	bool total, local, occupancy; /* what the hardware counts */
	struct json_object *bandwidths, *occupancies;
};

static void add_cache_counts(int mon_dfd, const char *name, const struct monitor *m)
{
	cleanup_close int dfd = openat(mon_dfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct json_object *o;

	if (dfd < 0)
		return;
	if (m->bandwidths) {
		o = json_push_object(m->bandwidths);
		json_put_u64(o, "mbm_total_bytes", m->total ? number_at(dfd, "mbm_total_bytes") : 0);
		json_put_u64(o, "mbm_local_bytes", m->local ? number_at(dfd, "mbm_local_bytes") : 0);
	}
	if (m->occupancies) {
		o = json_push_object(m->occupancies);
		json_put_u64(o, "llc_occupancy", number_at(dfd, "llc_occupancy"));
	}
}

static void add_monitor(int root_dfd, int group_dfd, struct json_object *rdt)
{
	cleanup_free char *features = text_at(root_dfd, "info/L3_MON/mon_features");
	cleanup_close int mon_dfd = openat(group_dfd, "mon_data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_strv struct strv words = STRV_INIT, caches = STRV_INIT;
	struct monitor m = { 0 };

	if (!features || mon_dfd < 0)
		return;
	strv_split(&words, features, "\n");
	for (size_t i = 0; i < words.n; i++) {
		m.total |= str_eq(words.v[i], "mbm_total_bytes");
		m.local |= str_eq(words.v[i], "mbm_local_bytes");
		m.occupancy |= str_eq(words.v[i], "llc_occupancy");
	}
	if (m.total || m.local)
		m.bandwidths = json_put_array(rdt, "mbm_stats");
	if (m.occupancy)
		m.occupancies = json_put_array(rdt, "cmt_stats");
	list_caches(mon_dfd, &caches);
	for (size_t i = 0; i < caches.n; i++)
		add_cache_counts(mon_dfd, caches.v[i], &m);
}

void stats_add_rdt(int root_dfd, const struct intel_rdt *p, struct json_object *data)
{
	struct json_object *rdt = json_put_object(data, "intel_rdt");
	cleanup_free char *whole = NULL, *own = NULL;
	cleanup_close int group_dfd = -1, monitor_dfd = -1;

	if (root_dfd < 0 || !p->group)
		return;
	group_dfd = openat(root_dfd, p->group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->monitor)
		monitor_dfd = openat(root_dfd, p->monitor, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (group_dfd < 0)
		return;
	whole = text_at(root_dfd, "schemata");
	own = text_at(group_dfd, "schemata");
	add_cache(root_dfd, whole, own, rdt);
	add_bandwidth(root_dfd, whole, own, rdt);
	add_monitor(root_dfd, monitor_dfd >= 0 ? monitor_dfd : group_dfd, rdt);
}
