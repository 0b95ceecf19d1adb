/* SPDX-License-Identifier: Apache-2.0 */
/* One verb on one plugin: environment and stdin (CNI spec 1.1.0, sections 2 "Parameters" and 3 "Deriving
 * execution configuration"), and what its end means. */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/cni_exec.h"
#include "net/cni_internal.h"
#include "net/cni_result.h"

#define STDERR_QUOTE_BYTES 300
#define STDOUT_QUOTE_BYTES 100

/* The namespace of a record, or "" when it is gone: that is how DEL is told (spec 1.1.0: "may be empty").
 * A file that is left where a namespace was unmounted is none either. */
static const char *live_netns(const struct attachment *a)
{
	struct statfs fs;

	return statfs(a->netns, &fs) == 0 && fs.f_type == NSFS_MAGIC ? a->netns : "";
}

static void make_env(const struct plugin_call *p, struct strv *env)
{
	const struct attachment *a = p->attachment;

	strv_addf(env, "CNI_COMMAND=%s", p->verb);
	if (a) {
		strv_addf(env, "CNI_CONTAINERID=%s", a->id);
		strv_addf(env, "CNI_NETNS=%s", str_eq(p->verb, "DEL") ? live_netns(a) : a->netns);
		strv_addf(env, "CNI_IFNAME=%s", a->ifname);
		strv_addf(env, "CNI_ARGS=%s", a->args);
	}
	strv_addf(env, "CNI_PATH=%s", p->c->bin_path);
	strv_addf(env, "PATH=%s", p->c->path);
}

/* Of all capability values those that the plugin declares. */
static void add_runtime_config(const struct plugin_call *p, struct json_object *conf)
{
	struct json_object *caps = json_object_object_get(p->plugin, "capabilities"), *runtime = NULL;

	if (!caps || !p->attachment || !p->attachment->runtime_config)
		return;
	json_object_object_foreach(p->attachment->runtime_config, key, value) {
		if (!json_object_get_boolean(json_object_object_get(caps, key)))
			continue;
		if (!runtime)
			runtime = json_put_object(conf, "runtimeConfig");
		json_put(runtime, key, json_object_get(value));
	}
}

static void make_input(const struct plugin_call *p, struct buf *input)
{
	cleanup_json struct json_object *conf = json_new();

	json_object_object_foreach(p->plugin, key, value) {
		json_put(conf, key, json_object_get(value));
	}
	json_put_str(conf, "cniVersion", cni_version_text(p->config->version));
	json_put_str(conf, "name", p->config->name);
	json_object_object_del(conf, "runtimeConfig");
	json_object_object_del(conf, "prevResult");
	add_runtime_config(p, conf);
	if (p->prev_result)
		json_put(conf, "prevResult", json_object_get(p->prev_result));
	if (p->valid_attachments)
		json_put(conf, "cni.dev/valid-attachments", json_object_get(p->valid_attachments));
	json_text(conf, false, input);
}

/* The end of what it said on stderr, with white space at its end cut off. */
static void add_stderr(const struct cni_output *output, struct error *e)
{
	const char *text = buf_str(&output->err);
	size_t len = output->err.len, from;

	while (len > 0 && strchr(" \n\t\r", text[len - 1]))
		len--;
	from = len > STDERR_QUOTE_BYTES ? len - STDERR_QUOTE_BYTES : 0;
	if (len > 0)
		err_hint(e, "stderr: \"%s%.*s\"", from ? "..." : "", (int)(len - from), text + from);
}

static int judge_end(const struct cni_output *output, struct error *e)
{
	bool is_success = WIFEXITED(output->status) && WEXITSTATUS(output->status) == 0;
	const char *text = buf_str(&output->out);
	char status[64];
	int r = cni_error_read(text, output->out.len, e);

	if (r < 0)
		return is_success ? err_ctx(e, "it ended with exit status 0, but printed an error") : r;
	if (is_success)
		return 0;
	proc_status_text(output->status, status, sizeof(status));
	if (output->out.len == 0)
		return err_new(e, ERR_UNAVAILABLE, "it ended with %s and no error JSON", status);
	return err_new(e, ERR_UNAVAILABLE, "it ended with %s and printed \"%.*s\", which is no error JSON",
		       status, STDOUT_QUOTE_BYTES, text);
}

static int execute(const struct plugin_call *p, struct cni_output *output, struct error *e)
{
	cleanup_strv struct strv env = STRV_INIT;
	cleanup_buf struct buf input = BUF_INIT;
	cleanup_free char *path = NULL;
	int r = cni_exec_find(&p->c->bin_dirs, cni_plugin_type(p->plugin), &path, e);

	if (r < 0)
		return r;
	make_env(p, &env);
	make_input(p, &input);
	r = cni_exec_run(&(struct cni_exec){ .path = path,
					     .env = (const char *const *)env.v,
					     .input = input.data,
					     .input_len = input.len,
					     .keep_fd = p->attachment ? p->attachment->lock_fd : 0,
					     .call = p->call },
			 output, e);
	if (r == 0)
		r = judge_end(output, e);
	if (r < 0)
		add_stderr(output, e);
	/* Removed between the search and here, or its interpreter is missing; too much output. */
	if (r == -ERR_NOT_FOUND || r == -ERR_LIMIT) {
		err_kind(e, ERR_UNAVAILABLE);
		return -ERR_UNAVAILABLE;
	}
	return r;
}

int plugin_call(const struct plugin_call *p, struct buf *ret_out, struct error *e)
{
	CLEANUP(cni_output_done) struct cni_output output = { 0 };
	int r = execute(p, &output, e);

	if (r < 0 && p->attachment)
		return err_ctx(e, "CNI network \"%s\", plugin \"%s\", %s of \"%s\"", p->config->name,
			       cni_plugin_type(p->plugin), p->verb, p->attachment->ifname);
	if (r < 0)
		return err_ctx(e, "CNI network \"%s\", plugin \"%s\", %s", p->config->name,
			       cni_plugin_type(p->plugin), p->verb);
	if (output.out.len)
		buf_add(ret_out, output.out.data, output.out.len);
	return 0;
}

/* ---- VERSION ----------------------------------------------------------------------------------------- */

/* What a file answered; another file in its place is asked again. */
struct known_versions {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
	struct strv versions;
};

static void known_free(struct known_versions *k)
{
	if (k)
		strv_done(&k->versions);
	free(k);
}

void plugin_versions_done(struct cni *c)
{
	struct known_versions *k;
	size_t pos = 0;

	while ((k = map_next(&c->versions, &pos, NULL)))
		known_free(k);
	map_done(&c->versions);
}

static bool is_same_file(const struct known_versions *k, const struct stat *st)
{
	return k->dev == st->st_dev && k->ino == st->st_ino && k->size == st->st_size &&
	       k->mtime.tv_sec == st->st_mtim.tv_sec && k->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static bool copy_known(struct cni *c, const char *path, const struct stat *st, struct strv *ret)
{
	const struct known_versions *k;
	bool is_known;

	pthread_mutex_lock(&c->versions_lock);
	k = map_get(&c->versions, path);
	is_known = k && is_same_file(k, st);
	for (size_t i = 0; is_known && i < k->versions.n; i++)
		strv_add(ret, k->versions.v[i]);
	pthread_mutex_unlock(&c->versions_lock);
	return is_known;
}

static void remember(struct cni *c, const char *path, const struct stat *st, const struct strv *versions)
{
	struct known_versions *k = NEW(struct known_versions);

	*k = (struct known_versions){
		.dev = st->st_dev, .ino = st->st_ino, .size = st->st_size, .mtime = st->st_mtim
	};
	strv_add_all(&k->versions, versions);
	pthread_mutex_lock(&c->versions_lock);
	known_free(map_put(&c->versions, path, k));
	pthread_mutex_unlock(&c->versions_lock);
}

static int plugin_versions(const struct plugin_call *p, struct strv *ret, struct error *e)
{
	cleanup_free char *path = NULL;
	cleanup_buf struct buf out = BUF_INIT;
	struct stat st;
	int r = cni_exec_find(&p->c->bin_dirs, cni_plugin_type(p->plugin), &path, e);

	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return err_sysk(e, ERR_UNAVAILABLE, errno, "stat CNI plugin \"%s\"", path);
	if (copy_known(p->c, path, &st, ret))
		return 0;
	r = plugin_call(p, &out, e);
	if (r == 0)
		r = cni_versions_read(buf_str(&out), out.len, ret, e);
	if (r < 0)
		return err_ctx(e, "ask CNI plugin \"%s\" for its versions", path);
	remember(p->c, path, &st, ret);
	return 0;
}

static int check_one(struct cni *c, const struct cni_config *config, struct json_object *plugin,
		     const struct cni_call *call, struct error *e)
{
	const struct plugin_call p = {
		.c = c, .config = config, .plugin = plugin, .verb = "VERSION", .call = call
	};
	cleanup_strv struct strv versions = STRV_INIT;
	int r = plugin_versions(&p, &versions, e);

	if (r < 0)
		return r;
	if (strv_has(&versions, cni_version_text(config->version)))
		return 0;
	return err_new(e, ERR_UNAVAILABLE,
		       "CNI plugin \"%s\" does not know version %s of the configuration, but %s to %s",
		       cni_plugin_type(plugin), cni_version_text(config->version),
		       versions.n ? versions.v[0] : "none", versions.n ? versions.v[versions.n - 1] : "none");
}

int plugin_check_version(struct cni *c, const struct cni_config *config, struct json_object *plugin,
			 const struct cni_call *call, struct error *e)
{
	struct json_object *ipam = json_object_object_get(plugin, "ipam");
	int r = check_one(c, config, plugin, call, e);

	if (r < 0 || !ipam || !cni_plugin_type(ipam))
		return r;
	return check_one(c, config, ipam, call, e);
}
