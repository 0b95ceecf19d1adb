/* SPDX-License-Identifier: Apache-2.0 */
/* Allow lists, deny by default. ENOSYS, not a signal: libc tries newer calls first and falls back on it. */
#include "image/confine_filter.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/str.h"

#define S(name) SCMP_SYS(name)

/* Memory, time, signals of one's own, fds. */
static const int base_calls[] = {
	S(brk),
	S(munmap),
	S(mremap),
	S(madvise),
	S(futex),
	S(exit),
	S(exit_group),
	S(rt_sigreturn),
	S(rt_sigaction),
	S(rt_sigprocmask),
	S(sigaltstack),
	S(clock_gettime),
	S(gettimeofday),
	S(time),
	S(clock_nanosleep),
	S(nanosleep),
	S(getrandom),
	S(read),
	S(write),
	S(readv),
	S(writev),
	S(pread64),
	S(pwrite64),
	S(lseek),
	S(close),
	S(dup),
	S(fcntl),
	S(fstat),
	S(newfstatat),
	S(statx),
	S(poll),
	S(ppoll),
	S(select),
	S(pselect6),
	S(getpid),
	S(gettid),
	S(getuid),
	S(geteuid),
	S(getgid),
	S(getegid),
	S(sched_yield),
	S(set_robust_list),
	S(rseq),
	S(prlimit64),
	S(getrlimit),
	S(openat),
	S(openat2),
	S(open),
	S(readlink),
	S(readlinkat),
	S(getdents64),
	S(access),
	S(faccessat),
	S(faccessat2),
	S(umask),
	S(uname),
	S(sysinfo),
	S(sched_getaffinity),
	S(getcpu),
	S(tgkill),
	S(membarrier),
	S(stat),
	S(lstat),
	S(fadvise64),
};
static const int unpack_calls[] = {
	S(mkdirat), S(mknodat),	  S(symlinkat), S(linkat),   S(unlinkat),  S(unlink),	 S(rmdir),
	S(fchown),  S(fchownat),  S(fchmod),	S(fchmodat), S(utimensat), S(ftruncate), S(fallocate),
	S(fchdir),  S(fsetxattr), S(lsetxattr), S(setxattr), S(fstatfs),   S(statfs),
};
static const int thread_calls[] = { S(clone3),
				    S(clone),
				    S(mprotect),
				    S(set_tid_address),
				    S(sched_setscheduler),
				    S(sched_getparam),
				    S(sched_getscheduler),
				    S(setpriority),
				    S(pipe2),
				    S(eventfd2),
				    S(waitid) };
static const int network_calls[] = {
	S(connect),	  S(bind),	 S(getsockname), S(getpeername), S(sendto),
	S(recvfrom),	  S(sendmsg),	 S(recvmsg),	 S(sendmmsg),	 S(recvmmsg),
	S(setsockopt),	  S(getsockopt), S(shutdown),	 S(socketpair),	 S(ioctl),
	S(epoll_create1), S(epoll_ctl),	 S(epoll_wait),	 S(epoll_pwait), S(pipe),
};
/* The fetcher hands jobs over a socket that exists already. */
static const int message_calls[] = { S(sendmsg), S(recvmsg), S(sendto), S(recvfrom) };

static int allow(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);

		/* EEXIST, EDOM: named twice, or not a call of this architecture. */
		if (r < 0 && r != -EEXIST && r != -EDOM)
			return r;
	}
	return 0;
}

/* mmap and mprotect without PROT_EXEC; programs' own code was mapped before. */
static int allow_data_memory(scmp_filter_ctx ctx)
{
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, S(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	return r < 0 ? r
		     : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, S(mprotect), 1,
					SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* Name services load libraries, so executable memory stays allowed; sockets of these families only (unix
 * for nscd and systemd-resolved, netlink for the addresses that getaddrinfo(3) sorts by). */
static int allow_network(scmp_filter_ctx ctx)
{
	static const int families[] = { AF_INET, AF_INET6, AF_UNIX, AF_NETLINK };
	int r = allow(ctx, network_calls, ARRAY_LEN(network_calls));

	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(families); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, S(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
	return r;
}

static int add_rules(scmp_filter_ctx ctx, enum filter_kind kind)
{
	static const int maps[] = { S(mmap) };
	int r = allow(ctx, base_calls, ARRAY_LEN(base_calls));

	if (r < 0)
		return r;
	if (kind == FILTER_UNPACK) {
		r = allow(ctx, unpack_calls, ARRAY_LEN(unpack_calls));
		return r < 0 ? r : allow_data_memory(ctx);
	}
	r = allow(ctx, thread_calls, ARRAY_LEN(thread_calls));
	if (r >= 0)
		r = allow(ctx, maps, ARRAY_LEN(maps));
	if (r >= 0)
		r = allow(ctx, message_calls, ARRAY_LEN(message_calls));
	return r < 0 || kind != FILTER_NETWORK ? r : allow_network(ctx);
}

int filter_load(enum filter_kind kind, struct error *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r;

	if (!ctx)
		return err_new(e, ERR_INTERNAL, "make a seccomp filter");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: these lists are long */
	if (r >= 0)
		r = add_rules(ctx, kind);
	if (r >= 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? err_sysk(e, ERR_SYS, -r, "load the seccomp filter") : 0;
}
