/* SPDX-License-Identifier: Apache-2.0 */
/* Pulling an image, with its progress on a terminal. */
#ifndef HULL_CTL_PULL_H
#define HULL_CTL_PULL_H

#include "ctl/ctl.h"
#include "hull.pb-c.h"

/* Progress of all layers of one pull; pure but for show(). */
#define PULL_LAYERS_MAX 256
struct pull_progress {
	const char *image;
	int64_t start_ns;
	uint32_t layer_count, layers_done;
	uint64_t done[PULL_LAYERS_MAX], total[PULL_LAYERS_MAX];
	bool is_done[PULL_LAYERS_MAX];
	char image_id[96];
};
/* One message of hull.v1.Node/PullImage. */
void pull_progress_take(struct pull_progress *p, const Hull__V1__PullImageProgress *m);
/* The line that shows it, at most width columns: "busybox:1.36 [=====>    ] 12.3 MB / 40.1 MB, 2 of 3 layers,
 * 4 seconds". What is not known yet is not shown. */
const char *pull_progress_line(struct arena *a, const struct pull_progress *p, int64_t now_ns, size_t width);

/* Pull, showing progress on stderr when that is a terminal and the command is neither quiet nor for JSON.
 * *ret_id is the image's id, in the arena. Fails with what the server says. */
int pull_image(struct ctl *c, const char *image, const char *creds, const char **ret_id,
	       struct error *e) MUST_USE;

#endif
