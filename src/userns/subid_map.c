/* SPDX-License-Identifier: Apache-2.0 */
/* newuidmap(1) and newgidmap(1). They are set-uid root (Debian) or have a file capability, so they do not work below
 * no_new_privs or from a file system mounted nosuid, and they compare the owner of /proc/PID with us: the process must
 * be dumpable. The argument list is no limit: 340 extents, as many as the kernel takes, are 1020 words of at most 10
 * digits, and one word may have 128 KiB, all together a quarter of the stack's limit (execve(2)). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "userns/subid.h"

#define TIMEOUT_MS 30000 /* a name service may be asked */
#define USUAL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- running a program ------------------------------------------------------------------------------------ */

static char *find_in(const char *path, const char *name)
{
	cleanup_strv struct strv dirs = STRV_INIT;

	strv_split(&dirs, path ? path : "", ":");
	for (size_t i = 0; i < dirs.n; i++) {
		cleanup_free char *full = str_fmt("%s/%s", dirs.v[i], name);

		if (full[0] == '/' && access(full, X_OK) == 0)
			return take_ptr(full);
	}
	return NULL;
}

static char *find_program(const char *name)
{
	char *full = find_in(getenv("PATH"), name);

	return full ? full : find_in(USUAL_PATH, name);
}

static int run(const char *path, const char *const *argv, char *out, size_t size, struct error *e)
{
	cleanup_close int output = memfd_create("output", MFD_CLOEXEC);
	struct proc_opts o = {
		.path = path,
		.argv = argv,
		.fds = { -1, output, output },
		.fd_count = 3,
	};
	struct proc p = PROC_INIT;
	int status = 0, r;
	ssize_t n;

	if (output < 0)
		return err_sys(e, "make a file in memory");
	r = proc_spawn(&o, &p, e);
	if (r >= 0)
		r = proc_wait(&p, deadline_in_ms(TIMEOUT_MS), &status, e);
	proc_kill(&p);
	if (r < 0)
		return err_ctx(e, "run \"%s\"", path);
	n = pread(output, out, size - 1, 0);
	out[n > 0 ? n : 0] = '\0';
	return status;
}

int subid_run(const char *const *argv, char *out, size_t size, struct error *e)
{
	cleanup_free char *path = find_program(argv[0]);

	if (!path)
		return err_new(e, ERR_NOT_FOUND, "\"%s\" is not installed", argv[0]);
	return run(path, argv, out, size, e);
}

/* ---- the two programs -------------------------------------------------------------------------------------- */

/* Why a program that should have privilege has none; NULL: it has. */
static const char *lost_privilege(const char *path)
{
	struct statvfs vfs;
	struct stat sb;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return "hull runs with no_new_privs, under which no program gains privilege";
	if (statvfs(path, &vfs) == 0 && vfs.f_flag & ST_NOSUID)
		return "its file system is mounted nosuid";
	if (stat(path, &sb) == 0 && !(sb.st_mode & S_ISUID) &&
	    getxattr(path, "security.capability", NULL, 0) < 0)
		return "it is neither set-uid root nor has it a file capability";
	return NULL;
}

static int failed(const char *path, int pid, const struct idmap *map, int status, char *out, struct error *e)
{
	char text[64];
	const char *lost = lost_privilege(path);

	out[strcspn(out, "\n")] = '\0';
	err_new(e, lost ? ERR_UNSUPPORTED : ERR_DENIED,
		"\"%s %d\" with %zu ranges, first %u %u %u: %s: %.300s", path, pid, map->n,
		map->x[0].container_id, map->x[0].host_id, map->x[0].length,
		proc_status_text(status, text, sizeof(text)), out);
	return lost ? err_hint(e, "%s", lost) : -ERR_DENIED;
}

int subid_map(enum subid_kind kind, int pid, const struct idmap *map, struct error *e)
{
	const char *name = kind == SUBID_UID ? "newuidmap" : "newgidmap";
	cleanup_free char *path = find_program(name);
	cleanup_free const char **argv = mem_array(map->n * 3 + 3, sizeof(*argv));
	cleanup_strv struct strv words = STRV_INIT;
	char out[1024] = "";
	int r;

	if (!path)
		return err_new(e, ERR_UNSUPPORTED,
			       "\"%s\" is not installed, and without it an ordinary user can map one id "
			       "only, its own "
			       "(Debian's package uidmap has it)",
			       name);
	strv_addf(&words, "%d", pid);
	for (size_t i = 0; i < map->n; i++) {
		strv_addf(&words, "%u", map->x[i].container_id);
		strv_addf(&words, "%u", map->x[i].host_id);
		strv_addf(&words, "%u", map->x[i].length);
	}
	argv[0] = name;
	for (size_t i = 0; i < words.n; i++)
		argv[i + 1] = words.v[i];
	r = run(path, argv, out, sizeof(out), e);
	return r > 0 ? failed(path, pid, map, r, out, e) : r;
}
