/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "image/manifest.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define D(n) "\"digest\":\"sha256:" HEX #n "\",\"size\":1" #n

static const struct platform amd64 = { "linux", "amd64", "" }, arm64 = { "linux", "arm64", "v8" },
			     arm7 = { "linux", "arm", "v7" };

static void variants_rank_as_the_hosts_can_run_them(void **unused)
{
	(void)unused;
	assert_int_equal(platform_rank(&arm64, "linux", "arm64", ""), 100);
	assert_int_equal(platform_rank(&arm64, "linux", "arm64", "v8"), 100);
	assert_int_equal(platform_rank(&arm64, "linux", "arm64", "v9"), 0);
	assert_int_equal(platform_rank(&arm64, "linux", "arm", "v7"), 0);
	assert_int_equal(platform_rank(&arm7, "linux", "arm", ""), 100);
	assert_true(platform_rank(&arm7, "linux", "arm", "v6") > platform_rank(&arm7, "linux", "arm", "v5"));
	assert_int_equal(platform_rank(&arm7, "linux", "arm", "v8"), 0);
	assert_int_equal(platform_rank(&amd64, "linux", "amd64", "v1"), 100);
	assert_true(platform_rank(&amd64, "linux", "amd64", "v2") < 100);
	assert_int_equal(platform_rank(&amd64, "windows", "amd64", ""), 0);
	assert_int_equal(platform_rank(&amd64, "linux", "386", ""), 0);
}

#define ENTRY(n, arch, variant)                                                                           \
	"{\"mediaType\":\"" MEDIA_OCI_MANIFEST                                                            \
	"\"," D(n) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\",\"variant\":\"" variant \
		   "\"}}"

static int choose(const char *text, const struct platform *host, char *last_digit, struct error *e)
{
	CLEANUP(descriptor_done) struct descriptor d = { 0 };
	int r = index_choose(text, strlen(text), host, &d, e);

	if (r == 0)
		*last_digit = d.digest[strlen(d.digest) - 1];
	return r;
}

static void index_gives_the_best_platform(void **unused)
{
	static const char text[] = "{\"schemaVersion\":2,\"manifests\":[" ENTRY(1, "unknown", "") "," ENTRY(
		2, "arm", "v6") "," ENTRY(3, "arm", "v7") "," ENTRY(4, "amd64", "v2") "," ENTRY(5, "amd64",
												"") "]}";
	struct error e = ERROR_INIT;
	char digit = 0;

	(void)unused;
	assert_int_equal(choose(text, &arm7, &digit, &e), 0);
	assert_int_equal(digit, '3');
	assert_int_equal(choose(text, &amd64, &digit, &e), 0);
	assert_int_equal(digit, '5');
	assert_int_equal(choose(text, &arm64, &digit, &e), -ERR_NOT_FOUND);
	assert_non_null(strstr(err_msg(&e), "linux/arm64/v8"));
	assert_non_null(strstr(err_msg(&e), "linux/arm/v6"));
}

static enum manifest_kind kind;

static int kind_of(const char *text, const char *media)
{
	struct error e = ERROR_INIT;

	return manifest_kind_of(text, strlen(text), media, &kind, &e);
}

static void kind_is_told_by_the_document(void **unused)
{
	(void)unused;
	assert_int_equal(kind_of("{\"mediaType\":\"" MEDIA_DOCKER_LIST "\"}", MEDIA_OCI_MANIFEST), 0);
	assert_int_equal(kind, MANIFEST_INDEX);
	assert_int_equal(kind_of("{\"schemaVersion\":2,\"layers\":[]}", "text/plain"), 0);
	assert_int_equal(kind, MANIFEST_IMAGE);
	assert_int_equal(kind_of("{\"manifests\":[]}", NULL), 0);
	assert_int_equal(kind, MANIFEST_INDEX);
	/* CVE-2021-41190: a document that is both. */
	assert_int_equal(kind_of("{\"manifests\":[],\"layers\":[]}", NULL), -ERR_INVALID);
	assert_int_equal(kind_of("{\"schemaVersion\":1}", NULL), -ERR_UNSUPPORTED);
	assert_int_equal(kind_of("{\"mediaType\":\"application/x\"}", NULL), -ERR_UNSUPPORTED);
	assert_int_equal(kind_of("[]", NULL), -ERR_INVALID);
}

#define MANIFEST(layers) \
	"{\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\"," D(1) "},\"layers\":[" layers "]}"
#define LAYER(media) "{\"mediaType\":\"" media "\"," D(2) "}"

static int parse(const char *text, struct error *e)
{
	CLEANUP(manifest_done) struct manifest m = { 0 };

	return manifest_parse(text, strlen(text), &m, e);
}

static void layers_are_known_by_media_type(void **unused)
{
	static const char good[] = MANIFEST(LAYER("application/vnd.oci.image.layer.v1.tar+zstd"));
	CLEANUP(manifest_done) struct manifest m = { 0 };
	struct error e = ERROR_INIT;

	(void)unused;
	assert_int_equal(manifest_parse(good, strlen(good), &m, &e), 0);
	assert_int_equal(m.layer_count, 1);
	assert_int_equal(m.layers[0].compression, INFLATE_ZSTD);
	assert_int_equal(m.layers[0].blob.size_bytes, 12);
	assert_int_equal(
		parse(MANIFEST(LAYER("application/vnd.oci.image.layer.nondistributable.v1.tar")), &e),
		-ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "layers[0]"));
	assert_int_equal(parse(MANIFEST(LAYER("application/x-what")), &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err_msg(&e), "application/x-what"));
	assert_int_equal(parse(MANIFEST("{\"digest\":\"sha256:../../etc\",\"size\":1}"), &e), -ERR_INVALID);
	assert_int_equal(parse(MANIFEST("{\"digest\":\"sha256:" HEX "1\",\"size\":-1}"), &e), -ERR_INVALID);
	assert_int_equal(parse("{\"layers\":[]}", &e), -ERR_INVALID);
	assert_int_equal(parse("{\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\"," D(
				       1) "},\"layers\":[]}",
			       &e),
			 -ERR_UNSUPPORTED);
}

static void config_is_read_whole(void **unused)
{
	static const char text[] =
		"{\"os\":\"linux\",\"architecture\":\"arm64\",\"config\":{\"Env\":[\"A=1\",\"B=\"],\"Cmd\":["
		"\"/x\",\"\"],"
		"\"Entrypoint\":null,\"User\":\"7\",\"WorkingDir\":\"/"
		"w\",\"StopSignal\":\"SIGINT\",\"Labels\":{\"k\":\"v\"},"
		"\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/data\":{}},\"Unknown\":[1]},"
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" HEX "0\"]}}";
	CLEANUP(image_config_done) struct image_config c = { 0 };
	cleanup_strv struct strv ids = STRV_INIT;
	struct error e = ERROR_INIT;

	(void)unused;
	assert_int_equal(image_config_parse(text, strlen(text), &c, &ids, &e), 0);
	assert_int_equal(ids.n, 1);
	assert_int_equal(c.env.n, 2);
	assert_string_equal(c.cmd.v[1], "");
	assert_int_equal(c.entrypoint.n, 0);
	assert_string_equal(c.user, "7");
	assert_string_equal(c.stop_signal, "SIGINT");
	assert_string_equal(c.label_names.v[0], "k");
	assert_string_equal(c.label_values.v[0], "v");
	assert_string_equal(c.exposed_ports.v[0], "80/tcp");
	assert_string_equal(c.volumes.v[0], "/data");
	assert_string_equal(c.created, "");
}

static void config_without_diff_ids_is_refused(void **unused)
{
	static const char *const texts[] = { "{}", "{\"rootfs\":{}}", "{\"rootfs\":{\"diff_ids\":[\"x\"]}}",
					     "{\"config\":[],\"rootfs\":{\"diff_ids\":[]}}",
					     "{\"config\":{\"Env\":[1]},\"rootfs\":{\"diff_ids\":[]}}" };

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct image_config c = { 0 };
		struct strv ids = STRV_INIT;
		struct error e = ERROR_INIT;

		assert_int_equal(image_config_parse(texts[i], strlen(texts[i]), &c, &ids, &e), -ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variants_rank_as_the_hosts_can_run_them),
		cmocka_unit_test(index_gives_the_best_platform),
		cmocka_unit_test(kind_is_told_by_the_document),
		cmocka_unit_test(layers_are_known_by_media_type),
		cmocka_unit_test(config_is_read_whole),
		cmocka_unit_test(config_without_diff_ids_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
