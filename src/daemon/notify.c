/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

static struct {
	struct sockaddr_un addr;
	socklen_t addr_len; /* 0: nobody to tell */
	int64_t watchdog_ns;
} notify;

void notify_setup(void)
{
	const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC"),
		   *pid = getenv("WATCHDOG_PID");
	uint64_t v;
	size_t n = path ? strlen(path) : 0;

	/* A path, or with '@' a name in the abstract namespace. */
	if (n > 1 && n < sizeof(notify.addr.sun_path) && (path[0] == '/' || path[0] == '@')) {
		notify.addr.sun_family = AF_UNIX;
		memcpy(notify.addr.sun_path, path, n);
		if (path[0] == '@')
			notify.addr.sun_path[0] = '\0';
		notify.addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	}
	if (usec && str_to_u64(usec, &v, NULL) == 0 && v > 0 && v < INT64_MAX / 1000 &&
	    (!pid || (str_to_u64(pid, &(uint64_t){ 0 }, NULL) == 0 && atoll(pid) == getpid())))
		notify.watchdog_ns = (int64_t)v * 1000 / 2;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void tell(const char *text)
{
	cleanup_close int fd = -1;

	if (!notify.addr_len)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&notify.addr,
		       notify.addr_len);
}

void notify_ready(void)
{
	tell("READY=1\nSTATUS=Serving pods\n");
}

void notify_reloading(void)
{
	char text[96];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", clock_mono_ns() / 1000);
	tell(text);
}

void notify_stopping(void)
{
	tell("STOPPING=1\nSTATUS=Waiting for calls to end; pods go on\n");
}

void notify_alive(void)
{
	tell("WATCHDOG=1\n");
}

int64_t notify_watchdog_ns(void)
{
	return notify.watchdog_ns;
}
