/* SPDX-License-Identifier: Apache-2.0 */
/* The image service. An image's id is the same in all answers; an absent image is an empty answer. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "cri/answer.h"
#include "cri/container.h"
#include "cri/handlers.h"

#define PULL_TIMEOUT_MS (INT64_C(60) * 60 * 1000)

static void add_strings(struct call *call, char ***dst, size_t *n, const struct strv *v)
{
	*dst = arena_array(call->arena, v->n, sizeof(char *));
	*n = v->n;
	for (size_t i = 0; i < v->n; i++)
		(*dst)[i] = arena_str(call->arena, v->v[i]);
}

/* runAsNonRoot is decided by these two: an image of root says uid 0, which is not the same as silence. */
static void add_user(struct call *call, PB(Image) *out, const char *user)
{
	cleanup_free char *name = str_ndup(user, strcspn(user, ":"));
	uint32_t uid = 0;

	if (*name && str_to_u32(name, &uid, NULL) < 0) {
		out->username = arena_str(call->arena, name);
		return;
	}
	out->uid = PB_ANSWER(call, Int64Value, int64_value);
	out->uid->value = uid;
}

static PB(Image) *answer_image(struct call *call, const struct image *image)
{
	PB(Image) *out = PB_ANSWER(call, Image, image);

	out->id = arena_str(call->arena, image->id);
	add_strings(call, &out->repo_tags, &out->n_repo_tags, &image->tags);
	add_strings(call, &out->repo_digests, &out->n_repo_digests, &image->digests);
	out->size = image->size_bytes;
	add_user(call, out, image->config.user);
	out->spec = PB_ANSWER(call, ImageSpec, image_spec);
	out->spec->image = arena_str(call->arena, image->tags.n	     ? image->tags.v[0]
						  : image->digests.n ? image->digests.v[0]
								     : image->id);
	out->pinned = image->pinned;
	return out;
}

int cri_list_images(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const PB(ListImagesRequest) *req = request;
	PB(ListImagesResponse) *resp = response;
	struct image **v = NULL;
	size_t count;

	if (req->filter && req->filter->image && *req->filter->image->image) {
		cleanup_image struct image *image = NULL;
		int r = images_find(n->images, req->filter->image->image, &image, e);

		if (r == -ERR_NOT_FOUND)
			return 0;
		if (r < 0)
			return err_ctx(e, "filter.image");
		resp->images = arena_array(call->arena, 1, sizeof(*resp->images));
		resp->images[resp->n_images++] = answer_image(call, image);
		return 0;
	}
	images_list(n->images, &v, &count);
	resp->images = arena_array(call->arena, count, sizeof(*resp->images));
	for (size_t i = 0; i < count; i++) {
		resp->images[resp->n_images++] = answer_image(call, v[i]);
		image_unref(v[i]);
	}
	free(v);
	return 0;
}

static const char *image_text(const PB(ImageSpec) *spec)
{
	return spec ? spec->image : "";
}

static void add_info(struct node *n, struct call *call, const struct image *image,
		     PB(ImageStatusResponse) *resp)
{
	cleanup_json struct json_object *info = json_new();
	cleanup_buf struct buf config = BUF_INIT, text = BUF_INIT;
	struct json_object *doc;

	json_put_strv(info, "layers", &image->layers);
	json_put_u64(info, "unpackedBytes", image->unpacked_bytes);
	if (images_config_json(n->images, image, &config, NULL) == 0 &&
	    json_parse(config.data, config.len, 0, &doc, NULL) == 0)
		json_put(info, "imageSpec", doc);
	json_text(info, false, &text);
	ANSWER_INFO(call, resp, image_status_response, "info", buf_str(&text));
}

int cri_image_status(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const PB(ImageStatusRequest) *req = request;
	PB(ImageStatusResponse) *resp = response;
	cleanup_image struct image *image = NULL;
	int r;

	if (str_is_empty(image_text(req->image)))
		return err_new(e, ERR_INVALID, "image.image is empty");
	r = images_find(n->images, req->image->image, &image, e);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0)
		return r;
	resp->image = answer_image(call, image);
	if (req->verbose)
		add_info(n, call, image, resp);
	return 0;
}

int cri_pull_image(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const PB(PullImageRequest) *req = request;
	PB(PullImageResponse) *resp = response;
	cleanup_image struct image *image = NULL;
	struct image_auth auth = { 0 };
	struct images_pull pull = { .cancel_fd = call->cancel_fd, .deadline_ns = call->deadline_ns };
	int r;

	if (str_is_empty(image_text(req->image)))
		return err_new(e, ERR_INVALID, "image.image is empty");
	pull.ref = req->image->image;
	if (!pull.deadline_ns)
		pull.deadline_ns = deadline_in_ms(PULL_TIMEOUT_MS);
	if (req->auth) {
		auth = (struct image_auth){ .username = req->auth->username,
					    .password = req->auth->password,
					    .auth = req->auth->auth,
					    .server_address = req->auth->server_address,
					    .identity_token = req->auth->identity_token,
					    .registry_token = req->auth->registry_token };
		pull.auth = &auth;
	}
	r = images_pull(n->images, &pull, &image, e);
	if (r < 0)
		return err_ctx(e, "pull image \"%s\"", req->image->image);
	log_info("pulled image \"%s\" as %s, %llu bytes", req->image->image, image->id,
		 (unsigned long long)image->size_bytes);
	resp->image_ref = arena_str(call->arena, image->id);
	return 0;
}

int cri_remove_image(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const PB(RemoveImageRequest) *req = request;
	int r;

	(void)call;
	(void)response;
	if (str_is_empty(image_text(req->image)))
		return err_new(e, ERR_INVALID, "image.image is empty");
	r = images_remove(n->images, req->image->image, e);
	return r < 0 ? err_ctx(e, "remove image \"%s\"", req->image->image) : 0;
}

static PB(FilesystemUsage) *usage(struct call *call, const char *mountpoint, uint64_t bytes, uint64_t inodes)
{
	PB(FilesystemUsage) *u = PB_ANSWER(call, FilesystemUsage, filesystem_usage);

	u->timestamp = clock_wall_ns();
	u->fs_id = PB_ANSWER(call, FilesystemIdentifier, filesystem_identifier);
	u->fs_id->mountpoint = arena_str(call->arena, mountpoint);
	u->used_bytes = PB_ANSWER(call, UInt64Value, uint64_value);
	u->used_bytes->value = bytes;
	u->inodes_used = PB_ANSWER(call, UInt64Value, uint64_value);
	u->inodes_used->value = inodes;
	return u;
}

/* One file system for images and writable layers: both lists say the same place, which is how a kubelet
 * learns that it is not split (KEP-4191). */
int cri_image_fs_info(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	PB(ImageFsInfoResponse) *resp = response;
	uint64_t bytes, inodes;

	(void)request;
	(void)e;
	images_usage(n->images, &bytes, &inodes);
	resp->image_filesystems = arena_array(call->arena, 1, sizeof(*resp->image_filesystems));
	resp->image_filesystems[resp->n_image_filesystems++] =
		usage(call, node_config(n)->root_dir, bytes, inodes);
	resp->container_filesystems = arena_array(call->arena, 1, sizeof(*resp->container_filesystems));
	resp->container_filesystems[resp->n_container_filesystems++] =
		usage(call, node_config(n)->root_dir, bytes, inodes);
	return 0;
}
