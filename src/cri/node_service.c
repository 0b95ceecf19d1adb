/* SPDX-License-Identifier: Apache-2.0 */
/* hull.v1.Node: what hullctl asks beyond CRI. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "cri/handlers.h"
#include "cri/state.h"
#include "hull.pb-c.h"

#define PULL_TIMEOUT_MS (INT64_C(60) * 60 * 1000)
/* A line of progress a layer at most this often: more than a person reads, less than a busy connection. */
#define PROGRESS_NS (NS_PER_S / 20)

/* The path is the client's, who is root on this node as we are; what must not happen is that a fifo or a device
 * keeps the worker thread. */
static int open_archive(const char *path, int *ret_fd, struct error *e)
{
	cleanup_close int fd = -1;
	struct stat st;

	if (!path_is_clean_abs(path))
		return err_new(e, ERR_INVALID, "path \"%s\": want an absolute path without \".\" and \"..\"",
			       path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return err_sysk(e, ERR_NOT_FOUND, errno, "open \"%s\"", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open \"%s\"", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return err_new(e, ERR_INVALID, "path \"%s\" is neither a file nor a directory", path);
	*ret_fd = take_fd(fd);
	return 0;
}

int node_load_images(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const Hull__V1__LoadImagesRequest *req = request;
	Hull__V1__LoadImagesResponse *resp = response;
	struct images_import import = { .cancel_fd = call->cancel_fd, .deadline_ns = call->deadline_ns };
	cleanup_close int fd = -1;
	cleanup_strv struct strv ids = STRV_INIT;
	int r = open_archive(req->path, &fd, e);

	if (r < 0)
		return r;
	import.fd = fd;
	import.name = str_is_empty(req->name) ? NULL : req->name;
	if (!import.deadline_ns)
		import.deadline_ns = deadline_in_ms(PULL_TIMEOUT_MS);
	r = images_import(n->images, &import, &ids, e);
	if (r < 0)
		return err_ctx(e, "load \"%s\"", req->path);
	resp->image_ids = arena_array(call->arena, ids.n, sizeof(*resp->image_ids));
	for (size_t i = 0; i < ids.n; i++)
		resp->image_ids[resp->n_image_ids++] = arena_str(call->arena, ids.v[i]);
	return 0;
}

struct pull_stream {
	struct call *call;
	int64_t last_ns;
	bool is_broken; /* the client takes no more; the pull itself ends by cancel_fd */
};

static void on_progress(void *arg, const struct image_progress *p)
{
	static const Hull__V1__PullPhase phases[] = {
		[IMAGE_RESOLVE] = HULL__V1__PULL_PHASE__PULL_RESOLVE,
		[IMAGE_WAIT] = HULL__V1__PULL_PHASE__PULL_WAIT,
		[IMAGE_FETCH] = HULL__V1__PULL_PHASE__PULL_FETCH,
		[IMAGE_DONE] = HULL__V1__PULL_PHASE__PULL_LAYER_DONE,
		[IMAGE_EXISTS] = HULL__V1__PULL_PHASE__PULL_LAYER_EXISTS,
	};
	struct pull_stream *s = arg;
	Hull__V1__PullImageProgress m;
	int64_t now = clock_mono_ns();

	if (s->is_broken || (p->phase == IMAGE_FETCH && p->done_bytes && now - s->last_ns < PROGRESS_NS))
		return;
	s->last_ns = now;
	pb_init(&hull__v1__pull_image_progress__descriptor, &m);
	m.phase = phases[p->phase];
	m.digest = (char *)(p->digest ? p->digest : "");
	m.done_bytes = p->done_bytes;
	m.total_bytes = p->total_bytes;
	m.layer = (uint32_t)p->layer;
	m.layer_count = (uint32_t)p->layer_count;
	s->is_broken = call_send(s->call, &m, NULL) < 0;
}

int node_pull_image(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const Hull__V1__PullImageRequest *req = request;
	struct pull_stream stream = { .call = call };
	cleanup_image struct image *image = NULL;
	struct image_auth auth = { 0 };
	struct images_pull pull = { .ref = req->image,
				    .progress = on_progress,
				    .progress_arg = &stream,
				    .cancel_fd = call->cancel_fd,
				    .deadline_ns = call->deadline_ns };
	Hull__V1__PullImageProgress last;
	int r;

	(void)response;
	if (str_is_empty(req->image))
		return err_new(e, ERR_INVALID, "image is empty");
	if (!pull.deadline_ns)
		pull.deadline_ns = deadline_in_ms(PULL_TIMEOUT_MS);
	if (req->auth) {
		auth = (struct image_auth){ .username = req->auth->username,
					    .password = req->auth->password };
		pull.auth = &auth;
	}
	r = images_pull(n->images, &pull, &image, e);
	if (r < 0)
		return err_ctx(e, "pull image \"%s\"", req->image);
	log_info("pulled image \"%s\" as %s, %llu bytes", req->image, image->id,
		 (unsigned long long)image->size_bytes);
	pb_init(&hull__v1__pull_image_progress__descriptor, &last);
	last.phase = HULL__V1__PULL_PHASE__PULL_LAYER_DONE;
	last.image_id = image->id;
	last.total_bytes = last.done_bytes = image->size_bytes;
	return call_send(call, &last, e);
}
