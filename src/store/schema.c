/* SPDX-License-Identifier: Apache-2.0 */
/* In this order, so that nothing is written into a file that is not ours:
 *	1. whose is it? (application_id; an empty database is to become ours)
 *	2. which version? newer than ours is refused, never downgraded
 *	3. lock it to write, and only then switch to WAL
 *	4. check its pages
 *	5. migrate, one transaction a version */
#include "store/schema.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

/* migrations[i] takes a database from version i to i + 1. Append only. */
static const char *const migrations[] = {
	"CREATE TABLE row (bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,"
	" PRIMARY KEY (bucket, key)) WITHOUT ROWID",
};

/* cache_size: negative is KiB; all of hulld shall fit into 6 MiB. mmap_size 0: a truncated file would
 * be a SIGBUS. trusted_schema, cell_size_check: a damaged file is an error and nothing worse. */
static const char setup[] = "PRAGMA cache_size = -256;"
			    "PRAGMA mmap_size = 0;"
			    "PRAGMA temp_store = MEMORY;"
			    "PRAGMA trusted_schema = OFF;"
			    "PRAGMA cell_size_check = ON;"
			    "PRAGMA journal_size_limit = 4194304;"
			    "PRAGMA synchronous = FULL;";

int schema_version(void)
{
	return (int)ARRAY_LEN(migrations);
}

int schema_error(sqlite3 *db, const char *path, struct error *e, const char *step)
{
	const char *words = sqlite3_errmsg(db);
	int sys = sqlite3_system_errno(db);

	switch (sqlite3_errcode(db) & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		err_new(e, ERR_CORRUPT, "%s database \"%s\": %s", step, path, words);
		return err_hint(
			e, "move it and its -wal file away and start again: images are then pulled anew");
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		err_new(e, ERR_STATE, "%s database \"%s\": another process has it open", step, path);
		return err_hint(e, "give each hulld a --root of its own");
	case SQLITE_FULL:
		return err_sysk(e, ERR_SYS, ENOSPC, "%s database \"%s\"", step, path);
	default:
		if (sys)
			return err_sysk(e, ERR_SYS, sys, "%s database \"%s\": %s", step, path, words);
		return err_new(e, ERR_SYS, "%s database \"%s\": %s", step, path, words);
	}
}

static int execute(sqlite3 *db, const char *path, const char *sql, const char *step, struct error *e)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return schema_error(db, path, e, step);
	return 0;
}

static int pragma_int(sqlite3 *db, const char *path, const char *sql, int *ret, struct error *e)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW)
		r = schema_error(db, path, e, "read the header of");
	else
		*ret = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return r;
}

static int check_identity(sqlite3 *db, const char *path, int *ret_version, struct error *e)
{
	int id = 0, entries = 0, version = 0, r;

	r = pragma_int(db, path, "PRAGMA application_id", &id, e);
	if (r == 0)
		r = pragma_int(db, path, "SELECT count(*) FROM sqlite_schema", &entries, e);
	if (r == 0)
		r = pragma_int(db, path, "PRAGMA user_version", &version, e);
	if (r < 0)
		return r;
	if (id != SCHEMA_APPLICATION_ID && (id != 0 || entries != 0)) {
		err_new(e, ERR_DENIED, "database \"%s\" belongs to another program (application id 0x%x)",
			path, (unsigned int)id);
		return err_hint(e, "choose another --root");
	}
	if (version < 0 || version > schema_version()) {
		err_new(e, ERR_UNSUPPORTED, "database \"%s\" has schema version %d, this program knows %d",
			path, version, schema_version());
		return err_hint(e, "a newer hulld has written it; use that one");
	}
	*ret_version = version;
	return 0;
}

static int check_pages(sqlite3 *db, const char *path, struct error *e)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW) {
		r = schema_error(db, path, e, "check");
	} else if (!str_eq((const char *)sqlite3_column_text(stmt, 0), "ok")) {
		err_new(e, ERR_CORRUPT, "check database \"%s\": %s", path,
			(const char *)sqlite3_column_text(stmt, 0));
		r = err_hint(e,
			     "move it and its -wal file away and start again: images are then pulled anew");
	}
	sqlite3_finalize(stmt);
	return r;
}

static int migrate(sqlite3 *db, const char *path, int version, struct error *e)
{
	for (; version < schema_version(); version++) {
		cleanup_free char *sql = str_fmt(
			"BEGIN IMMEDIATE; %s; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
			migrations[version], SCHEMA_APPLICATION_ID, version + 1);
		int r = execute(db, path, sql, "migrate", e);

		if (r < 0) {
			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			return err_ctx(e, "from schema version %d to %d", version, version + 1);
		}
	}
	return 0;
}

int schema_prepare(sqlite3 *db, const char *path, struct error *e)
{
	int version = 0, r;

	/* Before the first read, so that the WAL index never becomes a shared mapping
	 * (sqlite.org/wal.html, "Use of WAL Without Shared-Memory"). */
	r = execute(db, path, "PRAGMA locking_mode = EXCLUSIVE", "configure", e);
	if (r == 0)
		r = check_identity(db, path, &version, e);
	if (r < 0)
		return r;
	/* In the exclusive mode the lock of the first write transaction is kept. */
	r = execute(db, path, setup, "configure", e);
	if (r == 0)
		r = execute(db, path, "BEGIN EXCLUSIVE; COMMIT", "lock", e);
	if (r == 0)
		r = execute(db, path, "PRAGMA journal_mode = WAL", "switch to a write-ahead log", e);
	if (r == 0)
		r = check_pages(db, path, e);
	if (r == 0)
		r = migrate(db, path, version, e);
	return r;
}
