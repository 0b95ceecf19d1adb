/* SPDX-License-Identifier: Apache-2.0 */
#include "image/source.h"

#include <string.h>

#include "base/mem.h"

void source_image_done(struct source_image *s)
{
	buf_done(&s->manifest);
	buf_done(&s->config);
	strv_done(&s->diff_ids);
	strv_done(&s->chain_ids);
	strv_done(&s->names);
	for (size_t i = 0; i < s->layer_count; i++) {
		free(s->layers[i].digest);
		free(s->layers[i].path);
	}
	free(s->layers);
	*s = (struct source_image){ 0 };
}

void source_take_manifest(struct source_image *s, const struct manifest *m)
{
	s->layers = mem_array(m->layer_count + 1, sizeof(*s->layers));
	s->layer_count = m->layer_count;
	for (size_t i = 0; i < m->layer_count; i++)
		s->layers[i] = (struct source_layer){ .digest = str_dup(m->layers[i].blob.digest),
						      .size_bytes = m->layers[i].blob.size_bytes,
						      .compression = (int)m->layers[i].compression };
}

int source_fault(struct error *e)
{
	return e->kind == ERR_INVALID ? err_kind(e, ERR_CORRUPT) : -e->kind;
}

/* OCI image spec, "Layer ChainID": the first is its diff id, each further one the digest of
 * "<chain id below> <diff id>". */
static void add_chain_ids(struct source_image *s)
{
	for (size_t i = 0; i < s->diff_ids.n; i++) {
		char digest[DIGEST_TEXT_SIZE];
		cleanup_free char *text = NULL;

		if (i == 0) {
			strv_add(&s->chain_ids, s->diff_ids.v[0]);
			continue;
		}
		text = str_fmt("%s %s", s->chain_ids.v[i - 1], s->diff_ids.v[i]);
		digest_of(text, strlen(text), digest);
		strv_add(&s->chain_ids, digest);
	}
}

int source_read_config(struct source_image *s, const struct platform *host, struct error *e)
{
	CLEANUP(image_config_done) struct image_config config = { 0 };
	int r;

	digest_of(buf_str(&s->config), s->config.len, s->config_digest);
	r = image_config_parse(buf_str(&s->config), s->config.len, &config, &s->diff_ids, e);
	if (r < 0)
		return source_fault(e);
	/* Images made by hand may leave it out; then it can only be found by running them. */
	if (!*config.os)
		str_set(&config.os, host->os);
	if (!*config.architecture)
		str_set(&config.architecture, host->architecture);
	if (platform_rank(host, config.os, config.architecture, config.variant) == 0)
		return err_new(e, ERR_INVALID, "the image is for %.32s/%.32s%s%.32s, this host is %s/%s%s%s",
			       config.os, config.architecture, *config.variant ? "/" : "", config.variant,
			       host->os, host->architecture, *host->variant ? "/" : "", host->variant);
	if (s->diff_ids.n != s->layer_count)
		return err_new(e, ERR_CORRUPT,
			       "the manifest has %zu layers, but the config's rootfs.diff_ids has %zu",
			       s->layer_count, s->diff_ids.n);
	add_chain_ids(s);
	return 0;
}
