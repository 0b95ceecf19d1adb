/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct fetcher, shared by fetcher.c (the images), fetcher_request.c and fetcher_layers.c. */
#ifndef HULL_IMAGE_FETCHER_INTERNAL_H
#define HULL_IMAGE_FETCHER_INTERNAL_H

#include <pthread.h>

#include "image/auth.h"
#include "image/http.h"
#include "image/jobs.h"
#include "image/registry.h"
#include "image/source.h"
#include "image/wire.h"

struct fetcher {
	struct wire wire;
	pthread_mutex_t lock; /* of the wire's output, next_number and jobs_sock */
	int jobs_sock;
	uint32_t next_number;
	uint64_t max_bytes, reserve_bytes;
	bool is_zlib;
	/* a pull */
	char *path, *reference;
	struct registry_endpoint *endpoints;
	size_t endpoint_count, first_endpoint; /* the one that had the manifest */
	struct auth auth;
	struct http_ca *cas;
	struct http_opts http;
	/* an import */
	int layers_dfd, source_fd;
	struct layout *layout;
	/* the image at hand */
	struct source_image image;
};

/* --- fetcher.c --- */

struct json_object *fetcher_new_event(const char *name);
/* From any thread. Fails: SYS. */
int fetcher_send_event(struct fetcher *f, struct json_object *doc, struct error *e) MUST_USE;
int fetcher_send_plain(struct fetcher *f, const char *name, struct error *e) MUST_USE;

/* Worth asking the next endpoint: what was asked for may be whole there. */
bool fetcher_is_endpoints_fault(int r);

/* --- fetcher_request.c --- */

/* What to do, and for a pull the credentials and the CA files. Before confine_fetcher().
 * Fails: INVALID, LIMIT, as wire_receive() and wire_receive_bytes(), as file_read(). */
int fetcher_read_request(struct fetcher *f, bool *ret_import, struct error *e) MUST_USE;

/* --- fetcher_layers.c --- */

/* Start a job whose input is in_fd; ret_fd is where its result comes. Sets the job's number. */
int fetcher_start_job(struct fetcher *f, struct job *job, int in_fd, int *ret_fd, struct error *e) MUST_USE;
/* Wait for the result of a job. Fails: INTERNAL (it has none), and what the job failed with. */
int fetcher_finish_job(int fd, struct job_result *ret, struct error *e) MUST_USE;

/* Serve {"op":"fetch"}: the layers of the image at hand that it names, then "fetched". */
int fetcher_fetch_layers(struct fetcher *f, struct json_object *o, struct error *e) MUST_USE;

#endif
