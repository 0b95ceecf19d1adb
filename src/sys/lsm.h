/* SPDX-License-Identifier: Apache-2.0 */
/* Which Linux security module labels processes here. Being built into the kernel is not enough: SELinux has to
 * have a policy, AppArmor to be enabled. */
#ifndef HULL_SYS_LSM_H
#define HULL_SYS_LSM_H

#include <stdbool.h>

bool lsm_has_apparmor(void);
bool lsm_has_selinux(void);

#endif
