/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the service manager: sd_notify(3)'s protocol, a datagram to the socket in NOTIFY_SOCKET. Without
 * one all of this does nothing. */
#ifndef HULL_DAEMON_NOTIFY_H
#define HULL_DAEMON_NOTIFY_H

#include <stdint.h>

/* Read the environment and take NOTIFY_SOCKET and WATCHDOG_* out of it, so that no child sees them. Before
 * the first thread is made. */
void notify_setup(void);
void notify_ready(void);
/* RELOADING=1 with the monotonic time that systemd compares (Type=notify-reload); READY=1 ends it. */
void notify_reloading(void);
void notify_stopping(void);
void notify_alive(void);
/* How often notify_alive() is to be called: half of WATCHDOG_USEC; 0: never. */
int64_t notify_watchdog_ns(void);

#endif
