// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/table.h"
#include "ctl/text.h"

#define GAP 3
#define COLUMN_MIN 8 /* a column is not cut below this */

void table_init(struct table *t, struct arena *a, const char *const *heads)
{
	*t = (struct table){ .arena = a, .heads = heads };
	while (t->columns < TABLE_COLUMNS_MAX && heads[t->columns])
		t->columns++;
}

void table_add(struct table *t, const char *const *cells)
{
	const char **row = arena_array(t->arena, t->columns, sizeof(*row));

	for (size_t i = 0; i < t->columns; i++)
		row[i] = cells[i] && *cells[i] ? text_clean(t->arena, cells[i]) : "-";
	if (t->count == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 16;
		const char ***rows = arena_array(t->arena, cap, sizeof(*rows));

		if (t->count)
			memcpy(rows, t->rows, t->count * sizeof(*rows));
		t->rows = rows;
		t->cap = cap;
	}
	t->rows[t->count++] = row;
}

static void fit(size_t *widths, size_t columns, size_t limit)
{
	for (;;) {
		size_t total = GAP * (columns - 1), widest = 0;

		for (size_t i = 0; i < columns; i++) {
			total += widths[i];
			if (widths[i] > widths[widest])
				widest = i;
		}
		if (total <= limit || widths[widest] <= COLUMN_MIN)
			return;
		widths[widest]--;
	}
}

static void add_row(const struct table *t, const char *const *cells, const size_t *widths, struct buf *b)
{
	for (size_t i = 0; i < t->columns; i++) {
		const char *cell = text_cut(t->arena, cells[i], widths[i]);

		buf_adds(b, cell);
		if (i + 1 < t->columns)
			buf_addf(b, "%*s", (int)(widths[i] - text_width(cell) + GAP), "");
	}
	buf_addc(b, '\n');
}

void table_format(const struct table *t, size_t width, struct buf *b)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < t->columns; i++) {
		widths[i] = text_width(t->heads[i]);
		for (size_t k = 0; k < t->count; k++) {
			size_t n = text_width(t->rows[k][i]);

			widths[i] = n > widths[i] ? n : widths[i];
		}
	}
	if (width)
		fit(widths, t->columns, width);
	add_row(t, t->heads, widths, b);
	for (size_t k = 0; k < t->count; k++)
		add_row(t, t->rows[k], widths, b);
}

void table_print(const struct table *t)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct winsize size = { 0 };
	size_t width = 0;

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		width = size.ws_col;
	table_format(t, width, &b);
	fwrite(b.data, 1, b.len, stdout);
}
