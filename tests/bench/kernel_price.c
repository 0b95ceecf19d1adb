/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's price of a container: what hull's default config.json asks for, by the fewest calls that do it, with
 * every name, number and order known beforehand. No configuration is read, nothing is checked for safety, no state is
 * kept. What a runtime takes beyond this is its own.
 *
 *   kernel_price ROOTFS CGROUP|- [HIERARCHY ...] -- PROGRAM
 *
 * In this order:
 *   with CGROUP: a directory of that name in each HIERARCHY (mounted v1 controllers, or the v2 one), cpuset's filled,
 *     the default device rules in "devices"
 *   clone3 with a pidfd and new pid, network, ipc, uts and mount namespaces (and into the v2 cgroup); in the child:
 *     "0" into each v1 "tasks"; setsid; a cgroup namespace; a session keyring; the hostname
 *     "/" made a recursive slave; ROOTFS bound onto itself
 *     proc, tmpfs on /dev, devpts, tmpfs on /dev/shm, mqueue, sysfs; on /sys/fs/cgroup with CGROUP a tmpfs with each
 *       hierarchy's directory bound read-only
 *     six device nodes, five links
 *     read-only binds of the readonlyPaths that this kernel has; of the maskedPaths files get /dev/null, directories an
 *       empty read-only tmpfs
 *     pivot_root, the old root detached, the root read-only
 *     NOFILE's limit, the bounding set cut to three capabilities, groups, ids, capset, no_new_privs
 *     execve of PROGRAM
 *   wait for its end; the cgroups removed */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUIET (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define HIERARCHIES_MAX 16
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static struct hierarchy {
	const char *path, *name;
	int dfd; /* of our directory in it */
} hierarchies[HIERARCHIES_MAX];
static int hierarchy_count, v2_fd = -1;
static const char *rootfs, *cgroup;

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "kernel_price: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void put(int dfd, const char *file, const char *text)
{
	int fd = openat(dfd, file, O_WRONLY | O_CLOEXEC);

	must(fd, file);
	must(write(fd, text, strlen(text)), file);
	close(fd);
}

/* ---- cgroups ----------------------------------------------------------------------------------------- */

static const char *const device_rules[] = {
	"c *:* m",   "b *:* m",	  "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",
	"c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm",
};

static void copy_cpuset(int dfd, const char *file)
{
	char text[256];
	int fd = openat(dfd, "..", O_PATH | O_CLOEXEC), from = openat(fd, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(from, text, sizeof(text) - 1);

	must(n, file);
	text[n] = '\0';
	put(dfd, file, text);
	close(from);
	close(fd);
}

static void make_cgroups(void)
{
	for (int i = 0; i < hierarchy_count; i++) {
		struct hierarchy *h = &hierarchies[i];
		int fd = open(h->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		must(fd, h->path);
		must(mkdirat(fd, cgroup, 0755), cgroup);
		h->dfd = openat(fd, cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		must(h->dfd, cgroup);
		close(fd);
		if (strcmp(h->name, "unified") == 0 || strcmp(h->name, "cgroup") == 0) {
			v2_fd = h->dfd;
		} else if (strcmp(h->name, "cpuset") == 0) {
			copy_cpuset(h->dfd, "cpuset.cpus");
			copy_cpuset(h->dfd, "cpuset.mems");
		} else if (strcmp(h->name, "devices") == 0) {
			put(h->dfd, "devices.deny", "a");
			for (size_t n = 0; n < COUNT(device_rules); n++)
				put(h->dfd, "devices.allow", device_rules[n]);
		}
	}
}

static void enter_cgroups(void)
{
	for (int i = 0; i < hierarchy_count; i++)
		if (hierarchies[i].dfd != v2_fd)
			put(hierarchies[i].dfd, "tasks", "0");
}

static void remove_cgroups(void)
{
	char path[256];

	for (int i = 0; i < hierarchy_count; i++) {
		snprintf(path, sizeof(path), "%s/%s", hierarchies[i].path, cgroup);
		must(rmdir(path), path);
	}
}

/* ---- mounts, with the working directory at the new root -------------------------------------------------- */

static void mount_cgroups(void)
{
	char from[256], to[128];

	if (!cgroup)
		return;
	must(mount("cgroup", "sys/fs/cgroup", "tmpfs", QUIET, "mode=755"), "mount /sys/fs/cgroup");
	for (int i = 0; i < hierarchy_count; i++) {
		snprintf(from, sizeof(from), "%s/%s", hierarchies[i].path, cgroup);
		snprintf(to, sizeof(to), "sys/fs/cgroup/%s", hierarchies[i].name);
		must(mkdir(to, 0755), to);
		must(mount(from, to, NULL, MS_BIND, NULL), to);
		must(mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | QUIET, NULL), to);
	}
	must(mount(NULL, "sys/fs/cgroup", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | QUIET, NULL),
	     "sys/fs/cgroup");
}

static void make_devices(void)
{
	static const struct {
		const char *path;
		unsigned int major, minor;
	} nodes[] = { { "dev/null", 1, 3 },   { "dev/zero", 1, 5 },    { "dev/full", 1, 7 },
		      { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 } };
	static const char *const links[][2] = {
		{ "/proc/self/fd", "dev/fd" },	     { "/proc/self/fd/0", "dev/stdin" },
		{ "pts/ptmx", "dev/ptmx" },	     { "/proc/self/fd/1", "dev/stdout" },
		{ "/proc/self/fd/2", "dev/stderr" },
	};

	umask(0);
	for (size_t i = 0; i < COUNT(nodes); i++)
		must(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)),
		     nodes[i].path);
	for (size_t i = 0; i < COUNT(links); i++)
		must(symlink(links[i][0], links[i][1]), links[i][1]);
	umask(022);
}

static void make_mounts(void)
{
	must(mount("proc", "proc", "proc", QUIET, NULL), "mount /proc");
	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"),
	     "mount /dev");
	must(mkdir("dev/pts", 0755), "/dev/pts");
	must(mkdir("dev/shm", 0755), "/dev/shm");
	must(mkdir("dev/mqueue", 0755), "/dev/mqueue");
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620,gid=5"),
	     "mount /dev/pts");
	must(mount("shm", "dev/shm", "tmpfs", QUIET, "mode=1777,size=65536k"), "mount /dev/shm");
	must(mount("mqueue", "dev/mqueue", "mqueue", QUIET, NULL), "mount /dev/mqueue");
	must(mount("sysfs", "sys", "sysfs", QUIET | MS_RDONLY, NULL), "mount /sys");
	mount_cgroups();
	make_devices();
}

static void mask(void)
{
	static const char *const readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys",
						"proc/sysrq-trigger" };
	static const char *const masked[] = {
		"proc/acpi",
		"proc/asound",
		"proc/interrupts",
		"proc/kcore",
		"proc/keys",
		"proc/latency_stats",
		"proc/sched_debug",
		"proc/scsi",
		"proc/timer_list",
		"proc/timer_stats",
		"sys/devices/system/cpu/cpu0/thermal_throttle",
		"sys/devices/virtual/powercap",
		"sys/firmware",
	};

	for (size_t i = 0; i < COUNT(readonly); i++) {
		if (mount(readonly[i], readonly[i], NULL, MS_BIND, NULL) < 0 && errno == ENOENT)
			continue;
		must(mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | QUIET, NULL),
		     readonly[i]);
	}
	for (size_t i = 0; i < COUNT(masked); i++) {
		if (mount("dev/null", masked[i], NULL, MS_BIND, NULL) == 0 || errno == ENOENT)
			continue;
		must(mount("tmpfs", masked[i], "tmpfs", QUIET | MS_RDONLY,
			   "mode=555,nr_inodes=1,nr_blocks=1"),
		     masked[i]);
	}
}

static void become_root_of(void)
{
	must(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "make / a slave");
	must(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), "bind the root");
	must(chdir(rootfs), rootfs);
	make_mounts();
	mask();
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "detach the old root");
	must(chdir("/"), "chdir");
	must(mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), "make the root read-only");
}

/* ---- the process ------------------------------------------------------------------------------------------ */

static void confine(void)
{
	const uint64_t keep = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { { .effective = (uint32_t)keep,
						    .permitted = (uint32_t)keep } };

	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(keep >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap);
	must(syscall(SYS_setgroups, 0, NULL), "setgroups");
	must(syscall(SYS_setresgid, 0, 0, 0), "setresgid");
	must(syscall(SYS_setresuid, 0, 0, 0), "setresuid");
	must(syscall(SYS_capset, &header, caps), "capset");
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

static _Noreturn void child(char *program)
{
	const struct rlimit files = { 1024, 1024 };
	char *argv[] = { program, NULL }, *env[] = { NULL };

	enter_cgroups();
	setsid();
	must(unshare(CLONE_NEWCGROUP), "cgroup namespace");
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "price", 0, 0, 0);
	must(sethostname("hull", 4), "sethostname");
	become_root_of();
	must(setrlimit(RLIMIT_NOFILE, &files), "RLIMIT_NOFILE");
	confine();
	execve(program, argv, env);
	must(-1, program);
	_exit(125);
}

int main(int argc, char **argv)
{
	siginfo_t info = { 0 };
	int pid_fd = -1, at = 3;
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_NEWNS,
		.pidfd = (uintptr_t)&pid_fd,
		.exit_signal = SIGCHLD,
	};
	long pid;

	for (; at < argc && strcmp(argv[at], "--") != 0 && hierarchy_count < HIERARCHIES_MAX; at++) {
		const char *slash = strrchr(argv[at], '/');

		hierarchies[hierarchy_count++] = (struct hierarchy){ .path = argv[at],
								     .name = slash ? slash + 1 : argv[at],
								     .dfd = -1 };
	}
	if (at + 1 >= argc) {
		fprintf(stderr, "usage: kernel_price ROOTFS CGROUP|- [HIERARCHY ...] -- PROGRAM\n");
		return 2;
	}
	rootfs = argv[1];
	cgroup = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
	if (cgroup)
		make_cgroups();
	if (v2_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)v2_fd;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	must(pid, "clone3");
	if (pid == 0)
		child(argv[at + 1]);
	must(waitid((idtype_t)P_PIDFD, (id_t)pid_fd, &info, WEXITED), "waitid");
	if (cgroup)
		remove_cgroups();
	return info.si_status;
}
