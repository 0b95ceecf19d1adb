/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "image/manifest.h"

/* The kernel's names of machines and GOARCH's, which the OCI image spec uses. */
static const struct {
	const char *machine, *architecture, *variant;
} machines[] = {
	{ "x86_64", "amd64", "" },    { "aarch64", "arm64", "v8" }, { "armv8l", "arm", "v7" },
	{ "armv7l", "arm", "v7" },    { "armv6l", "arm", "v6" },    { "armv5tel", "arm", "v5" },
	{ "i686", "386", "" },	      { "i586", "386", "" },	    { "ppc64le", "ppc64le", "" },
	{ "s390x", "s390x", "" },     { "riscv64", "riscv64", "" }, { "loongarch64", "loong64", "" },
	{ "mips64", "mips64le", "" },
};

struct platform platform_of_host(void)
{
	struct platform p = { "linux", "unknown", "" };
	struct utsname u;

	if (uname(&u) < 0)
		return p;
	for (size_t i = 0; i < ARRAY_LEN(machines); i++)
		if (str_eq(u.machine, machines[i].machine)) {
			p.architecture = machines[i].architecture;
			p.variant = machines[i].variant;
		}
	return p;
}

static const char *normal_variant(const char *architecture, const char *variant)
{
	const char *v = variant ? variant : "";

	if (str_eq(architecture, "arm64"))
		return *v == '\0' || str_eq(v, "8") ? "v8" : v;
	if (str_eq(architecture, "arm"))
		return *v == '\0' || str_eq(v, "7") ? "v7" : v;
	if (str_eq(architecture, "amd64") && str_eq(v, "v1"))
		return "";
	return v;
}

/* The level of the x86-64 psABI (1 to 4) that this CPU has; levels are cumulative. */
static int amd64_level(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("ssse3") ||
	    !__builtin_cpu_supports("popcnt"))
		return 1;
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2") ||
	    !__builtin_cpu_supports("fma"))
		return 2;
	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
	    !__builtin_cpu_supports("avx512vl"))
		return 3;
	return 4;
#else
	return 1;
#endif
}

static int variant_number(const char *v)
{
	return v[0] == 'v' && v[1] >= '0' && v[1] <= '9' && v[2] == '\0' ? v[1] - '0' : 0;
}

int platform_rank(const struct platform *host, const char *os, const char *architecture, const char *variant)
{
	const char *want, *have;
	int n, limit;

	if (!str_eq(os, host->os) || !str_eq(architecture, host->architecture))
		return 0;
	want = normal_variant(architecture, variant);
	have = normal_variant(host->architecture, host->variant);
	if (str_eq(want, have))
		return 100;
	n = variant_number(want);
	limit = str_eq(architecture, "amd64") ? amd64_level()
		: str_eq(architecture, "arm") ? variant_number(have)
					      : 0;
	return n > 0 && n <= limit ? n : 0;
}
