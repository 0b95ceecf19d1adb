/* SPDX-License-Identifier: Apache-2.0 */
/* What hulld finds at its start. Internal to src/cri. */
#ifndef HULL_CRI_RECOVER_H
#define HULL_CRI_RECOVER_H

#include "cri/state.h"

/* Load all records; take over the pods whose monitors live, bring down those whose monitors do not, undo
 * creations that were cut off, and remove directories that no record knows. What cannot be undone now is
 * named in the log, stays recorded, and is tried again at the next start; it stops nobody else.
 * Fails: what makes the database unreadable only. */
int recover(struct node *n, struct error *e) MUST_USE;

#endif
