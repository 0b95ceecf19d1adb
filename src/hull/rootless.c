/* SPDX-License-Identifier: Apache-2.0 */
/* What the command is for who is not root of the host: where its state is, and what it says when a container has no
 * cgroup of its own. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "hull/hull.h"

void hull_find_state(struct hull *h, enum rootless_word word)
{
	const struct rootless_facts facts = rootless_look();

	h->rootless = rootless_decide(&facts, word);
	if (h->root)
		return;
	if (!h->rootless.state_dir) {
		h->root = HULL_STATE_ROOT;
		return;
	}
	h->root = h->own_root = str_fmt("%s/" HULL_STATE_BELOW, h->rootless.state_dir);
	/* "... files ... might be removed ... unless the sticky bit is set" (XDG Base Directory Specification). */
	h->state_sticky = S_ISVTX;
}

int hull_state_error(const struct hull *h, struct error *e)
{
	if (e && e->sys == EACCES && geteuid() != 0 && str_eq(h->root, HULL_STATE_ROOT))
		return err_hint(e, "for who is not root, the state is in $XDG_RUNTIME_DIR, which is not set; "
				   "or give --root");
	return e ? -(int)e->kind : -ERR_SYS;
}

/* cgroup v1 hands nothing to users safely; v2 does it by the owner of a directory (cgroups(7), "Delegation"). */
int hull_no_cgroup(const struct hull *h, const char *id, struct error *e)
{
	err_new(e, ERR_STATE,
		"container \"%s\" has no cgroup of its own, by which alone its processes are listed, frozen, "
		"measured and limited",
		id);
	if (!h->rootless.lacks_cgroups)
		return err_hint(e, "it was created where hull could make none, or should not");
	return err_hint(
		e,
		"an ordinary user can make one below a cgroup v2 directory that was delegated to it, and has "
		"to create the container from inside of that: \"systemd-run --user --scope hull "
		"--systemd-cgroup create\" where it has a systemd of its own, or a subtree that root gave "
		"away by chown");
}
