// SPDX-License-Identifier: Apache-2.0
/* images, rmi */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/pbjson.h"
#include "ctl/table.h"
#include "ctl/text.h"

/* "busybox:1.36" -> its name and its tag; a digest has no tag. */
static void add_image_row(struct ctl *c, struct table *t, const PB(Image) *image, const char *ref)
{
	const char *text = text_image(&c->arena, ref), *colon = strrchr(text, ':'),
		   *slash = strrchr(text, '/');
	const char *at = strchr(text, '@'), *name = text, *tag = "";

	if (at) {
		name = arena_strn(&c->arena, text, (size_t)(at - text));
	} else if (colon && (!slash || colon > slash)) {
		name = arena_strn(&c->arena, text, (size_t)(colon - text));
		tag = colon + 1;
	}
	TABLE_ADD(t, name, tag, text_short_id(&c->arena, image->id), text_bytes(&c->arena, image->size),
		  image->uid ? arena_fmt(&c->arena, "%lld", (long long)image->uid->value) : image->username);
}

int ctl_images(struct ctl *c, int argc, char **argv, struct error *e)
{
	static const char *const heads[] = { "NAME", "TAG", "ID", "SIZE", "USER", NULL };
	const struct ctl_option options[] = { { 'q', "quiet", CTL_FLAG, &c->is_quiet } };
	PB(ListImagesRequest) *req = CTL_NEW(c, ListImagesRequest, list_images_request);
	PB(ListImagesResponse) *resp = NULL;
	struct table t;
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options)), r;

	if (i < 0)
		return CTL_USAGE;
	if (argc - i > 1)
		return ctl_usage(c, "too many arguments");
	if (i < argc) {
		req->filter = CTL_NEW(c, ImageFilter, image_filter);
		req->filter->image = CTL_NEW(c, ImageSpec, image_spec);
		req->filter->image->image = argv[i];
	}
	r = CTL_CALL(c, "Image", "ListImages", req, list_images_response, &resp, e);
	if (r < 0)
		return r;
	if (c->is_json) {
		pbjson_print(pbjson_of(resp));
		return CTL_OK;
	}
	table_init(&t, &c->arena, heads);
	for (size_t k = 0; k < resp->n_images; k++) {
		PB(Image) *image = resp->images[k];

		if (c->is_quiet)
			puts(image->id);
		for (size_t j = 0; j < image->n_repo_tags; j++)
			add_image_row(c, &t, image, image->repo_tags[j]);
		if (!image->n_repo_tags)
			add_image_row(c, &t, image, image->n_repo_digests ? image->repo_digests[0] : "");
	}
	if (!c->is_quiet)
		table_print(&t);
	return CTL_OK;
}

int ctl_rmi(struct ctl *c, int argc, char **argv, struct error *e)
{
	int i = ctl_options(c, argc, argv, NULL, 0), r;

	if (i < 0)
		return CTL_USAGE;
	if (i == argc)
		return ctl_usage(c, "which image?");
	for (; i < argc; i++) {
		PB(ImageStatusRequest) *ask = CTL_NEW(c, ImageStatusRequest, image_status_request);
		PB(RemoveImageRequest) *req = CTL_NEW(c, RemoveImageRequest, remove_image_request);
		PB(ImageStatusResponse) *status = NULL;
		PB(RemoveImageResponse) *resp = NULL;

		/* CRI's RemoveImage succeeds for what is not there, which for a person is most often a wrong name. */
		ask->image = req->image = CTL_NEW(c, ImageSpec, image_spec);
		req->image->image = argv[i];
		r = CTL_CALL(c, "Image", "ImageStatus", ask, image_status_response, &status, e);
		if (r < 0)
			return r;
		if (!status->image)
			return err_new(e, ERR_NOT_FOUND, "no image \"%s\"", argv[i]);
		r = CTL_CALL(c, "Image", "RemoveImage", req, remove_image_response, &resp, e);
		if (r < 0)
			return r;
		puts(argv[i]);
	}
	return CTL_OK;
}
