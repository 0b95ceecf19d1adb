// SPDX-License-Identifier: Apache-2.0
/* The cache of compiled seccomp profiles: a directory that only we can write, and in it a file a profile, named by
 * a hash of the profile. The hash is no proof and need not be: the file holds the profile itself too, and is used
 * only when that is equal byte by byte. Files are written whole and renamed, so no lock is needed; a checksum
 * finds what a crash of the machine has left. */
#include <dirent.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "oci/seccomp_bpf.h"
#include "sys/seccomp.h"

#define CACHE_MAGIC 0x31434248u /* "HBC1" */
#define PROFILE_MAX (4u << 20)
#define CACHE_FILES_MAX 256 /* more than that and all are dropped: nobody has so many profiles */

struct cache_head {
	uint32_t magic, profile_bytes, code_bytes, zero;
	uint64_t sum; /* of profile and code */
};

/* FNV-1a */
static uint64_t hash(const void *data, size_t n, uint64_t h)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}
#define HASH_START UINT64_C(0xcbf29ce484222325)

static void add_u32(struct buf *b, uint32_t v)
{
	buf_add(b, &v, sizeof(v));
}

static void add_u64(struct buf *b, uint64_t v)
{
	buf_add(b, &v, sizeof(v));
}

static void add_rule(struct buf *b, const struct oci_seccomp_rule *rule)
{
	add_u32(b, rule->action);
	add_u32(b, (uint32_t)rule->args.n);
	for (size_t i = 0; i < rule->args.n; i++) {
		const struct oci_seccomp_arg *a = &rule->args.v[i];

		add_u32(b, a->index);
		add_u32(b, (uint32_t)a->op);
		add_u64(b, a->value);
		add_u64(b, a->value_two);
	}
	add_u32(b, (uint32_t)rule->names.n);
	for (size_t i = 0; i < rule->names.n; i++)
		buf_add(b, rule->names.v[i], strlen(rule->names.v[i]) + 1);
}

/* What else decides how the program comes out is part of it: this version, libseccomp's, the machine. */
void oci_seccomp_serialize(const struct oci_seccomp *profile, struct buf *b)
{
	const struct scmp_version *v = seccomp_version();

	buf_add(b, HULL_VERSION, sizeof(HULL_VERSION));
	add_u32(b, v->major);
	add_u32(b, v->minor);
	add_u32(b, v->micro);
	add_u32(b, seccomp_arch_native());
	add_u32(b, profile->default_action);
	add_u32(b, profile->flags);
	add_u32(b, (uint32_t)profile->architecture_count);
	for (size_t i = 0; i < profile->architecture_count; i++)
		add_u32(b, profile->architectures[i]);
	for (size_t i = 0; i < profile->syscalls.n; i++)
		add_rule(b, &profile->syscalls.v[i]);
}

/* A regular file of ours that nobody else could write. */
static int open_own(int cache_dfd, const char *name)
{
	int fd = openat(cache_dfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022))
		return fd;
	close(fd);
	return -1;
}

static bool load(int cache_dfd, const char *name, const struct buf *profile, struct buf *ret_code)
{
	cleanup_close int fd = open_own(cache_dfd, name);
	cleanup_buf struct buf b = BUF_INIT;
	const char *body;
	struct cache_head head;

	if (fd < 0 ||
	    fd_read_all(fd, PROFILE_MAX + SECCOMP_CODE_MAX * sizeof(struct sock_filter), &b, NULL) < 0 ||
	    b.len < sizeof(head))
		return false;
	memcpy(&head, b.data, sizeof(head));
	body = b.data + sizeof(head);
	if (head.magic != CACHE_MAGIC || head.profile_bytes != profile->len ||
	    b.len - sizeof(head) != (size_t)head.profile_bytes + head.code_bytes ||
	    head.code_bytes % sizeof(struct sock_filter) || !head.code_bytes ||
	    head.sum != hash(body, b.len - sizeof(head), HASH_START) ||
	    memcmp(body, profile->data, profile->len) != 0)
		return false;
	buf_add(ret_code, body + head.profile_bytes, head.code_bytes);
	return true;
}

static void make_room(int cache_dfd)
{
	int fd = openat(cache_dfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t count = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (readdir(dir))
		count++;
	rewinddir(dir);
	for (struct dirent *d; count > CACHE_FILES_MAX && (d = readdir(dir));)
		unlinkat(cache_dfd, d->d_name, 0);
	closedir(dir);
}

static void save(int cache_dfd, const char *name, const struct buf *profile, const char *code,
		 size_t code_bytes)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct cache_head head = {
		.magic = CACHE_MAGIC,
		.profile_bytes = (uint32_t)profile->len,
		.code_bytes = (uint32_t)code_bytes,
		.sum = hash(code, code_bytes, hash(profile->data, profile->len, HASH_START)),
	};

	make_room(cache_dfd);
	buf_add(&b, &head, sizeof(head));
	buf_add(&b, profile->data, profile->len);
	buf_add(&b, code, code_bytes);
	/* A cache that cannot be written costs time, not correctness. */
	if (file_write_atomic(cache_dfd, name, b.data, b.len, 0600, false, NULL) < 0)
		return;
}

int oci_seccomp_get(const struct oci_seccomp *profile, int cache_dfd, struct buf *ret_code, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	size_t before = ret_code->len;
	char name[40];
	int r;

	if (cache_dfd >= 0)
		oci_seccomp_serialize(profile, &text);
	if (cache_dfd < 0 || text.len > PROFILE_MAX)
		return oci_seccomp_compile(profile, ret_code, e);
	snprintf(name, sizeof(name), "%016llx%016llx",
		 (unsigned long long)hash(text.data, text.len, HASH_START),
		 (unsigned long long)hash(text.data, text.len, ~HASH_START));
	if (load(cache_dfd, name, &text, ret_code))
		return 0;
	r = oci_seccomp_compile(profile, ret_code, e);
	if (r == 0)
		save(cache_dfd, name, &text, ret_code->data + before, ret_code->len - before);
	return r;
}
