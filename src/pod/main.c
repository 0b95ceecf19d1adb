/* SPDX-License-Identifier: Apache-2.0 */
/* hull-pod ID LEVEL text|json: the monitor of one pod. Started by hulld (monitor_spawn()) with a listening
 * socket at fd 3 and the pod's directory at fd 4. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "pod/monitor.h"
#include "sys/exeseal.h"

static int check_fds(void)
{
	int is_listening = 0;
	socklen_t len = sizeof(is_listening);
	struct stat st;

	return getsockopt(MONITOR_FD_LISTEN, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) == 0 &&
	       is_listening && fstat(MONITOR_FD_POD_DIR, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Our log is hulld's stderr. If that is a pipe whose reader has stopped, it must not stop us: opened anew it
 * is an open file of our own, and can be made not to block. A socket cannot be opened; it stays as it is. */
static void open_log(void)
{
	int fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return;
	dup2(fd, STDERR_FILENO);
	close(fd);
}

int main(int argc, char **argv)
{
	static char id[MONITOR_ID_MAX + 1], field[14];
	enum log_level level;
	struct error err = ERROR_INIT;

	if (argc == 2 && str_eq(argv[1], "--version")) {
		printf("hull-pod %s\n", HULL_VERSION);
		return 0;
	}
	if (argc != 4 || !proto_is_id(argv[1]) || !check_fds()) {
		fprintf(stderr, "hull-pod is started by hulld, with its socket and the pod's directory at "
				"fds 3 and 4\n");
		return 2;
	}
	if (log_level_parse(argv[2], &level, &err) < 0) {
		fprintf(stderr, "hull-pod: %s\n", err_msg(&err));
		return 2;
	}
	/* Containers are forked off us, and some have the host's root for theirs: see sys/exeseal.h. */
	if (exe_seal(argv, &err) < 0 && err.kind != ERR_DENIED) {
		fprintf(stderr, "hull-pod: %s\n", err_msg(&err));
		return 2;
	}
	prctl(PR_SET_NAME,
	      "hull-pod"); /* before Linux 6.14 a program started by fd has the fd's number as its name */
	strcpy(id, argv[1]);
	snprintf(field, sizeof(field), "%.13s", id);
	log_setup(STDERR_FILENO, str_eq(argv[3], "json") ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, level);
	log_field("pod", field);
	fd_close_from(MONITOR_FD_POD_DIR + 1, NULL, 0);
	open_log();
	fcntl(MONITOR_FD_LISTEN, F_SETFD, FD_CLOEXEC);
	fcntl(MONITOR_FD_POD_DIR, F_SETFD, FD_CLOEXEC);
	setsid(); /* a leader already when hulld started us */
	umask(022);
	if (chdir("/") < 0)
		log_warn("change to the root directory failed");
	title_keep(argc, argv);
	title_set("hull-pod", id);
	return monitor_run(MONITOR_FD_LISTEN, MONITOR_FD_POD_DIR, id);
}
