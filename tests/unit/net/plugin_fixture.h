/* SPDX-License-Identifier: Apache-2.0 */
/* CNI plugins that are shell scripts of a test, in directories of its own. */
#ifndef HULL_TESTS_NET_PLUGIN_FIXTURE_H
#define HULL_TESTS_NET_PLUGIN_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "codec/json.h"
#include "net/cni.h"

struct fixture {
	char dir[64];
	char *conf_dir, *bin_dir, *log;
	struct cni *cni;
};

extern const struct cni_call patient;

/* What a plugin answers to ADD. */
#define ANSWER                                                                                      \
	"case $CNI_COMMAND in\n"                                                                    \
	"VERSION) echo '{\"cniVersion\": \"1.1.0\", \"supportedVersions\": [\"0.4.0\", \"1.0.0\", " \
	"\"1.1.0\"]}';;\n"                                                                          \
	"ADD) echo '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.9.8.7/24\"}]}';;\n"    \
	"esac"

int setup(void **state);
int teardown(void **state);
void write_file(const char *dir, const char *name, const char *text, mode_t mode);
void plugin(struct fixture *f, const char *name, const char *body);
void network(struct fixture *f, const char *version, const char *plugins);
char *prepare_pod(struct fixture *f, const struct cni_pod *pod);
char *prepare(struct fixture *f);
struct cni_result *add(struct fixture *f, const char *record);
char *take_log(struct fixture *f);
void assert_has(const char *text, const char *words);
void assert_lacks(const char *text, const char *words);

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
