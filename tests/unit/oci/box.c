/* SPDX-License-Identifier: Apache-2.0 */
#include "box.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "sys/caps.h"
#include "sys/mountapi.h"
#include "userns/userns.h"

void box_sh(const char *fmt, ...)
{
	va_list ap;
	char *command = NULL;

	va_start(ap, fmt);
	assert_true(vasprintf(&command, fmt, ap) >= 0);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
	free(command);
}

bool box_is_possible(void)
{
	return geteuid() == 0 && userns_is_initial() && caps_have(21 /* CAP_SYS_ADMIN */) &&
	       access("/bin/busybox", X_OK) == 0;
}

bool box_can_clone_detached(void)
{
	cleanup_close int tree = -1, clone = -1;
	struct error e = ERROR_INIT;

	return mount_new("tmpfs", NULL, 0, 0, &tree, &e) >= 0 &&
	       mount_clone(tree, "", false, true, &clone, &e) >= 0;
}

bool box_can_idmap(const struct box *b)
{
	cleanup_close int tree = -1, map_fd = -1;
	struct idmap map = IDMAP_INIT;
	struct error e = ERROR_INIT;

	return idmap_add(&map, (struct idmap_extent){ 0, 700000, 65536 }, &e) == 0 &&
	       userns_mapping_fd(&map, &map, &map_fd, &e) >= 0 &&
	       mount_clone(b->dfd, "", false, true, &tree, &e) >= 0 &&
	       mount_change(tree, false, &(struct mount_change){ .idmap = true, .userns_fd = map_fd }, &e) >=
		       0;
}

void box_make(struct box *b)
{
	struct error e = ERROR_INIT;

	*b = (struct box){ .dfd = -1, .root_dfd = -1 };
	snprintf(b->dir, sizeof(b->dir), "%s/hull-test-oci-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(b->dir));
	assert_int_equal(chmod(b->dir, 0755), 0);
	box_sh("cd %s && mkdir -p rootfs/bin rootfs/proc rootfs/dev rootfs/sys rootfs/tmp rootfs/etc && "
	       "cp /bin/busybox rootfs/bin/ && for i in sh true id ls cat mount ps echo sleep test stat "
	       "readlink kill wc "
	       "mkdir touch grep tty stty hostname head rm umount sort tr chmod mknod; do ln -s busybox "
	       "rootfs/bin/$i; done",
	       b->dir);
	b->dfd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(b->dfd >= 0);
	b->root_dfd = openat(b->dfd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(b->root_dfd >= 0);
	if (cgroup_host_open(CGROUP_DRIVER_CGROUPFS, &b->cgroups, &e) < 0)
		b->cgroups = NULL;
}

void box_remove(struct box *b)
{
	struct error e = ERROR_INIT;

	if (b->dfd < 0)
		return;
	close(b->dfd);
	close(b->root_dfd);
	oci_spec_free_p(&b->spec);
	buf_done(&b->config);
	cgroup_host_free_p(&b->cgroups);
	if (path_remove_tree(AT_FDCWD, b->dir, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

static const char default_mounts[] =
	"[{\"destination\":\"/"
	"proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
	"{\"destination\":\"/"
	"dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"strictatime\","
	"\"mode=755\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/"
	"pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\","
	"\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
	"{\"destination\":\"/dev/"
	"shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"nosuid\",\"noexec\",\"nodev\","
	"\"mode=1777\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/"
	"mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[\"nosuid\",\"noexec\","
	"\"nodev\"]},"
	"{\"destination\":\"/"
	"sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\","
	"\"ro\"]}";

void box_spec(struct box *b, const struct box_spec *s)
{
	struct error e = ERROR_INIT;

	buf_clear(&b->config);
	oci_spec_free_p(&b->spec);
	b->spec = NULL;
	buf_adds(&b->config,
		 "{\"ociVersion\":\"1.0.2\",\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"args\":");
	if (s->args) {
		buf_adds(&b->config, s->args);
	} else {
		cleanup_buf struct buf quoted = BUF_INIT;

		for (const char *p = s->script ? s->script : "true"; *p; p++)
			buf_addf(&quoted, strchr("\"\\", *p) ? "\\%c" : "%c", *p);
		buf_addf(&b->config, "[\"sh\",\"-c\",\"%s\"]", buf_str(&quoted));
	}
	buf_addf(&b->config, ",\"env\":[\"PATH=/bin\"],\"cwd\":\"%s\"%s},", s->cwd ? s->cwd : "/",
		 s->process_extra ? s->process_extra : "");
	buf_addf(&b->config, "\"root\":{\"path\":\"rootfs\",\"readonly\":%s},",
		 s->readonly ? "true" : "false");
	if (s->mounts)
		buf_addf(&b->config, "\"mounts\":%s,", s->mounts);
	else
		buf_addf(&b->config, "\"mounts\":%s%s],", default_mounts,
			 s->extra_mounts ? s->extra_mounts : "");
	buf_addf(&b->config, "\"linux\":{\"namespaces\":%s%s}%s}",
		 s->namespaces
			 ? s->namespaces
			 : "[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
			   "{\"type\":\"mount\"},{\"type\":\"cgroup\"}]",
		 s->linux_extra ? s->linux_extra : "", s->top_extra ? s->top_extra : "");
	if (oci_spec_parse(b->config.data, b->config.len, &b->spec, &e) < 0)
		fail_msg("%s\n%s", err_msg(&e), b->config.data);
}

int box_wait(int pid_fd)
{
	siginfo_t info = { 0 };

	assert_int_equal(waitid(P_PIDFD, (id_t)pid_fd, &info, WEXITED | __WALL), 0);
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

void box_run_done(struct box_run *r)
{
	buf_done(&r->out);
}

static void make_and_wait(struct box *b, const struct oci_create *given, int out, int in, struct box_run *ret)
{
	struct oci_create o = given ? *given : OCI_CREATE_INIT;
	struct oci_init init = OCI_INIT_INIT;
	struct error ignored = ERROR_INIT;
	int r;

	o.id = "box";
	o.spec = b->spec;
	o.bundle_dfd = b->dfd;
	o.stdio[1] = o.stdio[2] = out;
	r = oci_create(&o, &init, &ret->e);
	if (r >= 0)
		r = oci_start(init.start_fd, NULL, &ret->e);
	close(out);
	if (r < 0 && init.pid_fd >= 0)
		box_wait(init.pid_fd);
	if (r >= 0)
		assert_int_equal(fd_read_all(in, 1 << 20, &ret->out, &ignored), 0);
	ret->status = r < 0 ? r : box_wait(init.pid_fd);
	if (init.cgroup) {
		cleanup_free char *path = str_dup(cgroup_path(init.cgroup));
		unsigned int parents = cgroup_made_parents(init.cgroup);

		if (cgroup_remove(o.cgroups, path, parents, &ignored) < 0)
			fail_msg("%s", err_msg(&ignored));
	}
	oci_init_done(&init);
}

void box_run(struct box *b, const struct oci_create *o, struct box_run *ret)
{
	struct error e = ERROR_INIT;
	int pipe_fds[2];

	buf_clear(&ret->out);
	err_clear(&ret->e);
	assert_int_equal(fd_pipe(pipe_fds, &e), 0);
	make_and_wait(b, o, pipe_fds[1], pipe_fds[0], ret);
	close(pipe_fds[0]);
}
