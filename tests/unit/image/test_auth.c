/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/str.h"
#include "image/auth.h"

static void challenges_are_parsed(void **unused)
{
	static const struct {
		const char *header;
		int r;
		bool is_bearer;
		const char *realm, *service, *scope;
	} rows[] = {
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", 0, true,
		  "https://a/t", "s", "repository:x:pull" },
		{ "bearer  realm = \"http://a\" , error=\"x\"", 0, true, "http://a", NULL, NULL },
		{ "Bearer realm=\"https://a/\\\"q\\\"\"", 0, true, "https://a/\"q\"", NULL, NULL },
		{ "Bearer realm=https://a,realm=https://b", 0, true, "https://a", NULL, NULL },
		{ "Basic realm=\"x\"", 0, false, "x", NULL, NULL },
		{ "Basic", 0, false, NULL, NULL, NULL },
		{ "Bearer realm=\"https://open", 0, true, "https://open", NULL, NULL },
		{ "Bearer service=\"s\"", -ERR_INVALID, true, NULL, NULL, NULL },
		{ "Bearer realm=\"file:///etc/passwd\"", -ERR_INVALID, true, NULL, NULL, NULL },
		{ "Negotiate", -ERR_UNSUPPORTED, false, NULL, NULL, NULL },
		{ "", -ERR_UNSUPPORTED, false, NULL, NULL, NULL },
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(auth_challenge_done) struct auth_challenge c = { 0 };

		assert_int_equal(auth_challenge_parse(rows[i].header, &c, NULL), rows[i].r);
		if (rows[i].r < 0)
			continue;
		assert_int_equal(c.is_bearer, rows[i].is_bearer);
		assert_true(str_eq(c.realm, rows[i].realm));
		assert_true(str_eq(c.service, rows[i].service));
		assert_true(str_eq(c.scope, rows[i].scope));
	}
}

static void auth_is_user_and_password(void **unused)
{
	static const char *const wrong[] = { "dXNlcg==", "!!!", "", "dXNl\ncjpw", "OgA=" };
	char *user = NULL, *password = NULL;

	(void)unused;
	assert_int_equal(auth_decode("dXNlcjpwOnc=", &user, &password), 0);
	assert_string_equal(user, "user");
	assert_string_equal(password, "p:w");
	auth_wipe(user);
	auth_wipe(password);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(auth_decode(wrong[i], &user, &password), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenges_are_parsed),
		cmocka_unit_test(auth_is_user_and_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
