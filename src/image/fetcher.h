/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HULL_IMAGE_FETCHER_H
#define HULL_IMAGE_FETCHER_H

#include "base/error.h"

/* The fetcher's process: read the request from sock, confine, serve it; layers go to the unpacker through
 * jobs_sock. source_fd is what to import, or -1. Returns when all is done; the error was sent already. */
int fetcher_main(int sock, int jobs_sock, int layers_dfd, int source_fd);

#endif
