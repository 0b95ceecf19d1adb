/* SPDX-License-Identifier: Apache-2.0 */
/* The rows that one transaction writes. */
#include "base/mem.h"
#include "image/images_store.h"

void images_rows_done(struct images_rows *c)
{
	for (size_t i = 0; i < c->n; i++)
		buf_done(&c->data[i]);
	free(c->v);
	free(c->data);
	strv_done(&c->keys);
}

void images_rows_add(struct images_rows *c, enum images_table table, const char *key, struct buf *data)
{
	if (c->n == c->room) {
		c->room = c->room ? c->room * 2 : 16;
		c->v = mem_regrow(c->v, c->room, sizeof(*c->v));
		c->data = mem_regrow(c->data, c->room, sizeof(*c->data));
	}
	strv_add(&c->keys, key);
	c->data[c->n] = data ? *data : BUF_INIT;
	c->v[c->n] = (struct images_change){ .table = table };
	c->n++;
	if (data)
		*data = BUF_INIT;
}

int images_rows_apply(struct images *im, struct images_rows *c, struct error *e)
{
	/* Only now: keys and buffers do not move any more. */
	for (size_t i = 0; i < c->n; i++) {
		c->v[i].key = c->keys.v[i];
		c->v[i].data = c->data[i].data;
		c->v[i].len = c->data[i].len;
	}
	return c->n ? im->store.apply(im->store.ctx, c->v, c->n, true, e) : 0;
}
