// SPDX-License-Identifier: Apache-2.0
/* pull, load: through hulld's own service (proto/hull.proto), since CRI's PullImage says nothing until it has
 * ended. Another runtime's socket does not have that service: there CRI's call is made instead. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/pbjson.h"
#include "ctl/pull.h"
#include "ctl/text.h"

#define BAR_MAX 30
#define BAR_MIN 8

void pull_progress_take(struct pull_progress *p, const Hull__V1__PullImageProgress *m)
{
	if (*m->image_id) {
		snprintf(p->image_id, sizeof(p->image_id), "%s", m->image_id);
		return;
	}
	if (m->phase == HULL__V1__PULL_PHASE__PULL_RESOLVE || m->layer >= PULL_LAYERS_MAX)
		return;
	p->layer_count = m->layer_count;
	if (m->total_bytes)
		p->total[m->layer] = m->total_bytes;
	p->done[m->layer] = m->done_bytes;
	if ((m->phase == HULL__V1__PULL_PHASE__PULL_LAYER_DONE ||
	     m->phase == HULL__V1__PULL_PHASE__PULL_LAYER_EXISTS) &&
	    !p->is_done[m->layer]) {
		p->is_done[m->layer] = true;
		p->done[m->layer] = p->total[m->layer];
		p->layers_done++;
	}
}

static void add_bar(struct buf *b, size_t width, uint64_t done, uint64_t total)
{
	size_t full = total ? (size_t)((double)width * (double)done / (double)total) : 0;

	buf_addc(b, '[');
	for (size_t i = 0; i < width; i++)
		buf_addc(b, i < full ? '=' : i == full ? '>' : ' ');
	buf_addc(b, ']');
}

const char *pull_progress_line(struct arena *a, const struct pull_progress *p, int64_t now_ns, size_t width)
{
	cleanup_buf struct buf b = BUF_INIT;
	uint64_t done = 0, total = 0;
	const char *name = text_image(a, p->image), *tail;
	size_t used;

	for (size_t i = 0; i < PULL_LAYERS_MAX; i++) {
		done += p->done[i];
		total += p->total[i];
	}
	if (p->layer_count)
		tail = arena_fmt(a, " %s / %s, %u of %u layers, %s", text_bytes(a, done),
				 text_bytes(a, total), p->layers_done, p->layer_count,
				 text_duration(a, now_ns - p->start_ns));
	else
		tail = arena_fmt(a, " asking the registry, %s", text_duration(a, now_ns - p->start_ns));
	used = text_width(name) + text_width(tail) + 3;
	buf_adds(&b, name);
	if (total && width > used + BAR_MIN) {
		buf_addc(&b, ' ');
		add_bar(&b, width - used > BAR_MAX ? BAR_MAX : width - used, done, total);
	}
	buf_adds(&b, tail);
	return text_cut(a, arena_str(a, buf_str(&b)), width);
}

struct pulling {
	struct pull_progress progress;
	bool is_shown;
	size_t width;
	int64_t shown_ns;
};

static int on_message(void *arg, const void *data, size_t len, struct error *e)
{
	struct pulling *p = arg;
	cleanup_arena struct arena a = ARENA_INIT;
	int64_t now = clock_mono_ns();
	void *m;

	if (pb_unpack(&hull__v1__pull_image_progress__descriptor, data, len, &a, &m, e) < 0)
		return err_kind(e, ERR_CORRUPT);
	pull_progress_take(&p->progress, m);
	if (p->is_shown && now - p->shown_ns > NS_PER_S / 20) {
		fprintf(stderr, "\r%s\033[K", pull_progress_line(&a, &p->progress, now, p->width));
		p->shown_ns = now;
	}
	return 0;
}

/* CRI's own call. */
static int pull_plainly(struct ctl *c, const char *image, PB(AuthConfig) *auth, const char **ret_id,
			struct error *e)
{
	PB(PullImageRequest) *req = CTL_NEW(c, PullImageRequest, pull_image_request);
	PB(PullImageResponse) *resp = NULL;
	int r;

	req->image = CTL_NEW(c, ImageSpec, image_spec);
	req->image->image = (char *)image;
	req->auth = auth;
	r = CTL_CALL(c, "Image", "PullImage", req, pull_image_response, &resp, e);
	if (r == 0)
		*ret_id = resp->image_ref;
	return r;
}

int pull_image(struct ctl *c, const char *image, const char *creds, const char **ret_id, struct error *e)
{
	Hull__V1__PullImageRequest *req =
		PB_NEW(&c->arena, Hull__V1__PullImageRequest, hull__v1__pull_image_request);
	struct pulling *p = arena_alloc(&c->arena, sizeof(*p));
	cleanup_buf struct buf packed = BUF_INIT;
	struct grpc_call call = { .path = "/hull.v1.Node/PullImage", .on_message = on_message, .arg = p };
	struct winsize size = { 0 };
	int r, status = -1;

	p->progress.image = image;
	p->progress.start_ns = clock_mono_ns();
	p->is_shown = !c->is_json && !c->is_quiet && isatty(STDERR_FILENO);
	p->width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79;
	req->image = (char *)image;
	if (creds) {
		const char *colon = strchr(creds, ':');

		req->auth = CTL_NEW(c, AuthConfig, auth_config);
		req->auth->username =
			arena_strn(&c->arena, creds, colon ? (size_t)(colon - creds) : strlen(creds));
		req->auth->password = arena_str(&c->arena, colon ? colon + 1 : "");
	}
	c->status = -1;
	r = ctl_connect(c, e);
	if (r == 0)
		r = pb_pack(req, GRPC_MESSAGE_MAX, &packed, e);
	if (r < 0)
		return r;
	call.request = packed.data;
	call.request_len = packed.len;
	if (p->is_shown)
		fprintf(stderr, "%s", pull_progress_line(&c->arena, &p->progress, clock_mono_ns(), p->width));
	r = grpc_client_call(c->client, &call, &status, e);
	if (p->is_shown)
		fputs("\r\033[K", stderr);
	if (r < 0 && status == GRPC_UNIMPLEMENTED) {
		err_clear(e);
		return pull_plainly(c, image, req->auth, ret_id, e);
	}
	if (r < 0) {
		c->status = status;
		return r;
	}
	*ret_id = p->progress.image_id;
	return 0;
}

int ctl_pull(struct ctl *c, int argc, char **argv, struct error *e)
{
	const char *creds = NULL, *id = "";
	const struct ctl_option options[] = {
		{ 'q', "quiet", CTL_FLAG, &c->is_quiet },
		{ 0, "creds", CTL_TEXT, &creds },
	};
	struct json_object *list = json_new_array();
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options)), r = 0;

	if (i < 0 || i == argc) {
		json_free(list);
		return i < 0 ? CTL_USAGE : ctl_usage(c, "which image?");
	}
	for (; i < argc && r == 0; i++) {
		struct json_object *o;

		r = pull_image(c, argv[i], creds, &id, e);
		if (r < 0)
			break;
		o = json_push_object(list);
		json_put_str(o, "image", argv[i]);
		json_put_str(o, "id", id);
		if (c->is_quiet)
			puts(id);
		else if (!c->is_json)
			printf("%s is %s\n", text_clean(&c->arena, argv[i]), text_short_id(&c->arena, id));
	}
	if (c->is_json && r == 0)
		pbjson_print(list);
	else
		json_free(list);
	return r;
}

int ctl_load(struct ctl *c, int argc, char **argv, struct error *e)
{
	const char *name = NULL;
	const struct ctl_option options[] = { { 0, "name", CTL_TEXT, &name } };
	Hull__V1__LoadImagesRequest *req =
		PB_NEW(&c->arena, Hull__V1__LoadImagesRequest, hull__v1__load_images_request);
	Hull__V1__LoadImagesResponse *resp = NULL;
	char path[PATH_MAX];
	int i = ctl_options(c, argc, argv, options, ARRAY_LEN(options)), r;

	if (i < 0)
		return CTL_USAGE;
	if (argc - i != 1)
		return ctl_usage(c, "which file?");
	if (!realpath(argv[i], path))
		return err_sys(e, "\"%s\"", argv[i]);
	req->path = path;
	req->name = arena_str(&c->arena, name);
	r = ctl_connect(c, e);
	if (r == 0)
		r = grpc_client_unary(c->client, "/hull.v1.Node/LoadImages", req,
				      &hull__v1__load_images_response__descriptor, 0, &c->arena,
				      (void **)&resp, &c->status, e);
	if (r < 0)
		return r;
	if (c->is_json)
		pbjson_print(pbjson_of(resp));
	else
		for (size_t k = 0; k < resp->n_image_ids; k++)
			puts(resp->image_ids[k]);
	return CTL_OK;
}
