/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin_fixture.h"

const struct cni_call patient = { .cancel_fd = -1 };

int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	*state = f;
	strcpy(f->dir, "/tmp/hull-test-cniplug-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->conf_dir = str_fmt("%s/net.d", f->dir);
	f->bin_dir = str_fmt("%s/bin", f->dir);
	f->log = str_fmt("%s/log", f->dir);
	if (mkdir(f->conf_dir, 0755) < 0 || mkdir(f->bin_dir, 0755) < 0)
		return -1;
	f->cni = cni_open(
		&(struct cni_opts){ .conf_dir = f->conf_dir,
				    .bin_dirs = (const char *[]){ "/nonexistent/cni", f->bin_dir, NULL } });
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;
	struct error e = ERROR_INIT;
	int r = path_remove_tree(AT_FDCWD, f->dir, &e);

	cni_close(f->cni);
	free(f->conf_dir);
	free(f->bin_dir);
	free(f->log);
	free(f);
	return r;
}

void write_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	cleanup_free char *path = str_fmt("%s/%s", dir, name);
	struct error e = ERROR_INIT;

	if (file_write_atomic(AT_FDCWD, path, text, strlen(text), mode, false, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

/* A plugin that appends "NAME VERB" and its stdin to the log, then runs body. */
void plugin(struct fixture *f, const char *name, const char *body)
{
	cleanup_free char *text =
		str_fmt("#!/bin/sh\nin=$(cat)\necho \"%s $CNI_COMMAND $in\" >>%s\n%s\n", name, f->log, body);

	write_file(f->bin_dir, name, text, 0755);
}

void network(struct fixture *f, const char *version, const char *plugins)
{
	cleanup_free char *text = str_fmt(
		"{\"cniVersion\": \"%s\", \"name\": \"testnet\", \"plugins\": [%s]}", version, plugins);

	write_file(f->conf_dir, "10-test.conflist", text, 0644);
}

/* Good plugins: answer VERSION and ADD. */

char *prepare_pod(struct fixture *f, const struct cni_pod *pod)
{
	struct buf record = BUF_INIT;
	struct error e = ERROR_INIT;

	if (cni_prepare(f->cni, pod, &record, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return buf_take(&record);
}

char *prepare(struct fixture *f)
{
	return prepare_pod(f, &(struct cni_pod){ .id = "pod1", .netns_path = "/proc/self/ns/net" });
}

struct cni_result *add(struct fixture *f, const char *record)
{
	struct cni_result *result = NULL;
	struct error e = ERROR_INIT;

	if (cni_add(f->cni, record, &patient, &result, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return result;
}

char *take_log(struct fixture *f)
{
	struct buf b = BUF_INIT;
	struct error e = ERROR_INIT;

	if (file_read(AT_FDCWD, f->log, 1 << 20, &b, &e) < 0)
		return str_dup("");
	unlink(f->log);
	return buf_take(&b);
}

void assert_has(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" is not in:\n%s", words, text);
}

void assert_lacks(const char *text, const char *words)
{
	if (strstr(text, words))
		fail_msg("\"%s\" is in:\n%s", words, text);
}
