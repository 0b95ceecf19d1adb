/* SPDX-License-Identifier: Apache-2.0 */
/* images.h as a command line, for the integration tests of src/image without a daemon:
 *	imagetool ROOT HELPER [-m URL [-c CA | -k]]... [-z] [-L MiB] [-u USER:PASSWORD] [-v] COMMAND ...
 *	pull REF... (all at once) | list | find TEXT | rm TEXT | import FILE [NAME] | gc
 * -m: mirror for all references, with its CA file, or unverified (-k); -z: zlib; -L: limit of an unpacked
 *layer; -v: debug log and progress. Answers are JSON lines; errors go to stderr as "kind: message", exit
 *status 1. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "codec/json.h"
#include "image/images.h"
#include "store/store.h"

static struct store *store;
static struct images *images;
static struct image_auth auth;
static bool verbose;

static const enum store_table tables[IMAGES_TABLE_COUNT] = { STORE_IMAGE, STORE_LAYER, STORE_NAME };

static int apply(void *ctx, const struct images_change *changes, size_t count, bool durable, struct error *e)
{
	CLEANUP(store_abort) struct store_tx tx = store_begin(ctx, durable ? STORE_DURABLE : STORE_SAFE);

	for (size_t i = 0; i < count; i++)
		if (changes[i].data)
			store_tx_put(&tx, tables[changes[i].table], changes[i].key, changes[i].data,
				     changes[i].len);
		else
			store_tx_remove(&tx, tables[changes[i].table], changes[i].key);
	return store_commit(&tx, e);
}

static int each(void *ctx, enum images_table table,
		int (*fn)(void *arg, const char *key, const void *data, size_t len, struct error *e),
		void *arg, struct error *e)
{
	return store_each(ctx, tables[table], fn, arg, e);
}

static int fail(const struct error *e)
{
	fprintf(stderr, "%s: %s\n", err_kind_name(e->kind), err_msg(e));
	return 1;
}

static void print_image(const struct image *image)
{
	cleanup_json struct json_object *o = json_new();
	cleanup_buf struct buf b = BUF_INIT;

	json_put_str(o, "id", image->id);
	json_put_strv(o, "tags", &image->tags);
	json_put_strv(o, "digests", &image->digests);
	json_put_strv(o, "layers", &image->layers);
	json_put_strv(o, "env", &image->config.env);
	json_put_strv(o, "cmd", &image->config.cmd);
	json_put_strv(o, "entrypoint", &image->config.entrypoint);
	json_put_str(o, "user", image->config.user);
	json_put_u64(o, "size", image->size_bytes);
	json_put_u64(o, "unpacked", image->unpacked_bytes);
	json_text(o, false, &b);
	puts(buf_str(&b));
}

static void on_progress(void *arg, const struct image_progress *p)
{
	(void)arg;
	if (verbose)
		fprintf(stderr, "progress %d %s %llu/%llu\n", p->phase, p->digest,
			(unsigned long long)p->done_bytes, (unsigned long long)p->total_bytes);
}

static void *pull_one(void *ref)
{
	struct images_pull o = { .ref = ref, .auth = &auth, .progress = on_progress, .cancel_fd = -1 };
	cleanup_image struct image *image = NULL;
	struct error e = ERROR_INIT;

	if (images_pull(images, &o, &image, &e) < 0) {
		fail(&e);
		return ref;
	}
	print_image(image);
	return NULL;
}

static int pull(int n, char **refs)
{
	pthread_t *threads = mem_array((size_t)n + 1, sizeof(*threads));
	int failed = 0;

	for (int i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, pull_one, refs[i]);
	for (int i = 0; i < n; i++) {
		void *bad;

		pthread_join(threads[i], &bad);
		failed |= bad != NULL;
	}
	free(threads);
	return failed;
}

static int list(void)
{
	struct image **v;
	size_t n;

	images_list(images, &v, &n);
	for (size_t i = 0; i < n; i++) {
		print_image(v[i]);
		image_unref(v[i]);
	}
	free(v);
	return 0;
}

static int import(const char *path, const char *name)
{
	struct images_import o = { .fd = open(path, O_RDONLY | O_CLOEXEC), .name = name, .cancel_fd = -1 };
	cleanup_strv struct strv ids = STRV_INIT;
	struct error e = ERROR_INIT;
	int r;

	if (o.fd < 0) {
		err_sys(&e, "open \"%s\"", path);
		return fail(&e);
	}
	r = images_import(images, &o, &ids, &e);
	close(o.fd);
	if (r < 0)
		return fail(&e);
	for (size_t i = 0; i < ids.n; i++)
		puts(ids.v[i]);
	return 0;
}

static int run(int n, char **args)
{
	struct error e = ERROR_INIT;

	if (n > 1 && str_eq(args[0], "pull"))
		return pull(n - 1, args + 1);
	if (n == 1 && str_eq(args[0], "list"))
		return list();
	if (n == 2 && str_eq(args[0], "find")) {
		cleanup_image struct image *image = NULL;

		if (images_find(images, args[1], &image, &e) < 0)
			return fail(&e);
		print_image(image);
		return 0;
	}
	if (n == 2 && str_eq(args[0], "rm"))
		return images_remove(images, args[1], &e) < 0 ? fail(&e) : 0;
	if (n >= 2 && str_eq(args[0], "import"))
		return import(args[1], args[2]);
	fputs("imagetool: unknown command\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct registry_endpoint mirrors[8] = { 0 };
	struct registry_config any = { .prefix = (char[]){ "*" }, .mirrors = mirrors };
	struct registries registries = { .v = &any, .n = 1 };
	struct images_opts o = { .root_path = argv[1], .helper = argv[2], .registries = &registries };
	struct error e = ERROR_INIT;
	int root_dfd, c, r;

	if (argc < 4)
		return 2;
	optind = 3;
	while ((c = getopt(argc, argv, "+m:c:kzL:R:u:v")) >= 0) {
		if (c == 'm')
			mirrors[any.mirror_count++].url = optarg;
		else if (c == 'c')
			mirrors[any.mirror_count - 1].ca = optarg;
		else if (c == 'k')
			mirrors[any.mirror_count - 1].insecure = true;
		else if (c == 'z')
			o.use_zlib = true;
		else if (c == 'L')
			o.max_unpacked_bytes = strtoull(optarg, NULL, 10) << 20;
		else if (c == 'R')
			o.reserve_bytes = strtoull(optarg, NULL, 10) << 20;
		else if (c == 'u') {
			char *colon = strchr(optarg, ':');

			auth.username = str_ndup(optarg, (size_t)(colon - optarg));
			auth.password = colon + 1;
		} else
			verbose = true;
	}
	if (verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	if (path_mkdir_all(argv[1], 0700, &root_dfd, &e) < 0 ||
	    store_open(root_dfd, "hull.db", &store, &e) < 0)
		return fail(&e);
	o.root_dfd = root_dfd;
	o.store.ctx = store;
	o.store.apply = apply;
	o.store.each = each;
	r = images_open(&o, &images, &e);
	if (r < 0)
		return fail(&e);
	r = run(argc - optind, argv + optind);
	images_close(images);
	store_close(store);
	close(root_dfd);
	return r;
}
