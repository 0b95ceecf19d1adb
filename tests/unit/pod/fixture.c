/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/file.h"
#include "cgroup/cgroup.h"
#include "oci/rootfs.h"
#include "userns/idmap.h"
#include "userns/netns.h"
#include "userns/sysctl.h"
#include "userns/userns.h"

#define BUSYBOX "/bin/busybox"

static bool can_run;

bool pod_can_run(void)
{
	return can_run;
}

int pod_group_setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (geteuid() != 0 || !userns_is_initial())
		print_message("skipped: hull-pod needs root of the initial user namespace\n");
	else if (access(BUSYBOX, X_OK) < 0)
		print_message("skipped: %s is missing (package busybox-static)\n", BUSYBOX);
	else if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		print_message("skipped: no mount namespace: %s\n", strerror(errno));
	else
		can_run = true;
	return 0;
}

static void copy_file(const char *from, const char *to)
{
	cleanup_close int in = open(from, O_RDONLY | O_CLOEXEC),
			  out = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);

	while (sendfile(out, in, NULL, 1 << 20) > 0)
		;
	assert_true(lseek(in, 0, SEEK_CUR) > 0);
}

static void make_rootfs(struct pod *p)
{
	static const char *const dirs[] = { "", "/bin", "/dev", "/proc", "/sys", "/tmp" };
	static const char *const links[] = { "sh",   "cat",   "sleep",	"true",	  "id",	      "echo",  "kill",
					     "head", "tr",    "dd",	"stty",	  "hostname", "touch", "ls",
					     "ps",   "nohup", "setsid", "printf", "wc",	      "tail" };
	char path[256];

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", p->rootfs, dirs[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	snprintf(path, sizeof(path), "%s/bin/busybox", p->rootfs);
	copy_file(BUSYBOX, path);
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		snprintf(path, sizeof(path), "%s/bin/%s", p->rootfs, links[i]);
		assert_int_equal(symlink("busybox", path), 0);
	}
}

static bool can_be_idmapped(const char *dir)
{
	struct idmap map = IDMAP_INIT;
	cleanup_close int tree = -1, user = -1;
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };

	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 0, POD_HOST_ID, 65536 }, NULL), 0);
	assert_int_equal(userns_mapping_fd(&map, &map, &user, NULL), 0);
	tree = open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	attr.userns_fd = (uint64_t)user;
	return mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0;
}

/* All below is one file system that goes with the mount namespace at the latest: a tmpfs. It can be idmapped
 * since Linux 6.3; before, the disk's files are used, if those can. */
static void mount_dir(struct pod *p)
{
	assert_int_equal(mount("hull-test", p->dir, "tmpfs", 0, "mode=755"), 0);
	if (can_be_idmapped(p->dir))
		return;
	assert_int_equal(umount(p->dir), 0);
	p->is_on_disk = can_be_idmapped(p->dir);
	if (p->is_on_disk)
		assert_int_equal(mount(p->dir, p->dir, NULL, MS_BIND, NULL), 0);
	else
		assert_int_equal(mount("hull-test", p->dir, "tmpfs", 0, "mode=755"), 0);
}

/* Where nothing can be idmapped, the files themselves are given to the pod. */
static void give_rootfs(struct pod *p)
{
	char command[160];

	p->is_chowned = !can_be_idmapped(p->rootfs);
	if (!p->is_chowned)
		return;
	snprintf(command, sizeof(command), "chown -R %d:%d %s", POD_HOST_ID, POD_HOST_ID, p->rootfs);
	assert_int_equal(system(command), 0);
}

int pod_setup(void **state)
{
	struct pod *p = calloc(1, sizeof(*p));
	struct error e = ERROR_INIT;

	*state = p;
	if (!can_run)
		return 0;
	strcpy(p->dir, "/tmp/hull-test-pod-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chmod(p->dir, 0755), 0);
	mount_dir(p);
	snprintf(p->netns_dir, sizeof(p->netns_dir), "%s/netns", p->dir);
	snprintf(p->pin, sizeof(p->pin), "%s/cni-test", p->netns_dir);
	snprintf(p->rootfs, sizeof(p->rootfs), "%s/rootfs", p->dir);
	snprintf(p->cgroup, sizeof(p->cgroup), "/hull-test-pod-%s", p->dir + strlen(p->dir) - 6);
	make_rootfs(p);
	give_rootfs(p);
	assert_int_equal(netns_dir_prepare(p->netns_dir, &e), 0);
	p->dfd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->call = (struct monitor_call){ .pod_dfd = p->dfd, .cancel_fd = -1, .deadline_ns = 0 };
	p->proc = PROC_INIT;
	struct monitor_spawn_opts o = {
		.helper = HULL_POD, .pod_dfd = p->dfd, .id = POD_ID, .log_level = "error", .log_fd = -1
	};
	if (monitor_spawn(&o, &p->proc, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return 0;
}

static void remove_cgroup(const struct pod *p)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;

	if (cgroup_host_open(CGROUP_DRIVER_CGROUPFS, &host, NULL) < 0)
		return;
	if (cgroup_open(host, p->cgroup, &cg, NULL) == 0)
		(void)!cgroup_kill(cg, 2000, NULL);
	(void)!cgroup_remove(host, p->cgroup, 0, NULL);
}

static void remove_dir(const struct pod *p)
{
	char command[120];

	umount2(p->dir, MNT_DETACH);
	snprintf(command, sizeof(command), "rm -rf --one-file-system %s", p->dir);
	if (p->is_on_disk)
		assert_int_equal(system(command), 0);
	rmdir(p->dir);
}

int pod_teardown(void **state)
{
	struct pod *p = *state;
	struct error e = ERROR_INIT;
	int status;

	if (can_run) {
		p->call.deadline_ns = deadline_in_ms(10000);
		if (p->proc.pid_fd >= 0 && monitor_stop_sandbox(&p->call, &e) < 0 &&
		    e.kind != ERR_UNAVAILABLE)
			print_message("stop: %s\n", err_msg(&e));
		if (p->proc.pid_fd >= 0 && proc_wait(&p->proc, deadline_in_ms(2000), &status, &e) < 0)
			proc_kill(&p->proc);
		remove_cgroup(p);
		close(p->dfd);
		remove_dir(p);
	}
	free(p);
	return 0;
}

int pod_try_sandbox(struct pod *p, const struct pod_flavour *f, pid_t *ret_init_pid, struct error *e)
{
	struct idmap map = IDMAP_INIT;
	const struct monitor_sandbox s = { .id = POD_ID,
					   .new_user = !f->node_user,
					   .new_net = true,
					   .new_ipc = true,
					   .new_uts = true,
					   .shared_pid = !f->no_shared_pid,
					   .uids = &map,
					   .gids = &map,
					   .hostname = "host-of-pod",
					   .netns_pin_path = p->pin,
					   .shm_bytes = f->no_shm ? 0 : 1 << 20,
					   .oom_score_adj = -998,
					   .cgroup_parent = p->cgroup };

	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 0, POD_HOST_ID, 65536 }, e), 0);
	return monitor_create_sandbox(&p->call, &s, ret_init_pid, e);
}

void pod_sandbox(struct pod *p, const struct pod_flavour *f, pid_t *ret_init_pid)
{
	static const struct pod_flavour usual;
	struct error e = ERROR_INIT;

	if (pod_try_sandbox(p, f ? f : &usual, ret_init_pid, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

#define MAPPING "[{\"containerID\":0,\"hostID\":3000000,\"size\":65536}]"

static void write_config(int bundle, const struct pod_run *r)
{
	cleanup_close int fd = openat(bundle, "config.json", O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	const char *pid = r->pid_mode == MONITOR_PID_NODE ? "" : ",{\"type\":\"pid\"}";

	assert_true(fd >= 0);
	dprintf(fd,
		"{\"ociVersion\":\"1.1.0\",\"process\":{\"terminal\":%s,\"args\":[\"%s\",\"-c\",\"%s\"],"
		"\"cwd\":\"/\","
		"\"env\":[\"PATH=/bin\"],\"user\":{\"uid\":0,\"gid\":0},\"noNewPrivileges\":true},"
		"\"root\":{\"path\":\"none\"},\"mounts\":["
		"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
		"{\"destination\":\"/"
		"dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"mode=755\"]},"
		"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
		"\"options\":[\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]},"
		"{\"destination\":\"/dev/"
		"shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"size=4096\"]}],"
		"\"linux\":{\"resources\":%s,\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"network\"},{"
		"\"type\":\"ipc\"},"
		"{\"type\":\"uts\"}%s%s]%s}}",
		r->tty ? "true" : "false", r->program ? r->program : "sh", r->script ? r->script : "",
		r->resources ? r->resources : "{}", pid, r->node_user ? "" : ",{\"type\":\"user\"}",
		r->node_user ? "" : ",\"uidMappings\":" MAPPING ",\"gidMappings\":" MAPPING);
}

static void make_writable(struct pod *p, const char *id, const char *what, bool node_user, char path[256])
{
	uid_t owner = node_user ? 0 : POD_HOST_ID;

	snprintf(path, 256, "%s/%s/%s", p->dir, id, what);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chown(path, owner, owner), 0);
}

/* Layers are mounted with "volatile" and are not to be mounted again then (Documentation/filesystems/overlayfs,
 * "Volatile mount"): the kernel leaves a directory that refuses it. hulld never does; tests do. */
static void forget_volatile(const char *work)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf %s/work/incompat", work);
	assert_int_equal(system(command), 0);
}

int pod_try_create(struct pod *p, const struct pod_run *r, struct error *e)
{
	const char *lowers[] = { p->rootfs };
	struct oci_rootfs rootfs = OCI_ROOTFS_INIT;
	char cgroup[160], upper[256], work[256];
	struct monitor_container c = { .id = r->id,
				       .rootfs = &rootfs,
				       .log_fd = r->log_fd > 0 ? r->log_fd : -1,
				       .rootfs_is_chowned = p->is_chowned && !r->node_user,
				       .tty = r->tty,
				       .pid_mode = r->pid_mode,
				       .pid_target = r->pid_target,
				       .cgroup_path = cgroup };
	cleanup_close int bundle = -1;

	if (mkdirat(p->dfd, r->id, 0755) == 0) {
		make_writable(p, r->id, "upper", r->node_user, upper);
		make_writable(p, r->id, "work", r->node_user, work);
	}
	snprintf(upper, sizeof(upper), "%s/%s/upper", p->dir, r->id);
	snprintf(work, sizeof(work), "%s/%s/work", p->dir, r->id);
	if (access(work, F_OK) == 0)
		forget_volatile(work);
	bundle = openat(p->dfd, r->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_config(bundle, r);
	snprintf(cgroup, sizeof(cgroup), "%s/%s", p->cgroup, r->id);
	rootfs.kind = ROOTFS_OVERLAY;
	rootfs.lowers = lowers;
	rootfs.lower_count = 1;
	rootfs.upper = upper;
	rootfs.work = work;
	c.bundle_dfd = bundle;
	return monitor_create_container(&p->call, &c, NULL, e);
}

void pod_create(struct pod *p, const struct pod_run *r)
{
	struct error e = ERROR_INIT;

	if (pod_try_create(p, r, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

void pod_start(struct pod *p, const char *id)
{
	struct error e = ERROR_INIT;

	if (monitor_start(&p->call, id, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

void pod_run(struct pod *p, const struct pod_run *r)
{
	pod_create(p, r);
	pod_start(p, r->id);
}

int pod_process(const char *script, bool tty)
{
	int fd = memfd_create("process", MFD_CLOEXEC);

	dprintf(fd,
		"{\"terminal\":%s,\"args\":[\"sh\",\"-c\",\"%s\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"],"
		"\"user\":{\"uid\":0,\"gid\":0}}",
		tty ? "true" : "false", script);
	return fd;
}

int pod_exec(struct pod *p, const char *id, const char *script, int64_t timeout_ms, char ret_output[4096],
	     int *ret_code, struct error *e)
{
	cleanup_close int process = pod_process(script, false), out = memfd_create("output", MFD_CLOEXEC);
	const struct monitor_exec x = {
		.id = id, .process_fd = process, .stdio = { -1, out, out }, .timeout_ms = timeout_ms
	};
	int r = monitor_exec(&p->call, &x, ret_code, e);

	if (ret_output) {
		ssize_t n = pread(out, ret_output, 4095, 0);

		ret_output[n < 0 ? 0 : n] = '\0';
	}
	return r;
}

struct monitor_container_status pod_status_of(struct pod *p, const char *id)
{
	cleanup_monitor_status struct monitor_status s = { 0 };
	const struct monitor_container_status *c;
	struct error e = ERROR_INIT;

	if (monitor_status(&p->call, &s, &e) < 0)
		fail_msg("%s", err_msg(&e));
	c = monitor_status_find(&s, id);
	if (!c)
		fail_msg("container \"%s\" is not in the status", id);
	return *c;
}

void pod_wait_exited(struct pod *p, const char *id, struct monitor_container_status *ret)
{
	struct error e = ERROR_INIT;

	/* Signal 0 and no kill: only waits. */
	if (monitor_stop(&p->call, id, 0, -1, ret, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

int pod_log(struct pod *p, const char *name)
{
	int fd = openat(p->dfd, name, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

const char *pod_read(struct pod *p, const char *name)
{
	static char content[65536];
	cleanup_close int fd = openat(p->dfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fd_read_full(fd, content, sizeof(content) - 1);

	content[n < 0 ? 0 : n] = '\0';
	return content;
}

bool pod_has_cgroup(const struct pod *p, const char *name)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cg = NULL;
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", p->cgroup, name);
	return cgroup_host_open(CGROUP_DRIVER_CGROUPFS, &host, NULL) == 0 &&
	       cgroup_open(host, path, &cg, NULL) == 0;
}

unsigned pod_count_processes(const char *text)
{
	DIR *dir = opendir("/proc");
	unsigned count = 0;
	struct dirent *d;

	while ((d = readdir(dir))) {
		cleanup_buf struct buf b = BUF_INIT;
		char path[300];

		snprintf(path, sizeof(path), "/proc/%s/cmdline", d->d_name);
		if (d->d_name[0] < '1' || d->d_name[0] > '9' ||
		    file_read(AT_FDCWD, path, 65536, &b, NULL) < 0)
			continue;
		for (size_t i = 0; i < b.len; i++)
			if (b.data[i] == '\0')
				b.data[i] = ' ';
		count += b.len > 0 && strstr(buf_str(&b), text) != NULL;
	}
	closedir(dir);
	return count;
}
