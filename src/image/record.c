/* SPDX-License-Identifier: Apache-2.0 */
#include "image/record.h"

#include "codec/json.h"
#include "image/manifest.h"

#define RECORD_VERSION 1
#define RECORD_MAX_BYTES (1U << 20)

void image_record_done(struct image_record *r)
{
	free(r->manifest_digest);
	strv_done(&r->chain_ids);
	*r = (struct image_record){ 0 };
}

void image_record_write(const struct image_record *r, struct buf *b)
{
	cleanup_json struct json_object *o = json_new();

	json_put_u64(o, "version", RECORD_VERSION);
	json_put_str(o, "manifest", r->manifest_digest);
	json_put_strv(o, "layers", &r->chain_ids);
	json_put_u64(o, "size", r->size_bytes);
	json_put_i64(o, "pulled_at", r->pulled_at);
	if (r->is_removed)
		json_put_bool(o, "removed", true);
	json_text(o, false, b);
}

static int read_versioned(const void *data, size_t len, struct json_object **ret, struct error *e)
{
	uint64_t version = 0;
	int r = json_parse_object(data, len, RECORD_MAX_BYTES, ret, e);

	if (r >= 0)
		r = json_get_u64(*ret, "version", &version, e);
	if (r < 0)
		return err_kind(e, ERR_CORRUPT);
	if (version != RECORD_VERSION)
		return err_new(e, ERR_UNSUPPORTED, "the record has version %llu, not %d",
			       (unsigned long long)version, RECORD_VERSION);
	return 0;
}

int image_record_read(const void *data, size_t len, struct image_record *ret, struct error *e)
{
	cleanup_json struct json_object *o = NULL;
	CLEANUP(image_record_done) struct image_record record = { 0 };
	const char *manifest = "";
	int r = read_versioned(data, len, &o, e);

	if (r < 0)
		return r;
	if (json_get_str(o, "manifest", &manifest, e) < 0 ||
	    json_get_strv(o, "layers", IMAGE_LAYERS_MAX, &record.chain_ids, e) < 0 ||
	    json_get_u64(o, "size", &record.size_bytes, e) < 0 ||
	    json_get_i64(o, "pulled_at", &record.pulled_at, e) < 0 ||
	    json_get_bool(o, "removed", &record.is_removed, e) < 0)
		return err_kind(e, ERR_CORRUPT);
	for (size_t i = 0; i < record.chain_ids.n; i++)
		if (!image_digest_is_valid(record.chain_ids.v[i]))
			return err_new(e, ERR_CORRUPT, "\"%.100s\" is no layer", record.chain_ids.v[i]);
	record.manifest_digest = str_dup(manifest);
	*ret = record;
	record = (struct image_record){ 0 };
	return 0;
}

void layer_record_write(const struct layer_record *r, struct buf *b)
{
	cleanup_json struct json_object *o = json_new();

	json_put_u64(o, "version", RECORD_VERSION);
	json_put_u64(o, "disk", r->disk_bytes);
	json_put_u64(o, "inodes", r->inodes);
	json_text(o, false, b);
}

int layer_record_read(const void *data, size_t len, struct layer_record *ret, struct error *e)
{
	cleanup_json struct json_object *o = NULL;
	struct layer_record record = { 0 };
	int r = read_versioned(data, len, &o, e);

	if (r < 0)
		return r;
	if (json_get_u64(o, "disk", &record.disk_bytes, e) < 0 ||
	    json_get_u64(o, "inodes", &record.inodes, e) < 0)
		return err_kind(e, ERR_CORRUPT);
	*ret = record;
	return 0;
}
