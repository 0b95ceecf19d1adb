/* SPDX-License-Identifier: Apache-2.0 */
/* Two kinds of directory: an OCI image layout (index.json, blobs/), and what `docker save` writes
 * (manifest.json). Newer ones are both; then manifest.json is taken, which has the names. Paths come from
 * the archive: each is opened beneath the directory, whatever links stand in there. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "codec/json.h"
#include "image/source.h"

#define LAYOUT_IMAGES_MAX 256
#define NAME_ANNOTATION "io.containerd.image.name"
#define REF_ANNOTATION "org.opencontainers.image.ref.name"

struct layout {
	int dfd;
	bool is_docker;
	struct json_object *doc;    /* index.json or manifest.json */
	struct json_object *images; /* in doc: an array */
	struct buf text;
};

static int open_file(struct layout *l, const char *path, int *ret_fd, struct error *e)
{
	cleanup_close int fd = -1;
	struct stat st;
	int r = path_open_beneath(l->dfd, path, O_RDONLY | O_NONBLOCK, 0, false, &fd, e);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_new(e, ERR_INVALID, "\"%s\" is not a regular file", path);
	*ret_fd = take_fd(fd);
	return 0;
}

static int read_file(struct layout *l, const char *path, size_t max, struct buf *b, struct error *e)
{
	cleanup_close int fd = -1;
	int r = open_file(l, path, &fd, e);

	if (r == 0)
		r = fd_read_all(fd, max, b, e);
	return r < 0 ? err_ctx(e, "read \"%s\"", path) : 0;
}

static int read_index(struct layout *l, struct error *e)
{
	struct error first = ERROR_INIT;
	int r = read_file(l, "manifest.json", MANIFEST_MAX_BYTES, &l->text, &first);

	if (r == 0) {
		l->is_docker = true;
		r = json_parse(buf_str(&l->text), l->text.len, MANIFEST_MAX_BYTES, &l->doc, e);
		if (r < 0)
			return err_ctx(e, "read \"manifest.json\"");
		l->images = l->doc;
		if (!json_object_is_type(l->images, json_type_array))
			return err_new(e, ERR_INVALID, "\"manifest.json\" is not an array");
		return 0;
	}
	if (first.sys != ENOENT) {
		*e = first;
		return r;
	}
	r = read_file(l, "index.json", MANIFEST_MAX_BYTES, &l->text, e);
	if (r < 0 && e->sys == ENOENT)
		return err_new(e, ERR_INVALID,
			       "this is neither an OCI layout (index.json) nor an archive of docker save "
			       "(manifest.json)");
	if (r == 0)
		r = json_parse_object(buf_str(&l->text), l->text.len, MANIFEST_MAX_BYTES, &l->doc, e);
	if (r == 0)
		r = json_need(json_get_array(l->doc, "manifests", &l->images, e), "manifests", e);
	return r < 0 ? err_ctx(e, "read \"index.json\"") : 0;
}

int layout_open(int dfd, struct layout **ret, struct error *e)
{
	CLEANUP(layout_free) struct layout *l = NEW(struct layout);
	int r;

	l->dfd = -1;
	r = fd_dup(dfd, &l->dfd, e);
	if (r >= 0)
		r = read_index(l, e);
	if (r < 0)
		return r;
	if (json_object_array_length(l->images) > LAYOUT_IMAGES_MAX)
		return err_new(e, ERR_LIMIT, "the archive has more than %d images", LAYOUT_IMAGES_MAX);
	*ret = take_ptr(l);
	return 0;
}

void layout_free(struct layout *l)
{
	if (!l)
		return;
	json_free(l->doc);
	buf_done(&l->text);
	if (l->dfd >= 0)
		close(l->dfd);
	free(l);
}

size_t layout_count(const struct layout *l)
{
	return json_object_array_length(l->images);
}

int layout_layer(struct layout *l, const struct source_layer *layer, int *ret_fd, struct error *e)
{
	return open_file(l, layer->path, ret_fd, e);
}

static char *blob_path(const char *digest)
{
	return str_fmt("blobs/sha256/%s", image_digest_hex(digest));
}

static int read_blob(struct layout *l, const char *digest, size_t max, struct buf *b, struct error *e)
{
	cleanup_free char *path = blob_path(digest);
	char found[DIGEST_TEXT_SIZE];
	int r = read_file(l, path, max, b, e);

	if (r < 0)
		return r;
	digest_of(buf_str(b), b->len, found);
	if (!str_eq(found, digest))
		return err_new(e, ERR_CORRUPT, "blob \"%s\" has digest %s", path, found);
	return 0;
}

/* ---- OCI -------------------------------------------------------------------------------------------- */

static int oci_manifest(struct layout *l, const char *digest, const struct platform *host,
			struct source_image *s, struct error *e)
{
	CLEANUP(descriptor_done) struct descriptor chosen = { 0 };
	CLEANUP(manifest_done) struct manifest m = { 0 };
	enum manifest_kind kind;
	int r;

	r = read_blob(l, digest, MANIFEST_MAX_BYTES, &s->manifest, e);
	if (r >= 0)
		r = manifest_kind_of(buf_str(&s->manifest), s->manifest.len, NULL, &kind, e);
	if (r >= 0 && kind == MANIFEST_INDEX) {
		r = index_choose(buf_str(&s->manifest), s->manifest.len, host, &chosen, e);
		if (r < 0)
			return r;
		buf_clear(&s->manifest);
		r = read_blob(l, chosen.digest, MANIFEST_MAX_BYTES, &s->manifest, e);
	}
	if (r >= 0)
		r = manifest_parse(buf_str(&s->manifest), s->manifest.len, &m, e);
	if (r < 0)
		return r;
	source_take_manifest(s, &m);
	for (size_t i = 0; i < s->layer_count; i++)
		s->layers[i].path = blob_path(s->layers[i].digest);
	return read_blob(l, m.config.digest, IMAGE_CONFIG_MAX_BYTES, &s->config, e);
}

static int oci_image(struct layout *l, size_t i, const struct platform *host, struct source_image *s,
		     struct error *e)
{
	struct json_object *o = json_object_array_get_idx(l->images, i), *notes = NULL;
	const char *digest = NULL, *name = NULL;
	int r = 0;

	if (!json_object_is_type(o, json_type_object))
		return err_new(e, ERR_INVALID, "it is no object");
	r = json_need(json_get_str(o, "digest", &digest, e), "digest", e);
	if (r >= 0)
		r = json_get_object(o, "annotations", &notes, e);
	if (r >= 0 && notes)
		r = json_get_str(notes, NAME_ANNOTATION, &name, e);
	if (r >= 0 && notes && !name)
		r = json_get_str(notes, REF_ANNOTATION, &name, e);
	if (r < 0)
		return r;
	if (!image_digest_is_valid(digest))
		return err_new(e, ERR_INVALID, "digest \"%.100s\" is not sha256: and 64 hex digits", digest);
	strcpy(s->digest, digest);
	if (name)
		strv_add(&s->names, name);
	return oci_manifest(l, digest, host, s, e);
}

/* ---- docker save ------------------------------------------------------------------------------------ */

static int docker_layer(struct layout *l, const char *path, struct source_layer *ret, struct error *e)
{
	cleanup_close int fd = -1;
	struct stat st;
	int r = open_file(l, path, &fd, e);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at \"%s\"", path);
	*ret = (struct source_layer){ .path = str_dup(path),
				      .size_bytes = (uint64_t)st.st_size,
				      .compression = -1 };
	return 0;
}

static int docker_image(struct layout *l, size_t i, struct source_image *s, struct error *e)
{
	struct json_object *o = json_object_array_get_idx(l->images, i);
	cleanup_strv struct strv layers = STRV_INIT;
	const char *config = NULL;
	int r;

	if (!json_object_is_type(o, json_type_object))
		return err_new(e, ERR_INVALID, "it is no object");
	r = json_need(json_get_str(o, "Config", &config, e), "Config", e);
	if (r >= 0)
		r = json_get_strv(o, "RepoTags", LAYOUT_IMAGES_MAX, &s->names, e);
	if (r >= 0)
		r = json_need(json_get_strv(o, "Layers", IMAGE_LAYERS_MAX, &layers, e), "Layers", e);
	if (r >= 0)
		r = read_file(l, config, IMAGE_CONFIG_MAX_BYTES, &s->config, e);
	if (r < 0)
		return r;
	s->layers = mem_array(layers.n + 1, sizeof(*s->layers));
	for (size_t n = 0; n < layers.n; n++) {
		r = docker_layer(l, layers.v[n], &s->layers[n], e);
		if (r < 0)
			return r;
		s->layer_count = n + 1;
	}
	json_text(o, false, &s->manifest);
	return 0;
}

int layout_image(struct layout *l, size_t i, const struct platform *host, struct source_image *ret,
		 struct error *e)
{
	CLEANUP(source_image_done) struct source_image s = { 0 };
	int r = l->is_docker ? docker_image(l, i, &s, e) : oci_image(l, i, host, &s, e);

	if (r >= 0)
		r = source_read_config(&s, host, e);
	if (r < 0)
		return err_ctx(e, "image %zu of the archive", i);
	*ret = s;
	s = (struct source_image){ 0 };
	return 0;
}
