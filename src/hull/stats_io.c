/* SPDX-License-Identifier: Apache-2.0 */
/* Block I/O and huge pages of `hull events`. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "hull/stats.h"
#include "sys/cgroupfs.h"

static void push_entry(struct json_object *list, uint64_t major, uint64_t minor, const char *op,
		       uint64_t value)
{
	struct json_object *o = json_push_object(list);

	stats_put(o, "major", major);
	stats_put(o, "minor", minor);
	if (!str_is_empty(op))
		json_put_str(o, "op", op);
	stats_put(o, "value", value);
}

/* ---- v1 ------------------------------------------------------------------------------------------- */

struct json_object *stats_blkio_v1(const char *text)
{
	cleanup_strv struct strv lines = STRV_INIT;
	struct json_object *list = NULL;

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		cleanup_strv struct strv words = STRV_INIT;

		strv_split(&words, lines.v[i], " :");
		if (words.n < 3) /* "Total 0" */
			continue;
		if (!list)
			list = json_new_array();
		push_entry(list, strtoull(words.v[0], NULL, 10), strtoull(words.v[1], NULL, 10),
			   words.n > 3 ? words.v[2] : "", strtoull(words.v[words.n - 1], NULL, 10));
	}
	return list;
}

/* Where the I/O scheduler counts, its files tell most. */
struct blkio_file {
	const char *file, *key;
};
#define BLKIO_GROUP_MAX 8
static const struct blkio_file groups[][BLKIO_GROUP_MAX + 1] = {
	{ { "blkio.bfq.sectors_recursive", "sectorsRecursive" },
	  { "blkio.bfq.io_service_time_recursive", "ioServiceTimeRecursive" },
	  { "blkio.bfq.io_wait_time_recursive", "ioWaitTimeRecursive" },
	  { "blkio.bfq.io_merged_recursive", "ioMergedRecursive" },
	  { "blkio.bfq.io_queued_recursive", "ioQueueRecursive" },
	  { "blkio.bfq.time_recursive", "ioTimeRecursive" },
	  { "blkio.bfq.io_serviced_recursive", "ioServicedRecursive" },
	  { "blkio.bfq.io_service_bytes_recursive", "ioServiceBytesRecursive" } },
	{ { "blkio.bfq.io_serviced_recursive", "ioServicedRecursive" },
	  { "blkio.bfq.io_service_bytes_recursive", "ioServiceBytesRecursive" } },
	{ { "blkio.sectors_recursive", "sectorsRecursive" },
	  { "blkio.io_service_time_recursive", "ioServiceTimeRecursive" },
	  { "blkio.io_wait_time_recursive", "ioWaitTimeRecursive" },
	  { "blkio.io_merged_recursive", "ioMergedRecursive" },
	  { "blkio.io_queued_recursive", "ioQueueRecursive" },
	  { "blkio.time_recursive", "ioTimeRecursive" },
	  { "blkio.io_serviced_recursive", "ioServicedRecursive" },
	  { "blkio.io_service_bytes_recursive", "ioServiceBytesRecursive" } },
	{ { "blkio.throttle.io_serviced_recursive", "ioServicedRecursive" },
	  { "blkio.throttle.io_service_bytes_recursive", "ioServiceBytesRecursive" } },
	{ { "blkio.throttle.io_serviced", "ioServicedRecursive" },
	  { "blkio.throttle.io_service_bytes", "ioServiceBytesRecursive" } },
};

/* The first group whose first file tells something. */
static void add_v1(struct stats_reader *r, struct json_object *blkio)
{
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		for (size_t i = 0; groups[g][i].file; i++) {
			struct json_object *list = NULL;

			if (stats_read(r, CGROUP_BLKIO, groups[g][i].file))
				list = stats_blkio_v1(r->text);
			if (list)
				json_put(blkio, groups[g][i].key, list);
			else if (i == 0)
				break;
			if (!groups[g][i + 1].file)
				return;
		}
}

/* ---- v2 ------------------------------------------------------------------------------------------- */

/* io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" */
static const struct {
	const char *name, *key, *op;
} v2_counts[] = {
	{ "rbytes", "ioServiceBytesRecursive", "Read" },
	{ "wbytes", "ioServiceBytesRecursive", "Write" },
	{ "rios", "ioServicedRecursive", "Read" },
	{ "wios", "ioServicedRecursive", "Write" },
};

static void add_count_v2(struct json_object *blkio, uint64_t major, uint64_t minor, char *word)
{
	char *value = strchr(word, '=');
	struct json_object *list = NULL;

	if (!value)
		return;
	*value++ = '\0';
	for (size_t i = 0; i < ARRAY_LEN(v2_counts); i++) {
		if (!str_eq(word, v2_counts[i].name))
			continue;
		if (!json_object_object_get_ex(blkio, v2_counts[i].key, &list))
			list = json_put_array(blkio, v2_counts[i].key);
		push_entry(list, major, minor, v2_counts[i].op, strtoull(value, NULL, 10));
	}
}

static void add_v2(struct stats_reader *r, struct json_object *blkio)
{
	cleanup_strv struct strv lines = STRV_INIT;

	if (!stats_read(r, CGROUP_BLKIO, "io.stat"))
		return;
	strv_split(&lines, r->text, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		cleanup_strv struct strv words = STRV_INIT;
		unsigned long long major = 0, minor = 0;

		strv_split(&words, lines.v[i], " ");
		if (!words.n || sscanf(words.v[0], "%llu:%llu", &major, &minor) != 2)
			continue;
		for (size_t k = 1; k < words.n; k++)
			add_count_v2(blkio, major, minor, words.v[k]);
	}
}

void stats_add_blkio(struct stats_reader *r, struct json_object *data)
{
	struct json_object *blkio = json_put_object(data, "blkio");

	(cgroup_has_v2_files(r->cg, CGROUP_BLKIO) ? add_v2 : add_v1)(r, blkio);
	stats_put_psi(r, blkio, "io.pressure");
}

/* ---- huge pages -------------------------------------------------------------------------------------- */

/* "hugepages-2048kB" as the control files have it: "2MB". */
static bool page_size(const char *name, char out[32])
{
	static const char prefix[] = "hugepages-";
	unsigned long kib;
	char *end;

	if (!str_starts(name, prefix))
		return false;
	kib = strtoul(name + sizeof(prefix) - 1, &end, 10);
	if (!str_eq(end, "kB") || !kib)
		return false;
	if (kib >= 1 << 20)
		snprintf(out, 32, "%luGB", kib >> 20);
	else if (kib >= 1 << 10)
		snprintf(out, 32, "%luMB", kib >> 10);
	else
		snprintf(out, 32, "%luKB", kib);
	return true;
}

/* Reservations are what is limited, where the kernel counts them (Linux 5.7). */
static void add_size(struct stats_reader *r, struct json_object *hugetlb, const char *size)
{
	bool v2 = cgroup_has_v2_files(r->cg, CGROUP_HUGETLB);
	char prefix[64], file[128];
	uint64_t failcnt = 0;
	struct json_object *o;

	snprintf(prefix, sizeof(prefix), "hugetlb.%s.rsvd", size);
	snprintf(file, sizeof(file), v2 ? "%s.current" : "%s.usage_in_bytes", prefix);
	if (!stats_read(r, CGROUP_HUGETLB, file)) {
		snprintf(prefix, sizeof(prefix), "hugetlb.%s", size);
		snprintf(file, sizeof(file), v2 ? "%s.current" : "%s.usage_in_bytes", prefix);
		if (!stats_read(r, CGROUP_HUGETLB, file))
			return;
	}
	o = json_put_object(hugetlb, size);
	stats_put(o, "usage", strtoull(r->text, NULL, 10));
	if (v2) {
		snprintf(file, sizeof(file), "hugetlb.%s.events", size);
		if (stats_read(r, CGROUP_HUGETLB, file))
			cgroupfs_keyed(r->text, "max", &failcnt);
	} else {
		snprintf(file, sizeof(file), "%s.max_usage_in_bytes", prefix);
		stats_put(o, "max", stats_number(r, CGROUP_HUGETLB, file));
		snprintf(file, sizeof(file), "%s.failcnt", prefix);
		failcnt = stats_number(r, CGROUP_HUGETLB, file);
	}
	json_put_u64(o, "failcnt", failcnt);
}

void stats_add_hugetlb(struct stats_reader *r, struct json_object *data)
{
	struct json_object *hugetlb = json_put_object(data, "hugetlb");
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	const struct dirent *d;
	char size[32];

	while (dir && (d = readdir(dir)))
		if (page_size(d->d_name, size))
			add_size(r, hugetlb, size);
	if (dir)
		closedir(dir);
}
