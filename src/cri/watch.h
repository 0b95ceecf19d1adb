/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that listens to all monitors: exits of containers reach the records as they happen, and a
 * hull-pod that ends unasked makes its sandbox NOTREADY. */
#ifndef HULL_CRI_WATCH_H
#define HULL_CRI_WATCH_H

#include "cri/state.h"
#include "pod/client.h"

int watch_start(struct node *n, struct error *e) MUST_USE;
void watch_stop(struct node *n);

/* Subscribe to a sandbox's monitor and listen from now on. Fails: as monitor_subscribe(), SYS. */
int watch_add(struct node *n, struct sandbox *s, struct error *e) MUST_USE;
/* Stop listening; the fd of the subscription is closed. Fine when it was never added. */
void watch_remove(struct node *n, struct sandbox *s);

/* Take over what a monitor says of a container; saved when something changed. */
void container_apply_status(struct node *n, struct container *c, const struct monitor_container_status *st);
/* All containers of a sandbox from one status. With lost set, a container that is not EXITED in it was
 * alive when its monitor was killed: it has ended now, we do not know how (exit code 255). */
void sandbox_apply_status(struct node *n, struct sandbox *s, const struct monitor_status *st, bool lost);

#endif
