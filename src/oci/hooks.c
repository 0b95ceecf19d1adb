/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "codec/json.h"

/* A file in memory: nobody has to write while the hook reads, or the other way round. */
static int scratch(const char *name, int *ret_fd, struct error *e)
{
	*ret_fd = memfd_create(name, MFD_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, "make a file in memory") : 0;
}

static int state_on_stdin(const struct oci_spec *spec, const struct hook_state *s, int *ret_fd,
			  struct error *e)
{
	cleanup_json struct json_object *o = json_new();
	cleanup_buf struct buf text = BUF_INIT;
	int r = scratch("hook-state", ret_fd, e);

	if (r < 0)
		return r;
	hook_state_json(spec, s, o);
	json_text(o, false, &text);
	if (fd_write_full(*ret_fd, text.data, text.len) < 0 || lseek(*ret_fd, 0, SEEK_SET) < 0)
		return err_sys(e, "write the state for a hook");
	return 0;
}

void hook_state_json(const struct oci_spec *spec, const struct hook_state *s, struct json_object *o)
{
	json_put_str(o, "ociVersion", OCI_SPEC_VERSION);
	json_put_str(o, "id", s->id);
	json_put_str(o, "status", s->status);
	if (s->pid)
		json_put_i64(o, "pid", s->pid);
	json_put_str(o, "bundle", s->bundle);
	if (spec->annotations.n) {
		struct json_object *a = json_put_object(o, "annotations");

		for (size_t i = 0; i < spec->annotations.n; i++)
			json_put_str(a, spec->annotations.v[i].key, spec->annotations.v[i].value);
	}
}

#define OUTPUT_SHOWN 300

static const char *output_of(int fd, char text[OUTPUT_SHOWN + 1])
{
	ssize_t n = pread(fd, text, OUTPUT_SHOWN, 0);

	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int wait_for(const struct oci_hook *hook, struct proc *p, int out, int err, struct error *e)
{
	int64_t deadline = hook->timeout_s.is_set ? deadline_in_ms((int64_t)hook->timeout_s.v * 1000) : 0;
	char status_text[64], out_text[OUTPUT_SHOWN + 1], err_text[OUTPUT_SHOWN + 1];
	int status, r = proc_wait(p, deadline, &status, e);

	if (r == -ERR_TIMEOUT) {
		proc_kill(p);
		return err_new(e, ERR_TIMEOUT, "hook ran past specified timeout of %d.0s", hook->timeout_s.v);
	}
	if (r < 0 || status == 0)
		return r < 0 ? r : 0;
	return err_new(e, ERR_STATE, "%s, stdout: %s, stderr: %s",
		       proc_status_text(status, status_text, sizeof(status_text)), output_of(out, out_text),
		       output_of(err, err_text));
}

static int run_one(const struct oci_hook *hook, const struct hook_state *s, int in, struct error *e)
{
	const char *const own_name[] = { hook->path, NULL };
	cleanup_close int out = -1, err = -1, bundle = -1;
	const char *const *inherited = s->env ? s->env : (const char *const *)environ;
	struct proc p = PROC_INIT;
	struct proc_opts o = {
		.path = hook->path,
		.argv = hook->args.n ? hook->args.v : own_name,
		.env = hook->env.n ? hook->env.v : inherited,
		.fd_count = 3,
	};
	int r = scratch("hook-stdout", &out, e);

	if (r >= 0)
		r = scratch("hook-stderr", &err, e);
	if (r < 0)
		return r;
	o.fds[0] = in;
	o.fds[1] = out;
	o.fds[2] = err;
	if (s->bundle && !s->keeps_cwd)
		bundle = open(s->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	o.cwd_dfd = bundle;
	r = proc_spawn(&o, &p, e);
	if (r >= 0)
		r = wait_for(hook, &p, out, err, e);
	proc_done(&p);
	return r;
}

static int run_nth(const struct oci_spec *spec, enum oci_hook_kind kind, size_t i, const struct hook_state *s,
		   struct error *e)
{
	cleanup_close int in = -1;
	int r = state_on_stdin(spec, s, &in, e);

	if (r >= 0)
		r = run_one(&spec->hooks[kind].v[i], s, in, e);
	return r < 0 ? err_ctx(e, "error running %s hook #%zu", oci_hook_name(kind), i) : 0;
}

int hooks_run(const struct oci_spec *spec, enum oci_hook_kind kind, const struct hook_state *s,
	      struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < spec->hooks[kind].n && r >= 0; i++)
		r = run_nth(spec, kind, i, s, e);
	return r;
}

void hooks_poststop(const struct oci_spec *spec, const char *id, const char *bundle)
{
	const struct hook_state state = { .id = id, .status = "stopped", .bundle = bundle };

	for (size_t i = 0; i < spec->hooks[OCI_HOOK_POSTSTOP].n; i++) {
		struct error e = ERROR_INIT;

		if (run_nth(spec, OCI_HOOK_POSTSTOP, i, &state, &e) < 0)
			log_warn("container \"%s\": %s", id, err_msg(&e));
	}
}
