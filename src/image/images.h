/* SPDX-License-Identifier: Apache-2.0 */
/* The node's images: pull, import, list, find, remove.
 *
 * An image is known by its id, "sha256:<hex>" of its config blob: the same in PullImage's answer,
 * ListImages, ImageStatus and in containers. Below it are layers: one plain directory each under
 * ROOT/layers/<chain id>, holding only that layer's own entries, with whiteouts as overlayfs wants them
 * under the mount option "userxattr" (character device 0/0; opaque directories by user.overlay.opaque).
 * A layer is shared by all images that have it.
 *
 * Fetching and unpacking happen in a confined worker process (hull-unpack), never here.
 * All functions are thread-safe. */
#ifndef HULL_IMAGE_IMAGES_H
#define HULL_IMAGE_IMAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "image/ref.h"
#include "image/registries.h"

struct images;

/* What an image's config says, as far as the runtime uses it; nothing else of it has any effect. */
struct image_config {
	char *os, *architecture, *variant;
	struct strv env; /* "NAME=value" */
	struct strv entrypoint, cmd;
	char *working_dir, *user, *stop_signal; /* "" when absent */
	struct strv exposed_ports;		/* "80/tcp" */
	struct strv volumes;			/* absolute paths */
	struct strv label_names, label_values;	/* label i is names.v[i] = values.v[i]; data only */
	char *created;				/* RFC 3339 as it stands there, or "" */
};

/* Immutable and shared by reference count; read without a lock. */
struct image {
	char *id;		 /* "sha256:<config digest>" */
	struct strv tags;	 /* "docker.io/library/busybox:1.36", normal form */
	struct strv digests;	 /* "docker.io/library/busybox@sha256:...": what the reference resolved to */
	uint64_t size_bytes;	 /* compressed layers and config, as a registry counts; never 0 */
	uint64_t unpacked_bytes; /* disk space of all its layers, shared or not */
	struct image_config config;
	struct strv layers;	 /* absolute directories, lowest first */
	struct strv chain_ids;	 /* of the layers, "sha256:..." */
	char *manifest_digest;	 /* of the manifest for this host; "" for an imported docker archive */
	int64_t pulled_at;	 /* ns since the epoch */
	bool pinned;		 /* by images_opts.pinned: not to be collected */
	unsigned refs;		 /* of this snapshot; these two are images.c's own */
	struct image_life *life; /* shared by all snapshots of this image */
};

struct image *image_hold(struct image *image); /* one more reference; returns image */
void image_unref(struct image *image);	       /* NULL is fine */
DEFINE_CLEANUP(struct image, image_unref)
#define cleanup_image CLEANUP(image_unref)

enum images_table {
	IMAGES_IMAGE, /* image id -> record */
	IMAGES_LAYER, /* chain id -> record */
	IMAGES_NAME,  /* "name:tag" or "name@digest" -> image id */
	IMAGES_TABLE_COUNT
};

/* One row to write (data) or to remove (data is NULL). */
struct images_change {
	enum images_table table;
	const char *key;
	const void *data;
	size_t len;
};

/* The database, given by the caller. Called with a mutex held: must not call back into images_*. */
struct images_store {
	void *ctx;
	/* All changes or none; durable: on disk when it returns. Removing what is not there succeeds. */
	int (*apply)(void *ctx, const struct images_change *changes, size_t count, bool durable,
		     struct error *e);
	/* Call fn for each row; fn returns 0 to go on, a negative kind ends the walk. */
	int (*each)(void *ctx, enum images_table table,
		    int (*fn)(void *arg, const char *key, const void *data, size_t len, struct error *e),
		    void *arg, struct error *e);
};

struct images_opts {
	int root_dfd;	       /* ROOT; duplicated. blobs/ layers/ tmp/ are made in it */
	const char *root_path; /* its absolute path, for image.layers */
	const char *helper;    /* absolute path of hull-unpack */
	struct images_store store;
	const struct registries *registries; /* copied; may be NULL */
	/* Is a container using this image? Called without a lock; may be NULL (no). It must answer from
	 * the moment on at which the container's record exists, and until its root is unmounted. */
	bool (*is_used)(void *ctx, const char *image_id);
	void *is_used_ctx;
	const char *const *pinned;   /* NULL-terminated references that are never collected; may be NULL */
	uint64_t reserve_bytes;	     /* free disk space that unpacking must leave; 0: 256 MiB */
	uint64_t max_unpacked_bytes; /* of one layer; 0: 64 GiB */
	bool use_zlib;		     /* inflate gzip by zlib instead of isa-l */
};

/* Load the records, remove what interrupted pulls and removals left. Records whose layer directories
 * are missing are dropped with a warning: the image is then absent, and a pull brings it back.
 * Fails: SYS, CORRUPT (a record that cannot be read, naming it), what the store fails with. */
int images_open(const struct images_opts *o, struct images **ret, struct error *e) MUST_USE;
void images_close(struct images *im);
DEFINE_CLEANUP(struct images, images_close)

/* Take over a changed registries configuration; running pulls keep the old one. */
void images_set_registries(struct images *im, const struct registries *r);

enum image_phase { IMAGE_RESOLVE, IMAGE_WAIT, IMAGE_FETCH, IMAGE_DONE, IMAGE_EXISTS };
struct image_progress {
	enum image_phase phase;
	const char *digest;		  /* of the layer; the reference for IMAGE_RESOLVE. Borrowed */
	uint64_t done_bytes, total_bytes; /* compressed */
	size_t layer, layer_count;	  /* 0-based */
};
typedef void (*image_progress_fn)(void *arg, const struct image_progress *p);

struct images_pull {
	const char *ref;	       /* as the user wrote it, or as CRI sends it */
	const struct image_auth *auth; /* may be NULL */
	image_progress_fn progress;    /* may be NULL; called on this thread */
	void *progress_arg;
	int cancel_fd;	     /* readable: give up; -1 none */
	int64_t deadline_ns; /* monotonic; 0 none */
};
/* Pull an image: the manifest or index is asked for, and what is not here yet is fetched and unpacked.
 * A layer that another pull is fetching is waited for, not fetched twice. Nothing is left on failure.
 * Fails: INVALID (reference; a platform that is not this host's, naming both), NOT_FOUND (no such
 *	repository, tag or digest), AUTH, UNAVAILABLE (which host and why), CORRUPT (a digest, size or
 *	diffID that lies, naming the blob, the expected and the found one; a bad archive, naming the
 *	entry), LIMIT (with the numbers), UNSUPPORTED (schema 1, foreign layers, unknown media type),
 *	CANCELED, TIMEOUT, SYS. */
int images_pull(struct images *im, const struct images_pull *o, struct image **ret, struct error *e) MUST_USE;

struct images_import {
	int fd;		  /* a tar (docker-archive or oci-archive), or a directory (OCI layout) */
	const char *name; /* name for an image that carries none, or NULL */
	int cancel_fd;
	int64_t deadline_ns;
};
/* Import all images of an archive; ret_ids gets their ids. Fails as images_pull(). */
int images_import(struct images *im, const struct images_import *o, struct strv *ret_ids,
		  struct error *e) MUST_USE;

/* Find by id ("sha256:<hex>", the hex digits, or a prefix of them that is unique), or by any form of a
 * reference (familiar, with tag, with digest). An exact name wins over an id prefix.
 * Fails: NOT_FOUND, INVALID (neither an id nor a reference; a prefix that is not unique). */
int images_find(struct images *im, const char *text, struct image **ret, struct error *e) MUST_USE;

/* All images, newest pull first; the caller unrefs each and frees the array. */
void images_list(struct images *im, struct image ***ret, size_t *ret_count);

/* Remove the image that text finds, with all its names. What was not there is fine (returns 0). Layers
 * that a container or a held reference still uses stay until a later images_gc().
 * Fails: INVALID, what the store fails with. */
int images_remove(struct images *im, const char *text, struct error *e) MUST_USE;
/* Free what removed images left and nobody uses any more; call it after a container was removed. */
void images_gc(struct images *im);

/* Disk space and inodes of all layers, from the records. */
void images_usage(struct images *im, uint64_t *ret_bytes, uint64_t *ret_inodes);

/* The config blob, or the manifest, as it was pulled (JSON); appended. Fails: NOT_FOUND, SYS. */
int images_config_json(struct images *im, const struct image *image, struct buf *b, struct error *e) MUST_USE;
int images_manifest_json(struct images *im, const struct image *image, struct buf *b,
			 struct error *e) MUST_USE;

#endif
