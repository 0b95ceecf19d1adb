/* SPDX-License-Identifier: Apache-2.0 */
/* The decisions of who is not root: pure functions, as tables. */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "userns/denied.h"
#include "userns/rootless.h"
#include "userns/subid.h"

static void rootless_is_two_things(void **state)
{
	static const struct {
		const char *who;
		struct rootless_facts facts;
		enum rootless_word word;
		bool needs_user_ns, lacks_cgroups;
		const char *state_dir;
	} cases[] = {
		{ "root of the host",
		  { 0, false, true, "root", "/run/user/0" },
		  ROOTLESS_AUTO,
		  false,
		  false,
		  NULL },
		{ "root by sudo",
		  { 0, false, true, "alice", "/run/user/1000" },
		  ROOTLESS_AUTO,
		  false,
		  false,
		  NULL },
		{ "a user",
		  { 1000, false, false, "alice", "/run/user/1000" },
		  ROOTLESS_AUTO,
		  true,
		  true,
		  "/run/user/1000" },
		{ "a user without a session",
		  { 1000, false, false, "alice", NULL },
		  ROOTLESS_AUTO,
		  true,
		  true,
		  NULL },
		{ "a relative directory",
		  { 1000, false, false, "alice", "run" },
		  ROOTLESS_AUTO,
		  true,
		  true,
		  NULL },
		{ "the word is about cgroups alone",
		  { 1000, false, false, "a", "/r" },
		  ROOTLESS_FALSE,
		  true,
		  false,
		  "/r" },
		{ "and root may be told that it lacks them",
		  { 0, false, true, "root", NULL },
		  ROOTLESS_TRUE,
		  false,
		  true,
		  NULL },
		{ "root in a container",
		  { 0, true, true, "root", "/run/user/0" },
		  ROOTLESS_AUTO,
		  false,
		  true,
		  NULL },
		{ "the same without $USER, as podman's monitor calls",
		  { 0, true, true, NULL, "/run/user/1000" },
		  ROOTLESS_AUTO,
		  false,
		  true,
		  "/run/user/1000" },
		{ "root of a user's namespace",
		  { 0, true, true, "alice", "/r" },
		  ROOTLESS_AUTO,
		  false,
		  true,
		  "/r" },
		{ "the same told otherwise",
		  { 0, true, true, "alice", "/r" },
		  ROOTLESS_FALSE,
		  false,
		  false,
		  "/r" },
		{ "root without its mounts",
		  { 0, true, false, "alice", "/r" },
		  ROOTLESS_AUTO,
		  true,
		  true,
		  "/r" },
		{ "root without CAP_SYS_ADMIN",
		  { 0, false, false, "root", NULL },
		  ROOTLESS_AUTO,
		  true,
		  true,
		  NULL },
		{ "a user with all capabilities",
		  { 1000, false, true, "a", "/r" },
		  ROOTLESS_AUTO,
		  false,
		  true,
		  "/r" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rootless r = rootless_decide(&cases[i].facts, cases[i].word);

		if (r.needs_user_ns != cases[i].needs_user_ns || r.lacks_cgroups != cases[i].lacks_cgroups)
			fail_msg("%s: needs %d, lacks %d", cases[i].who, r.needs_user_ns, r.lacks_cgroups);
		if (!cases[i].state_dir)
			assert_null(r.state_dir);
		else
			assert_string_equal(r.state_dir, cases[i].state_dir);
	}
}

static void the_facts_agree_with_what_we_are(void **state)
{
	const struct rootless_facts f = rootless_look();

	(void)state;
	assert_int_equal(f.euid, geteuid());
	assert_int_equal(f.in_child_ns, rootless_in_child_ns());
	/* The nested run has all capabilities (unshare -Urn), and no mount namespace of its own. */
	if (f.in_child_ns)
		assert_false(f.may_mount);
}

static const struct subid_user alice = { .uid = 1000, .gid = 1001, .name = "alice" };

static void subid_lines(void **state)
{
	static const char text[] = "# the machine's\n"
				   "bob:100000:65536\n"
				   "alice:200000:65536\n"
				   "1000:300000:10\n"
				   "10000:310000:10\n"
				   "alice:400000:0\n"	   /* nothing */
				   "alice:4294967290:10\n" /* past the last id */
				   "alice:4294967296:1\n"  /* no id */
				   "alice:-5:10\nalice:1:x\nalice:1\nalice\n: :\n"
				   "alice:500000:1"; /* without a newline */
	struct subid_range r[SUBID_RANGES_MAX];

	(void)state;
	assert_int_equal(subid_parse(text, &alice, r), 3);
	assert_int_equal(r[0].first, 200000);
	assert_int_equal(r[0].count, 65536);
	assert_int_equal(r[0].line, 3);
	assert_int_equal(r[1].first, 300000);
	assert_int_equal(r[1].line, 4);
	assert_int_equal(r[2].first, 500000);
	assert_int_equal(r[2].line, 14);
	assert_int_equal(subid_parse("", &alice, r), 0);
	/* Who has no name is found by uid, and an empty name is nobody's. */
	assert_int_equal(subid_parse(":1:1\n1000:5:5\n", &(struct subid_user){ .uid = 1000 }, r), 1);
	assert_int_equal(r[0].first, 5);
}

static void answers_of_getsubids(void **state)
{
	struct subid_range r[SUBID_RANGES_MAX];

	(void)state;
	assert_int_equal(subid_parse_answer("0: alice 100000 65536\n1: alice 300000 5\n", r), 2);
	assert_int_equal(r[1].first, 300000);
	assert_int_equal(r[1].count, 5);
	assert_int_equal(subid_parse_answer("Error fetching ranges\n", r), 0);
	assert_int_equal(subid_parse_answer("0: alice 100000\n0: alice x 5\n: \n", r), 0);
}

static int check(enum subid_kind kind, const struct idmap_extent *x, size_t n, struct error *e)
{
	static const struct subid_range ranges[] = { { 200100, 100, 7 },
						     { 200000, 100, 9 },
						     { 300000, 10, 11 } };
	struct idmap map = IDMAP_INIT;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(idmap_add(&map, x[i], e), 0);
	return subid_check(kind, &map, &alice, ranges, ARRAY_LEN(ranges), "/etc/subuid", e);
}

static void ranges_are_ones_own(void **state)
{
	static const struct idmap_extent good[] = { { 0, 1000, 1 }, { 1, 200000, 200 }, { 300, 300009, 1 } };
	static const struct idmap_extent over[] = { { 0, 1000, 1 }, { 1, 200050, 151 } };
	static const struct idmap_extent gap[] = { { 0, 299999, 2 } };
	static const struct idmap_extent last[] = { { 0, 4294967294, 1 } };
	static const struct idmap_extent gid[] = { { 0, 1001, 1 } };
	struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(check(SUBID_UID, good, ARRAY_LEN(good), &e), 0);
	assert_int_equal(check(SUBID_UID, over, ARRAY_LEN(over), &e), -ERR_DENIED);
	assert_non_null(
		strstr(err_msg(&e), "linux.uidMappings[1]: container uid 1 to host uid 200050, size 151"));
	assert_non_null(strstr(err_msg(&e), "uids 200200 to 200200 are not user alice's (uid 1000) to map"));
	assert_non_null(strstr(err_msg(&e),
			       "/etc/subuid gives it 200100 to 200199 (line 7), 200000 to 200099 (line 9)"));
	assert_non_null(strstr(err_msg(&e), "usermod --add-subuids 200200-200200 alice"));
	assert_int_equal(check(SUBID_UID, gap, 1, &e), -ERR_DENIED);
	assert_int_equal(check(SUBID_UID, last, 1, &e), -ERR_DENIED);
	/* One's own gid is no uid. */
	assert_int_equal(check(SUBID_GID, gid, 1, &e), 0);
	assert_int_equal(check(SUBID_UID, gid, 1, &e), -ERR_DENIED);
}

static void reasons_of_a_refusal(void **state)
{
	static const struct {
		struct userns_limits limits;
		int sys;
		const char *says; /* NULL: nothing is known */
	} cases[] = {
		{ { 1000, -1, -1, true, false, false }, EPERM, NULL },
		{ { 0, -1, -1, true, false, false }, ENOSPC, "user.max_user_namespaces is 0" },
		{ { 10, -1, -1, true, false, false }, ENOSPC, NULL },
		{ { 10, 0, -1, true, false, false }, EPERM, "kernel.unprivileged_userns_clone is 0" },
		{ { 10, 0, -1, true, false, true }, EPERM, NULL }, /* not for root */
		{ { 10, 1, 1, true, false, false },
		  EPERM,
		  "kernel.apparmor_restrict_unprivileged_userns is 1" },
		{ { 10, 1, 1, true, false, false },
		  EACCES,
		  "kernel.apparmor_restrict_unprivileged_userns is 1" },
		{ { 10, 1, 1, false, false, false }, EPERM, NULL }, /* a profile of our own */
		{ { 10, 1, 0, true, true, false }, EPERM, "a seccomp filter" },
		{ { 0, 0, 1, true, true, false }, EINVAL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *reason = userns_denied_reason(&cases[i].limits, cases[i].sys);

		if (!cases[i].says)
			assert_null(reason);
		else
			assert_non_null(strstr(reason ? reason : "", cases[i].says));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rootless_is_two_things),
		cmocka_unit_test(the_facts_agree_with_what_we_are),
		cmocka_unit_test(subid_lines),
		cmocka_unit_test(answers_of_getsubids),
		cmocka_unit_test(ranges_are_ones_own),
		cmocka_unit_test(reasons_of_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
