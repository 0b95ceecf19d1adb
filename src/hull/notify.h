/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HULL_HULL_NOTIFY_H
#define HULL_HULL_NOTIFY_H

#include "hull/creation.h"

/* Whether a manager wants to hear of us (NOTIFY_SOCKET). */
bool notify_is_wanted(void);
/* Before the container is made: a directory in its state, mounted in it, and its NOTIFY_SOCKET. Fails: SYS. */
int notify_prepare(struct creation *c, struct error *e) MUST_USE;
/* Before it is started: listen there. *ret_sock stays as it is when the container was created without all this.
 * Fails: SYS. */
int notify_listen(int state_dfd, int *ret_sock, struct error *e) MUST_USE;
/* Take a message. When the container says that it is ready, the manager is told, and that main_pid is the unit's main
 * process: returns true. */
bool notify_take(int sock, pid_t main_pid);
/* Until it is ready, or its process (pid, pid_fd) ends, for a caller that then ends itself. */
void notify_wait(int sock, pid_t pid, int pid_fd);

#endif
