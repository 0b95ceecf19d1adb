/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of text: columns as wide as their widest cell, and on a terminal no wider than it. */
#ifndef HULL_CTL_TABLE_H
#define HULL_CTL_TABLE_H

#include <stdio.h>

#include "base/buf.h"
#include "codec/arena.h"

#define TABLE_COLUMNS_MAX 10
struct table {
	struct arena *arena;
	size_t columns;
	const char *const *heads; /* borrowed */
	const char ***rows;
	size_t count, cap;
};

/* heads ends with NULL. */
void table_init(struct table *t, struct arena *a, const char *const *heads);
/* Add a row of t->columns cells; they are cleaned (text_clean), and borrowed. An empty cell shows as "-". */
void table_add(struct table *t, const char *const *cells);
#define TABLE_ADD(t, ...) table_add(t, (const char *const[]){ __VA_ARGS__ })
/* Append the table to b; width 0: no limit. Where it does not fit, the widest columns are cut. */
void table_format(const struct table *t, size_t width, struct buf *b);
/* Print to stdout, fitted when that is a terminal. */
void table_print(const struct table *t);

#endif
