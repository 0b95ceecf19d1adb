/* SPDX-License-Identifier: Apache-2.0 */
/* Between the two halves of hull-unpack: the fetcher, which knows the network and credentials, and the
 * unpacker, which knows the disk and neither of the two. One SOCK_SEQPACKET message a job, with two fds:
 * the blob's bytes come from the first, the result goes into the second (a pipe; it fits in PIPE_BUF). */
#ifndef HULL_IMAGE_JOBS_H
#define HULL_IMAGE_JOBS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define JOB_DIGEST_SIZE 72

/* The fds that hull-unpack is started with; the first three are /dev/null, /dev/null and the log. */
enum {
	WORKER_SOCKET = 3, /* stream socket to hulld: requests in, answers out */
	WORKER_LAYERS = 4, /* the directory to unpack into */
	WORKER_ALIVE = 5,  /* write end of a pipe that only tells hulld when all of our processes are gone */
	WORKER_SOURCE = 6, /* archive or layout directory to import; closed for a pull */
	JOB_FD_FIRST_OTHER = 6,
};

enum job_kind { JOB_LAYER, JOB_ARCHIVE };

struct job {
	uint32_t kind;
	uint32_t number;	       /* the directory to unpack into is named by it, and must be new */
	int32_t compression;	       /* enum inflate_kind; -1: by the first bytes */
	uint32_t is_zlib;	       /* gzip by zlib, not isa-l */
	uint64_t size_bytes;	       /* of the blob; UINT64_MAX: not known */
	char digest[JOB_DIGEST_SIZE];  /* of the blob; "": not known */
	char diff_id[JOB_DIGEST_SIZE]; /* of its uncompressed bytes; "": not known */
	uint64_t max_bytes, reserve_bytes;
};

struct job_result {
	struct error error; /* kind 0: done */
	uint64_t disk_bytes, inodes, entries;
	uint64_t dropped_xattrs, skipped_devices;
	char digest[JOB_DIGEST_SIZE]; /* what was found */
	char diff_id[JOB_DIGEST_SIZE];
};
_Static_assert(sizeof(struct job_result) <= PIPE_BUF, "a result is one atomic write");

/* The unpacker's process, confined already: serve jobs from sock until it is closed. */
void unpacker_main(int sock, int layers_dfd) __attribute__((noreturn));
/* One job, in a process whose root directory is where it unpacks. */
void job_run(const struct job *job, int in_fd, bool has_devices, struct job_result *ret);

#endif
