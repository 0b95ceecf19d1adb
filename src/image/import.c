/* SPDX-License-Identifier: Apache-2.0 */
/* How images come from an archive or a layout directory: as many as the worker finds in it, each taken as a
 * pull takes one. */
#include <string.h>

#include "base/log.h"
#include "image/pull_internal.h"

/* A name in an OCI layout is a full reference, or only a tag: then it is one of the name given. */
static void import_name(const char *text, const char *given, struct strv *ret)
{
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	cleanup_free char *whole = NULL;
	bool is_tag = !strpbrk(text, ":/@");
	struct error e = ERROR_INIT;

	if (is_tag && !given)
		return;
	whole = is_tag ? str_fmt("%s:%s", given, text) : str_dup(text);
	if (image_ref_parse(whole, &ref, &e) < 0) {
		log_warn("a name in the archive is not kept: %s", err_msg(&e));
		return;
	}
	strv_take(ret, ref.tag ? image_ref_tagged(&ref) : image_ref_full(&ref));
}

static void import_names(struct pull *p, const void *arg, struct strv *ret)
{
	const struct images_import *o = arg;
	cleanup_strv struct strv names = STRV_INIT;
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;

	if (json_get_strv(p->event, "names", 1000, &names, NULL) >= 0)
		for (size_t i = 0; i < names.n; i++)
			import_name(names.v[i], o->name, ret);
	if (ret->n == 0 && o->name && image_ref_parse(o->name, &ref, NULL) == 0)
		strv_take(ret, ref.tag ? image_ref_tagged(&ref) : image_ref_full(&ref));
	image_ref_done(&ref);
	/* The digest belongs to the repository of the first name. */
	if (*p->digest && ret->n > 0 && image_ref_parse(ret->v[0], &ref, NULL) == 0) {
		cleanup_free char *name = image_ref_name(&ref);

		strv_addf(ret, "%s@%s", name, p->digest);
	}
}

static int send_op(struct pull *p, const char *op, struct error *e)
{
	cleanup_json struct json_object *o = json_new();

	json_put_str(o, "op", op);
	pull_add_limits(p->im, o);
	return wire_send_doc(&p->worker.wire, o, e);
}

static int run_import(struct pull *p, const struct images_import *o, struct strv *ret_ids, struct error *e)
{
	int r = send_op(p, "import", e);

	while (r >= 0) {
		cleanup_image struct image *image = NULL;
		const char *name = "";

		r = pull_next_event(p, &name, e);
		if (r < 0 || str_eq(name, "end"))
			return r;
		if (!str_eq(name, "image"))
			return err_new(e, ERR_INTERNAL, "the image worker says \"%.32s\"", name);
		r = pull_take_image(p, import_names, o, &image, e);
		if (r >= 0 && image)
			strv_add(ret_ids, image->id);
		pull_forget_image(p);
		if (r >= 0)
			r = send_op(p, "next", e);
	}
	return r;
}

int images_import(struct images *im, const struct images_import *o, struct strv *ret_ids, struct error *e)
{
	struct pull p = {
		.im = im, .worker = WORKER_INIT, .cancel_fd = o->cancel_fd, .deadline_ns = o->deadline_ns
	};
	cleanup_image_ref struct image_ref ref = IMAGE_REF_INIT;
	cleanup_strv struct strv ids = STRV_INIT;
	int r = 0;

	if (o->name)
		r = image_ref_parse(o->name, &ref, e);
	if (r >= 0)
		r = worker_start(&p.worker, im->helper, im->tmp_dfd, o->fd, e);
	if (r >= 0)
		r = run_import(&p, o, &ids, e);
	p.worker.is_done = r >= 0;
	pull_forget_image(&p);
	worker_stop(&p.worker);
	if (r < 0)
		return err_ctx(e, "import images");
	if (ids.n == 0)
		return err_new(e, ERR_INVALID, "import images: there is none in the archive");
	*ret_ids = ids;
	ids = STRV_INIT;
	return 0;
}
