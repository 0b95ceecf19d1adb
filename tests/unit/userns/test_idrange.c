/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "common.h"
#include "userns/idrange.h"

static struct idmap block(uint32_t first, uint32_t length)
{
	return (struct idmap){ .x = { { 0, first, length } }, .n = 1 };
}

static int claim(struct idrange *reg, const char *holder, const char *pod, uint32_t first, uint32_t length,
		 struct error *e)
{
	struct idmap map = block(first, length);

	return idrange_claim(reg, holder, pod, &map, e);
}

static void an_overlap_is_refused_naming_the_pod_that_has_it(void **state)
{
	cleanup_idrange struct idrange *reg = idrange_new();
	struct error e = ERROR_INIT;

	(void)state;
	assert_ok(claim(reg, "s1", "default/web", 100000, 65536, &e));
	assert_ok(claim(reg, "s2", "default/db", 165536, 65536, &e));
	assert_int_equal(claim(reg, "s3", "kube-system/dns", 165535, 1, &e), -ERR_EXISTS);
	assert_says(&e, "host ids 165535 to 165535 of pod \"kube-system/dns\"");
	assert_says(&e, "host ids 100000 to 165535 of pod \"default/web\" (sandbox s1)");
	assert_int_equal(claim(reg, "s3", "kube-system/dns", 0, UINT32_MAX, &e), -ERR_EXISTS);
	assert_ok(claim(reg, "s3", "kube-system/dns", 4170514432U, 65536, &e));
	assert_int_equal(claim(reg, "s4", "x/y", 4170579967U, 1, &e), -ERR_EXISTS);
	assert_says(&e, "kube-system/dns");
}

static void a_long_block_is_seen_past_short_ones_behind_its_start(void **state)
{
	cleanup_idrange struct idrange *reg = idrange_new();
	struct error e = ERROR_INIT;

	(void)state;
	assert_ok(claim(reg, "s1", "a", 1000, 100000, &e));
	assert_ok(claim(reg, "s2", "a", 2000, 10, &e));
	assert_ok(claim(reg, "s2", "a", 3000, 10, &e));
	assert_int_equal(claim(reg, "s3", "b", 100999, 1, &e), -ERR_EXISTS);
	assert_ok(claim(reg, "s3", "b", 101000, 1, &e));
}

static void attempts_of_one_pod_share_their_block(void **state)
{
	cleanup_idrange struct idrange *reg = idrange_new();
	struct error e = ERROR_INIT;

	(void)state;
	assert_ok(claim(reg, "attempt-0", "default/web", 100000, 65536, &e));
	assert_ok(claim(reg, "attempt-0", "default/web", 100000, 65536, &e)); /* its gids */
	assert_ok(claim(reg, "attempt-1", "default/web", 100000, 65536, &e));
	idrange_release(reg, "attempt-0");
	assert_int_equal(claim(reg, "s", "default/db", 100000, 1, &e), -ERR_EXISTS);
	idrange_release(reg, "attempt-1");
	idrange_release(reg, "attempt-1");
	assert_ok(claim(reg, "s", "default/db", 100000, 1, &e));
}

static void a_refused_claim_leaves_nothing(void **state)
{
	cleanup_idrange struct idrange *reg = idrange_new();
	struct idmap two = { .x = { { 0, 500, 10 }, { 10, 100, 10 } }, .n = 2 };
	struct error e = ERROR_INIT;

	(void)state;
	assert_ok(claim(reg, "s1", "a", 105, 1, &e));
	assert_int_equal(idrange_claim(reg, "s2", "b", &two, &e), -ERR_EXISTS);
	assert_ok(claim(reg, "s3", "c", 500, 10, &e));
	assert_int_equal(idrange_claim(reg, "s4", "d", &IDMAP_INIT, &e), -ERR_INVALID);
}

static void the_first_fit_is_chosen_and_found_again(void **state)
{
	cleanup_idrange struct idrange *reg = idrange_new();
	struct idrange_pool pool = IDRANGE_POOL_INIT;
	struct error e = ERROR_INIT;
	uint32_t first;

	(void)state;
	assert_ok(idrange_pool_add(&pool, (struct idrange_block){ 500000, 65536 * 3 }, &e));
	assert_ok(idrange_pool_add(&pool, (struct idrange_block){ 100000, 65536 }, &e));
	assert_ok(idrange_alloc(reg, "s1", "p1", 65536, &pool, &first, &e));
	assert_int_equal(first, 500000);
	assert_ok(claim(reg, "k", "kubelet's", 565536, 1, &e));
	assert_ok(idrange_alloc(reg, "s2", "p2", 65536, &pool, &first, &e));
	assert_int_equal(first, 565537);
	assert_ok(idrange_alloc(reg, "s3", "p3", 65536, &pool, &first, &e));
	assert_int_equal(first, 100000);
	assert_int_equal(idrange_alloc(reg, "s4", "p4", 65536, &pool, &first, &e), -ERR_LIMIT);
	assert_says(&e, "p4");
	assert_says(&e, "of the 262144 ids of the pool's 2 blocks 196609 are in use");
	idrange_release(reg, "s1");
	assert_ok(idrange_alloc(reg, "s5", "p5", 65536, &pool, &first, &e));
	assert_int_equal(first, 500000);
	assert_int_equal(idrange_alloc(reg, "s6", "p6", 0, &pool, &first, &e), -ERR_INVALID);
}

static void a_thousand_pods_never_overlap(void **state)
{
	cleanup_idrange struct idrange *reg = idrange_new();
	struct idrange_pool pool = IDRANGE_POOL_INIT;
	struct error e = ERROR_INIT;
	uint32_t first, expect = 65536;
	char name[16];

	(void)state;
	assert_ok(idrange_pool_add(&pool, (struct idrange_block){ 65536, 65536U * 1000 }, &e));
	for (int i = 0; i < 1000; i++, expect += 65536) {
		snprintf(name, sizeof(name), "s%d", i);
		assert_ok(idrange_alloc(reg, name, name, 65536, &pool, &first, &e));
		assert_int_equal(first, expect);
	}
	assert_int_equal(idrange_alloc(reg, "x", "x", 1, &pool, &first, &e), -ERR_LIMIT);
	idrange_release(reg, "s500");
	assert_ok(idrange_alloc(reg, "x", "x", 65536, &pool, &first, &e));
	assert_int_equal(first, 65536U * 501);
}

static void a_pool_refuses_what_is_no_block(void **state)
{
	struct idrange_pool pool = IDRANGE_POOL_INIT;
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(idrange_pool_add(&pool, (struct idrange_block){ 5, 0 }, &e), -ERR_INVALID);
	assert_int_equal(idrange_pool_add(&pool, (struct idrange_block){ 5, UINT32_MAX }, &e), -ERR_INVALID);
	assert_ok(idrange_pool_add(&pool, (struct idrange_block){ 5, UINT32_MAX - 5 }, &e));
	assert_int_equal(idrange_pool_add(&pool, (struct idrange_block){ 4, 2 }, &e), -ERR_EXISTS);
	assert_int_equal(pool.n, 1);
}

static char *subid_file(const char *text)
{
	char *path = strdup("/tmp/hull-test-userns-subid-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static int load(struct idrange_pool *pool, const char *text, const char *user, const char *uid,
		struct error *e)
{
	char *path = subid_file(text);
	int r;

	*pool = IDRANGE_POOL_INIT;
	r = idrange_pool_load_subid(pool, path, user, uid, e);
	unlink(path);
	free(path);
	return r;
}

static void the_pool_comes_from_subuid(void **state)
{
	static const char text[] = "root:1:65536\nkubelet:524288:7208960\n1000:9000000:10\nkubelet:100:5";
	struct idrange_pool pool;
	struct error e = ERROR_INIT;

	(void)state;
	assert_ok(load(&pool, text, "kubelet", "1000", &e));
	assert_int_equal(pool.n, 3);
	assert_int_equal(pool.block[0].first, 524288);
	assert_int_equal(pool.block[0].length, 7208960);
	assert_int_equal(pool.block[1].first, 9000000);
	assert_int_equal(pool.block[2].length, 5);
	assert_int_equal(idrange_pool_size(&pool), 7208975);
	assert_int_equal(load(&pool, text, "hull", NULL, &e), -ERR_NOT_FOUND);
	assert_says(&e, "\"hull\"");
	assert_int_equal(load(&pool, "", "hull", NULL, &e), -ERR_NOT_FOUND);
	assert_int_equal(load(&pool, "x:bad\n\nhull:12\n", "hull", NULL, &e), -ERR_INVALID);
	assert_says(&e, "line 3");
	assert_int_equal(load(&pool, "hull:12:x\n", "hull", NULL, &e), -ERR_INVALID);
	assert_int_equal(load(&pool, "hull:12:1:1\n", "hull", NULL, &e), -ERR_INVALID);
	assert_int_equal(load(&pool, "hull:4294967295:1\n", "hull", NULL, &e), -ERR_INVALID);
	assert_int_equal(load(&pool, "hull:5:5\nhull:6:1\n", "hull", NULL, &e), -ERR_EXISTS);
	assert_says(&e, "line 2");
	assert_int_equal(pool.n, 0);
	assert_int_equal(idrange_pool_load_subid(&pool, "/nonexistent/subuid", "hull", NULL, &e),
			 -ERR_NOT_FOUND);
}

static void uids_and_gids_give_what_both_have(void **state)
{
	struct idrange_pool uids = { .block = { { 100, 100 }, { 1000, 10 } }, .n = 2 };
	struct idrange_pool gids = { .block = { { 150, 855 } }, .n = 1 }, both;
	struct error e = ERROR_INIT;

	(void)state;
	assert_ok(idrange_pool_intersect(&uids, &gids, &both, &e));
	assert_int_equal(both.n, 2);
	assert_int_equal(both.block[0].first, 150);
	assert_int_equal(both.block[0].length, 50);
	assert_int_equal(both.block[1].first, 1000);
	assert_int_equal(both.block[1].length, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_overlap_is_refused_naming_the_pod_that_has_it),
		cmocka_unit_test(a_long_block_is_seen_past_short_ones_behind_its_start),
		cmocka_unit_test(attempts_of_one_pod_share_their_block),
		cmocka_unit_test(a_refused_claim_leaves_nothing),
		cmocka_unit_test(the_first_fit_is_chosen_and_found_again),
		cmocka_unit_test(a_thousand_pods_never_overlap),
		cmocka_unit_test(a_pool_refuses_what_is_no_block),
		cmocka_unit_test(the_pool_comes_from_subuid),
		cmocka_unit_test(uids_and_gids_give_what_both_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
