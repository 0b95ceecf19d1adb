/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "oci/mounts.h"
#include "sys/mountapi.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* ptmx of a devpts, and nothing that only looks like it (CVE-2025-52565). */
static int open_ptmx(int root_fd, int *ret_fd, struct error *e)
{
	cleanup_close int look = -1, fd = -1;
	struct statfs fs;
	struct stat sb;
	int r = path_open_in_root(root_fd, "/dev/pts/ptmx", O_PATH, 0, &look, e);

	if (r < 0)
		return r;
	if (fstatfs(look, &fs) < 0 || fstat(look, &sb) < 0)
		return err_sys(e, "look at /dev/pts/ptmx");
	if (fs.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(sb.st_mode) || sb.st_rdev != makedev(5, 2))
		return err_new(e, ERR_INVALID, "/dev/pts/ptmx of the container is not that of a devpts");
	r = path_open_in_root(root_fd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0, &fd, e);
	if (r < 0)
		return r;
	if (fstat(fd, &sb) < 0 || sb.st_rdev != makedev(5, 2) || fstatfs(fd, &fs) < 0 ||
	    fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_new(e, ERR_INVALID, "/dev/pts/ptmx of the container changed under our hands");
	*ret_fd = take_fd(fd);
	return 0;
}

static int clear_onlcr(int slave)
{
	struct termios mode;

	if (tcgetattr(slave, &mode) < 0)
		return -1;
	mode.c_oflag &= ~(tcflag_t)ONLCR;
	return tcsetattr(slave, TCSANOW, &mode);
}

int tty_open(int root_fd, const struct oci_process *p, bool bare_newlines, struct tty *ret, struct error *e)
{
	struct winsize size = { .ws_row = p->console_size.height, .ws_col = p->console_size.width };
	cleanup_close int master = -1, slave = -1;
	int unlock = 0, r;

	r = open_ptmx(root_fd, &master, e);
	if (r < 0)
		return err_ctx(e, "open a terminal");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_sys(e, "unlock the terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_sys(e, "open the terminal's other side");
	if (p->console_size.is_set && ioctl(master, TIOCSWINSZ, &size) < 0)
		return err_sys(e, "set the terminal's size");
	if (bare_newlines && clear_onlcr(slave) < 0)
		return err_sys(e, "set the terminal's mode");
	if (fchown(slave, p->user.uid, (gid_t)-1) < 0)
		return err_sys(e, "give the terminal to user %u", p->user.uid);
	*ret = (struct tty){ .master_fd = take_fd(master), .slave_fd = take_fd(slave) };
	return 0;
}

int tty_bind_console(const struct tty *t, int root_fd, struct error *e)
{
	cleanup_close int target = -1, tree = -1;
	int r = mount_place(root_fd, "/dev/console", false, &target, e);

	if (r >= 0)
		r = mount_clone(t->slave_fd, "", false, true, &tree, e);
	if (r >= 0)
		r = mount_attach(tree, target, e);
	return r < 0 ? err_ctx(e, "bind the terminal to /dev/console") : 0;
}

int tty_take(const struct tty *t, struct error *e)
{
	if (ioctl(t->slave_fd, TIOCSCTTY, 0) < 0)
		return err_sys(e, "make the terminal the controlling one");
	return 0;
}
