/* SPDX-License-Identifier: Apache-2.0 */
/* Names of cgroups, which come from CRI requests and OCI specs, and mount points in a mountinfo text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "cgroup/host.h"
#include "cgroup/path.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = str_ndup((const char *)data, size);

	fuzz_names(text, CGROUP_DRIVER_CGROUPFS);
	fuzz_names(text, CGROUP_DRIVER_SYSTEMD);
	fuzz_mountinfo(text);
	return 0;
}
