// SPDX-License-Identifier: Apache-2.0
#include "oci/seccomp_agent.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/json.h"

/* Since Linux 5.19; Debian 12's headers have it, older ones do not. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static bool is_notify(const struct oci_seccomp_rule *rule)
{
	return (rule->action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF;
}

bool seccomp_notifies(const struct oci_seccomp *profile)
{
	for (size_t i = 0; i < profile->syscalls.n; i++)
		if (is_notify(&profile->syscalls.v[i]))
			return true;
	return false;
}

/* TSYNC and a listener exclude each other (seccomp(2)), and a process of one thread has nobody to bring into step;
 * WAIT_KILLABLE_RECV is refused without a listener, where it would mean nothing. */
unsigned int seccomp_filter_flags(const struct oci_seccomp *profile)
{
	unsigned int flags = profile->flags;

	if (!seccomp_notifies(profile))
		return flags & ~(unsigned int)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	return (flags & ~(unsigned int)SECCOMP_FILTER_FLAG_TSYNC) | SECCOMP_FILTER_FLAG_NEW_LISTENER;
}

/* The listener exists only when the filter is on, and goes to our own parent by sendmsg(2): if that were given to the
 * agent, who cannot answer before it has the listener, nothing would ever happen again. */
static int check_names(const struct oci_seccomp *profile, struct error *e)
{
	for (size_t i = 0; i < profile->syscalls.n; i++) {
		const struct oci_seccomp_rule *rule = &profile->syscalls.v[i];

		for (size_t j = 0; is_notify(rule) && j < rule->names.n; j++)
			if (str_eq(rule->names.v[j], "sendmsg"))
				return err_new(
					e, ERR_INVALID,
					"linux.seccomp.syscalls[%zu]: SCMP_ACT_NOTIFY cannot be used for "
					"sendmsg: the listener itself is passed by that call",
					i);
	}
	return 0;
}

int seccomp_agent_check(const struct oci_seccomp *profile, struct error *e)
{
	const char *path = profile->listener_path;
	struct stat sb;

	if (!str_is_empty(profile->listener_metadata) && str_is_empty(path))
		return err_new(e, ERR_INVALID, "linux.seccomp.listenerMetadata: without listenerPath");
	if (!seccomp_notifies(profile))
		return 0;
	if (str_is_empty(path))
		return err_new(e, ERR_INVALID,
			       "linux.seccomp.listenerPath: is missing: the profile has SCMP_ACT_NOTIFY");
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return err_new(e, ERR_INVALID,
			       "linux.seccomp.listenerPath: longer than a socket's path can be");
	if (stat(path, &sb) < 0)
		return err_sysk(e, ERR_NOT_FOUND, errno, "linux.seccomp.listenerPath: seccomp agent \"%s\"",
				path);
	if (!S_ISSOCK(sb.st_mode))
		return err_new(e, ERR_NOT_FOUND, "linux.seccomp.listenerPath: \"%s\" is no socket", path);
	return check_names(profile, e);
}

static void process_state(const struct oci_spec *spec, const struct hook_state *s, pid_t pid, struct buf *b)
{
	cleanup_json struct json_object *o = json_new();

	json_put_str(o, "ociVersion", OCI_SPEC_VERSION);
	json_put_strs(o, "fds", (const char *const[]){ "seccompFd" }, 1);
	json_put_i64(o, "pid", pid);
	if (!str_is_empty(spec->linux.seccomp->listener_metadata))
		json_put_str(o, "metadata", spec->linux.seccomp->listener_metadata);
	hook_state_json(spec, s, json_put_object(o, "state"));
	json_text(o, false, b);
}

int seccomp_agent_send(const struct oci_spec *spec, const struct hook_state *s, pid_t pid, int listener_fd,
		       struct error *e)
{
	const char *path = spec->linux.seccomp->listener_path;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	cleanup_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cleanup_buf struct buf text = BUF_INIT;
	struct iovec iov;

	process_state(spec, s, pid, &text);
	iov = (struct iovec){ text.data, text.len };
	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, "connect to the seccomp agent at \"%s\"", path);
	if (fd_send(sock, &iov, 1, &listener_fd, 1) < 0)
		return err_sys(e, "send the seccomp listener to the agent at \"%s\"", path);
	return 0;
}
