/* SPDX-License-Identifier: Apache-2.0 */
/* One SQLite connection behind one mutex, for reads too: with several writer connections a wait for the
 * lock was measured to reach hundreds of milliseconds, and hulld answers reads from its own memory.
 *
 * - locking_mode=EXCLUSIVE, taken at open: a second hulld on the same directory is refused by SQLite's own
 *   lock, which ends with the process, and the WAL index is heap memory instead of a shared mapping.
 * - synchronous=NORMAL writes the WAL without fsync: what was committed is in the page cache and so
 *   survives the end of this process; after power loss the WAL's checksums cut it at a transaction.
 *   synchronous=FULL fsyncs the WAL at commit, and with it all that was written before. The pragma
 *   cannot change within a transaction (sqlite.org/pragma.html#pragma_synchronous), so it is set before.
 * - Group commit: a committer queues its transaction, then waits for the mutex. Who gets it writes all that
 *   is queued, in one transaction and with the strongest durability asked; the others find theirs done.
 *   Should that fail, each is tried alone, so that only the one to blame fails. */
#include "store/store.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "store/schema.h"

#define EACH_PORTION_BYTES (256U << 10)
/* A hulld that was just killed may hold its lock until its last thread has ended. */
#define BUSY_TIMEOUT_MS 300

enum statement { STMT_PUT, STMT_REMOVE, STMT_GET, STMT_AFTER, STMT_BEGIN, STMT_COMMIT, STMT_COUNT };

static const char *const statement_sql[STMT_COUNT] = {
	[STMT_PUT] = "INSERT OR REPLACE INTO row (bucket, key, value) VALUES (?1, ?2, ?3)",
	[STMT_REMOVE] = "DELETE FROM row WHERE bucket = ?1 AND key = ?2",
	[STMT_GET] = "SELECT value FROM row WHERE bucket = ?1 AND key = ?2",
	[STMT_AFTER] = "SELECT key, value FROM row WHERE bucket = ?1 AND key > ?2 ORDER BY key",
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
};

/* On disk: never renamed without a migration. */
static const char *const bucket_name[STORE_TABLE_COUNT] = {
	[STORE_SANDBOX] = "sandbox", [STORE_CONTAINER] = "container", [STORE_IMAGE] = "image",
	[STORE_LAYER] = "layer",     [STORE_NAME] = "name",	      [STORE_CNI] = "cni",
	[STORE_META] = "meta",
};

struct store_op {
	enum store_table table;
	char *key;
	void *data; /* NULL removes */
	size_t len;
};

struct commit {
	struct store_tx *tx;
	struct commit *next;
	bool is_done; /* under db_lock */
	int result;
	struct error *e;
};

struct store {
	char *path; /* as it is shown */
	pthread_mutex_t queue_lock;
	struct commit *queue, **queue_end;
	pthread_mutex_t db_lock; /* guards all below; taken before queue_lock */
	sqlite3 *db;
	sqlite3_stmt *stmt[STMT_COUNT];	  /* prepared when first used */
	enum store_durability durability; /* what the connection is set to */
};

/* The kinds that callers act on; the words are SQLite's. */
static int db_error(struct store *s, struct error *e, const char *step)
{
	return schema_error(s->db, s->path, e, step);
}

static int statement(struct store *s, enum statement which, sqlite3_stmt **ret, struct error *e)
{
	if (!s->stmt[which] && sqlite3_prepare_v3(s->db, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
						  &s->stmt[which], NULL) != SQLITE_OK)
		return db_error(s, e, "prepare a statement for");
	*ret = s->stmt[which];
	return 0;
}

/* Step a statement that gives no rows. */
static int run(struct store *s, enum statement which, const char *step, struct error *e)
{
	sqlite3_stmt *stmt = NULL;
	int r = statement(s, which, &stmt, e);

	if (r < 0)
		return r;
	if (sqlite3_step(stmt) != SQLITE_DONE)
		r = db_error(s, e, step);
	sqlite3_reset(stmt);
	return r;
}

static void bind_row(sqlite3_stmt *stmt, enum store_table table, const char *key)
{
	sqlite3_bind_text(stmt, 1, bucket_name[table], -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, key, -1, SQLITE_STATIC);
}

static int op_check(const struct store_op *op, struct error *e)
{
	size_t key_len = strlen(op->key);

	if (key_len == 0 || key_len > STORE_KEY_MAX)
		return err_new(e, ERR_LIMIT, "a key of %zu bytes in table \"%s\": 1 to %d are possible",
			       key_len, bucket_name[op->table], STORE_KEY_MAX);
	if (op->len > STORE_VALUE_MAX)
		return err_new(e, ERR_LIMIT,
			       "a value of %zu bytes for \"%s\" in table \"%s\": at most %u are possible",
			       op->len, op->key, bucket_name[op->table], STORE_VALUE_MAX);
	return 0;
}

static int op_write(struct store *s, const struct store_op *op, struct error *e)
{
	enum statement which = op->data ? STMT_PUT : STMT_REMOVE;
	sqlite3_stmt *stmt = NULL;
	int r;

	r = statement(s, which, &stmt, e);
	if (r < 0)
		return r;
	bind_row(stmt, op->table, op->key);
	if (op->data)
		sqlite3_bind_blob(stmt, 3, op->data, (int)op->len, SQLITE_STATIC);
	r = run(s, which, op->data ? "put into" : "remove from", e);
	sqlite3_clear_bindings(stmt);
	return r < 0 ? err_ctx(e, "table \"%s\", key \"%s\"", bucket_name[op->table], op->key) : 0;
}

static int set_durability(struct store *s, enum store_durability durability, struct error *e)
{
	if (s->durability == durability)
		return 0;
	if (sqlite3_exec(s->db,
			 durability == STORE_DURABLE ? "PRAGMA synchronous = FULL"
						     : "PRAGMA synchronous = NORMAL",
			 NULL, NULL, NULL) != SQLITE_OK)
		return db_error(s, e, "set the durability of");
	s->durability = durability;
	return 0;
}

/* Write one commit, or with its followers, in one transaction of the database. */
static int write_commits(struct store *s, const struct commit *first, bool only_first, struct error *e)
{
	enum store_durability durability = first->tx->durability;
	const struct commit *end = only_first ? first->next : NULL;
	int r;

	for (const struct commit *c = first; c != end; c = c->next)
		if (c->tx->durability > durability)
			durability = c->tx->durability;
	r = set_durability(s, durability, e);
	if (r < 0)
		return r;
	r = run(s, STMT_BEGIN, "begin a transaction of", e);
	if (r < 0)
		return r;
	for (const struct commit *c = first; r == 0 && c != end; c = c->next)
		for (size_t i = 0; r == 0 && i < c->tx->count; i++)
			r = op_write(s, &c->tx->ops[i], e);
	if (r == 0)
		r = run(s, STMT_COMMIT, "commit to", e);
	/* Some errors end the transaction themselves, e.g. SQLITE_FULL (sqlite.org/lang_transaction.html). */
	if (r < 0 && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

static void write_queue(struct store *s)
{
	struct commit *first, *next;
	bool together;

	pthread_mutex_lock(&s->queue_lock);
	first = s->queue;
	s->queue = NULL;
	s->queue_end = &s->queue;
	pthread_mutex_unlock(&s->queue_lock);

	together = first->next && write_commits(s, first, false, NULL) == 0;
	for (struct commit *c = first; c; c = next) {
		next = c->next; /* c is its committer's again once the lock is released; not before */
		c->result = together ? 0 : write_commits(s, c, true, c->e);
		c->is_done = true;
	}
}

int store_commit(struct store_tx *tx, struct error *e)
{
	struct store *s = tx->store;
	struct commit c = { .tx = tx, .e = e };

	for (size_t i = 0; c.result == 0 && i < tx->count; i++)
		c.result = op_check(&tx->ops[i], e);
	if (c.result == 0 && tx->count > 0) {
		pthread_mutex_lock(&s->queue_lock);
		*s->queue_end = &c;
		s->queue_end = &c.next;
		pthread_mutex_unlock(&s->queue_lock);
		pthread_mutex_lock(&s->db_lock);
		if (!c.is_done)
			write_queue(s);
		pthread_mutex_unlock(&s->db_lock);
	}
	store_abort(tx);
	return c.result;
}

struct store_tx store_begin(struct store *s, enum store_durability durability)
{
	return (struct store_tx){ .store = s, .durability = durability };
}

static void tx_add(struct store_tx *tx, struct store_op op)
{
	if (tx->count == tx->room) {
		tx->room = tx->room ? tx->room * 2 : 4;
		tx->ops = mem_regrow(tx->ops, tx->room, sizeof(*tx->ops));
	}
	tx->ops[tx->count++] = op;
}

void store_tx_put(struct store_tx *tx, enum store_table table, const char *key, const void *data, size_t len)
{
	/* Never NULL, which stands for a removal. What is too large for a row is not copied either. */
	void *copy = mem_alloc(len && len <= STORE_VALUE_MAX ? len : 1);

	if (len && len <= STORE_VALUE_MAX)
		memcpy(copy, data, len);
	tx_add(tx, (struct store_op){ .table = table, .key = str_dup(key), .data = copy, .len = len });
}

void store_tx_remove(struct store_tx *tx, enum store_table table, const char *key)
{
	tx_add(tx, (struct store_op){ .table = table, .key = str_dup(key) });
}

void store_abort(struct store_tx *tx)
{
	for (size_t i = 0; i < tx->count; i++) {
		free(tx->ops[i].key);
		free(tx->ops[i].data);
	}
	free(tx->ops);
	tx->ops = NULL;
	tx->count = tx->room = 0;
}

int store_put(struct store *s, enum store_table table, const char *key, const void *data, size_t len,
	      enum store_durability durability, struct error *e)
{
	struct store_tx tx = store_begin(s, durability);

	store_tx_put(&tx, table, key, data, len);
	return store_commit(&tx, e);
}

int store_remove(struct store *s, enum store_table table, const char *key, enum store_durability durability,
		 struct error *e)
{
	struct store_tx tx = store_begin(s, durability);

	store_tx_remove(&tx, table, key);
	return store_commit(&tx, e);
}

static int get_locked(struct store *s, enum store_table table, const char *key, struct buf *ret,
		      struct error *e)
{
	sqlite3_stmt *stmt = NULL;
	int r = statement(s, STMT_GET, &stmt, e);

	if (r < 0)
		return r;
	bind_row(stmt, table, key);
	switch (sqlite3_step(stmt)) {
	case SQLITE_ROW:
		buf_add(ret, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
		break;
	case SQLITE_DONE:
		r = err_new(e, ERR_NOT_FOUND, "no \"%s\" in table \"%s\"", key, bucket_name[table]);
		break;
	default:
		r = db_error(s, e, "read from");
	}
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return r;
}

int store_get(struct store *s, enum store_table table, const char *key, struct buf *ret, struct error *e)
{
	int r;

	pthread_mutex_lock(&s->db_lock);
	r = get_locked(s, table, key, ret, e);
	pthread_mutex_unlock(&s->db_lock);
	return r;
}

/* A portion of rows: each is its lengths, the key with its NUL, the value. */
struct portion_row {
	size_t key_size, len;
};

static int read_portion(struct store *s, enum store_table table, const char *after, struct buf *portion,
			struct error *e)
{
	sqlite3_stmt *stmt = NULL;
	int step, r = statement(s, STMT_AFTER, &stmt, e);

	if (r < 0)
		return r;
	bind_row(stmt, table, after);
	while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct portion_row row;
		const void *key = sqlite3_column_text(stmt, 0);

		row.key_size = (size_t)sqlite3_column_bytes(stmt, 0) + 1;
		row.len = (size_t)sqlite3_column_bytes(stmt, 1);
		buf_add(portion, &row, sizeof(row));
		buf_add(portion, key, row.key_size);
		buf_add(portion, sqlite3_column_blob(stmt, 1), row.len);
		if (portion->len >= EACH_PORTION_BYTES)
			break;
	}
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		r = db_error(s, e, "read from");
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return r;
}

int store_each(struct store *s, enum store_table table, store_each_fn fn, void *arg, struct error *e)
{
	char after[STORE_KEY_MAX + 1] = "";
	int r;

	for (;;) {
		cleanup_buf struct buf portion = BUF_INIT;

		pthread_mutex_lock(&s->db_lock);
		r = read_portion(s, table, after, &portion, e);
		pthread_mutex_unlock(&s->db_lock);
		if (r < 0 || portion.len == 0)
			return r;
		for (size_t at = 0; at < portion.len;) {
			struct portion_row row;
			const char *key;

			memcpy(&row, portion.data + at, sizeof(row));
			key = portion.data + at + sizeof(row);
			r = fn(arg, key, key + row.key_size, row.len, e);
			if (r < 0)
				return r;
			snprintf(after, sizeof(after), "%s", key);
			at += sizeof(row) + row.key_size + row.len;
		}
	}
}

/* The file is made by us and not by SQLite, for its mode (the WAL takes it over) and so that neither a
 * symlink nor a device is followed. */
static int make_file(int root_dfd, const char *name, const char *path, struct error *e)
{
	cleanup_close int fd =
		openat(root_dfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0)
		return err_sysk(e, errno == ELOOP ? ERR_DENIED : ERR_SYS, errno, "open database \"%s\"",
				path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat database \"%s\"", path);
	if (!S_ISREG(st.st_mode))
		return err_new(e, ERR_DENIED, "database \"%s\" is not a regular file", path);
	return 0;
}

int store_open(int root_dfd, const char *name, struct store **ret_store, struct error *e)
{
	char dir_link[PATH_FD_SIZE], dir[PATH_MAX];
	cleanup_free char *open_path = NULL;
	CLEANUP(store_close) struct store *s = NEW(struct store);
	ssize_t n;
	int r;

	if (!path_is_name(name))
		return err_new(e, ERR_INVALID, "the database's name \"%s\" is not a file name", name);
	n = readlink(path_of_fd(root_dfd, dir_link), dir, sizeof(dir) - 1);
	s->path = n < 0 ? str_dup(name) : str_fmt("%.*s/%s", (int)n, dir, name);
	s->queue_end = &s->queue;
	pthread_mutex_init(&s->queue_lock, NULL);
	pthread_mutex_init(&s->db_lock, NULL);
	r = make_file(root_dfd, name, s->path, e);
	if (r < 0)
		return r;
	open_path = str_fmt("%s/%s", dir_link, name);
	/* NOMUTEX: db_lock serializes all use. */
	if (sqlite3_open_v2(open_path, &s->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			    NULL) != SQLITE_OK)
		return db_error(s, e, "open");
	sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
	r = schema_prepare(s->db, s->path, e);
	if (r < 0)
		return r;
	s->durability = STORE_DURABLE; /* as schema_prepare() leaves it */
	*ret_store = take_ptr(s);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(s->stmt[i]);
	sqlite3_close(s->db);
	pthread_mutex_destroy(&s->queue_lock);
	pthread_mutex_destroy(&s->db_lock);
	free(s->path);
	free(s);
}
