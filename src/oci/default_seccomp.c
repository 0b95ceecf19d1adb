// SPDX-License-Identifier: Apache-2.0
/* The RuntimeDefault profile, in the shape that users of other engines know: everything fails with EPERM but what
 * is listed; more is listed for a container that has certain capabilities. What images commonly need is there;
 * what is not: kernel modules, kexec, mounts, namespaces, tracing of the kernel (bpf, perf), keyrings (not
 * namespaced), userfaultfd and io_uring (a record of kernel holes), clocks, swap, quota, raw I/O ports, and AF_VSOCK
 * sockets (they reach the hypervisor whatever the network namespace).
 *
 * The tables are words in a string: sorted, one blank between two. */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <seccomp.h>

#include "oci/defaults.h"
#include "sys/caps.h"

struct group {
	int cap; /* needed for it; -1: none */
	const char *names;
};

/* clang-format off */
static const struct group groups[] = {
	{ -1, /* files */
	  "access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 "
	  "faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown "
	  "fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr file_setattr flistxattr flock fremovexattr "
	  "fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents "
	  "getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown "
	  "lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr lremovexattr _llseek lseek lsetxattr "
	  "lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 "
	  "preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat "
	  "rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 "
	  "statmount statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat "
	  "utime utimensat utimensat_time64 utimes vmsplice write writev" },
	{ -1, /* memory */
	  "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 "
	  "mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages" },
	{ -1, /* processes, threads, signals */
	  "alarm capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait "
	  "futex_waitv futex_wake getpgid getpgrp getpid getppid getpriority get_robust_list getrlimit getrusage getsid "
	  "get_thread_area gettid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset "
	  "landlock_restrict_self lsm_get_self_attr lsm_list_modules lsm_set_self_attr nice pause pidfd_open "
	  "pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall rseq rt_sigaction rt_sigpending "
	  "rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
	  "rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max "
	  "sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
	  "sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp setpgid setpriority "
	  "set_robust_list setrlimit setsid set_thread_area set_tid_address sgetmask sigaction sigaltstack signal "
	  "sigpending sigprocmask sigreturn sigsuspend ssetmask tgkill tkill ugetrlimit vfork wait4 waitid waitpid" },
	{ -1, /* users */
	  "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid "
	  "getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 "
	  "setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32" },
	{ -1, /* sockets; socket itself is below */
	  "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
	  "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair" },
	{ -1, /* waiting */
	  "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
	  "eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect "
	  "poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4" },
	{ -1, /* time */
	  "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
	  "clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create "
	  "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create "
	  "timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times" },
	{ -1, /* System V and POSIX IPC */
	  "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
	  "mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt "
	  "shmget" },
	{ -1, /* the system */
	  "getcpu getrandom oldfstat oldlstat oldolduname oldstat olduname sysinfo uname" },
	{ -1, /* of one machine only; the others do not know the names */
	  "arch_prctl modify_ldt riscv_flush_icache riscv_hwprobe rtas s390_pci_mmio_read s390_pci_mmio_write "
	  "s390_runtime_instr arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls swapcontext "
	  "sync_file_range2 uretprobe" },
	{ -1, /* of others of the same user, which the kernel checks alike since 4.8 and Yama */
	  "process_vm_readv process_vm_writev ptrace" },

	{ CAP_DAC_READ_SEARCH, "open_by_handle_at" },
	{ CAP_SYS_ADMIN,
	  "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount "
	  "open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount "
	  "umount2 unshare" },
	{ CAP_BPF, "bpf" },
	{ CAP_PERFMON, "perf_event_open" },
	{ CAP_SYSLOG, "syslog" },
	{ CAP_SYS_BOOT, "reboot" },
	{ CAP_SYS_CHROOT, "chroot" },
	{ CAP_SYS_MODULE, "delete_module finit_module init_module" },
	{ CAP_SYS_NICE, "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node" },
	{ CAP_SYS_PACCT, "acct" },
	{ CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise" },
	{ CAP_SYS_RAWIO, "ioperm iopl" },
	{ CAP_SYS_TIME, "clock_settime clock_settime64 settimeofday stime" },
	{ CAP_SYS_TTY_CONFIG, "vhangup" },
};
/* clang-format on */

static struct json_object *add_rule(struct json_object *rules, const char *names, const char *action)
{
	cleanup_strv struct strv v = STRV_INIT;
	struct json_object *rule = json_push_object(rules);

	strv_split(&v, names, " ");
	json_put_strv(rule, "names", &v);
	json_put_str(rule, "action", action);
	return rule;
}

static void add_condition(struct json_object *rules, const char *name, unsigned int index, const char *op,
			  uint64_t value, uint64_t value_two)
{
	struct json_object *rule = add_rule(rules, name, "SCMP_ACT_ALLOW");
	struct json_object *arg = json_push_object(json_put_array(rule, "args"));

	json_put_u64(arg, "index", index);
	json_put_u64(arg, "value", value);
	if (value_two)
		json_put_u64(arg, "valueTwo", value_two);
	json_put_str(arg, "op", op);
}

static void add_personality(struct json_object *rules)
{
	/* PER_LINUX, PER_LINUX32, both with UNAME26 (programs that cannot read "3.0"), and the question for it. */
	static const uint64_t personas[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

	for (size_t i = 0; i < ARRAY_LEN(personas); i++)
		add_condition(rules, "personality", 0, "SCMP_CMP_EQ", personas[i], 0);
}

/* Threads and processes, but no namespaces. clone3 has its flags in memory, where a filter cannot look: ENOSYS
 * makes libraries use clone. */
static void add_clone(struct json_object *rules)
{
	const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
	/* CONFIG_CLONE_BACKWARDS2 (s390): the flags are the second argument. */
	unsigned int index = seccomp_arch_native() == SCMP_ARCH_S390X ? 1 : 0;
	struct json_object *arg, *rule = add_rule(rules, "clone", "SCMP_ACT_ALLOW");

	/* value is the mask, valueTwo what must be left of it: nothing. */
	arg = json_push_object(json_put_array(rule, "args"));
	json_put_u64(arg, "index", index);
	json_put_u64(arg, "value", namespaces);
	json_put_u64(arg, "valueTwo", 0);
	json_put_str(arg, "op", "SCMP_CMP_MASKED_EQ");
	json_put_u64(add_rule(rules, "clone3", "SCMP_ACT_ERRNO"), "errnoRet", ENOSYS);
}

static void add_architectures(struct json_object *profile)
{
	static const struct {
		uint32_t native;
		const char *names[4];
	} table[] = {
		{ SCMP_ARCH_X86_64, { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32" } },
		{ SCMP_ARCH_AARCH64, { "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM" } },
		{ SCMP_ARCH_S390X, { "SCMP_ARCH_S390X", "SCMP_ARCH_S390" } },
		{ SCMP_ARCH_PPC64LE, { "SCMP_ARCH_PPC64LE" } },
		{ SCMP_ARCH_RISCV64, { "SCMP_ARCH_RISCV64" } },
	};
	struct json_object *list = json_put_array(profile, "architectures");

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		for (size_t j = 0; table[i].native == seccomp_arch_native() && table[i].names[j]; j++)
			json_push_str(list, table[i].names[j]);
	}
}

struct json_object *oci_default_seccomp(uint64_t caps)
{
	struct json_object *profile = json_new(), *rules;

	json_put_str(profile, "defaultAction", "SCMP_ACT_ERRNO");
	json_put_u64(profile, "defaultErrnoRet", EPERM);
	add_architectures(profile);
	rules = json_put_array(profile, "syscalls");
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		if (groups[i].cap < 0 || (caps & CAP_BIT((unsigned int)groups[i].cap)))
			add_rule(rules, groups[i].names, "SCMP_ACT_ALLOW");
	}
	add_personality(rules);
	add_condition(rules, "socket", 0, "SCMP_CMP_NE", AF_VSOCK, 0);
	if (!(caps & CAP_BIT(CAP_SYS_ADMIN)))
		add_clone(rules);
	return profile;
}
