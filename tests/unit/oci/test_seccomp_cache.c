// SPDX-License-Identifier: Apache-2.0
/* The cache of compiled seccomp profiles: what comes out of it is what would have been compiled. */
#include <fcntl.h>
#include <linux/filter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/seccomp_bpf.h"
#include "seccomp_kit.h"

static char dir[64];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/hull-test-seccomp-XXXXXX");
	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
	return path_remove_tree(AT_FDCWD, *state, NULL);
}

/* The one file in the cache. */
static void only_file(char out[300])
{
	cleanup_free char *pattern = str_fmt("ls %s", dir);
	FILE *f = popen(pattern, "r");
	char name[256] = "", more[256];

	assert_true(fgets(name, sizeof(name), f));
	assert_null(fgets(more, sizeof(more), f));
	pclose(f);
	name[strcspn(name, "\n")] = 0;
	snprintf(out, 300, "%s/%s", dir, name);
}

static void get(const struct oci_seccomp *profile, int dfd, struct buf *code)
{
	struct error e = ERROR_INIT;

	buf_clear(code);
	if (oci_seccomp_get(profile, dfd, code, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

static void a_cached_program_is_the_compiled_one(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = seccomp_default_spec(0);
	cleanup_buf struct buf direct = BUF_INIT, first = BUF_INIT, second = BUF_INIT;
	cleanup_close int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t t0, t1, t2;
	char path[300];
	struct stat st;

	(void)state;
	get(spec->linux.seccomp, -1, &direct);
	t0 = clock_mono_ns();
	get(spec->linux.seccomp, dfd, &first);
	t1 = clock_mono_ns();
	get(spec->linux.seccomp, dfd, &second);
	t2 = clock_mono_ns();
	assert_int_equal(direct.len, first.len);
	assert_memory_equal(direct.data, first.data, first.len);
	assert_int_equal(second.len, first.len);
	assert_memory_equal(second.data, first.data, first.len);
	only_file(path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	print_message("compiled in %lld us, cached in %lld us, %zu instructions\n",
		      (long long)(t1 - t0) / 1000, (long long)(t2 - t1) / 1000,
		      first.len / sizeof(struct sock_filter));
	assert_true(t2 - t1 < t1 - t0);
}

/* A cached file with another program in it, right in all but `what`. */
static void a_wrong_cache_file_is_replaced(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = seccomp_default_spec(0);
	cleanup_buf struct buf good = BUF_INIT, again = BUF_INIT, content = BUF_INIT;
	cleanup_close int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct error e = ERROR_INIT;
	char path[300];

	(void)state;
	get(spec->linux.seccomp, dfd, &good);
	only_file(path);
	assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &content, &e), 0);
	/* A flipped bit in the program, in the profile, in the head; a cut file; an empty one. */
	for (int i = 0; i < 5; i++) {
		static const int cut[] = { 0, 0, 0, 9, -1 };
		size_t at = i == 0 ? content.len - 4 : i == 1 ? 40 : 4;
		size_t len = cut[i] < 0 ? 0 : content.len - (size_t)cut[i];
		int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

		content.data[at] ^= 1;
		assert_int_equal(write(fd, content.data, len), len);
		close(fd);
		content.data[at] ^= 1;
		get(spec->linux.seccomp, dfd, &again);
		assert_int_equal(again.len, good.len);
		assert_memory_equal(again.data, good.data, good.len);
	}
}

static void a_cache_file_that_others_could_write_is_not_used(void **state)
{
	CLEANUP(oci_spec_free) struct oci_spec *spec = seccomp_default_spec(0);
	cleanup_buf struct buf good = BUF_INIT, again = BUF_INIT;
	cleanup_close int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	char path[300];

	(void)state;
	get(spec->linux.seccomp, dfd, &good);
	only_file(path);
	assert_int_equal(chmod(path, 0622), 0);
	get(spec->linux.seccomp, dfd, &again);
	assert_memory_equal(again.data, good.data, good.len);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600); /* replaced, not trusted */
}

static void different_profiles_serialize_differently(void **state)
{
	static const char *const texts[] = {
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\"}",
		"{\"defaultAction\":\"SCMP_ACT_LOG\"}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\",\"b\"],\"action\":"
		"\"SCMP_ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_"
		"ACT_ERRNO\"},"
		"{\"names\":[\"b\"],\"action\":\"SCMP_ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\"],\"action\":\"SCMP_"
		"ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\"],\"action\":\"SCMP_"
		"ACT_ERRNO\","
		"\"args\":[{\"index\":1,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"ab\"],\"action\":\"SCMP_"
		"ACT_ERRNO\","
		"\"args\":[{\"index\":1,\"value\":1,\"valueTwo\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
	};
	struct buf all[ARRAY_LEN(texts)] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEANUP(oci_spec_free) struct oci_spec *spec = seccomp_spec(texts[i]);

		oci_seccomp_serialize(spec->linux.seccomp, &all[i]);
		for (size_t j = 0; j < i; j++)
			assert_false(all[i].len == all[j].len &&
				     memcmp(all[i].data, all[j].data, all[i].len) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		buf_done(&all[i]);
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_dir(a_cached_program_is_the_compiled_one),
		with_dir(a_wrong_cache_file_is_replaced),
		with_dir(a_cache_file_that_others_could_write_is_not_used),
		cmocka_unit_test(different_profiles_serialize_differently),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
