/* SPDX-License-Identifier: Apache-2.0 */
#include "hull/creation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/arena.h"
#include "oci/intel_rdt.h"

void creation_done(struct creation *c)
{
	free(c->bundle);
	if (c->bundle_dfd >= 0)
		close(c->bundle_dfd);
	buf_done(&c->config);
	oci_spec_free_p(&c->spec);
	if (c->dfd >= 0)
		close(c->dfd);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->console_sock >= 0)
		close(c->console_sock);
	if (c->pidfd_sock >= 0)
		close(c->pidfd_sock);
	oci_init_done(&c->init);
	cgroup_host_free_p(&c->cgroups);
	oci_state_done(&c->record);
}

int creation_load_bundle(struct creation *c, const char *given, struct error *e)
{
	int r;

	given = given ? given : ".";
	c->bundle = realpath(given, NULL);
	if (!c->bundle)
		return err_sysk(e, ERR_NOT_FOUND, errno, "bundle \"%s\"", given);
	c->bundle_dfd = open(c->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->bundle_dfd < 0)
		return err_sys(e, "open bundle \"%s\"", c->bundle);
	r = file_read(c->bundle_dfd, "config.json", OCI_SPEC_MAX_BYTES, &c->config, e);
	if (r >= 0)
		r = oci_spec_parse(buf_str(&c->config), c->config.len, &c->spec, e);
	return r < 0 ? err_ctx(e, "bundle \"%s\": config.json", c->bundle) : 0;
}

void creation_set_env(struct creation *c, const char *name, const char *value)
{
	struct oci_strs *env = &c->spec->process.env;
	const char **v = arena_array(c->spec->arena, env->n + 2, sizeof(*v));
	size_t n = 0, length = strlen(name);

	for (size_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], name, length) != 0 || env->v[i][length] != '=')
			v[n++] = env->v[i];
	v[n++] = arena_fmt(c->spec->arena, "%s=%s", name, value);
	*env = (struct oci_strs){ v, n };
}

int creation_prepare_terminal(struct creation *c, bool detached, const char *console_socket, struct error *e)
{
	bool terminal = c->spec->process.terminal;

	if (detached && terminal && !console_socket)
		return err_new(e, ERR_INVALID,
			       "cannot allocate tty if the container detaches without --console-socket");
	if (console_socket && !(detached && terminal))
		return err_new(e, ERR_INVALID,
			       "--console-socket is of use only for a detached container with "
			       "process.terminal");
	if (console_socket)
		return console_connect(console_socket, &c->console_sock, e);
	if (!detached)
		foreground_size(&c->spec->process);
	return 0;
}

/* All of the record but the process and the cgroup. */
static void describe(const struct creation *c, struct oci_state *s)
{
	const struct oci_spec *spec = c->spec;
	const struct oci_namespace *own_pids = &spec->linux.namespaces[OCI_NS_PID];
	const char *path = spec->root.path;
	char created[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ns(), created);
	str_set(&s->id, c->id);
	str_set(&s->bundle, c->bundle);
	s->rootfs = path[0] == '/' ? str_dup(path) : str_fmt("%s/%s", c->bundle, path);
	str_set(&s->oci_version, OCI_SPEC_VERSION); /* of the state, not of the bundle */
	str_set(&s->created, created);
	s->has_systemd_cgroup = c->h->has_systemd_cgroup;
	s->has_late_hooks = spec->hooks[OCI_HOOK_POSTSTART].n || spec->hooks[OCI_HOOK_POSTSTOP].n;
	s->shares_pids = !own_pids->is_set || own_pids->path;
	s->owner = getuid();
	for (size_t i = 0; i < spec->annotations.n; i++) {
		strv_add(&s->annotations, spec->annotations.v[i].key);
		strv_add(&s->annotations, spec->annotations.v[i].value);
	}
}

static int write_record(struct creation *c, const char *name, struct oci_state *s, struct error *e)
{
	bool is_dead;
	int r = state_process_start(s->pid, &s->start_time, &is_dead, e);

	return r < 0 ? r : state_write(c->dfd, name, s, c->h->state_sticky, e);
}

/* What cannot be known here is an error of the creation soon. */
static void note_rdt(const struct creation *c, struct oci_state *s)
{
	const struct oci_intel_rdt *spec = c->spec->linux.intel_rdt;
	CLEANUP(intel_rdt_done) struct intel_rdt plan = INTEL_RDT_INIT;
	struct error ignored = ERROR_INIT;
	cleanup_close int dfd = -1;

	if (spec && intel_rdt_plan(spec, c->id, &plan, &ignored) >= 0 && intel_rdt_open(&dfd, &ignored) >= 0)
		str_set(&s->rdt_made, intel_rdt_to_make(dfd, &plan));
}

int creation_save_intent(struct creation *c, struct error *e)
{
	CLEANUP(oci_state_done) struct oci_state s = OCI_STATE_INIT;

	describe(c, &s);
	note_rdt(c, &s);
	if (c->cgroups && !c->h->without_cgroups) {
		str_set(&s.cgroup_path, c->spec->linux.cgroups_path);
		if (!s.cgroup_path)
			s.cgroup_path = cgroup_default_path(c->cgroups, c->id);
		s.cgroup_parents = cgroup_missing_parents(c->cgroups, s.cgroup_path);
	}
	s.pid = getpid();
	return write_record(c, STATE_INTENT, &s, e);
}

int creation_save(struct creation *c, const struct oci_init *init, struct error *e)
{
	struct oci_state *s = &c->record;
	bool is_gone = false;
	int r = state_lock(c->dfd, &is_gone, e);

	if (r < 0)
		return r;
	if (is_gone)
		return err_new(e, ERR_CANCELED, "container \"%s\" was deleted while it was created", c->id);
	oci_state_done(s);
	describe(c, s);
	if (init->cgroup) {
		str_set(&s->cgroup_path, cgroup_path(init->cgroup));
		s->cgroup_parents = cgroup_made_parents(init->cgroup);
		cgroup_freezer_files(init->cgroup, &s->freezer_files);
	}
	str_set(&s->rdt_made, init->rdt_made);
	if (!c->spec->process.terminal)
		state_note_stdio(s);
	s->pid = init->pid;
	r = write_record(c, STATE_FILE, s, e);
	state_unlock(c->dfd);
	return r;
}

int creation_made(struct creation *c, struct container *ret, struct error *e)
{
	int fd = fcntl(c->init.pid_fd, F_DUPFD_CLOEXEC, 3), dfd = c->dfd;

	if (fd < 0)
		return err_sys(e, "duplicate the pidfd of container \"%s\"", c->id);
	*ret = (struct container){
		.state = c->record,
		.dfd = dfd,
		.status = OCI_CREATED,
		.pid_fd = fd,
		.gate_fd = -1,
		.cgroups = c->cgroups,
		.cgroup = c->init.cgroup,
	};
	c->dfd = -1;
	c->record = OCI_STATE_INIT;
	return 0;
}

int creation_hand_over(struct creation *c, const struct oci_init *init, const char *pid_file, struct error *e)
{
	int r = 0;

	if (c->pidfd_sock >= 0)
		r = handover_send(c->pidfd_sock, "pidfd-socket", "standard", init->pid_fd, e);
	if (r >= 0 && c->console_sock >= 0)
		r = console_send(c->console_sock, init->console_fd, e);
	return r < 0 || !pid_file ? r : write_pid_file(pid_file, init->pid, e);
}

/* Our own word decides, not the record, which may not be there. */
void creation_undo(struct creation *c, struct error *cause)
{
	CLEANUP(container_done) struct container made = CONTAINER_INIT;
	struct error e = ERROR_INIT;
	bool is_gone = false;
	/* "delete --force" may be at it. */
	int r = state_lock(c->dfd, &is_gone, &e);

	if (is_gone)
		err_hint(cause, "\"hull delete --force\" removed it meanwhile");

	if (r >= 0 && c->init.pid_fd >= 0) {
		describe(c, &made.state);
		if (c->init.cgroup) {
			str_set(&made.state.cgroup_path, cgroup_path(c->init.cgroup));
			made.state.cgroup_parents = cgroup_made_parents(c->init.cgroup);
		}
		made.cgroups = c->cgroups;
		made.cgroup = c->init.cgroup;
		str_set(&made.state.rdt_made, c->init.rdt_made);
		made.dfd = take_fd(c->dfd);
		made.pid_fd = take_fd(c->init.pid_fd);
		r = container_end(c->h, &made, &e);
	}
	/* What "delete --force" removed under our hands may be another's by now. */
	if (r >= 0 && !is_gone)
		r = state_remove_dir(c->h->root, c->id, &e);
	if (r < 0)
		log_warn("take back container \"%s\": %s", c->id, err_msg(&e));
}
