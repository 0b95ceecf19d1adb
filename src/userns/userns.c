/* SPDX-License-Identifier: Apache-2.0 */
#include "userns/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "userns/child.h"

/* The initial user namespace has had this inode since Linux 3.8 (include/linux/proc_ns.h); newer headers
 * publish it (linux/nsfs.h, USER_NS_INIT_INO), so it is interface. NS_GET_PARENT can not tell: it answers
 * EPERM for our own namespace wherever we are. */
#define USER_NS_INIT_INO 0xEFFFFFFDU

#define MAP_TEXT_MAX (64 * 1024) /* 340 lines as the kernel prints them are 11 KiB */

int userns_judge(const char *uid_map, const char *gid_map, const char *setgroups, uint64_t user_ino,
		 struct userns_self *ret, struct error *e)
{
	struct userns_self self = { 0 };
	bool child;

	if (idmap_parse(&self.uids, uid_map, strlen(uid_map), e) < 0)
		return err_ctx(e, "our uid_map");
	if (idmap_parse(&self.gids, gid_map, strlen(gid_map), e) < 0)
		return err_ctx(e, "our gid_map");
	self.is_mapped = self.uids.n > 0 && self.gids.n > 0;
	self.full_map = idmap_is_identity(&self.uids) && idmap_is_identity(&self.gids);
	child = !self.full_map || (user_ino != 0 && user_ino != USER_NS_INIT_INO);
	self.in_child = child;
	self.cannot_mknod = child;
	self.cannot_lower_oom_score = child;
	self.cannot_raise_rlimits = child;
	self.cannot_idmap_host_mounts = child;
	self.cannot_mount_devices = child;
	self.cannot_trust_xattrs = child;
	self.cannot_filter_devices = child;
	self.cannot_write_host_sysctls = child;
	self.cannot_setgroups = child && (str_starts(setgroups, "deny") || self.gids.n == 0);
	self.cannot_choose_ids = !self.full_map;
	*ret = self;
	return 0;
}

static int read_text(int dfd, const char *path, struct buf *b, struct error *e)
{
	return file_read(dfd, path, MAP_TEXT_MAX, b, e);
}

int userns_detect(struct userns_self *ret, struct error *e)
{
	cleanup_buf struct buf uids = BUF_INIT, gids = BUF_INIT, setgroups = BUF_INIT;
	struct error ignored;
	struct stat st = { 0 };
	int r = read_text(AT_FDCWD, "/proc/self/uid_map", &uids, e);

	if (r == 0)
		r = read_text(AT_FDCWD, "/proc/self/gid_map", &gids, e);
	if (r < 0)
		return r;
	/* What is unknown stays empty: setgroups came with Linux 3.19, ns/user can be hidden. */
	(void)!read_text(AT_FDCWD, "/proc/self/setgroups", &setgroups, &ignored);
	if (stat("/proc/self/ns/user", &st) < 0)
		st.st_ino = 0;
	return userns_judge(buf_str(&uids), buf_str(&gids), buf_str(&setgroups), st.st_ino, ret, e);
}

bool userns_is_initial(void)
{
	static int known; /* 0: not asked, 1: yes, 2: no; racing threads store the same */
	int is = __atomic_load_n(&known, __ATOMIC_RELAXED);

	if (is == 0) {
		struct userns_self self;

		is = userns_detect(&self, NULL) == 0 && self.in_child ? 2 : 1;
		__atomic_store_n(&known, is, __ATOMIC_RELAXED);
	}
	return is == 1;
}

#define HOLDER_STACK_BYTES (16 * 1024)

/* Holds a namespace by being in it. It shares our memory and our thread-local errno, so it makes only
 * system calls that do not fail, the last of which never returns: every signal but SIGKILL is blocked. */
static int hold(void *parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != *(const pid_t *)parent)
		_exit(1);
	for (;;)
		syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
}

/* The parent's pid goes on the holder's own stack: nothing of ours is read by it after we returned. */
static int start_holder(char *stack, struct proc *ret_proc, struct error *e)
{
	pid_t *parent = (pid_t *)(void *)stack, pid;
	sigset_t all, old;
	int pid_fd = -1, saved_errno;

	*parent = getpid();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(hold, stack + HOLDER_STACK_BYTES, CLONE_VM | CLONE_NEWUSER | CLONE_PIDFD | SIGCHLD,
		    parent, &pid_fd);
	saved_errno = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return pidfd_clone_failed(saved_errno, e);
	*ret_proc = (struct proc){ .pid = pid, .pid_fd = pid_fd };
	return 0;
}

static int map_and_open(int pid_fd, const struct idmap *uids, const struct idmap *gids, int *ret_fd,
			struct error *e)
{
	cleanup_close int dfd = -1;
	int r = pidfd_proc_dir(pid_fd, &dfd, e);

	if (r == 0)
		r = idmap_write_both(dfd, uids, gids, e);
	if (r == 0)
		r = pidfd_ns(pid_fd, CLONE_NEWUSER, ret_fd, e);
	return r;
}

int userns_mapping_fd(const struct idmap *uids, const struct idmap *gids, int *ret_fd, struct error *e)
{
	struct proc holder = PROC_INIT;
	char *stack;
	int r = idmap_check(uids, false, "uid", e);

	if (r == 0)
		r = idmap_check(gids, false, "gid", e);
	if (r < 0)
		return r;
	stack = mmap(NULL, HOLDER_STACK_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return err_sys(e, "map a stack");
	r = start_holder(stack, &holder, e);
	if (r == 0) {
		r = map_and_open(holder.pid_fd, uids, gids, ret_fd, e);
		proc_kill(&holder);
	}
	munmap(stack, HOLDER_STACK_BYTES);
	return r < 0 ? err_ctx(e, "make a user namespace for id maps") : 0;
}

static int read_map(int proc_dfd, const char *file, struct idmap *ret, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = read_text(proc_dfd, file, &text, e);

	if (r == 0)
		r = idmap_parse(ret, buf_str(&text), text.len, e);
	return r < 0 ? err_ctx(e, "\"%s\"", file) : 0;
}

int userns_read_maps(int user_fd, struct idmap *ret_uids, struct idmap *ret_gids, struct error *e)
{
	struct idmap uids = IDMAP_INIT, gids = IDMAP_INIT;
	cleanup_child struct child c = CHILD_INIT;
	cleanup_close int dfd = -1;
	bool is_own;
	int own = -1, r = ns_check_type(user_fd, CLONE_NEWUSER, e);

	if (r == 0)
		r = ns_open_own(CLONE_NEWUSER, &own, e);
	if (r < 0)
		return r;
	r = ns_is_same(user_fd, own, &is_own, e);
	close(own);
	if (r == 0)
		r = child_start(0, &c, e);
	if (r == 0) {
		struct error why = ERROR_INIT;

		/* setns(2) refuses the namespace that one is in already. */
		if (!is_own && setns(user_fd, CLONE_NEWUSER) < 0)
			r = err_sysk(&why, errno == EPERM ? ERR_DENIED : ERR_SYS, errno,
				     "enter the user namespace");
		child_report(&c, r, &why);
	}
	if (r < 0)
		return r;
	r = child_result(&c, e);
	if (r == 0)
		r = pidfd_proc_dir(c.proc.pid_fd, &dfd, e);
	if (r == 0)
		r = read_map(dfd, "uid_map", &uids, e);
	if (r == 0)
		r = read_map(dfd, "gid_map", &gids, e);
	if (r < 0)
		return err_ctx(e, "read the maps of a user namespace");
	*ret_uids = uids;
	*ret_gids = gids;
	return 0;
}
