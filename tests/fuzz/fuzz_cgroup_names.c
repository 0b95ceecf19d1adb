/* SPDX-License-Identifier: Apache-2.0 */
/* Names of cgroups, which come from CRI requests and OCI specs, mount points in a mountinfo text, and the values of a
 * unit's properties in annotations. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "cgroup/host.h"
#include "cgroup/path.h"
#include "cgroup/systemd_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever was accepted stays inside the hierarchy. */
static void check(const char *path)
{
	if (!path_is_clean_abs(path) || strstr(path, "/cgroup."))
		abort();
}

static void fuzz_names(const char *text, enum cgroup_driver driver)
{
	struct cgroup_host host = { .driver = driver };
	char path[CGROUP_PATH_MAX], resolved[CGROUP_PATH_MAX];
	struct cgroup_unit_name unit;

	if (cgroup_path_resolve(&host, text, path, NULL) == 0)
		check(path);
	if (cgroup_path_below(&host, text, "hull", "x", path, NULL) == 0) {
		if (cgroup_path_resolve(&host, path, resolved, NULL) < 0)
			abort();
		check(resolved);
	}
	if (cgroup_path_below(&host, "", "hull", text, path, NULL) == 0 &&
	    cgroup_path_resolve(&host, path, resolved, NULL) == 0)
		check(resolved);
	if (cgroup_unit_parse(text, &unit, NULL) == 0 && strchr(unit.unit, '/'))
		abort();
}

static void fuzz_mountinfo(const char *text)
{
	struct cgroup_host *host = NEW(struct cgroup_host);

	cgroup_host_parse(host, text);
	for (size_t i = 0; i < host->hier_count; i++)
		host->hier[i].root_dfd = -1;
	cgroup_host_decide(host, "cpu memory pids");
	cgroup_host_free(host);
}

static void fuzz_value(const char *text)
{
	CLEANUP(systemd_value_done) struct systemd_value v = SYSTEMD_VALUE_INIT;
	cleanup_buf struct buf wire = BUF_INIT;
	struct error e = ERROR_INIT;

	if (systemd_value_parse(text, &v, &e) < 0) {
		if (!err_msg(&e)[0])
			abort();
		return;
	}
	systemd_value_put(&v, &wire);
	if (!v.signature[0] || wire.len < 4)
		abort();
	if (systemd_value_to_usec(&v, &e) >= 0 && !str_eq(v.signature, "t"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = str_ndup((const char *)data, size);

	fuzz_names(text, CGROUP_DRIVER_CGROUPFS);
	fuzz_names(text, CGROUP_DRIVER_SYSTEMD);
	fuzz_mountinfo(text);
	fuzz_value(text);
	return 0;
}
