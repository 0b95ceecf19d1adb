/* SPDX-License-Identifier: Apache-2.0 */
/* The database file itself: whose it is, which version, brought up to date. For store.c. */
#ifndef HULL_STORE_SCHEMA_H
#define HULL_STORE_SCHEMA_H

#include <sqlite3.h>

#include "base/error.h"

/* "hull" in ASCII: PRAGMA application_id of our files. */
#define SCHEMA_APPLICATION_ID 0x68756c6c

/* Check, lock, configure and migrate a freshly opened database; synchronous is FULL after it. path is
 * for messages. Fails as store_open(). */
int schema_prepare(sqlite3 *db, const char *path, struct error *e) MUST_USE;

/* The version that this program writes. */
int schema_version(void);

/* Turn the connection's last error into e: "STEP database "PATH": SQLite's words". */
int schema_error(sqlite3 *db, const char *path, struct error *e, const char *step);

#endif
