/* SPDX-License-Identifier: Apache-2.0 */
/* hull start, kill, delete, pause, resume. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/proc.h"
#include "hull/hull.h"

static int one_id(int argc, char **argv, struct error *e)
{
	int n = options_take(argc, argv, NULL, 0, 0, e);

	if (n < 0)
		return n;
	return n == 1 ? 0 : err_new(e, ERR_INVALID, "\"hull %s\" takes exactly one container id", argv[0]);
}

int command_start(struct hull *h, int argc, char **argv, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	int r = one_id(argc, argv, e);

	if (r >= 0)
		r = container_load(h, argv[1], &c, e);
	return r < 0 ? r : container_start(&c, e);
}

/* "9", "KILL", "SIGKILL", "sigkill", "RTMIN+3" */
static int parse_signal(const char *text, int *ret, struct error *e)
{
	char upper[32];
	size_t n = 0;
	uint32_t number;

	if (str_to_u32(text, &number, NULL) == 0 && number < 65) {
		*ret = (int)number;
		return 0;
	}
	for (; n < sizeof(upper) - 1 && text[n]; n++)
		upper[n] = (char)toupper((unsigned char)text[n]);
	upper[n] = '\0';
	if (str_starts(upper, "SIG"))
		memmove(upper, upper + 3, strlen(upper) - 2);
	if (str_starts(upper, "RTMIN+") && str_to_u32(upper + 6, &number, NULL) == 0 && number <= 30) {
		*ret = SIGRTMIN + (int)number;
		return 0;
	}
	for (int sig = 1; sig < 32; sig++)
		if (str_eq(sigabbrev_np(sig), upper)) {
			*ret = sig;
			return 0;
		}
	return err_new(e, ERR_INVALID, "unknown signal \"%s\"", text);
}

static int kill_all(struct hull *h, struct container *c, int sig, struct error *e)
{
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	int r = container_cgroup(h, c, &host, &cgroup, e);

	return r < 0 ? r : cgroup_signal(cgroup, sig, e);
}

int command_kill(struct hull *h, int argc, char **argv, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	bool all = false;
	const struct option_word words[] = { { .name = "all", .letter = 'a', .flag = &all } };
	int sig = SIGTERM, n = options_take(argc, argv, words, ARRAY_LEN(words), 0, e), r;

	if (n < 0)
		return n;
	if (n < 1 || n > 2)
		return err_new(e, ERR_INVALID, "\"hull kill\" takes a container id and a signal");
	r = n == 2 ? parse_signal(argv[2], &sig, e) : 0;
	if (r >= 0)
		r = container_load(h, argv[1], &c, e);
	if (r < 0)
		return r;
	if (all)
		return kill_all(h, &c, sig, e);
	if (c.status == OCI_STOPPED)
		return err_new(e, ERR_STATE, "container not running");
	if (pidfd_send(c.pid_fd, sig) < 0)
		return errno == ESRCH ? err_new(e, ERR_STATE, "container not running")
				      : err_sys(e, "send signal %d to container \"%s\"", sig, argv[1]);
	return 0;
}

int command_delete(struct hull *h, int argc, char **argv, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	bool force = false;
	const struct option_word words[] = { { .name = "force", .letter = 'f', .flag = &force } };
	int n = options_take(argc, argv, words, ARRAY_LEN(words), 0, e), r;

	if (n < 0)
		return n;
	if (n != 1)
		return err_new(e, ERR_INVALID, "\"hull delete\" takes exactly one container id");
	r = container_load(h, argv[1], &c, e);
	if (r == -ERR_NOT_FOUND) {
		struct error ignored = ERROR_INIT;

		/* A create that was killed may have left its directory without a record. */
		if (state_check_id(argv[1], NULL) == 0)
			(void)!state_remove_dir(h->root, argv[1], &ignored);
		return force ? 0 : r;
	}
	if (r < 0)
		return r;
	container_full_status(h, &c);
	if (!force && (c.status == OCI_RUNNING || c.status == OCI_PAUSED))
		return err_new(e, ERR_STATE, "cannot delete container %s that is not stopped: %s", argv[1],
			       state_status_name(c.status));
	return container_destroy(h, &c, e);
}

static int freeze(struct hull *h, int argc, char **argv, bool on, struct error *e)
{
	CLEANUP(container_done) struct container c = CONTAINER_INIT;
	CLEANUP(cgroup_host_free) struct cgroup_host *host = NULL;
	CLEANUP(cgroup_free) struct cgroup *cgroup = NULL;
	int r = one_id(argc, argv, e);

	if (r >= 0)
		r = container_load(h, argv[1], &c, e);
	if (r >= 0)
		r = container_cgroup(h, &c, &host, &cgroup, e);
	if (r < 0)
		return r;
	container_full_status(h, &c);
	if (on && c.status != OCI_RUNNING && c.status != OCI_CREATED)
		return err_new(e, ERR_STATE, "container not running or created: %s",
			       state_status_name(c.status));
	if (!on && c.status != OCI_PAUSED)
		return err_new(e, ERR_STATE, "container not paused");
	return on ? cgroup_freeze(cgroup, 10000, e) : cgroup_thaw(cgroup, e);
}

int command_pause(struct hull *h, int argc, char **argv, struct error *e)
{
	return freeze(h, argc, argv, true, e);
}

int command_resume(struct hull *h, int argc, char **argv, struct error *e)
{
	return freeze(h, argc, argv, false, e);
}
