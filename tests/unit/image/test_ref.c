/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "image/registries.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void short_forms_are_completed_as_docker_does(void **unused)
{
	static const struct {
		const char *text, *full, *familiar;
	} rows[] = {
		{ "busybox", "docker.io/library/busybox:latest", "busybox:latest" },
		{ "busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36" },
		{ "index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest" },
		{ "docker.io/team/app:v1", "docker.io/team/app:v1", "team/app:v1" },
		{ "team/app", "docker.io/team/app:latest", "team/app:latest" },
		{ "localhost/app", "localhost/app:latest", "localhost/app:latest" },
		{ "localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest" },
		{ "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c" },
		{ "[::1]:5000/a:b", "[::1]:5000/a:b", "[::1]:5000/a:b" },
		{ "registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9" },
		{ "a@sha256:" HEX, "docker.io/library/a@sha256:" HEX, "a@sha256:" HEX },
		{ "a:t@sha256:" HEX, "docker.io/library/a:t@sha256:" HEX, "a:t@sha256:" HEX },
		{ "x.y/a__b/c-_d:_T", NULL, NULL },
		{ "x.y/a__b/c--d:_T", "x.y/a__b/c--d:_T", "x.y/a__b/c--d:_T" },
		{ "docker.io/a.b/c:d", "docker.io/a.b/c:d", "docker.io/a.b/c:d" },
		{ "Upper/case", "Upper/case:latest", "Upper/case:latest" },
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
		cleanup_free char *full = NULL, *familiar = NULL;
		struct error e = ERROR_INIT;
		int r = image_ref_parse(rows[i].text, &ref, &e);

		if (!rows[i].full) {
			assert_int_equal(r, -ERR_INVALID);
			continue;
		}
		assert_int_equal(r, 0);
		full = image_ref_full(&ref);
		familiar = image_ref_familiar(&ref);
		assert_string_equal(full, rows[i].full);
		assert_string_equal(familiar, rows[i].familiar);
	}
}

static void wrong_references_are_refused_with_the_part(void **unused)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "empty" },
		{ "docker.io/UPPER", "repository name" },
		{ "a b", "repository name" },
		{ "a//b", "repository name" },
		{ "a/", "repository name" },
		{ "/a", "repository name" },
		{ "../a", "registry host" },
		{ "a:", "not a tag" },
		{ "a:b:c", "not a tag" },
		{ "a:.b", "not a tag" },
		{ "a@sha256:12", "not a digest" },
		{ "a@md5:" HEX, "not a digest" },
		{ "a@sha256:" HEX "@sha256:" HEX, "not a digest" },
		{ "x.y:99999/a", "registry host" },
		{ "-x.y/a", "registry host" },
		{ "x.y\n/a", "registry host" },
		{ HEX, "image id" },
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct image_ref ref = IMAGE_REF_INIT;
		struct error e = ERROR_INIT;

		assert_int_equal(image_ref_parse(rows[i].text, &ref, &e), -ERR_INVALID);
		if (!strstr(err_msg(&e), rows[i].says))
			fail_msg("%s: %s", rows[i].text, err_msg(&e));
		assert_null(ref.domain);
	}
}

static void names_are_bounded(void **unused)
{
	struct image_ref ref = IMAGE_REF_INIT;
	char text[400];

	(void)unused;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(image_ref_parse(text, &ref, NULL), -ERR_INVALID);
	text[255 - 18] = '\0'; /* docker.io/library/ */
	assert_int_equal(image_ref_parse(text, &ref, NULL), 0);
	image_ref_done(&ref);
}

static void check_endpoints(const struct registries *r, const char *text, const char *first, const char *last,
			    size_t count)
{
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	struct registry_endpoint *v;
	size_t n;

	assert_int_equal(image_ref_parse(text, &ref, NULL), 0);
	registries_resolve(r, &ref, &v, &n);
	assert_int_equal(n, count);
	assert_string_equal(v[0].url, first);
	assert_string_equal(v[n - 1].url, last);
	registry_endpoints_free(v, n);
}

static char *t(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void longest_prefix_chooses_the_mirrors(void **unused)
{
	struct registry_endpoint any[] = { { .url = t("http://any:1/") } },
				 k8s[] = { { .url = t("mirror:2") } },
				 team[] = { { .url = t("https://t/x") }, { .url = t("127.0.0.1:3") } };
	struct registry_config v[] = {
		{ .prefix = t("*"), .mirrors = any, .mirror_count = 1 },
		{ .prefix = t("registry.k8s.io"), .mirrors = k8s, .mirror_count = 1 },
		{ .prefix = t("registry.k8s.io/team"), .mirrors = team, .mirror_count = 2 },
		{ .prefix = t("plain.example"), .insecure = true },
	};
	struct registries r = { v, ARRAY_LEN(v) };
	struct error e = ERROR_INIT;

	(void)unused;
	assert_int_equal(registries_check(&r, &e), 0);
	check_endpoints(&r, "busybox", "http://any:1", "https://registry-1.docker.io", 2);
	check_endpoints(&r, "registry.k8s.io/pause", "https://mirror:2", "https://registry.k8s.io", 2);
	check_endpoints(&r, "registry.k8s.io/team/x", "https://t/x", "https://registry.k8s.io", 3);
	check_endpoints(&r, "registry.k8s.io/teams/x", "https://mirror:2", "https://registry.k8s.io", 2);
	check_endpoints(&r, "registry.k8s.io.evil/x", "http://any:1", "https://registry.k8s.io.evil", 2);
	check_endpoints(&r, "plain.example/x", "https://plain.example", "http://plain.example", 2);
	check_endpoints(&(struct registries){ 0 }, "localhost:5000/x", "http://localhost:5000",
			"http://localhost:5000", 1);
	check_endpoints(&(struct registries){ 0 }, "127.0.0.1.evil:5000/x", "https://127.0.0.1.evil:5000",
			"https://127.0.0.1.evil:5000", 1);
}

static void wrong_configurations_are_named(void **unused)
{
	static const char *const urls[] = { "ftp://x",	   "http://",	 "http://user@x",
					    "http://x/?a", "http://x y", "" };
	struct error e = ERROR_INIT;

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct registry_endpoint m = { .url = t(urls[i]) };
		struct registry_config c = { .prefix = t("*"), .mirrors = &m, .mirror_count = 1 };

		assert_int_equal(registries_check(&(struct registries){ &c, 1 }, &e), -ERR_INVALID);
		assert_non_null(strstr(err_msg(&e), "registries[0].mirrors[0].url"));
	}
	struct registry_config twice[] = { { .prefix = t("a.b") }, { .prefix = t("a.b") } };
	struct registry_config star = { .prefix = t("a*") };

	assert_int_equal(registries_check(&(struct registries){ twice, 2 }, &e), -ERR_INVALID);
	assert_int_equal(registries_check(&(struct registries){ &star, 1 }, &e), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_forms_are_completed_as_docker_does),
		cmocka_unit_test(wrong_references_are_refused_with_the_part),
		cmocka_unit_test(names_are_bounded),
		cmocka_unit_test(longest_prefix_chooses_the_mirrors),
		cmocka_unit_test(wrong_configurations_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
