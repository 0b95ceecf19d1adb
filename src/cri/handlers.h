/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of the method table (service.c), one a method; all of type cri_handler. */
#ifndef HULL_CRI_HANDLERS_H
#define HULL_CRI_HANDLERS_H

#include "cri/service.h"

#define CRI_HANDLER(name) \
	int name(struct node *n, struct call *call, const void *request, void *response, struct error *e)

CRI_HANDLER(cri_version);
CRI_HANDLER(cri_status);
CRI_HANDLER(cri_runtime_config);
CRI_HANDLER(cri_update_runtime_config);

CRI_HANDLER(cri_run_pod_sandbox);
CRI_HANDLER(cri_stop_pod_sandbox);
CRI_HANDLER(cri_remove_pod_sandbox);
CRI_HANDLER(cri_pod_sandbox_status);
CRI_HANDLER(cri_list_pod_sandbox);

CRI_HANDLER(cri_create_container);
CRI_HANDLER(cri_start_container);
CRI_HANDLER(cri_stop_container);
CRI_HANDLER(cri_remove_container);
CRI_HANDLER(cri_list_containers);
CRI_HANDLER(cri_container_status);
CRI_HANDLER(cri_reopen_container_log);
CRI_HANDLER(cri_exec_sync);

CRI_HANDLER(cri_pull_image);
CRI_HANDLER(cri_list_images);
CRI_HANDLER(cri_image_status);
CRI_HANDLER(cri_remove_image);
CRI_HANDLER(cri_image_fs_info);

/* hull.v1.Node */
CRI_HANDLER(node_load_images);
CRI_HANDLER(node_pull_image);

#endif
