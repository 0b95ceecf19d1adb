/* SPDX-License-Identifier: Apache-2.0 */
/* One blob through the pipeline: read, hash, inflate, hash again, untar. All of the blob is read, also what
 * stands behind the end of the archive, since the digests cover it. When a stage fails the rest of the
 * blob is still hashed: when the digest is wrong too, that is what really went wrong, and is said. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/digest.h"
#include "codec/inflate.h"
#include "image/jobs.h"
#include "image/untar.h"

#define IN_BYTES (256U << 10)
#define OUT_BYTES (512U << 10)
/* deflate cannot pass 1032:1. A whole layer that comes near it is zeros, and nobody needs a GiB of those. */
#define BOMB_BYTES (UINT64_C(1) << 30)
#define BOMB_RATIO 400

struct stream {
	const struct job *job;
	int fd;
	bool is_eof;		 /* all input was read */
	bool is_ended;		 /* all output was given */
	struct inflate *inflate; /* NULL until the first bytes came */
	bool is_plain;		 /* not compressed: one hash is enough */
	struct digest *blob, *diff;
	uint64_t in_total, out_total;
	size_t in_at, in_len;
	uint8_t in[IN_BYTES], out[OUT_BYTES];
};

/* Read more input into s->in, which is used up. */
static int fill(struct stream *s, struct error *e)
{
	ssize_t n;

	do
		n = read(s->fd, s->in, sizeof(s->in));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "read the blob");
	s->in_at = 0;
	s->in_len = (size_t)n;
	if (n == 0) {
		s->is_eof = true;
		return 0;
	}
	s->in_total += (uint64_t)n;
	if (s->in_total > s->job->size_bytes)
		return err_new(e, ERR_CORRUPT, "the blob is longer than its size of %llu bytes",
			       (unsigned long long)s->job->size_bytes);
	digest_add(s->blob, s->in, (size_t)n);
	return 0;
}

static int begin(struct stream *s, struct error *e)
{
	int kind = s->job->compression;
	int r = fill(s, e);

	if (r < 0)
		return r;
	if (kind < 0)
		kind = (int)inflate_detect(s->in, s->in_len);
	if (kind == INFLATE_GZIP_ISAL && s->job->is_zlib)
		kind = INFLATE_GZIP_ZLIB;
	s->is_plain = kind == INFLATE_NONE;
	s->inflate = inflate_new((enum inflate_kind)kind);
	return 0;
}

static int check_growth(struct stream *s, struct error *e)
{
	if (s->out_total > s->job->max_bytes)
		return err_new(e, ERR_LIMIT, "the layer unpacks to more than %llu MiB",
			       (unsigned long long)(s->job->max_bytes >> 20));
	if (s->out_total > BOMB_BYTES && !s->is_plain && s->out_total / BOMB_RATIO > s->in_total)
		return err_new(
			e, ERR_LIMIT,
			"%llu bytes of the blob unpack to %llu MiB, more than %d times: taken for a bomb",
			(unsigned long long)s->in_total, (unsigned long long)(s->out_total >> 20),
			BOMB_RATIO);
	return 0;
}

/* tar_read_fn */
static ssize_t stream_read(void *arg, const void **ret_data, struct error *e)
{
	struct stream *s = arg;
	size_t produced = 0;
	int r;

	if (!s->inflate) {
		r = begin(s, e);
		if (r < 0)
			return r;
	}
	while (!s->is_ended && produced == 0) {
		struct inflate_io io = { 0 };

		if (s->in_at == s->in_len && !s->is_eof) {
			r = fill(s, e);
			if (r < 0)
				return r;
		}
		io = (struct inflate_io){ .in = s->in + s->in_at,
					  .in_len = s->in_len - s->in_at,
					  .is_last = s->is_eof,
					  .out = s->out,
					  .out_len = sizeof(s->out) };
		r = inflate_run(s->inflate, &io, e);
		if (r < 0)
			return r;
		s->in_at = s->in_len - io.in_len;
		produced = sizeof(s->out) - io.out_len;
		s->is_ended = r == 1;
	}
	s->out_total += produced;
	r = check_growth(s, e);
	if (r < 0)
		return r;
	if (!s->is_plain)
		digest_add(s->diff, s->out, produced);
	*ret_data = s->out;
	return (ssize_t)produced;
}

static int check_digests(struct stream *s, const struct job *job, struct job_result *ret, struct error *e)
{
	digest_end(s->blob, ret->digest);
	if (job->size_bytes != UINT64_MAX && s->in_total != job->size_bytes)
		return err_new(e, ERR_CORRUPT, "the blob has %llu bytes, not %llu",
			       (unsigned long long)s->in_total, (unsigned long long)job->size_bytes);
	if (job->digest[0] && !str_eq(ret->digest, job->digest))
		return err_new(e, ERR_CORRUPT, "the content has digest %s, not %s", ret->digest, job->digest);
	return 0;
}

static int check_diff_id(struct stream *s, const struct job *job, struct job_result *ret, struct error *e)
{
	if (s->is_plain)
		strcpy(ret->diff_id, ret->digest);
	else
		digest_end(s->diff, ret->diff_id);
	if (job->diff_id[0] && !str_eq(ret->diff_id, job->diff_id))
		return err_new(e, ERR_CORRUPT,
			       "the unpacked content has digest %s, but the image config says %s",
			       ret->diff_id, job->diff_id);
	return 0;
}

/* Read and hash what is left of the blob, so that its digest is known. */
static int drain_raw(struct stream *s)
{
	while (!s->is_eof)
		if (fill(s, NULL) < 0)
			return -1;
	return 0;
}

void job_run(const struct job *job, int in_fd, bool has_devices, struct job_result *ret)
{
	struct stream *s = NEW(struct stream);
	CLEANUP(tar_free) struct tar *t = tar_new(stream_read, s);
	struct untar_opts opts = { .root_dfd = AT_FDCWD,
				   .is_layer = job->kind == JOB_LAYER,
				   .has_devices = has_devices,
				   .reserve_bytes = job->reserve_bytes };
	struct untar_result result = { 0 };
	struct error *e = &ret->error;
	const void *data;
	ssize_t n = 0;
	int r;

	*ret = (struct job_result){ .error = ERROR_INIT };
	s->job = job;
	s->fd = in_fd;
	s->blob = digest_new();
	s->diff = digest_new();
	opts.root_dfd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (opts.root_dfd < 0) {
		err_sys(e, "open the layer's directory");
		return;
	}
	r = untar(t, &opts, &result, e);
	while (r >= 0 && (n = stream_read(s, &data, e)) > 0)
		;
	if (n < 0)
		r = (int)n;
	if (r >= 0) {
		err_clear(e);
		r = check_digests(s, job, ret, e);
		if (r >= 0)
			check_diff_id(s, job, ret, e);
	} else if (r == -ERR_CORRUPT || r == -ERR_INVALID) {
		struct error lie = ERROR_INIT;

		if (drain_raw(s) == 0 && check_digests(s, job, ret, &lie) < 0)
			*e = lie;
	}
	ret->disk_bytes = result.disk_bytes;
	ret->inodes = result.inodes;
	ret->entries = result.entries;
	ret->dropped_xattrs = result.dropped_xattrs;
	ret->skipped_devices = result.skipped_devices;
	inflate_free(s->inflate);
	digest_free(s->blob);
	digest_free(s->diff);
	close(opts.root_dfd);
	free(s);
}
