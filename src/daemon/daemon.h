/* SPDX-License-Identifier: Apache-2.0 */
/* The life of hulld: directories, locks, socket, node, server, signals. */
#ifndef HULL_DAEMON_DAEMON_H
#define HULL_DAEMON_DAEMON_H

#include "daemon/config.h"

/* Serve with this configuration (taken) until SIGTERM or SIGINT; flags (borrowed) are read again on
 * SIGHUP. Fails: STATE and EXISTS (another hulld), what node_open() fails with, SYS. */
int daemon_run(struct daemon_config *config, const struct config_flags *flags, struct error *e) MUST_USE;

#endif
