/* SPDX-License-Identifier: Apache-2.0 */
/* The node's database: small tables from a key to opaque bytes, in one SQLite file (WAL). What the
 * bytes mean, and their version, is their writer's affair.
 *
 * Every function may be called from any thread. No lock of the store is held while a caller's
 * callback runs, so that a callback may be slow and may use the store itself. */
#ifndef HULL_STORE_STORE_H
#define HULL_STORE_STORE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

/* The order is part of nothing on disk; the names in store.c are. */
enum store_table {
	STORE_SANDBOX,
	STORE_CONTAINER,
	STORE_IMAGE,
	STORE_LAYER,
	STORE_NAME, /* image references */
	STORE_CNI,  /* CNI results */
	STORE_META,
	STORE_TABLE_COUNT
};

enum store_durability {
	STORE_SAFE, /* survives kill -9 of this process; power loss may lose it, whole transactions at a time */
	STORE_DURABLE, /* on disk when the call returns (fsync), with all SAFE ones before it */
};

#define STORE_KEY_MAX 4096	    /* bytes */
#define STORE_VALUE_MAX (32U << 20) /* bytes */

struct store;

/* Open or make the file `name` in root_dfd (mode 0600), bring its schema up to date and lock it until
 * store_close(). root_dfd is not kept.
 * Fails: STATE        another process has it open
 *        CORRUPT      damaged, or no database
 *        DENIED       a database of another program, or not a regular file
 *        UNSUPPORTED  written by a newer version
 *        SYS */
int store_open(int root_dfd, const char *name, struct store **ret_store, struct error *e) MUST_USE;
/* No other thread may be in the store any more. NULL is fine. */
void store_close(struct store *s);
DEFINE_CLEANUP(struct store, store_close)

/* One row, in a transaction of its own. key: 1 to STORE_KEY_MAX bytes of text; an existing row is
 * replaced. Fails: LIMIT (key or value too large), CORRUPT, SYS (e->sys, as ENOSPC). */
int store_put(struct store *s, enum store_table table, const char *key, const void *data, size_t len,
	      enum store_durability durability, struct error *e) MUST_USE;
/* Removing what is not there succeeds. Fails as store_put(). */
int store_remove(struct store *s, enum store_table table, const char *key, enum store_durability durability,
		 struct error *e) MUST_USE;

/* Append the value to ret. Fails: NOT_FOUND, CORRUPT, SYS. */
int store_get(struct store *s, enum store_table table, const char *key, struct buf *ret,
	      struct error *e) MUST_USE;

/* A row; key and data are valid during the call. A negative return (-kind, with e set) ends the walk and
 * becomes the result of store_each(). */
typedef int (*store_each_fn)(void *arg, const char *key, const void *data, size_t len, struct error *e);
/* Call fn for each row in byte order of the keys. Rows are read in portions: one that is there during the
 * whole walk is given exactly once; one that is put or removed meanwhile may or may not be given. fn may
 * put and remove, also the row that it is given. Fails: CORRUPT, SYS, and as fn did. */
int store_each(struct store *s, enum store_table table, store_each_fn fn, void *arg,
	       struct error *e) MUST_USE;

/* Several rows, all or none:
 *	CLEANUP(store_abort) struct store_tx tx = store_begin(s, STORE_SAFE);
 *	store_tx_put(&tx, STORE_IMAGE, id, data, len);
 *	store_tx_remove(&tx, STORE_NAME, ref);
 *	r = store_commit(&tx, e);
 * The transaction is only collected until store_commit(): nothing is locked before, reads do not see it,
 * and later steps win over earlier ones. Commits that meet are written together. */
struct store_op;
struct store_tx {
	struct store *store;
	struct store_op *ops; /* with copies of keys and values */
	size_t count, room;
	enum store_durability durability;
};
struct store_tx store_begin(struct store *s, enum store_durability durability) MUST_USE;
void store_tx_put(struct store_tx *tx, enum store_table table, const char *key, const void *data, size_t len);
void store_tx_remove(struct store_tx *tx, enum store_table table, const char *key);
/* Write it. Empty after this, whether it succeeded or not. Fails as store_put(), and then nothing of
 * it is in the database. */
int store_commit(struct store_tx *tx, struct error *e) MUST_USE;
/* Forget what was collected; fine on an empty one. */
void store_abort(struct store_tx *tx);
DEFINE_CLEANUP_VALUE(struct store_tx, store_abort)

#endif
