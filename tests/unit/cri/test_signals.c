/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cri/container.h"

static void numbers_of_cri_are_not_those_of_linux(void **state)
{
	(void)state;
	assert_int_equal(signal_from_cri(RUNTIME__V1__SIGNAL__SIGNAL_SIGKILL), SIGKILL);
	assert_int_equal(signal_from_cri(RUNTIME__V1__SIGNAL__SIGNAL_SIGTERM), SIGTERM);
	assert_int_equal(signal_from_cri(RUNTIME__V1__SIGNAL__SIGNAL_SIGUSR1), SIGUSR1);
	assert_int_equal(signal_from_cri(RUNTIME__V1__SIGNAL__SIGNAL_SIGRTMIN), 34);
	assert_int_equal(signal_from_cri(RUNTIME__V1__SIGNAL__SIGNAL_SIGRTMAX), 64);
	assert_int_equal(signal_from_cri(RUNTIME__V1__SIGNAL__SIGNAL_SIGRTMAXMINUS1), 63);
	assert_int_equal(signal_from_cri(0), 0);
	assert_int_equal(signal_from_cri(66), 0);
}

/* CLD, IOT and POLL are second names: their own number comes back as the first. */
static void every_signal_comes_back(void **state)
{
	(void)state;
	for (unsigned s = 1; s <= RUNTIME__V1__SIGNAL__SIGNAL_SIGRTMAX; s++)
		assert_int_equal(signal_from_cri(signal_to_cri(signal_from_cri(s))), signal_from_cri(s));
}

static void names_of_images_are_parsed(void **state)
{
	struct error e = ERROR_INIT;
	int sig;

	(void)state;
	assert_int_equal(signal_parse("SIGQUIT", &sig, &e), 0);
	assert_int_equal(sig, SIGQUIT);
	assert_int_equal(signal_parse("quit", &sig, &e), 0);
	assert_int_equal(sig, SIGQUIT);
	assert_int_equal(signal_parse("15", &sig, &e), 0);
	assert_int_equal(sig, SIGTERM);
	assert_int_equal(signal_parse("SIGRTMIN+3", &sig, &e), 0);
	assert_int_equal(sig, 37);
	assert_int_equal(signal_parse("SIGRTMAX-1", &sig, &e), 0);
	assert_int_equal(sig, 63);
	assert_int_equal(signal_parse("SIGRTMIN+31", &sig, &e), -ERR_INVALID);
	assert_int_equal(signal_parse("65", &sig, &e), -ERR_INVALID);
	assert_int_equal(signal_parse("", &sig, &e), -ERR_INVALID);
	assert_int_equal(signal_parse("SIGNOPE", &sig, &e), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_of_cri_are_not_those_of_linux),
		cmocka_unit_test(every_signal_comes_back),
		cmocka_unit_test(names_of_images_are_parsed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
