/* SPDX-License-Identifier: Apache-2.0 */
#include "userns/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/caps.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "userns/child.h"
#include "userns/denied.h"
#include "userns/subid.h"

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
	if (pid < 0) {
		int r = pidfd_clone_failed(saved_errno, e);

		userns_denied_hint(saved_errno, e);
		return r;
	}
	*ret_proc = (struct proc){ .pid = pid, .pid_fd = pid_fd };
	return 0;
}

static int read_map(int proc_dfd, const char *file, struct idmap *ret, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = read_text(proc_dfd, file, &text, e);

	if (r == 0)
		r = idmap_parse(ret, buf_str(&text), text.len, e);
	return r < 0 ? err_ctx(e, "\"%s\"", file) : 0;
}

/* What of the map can be written only by newuidmap(1) and its like: all that is not allowed without privilege
 * (user_namespaces(7)), which is our own id alone. */
static bool needs_helper(const struct idmap *map, unsigned int cap, uint32_t own)
{
	return !caps_have(cap) && !(map->n == 1 && map->x[0].length == 1 && map->x[0].host_id == own);
}

/* Both maps by whatever means we have. A gid_map without privilege asks for setgroups(2) to be denied first. */
static int map_by_any_means(int proc_dfd, pid_t pid, const struct idmap *uids, const struct idmap *gids,
			    struct error *e)
{
	bool by_program = needs_helper(uids, CAP_SETUID, geteuid());
	int r = by_program ? subid_map(SUBID_UID, pid, uids, e) : idmap_write(proc_dfd, "uid_map", uids, e);

	if (r < 0)
		return r;
	if (needs_helper(gids, CAP_SETGID, getegid()))
		return subid_map(SUBID_GID, pid, gids, e);
	if (!caps_have(CAP_SETGID))
		r = idmap_write_setgroups_deny(proc_dfd, e);
	return r < 0 ? r : idmap_write(proc_dfd, "gid_map", gids, e);
}

/* With privilege, what is mapped where we are can be given on, and nothing else. */
static int check_outer(const struct idmap *map, const char *file, const char *kind, struct error *e)
{
	cleanup_free struct idmap *own = NEW(struct idmap);
	int r = read_map(AT_FDCWD, file, own, e);

	for (size_t i = 0; i < map->n && r == 0; i++) {
		const struct idmap_extent *x = &map->x[i];
		uint64_t at = x->host_id, end = at + x->length;

		/* The kernel wants each extent within one of ours. */
		for (size_t j = 0; j < own->n && at < end; j++)
			if (x->host_id >= own->x[j].container_id &&
			    end <= (uint64_t)own->x[j].container_id + own->x[j].length)
				at = end;
		if (at < end)
			r = err_new(
				e, ERR_INVALID,
				"linux.%sMappings[%zu]: container %s %u to host %s %u, size %u: hull runs in "
				"a user "
				"namespace itself, and in there is no range with all of these host %ss (%s)",
				kind, i, kind, x->container_id, kind, x->host_id, x->length, kind, file);
	}
	return r;
}

static int check_one(const struct idmap *map, unsigned int cap, uint32_t own, enum subid_kind kind,
		     struct error *e)
{
	if (needs_helper(map, cap, own))
		return subid_check_self(kind, map, e);
	return kind == SUBID_UID ? check_outer(map, "/proc/self/uid_map", "uid", e)
				 : check_outer(map, "/proc/self/gid_map", "gid", e);
}

int userns_check_maps(const struct idmap *uids, const struct idmap *gids, struct error *e)
{
	int r = idmap_check(uids, false, "uid", e);

	if (r == 0)
		r = idmap_check(gids, false, "gid", e);
	if (r == 0)
		r = check_one(uids, CAP_SETUID, geteuid(), SUBID_UID, e);
	return r == 0 ? check_one(gids, CAP_SETGID, getegid(), SUBID_GID, e) : r;
}

bool userns_denies_setgroups(const struct idmap *gids)
{
	cleanup_buf struct buf text = BUF_INIT;
	uint32_t own = getegid();

	if (!caps_have(CAP_SETGID)) {
		bool is_own_only = true;

		/* newgidmap(1) leaves it alone as soon as one range is from subgid(5). */
		for (size_t i = 0; i < gids->n; i++)
			is_own_only &= gids->x[i].length == 1 && gids->x[i].host_id == own;
		if (is_own_only)
			return true;
	}
	/* A child namespace inherits the denial. */
	return read_text(AT_FDCWD, "/proc/self/setgroups", &text, NULL) == 0 &&
	       str_starts(buf_str(&text), "deny");
}

typedef int (*map_fn)(int proc_dfd, pid_t pid, const struct idmap *uids, const struct idmap *gids,
		      struct error *e);

static int map_directly(int proc_dfd, pid_t pid, const struct idmap *uids, const struct idmap *gids,
			struct error *e)
{
	(void)pid;
	return idmap_write_both(proc_dfd, uids, gids, e);
}

static int map_and_open(const struct proc *holder, map_fn map, const struct idmap *uids,
			const struct idmap *gids, int *ret_fd, struct error *e)
{
	cleanup_close int dfd = -1;
	int r = pidfd_proc_dir(holder->pid_fd, &dfd, e);

	if (r == 0)
		r = map(dfd, holder->pid, uids, gids, e);
	if (r == 0)
		r = pidfd_ns(holder->pid_fd, CLONE_NEWUSER, ret_fd, e);
	return r;
}

static int make_held(map_fn map, const struct idmap *uids, const struct idmap *gids, int *ret_fd,
		     struct error *e)
{
	struct proc holder = PROC_INIT;
	char *stack = mmap(NULL, HOLDER_STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int r;

	if (stack == MAP_FAILED)
		return err_sys(e, "map a stack");
	r = start_holder(stack, &holder, e);
	if (r == 0) {
		r = map_and_open(&holder, map, uids, gids, ret_fd, e);
		proc_kill(&holder);
	}
	munmap(stack, HOLDER_STACK_BYTES);
	return r;
}

int userns_mapping_fd(const struct idmap *uids, const struct idmap *gids, int *ret_fd, struct error *e)
{
	int r = idmap_check(uids, false, "uid", e);

	if (r == 0)
		r = idmap_check(gids, false, "gid", e);
	if (r == 0)
		r = make_held(map_directly, uids, gids, ret_fd, e);
	return r < 0 ? err_ctx(e, "make a user namespace for id maps") : 0;
}

int userns_make(const struct idmap *uids, const struct idmap *gids, int *ret_fd, struct error *e)
{
	int r = make_held(map_by_any_means, uids, gids, ret_fd, e);

	return r < 0 ? err_ctx(e, "make a user namespace") : 0;
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
