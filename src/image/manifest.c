/* SPDX-License-Identifier: Apache-2.0 */
#include "image/manifest.h"

#include <string.h>

#include "base/mem.h"
#include "codec/json.h"

#define INDEX_ENTRIES_MAX 1000
#define CONFIG_ITEMS_MAX 10000 /* of each list in a config */

void descriptor_done(struct descriptor *d)
{
	free(d->media_type);
	free(d->digest);
	*d = (struct descriptor){ 0 };
}

/* A document that is no index and no manifest, by its media type: with the sentence to say. */
static int other_media(const char *media, struct error *e)
{
	if (str_starts(media, "application/vnd.docker.distribution.manifest.v1"))
		return err_new(e, ERR_UNSUPPORTED,
			       "the manifest is of Docker schema 1 (\"%.100s\"), which is not supported; "
			       "push the image "
			       "again with a current tool",
			       media);
	return err_new(e, ERR_UNSUPPORTED, "the manifest has media type \"%.100s\", which is not supported",
		       media);
}

static int media_kind(const char *media, enum manifest_kind *ret)
{
	if (str_eq(media, MEDIA_OCI_INDEX) || str_eq(media, MEDIA_DOCKER_LIST))
		*ret = MANIFEST_INDEX;
	else if (str_eq(media, MEDIA_OCI_MANIFEST) || str_eq(media, MEDIA_DOCKER_MANIFEST))
		*ret = MANIFEST_IMAGE;
	else
		return 0;
	return 1;
}

/* The document's own word first: a registry may send any content type (the OCI distribution spec only asks
 * that they agree), but the text is what the digest covers. */
int manifest_kind_of(const char *text, size_t len, const char *media_type, enum manifest_kind *ret,
		     struct error *e)
{
	cleanup_json struct json_object *doc = NULL;
	const char *own = NULL;
	bool has_list, has_layers;
	uint64_t schema = 2;
	int r;

	r = json_parse_object(text, len, MANIFEST_MAX_BYTES, &doc, e);
	if (r >= 0)
		r = json_get_u64(doc, "schemaVersion", &schema, e);
	if (r >= 0)
		r = json_get_str(doc, "mediaType", &own, e);
	if (r < 0)
		return err_ctx(e, "read the manifest");
	if (schema == 1)
		return other_media(own ? own : "application/vnd.docker.distribution.manifest.v1+json", e);
	if (own)
		return media_kind(own, ret) ? 0 : other_media(own, e);
	if (media_type && str_starts(media_type, "application/vnd.") && !media_kind(media_type, ret))
		return other_media(media_type, e);
	/* Neither: told apart by what it has. Both at once is ambiguous on purpose (CVE-2021-41190). */
	has_list = json_object_object_get_ex(doc, "manifests", NULL);
	has_layers = json_object_object_get_ex(doc, "layers", NULL) ||
		     json_object_object_get_ex(doc, "config", NULL);

	if (has_list == has_layers)
		return err_new(e, ERR_INVALID, "the manifest has %s \"manifests\" and \"layers\"",
			       has_list ? "both" : "neither");
	*ret = has_list ? MANIFEST_INDEX : MANIFEST_IMAGE;
	return 0;
}

static int read_descriptor(struct json_object *o, struct descriptor *ret, struct error *e)
{
	CLEANUP(descriptor_done) struct descriptor d = { 0 };
	const char *media = "", *digest = NULL;
	int r;

	if (!json_object_is_type(o, json_type_object))
		return err_new(e, ERR_INVALID, "is %s, not an object", json_kind_text(o));
	r = json_get_str(o, "mediaType", &media, e);
	if (r >= 0)
		r = json_need(json_get_str(o, "digest", &digest, e), "digest", e);
	if (r >= 0)
		r = json_need(json_get_u64(o, "size", &d.size_bytes, e), "size", e);
	if (r < 0)
		return r;
	if (!image_digest_is_valid(digest))
		return err_new(e, ERR_INVALID, "digest \"%.100s\" is not sha256: and 64 hex digits", digest);
	if (d.size_bytes > INT64_MAX)
		return err_new(e, ERR_INVALID, "size %llu is out of range", (unsigned long long)d.size_bytes);
	d.media_type = str_dup(media);
	d.digest = str_dup(digest);
	*ret = d;
	d = (struct descriptor){ 0 };
	return 0;
}

/* Rank one entry of an index; its platform is added to seen. Returns the rank, or a negative kind. */
static int rank_entry(struct json_object *o, const struct platform *host, struct buf *seen, struct error *e)
{
	const char *os = "", *architecture = "", *variant = "", *media = "";
	struct json_object *platform = NULL;
	enum manifest_kind kind;
	int r;

	if (!json_object_is_type(o, json_type_object))
		return err_new(e, ERR_INVALID, "is %s, not an object", json_kind_text(o));
	r = json_get_str(o, "mediaType", &media, e);
	if (r >= 0)
		r = json_get_object(o, "platform", &platform, e);
	if (r > 0)
		r = json_get_str(platform, "os", &os, e);
	if (r >= 0 && platform)
		r = json_get_str(platform, "architecture", &architecture, e);
	if (r >= 0 && platform)
		r = json_get_str(platform, "variant", &variant, e);
	if (r < 0)
		return r;
	if (*media && (!media_kind(media, &kind) || kind != MANIFEST_IMAGE))
		return 0; /* an artifact, or a nested index: not an image for a platform */
	if (!platform)
		return 1; /* may be for any: the config will tell */
	/* Attestations of build tools are entries for the platform unknown/unknown. */
	if (!str_eq(os, "unknown") && seen->len < 512)
		buf_addf(seen, "%s%.32s/%.32s%s%.32s", seen->len ? ", " : "", os, architecture,
			 *variant ? "/" : "", variant);
	r = platform_rank(host, os, architecture, variant);
	return r ? r + 1 : 0;
}

int index_choose(const char *text, size_t len, const struct platform *host, struct descriptor *ret,
		 struct error *e)
{
	cleanup_json struct json_object *doc = NULL;
	cleanup_buf struct buf seen = BUF_INIT;
	struct json_object *list = NULL, *best = NULL;
	int best_rank = 0, r;
	size_t n;

	r = json_parse_object(text, len, MANIFEST_MAX_BYTES, &doc, e);
	if (r >= 0)
		r = json_need(json_get_array(doc, "manifests", &list, e), "manifests", e);
	if (r < 0)
		return err_ctx(e, "read the image index");
	n = json_object_array_length(list);
	if (n > INDEX_ENTRIES_MAX)
		return err_new(e, ERR_LIMIT, "the image index has %zu entries, more than %d", n,
			       INDEX_ENTRIES_MAX);
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		r = rank_entry(o, host, &seen, e);
		if (r < 0)
			return err_ctx(e, "read the image index: manifests[%zu]", i);
		if (r > best_rank) {
			best_rank = r;
			best = o;
		}
	}
	if (!best)
		return err_new(e, ERR_NOT_FOUND, "the image has no manifest for %s/%s%s%s, only for %s",
			       host->os, host->architecture, *host->variant ? "/" : "", host->variant,
			       seen.len ? buf_str(&seen) : "nothing");
	r = read_descriptor(best, ret, e);
	return r < 0 ? err_ctx(e, "read the image index") : 0;
}

/* Layer media types; what is not here is refused by name. */
static const struct {
	const char *media;
	enum inflate_kind compression;
} layer_media[] = {
	{ "application/vnd.oci.image.layer.v1.tar", INFLATE_NONE },
	{ "application/vnd.oci.image.layer.v1.tar+gzip", INFLATE_GZIP_ISAL },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", INFLATE_ZSTD },
	{ "application/vnd.docker.image.rootfs.diff.tar", INFLATE_NONE },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", INFLATE_GZIP_ISAL },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", INFLATE_ZSTD },
};

static int layer_compression(const char *media, enum inflate_kind *ret, struct error *e)
{
	for (size_t i = 0; i < ARRAY_LEN(layer_media); i++)
		if (str_eq(media, layer_media[i].media)) {
			*ret = layer_media[i].compression;
			return 0;
		}
	if (str_starts(media, "application/vnd.oci.image.layer.nondistributable.") ||
	    strstr(media, ".foreign."))
		return err_new(e, ERR_UNSUPPORTED,
			       "media type \"%.100s\": non-distributable (foreign) layers are not supported",
			       media);
	if (str_ends(media, "+encrypted"))
		return err_new(e, ERR_UNSUPPORTED,
			       "media type \"%.100s\": encrypted layers are not supported", media);
	return err_new(e, ERR_UNSUPPORTED, "media type \"%.100s\" is not that of a layer", media);
}

void manifest_done(struct manifest *m)
{
	descriptor_done(&m->config);
	for (size_t i = 0; i < m->layer_count; i++)
		descriptor_done(&m->layers[i].blob);
	free(m->layers);
	*m = (struct manifest){ 0 };
}

static int read_config_descriptor(struct json_object *doc, struct descriptor *ret, struct error *e)
{
	struct json_object *config = NULL;
	int r = json_need(json_get_object(doc, "config", &config, e), "config", e);

	if (r >= 0)
		r = read_descriptor(config, ret, e);
	if (r < 0)
		return err_ctx(e, "read the image manifest: config");
	if (*ret->media_type && !str_eq(ret->media_type, MEDIA_OCI_CONFIG) &&
	    !str_eq(ret->media_type, MEDIA_DOCKER_CONFIG))
		return err_new(
			e, ERR_UNSUPPORTED,
			"this is no container image but an artifact: its config has media type \"%.100s\"",
			ret->media_type);
	if (ret->size_bytes > IMAGE_CONFIG_MAX_BYTES)
		return err_new(e, ERR_LIMIT, "the image config has %llu bytes, more than %u",
			       (unsigned long long)ret->size_bytes, IMAGE_CONFIG_MAX_BYTES);
	return 0;
}

int manifest_parse(const char *text, size_t len, struct manifest *ret, struct error *e)
{
	cleanup_json struct json_object *doc = NULL;
	CLEANUP(manifest_done) struct manifest m = { 0 };
	struct json_object *layers = NULL;
	size_t n;
	int r;

	r = json_parse_object(text, len, MANIFEST_MAX_BYTES, &doc, e);
	if (r >= 0)
		r = json_need(json_get_array(doc, "layers", &layers, e), "layers", e);
	if (r < 0)
		return err_ctx(e, "read the image manifest");
	r = read_config_descriptor(doc, &m.config, e);
	if (r < 0)
		return r;
	n = json_object_array_length(layers);
	if (n > IMAGE_LAYERS_MAX)
		return err_new(e, ERR_LIMIT,
			       "the image has %zu layers, more than the %d that overlayfs can stack", n,
			       IMAGE_LAYERS_MAX);
	m.layers = mem_array(n + 1, sizeof(*m.layers));
	for (size_t i = 0; i < n; i++) {
		struct manifest_layer *layer = &m.layers[m.layer_count++];

		r = read_descriptor(json_object_array_get_idx(layers, i), &layer->blob, e);
		if (r >= 0)
			r = layer_compression(layer->blob.media_type, &layer->compression, e);
		if (r < 0)
			return err_ctx(e, "read the image manifest: layers[%zu]", i);
	}
	*ret = m;
	m = (struct manifest){ 0 };
	return 0;
}

void image_config_done(struct image_config *c)
{
	free(c->os);
	free(c->architecture);
	free(c->variant);
	free(c->working_dir);
	free(c->user);
	free(c->stop_signal);
	free(c->created);
	strv_done(&c->env);
	strv_done(&c->entrypoint);
	strv_done(&c->cmd);
	strv_done(&c->exposed_ports);
	strv_done(&c->volumes);
	strv_done(&c->label_names);
	strv_done(&c->label_values);
	*c = (struct image_config){ 0 };
}

static int get_text(struct json_object *o, const char *key, char **ret, struct error *e)
{
	const char *text = "";
	int r = o ? json_get_str(o, key, &text, e) : 0;

	*ret = str_dup(text);
	return r < 0 ? r : 0;
}

/* The keys of an object whose values say nothing ({"80/tcp": {}}). */
static int get_keys(struct json_object *o, const char *key, struct strv *ret, struct error *e)
{
	struct json_object *set = NULL;
	int r = o ? json_get_object(o, key, &set, e) : 0;

	if (r <= 0)
		return r;
	if (json_object_object_length(set) > CONFIG_ITEMS_MAX)
		return err_new(e, ERR_LIMIT, "\"%s\" has more than %d items", key, CONFIG_ITEMS_MAX);
	json_object_object_foreach(set, name, value) {
		(void)value;
		strv_add(ret, name);
	}
	return 0;
}

static int get_labels(struct json_object *o, struct image_config *c, struct error *e)
{
	struct json_object *set = NULL;
	int r = o ? json_get_object(o, "Labels", &set, e) : 0;

	if (r <= 0)
		return r;
	if (json_object_object_length(set) > CONFIG_ITEMS_MAX)
		return err_new(e, ERR_LIMIT, "\"Labels\" has more than %d items", CONFIG_ITEMS_MAX);
	json_object_object_foreach(set, name, value) {
		const char *text = "";

		r = value ? json_as_str(value, name, &text, e) : 0;
		if (r < 0)
			return r;
		strv_add(&c->label_names, name);
		strv_add(&c->label_values, text);
	}
	return 0;
}

static int get_list(struct json_object *o, const char *key, struct strv *ret, struct error *e)
{
	int r = o ? json_get_strv(o, key, CONFIG_ITEMS_MAX, ret, e) : 0;

	return r < 0 ? r : 0;
}

static int read_process(struct json_object *o, struct image_config *c, struct error *e)
{
	static const struct {
		const char *key;
		size_t offset;
		bool is_list;
	} members[] = {
		{ "Env", offsetof(struct image_config, env), true },
		{ "Entrypoint", offsetof(struct image_config, entrypoint), true },
		{ "Cmd", offsetof(struct image_config, cmd), true },
		{ "WorkingDir", offsetof(struct image_config, working_dir), false },
		{ "User", offsetof(struct image_config, user), false },
		{ "StopSignal", offsetof(struct image_config, stop_signal), false },
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(members); i++) {
		void *field = (char *)c + members[i].offset;

		r = members[i].is_list ? get_list(o, members[i].key, field, e)
				       : get_text(o, members[i].key, field, e);
	}
	if (r >= 0)
		r = get_keys(o, "ExposedPorts", &c->exposed_ports, e);
	if (r >= 0)
		r = get_keys(o, "Volumes", &c->volumes, e);
	return r < 0 ? r : get_labels(o, c, e);
}

static int read_diff_ids(struct json_object *doc, struct strv *ret, struct error *e)
{
	struct json_object *rootfs = NULL;
	int r = json_need(json_get_object(doc, "rootfs", &rootfs, e), "rootfs", e);

	if (r >= 0)
		r = json_need(json_get_strv(rootfs, "diff_ids", IMAGE_LAYERS_MAX, ret, e), "rootfs.diff_ids",
			      e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->n; i++)
		if (!image_digest_is_valid(ret->v[i]))
			return err_new(e, ERR_INVALID,
				       "rootfs.diff_ids[%zu] \"%.100s\" is not sha256: and 64 hex digits", i,
				       ret->v[i]);
	return 0;
}

int image_config_parse(const char *text, size_t len, struct image_config *ret, struct strv *ret_diff_ids,
		       struct error *e)
{
	cleanup_json struct json_object *doc = NULL;
	CLEANUP(image_config_done) struct image_config c = { 0 };
	cleanup_strv struct strv diff_ids = STRV_INIT;
	struct json_object *process = NULL;
	int r;

	r = json_parse_object(text, len, IMAGE_CONFIG_MAX_BYTES, &doc, e);
	if (r >= 0)
		r = json_get_object(doc, "config", &process, e);
	if (r >= 0)
		r = get_text(doc, "os", &c.os, e);
	if (r >= 0)
		r = get_text(doc, "architecture", &c.architecture, e);
	if (r >= 0)
		r = get_text(doc, "variant", &c.variant, e);
	if (r >= 0)
		r = get_text(doc, "created", &c.created, e);
	if (r >= 0)
		r = read_process(process, &c, e);
	if (r >= 0)
		r = read_diff_ids(doc, &diff_ids, e);
	if (r < 0)
		return err_ctx(e, "read the image config");
	*ret = c;
	c = (struct image_config){ 0 };
	*ret_diff_ids = diff_ids;
	diff_ids = STRV_INIT;
	return 0;
}
