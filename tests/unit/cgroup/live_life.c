/* SPDX-License-Identifier: Apache-2.0 */
/* Live: making and removing. */
#include "live.h"

static void a_cgroup_is_made_in_every_hierarchy_and_removed_with_its_parents(void **state)
{
	struct cgroup *cg;

	(void)state;
	skip_if_denied();
	cg = make("a/b", NULL);
	assert_int_equal(cgroup_made_parents(cg), 0); /* the parents say so themselves */
	assert_int_equal(count_dirs(cgroup_path(cg)), (int)host->hier_count);
	ok(cgroup_remove(host, cgroup_path(cg), 0, &err));
	assert_int_equal(count_dirs(base), 0);
	/* Once more: gone already. */
	ok(cgroup_remove(host, cgroup_path(cg), 2, &err));
	cgroup_free(cg);
}

static void remove_one(struct cgroup *cg)
{
	ok(cgroup_remove(host, cgroup_path(cg), 0, &err));
	cgroup_free(cg);
}

/* As in a pod: the second one makes no parents, and is the last to go. */
static void the_last_one_takes_the_parents_along_that_the_first_one_made(void **state)
{
	struct cgroup *first, *second;

	(void)state;
	skip_if_denied();
	first = make("pod/a", NULL);
	second = make("pod/b", NULL);
	remove_one(first);
	assert_int_equal(count_dirs(below("pod")), (int)host->hier_count);
	remove_one(second);
	assert_int_equal(count_dirs(base), 0);
}

static void parents_that_others_made_stay(void **state)
{
	int root = host->hier[0].root_dfd, pod = -1;

	(void)state;
	skip_if_denied();
	assert_return_code(mkdirat(root, base + 1, 0755), errno);
	assert_return_code(mkdirat(root, below("pod") + 1, 0755), errno);
	remove_one(make("pod/a", NULL));
	/* There alone: in the other hierarchies they were ours. */
	assert_int_equal(count_dirs(base), 1);
	assert_return_code(unlinkat(root, below("pod") + 1, AT_REMOVEDIR), errno);
	assert_return_code(mkdirat(root, below("pod") + 1, 0755), errno);
	/* Nor does a mark count that somebody else could have made. */
	pod = openat(root, below("pod") + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(pod, errno);
	assert_return_code(cgroupfs_mark(pod), errno);
	assert_true(cgroupfs_is_marked(pod));
	assert_return_code(fchmod(pod, 0775), errno);
	assert_false(cgroupfs_is_marked(pod));
	assert_return_code(fchmod(pod, 0755), errno);
	if (fchown(pod, 1, 1) == 0) {
		assert_false(cgroupfs_is_marked(pod));
		remove_one(make("pod/a", NULL));
		assert_int_equal(count_dirs(below("pod")), 1);
		assert_return_code(fchown(pod, 0, 0), errno);
	}
	close(pod);
	remove_one(make("pod/a", NULL));
	assert_int_equal(count_dirs(below("pod")), 0);
	assert_int_equal(count_dirs(base), 1);
	assert_return_code(unlinkat(root, base + 1, AT_REMOVEDIR), errno);
}

static void opening_what_is_not_there_is_not_found(void **state)
{
	struct cgroup *cg = NULL;

	(void)state;
	assert_int_equal(cgroup_open(host, below("none"), &cg, &err), -ERR_NOT_FOUND);
	assert_null(cg);
}

static void a_failed_creation_leaves_nothing(void **state)
{
	struct cgroup_resources res = { .cpuset_cpus = "4000" };
	struct cgroup *cg = NULL;

	(void)state;
	need(CGROUP_CPUSET);
	assert_int_equal(cgroup_create(host, below("x/y"), &res, &cg, &err), -ERR_INVALID);
	assert_non_null(strstr(err_msg(&err), "cpuset.cpus"));
	assert_null(cg);
	assert_int_equal(count_dirs(base), 0);
}

static void a_rollback_keeps_parents_that_others_use(void **state)
{
	struct cgroup_resources res = { .cpuset_cpus = "4000" };
	struct cgroup *sibling, *cg = NULL;

	(void)state;
	need(CGROUP_CPUSET);
	sibling = make("sibling", NULL);
	assert_int_equal(cgroup_create(host, below("x/y"), &res, &cg, &err), -ERR_INVALID);
	assert_int_equal(count_dirs(below("x")), 0);
	assert_int_equal(count_dirs(cgroup_path(sibling)), (int)host->hier_count);
	unmake(sibling);
}

static void children_are_removed_deepest_first(void **state)
{
	struct cgroup *cg, *deep = NULL;
	char path[1024];

	(void)state;
	skip_if_denied();
	cg = make("top", NULL);
	snprintf(path, sizeof(path), "%s/1/2/3/4/5/6/7/8/9/10", cgroup_path(cg));
	ok(cgroup_create(host, path, NULL, &deep, &err));
	snprintf(path, sizeof(path), "%s/1/2/other", cgroup_path(cg));
	cgroup_free(deep);
	ok(cgroup_create(host, path, NULL, &deep, &err));
	cgroup_free(deep);
	unmake(cg);
	assert_int_equal(count_dirs(base), 0);
}

static void a_cgroup_in_use_is_neither_taken_over_nor_removed(void **state)
{
	struct cgroup *cg, *second = NULL;
	char number[16];
	pid_t pid;

	(void)state;
	skip_if_denied();
	cg = make("used", NULL);
	pid = start(cg, sleep_long, NULL);
	assert_int_equal(cgroup_create(host, cgroup_path(cg), NULL, &second, &err), -ERR_EXISTS);
	assert_null(second);
	ok(cgroup_ensure(host, cgroup_path(cg), NULL, &second, &err));
	assert_int_equal(cgroup_remove(host, cgroup_path(cg), 0, &err), -ERR_STATE);
	snprintf(number, sizeof(number), "pid %d", pid);
	assert_non_null(strstr(err_msg(&err), number));
	cgroup_free(second);
	unmake(cg);
	assert_int_equal(count_dirs(base), 0);
}

static void a_cgroup_that_is_being_made_is_not_taken_over(void **state)
{
	cleanup_free char *path = NULL;
	struct cgroup *cg, *second = NULL;

	(void)state;
	skip_if_denied();
	cg = make("claimed", NULL);
	path = str_dup(cgroup_path(cg));
	assert_int_equal(cgroup_create(host, path, NULL, &second, &err), -ERR_EXISTS);
	assert_non_null(strstr(err_msg(&err), "is being made"));
	assert_null(second);
	assert_int_not_equal(count_dirs(base), 0);
	err_clear(&err);
	cgroup_free(cg);
	ok(cgroup_create(host, path, NULL, &second, &err));
	unmake(second);
	assert_int_equal(count_dirs(base), 0);
}

static void an_empty_leftover_is_taken_over(void **state)
{
	cleanup_free char *path = NULL;
	struct cgroup *cg, *second;

	(void)state;
	skip_if_denied();
	cg = make("left", NULL);
	path = str_dup(cgroup_path(cg));
	/* Who made it is gone. */
	cgroup_free(cg);
	ok(cgroup_open(host, path, &cg, &err));
	ok(cgroup_freeze(cg, 1000, &err));
	/* Somebody has frozen it: what would be started there would hang. */
	assert_int_equal(cgroup_create(host, cgroup_path(cg), NULL, &second, &err), -ERR_STATE);
	assert_non_null(strstr(err_msg(&err), "unexpectedly frozen"));
	assert_true(cgroup_is_frozen(cg));
	err_clear(&err);
	ok(cgroup_thaw(cg, &err));
	second = make("left", NULL);
	cgroup_free(cg);
	unmake(second);
}

static const struct CMUnitTest life_tests[] = {
	cmocka_unit_test_teardown(a_cgroup_is_made_in_every_hierarchy_and_removed_with_its_parents, sweep),
	cmocka_unit_test_teardown(the_last_one_takes_the_parents_along_that_the_first_one_made, sweep),
	cmocka_unit_test_teardown(parents_that_others_made_stay, sweep),
	cmocka_unit_test_teardown(opening_what_is_not_there_is_not_found, sweep),
	cmocka_unit_test_teardown(a_failed_creation_leaves_nothing, sweep),
	cmocka_unit_test_teardown(a_rollback_keeps_parents_that_others_use, sweep),
	cmocka_unit_test_teardown(children_are_removed_deepest_first, sweep),
	cmocka_unit_test_teardown(a_cgroup_in_use_is_neither_taken_over_nor_removed, sweep),
	cmocka_unit_test_teardown(a_cgroup_that_is_being_made_is_not_taken_over, sweep),
	cmocka_unit_test_teardown(an_empty_leftover_is_taken_over, sweep),
};
LIVE_TESTS(life);
