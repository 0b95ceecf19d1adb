/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of a container's process: a pty of the container's own devpts, so that it exists inside
 * (ttyname(3)), made and passed by fd. */
#ifndef HULL_OCI_TTY_H
#define HULL_OCI_TTY_H

#include <stdbool.h>

#include "base/error.h"
#include "oci/spec.h"

struct tty {
	int master_fd, slave_fd;
};
#define TTY_INIT ((struct tty){ -1, -1 })

/* Open a new pty of the devpts that /dev/pts inside root_fd shows; it must be one, whatever the image put
 * there. The slave gets the window size and owner of p. bare_newlines: see oci/runtime.h. Fails: INVALID (no devpts), SYS. */
int tty_open(int root_fd, const struct oci_process *p, bool bare_newlines, struct tty *ret,
	     struct error *e) MUST_USE;
/* Bind the slave on /dev/console inside root_fd. Fails: SYS. */
int tty_bind_console(const struct tty *t, int root_fd, struct error *e) MUST_USE;
/* The slave becomes the controlling terminal of our session, which we lead. */
int tty_take(const struct tty *t, struct error *e) MUST_USE;

#endif
